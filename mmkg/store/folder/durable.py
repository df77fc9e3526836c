"""Files that survive a crash: written aside, synced, renamed, and the folder synced too. And the fail points that prove it."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

_hits: dict[str, int] = {}


def failpoint(name: str) -> None:
    """Kill this process here if MMKG_FAILPOINT is `name`, or `name:n` and this is the n-th time.

    Used by the crash tests only: SIGKILL runs no handler, so what is on disk is what a power cut of the process leaves.
    """
    wanted = os.environ.get("MMKG_FAILPOINT")
    if not wanted or wanted.partition(":")[0] != name:
        return
    _hits[name] = _hits.get(name, 0) + 1
    if _hits[name] == int(wanted.partition(":")[2] or 1):
        if hasattr(signal, "SIGKILL"):
            os.kill(os.getpid(), signal.SIGKILL)
        os._exit(137)


FAILPOINTS = (
    "blob-written",
    "blob-renamed",
    "facts-staged",
    "publish-begin",
    "derived-written",
    "graph-written",
    "segment-written",
    "generation-row",
    "publish-committed",
    "swept",
    "snapshot-written",
    "snapshot-committed",
    "remove-committed",
    "rebuild-cleared",
)
"""Every named point, in the order of a batch."""


def sync_folder(folder: Path) -> None:
    """Make renames in a folder durable. Windows has no such call; its renames are journalled."""
    if sys.platform == "win32":
        return
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_atomic(path: Path, data: bytes) -> None:
    """Write a whole file so that after a crash the path holds the old bytes or the new, never a part."""
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with aside.open("wb") as f:
            f.write(data)
            f.flush()
            os.fsync(f.fileno())
        os.replace(aside, path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)
