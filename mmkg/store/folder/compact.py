"""Compaction: everything that is still there only because it was there once goes, down to the bytes.

A removal hides a document at once; its words can still lie in older index rows, graph deltas, freed pages of the ledger and
its write-ahead log. Compaction writes graph and index anew, in one commit, rebuilds the ledger file (VACUUM) and empties
its log, then deletes every file that the new generation does not name. O(base) time and disk; memory for the graph and
for the index without its vectors.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from mmkg.protocols import ProgressCallback
from mmkg.store.durable import failpoint
from mmkg.store.embedded.graph import KGLiteStore
from mmkg.store.folder import graphrows
from mmkg.store.folder.coming import forget_unclaimed
from mmkg.store.folder.ledger import NAME as LEDGER
from mmkg.store.folder.ledger import Generation, Ledger
from mmkg.store.folder.projection import SegmentWriter
from mmkg.store.folder.writer import FolderWriter
from mmkg.types import Progress

STEPS = ("graph", "index", "ledger", "log", "files")
PARTS = ("ledger", "index", "graph", "blobs", "other")
_TICK = 20_000

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Compaction:
    """What a compaction did.

    before, after: bytes on disk of each of PARTS. held: files of the base that may still hold old bytes because someone
    reads an older state from them; they are rid of them when the last such reader closes the base. holders: numbers of the
    processes that have the ledger open, as far as the system tells (Linux only; not this one).
    """

    before: dict[str, int]
    after: dict[str, int]
    held: tuple[str, ...]
    holders: tuple[int, ...]
    seconds: float


def compact(writer: FolderWriter, *, wait_s: float = 10.0, progress: ProgressCallback | None = None) -> Compaction:
    """Rewrite graph, index and ledger without what is gone; afterwards no file of the base holds removed content.

    wait_s: how long to wait for readers of an older state to move on (a reader does with its next call, or when it closes).
    A kill at any moment leaves a sound base; run it again to finish. Raises StoreError if the disk is full.
    """
    started = time.monotonic()
    before = sizes(writer.root)
    (writer.root / "communities.json").unlink(missing_ok=True)  # names of what may be gone; made anew when asked for
    failpoint("themes-forgotten")
    forget_unclaimed(writer.ledger)
    tell = _Teller(progress)
    writer.mending(lambda: _rewrite(writer, tell))
    tell.step("ledger")
    writer.ledger.vacuum()
    failpoint("ledger-vacuumed")
    tell.step("log")
    emptied = _empty_log(writer.ledger, wait_s)
    tell.step("files")
    _delete_leftovers(writer)
    tell.done()
    held: tuple[str, ...] = ()
    if not emptied:
        held = tuple(n for n in (LEDGER, f"{LEDGER}-wal") if (writer.root / n).exists())
    return Compaction(
        before=before,
        after=sizes(writer.root),
        held=held,
        holders=() if emptied else tuple(holders(writer.root / LEDGER)),
        seconds=time.monotonic() - started,
    )


def sizes(root: Path) -> dict[str, int]:
    """Bytes of the files of a base, by part."""
    out = dict.fromkeys(PARTS, 0)
    for path in root.rglob("*"):
        part = path.relative_to(root).parts[0]
        part = "ledger" if part.startswith(LEDGER) else part if part in PARTS else "other"
        with suppress(FileNotFoundError):
            out[part] += path.stat().st_size if path.is_file() else 0
    return out


def holders(path: Path) -> list[int]:
    """Other processes that have this file open, where the system shows it (/proc)."""
    found = set()
    wanted = str(path.resolve())
    for fd in Path("/proc").glob("[0-9]*/fd/*"):
        with suppress(OSError):
            if os.readlink(fd) == wanted:
                found.add(int(fd.parts[2]))
    return sorted(found - {os.getpid()})


def _rewrite(writer: FolderWriter, tell: _Teller) -> None:
    """Graph and index of the current state as new files, in one commit."""
    ledger = writer.ledger
    with ledger.transaction("compact-committed"):
        old = ledger.current()
        no = old.no + 1
        tell.step("graph", rows=graphrows.count(ledger))
        with closing(KGLiteStore(None)) as graph:
            nodes, edges = tell.counted(graphrows.all_nodes(ledger)), tell.counted(graphrows.all_edges(ledger))
            graph.load(nodes, edges, distinct=True)
            snapshot = writer.save_graph(graph, f"graph/gen-{no}.kgl")
        tell.step("index")
        segments = SegmentWriter(writer.root, ledger, no)
        text, incidence = segments.folded(old.text_segments, old.incidence_segments)
        ledger.put_generation(Generation(no, text, incidence, snapshot, ()))


def _empty_log(ledger: Ledger, wait_s: float) -> bool:
    """Move the write-ahead log into the ledger file and cut it to nothing; False if a reader of an older state is in the way."""
    end = time.monotonic() + wait_s
    while not ledger.empty_log():
        if time.monotonic() >= end:
            return False
        time.sleep(0.05)
    failpoint("log-emptied")
    return True


def _delete_leftovers(writer: FolderWriter) -> None:
    """Files that no generation names, at once: a reader that has one open keeps it, one that has not moves on."""
    writer.sweep(grace_s=0.0)
    writer.sweep_blobs()
    shutil.rmtree(writer.root / "damaged", ignore_errors=True)


class _Teller:
    """Progress: which of the steps, and how far it is where its rows are counted."""

    def __init__(self, progress: ProgressCallback | None) -> None:
        self._progress: Callable[[Progress], None] = progress or (lambda _: None)
        self._step = ""
        self._done = self._rows = 0

    def step(self, name: str, *, rows: int = 0) -> None:
        self._step, self._done, self._rows = name, 0, rows
        self._tell()

    def counted(self, rows: Iterable[_T]) -> Iterator[_T]:
        for row in rows:
            self._done += 1
            if self._done % _TICK == 0:
                self._tell()
            yield row

    def done(self) -> None:
        self._progress(Progress(stage="compact", done=len(STEPS), total=len(STEPS)))

    def _tell(self) -> None:
        item = self._step + (f", {self._done} of {self._rows} rows" if self._rows else "")
        self._progress(Progress(stage="compact", done=STEPS.index(self._step), total=len(STEPS), item=item))
