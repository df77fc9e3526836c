"""The one writer of a base. Facts are staged first; then one commit makes a whole batch visible, or nothing.

Order of a batch: originals by hash -> facts staged (a transaction) -> derived layer, graph delta and new segments
written and synced inside a second transaction -> its COMMIT flips status and generation together. A crash before that
COMMIT leaves the old generation and staged facts, which the next writer publishes without a model call.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from mmkg.errors import NotFoundError, StoreDamagedError, StoreError
from mmkg.longfacts import LongFacts
from mmkg.protocols import Deriver, ProgressCallback
from mmkg.store import pictures
from mmkg.store.folder import derived, graphrows, snapshots
from mmkg.store.folder.blobs import Blobs
from mmkg.store.folder.damage import bad_files, file_sha256, of_later_generation, refs_of, set_aside
from mmkg.store.folder.durable import disk_errors, failpoint, sync_folder
from mmkg.store.folder.engine import KGLiteStore
from mmkg.store.folder.engine_wire import write_delta
from mmkg.store.folder.facts import put_outputs, stage
from mmkg.store.folder.follower import GraphFollower
from mmkg.store.folder.ledger import FileRef, Generation, Ledger
from mmkg.store.folder.lock import WriterLock
from mmkg.store.folder.lookups import PARTLY, STAGED, LedgerLookups, all_blobs
from mmkg.store.folder.manifest import Manifest, is_base, load, mend_copy, refuse_newer, save
from mmkg.store.folder.migrate import migrate
from mmkg.store.folder.parts import begin, finish, put, set_meta
from mmkg.store.folder.picturerows import LedgerPictures, derive_pictures_anew
from mmkg.store.folder.projection import SegmentWriter
from mmkg.texts import file_name_words
from mmkg.types import LANGUAGES, Cue, DocumentFacts, GraphDelta, languages_of, pack_ordinals

log = logging.getLogger(__name__)
_T = TypeVar("_T")

# Past this many graph rows in delta files the snapshot is written anew at the end of a run: replaying them would
# otherwise cost every reader of the graph about a second. The same past this many files, each of which a generation names.
SNAPSHOT_ROWS = 20_000

GRACE_S = 60.0
"""How long files of an older generation stay: a reader that has just read its number must still find them."""
SNAPSHOT_FILES = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceChange:
    """A source that now has this document (id), or, with document None, has none any more.

    drop: the source itself leaves the list. status, reason, size, mtime_ns: as `list` shows them.
    """

    uri: str
    document: str | None
    status: str = "added"
    reason: str = ""
    size: int = 0
    mtime_ns: int = 0
    drop: bool = False


@dataclass(slots=True)
class Published:
    """What one publication did: document ids that came and went.

    unchanged: URIs that another writer had pointed at the same document meanwhile. lost: URIs whose document another writer
    had removed meanwhile. A folder has one writer: there both are empty.
    """

    generation: int
    added: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    unchanged: set[str] = field(default_factory=set)
    lost: set[str] = field(default_factory=set)


class FolderWriter(LedgerLookups):
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

    # ---- staging ----

    def stage(
        self,
        document: str,
        facts: DocumentFacts,
        *,
        n_bytes: int,
        uris: Iterable[str],
        original: Path | bytes | None,
        media: Mapping[str, bytes | Path],
        outputs: Mapping[tuple[bytes, str], np.ndarray[Any, Any]],
    ) -> None:
        """Keep a document's bytes, facts and model output durably, not yet visible.

        original, and each of media: the file, or its bytes; None for an original that is lost. Raises StoreDamagedError if the file changed since it was hashed.
        """
        if original is not None:
            self.blobs.put(original, document)
        for sha256, data in media.items():
            self.blobs.put(data, sha256)
        with self.ledger.transaction("facts-staged"):
            stage(self.ledger, document, facts, n_bytes=n_bytes)
            put_outputs(self.ledger, outputs)
            self._await(document, uris)

    def stage_parts(
        self,
        document: str,
        facts: LongFacts,
        parts: Iterable[tuple[DocumentFacts, Mapping[tuple[bytes, str], np.ndarray[Any, Any]]]],
        *,
        n_bytes: int,
        uris: Iterable[str],
        original: Path,
    ) -> None:
        """As stage, for a long text: each of `parts` (with names, and its model output) is kept before the next is asked for.

        What a stopped run left of the document is forgotten first, but for model output. Raises StoreDamagedError if the file
        changed since it was hashed.
        """
        self.blobs.put(original, document)
        with self.ledger.transaction("facts-staged"):
            rows = self.ledger.rows(f"SELECT no FROM document d WHERE id = ? AND {PARTLY}", (document,))
            self._delete_documents([no for (no,) in rows], keep_outputs=True)
            no = begin(self.ledger, document, facts, n_bytes=n_bytes)
        languages: dict[int, str] = {}
        for part, outputs in parts:
            languages |= {o: language for language, held in languages_of(part.meta).items() for o in held}
            with self.ledger.transaction("facts-staged"):
                put(self.ledger, no, document, part, facts)
                put_outputs(self.ledger, outputs)
        with self.ledger.transaction("facts-staged"):
            if languages:
                set_meta(
                    self.ledger, no, dict(sorted({**facts.head.meta, LANGUAGES: pack_ordinals(languages)}.items()))
                )
            finish(self.ledger, no)
            self._await(document, uris)

    def kept_outputs(self, keys: Sequence[bytes], space: str) -> set[bytes]:
        """Those of these content keys for which model output of a space is kept."""
        sql = "SELECT key FROM output WHERE space = ? AND key IN {in}"
        return {key for (key,) in self.ledger.rows_in(sql, keys, (space,))}

    def _await(self, document: str, uris: Iterable[str]) -> None:
        self.ledger.db.executemany(
            "INSERT INTO source VALUES (?, NULL, ?, 'pending', '', 0, 0) "
            "ON CONFLICT (uri) DO UPDATE SET pending = excluded.pending",
            [(uri, document) for uri in uris],
        )

    def add_outputs(self, outputs: Mapping[tuple[bytes, str], np.ndarray[Any, Any]]) -> None:
        """Keep model output for facts that are already here."""
        with self.ledger.transaction("outputs-kept"):
            put_outputs(self.ledger, outputs)

    def drop_space(self, space: str) -> list[str]:
        """Forget all model output of a space; returns the documents that had some. The index has it until they are published again."""
        with self.ledger.transaction("outputs-kept"):
            keys = [key for (key,) in self.ledger.rows("SELECT key FROM output WHERE space = ?", (space,))]
            self.ledger.db.execute("DELETE FROM output WHERE space = ?", (space,))
        sql = "SELECT DISTINCT d.id FROM unit u JOIN document d ON d.no = u.document WHERE d.state = 'visible' AND u."
        found = {d for (d,) in self.ledger.rows_in(sql + "media IN {in}", [key.hex() for key in keys])}
        found |= {d for (d,) in self.ledger.rows_in(sql + "key IN {in}", keys)}
        return sorted(found)

    def put_heard(self, recording: str, model: str, span: tuple[int, int], words: Sequence[Cue]) -> None:
        """Keep what a model heard in a clip of a recording (its sha256), durably: it is not heard again after a stop."""
        rows = json.dumps([(c.start_ms, c.end_ms, c.text) for c in words], ensure_ascii=False, separators=(",", ":"))
        with self.ledger.transaction("outputs-kept"):
            self.ledger.db.execute(
                "INSERT OR REPLACE INTO heard VALUES (?, ?, ?, ?, ?)", (recording, model, *span, rows)
            )

    def set_reason(self, document: str, old: str, new: str) -> None:
        """Change the reason of a document's sources where it is `old`."""
        with self.ledger.transaction("sources-noted"):
            self.ledger.db.execute(
                "UPDATE source SET reason = ? WHERE document = ? AND reason = ?", (new, document, old)
            )

    def set_meta(self, metas: Mapping[str, Mapping[str, str]]) -> None:
        """Give visible documents (by id) other properties, as a new generation with the same files. No model is called.

        Cost: reading the facts of these documents, for their hash.
        """
        with self.ledger.transaction("sources-noted"):
            rows = self.ledger.rows_in("SELECT id, no FROM document WHERE state = 'visible' AND id IN {in}", metas)
            for id_, no in list(rows):
                set_meta(self.ledger, no, metas[id_])
            old = self.ledger.current()
            self.ledger.put_generation(replace(old, no=old.no + 1))

    def note_sources(self, changes: Sequence[SourceChange]) -> None:
        """Record statuses that change no document: failed, rejected, skipped, unchanged."""
        with self.ledger.transaction("sources-noted"):
            for c in changes:
                self.ledger.db.execute(
                    "INSERT INTO source VALUES (?, NULL, NULL, ?, ?, ?, ?) ON CONFLICT (uri) DO UPDATE SET "
                    "status = excluded.status, reason = excluded.reason, size = excluded.size, "
                    "mtime_ns = excluded.mtime_ns, pending = NULL",
                    (c.uri, c.status, c.reason, c.size, c.mtime_ns),
                )

    def drop_unclaimed(self) -> None:
        """Forget staged documents that no source waits for any more (their file changed again before they came in), and
        long ones of which only a part came."""
        with self.ledger.transaction("unclaimed-dropped"):
            rows = self.ledger.rows(
                f"SELECT no FROM document d WHERE {STAGED} AND NOT EXISTS (SELECT 1 FROM source s WHERE s.pending = d.id) "
                f"UNION ALL SELECT no FROM document d WHERE {PARTLY}"
            )
            orphans = self._delete_documents([no for (no,) in rows])
        self.blobs.delete(orphans)

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

    def _stage_beside(
        self, document: str, facts: DocumentFacts, outputs: Mapping[tuple[bytes, str], np.ndarray[Any, Any]]
    ) -> tuple[int, int]:
        """Numbers of a document's rows as they were and as they shall be. The old ones get out of the way of its ids."""
        db = self.ledger.db
        row = self.ledger.one("SELECT no, n_bytes FROM document WHERE id = ? AND state = 'visible'", (document,))
        if row is None:
            raise NotFoundError(f"no document {document}")
        aside = document[::-1]  # no document has it, and it is a hash in form, as what deletes rows expects
        db.execute("UPDATE document SET id = ? WHERE no = ?", (aside, row[0]))
        db.execute("UPDATE unit SET id = ? || substr(id, ?) WHERE document = ?", (aside, len(document) + 1, row[0]))
        new = stage(self.ledger, document, facts, n_bytes=row[1])
        put_outputs(self.ledger, outputs)
        return row[0], new

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
            touched = self._move_sources(changes)
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
                before, after = self._stage_beside(*replace)
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
            orphans = self._delete_documents([*gone, *dropped])
            text, incidence = segments.merged(old.text_segments, old.incidence_segments)
            ledger.put_generation(Generation(no, text, incidence, old.graph_snapshot, tuple(deltas)))
            failpoint("generation-row")
        self._retire(old)
        self.blobs.delete(orphans)
        self.sweep()
        failpoint("swept")
        self._follow()
        return published

    def _move_sources(self, changes: Sequence[SourceChange]) -> set[str]:
        """Point sources at their documents; returns the ids of all documents that won or lost a source."""
        db = self.ledger.db
        touched: set[str] = set()
        for c in changes:
            row = self.ledger.one("SELECT document, pending FROM source WHERE uri = ?", (c.uri,))
            touched |= {d for d in (row or ()) if d} | ({c.document} if c.document else set())
            if c.drop:
                db.execute("DELETE FROM source WHERE uri = ?", (c.uri,))
                db.execute("DELETE FROM source_word WHERE uri = ?", (c.uri,))
                continue
            db.execute(
                "INSERT INTO source VALUES (?, ?, NULL, ?, ?, ?, ?) ON CONFLICT (uri) DO UPDATE SET "
                "document = excluded.document, pending = NULL, status = excluded.status, reason = excluded.reason, "
                "size = excluded.size, mtime_ns = excluded.mtime_ns",
                (c.uri, c.document, c.status, c.reason, c.size, c.mtime_ns),
            )
            if row is None or row[0] is None:
                db.executemany(
                    "INSERT OR IGNORE INTO source_word VALUES (?, ?)", [(w, c.uri) for w in file_name_words(c.uri)]
                )
        return touched

    def _write_delta(self, name: str, delta: GraphDelta) -> tuple[FileRef, ...]:
        rows = len(delta.delete_nodes) + len(delta.delete_edges) + len(delta.nodes) + len(delta.edges)
        if not rows:
            return ()
        write_delta(self.root / name, delta)
        return (self._file_ref(name, rows),)

    def _file_ref(self, name: str, rows: int = 0) -> FileRef:
        return FileRef(name, file_sha256(self.root / name), rows, (self.root / name).stat().st_size)

    def _delete_documents(self, numbers: Sequence[int], *, keep_outputs: bool = False) -> list[str]:
        """Delete the rows of documents; returns the hashes of blobs that nothing refers to any more."""
        db, ledger = self.ledger.db, self.ledger
        if not numbers:
            return []
        hashes = {h for (h,) in ledger.rows_in("SELECT id FROM document WHERE no IN {in}", numbers)}
        units = list(ledger.rows_in("SELECT key, media FROM unit WHERE document IN {in}", numbers))
        hashes |= {media for _, media in units if media}
        keys = {key for key, _ in units if key}
        for table in ("unit", "section", "page", "text_part"):
            db.executemany(f"DELETE FROM {table} WHERE document = ?", [(n,) for n in numbers])
        db.executemany("DELETE FROM document WHERE no = ?", [(n,) for n in numbers])
        if keep_outputs:
            return []
        keys -= {k for (k,) in ledger.rows_in("SELECT key FROM unit WHERE key IN {in}", keys)}
        hashes -= {h for (h,) in ledger.rows_in("SELECT id FROM document WHERE id IN {in}", hashes)}
        hashes -= {h for (h,) in ledger.rows_in("SELECT media FROM unit WHERE media IN {in}", hashes)}
        db.executemany("DELETE FROM heard WHERE recording = ?", [(h,) for h in hashes])
        keys |= {bytes.fromhex(h) for h in hashes}
        db.executemany("DELETE FROM output WHERE key = ?", [(k,) for k in keys])
        return sorted(hashes)

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
        self._retire(old)
        self.sweep()

    def save_graph(self, graph: KGLiteStore, name: str) -> FileRef:
        graph.save(self.root / name)
        failpoint("snapshot-written")
        sync_folder(self.root / "graph")  # as kglite 0.21.2 does: a promise must not hang on its next version
        failpoint("snapshot-placed")
        return self._file_ref(name)

    def rebuild(self, progress: Callable[[int, int], None] | None = None, *, unreadable_graph: bool = False) -> None:
        """Derived layer, graph and index anew from the facts; no model is called. O(base).

        Damaged files of the old ones are moved aside; with unreadable_graph all of the old graph, if no hash tells which file.
        """
        ledger = self.ledger
        before = ledger.current()
        bad = set(bad_files(self.root, before, hashes=True))
        if unreadable_graph and not any(name.startswith("graph/") for name in bad):
            bad |= {r.name for r in refs_of(before) if r.name.startswith("graph/")}
        with ledger.transaction("rebuild-committed"):
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
                graph.load(graphrows.all_nodes(ledger), graphrows.all_edges(ledger))
                name = f"graph/gen-{no}.kgl"
                ref = self.save_graph(graph, name)
            text, incidence = segments.merged((), ())
            ledger.put_generation(Generation(no, text, incidence, ref, ()))
        set_aside(self.root, sorted(bad))
        self._retire(old)
        self.sweep()

    def _retire(self, old: Generation) -> None:
        """Start the clock of the files that the new generation left behind: a reader may be about to open them."""
        for name in old.files() - self.ledger.current().files():
            with suppress(OSError):
                os.utime(self.root / name)

    def sweep(self, *, grace_s: float = GRACE_S) -> None:
        """Delete files of graph/ and index/ that the current generation has not named for grace_s, and half-copied blobs."""
        try:
            unlisted = self.unlisted(grace_s=grace_s)
        except StoreError:
            return
        for path in unlisted:
            try:
                path.unlink(missing_ok=True)
                failpoint("file-swept")
            except OSError as e:  # a reader on Windows still has it open: the next writer tries again
                log.debug("cannot remove %s yet: %s", path, e)
        self.blobs.sweep()

    def sweep_blobs(self) -> None:
        """Delete originals and pictures that no document has: put there, or due to go, when a writer was stopped. O(base)."""
        wanted = all_blobs(self.ledger)
        self.blobs.delete([sha256 for sha256 in self.blobs.all() if sha256 not in wanted])

    def unlisted(self, *, grace_s: float = GRACE_S) -> list[Path]:
        """Files of graph/ and index/ that the current generation does not name, and has not for grace_s seconds."""
        current = self.ledger.current()
        named = current.files()
        latest = time.time() - grace_s
        out = []
        for folder in ("graph", "index"):
            for path in sorted((self.root / folder).iterdir()):
                if grace_s and of_later_generation(path.name, current.no):
                    continue  # a sign that the ledger is older than it was: doctor tells of it
                with suppress(FileNotFoundError):
                    if f"{folder}/{path.name}" not in named and path.stat().st_mtime <= latest:
                        out.append(path)
        return out

    def later_files(self) -> list[str]:
        """Names of files of graph/ and index/ that are of a generation which this ledger never came to."""
        no = self.ledger.current().no
        return [
            f"{folder}/{path.name}"
            for folder in ("graph", "index")
            for path in sorted((self.root / folder).iterdir())
            if of_later_generation(path.name, no)
        ]


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
