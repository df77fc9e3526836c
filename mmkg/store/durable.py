"""Files that survive a crash: written aside, synced, renamed, and the folder synced too. And the fail points that prove it.

Every durable step (a sync, a rename, a commit, a deletion) is followed by a fail point, so that a test can stop the process
between any two of them; tests/reliability/test_failpoints.py records the steps of each operation and fails where one has none.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from mmkg.errors import MMKGError, StoreError

_hits: dict[str, int] = {}


def failpoint(name: str) -> None:
    """Kill this process here if MMKG_FAILPOINT is `name`, or `name:n` and this is the n-th time.

    Used by the crash tests only: SIGKILL runs no handler, so what is on disk is what the death of the process leaves.
    """
    sys.audit("mmkg.failpoint", name)
    wanted = os.environ.get("MMKG_FAILPOINT")
    if not wanted or wanted.partition(":")[0] != name:
        return
    _hits[name] = _hits.get(name, 0) + 1
    if _hits[name] == int(wanted.partition(":")[2] or 1):
        if hasattr(signal, "SIGKILL"):
            os.kill(os.getpid(), signal.SIGKILL)
        os._exit(137)


FAILPOINTS = (
    "base-folder-made",
    "themes-forgotten",
    "leftover-removed",
    "ledger-created",
    "migrated",
    "manifest-kept",
    "manifest-synced",
    "manifest-renamed",
    "manifest-placed",
    "blob-folder-made",
    "blob-synced",
    "blob-renamed",
    "blob-placed",
    "facts-staged",
    "sources-noted",
    "outputs-kept",
    "publish-begin",
    "derived-written",
    "delta-synced",
    "delta-renamed",
    "delta-placed",
    "graph-written",
    "segment-synced",
    "segment-renamed",
    "segment-placed",
    "segment-written",
    "generation-row",
    "publish-committed",
    "blob-deleted",
    "file-swept",
    "swept",
    "unclaimed-dropped",
    "snapshot-written",
    "snapshot-placed",
    "snapshot-committed",
    "remove-committed",
    "rebuild-cleared",
    "rebuild-committed",
    "compact-committed",
    "ledger-vacuumed",
    "log-emptied",
)
"""Every named point, in the order of a batch."""

MENDING_FAILPOINTS = ("damaged-set-aside", "damaged-placed", "rows-mended")
"""Those that only a damaged base comes to."""

REINDEX_FAILPOINTS = ("coming-begun", "coming-forgotten", "coming-kept")
"""Those that only a reindex comes to, beside `rebuild-committed` at its end."""

BACKUP_FAILPOINTS = tuple(
    f"backup-{part}-{step}" for part in ("file", "ledger", "mark") for step in ("synced", "renamed", "placed")
)
"""Those of a backup or restoration, which change nothing in the base."""


def sync_file(file: IO[bytes], point: str) -> None:
    """What was written to a file is on disk when this returns."""
    file.flush()
    os.fsync(file.fileno())
    failpoint(f"{point}-synced")


def put_in_place(aside: Path, path: Path, point: str) -> None:
    """Give a synced file its name, durably."""
    os.replace(aside, path)
    failpoint(f"{point}-renamed")
    sync_folder(path.parent)
    failpoint(f"{point}-placed")


def sync_folder(folder: Path) -> None:
    """Make renames in a folder durable. Windows has no such call; its renames are journalled."""
    if sys.platform == "win32":
        return
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_atomic(path: Path, data: bytes, *, point: str) -> None:
    """Write a whole file so that after a crash the path holds the old bytes or the new, never a part.

    point: beginning of its fail points, `point`-synced, -renamed and -placed.
    """
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with aside.open("wb") as f:
            f.write(data)
            sync_file(f, point)
        put_in_place(aside, path, point)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise


@contextmanager
def disk_errors(root: Path) -> Iterator[None]:
    """What the system says about a file of the base becomes a StoreError; about another file (a source), it stays."""
    try:
        yield
    except OSError as e:
        if isinstance(e, MMKGError) or (e.filename and not Path(os.fsdecode(e.filename)).is_relative_to(root)):
            raise
        raise disk_error(e, root) from e


def disk_error(error: OSError, root: Path) -> StoreError:
    """The named error for what the system said about a file of the base."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        hint = "free some space and run the command again"
    elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        hint = "make sure that you may write there"
    elif error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM):
        hint = "close other programs and run the command again"
    else:
        hint = "check the disk, then run the command again"
    return StoreError(f"cannot use {error.filename or root}: {error.strerror or error}", hint=hint)
