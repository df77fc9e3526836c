"""Files that the current generation does not name: kept a while for readers, then swept; and blobs that nothing refers to."""

from __future__ import annotations

import logging
import os
import time
from contextlib import suppress
from pathlib import Path

from mmkg.errors import StoreError
from mmkg.store.blobs import Blobs
from mmkg.store.durable import failpoint
from mmkg.store.folder.damage import of_later_generation
from mmkg.store.folder.ledger import Generation, Ledger
from mmkg.store.folder.lookups import all_blobs

log = logging.getLogger(__name__)

GRACE_S = 60.0
"""How long files of an older generation stay: a reader that has just read its number must still find them."""


def retire(root: Path, ledger: Ledger, old: Generation) -> None:
    """Start the clock of the files that the new generation left behind: a reader may be about to open them."""
    for name in old.files() - ledger.current().files():
        with suppress(OSError):
            os.utime(root / name)


def sweep(root: Path, ledger: Ledger, blobs: Blobs, *, grace_s: float = GRACE_S) -> None:
    """Delete files of graph/ and index/ that the current generation has not named for grace_s, and half-copied blobs."""
    try:
        found = unlisted(root, ledger, grace_s=grace_s)
    except StoreError:
        return
    for path in found:
        try:
            path.unlink(missing_ok=True)
            failpoint("file-swept")
        except OSError as e:  # a reader on Windows still has it open: the next writer tries again
            log.debug("cannot remove %s yet: %s", path, e)
    blobs.sweep()


def sweep_blobs(ledger: Ledger, blobs: Blobs) -> None:
    """Delete originals and pictures that no document has: put there, or due to go, when a writer was stopped. O(base)."""
    wanted = all_blobs(ledger)
    blobs.delete([sha256 for sha256 in blobs.all() if sha256 not in wanted])


def unlisted(root: Path, ledger: Ledger, *, grace_s: float = GRACE_S) -> list[Path]:
    """Files of graph/ and index/ that the current generation does not name, and has not for grace_s seconds."""
    current = ledger.current()
    named = current.files()
    latest = time.time() - grace_s
    out = []
    for folder in ("graph", "index"):
        for path in sorted((root / folder).iterdir()):
            if grace_s and of_later_generation(path.name, current.no):
                continue  # a sign that the ledger is older than it was: doctor tells of it
            with suppress(FileNotFoundError):
                if f"{folder}/{path.name}" not in named and path.stat().st_mtime <= latest:
                    out.append(path)
    return out


def later_files(root: Path, ledger: Ledger) -> list[str]:
    """Names of files of graph/ and index/ that are of a generation which this ledger never came to."""
    no = ledger.current().no
    return [
        f"{folder}/{path.name}"
        for folder in ("graph", "index")
        for path in sorted((root / folder).iterdir())
        if of_later_generation(path.name, no)
    ]
