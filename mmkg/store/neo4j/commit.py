"""One commit of a base on a server: sources moved, derived layer, graph and visibility, in one transaction under the base's lock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

import numpy as np

from mmkg.errors import NotFoundError
from mmkg.protocols import Deriver
from mmkg.schema import PAGE_MARK
from mmkg.store import derivation, graph_rows, pictures
from mmkg.store.changes import Published, SourceChange
from mmkg.store.durable import failpoint
from mmkg.store.neo4j.connection import Runner
from mmkg.store.neo4j.facts import document_row, read_facts, unit_rows
from mmkg.store.neo4j.graph import apply_delta
from mmkg.store.neo4j.picturerows import ServerPictures
from mmkg.store.neo4j.rows import ServerRows
from mmkg.store.neo4j.searchrows import SearchRows
from mmkg.texts import file_name_words
from mmkg.types import DocumentFacts, Edge, GraphDelta, Node

Outputs = Mapping[tuple[bytes, str], np.ndarray[Any, Any]]

REMOVED_MEANWHILE = "changed: another writer removed it meanwhile; add it again"


@dataclass(slots=True)
class Outcome:
    """What a commit did, and the hashes of media that nothing refers to any more."""

    published: Published
    orphans: list[str]


def publish(
    tx: Runner, deriver: Deriver, generation: int, changes: Sequence[SourceChange], republish: Sequence[str]
) -> Outcome:
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
    forget(tx, lost, before, REMOVED_MEANWHILE)
    added = sorted(i for i, state in states.items() if held[i]["has"] and state == "staged")
    gone = sorted(i for i, state in states.items() if not held[i]["has"] and state == "visible")
    dropped = sorted(
        i for i, state in states.items() if state == "staged" and not held[i]["has"] and not held[i]["waits"]
    )
    moved = sorted(i for i, state in states.items() if held[i]["has"] and state == "visible")
    rows = ServerRows(tx, generation)
    change = derivation.apply(rows, deriver, added=added, removed=gone)
    failpoint("derived-written")
    apply_delta(tx, graph_delta(tx, change, added=added, gone=gone, moved=moved))
    failpoint("graph-written")
    tx.run(
        "UNWIND $ids AS i MATCH (d:_Document {_id: i}) SET d._state = 'visible', d._published = $generation",
        ids=added,
        generation=generation,
    ).consume()
    tx.run("UNWIND $ids AS i MATCH (u:_Unit {_document: i}) SET u._visible = true", ids=added).consume()
    see(tx, deriver, generation, added=added, removed=gone, touched=republish, change=change)
    tx.run(
        "UNWIND $ids AS i MATCH (d:_Document {_id: i}) SET d._published = $generation",
        ids=list(republish),
        generation=generation,
    ).consume()
    orphans = delete_documents(tx, [*gone, *dropped])
    return Outcome(
        Published(generation, added, gone, unchanged=unchanged, lost=dict.fromkeys(lost, REMOVED_MEANWHILE)), orphans
    )


def replace_facts(
    tx: Runner,
    deriver: Deriver,
    generation: int,
    document: str,
    facts: DocumentFacts,
    outputs: Outputs,
    search: SearchRows,
) -> Outcome:
    """Take a visible document out and bring it in again with other facts, in one transaction. Raises NotFoundError."""
    found = tx.run(
        "MATCH (d:_Document {_id: $id}) WHERE d._state = 'visible' RETURN d._hash AS hash, d._n_bytes AS n", id=document
    ).single()
    if found is None:
        raise NotFoundError(f"no document {document}")
    row = document_row(document, facts, n_bytes=found["n"])
    if row["_hash"] == found["hash"]:
        return Outcome(Published(generation), [])
    rows = ServerRows(tx, generation)
    change = derivation.apply(rows, deriver, added=(), removed=[document])
    apply_delta(tx, graph_delta(tx, change, added=(), gone=[document], moved=()))
    see(tx, deriver, generation, removed=[document], change=change)
    failpoint("derived-written")
    put_outputs(tx, output_rows(outputs))  # before the old units go: what both have stays
    new = list(unit_rows(document, facts))
    orphans = _delete_units(tx, [document], keep={str(r[k]) for r in new for k in ("_key", "_media") if r[k]})
    put_units(tx, new)
    tx.run("MATCH (d:_Document {_id: $row._id}) SET d += $row", row=row).consume()
    search.index_in(tx, document)
    change = derivation.apply(rows, deriver, added=[document], removed=())
    apply_delta(tx, graph_delta(tx, change, added=[document], gone=(), moved=()))
    failpoint("graph-written")
    tx.run("MATCH (d:_Document {_id: $id}) SET d._published = $n", id=document, n=generation).consume()
    tx.run("MATCH (u:_Unit {_document: $id}) SET u._visible = true", id=document).consume()
    see(tx, deriver, generation, added=[document], change=change)
    return Outcome(Published(generation, [document], [document]), orphans)


def see(
    tx: Runner,
    deriver: Deriver,
    generation: int,
    *,
    added: Sequence[str] = (),
    removed: Sequence[str] = (),
    touched: Sequence[str] = (),
    change: derivation.DerivedChange | None = None,
) -> None:
    """Edges of pictures, behind the rest of the graph: they are read from it. The removed documents' rows are still there."""
    change = change or derivation.DerivedChange()
    seen = pictures.apply(
        ServerPictures(tx, generation),
        deriver,
        added=added,
        removed=removed,
        touched=touched,
        changed=change.units,
        gone=change.gone,
    )
    if seen.gone or seen.new:
        apply_delta(tx, seen.delta())


def put_units(tx: Runner, rows: Sequence[Mapping[str, Any]]) -> None:
    """Units that nobody sees yet; the same twice is once."""
    text = "UNWIND $rows AS r MERGE (u:_Unit {_id: r._id}) ON CREATE SET u = r, u._visible = false"
    tx.run(text, rows=list(rows)).consume()


def output_rows(outputs: Outputs) -> list[dict[str, Any]]:
    """Model output as rows: half precision, by content and space.

    The many rows of a page have another property than `_key`, so that nothing that reads vectors for the index meets them.
    """
    return [
        {
            "_id": f"{key.hex()} {space}",
            "_page_of" if PAGE_MARK in space else "_key": key.hex(),
            "_space": space,
            "_n": len(x),
            "_data": np.ascontiguousarray(x, dtype="<f2").tobytes(),
        }
        for (key, space), x in outputs.items()
    ]


def put_outputs(tx: Runner, rows: Sequence[Mapping[str, Any]]) -> None:
    """Rows of output_rows; what is there stays."""
    tx.run("UNWIND $rows AS r MERGE (o:_Output {_id: r._id}) ON CREATE SET o = r", rows=list(rows)).consume()


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
        {**source_row(c), "_document": c.document, "_words": " ".join(sorted(file_name_words(c.uri)))}
        for c in changes
        if not c.drop
    ]
    # A null in the map takes the property away.
    text = "UNWIND $rows AS r MERGE (s:_Source {_uri: r._uri}) SET s += r, s._pending = null"
    tx.run(text, rows=rows).consume()
    return touched, unchanged, before


def forget(tx: Runner, uris: Set[str], before: Mapping[str, Any], why: str) -> None:
    """Sources whose document does not come in: as they were before, waiting for nothing."""
    rows = [{"uri": uri, "document": before[uri]["document"] if uri in before else None} for uri in sorted(uris)]
    text = (
        "UNWIND $rows AS r MATCH (s:_Source {_uri: r.uri}) SET s._document = r.document, s._status = 'failed', "
        "s._reason = $reason, s._pending = null"
    )
    tx.run(text, rows=rows, reason=why).consume()


def graph_delta(
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
        facts = read_document(tx, id_)
        nodes += graph_rows.document_nodes(id_, facts, _uris(tx, id_))
        edges += graph_rows.document_edges(id_, facts)
    for id_ in gone:
        deleted += graph_rows.removed_nodes(id_, read_document(tx, id_))
    for id_ in moved:
        row = record(tx, "MATCH (d:_Document {_id: $id}) RETURN d._title AS name, d._media_type AS kind", id=id_)
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


def delete_documents(tx: Runner, ids: Sequence[str]) -> list[str]:
    """Delete the rows of documents; returns the hashes of media that nothing refers to any more."""
    if not ids:
        return []
    tx.run("UNWIND $ids AS i MATCH (d:_Document {_id: i}) DELETE d", ids=list(ids)).consume()
    return _delete_units(tx, ids)


def _delete_units(tx: Runner, ids: Sequence[str], *, keep: Set[str] = frozenset()) -> list[str]:
    """Delete the units of documents, and the output that no other unit has. keep: keys of output that stays."""
    units = tx.run(
        "UNWIND $ids AS i MATCH (u:_Unit {_document: i}) RETURN u._key AS key, u._media AS media", ids=list(ids)
    ).data()
    hashes = {*ids, *(row["media"] for row in units if row["media"])}
    keys = {row["key"] for row in units if row["key"]}
    for label in ("_Unit", "_Sentence", "_Page"):
        tx.run(f"UNWIND $ids AS i MATCH (n:{label} {{_document: i}}) DELETE n", ids=list(ids)).consume()
    keys -= keep | _present(tx, "MATCH (n:_Unit {_key: i})", keys)
    hashes -= keep | _present(tx, "MATCH (n:_Document {_id: i})", hashes)
    hashes -= _present(tx, "MATCH (n:_Unit {_media: i})", hashes)
    tx.run("UNWIND $keys AS k MATCH (o:_Output {_key: k}) DELETE o", keys=sorted(keys | hashes)).consume()
    tx.run("UNWIND $keys AS k MATCH (o:_Output {_page_of: k}) DELETE o", keys=sorted(hashes)).consume()
    tx.run("UNWIND $keys AS k MATCH (h:_Heard {_recording: k}) DELETE h", keys=sorted(hashes)).consume()
    return sorted(hashes)


def _present(tx: Runner, pattern: str, values: set[str]) -> set[str]:
    text = f"UNWIND $values AS i WITH i WHERE EXISTS {{ {pattern} }} RETURN i AS value"
    return {row["value"] for row in tx.run(text, values=sorted(values)).data()}


def read_document(tx: Runner, document: str) -> DocumentFacts:
    """The facts of a document, staged or visible."""
    row = record(tx, "MATCH (d:_Document {_id: $id}) RETURN properties(d) AS row", id=document)["row"]
    units = tx.run("MATCH (u:_Unit {_document: $id}) RETURN u._facts AS facts ORDER BY u._ord", id=document).data()
    return read_facts(row, [unit["facts"] for unit in units])


def _uris(tx: Runner, document: str) -> list[str]:
    text = "MATCH (s:_Source {_document: $id}) RETURN s._uri AS uri ORDER BY uri"
    return [row["uri"] for row in tx.run(text, id=document).data()]


def record(tx: Runner, text: str, **parameters: Any) -> Mapping[str, Any]:
    record: Mapping[str, Any] = tx.run(text, parameters).single(strict=True)
    return record


def source_row(c: SourceChange) -> dict[str, Any]:
    return {"_uri": c.uri, "_status": c.status, "_reason": c.reason, "_size": c.size, "_mtime_ns": c.mtime_ns}
