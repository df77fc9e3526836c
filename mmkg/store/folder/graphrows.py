"""Ledger rows to graph rows (mmkg.store.graph_rows says which): of documents, of a change, and of the whole base."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Set

from mmkg.schema import section_id
from mmkg.store import graph_rows
from mmkg.store.derivation import EntityRow, load_derivation
from mmkg.store.folder.derived import Step
from mmkg.store.folder.ledger import Ledger
from mmkg.store.folder.parts import Part, parts
from mmkg.store.pictures import Depicts, Similar, depicts_edge, similar_edge
from mmkg.types import Edge, GraphDelta, Node


def removed_nodes(ledger: Ledger, no: int) -> list[tuple[str, str]]:
    """(label, id) of everything that goes with a document. Read before its rows are deleted."""
    id_ = _id(ledger, no)
    sections = ledger.rows("SELECT ord FROM section WHERE document = ? ORDER BY ord", (no,))
    units = ledger.rows("SELECT label, id FROM unit WHERE document = ? ORDER BY ord", (no,))
    return [("Document", id_), *(("Section", section_id(id_, order)) for (order,) in sections), *units]


def delta(
    ledger: Ledger,
    step: Step,
    *,
    deleted: Iterable[tuple[str, str]],
    moved: Iterable[str],
    removed_units: Set[int],
) -> GraphDelta:
    """The change of the graph for one step.

    deleted: removed_nodes() of the documents that went. moved: ids of documents that stay but whose sources changed.
    removed_units: numbers of the units that went.
    """
    nodes: list[Node] = []
    edges: list[Edge] = []
    for part in step.added:
        nodes += _nodes(ledger, part)
        edges += graph_rows.part_edges(_id(ledger, part.no), part.facts, part.sections, part.before)
    for id_, name, media_type in ledger.rows_in("SELECT id, name, media_type FROM document WHERE id IN {in}", moved):
        nodes.append(graph_rows.document_node(id_, name, media_type, _uris(ledger, id_)))
    numbers = [no for no in step.change.units if no not in removed_units]
    units = {
        n: (id_, label) for n, id_, label in ledger.rows_in("SELECT no, id, label FROM unit WHERE no IN {in}", numbers)
    }
    rows = graph_rows.change_rows(step.change, units)
    return rows.delta(deleted=deleted, nodes=nodes, edges=edges)


def _nodes(ledger: Ledger, part: Part) -> Iterator[Node]:
    id_ = _id(ledger, part.no)
    if part.number == 0:
        yield graph_rows.document_node(id_, part.facts.name, part.facts.media_type, _uris(ledger, id_))
    yield from graph_rows.part_nodes(id_, part.facts, part.sections)


def all_nodes(ledger: Ledger) -> Iterator[Node]:
    """Every node that the ledger means. O(base), streamed."""
    for (no,) in ledger.rows("SELECT no FROM document WHERE state = 'visible' ORDER BY no"):
        for part in parts(ledger, no):
            yield from _nodes(ledger, part)
    for id_, name, label, df in ledger.stream("SELECT id, name, label, df FROM entity ORDER BY id"):
        yield graph_rows.entity_node(EntityRow(id_, name, label, df))


def count(ledger: Ledger) -> int:
    """About how many nodes and edges the ledger means, for a progress bar: mentions are counted as entities of units. O(base)."""
    parts = ("entity", "cooccur", "same_as", "similar", "depicts", "section", "unit", "unit", "unit")
    total = sum(n for (n,) in ledger.rows(" UNION ALL ".join(f"SELECT count(*) FROM {t}" for t in parts)))
    return int(total) + sum(int(n or 0) for (n,) in ledger.rows("SELECT sum(units) FROM entity"))


def all_edges(ledger: Ledger) -> Iterator[Edge]:
    """Every edge that the ledger means. O(base), streamed."""
    for (no,) in ledger.rows("SELECT no FROM document WHERE state = 'visible' ORDER BY no"):
        document = _id(ledger, no)
        for part in parts(ledger, no):
            yield from graph_rows.part_edges(document, part.facts, part.sections, part.before)
        for id_, label, derived in ledger.stream("SELECT id, label, derived FROM unit WHERE document = ?", (no,)):
            yield from graph_rows.mention_edges(id_, label, load_derivation(derived))
    for a, b, n in ledger.stream(
        "SELECT x.id, y.id, n FROM cooccur JOIN entity x ON x.key = a JOIN entity y ON y.key = b"
    ):
        yield graph_rows.pair_edge(a, b, n)
    for short, long, reason in ledger.stream("SELECT short, long, reason FROM same_as"):
        yield graph_rows.same_as_edge((short, long, reason))
    for row in ledger.stream("SELECT a, b, score, reason FROM similar"):
        yield similar_edge(Similar(*row))
    for row in ledger.stream("SELECT image, entity, score, reason FROM depicts"):
        yield depicts_edge(Depicts(*row))


def _id(ledger: Ledger, no: int) -> str:
    row = ledger.one("SELECT id FROM document WHERE no = ?", (no,))
    assert row is not None
    return str(row[0])


def _uris(ledger: Ledger, document: str) -> list[str]:
    return [uri for (uri,) in ledger.rows("SELECT uri FROM source WHERE document = ? ORDER BY uri", (document,))]
