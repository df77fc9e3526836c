"""The one writer of a base. Facts are staged first; then one commit makes a whole batch visible, or nothing.

Order of a batch: originals by hash -> facts staged (a transaction) -> derived layer, graph delta and new segments
written and synced inside a second transaction -> its COMMIT flips status and generation together. A crash before that
COMMIT leaves the old generation and staged facts, which the next writer publishes without a model call.
"""

from __future__ import annotations

import logging
import re
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from mmkg.errors import NotFoundError, StoreDamagedError, StoreError
from mmkg.protocols import Deriver, ProgressCallback
from mmkg.store import pictures
from mmkg.store.blobs import Blobs
from mmkg.store.changes import Published, SourceChange
from mmkg.store.delta_wire import write_delta
from mmkg.store.durable import disk_errors, failpoint, sync_folder
from mmkg.store.embedded.graph import KGLiteStore
from mmkg.store.folder import derived, graphrows, leftovers, snapshots
from mmkg.store.folder.damage import bad_files, file_sha256, refs_of, set_aside
from mmkg.store.folder.documents import delete_documents, move_sources, stage_beside
from mmkg.store.folder.follower import GraphFollower
from mmkg.store.folder.ledger import FileRef, Generation, Ledger
from mmkg.store.folder.lock import WriterLock
from mmkg.store.folder.migrate import migrate
from mmkg.store.folder.picturerows import LedgerPictures, derive_pictures_anew
from mmkg.store.folder.projection import SegmentWriter
from mmkg.store.folder.staging import Staging
from mmkg.store.manifest import Manifest, is_base, load, mend_copy, refuse_newer, save
from mmkg.types import DocumentFacts, GraphDelta

log = logging.getLogger(__name__)
_T = TypeVar("_T")

# Past this many graph rows in delta files the snapshot is written anew at the end of a run: replaying them would
# otherwise cost every reader of the graph about a second. The same past this many files, each of which a generation names.
SNAPSHOT_ROWS = 20_000

SNAPSHOT_FILES = 256


class FolderWriter(Staging):
    """Holds the writer lock from opening to close()."""

    def __init__(
        self, root: Path, deriver: Deriver, *, create: bool = False, wait_s: float = 0.5, sweep: bool = True
    ) -> None:
        """sweep: first remove what an interrupted run left, and bring an older format up. Raises NotFoundError if there is no base and create is False, StoreLockedError if another process writes."""
        self.root = root
        self.deriver = deriver
        self.blobs = Blobs(root / "blobs")
        self.ledger: Ledger
        self._follower: GraphFollower | None = None
        with disk_errors(root):
            if create:
                _make_folders(root)
            elif not is_base(root):
                raise NotFoundError(f"no knowledge base in {root}", hint="`mmkg add PATH` makes one")
            self._lock = WriterLock(root, wait_s=wait_s)
            self._open(sweep)

    def _open(self, sweep: bool) -> None:
        root = self.root
        try:
            if is_base(root):
                self.ledger = Ledger.open(root, writable=True)
                refuse_newer(root)
                if not sweep:
                    with suppress(NotFoundError, StoreDamagedError):  # what is in the way is told by whoever looks
                        migrate(root, self.ledger)
            else:
                self.ledger = Ledger.create(root, Manifest().text())
            if sweep:
                self.bring_up()
                self.sweep()
                if bad := bad_files(root, self.ledger.current(), hashes=False):
                    log.warning("%s: %s; graph and index are made anew", root, ", ".join(sorted(bad)))
                    self.rebuild()
                if self._lock.unclean:
                    self.sweep_blobs()
                    self._lock.unclean = False
        except BaseException:
            self.close()
            raise

    def bring_up(self) -> None:
        """Bring a base of an older format to this one, and manifest.json to what the ledger says."""
        migrate(self.root, self.ledger)
        mend_copy(self.root, self.ledger)

    def close(self) -> None:
        if self._follower is not None:
            self._follower.close()
            self._follower = None
        if hasattr(self, "ledger"):
            self.ledger.close()
        self._lock.release()

    def __enter__(self) -> FolderWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        self._lock.unclean |= error is not None and not isinstance(error, NotFoundError)
        self.close()
        if error is not None:  # what the disk said in the middle of the work gets a name and a hint
            if isinstance(error, sqlite3.Error):
                raise self.ledger.named(error) from error
            with disk_errors(self.root):
                raise error

    # ---- manifest ----

    @property
    def manifest(self) -> Manifest:
        return load(self.root, self.ledger)

    def set_manifest(self, manifest: Manifest) -> None:
        save(self.root, self.ledger, manifest)

    # ---- publishing ----

    def publish(self, changes: Sequence[SourceChange]) -> Published:
        """Make the changes of sources, and what follows from them for documents, visible in one commit.

        Cost: the documents that come and go, and the units whose derivation they change; not the base.
        """
        return self.mending(lambda: self._publish(changes, republish=()))

    def republish(self, documents: Sequence[str]) -> Published:
        """Write the index rows of visible documents again (they have new model output), in one commit."""
        return self.mending(lambda: self._publish((), republish=documents))

    def mending(self, step: Callable[[], _T]) -> _T:
        """Do a step; if a file of graph or index that it needs is damaged, make them anew from the ledger and do it again."""
        try:
            return step()
        except StoreDamagedError as e:
            bad = bad_files(self.root, self.ledger.current(), hashes=True)
            if not bad:
                raise
            log.warning("%s; graph and index are made anew", e)
            self.rebuild()
            return step()

    def replace_facts(
        self,
        document: str,
        facts: DocumentFacts,
        outputs: Mapping[tuple[bytes, str], np.ndarray[Any, Any]],
    ) -> Published:
        """Give a visible document other facts (words were recognised in it) in one commit; its bytes and sources stay."""
        return self._publish((), republish=(), replace=(document, facts, outputs))

    def _publish(
        self,
        changes: Sequence[SourceChange],
        *,
        republish: Sequence[str],
        replace: tuple[str, DocumentFacts, Mapping[tuple[bytes, str], np.ndarray[Any, Any]]] | None = None,
    ) -> Published:
        failpoint("publish-begin")
        ledger = self.ledger
        with ledger.transaction("publish-committed"):
            touched = move_sources(ledger, changes)
            states = {
                id_: (no, state)
                for no, id_, state in ledger.rows_in("SELECT no, id, state FROM document WHERE id IN {in}", touched)
            }
            has_source = {
                d for (d,) in ledger.rows_in("SELECT DISTINCT document FROM source WHERE document IN {in}", touched)
            }
            added = sorted(no for id_, (no, state) in states.items() if id_ in has_source and state == "staged")
            gone = sorted(no for id_, (no, state) in states.items() if id_ not in has_source and state == "visible")
            dropped = [no for id_, (no, state) in states.items() if id_ not in has_source and state == "staged"]
            moved = [id_ for id_, (_, state) in states.items() if id_ in has_source and state == "visible"]
            again = [n for (n,) in ledger.rows_in("SELECT no FROM document WHERE id IN {in}", republish)]
            deleted = [node for no in gone for node in graphrows.removed_nodes(ledger, no)]
            if replace is not None:
                row = ledger.one("SELECT no FROM document WHERE id = ?", (replace[0],))
                deleted += graphrows.removed_nodes(ledger, row[0]) if row else []
                before, after = stage_beside(ledger, *replace)
                gone.append(before)
                added.append(after)
            units_gone = {u for no in gone for (u,) in ledger.rows("SELECT no FROM unit WHERE document = ?", (no,))}
            old = ledger.current()
            no = old.no + 1
            deltas = list(old.graph_deltas)
            segments = SegmentWriter(self.root, ledger, no)
            segments.add_documents(again)
            changed: set[int] = set()
            entities_gone: set[str] = set()
            # Most publications are one step; a long text comes in in one for each of its parts.
            for n, step in enumerate(derived.steps(ledger, self.deriver, added=added, removed=gone)):
                failpoint("derived-written")
                delta = graphrows.delta(
                    ledger,
                    step,
                    deleted=deleted if n == 0 else (),
                    moved=moved if n == 0 else (),
                    removed_units=units_gone,
                )
                deltas += self._write_delta(f"graph/delta-{no}{f'-{n}' if n else ''}.jsonl.gz", delta)
                failpoint("graph-written")
                segments.add_units([row for part in step.added for row in segments.unit_rows(part)])
                segments.add_incidence(u for u in step.change.units if u not in units_gone)
                failpoint("segment-written")
                changed |= step.change.units.keys()
                entities_gone |= step.change.gone
            ledger.db.executemany("UPDATE document SET state = 'visible' WHERE no = ?", [(d,) for d in added])
            seen = pictures.apply(
                LedgerPictures(ledger),
                self.deriver,
                added=added,
                removed=gone,
                touched=again,
                changed=changed - units_gone,
                gone=entities_gone,
            )
            deltas += self._write_delta(f"graph/delta-{no}-{n + 1}.jsonl.gz", seen.delta())
            ledger.db.executemany("INSERT OR IGNORE INTO dead VALUES (?)", [(u,) for u in sorted(units_gone)])
            published = Published(
                no,
                [id_ for id_, (n, _) in states.items() if n in set(added)],
                [id_ for id_, (n, _) in states.items() if n in set(gone)],
            )
            orphans = delete_documents(ledger, [*gone, *dropped])
            text, incidence = segments.merged(old.text_segments, old.incidence_segments)
            ledger.put_generation(Generation(no, text, incidence, old.graph_snapshot, tuple(deltas)))
            failpoint("generation-row")
        leftovers.retire(self.root, self.ledger, old)
        self.blobs.delete(orphans)
        self.sweep()
        failpoint("swept")
        self._follow()
        return published

    def _write_delta(self, name: str, delta: GraphDelta) -> tuple[FileRef, ...]:
        rows = len(delta.delete_nodes) + len(delta.delete_edges) + len(delta.nodes) + len(delta.edges)
        if not rows:
            return ()
        write_delta(self.root / name, delta)
        return (self._file_ref(name, rows),)

    def _file_ref(self, name: str, rows: int = 0) -> FileRef:
        return FileRef(name, file_sha256(self.root / name), rows, (self.root / name).stat().st_size)

    # ---- upkeep ----

    def finish(self, progress: ProgressCallback | None = None) -> None:
        """End of a run: fold a long row of graph deltas into the snapshot, so that opening the graph stays quick."""
        if _long(self.ledger.current().graph_deltas):
            self.snapshot(progress)

    def snapshot(self, progress: ProgressCallback | None = None) -> None:
        """Write the graph of the current generation as one file and commit it in the deltas' place; see snapshots.take."""
        follower, self._follower = self._follower, None
        snapshots.take(self, follower, progress)

    def _follow(self) -> None:
        """Once a snapshot is due at the end of the run, let an engine work towards it meanwhile."""
        now = self.ledger.current()
        if self._follower is None:
            if _long(now.graph_deltas):
                self._follower = GraphFollower(self.root, now)
        elif not self._follower.follow(now):
            self._follower.close()
            self._follower = None

    def commit_snapshot(self, graph: KGLiteStore, old: Generation) -> None:
        """Save the graph of the current generation, `old`, and name the file in its deltas' place."""
        no = old.no + 1
        name = f"graph/gen-{no}.kgl"
        ref = self.save_graph(graph, name)
        with self.ledger.transaction("snapshot-committed"):
            self.ledger.put_generation(Generation(no, old.text_segments, old.incidence_segments, ref, ()))
        leftovers.retire(self.root, self.ledger, old)
        self.sweep()

    def save_graph(self, graph: KGLiteStore, name: str) -> FileRef:
        graph.save(self.root / name)
        failpoint("snapshot-written")
        sync_folder(self.root / "graph")  # as kglite 0.21.2 does: a promise must not hang on its next version
        failpoint("snapshot-placed")
        return self._file_ref(name)

    def sweep(self, *, grace_s: float = leftovers.GRACE_S) -> None:
        """Delete files that no generation has named for grace_s seconds, and half-copied blobs."""
        leftovers.sweep(self.root, self.ledger, self.blobs, grace_s=grace_s)

    def sweep_blobs(self) -> None:
        """Delete originals and pictures that no document has. O(base)."""
        leftovers.sweep_blobs(self.ledger, self.blobs)

    def forget_spaces(self, spaces: Sequence[str]) -> bool:
        """Forget all model output of these spaces, and rebuild what was found by it; False if no visible document had any."""
        its = "SELECT key FROM output WHERE space IN {in}"
        found = self.visible_with([key for (key,) in self.ledger.rows_in(its, spaces)])
        if found:  # what hangs on vectors in the derived layer cannot be found by vectors that are gone
            self.rebuild(first=lambda: self.drop_outputs(spaces))
        else:
            with self.ledger.transaction("outputs-kept"):
                self.drop_outputs(spaces)
        return found

    def rebuild(
        self,
        progress: Callable[[int, int], None] | None = None,
        *,
        unreadable_graph: bool = False,
        first: Callable[[], object] | None = None,
    ) -> None:
        """Derived layer, graph and index anew from the facts; no model is called. O(base).

        Damaged files of the old ones are moved aside; with unreadable_graph all of the old graph, if no hash tells which file.
        first: done before, in the same transaction.
        """
        ledger = self.ledger
        before = ledger.current()
        bad = set(bad_files(self.root, before, hashes=True))
        if unreadable_graph and not any(name.startswith("graph/") for name in bad):
            bad |= {r.name for r in refs_of(before) if r.name.startswith("graph/")}
        with ledger.transaction("rebuild-committed"):
            if first is not None:
                first()
            for _ in derived.derive_from_scratch(ledger, self.deriver):
                pass
            derive_pictures_anew(ledger, self.deriver)
            failpoint("rebuild-cleared")
            ledger.db.execute("DELETE FROM dead")
            old = ledger.current()
            no = old.no + 1
            segments = SegmentWriter(self.root, ledger, no)
            documents = [n for (n,) in ledger.rows("SELECT no FROM document WHERE state = 'visible' ORDER BY no")]
            for i in range(0, len(documents), 1000):
                part = documents[i : i + 1000]
                segments.add_documents(part)
                segments.add_incidence(u for (u,) in ledger.rows_in("SELECT no FROM unit WHERE document IN {in}", part))
                if progress:
                    progress(min(i + 1000, len(documents)), len(documents))
            with closing(KGLiteStore(None)) as graph:
                graph.load(graphrows.all_nodes(ledger), graphrows.all_edges(ledger), distinct=True)
                name = f"graph/gen-{no}.kgl"
                ref = self.save_graph(graph, name)
            text, incidence = segments.merged((), ())
            ledger.put_generation(Generation(no, text, incidence, ref, ()))
        set_aside(self.root, sorted(bad))
        leftovers.retire(self.root, self.ledger, old)
        self.sweep()


def _long(deltas: Sequence[FileRef]) -> bool:
    """Whether it is time to fold these into a snapshot."""
    return sum(r.rows for r in deltas) > SNAPSHOT_ROWS or len(deltas) > SNAPSHOT_FILES


# What a start that was killed before its ledger was there can leave: these names, the folders empty.
_OWN = re.compile(r"blobs|graph|index|ledger\.sqlite(-\w+)?|writer\.(lock|pid)|\.?manifest\.json.+")


def _make_folders(root: Path) -> None:
    """Raises StoreError for a folder that is no base and holds other things: sweep() would take them for leftovers."""
    if root.is_dir() and not is_base(root):
        for path in sorted(root.iterdir()):
            if not _OWN.fullmatch(path.name) or (path.is_dir() and any(path.iterdir())):
                raise StoreError(
                    f"{root} is no knowledge base and holds {path.name}", hint="name a new or empty folder"
                )
    fresh = not root.is_dir()
    for folder in (root, root / "blobs", root / "graph", root / "index"):
        folder.mkdir(parents=True, exist_ok=True)
    if fresh:
        sync_folder(root.parent)
        failpoint("base-folder-made")
