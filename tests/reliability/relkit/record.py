"""Records the durable steps of a run in the order they happen: syncs, renames, commits, deletions, and the fail points."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def record(root: Path, target: Path) -> None:
    """From here on, this process appends a line for each step below root to target. Cannot be undone."""
    from mmkg.store.embedded.graph import KGLiteStore
    from mmkg.store.folder.ledger import Ledger

    log = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    inside = str(root) + os.sep

    def put(kind: str, what: str) -> None:
        os.write(log, f"{kind}\t{what}\n".encode())

    def hook(event: str, arguments: tuple) -> None:
        if event == "mmkg.failpoint":
            put("point", arguments[0])
        elif event in ("os.rename", "os.remove"):
            path = os.fsdecode(arguments[1] if event == "os.rename" else arguments[0])
            if path.startswith(inside) and not Path(path).name.startswith(("writer.", ".")):
                put(event[3:], path[len(inside) :])

    sys.addaudithook(hook)
    fsync = os.fsync

    def recorded_fsync(fd: int) -> None:
        fsync(fd)
        put("sync", os.readlink(f"/proc/self/fd/{fd}").removeprefix(inside))

    os.fsync = recorded_fsync
    connect = Ledger._connect.__func__

    def recorded_connect(cls, path, *, writable):
        ledger = connect(cls, path, writable=writable)
        if writable:
            ledger.db.set_trace_callback(lambda text: put("commit", "") if text == "COMMIT" else None)
        return ledger

    Ledger._connect = classmethod(recorded_connect)
    save = KGLiteStore.save

    def recorded_save(self, path):
        save(self, path)
        put("save", Path(path).name)

    KGLiteStore.save = recorded_save


def read(target: Path) -> list[tuple[str, str]]:
    """[(kind, what), ...] as recorded."""
    return [tuple(line.split("\t", 1)) for line in target.read_text().splitlines()]
