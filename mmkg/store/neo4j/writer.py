"""A writer of a base on a server. Several may work at once: they stage side by side and commit in turn.

Order of a batch: a document's row in state `staging` -> originals by hash -> its units, in transactions of some hundred rows ->
state `staged`. Then, under the lock of the base, one transaction for derived layer, graph and state `visible`. What a
writer leaves staged when it ends is published by the next run without a model call. A commit whose answer was lost is looked up by
its id before it is tried again, so counts are never added twice.
"""

from __future__ import annotations

import json
import logging
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mmkg.errors import QueryLimitError, StoreError, StoreLockedError, StoreUnavailableError
from mmkg.protocols import Deriver, ProgressCallback
from mmkg.reasons import reason
from mmkg.schema import PAGE_MARK
from mmkg.store import derivation
from mmkg.store.changes import Published, SourceChange
from mmkg.store.durable import failpoint
from mmkg.store.manifest import Manifest
from mmkg.store.neo4j import base
from mmkg.store.neo4j.coming import settle
from mmkg.store.neo4j.commit import (
    Outcome,
    Outputs,
    delete_documents,
    forget,
    graph_delta,
    output_rows,
    publish,
    put_outputs,
    put_units,
    read_document,
    record,
    replace_facts,
    see,
    source_row,
)
from mmkg.store.neo4j.connection import Connection, Runner
from mmkg.store.neo4j.facts import document_row, unit_rows
from mmkg.store.neo4j.graph import apply_delta, delete_graph
from mmkg.store.neo4j.lookups import ServerLookups
from mmkg.store.neo4j.media import Media
from mmkg.store.neo4j.rows import ServerRows
from mmkg.store.neo4j.searchrows import SearchRows
from mmkg.types import Cue, DocumentFacts, Span

log = logging.getLogger(__name__)

_UNITS = 200
"""Units a transaction of staging."""
_CHANGES = 100
"""Sources a commit: a removal of a thousand documents is ten commits."""
_ATTEMPTS = 4
_TOO_LARGE = "is more than one transaction of the server may hold"
_MORE_MEMORY = "raise db.memory.transaction.max (docs/neo4j.md says how much), then run the command again"
_STALE_MS = 3_600_000
"""How long a document may stay in state `staging` before another writer takes it for abandoned."""


class ServerWriter(ServerLookups):
    """Holds no lock between its calls."""

    def __init__(self, connection: Connection, media: Media, deriver: Deriver, *, create: bool = False) -> None:
        """Raises NotFoundError if there is no base and create is False, StoreError for foreign nodes in the database.

        create: also that something will be staged; ConfigError where the address names no media for it.
        """
        self.connection, self.blobs, self.deriver = connection, media, deriver
        if create:
            media.check()
        self.row = base.find(connection) or (base.make(connection) if create else base.need(connection))
        self.search = SearchRows(connection)
        self._was_empty = self.row.generation == 0

    def close(self) -> None:
        """Nothing is held; the connection belongs to whoever opened it."""

    def __enter__(self) -> ServerWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ---- manifest ----

    @property
    def manifest(self) -> Manifest:
        return base.need(self.connection).manifest

    def set_manifest(self, manifest: Manifest) -> None:
        base.set_manifest(self.connection, manifest)

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
        outputs: Outputs,
    ) -> None:
        """Keep a document's bytes, facts and model output durably, not yet visible.

        original, and each of media: the file, or its bytes; None for an original that is lost. Two writers that stage the
        same document write the same rows. Raises StoreDamagedError if the file changed.
        """
        row = document_row(document, facts, n_bytes=n_bytes)
        self.connection.write(lambda tx: _begin(tx, document))
        blobs = {**({} if original is None else {document: original}), **media}
        for sha256, data in blobs.items():
            self.blobs.put(data, sha256)
        units = list(unit_rows(document, facts))
        for i in range(0, len(units), _UNITS):
            part = units[i : i + _UNITS]
            self.connection.write(lambda tx, part=part: put_units(tx, part))  # type: ignore[misc]
        self.add_outputs(outputs)
        claims = list(uris)
        self.connection.write(lambda tx: _end(tx, row, claims))
        failpoint("facts-staged")

    def add_outputs(self, outputs: Outputs) -> None:
        """Keep model output for facts that are, or will be, here."""
        rows = output_rows(outputs)
        for i in range(0, len(rows), _UNITS):
            part = rows[i : i + _UNITS]
            self.connection.write(lambda tx, part=part: put_outputs(tx, part))  # type: ignore[misc]

    def put_heard(self, recording: str, model: str, span: Span, words: Sequence[Cue]) -> None:
        """Keep what a model heard in a clip of a recording (its sha256): it is not heard again after a stop."""
        row = {
            "_id": f"{recording} {model} {span[0]} {span[1]}",
            "_recording": recording,
            "_model": model,
            "_start": span[0],
            "_end": span[1],
            "_words": json.dumps([(c.start_ms, c.end_ms, c.text) for c in words]),
        }
        text = "MERGE (h:_Heard {_id: $row._id}) SET h = $row"
        self.connection.write(lambda tx: tx.run(text, row=row).consume())

    def set_reason(self, document: str, old: str, new: str) -> None:
        """Change the reason of a document's sources where it is `old`."""
        text = "MATCH (s:_Source {_document: $id}) WHERE s._reason = $old SET s._reason = $new"
        self.connection.write(lambda tx: tx.run(text, id=document, old=old, new=new).consume())

    def set_meta(self, metas: Mapping[str, Mapping[str, str]]) -> None:
        """Give visible documents (by id) other properties, as a new generation of the same arrays. No model is called."""

        def work(tx: Runner) -> None:
            base.lock(tx)
            for id_, meta in metas.items():
                facts = replace(read_document(tx, id_), meta=dict(meta))
                row = document_row(id_, facts, n_bytes=0)
                text = "MATCH (d:_Document {_id: $id, _state: 'visible'}) SET d._head = $head, d._hash = $hash"
                tx.run(text, id=id_, head=row["_head"], hash=row["_hash"]).consume()
            tx.run("MATCH (s:_Store {_name: 'base'}) SET s._generation = s._generation + 1").consume()

        self.connection.write(work)

    def note_sources(self, changes: Sequence[SourceChange]) -> None:
        """Record statuses that change no document: failed, rejected, skipped, unchanged."""
        rows = [source_row(c) for c in changes]
        text = "UNWIND $rows AS r MERGE (s:_Source {_uri: r._uri}) SET s += r, s._pending = null"
        self.connection.write(lambda tx: tx.run(text, rows=rows).consume())

    def drop_unclaimed(self) -> None:
        """Forget staged documents that no source waits for any more, and those whose writer ended long ago."""
        text = (
            "MATCH (d:_Document) WHERE d._state IN ['staged', 'staging'] "
            "AND (d._state = 'staged' OR d._since < timestamp() - $stale) "
            "AND NOT EXISTS { MATCH (s:_Source {_pending: d._id}) } RETURN d._id AS id"
        )

        def work(tx: Runner) -> list[str]:
            base.lock(tx)
            return delete_documents(tx, [row["id"] for row in tx.run(text, stale=_STALE_MS).data()])

        self.drop_blobs(self.connection.write(work))

    # ---- publishing ----

    def publish(self, changes: Sequence[SourceChange]) -> Published:
        """Make the changes of sources, and what follows from them for documents, visible: a commit for each hundred sources.

        Raises ConfigError, before anything is changed, where the address names no media: those of what goes are deleted.
        """
        if changes:
            self.blobs.check()
        return self._in_turn(changes, ())

    def republish(self, documents: Sequence[str]) -> Published:
        """Have readers fetch the arrays of visible documents again (they have new model output)."""
        return self._in_turn((), documents)

    def replace_facts(self, document: str, facts: DocumentFacts, outputs: Outputs) -> Published:
        """Give a visible document other facts (words were recognised in it) in one commit; its bytes and sources stay.

        Nothing happens if another writer has given it these meanwhile. Raises NotFoundError, ConfigError as `publish`.
        """
        self.blobs.check()
        outcome = self._commit(
            lambda tx, generation: replace_facts(tx, self.deriver, generation, document, facts, outputs, self.search)
        )
        self.drop_blobs(outcome.orphans)
        return outcome.published

    def _in_turn(self, changes: Sequence[SourceChange], republish: Sequence[str]) -> Published:
        total = Published(0)
        parts: list[tuple[Sequence[SourceChange], Sequence[str]]] = [
            (changes[i : i + _CHANGES], ()) for i in range(0, len(changes), _CHANGES)
        ]
        parts += [((), republish[i : i + _CHANGES]) for i in range(0, len(republish), _CHANGES)]
        for part, again in parts:
            self.search.complete([c.document for c in part if c.document])
            self.search.index(again)
            for outcome in self._bounded(part, again):
                total.generation = outcome.published.generation
                total.added += outcome.published.added
                total.removed += outcome.published.removed
                total.unchanged |= outcome.published.unchanged
                total.lost |= outcome.published.lost
                self.drop_blobs(outcome.orphans)
        return total

    def _bounded(self, changes: Sequence[SourceChange], republish: Sequence[str]) -> Iterator[Outcome]:
        """One commit, or smaller ones where it is more than the server's transactions may hold. One new document that is too much
        alone does not come in. Raises StoreError for a removal, or a document that is here already, that is."""
        try:
            yield self._commit(lambda tx, generation: publish(tx, self.deriver, generation, changes, republish))
        except QueryLimitError as e:
            if e.limit != "memory":
                raise
            if len(changes) > 1:
                half = len(changes) // 2
                for part in (changes[:half], changes[half:]):
                    yield from self._bounded(part, ())
            elif len(republish) > 1:
                half = len(republish) // 2
                for again in (republish[:half], republish[half:]):
                    yield from self._bounded((), again)
            elif changes and changes[0].document:
                yield self._too_large(changes[0].uri)
            else:
                name = changes[0].uri if changes else republish[0]
                raise StoreError(f"{name} {_TOO_LARGE}", hint=_MORE_MEMORY) from e

    def _too_large(self, uri: str) -> Outcome:
        """Give up a document: its source is what it was before, and waits for nothing. What is staged goes with the next run."""
        why = reason("server-memory", f"{_TOO_LARGE}; {_MORE_MEMORY}")

        def work(tx: Runner) -> int:
            generation = base.lock(tx)
            row = tx.run("MATCH (s:_Source {_uri: $uri}) RETURN s._document AS document", uri=uri).single()
            forget(tx, {uri}, {uri: row} if row else {}, why)
            return generation

        return Outcome(Published(self.connection.write(work), lost={uri: why}), [])

    def _commit(self, work: Callable[[Runner, int], Outcome]) -> Outcome:
        """One commit, tried again after a passing fault if it did not go through. work: of a transaction and its generation."""
        batch = uuid.uuid4().hex
        outcome: Outcome | None = None
        for attempt in range(_ATTEMPTS):
            try:
                with self.connection.transaction() as tx:
                    generation = base.lock(tx)
                    if record(tx, "MATCH (s:_Store {_name: 'base'}) RETURN s._rebuilding AS x")["x"]:
                        raise StoreLockedError(
                            "the base is being rebuilt", hint="try again when `mmkg rebuild` is done"
                        )
                    outcome = work(tx, generation + 1)
                    removed = ", s._removed = s._generation" if outcome.published.removed else ""
                    tx.run(
                        "MATCH (s:_Store {_name: 'base'}) SET s._generation = s._generation + 1, s._batch = $batch"
                        + removed,
                        batch=batch,
                    ).consume()
                    failpoint("generation-row")
                failpoint("publish-committed")
                return outcome
            except StoreUnavailableError:
                if attempt == _ATTEMPTS - 1:
                    raise
                time.sleep(0.5 * 2**attempt)
                # The answer to the commit may have been lost, not the commit.
                if outcome is not None and base.need(self.connection).batch == batch:
                    return outcome
        raise AssertionError("unreachable")

    def drop_blobs(self, hashes: Sequence[str]) -> None:
        """Delete media that nothing refers to any more; a writer that begins to stage the same bytes waits meanwhile."""
        if not hashes:
            return

        def work(tx: Runner) -> None:
            base.lock_media(tx)
            used = tx.run(
                "UNWIND $ids AS i MATCH (d:_Document {_id: i}) RETURN i AS id "
                "UNION UNWIND $ids AS i MATCH (u:_Unit {_media: i}) RETURN i AS id",
                ids=list(hashes),
            ).data()
            self.blobs.delete(sorted(set(hashes) - {row["id"] for row in used}))

        self.connection.write(work)

    # ---- upkeep ----

    def finish(self, progress: ProgressCallback | None = None) -> None:
        """End of a run: the search indexes of a base that was empty before it are built in one piece."""
        if self._was_empty and self.row.generation < base.need(self.connection).generation:
            self.search.pack()
            self._was_empty = False

    def forget_spaces(self, spaces: Sequence[str]) -> bool:
        """Forget all model output of these spaces, and rebuild what was found by it; False if no visible document had any.

        One that was interrupted is done by the next `rebuild`; until then commits and reads are refused by name.
        """
        if not spaces:
            return False
        gone = {"spaces": list(spaces), "pages": [space + PAGE_MARK for space in spaces]}
        its = "(o._space IN $spaces OR any(p IN $pages WHERE o._space STARTS WITH p))"
        text = (
            f"MATCH (o:_Output) WHERE {its} WITH o._key AS key "
            "MATCH (u:_Unit) WHERE (u._media = key OR u._key = key) AND u._visible RETURN DISTINCT u._document AS id"
        )
        found = [row["id"] for row in self.connection.rows(text, **gone)]
        if found:
            self.connection.write(lambda tx: _mark(tx, True))  # no commit from here on: the generation stays
            # With the generation that the rebuild makes, readers fetch the arrays of these documents anew.
            seen = "MATCH (s:_Store {_name: 'base'}) MATCH (d:_Document) WHERE d._id IN $ids SET d._published = s._generation + 1"
            self.connection.write(lambda tx: tx.run(seen, ids=found).consume())
        drop = f"MATCH (o:_Output) WHERE {its} WITH o LIMIT $n DELETE o RETURN count(*) AS n"
        while self.connection.write(lambda tx: tx.run(drop, **gone, n=_UNITS).single(strict=True)["n"]):
            pass
        if found:
            self.rebuild()
        return bool(found)

    def rebuild(self, progress: Callable[[int, int], None] | None = None) -> None:
        """Derived layer and graph anew from the facts; no model is called. O(base), in bounded transactions.

        Meanwhile commits and reads are refused by name: nobody sees a part of it. An interrupted rebuild is done again by the
        next call.
        """
        connection = self.connection
        connection.write(lambda tx: _mark(tx, True))
        settle(connection, self.search, base.need(connection).manifest.spaces)
        delete_graph(connection)
        for text in (
            "MATCH (n:_Entity|_Title|_Alias|_Bucket) CALL (n) { DELETE n } IN TRANSACTIONS OF 2000 ROWS",
            "MATCH (u:_Unit) CALL (u) { REMOVE u._derived, u._anchors } IN TRANSACTIONS OF 2000 ROWS",
        ):
            connection.execute(text)
        rows = connection.rows("MATCH (d:_Document {_state: 'visible'}) RETURN d._id AS id ORDER BY id")
        documents = [row["id"] for row in rows]
        generation = base.need(connection).generation + 1
        with connection.transaction() as tx:
            derivation.count_titles(ServerRows(tx, generation), self.deriver, documents)
        for i in range(0, len(documents), _CHANGES):
            part = documents[i : i + _CHANGES]
            with connection.transaction() as tx:
                change = derivation.derive_group(ServerRows(tx, generation), self.deriver, part)
                apply_delta(tx, graph_delta(tx, change, added=part, gone=(), moved=()))
            if progress:
                progress(min(i + _CHANGES, len(documents)), len(documents))
        for i in range(0, len(documents), _CHANGES):
            with connection.transaction() as tx:
                see(tx, self.deriver, generation, added=documents[i : i + _CHANGES])
        self.search.pack()
        connection.write(lambda tx: _mark(tx, False, generation))


# ---- staging ----


def _begin(tx: Runner, document: str) -> None:
    base.lock_media(tx)
    tx.run(
        "MERGE (d:_Document {_id: $id}) ON CREATE SET d._state = 'staging' SET d._since = timestamp()", id=document
    ).consume()


def _end(tx: Runner, row: dict[str, Any], uris: list[str]) -> None:
    """The document's own row last: with it the document is staged. One that became visible meanwhile stays as it is."""
    tx.run(
        "MERGE (d:_Document {_id: $row._id}) WITH d WHERE coalesce(d._state, 'staging') <> 'visible' "
        "SET d += $row, d._state = 'staged'",
        row=row,
    ).consume()
    tx.run(
        "UNWIND $uris AS uri MERGE (s:_Source {_uri: uri}) ON CREATE SET s._status = 'pending', s._reason = '', s._size = 0, "
        "s._mtime_ns = 0 SET s._pending = $id",
        uris=uris,
        id=row["_id"],
    ).consume()


def _mark(tx: Runner, on: bool, generation: int | None = None) -> None:
    base.lock(tx)
    if on:
        text = "MATCH (s:_Store {_name: 'base'}) SET s._rebuilding = true, s._rebuilds = coalesce(s._rebuilds, 0) + 1"
        tx.run(text).consume()
    else:
        text = "MATCH (s:_Store {_name: 'base'}) SET s._generation = $n REMOVE s._rebuilding"
        tx.run(text, n=generation).consume()
