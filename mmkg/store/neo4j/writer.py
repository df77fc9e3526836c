"""A writer of a base on a server. Several may work at once: they stage side by side and commit in turn.

Order of a batch: a document's row in state `staging` -> originals by hash -> its units, in transactions of some hundred rows ->
state `staged`. Then, under the lock of the base, one transaction for derived layer, graph and state `visible`. What a
writer leaves staged when it ends is published by the next run without a model call. A commit whose answer was lost is looked up by
its id before it is tried again, so counts are never added twice.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mmkg.errors import StoreLockedError, StoreUnavailableError
from mmkg.protocols import Deriver, ProgressCallback
from mmkg.store import derivation, graph_rows
from mmkg.store.folder.durable import failpoint
from mmkg.store.folder.manifest import Manifest
from mmkg.store.folder.writer import Published, SourceChange
from mmkg.store.neo4j import base
from mmkg.store.neo4j.connection import Connection, Runner
from mmkg.store.neo4j.facts import document_row, read_facts, unit_rows
from mmkg.store.neo4j.graph import apply_delta
from mmkg.store.neo4j.lookups import ServerLookups
from mmkg.store.neo4j.media import Media
from mmkg.store.neo4j.rows import ServerRows
from mmkg.texts import file_name_words
from mmkg.types import DocumentFacts, Edge, GraphDelta, Node

log = logging.getLogger(__name__)

REMOVED_MEANWHILE = "changed: another writer removed it meanwhile; add it again"
_UNITS = 200
"""Units a transaction of staging."""
_CHANGES = 100
"""Sources a commit: a removal of a thousand documents is ten commits."""
_ATTEMPTS = 4
_STALE_MS = 3_600_000
"""How long a document may stay in state `staging` before another writer takes it for abandoned."""

Outputs = Mapping[tuple[bytes, str], np.ndarray[Any, Any]]


class ServerWriter(ServerLookups):
    """Holds no lock between its calls."""

    def __init__(self, connection: Connection, media: Media, deriver: Deriver, *, create: bool = False) -> None:
        """Raises NotFoundError if there is no base and create is False, StoreError for foreign nodes in the database."""
        self.connection, self.blobs, self.deriver = connection, media, deriver
        self.row = base.find(connection) or (base.make(connection) if create else base.need(connection))

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
            self.connection.write(lambda tx, part=part: _put_units(tx, part))  # type: ignore[misc]
        self.add_outputs(outputs)
        claims = list(uris)
        self.connection.write(lambda tx: _end(tx, row, claims))
        failpoint("facts-staged")

    def add_outputs(self, outputs: Outputs) -> None:
        """Keep model output for facts that are, or will be, here."""
        rows = [
            {
                "_id": f"{key.hex()} {space}",
                "_key": key.hex(),
                "_space": space,
                "_n": len(x),
                "_data": np.ascontiguousarray(x, dtype="<f2").tobytes(),
            }
            for (key, space), x in outputs.items()
        ]
        text = "UNWIND $rows AS r MERGE (o:_Output {_id: r._id}) ON CREATE SET o = r"
        for i in range(0, len(rows), _UNITS):
            part = rows[i : i + _UNITS]
            self.connection.write(lambda tx, part=part: tx.run(text, rows=part).consume())  # type: ignore[misc]

    def set_meta(self, metas: Mapping[str, Mapping[str, str]]) -> None:
        """Give visible documents (by id) other properties, as a new generation of the same arrays. No model is called."""

        def work(tx: Runner) -> None:
            base.lock(tx)
            for id_, meta in metas.items():
                facts = replace(_facts(tx, id_), meta=dict(meta))
                row = document_row(id_, facts, n_bytes=0)
                text = "MATCH (d:_Document {_id: $id, _state: 'visible'}) SET d._head = $head, d._hash = $hash"
                tx.run(text, id=id_, head=row["_head"], hash=row["_hash"]).consume()
            tx.run("MATCH (s:_Store {_name: 'base'}) SET s._generation = s._generation + 1").consume()

        self.connection.write(work)

    def note_sources(self, changes: Sequence[SourceChange]) -> None:
        """Record statuses that change no document: failed, rejected, skipped, unchanged."""
        rows = [_source_row(c) for c in changes]
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
            return _delete_documents(tx, [row["id"] for row in tx.run(text, stale=_STALE_MS).data()])

        self.drop_blobs(self.connection.write(work))

    # ---- publishing ----

    def publish(self, changes: Sequence[SourceChange]) -> Published:
        """Make the changes of sources, and what follows from them for documents, visible: a commit for each hundred sources."""
        return self._in_turn(changes, ())

    def republish(self, documents: Sequence[str]) -> Published:
        """Have readers fetch the arrays of visible documents again (they have new model output)."""
        return self._in_turn((), documents)

    def _in_turn(self, changes: Sequence[SourceChange], republish: Sequence[str]) -> Published:
        total = Published(0)
        parts: list[tuple[Sequence[SourceChange], Sequence[str]]] = [
            (changes[i : i + _CHANGES], ()) for i in range(0, len(changes), _CHANGES)
        ]
        parts += [((), republish[i : i + _CHANGES]) for i in range(0, len(republish), _CHANGES)]
        for part, again in parts:
            outcome = self._commit(part, again)
            total.generation = outcome.published.generation
            total.added += outcome.published.added
            total.removed += outcome.published.removed
            total.unchanged |= outcome.published.unchanged
            total.lost |= outcome.published.lost
            self.drop_blobs(outcome.orphans)
        return total

    def _commit(self, changes: Sequence[SourceChange], republish: Sequence[str]) -> _Outcome:
        """One commit, tried again after a passing fault if it did not go through."""
        batch = uuid.uuid4().hex
        outcome: _Outcome | None = None
        for attempt in range(_ATTEMPTS):
            try:
                with self.connection.transaction() as tx:
                    generation = base.lock(tx)
                    if _record(tx, "MATCH (s:_Store {_name: 'base'}) RETURN s._rebuilding AS x")["x"]:
                        raise StoreLockedError(
                            "the base is being rebuilt", hint="try again when `mmkg rebuild` is done"
                        )
                    outcome = _publish(tx, self.deriver, generation + 1, changes, republish)
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
        """End of a run; a server needs no folding of deltas."""

    def rebuild(self, progress: Callable[[int, int], None] | None = None) -> None:
        """Derived layer and graph anew from the facts; no model is called. O(base), in bounded transactions.

        Meanwhile commits are refused, and readers of the graph see a part of it. An interrupted rebuild is done again by the
        next call.
        """
        connection = self.connection
        connection.write(lambda tx: _mark(tx, True))
        for text in (
            "MATCH (n:Entity|_Entity|_Title|_Alias) CALL (n) { DETACH DELETE n } IN TRANSACTIONS OF 2000 ROWS",
            "MATCH (n:Document|Section|Chunk|Image|Clip) CALL (n) { DETACH DELETE n } IN TRANSACTIONS OF 2000 ROWS",
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
                apply_delta(tx, _graph_delta(tx, change, added=part, gone=(), moved=()))
            if progress:
                progress(min(i + _CHANGES, len(documents)), len(documents))
        connection.write(lambda tx: _mark(tx, False, generation))


@dataclass(slots=True)
class _Outcome:
    published: Published
    orphans: list[str]


# ---- staging ----


def _begin(tx: Runner, document: str) -> None:
    base.lock_media(tx)
    tx.run(
        "MERGE (d:_Document {_id: $id}) ON CREATE SET d._state = 'staging' SET d._since = timestamp()", id=document
    ).consume()


def _put_units(tx: Runner, rows: list[dict[str, Any]]) -> None:
    text = "UNWIND $rows AS r MERGE (u:_Unit {_id: r._id}) ON CREATE SET u = r, u._visible = false"
    tx.run(text, rows=rows).consume()


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


# ---- one commit ----


def _publish(
    tx: Runner, deriver: Deriver, generation: int, changes: Sequence[SourceChange], republish: Sequence[str]
) -> _Outcome:
    touched, unchanged, before = _move_sources(tx, changes)
    states = {
        row["id"]: row["state"]
        for row in tx.run(
            "UNWIND $ids AS i MATCH (d:_Document {_id: i}) RETURN i AS id, d._state AS state", ids=sorted(touched)
        ).data()
    }
    held = {
        row["id"]: row
        for row in tx.run(
            "UNWIND $ids AS i RETURN i AS id, EXISTS { MATCH (s:_Source {_document: i}) } AS has, "
            "EXISTS { MATCH (s:_Source {_pending: i}) } AS waits",
            ids=sorted(states),
        ).data()
    }
    lost = {c.uri for c in changes if c.document and states.get(c.document) not in ("staged", "visible")}
    _forget(tx, lost, before)
    added = sorted(i for i, state in states.items() if held[i]["has"] and state == "staged")
    gone = sorted(i for i, state in states.items() if not held[i]["has"] and state == "visible")
    dropped = sorted(
        i for i, state in states.items() if state == "staged" and not held[i]["has"] and not held[i]["waits"]
    )
    moved = sorted(i for i, state in states.items() if held[i]["has"] and state == "visible")
    rows = ServerRows(tx, generation)
    change = derivation.apply(rows, deriver, added=added, removed=gone)
    failpoint("derived-written")
    apply_delta(tx, _graph_delta(tx, change, added=added, gone=gone, moved=moved))
    failpoint("graph-written")
    tx.run(
        "UNWIND $ids AS i MATCH (d:_Document {_id: i}) SET d._state = 'visible', d._published = $generation",
        ids=added,
        generation=generation,
    ).consume()
    tx.run("UNWIND $ids AS i MATCH (u:_Unit {_document: i}) SET u._visible = true", ids=added).consume()
    tx.run(
        "UNWIND $ids AS i MATCH (d:_Document {_id: i}) SET d._published = $generation",
        ids=list(republish),
        generation=generation,
    ).consume()
    orphans = _delete_documents(tx, [*gone, *dropped])
    return _Outcome(Published(generation, added, gone, unchanged=unchanged, lost=lost), orphans)


def _move_sources(tx: Runner, changes: Sequence[SourceChange]) -> tuple[set[str], set[str], dict[str, Any]]:
    """Point sources at their documents.

    Returns the ids of all documents that won or lost a source, the URIs that another writer had pointed at the same document
    already, and the sources as they were.
    """
    uris = [c.uri for c in changes]
    text = (
        "UNWIND $uris AS uri MATCH (s:_Source {_uri: uri}) RETURN uri, s._document AS document, s._pending AS pending"
    )
    before = {row["uri"]: row for row in tx.run(text, uris=uris).data()}
    touched = {row[k] for row in before.values() for k in ("document", "pending") if row[k]}
    touched |= {c.document for c in changes if c.document}
    unchanged = {c.uri for c in changes if c.document and c.uri in before and before[c.uri]["document"] == c.document}
    tx.run(
        "UNWIND $uris AS uri MATCH (s:_Source {_uri: uri}) DETACH DELETE s", uris=[c.uri for c in changes if c.drop]
    ).consume()
    rows = [
        {**_source_row(c), "_document": c.document, "_words": " ".join(sorted(file_name_words(c.uri)))}
        for c in changes
        if not c.drop
    ]
    # A null in the map takes the property away.
    text = "UNWIND $rows AS r MERGE (s:_Source {_uri: r._uri}) SET s += r, s._pending = null"
    tx.run(text, rows=rows).consume()
    return touched, unchanged, before


def _forget(tx: Runner, uris: set[str], before: Mapping[str, Any]) -> None:
    """Sources whose document another writer removed meanwhile: as they were before, waiting for nothing."""
    rows = [{"uri": uri, "document": before[uri]["document"] if uri in before else None} for uri in sorted(uris)]
    text = (
        "UNWIND $rows AS r MATCH (s:_Source {_uri: r.uri}) SET s._document = r.document, s._status = 'failed', "
        "s._reason = $reason"
    )
    tx.run(text, rows=rows, reason=REMOVED_MEANWHILE).consume()


def _graph_delta(
    tx: Runner,
    change: derivation.DerivedChange,
    *,
    added: Sequence[str],
    gone: Sequence[str],
    moved: Sequence[str],
) -> GraphDelta:
    nodes: list[Node] = []
    edges: list[Edge] = []
    deleted: list[tuple[str, str]] = []
    for id_ in added:
        facts = _facts(tx, id_)
        nodes += graph_rows.document_nodes(id_, facts, _uris(tx, id_))
        edges += graph_rows.document_edges(id_, facts)
    for id_ in gone:
        deleted += graph_rows.removed_nodes(id_, _facts(tx, id_))
    for id_ in moved:
        row = _record(tx, "MATCH (d:_Document {_id: $id}) RETURN d._title AS name, d._media_type AS kind", id=id_)
        nodes.append(graph_rows.document_node(id_, row["name"], row["kind"], _uris(tx, id_)))
    left = set(gone)
    text = "UNWIND $ids AS i MATCH (u:_Unit {_id: i}) RETURN i AS id, u._label AS label, u._document AS document"
    units = {
        row["id"]: (row["id"], row["label"])
        for row in tx.run(text, ids=list(change.units)).data()
        if row["document"] not in left
    }
    rows = graph_rows.change_rows(change, units)
    return rows.delta(deleted=deleted, nodes=nodes, edges=edges)


def _delete_documents(tx: Runner, ids: Sequence[str]) -> list[str]:
    """Delete the rows of documents; returns the hashes of media that nothing refers to any more."""
    if not ids:
        return []
    units = tx.run(
        "UNWIND $ids AS i MATCH (u:_Unit {_document: i}) RETURN u._key AS key, u._media AS media", ids=list(ids)
    ).data()
    hashes = {*ids, *(row["media"] for row in units if row["media"])}
    keys = {row["key"] for row in units if row["key"]}
    tx.run("UNWIND $ids AS i MATCH (u:_Unit {_document: i}) DELETE u", ids=list(ids)).consume()
    tx.run("UNWIND $ids AS i MATCH (d:_Document {_id: i}) DELETE d", ids=list(ids)).consume()
    keys -= _present(tx, "MATCH (n:_Unit {_key: i})", keys)
    hashes -= _present(tx, "MATCH (n:_Document {_id: i})", hashes)
    hashes -= _present(tx, "MATCH (n:_Unit {_media: i})", hashes)
    tx.run("UNWIND $keys AS k MATCH (o:_Output {_key: k}) DELETE o", keys=sorted(keys | hashes)).consume()
    return sorted(hashes)


def _present(tx: Runner, pattern: str, values: set[str]) -> set[str]:
    text = f"UNWIND $values AS i WITH i WHERE EXISTS {{ {pattern} }} RETURN i AS value"
    return {row["value"] for row in tx.run(text, values=sorted(values)).data()}


def _facts(tx: Runner, document: str) -> DocumentFacts:
    row = _record(tx, "MATCH (d:_Document {_id: $id}) RETURN properties(d) AS row", id=document)["row"]
    units = tx.run("MATCH (u:_Unit {_document: $id}) RETURN u._facts AS facts ORDER BY u._ord", id=document).data()
    return read_facts(row, [unit["facts"] for unit in units])


def _uris(tx: Runner, document: str) -> list[str]:
    text = "MATCH (s:_Source {_document: $id}) RETURN s._uri AS uri ORDER BY uri"
    return [row["uri"] for row in tx.run(text, id=document).data()]


def _mark(tx: Runner, on: bool, generation: int | None = None) -> None:
    base.lock(tx)
    if on:
        tx.run("MATCH (s:_Store {_name: 'base'}) SET s._rebuilding = true").consume()
    else:
        text = "MATCH (s:_Store {_name: 'base'}) SET s._generation = $n REMOVE s._rebuilding"
        tx.run(text, n=generation).consume()


def _record(tx: Runner, text: str, **parameters: Any) -> Mapping[str, Any]:
    record: Mapping[str, Any] = tx.run(text, parameters).single(strict=True)
    return record


def _source_row(c: SourceChange) -> dict[str, Any]:
    return {"_uri": c.uri, "_status": c.status, "_reason": c.reason, "_size": c.size, "_mtime_ns": c.mtime_ns}
