"""Damaged files of graph and index: found, moved aside, never deleted. They are projections: the ledger makes them again.

When they are looked at: a reader hashes each index and graph file once, when it first opens it; a merge and a snapshot hash
what they read; every writer looks at names and sizes when it opens (O(files)); doctor, rebuild and mending hash all.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
from pathlib import Path

from mmkg.errors import StoreDamagedError
from mmkg.store.durable import failpoint, sync_folder
from mmkg.store.folder.ledger import FileRef, Generation

FOLDER = "damaged"
"""Where damaged files lie, until `mmkg compact` deletes them."""

_NUMBER = re.compile(r"(?:text|inc|gen|delta)-(\d+)\D.*")
log = logging.getLogger(__name__)


def file_sha256(path: Path) -> str:
    with path.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def refs_of(generation: Generation) -> list[FileRef]:
    """All files of a generation."""
    refs = [*generation.text_segments, *generation.incidence_segments, *generation.graph_deltas]
    return refs + ([generation.graph_snapshot] if generation.graph_snapshot else [])


def bad_files(root: Path, generation: Generation, *, hashes: bool) -> dict[str, str]:
    """Name -> "missing" or "damaged" of the files that are not as recorded. hashes: read them all, else their sizes only."""
    out = {}
    for ref in refs_of(generation):
        path = root / ref.name
        try:
            size = path.stat().st_size if path.is_file() else -1
            if size < 0:
                out[ref.name] = "missing"
            elif (ref.size and size != ref.size) or (hashes and file_sha256(path) != ref.sha256):
                out[ref.name] = "damaged"
        except FileNotFoundError:
            out[ref.name] = "missing"
        except OSError as e:
            log.warning("%s cannot be read: %s", path, e)
            out[ref.name] = "damaged"
    return out


def check_file(root: Path, ref: FileRef) -> None:
    """Raises StoreDamagedError unless the file is there with the bytes that were written. Reads it once."""
    try:
        same = file_sha256(root / ref.name) == ref.sha256
    except OSError as e:
        raise StoreDamagedError(f"{ref.name} cannot be read: {e}", hint="run `mmkg doctor --fix`") from e
    if not same:
        raise StoreDamagedError(f"{ref.name} has other bytes than were written", hint="run `mmkg doctor --fix`")


def set_aside(root: Path, names: list[str]) -> None:
    """Move files to damaged/, under a name that is free there. Those that are not there are passed over."""
    folder = root / FOLDER
    for name in names:
        path = root / name
        if not path.exists():
            continue
        folder.mkdir(exist_ok=True)
        target, n = folder / path.name, 1
        while target.exists():
            target, n = folder / f"{path.name}.{n}", n + 1
        os.replace(path, target)
        failpoint("damaged-set-aside")
        log.warning("%s is damaged, or of a lost generation: kept as %s", name, target)
    if folder.exists():
        sync_folder(folder)
        failpoint("damaged-placed")


def of_later_generation(name: str, current: int) -> bool:
    """Whether a file of graph/ or index/ was written for a generation that this ledger never came to.

    A killed writer leaves files of the next one; those past it mean that the ledger is older than its files: it was put back
    alone, or its log is lost.
    """
    number = _NUMBER.fullmatch(name)
    return number is not None and int(number[1]) > current + 1


def of_earlier_generation(name: str, current: int) -> bool:
    """Whether a file of graph/ or index/ was written for this generation or one before: if it is not named, its time is over.

    It stays for readers that may just be opening it, and the next writer deletes it.
    """
    number = _NUMBER.fullmatch(name)
    return number is not None and int(number[1]) <= current
