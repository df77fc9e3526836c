"""The graph on a Neo4j server behind protocols.GraphStore: the same rows, the same query text as on the embedded engine."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from mmkg.cypher import statements
from mmkg.cypher.statements import PRIMARY_LABELS, primary
from mmkg.errors import StoreError
from mmkg.store.delta_rows import FirstRows, check_delta, check_types, pages, present
from mmkg.store.delta_wire import read_delta, write_delta
from mmkg.store.neo4j.connection import Connection, Runner
from mmkg.store.neo4j.ddl import graph_schema
from mmkg.store.neo4j.loading import Loader
from mmkg.store.neo4j.userquery import user_query
from mmkg.store.paths import shortest_path
from mmkg.types import Edge, GraphDelta, Node, QueryResult

BATCH = 2_000
"""Rows a statement."""
_ANY = " UNION ALL ".join(f"UNWIND $ids AS i MATCH (n:{x} {{id: i}}) RETURN {{}}" for x in PRIMARY_LABELS)
_FROM = (
    "UNWIND $ids AS i MATCH (n:{} {{id: i}})-[r]->(o) WITH i, type(r) AS type, labels(o) AS labels, keys(r) AS names, "
    "collect(o.id) AS targets, collect([k IN keys(r) | r[k]]) AS properties "
    "RETURN i AS source, type, labels, names, targets, properties"
)
"""Edges of one source and kind in one row: a row each takes the driver five times as long."""
_LABELS_OF = _ANY.replace("{}", "n.id AS id, labels(n) AS labels")
_GET = _ANY.replace("{}", "n.id AS id, labels(n) AS labels, properties(n) AS props")


class Neo4jGraph:
    """The graph's labels and edge types in one database. Safe to use from several threads.

    Writing goes in managed transactions, which the driver repeats after a passing fault: each gives the same when it runs
    twice. The schema (unique ids) is made at the first write.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._ready = False

    # ---- protocols.GraphStore: writing ----

    def ensure_schema(self) -> None:
        """Unique ids for every label; nothing happens where they are there."""
        if not self._ready:
            make_schema(self.connection, graph_schema())
            self._ready = True

    def load(self, nodes: Iterable[Node], edges: Iterable[Edge]) -> None:
        """Replace everything by these rows, in transactions of some thousand rows: a load that fails leaves a part.

        A row that comes twice counts as an upsert: the last one stays.
        """
        self.ensure_schema()
        self.clear()
        first = FirstRows()
        with Loader(self.connection) as loader:
            for node in first.nodes(nodes):
                loader.add_node(node)
            loader.flush()
            for edge in first.edges(edges):
                loader.add_edge(edge)
        if (again := first.again()) is not None:
            self.apply(again)

    def clear(self) -> None:
        """Delete every node of the graph's labels, with its edges."""
        delete_graph(self.connection)

    def apply(self, delta: GraphDelta) -> None:
        """Delete and upsert in one transaction. Raises StoreError for an edge whose end does not exist."""
        check_delta(delta)
        _check_delta_values(delta)
        self.ensure_schema()
        self.connection.write(lambda tx: apply_delta(tx, delta))

    def save(self, path: Path) -> None:
        """Write the whole graph as one file, synced and renamed into place."""
        write_delta(_snapshot(path), GraphDelta(nodes=tuple(self.nodes()), edges=tuple(self.edges())))
        _snapshot(path).replace(path)

    def open(self, path: Path) -> None:
        """Replace everything by a file of `save`. Raises StoreDamagedError, and then the graph is as it was before."""
        delta = read_delta(path)
        self.load(delta.nodes, delta.edges)

    # ---- protocols.GraphStore: reading ----

    def get(self, ids: Sequence[str]) -> list[Node]:
        """The nodes that exist, in the order of ids."""
        found: dict[str, Node] = {}
        for part in pages(list(dict.fromkeys(ids))):
            found |= {row["id"]: _to_node(row) for row in self.connection.rows(_GET, ids=part)}
        return [found[i] for i in ids if i in found]

    def neighbors(
        self, ids: Sequence[str], *, types: Sequence[str] = (), direction: str = "both", limit: int = 1000
    ) -> list[Edge]:
        """Edges at these nodes, each once, ordered by (type, source, target); direction: out, in or both."""
        if direction not in ("out", "in", "both"):
            raise ValueError(f"direction must be out, in or both, got {direction!r}")
        check_types(types)
        found: dict[tuple[str, str, str], Edge] = {}
        for label, group in self._by_label(ids).items():
            for way in ("out", "in") if direction == "both" else (direction,):
                text = statements.edges_at(label, direction=way, types=tuple(types), limited=True)
                for row in self.connection.rows(text, ids=group, limit=limit):
                    edge = _to_edge(row, label, way)
                    found[edge.type, edge.source, edge.target] = edge
        return [found[key] for key in sorted(found)][:limit]

    def nodes(self) -> Iterator[Node]:
        """Every node, by label and id, in pages. The graph should not change meanwhile."""
        for label in PRIMARY_LABELS:
            text = (
                f"MATCH (n:{label}) WHERE n.id > $after WITH n ORDER BY n.id LIMIT {BATCH} "
                "RETURN n.id AS id, labels(n) AS labels, properties(n) AS props ORDER BY id"
            )
            yield from map(_to_node, self._paged(text))

    def edges(self) -> Iterator[Edge]:
        """Every edge, by label and id of its source, in pages. The graph should not change meanwhile."""
        for label in PRIMARY_LABELS:
            text = f"MATCH (n:{label}) WHERE n.id > $after RETURN n.id AS id ORDER BY id LIMIT {BATCH}"
            ids = (row["id"] for row in self._paged(text))
            while part := list(islice(ids, BATCH)):
                groups = self.connection.rows(_FROM.format(label), ids=part)
                found = [edge for group in groups for edge in _edges_of(group, label)]
                yield from sorted(found, key=lambda e: (e.source, e.type, e.target))

    def _paged(self, text: str) -> Iterator[dict[str, Any]]:
        after = ""
        while rows := self.connection.rows(text, after=after):
            yield from rows
            after = rows[-1]["id"]
            if len(rows) < BATCH:
                return

    def shortest_path(self, source: str, target: str, *, max_hops: int = 6) -> list[tuple[str, str]] | None:
        """[(node id, edge type that led to it), ...] over edges of any type and direction, or None. Ties by id.

        Breadth-first search from both ends, a query a level: near a hub it is the other end that grows.
        """
        if max_hops < 0:
            raise ValueError(f"max_hops must not be negative, got {max_hops}")
        labels = {i: label for label, ids in self._by_label([source, target]).items() for i in ids}

        def step(label: str, ids: Sequence[str]) -> Iterator[tuple[str, str, str, str]]:
            for part in pages(ids):
                for row in self.connection.rows(statements.step(label), ids=part):
                    if row["target"] is not None:
                        yield row["source"], row["type"], row["target"], primary(row["target_labels"])

        path = shortest_path(step, labels, source, target, max_hops)
        return None if path is None else [(id_, type_) for id_, type_ in path]

    def counts(self) -> dict[str, int]:
        """Number of nodes by primary label and of edges by type."""
        rows = self.connection.rows(
            " UNION ALL ".join(f"MATCH (n:{label}) RETURN '{label}' AS name, count(*) AS n" for label in PRIMARY_LABELS)
        )
        edges = self.connection.rows("MATCH ()-[r]->() RETURN type(r) AS name, count(*) AS n")
        return {row["name"]: row["n"] for row in (*rows, *edges) if row["n"] and not row["name"].startswith("_")}

    def query(
        self,
        cypher: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        timeout_s: float = 10.0,
        max_rows: int = 10_000,
        max_bytes: int = 64 * 2**20,
    ) -> QueryResult:
        """Run a user's read-only query: gate, READ access, time, rows and bytes limited. See protocols.GraphStore.query."""
        return user_query(
            self.connection, cypher, parameters, timeout_s=timeout_s, max_rows=max_rows, max_bytes=max_bytes
        )

    def close(self) -> None:
        """Close the connections. The store can be used again."""
        self.connection.close()

    def __enter__(self) -> Neo4jGraph:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _by_label(self, ids: Sequence[str]) -> dict[str, list[str]]:
        """The ids that exist, by primary label."""
        out: dict[str, list[str]] = {}
        for part in pages(list(dict.fromkeys(ids))):
            for row in self.connection.rows(_LABELS_OF, ids=part):
                out.setdefault(primary(row["labels"]), []).append(row["id"])
        return out


def make_schema(connection: Connection, schema: Mapping[str, str]) -> None:
    """Make what is not there. schema: name -> statement, in order; the statements themselves do nothing where the name is."""
    here = {row["name"] for kind in ("CONSTRAINTS", "INDEXES") for row in connection.rows(f"SHOW {kind} YIELD name")}
    missing = [statement for name, statement in schema.items() if name not in here]
    for statement in missing:
        connection.execute(statement)
    if missing:
        connection.execute("CALL db.awaitIndexes(600)")


# ---- rows of a delta in one transaction, also inside a larger one ----


def _check_delta_values(delta: GraphDelta) -> None:
    """Raises StoreError for a value that the server does not take."""
    for node in delta.nodes:
        _check_values(node.label, node.properties)
    for edge in (*delta.delete_edges, *delta.edges):
        _check_values(edge.type, edge.properties)


def apply_delta(tx: Runner, delta: GraphDelta) -> None:
    """Delete and upsert. The same delta twice is the same as once. Raises StoreError for an edge without one of its ends."""
    for text, ids in _grouped((statements.delete_nodes(label), id_) for label, id_ in delta.delete_nodes):
        tx.run(text, ids=ids).consume()
    for text, rows in _grouped(
        (statements.delete_edges(e.type, e.source_label, e.target_label), {"a": e.source, "b": e.target})
        for e in delta.delete_edges
    ):
        tx.run(text, rows=rows).consume()
    for text, rows in _grouped((statements.upsert_nodes(n.label), _node_row(n)) for n in delta.nodes):
        tx.run(text, rows=rows).consume()
    for text, rows in _grouped(
        (statements.upsert_edges(e.type, e.source_label, e.target_label), _edge_row(e)) for e in delta.edges
    ):
        _run_edges(tx, text, rows)


def _run_edges(tx: Runner, text: str, rows: list[Any]) -> None:
    record = tx.run(text, rows=rows).single()
    if record is None or record["n"] != len(rows):
        ids = sorted({r["a"] for r in rows} | {r["b"] for r in rows})
        known = {r["id"] for r in tx.run(_LABELS_OF, ids=ids)}
        missing = [i for i in ids if i not in known]
        raise StoreError(f"an edge to a node that does not exist: {', '.join(missing[:3])}")


def _grouped(items: Iterable[tuple[str, Any]]) -> Iterator[tuple[str, list[Any]]]:
    """Rows of one statement together, at most BATCH at a time; statements in the order of their first row."""
    groups: dict[str, list[Any]] = {}
    for text, row in items:
        groups.setdefault(text, []).append(row)
    for text, rows in groups.items():
        for i in range(0, len(rows), BATCH):
            yield text, rows[i : i + BATCH]


def _snapshot(path: Path) -> Path:
    return path.with_name(path.name + ".tmp")


def _check_values(owner: str, properties: Mapping[str, Any]) -> None:
    try:
        json.dumps(dict(properties), allow_nan=False)
    except (ValueError, TypeError) as e:
        raise StoreError(f"a property that the graph does not take, in {owner}: {e}") from e


def _node_row(node: Node) -> dict[str, Any]:
    return {"id": node.id, "props": {**present(node.properties), "id": node.id}}


def _edge_row(edge: Edge) -> dict[str, Any]:
    return {"a": edge.source, "b": edge.target, "props": present(edge.properties)}


def _to_node(row: Mapping[str, Any]) -> Node:
    properties = {k: v for k, v in row["props"].items() if k != "id"}
    return Node(id=row["id"], label=primary(row["labels"]), properties=properties)


def _to_edge(row: Mapping[str, Any], label: str, direction: str) -> Edge:
    there = primary(row["labels"])
    ends = (label, there) if direction == "out" else (there, label)
    return Edge(
        type=row["type"],
        source=row["source"],
        target=row["target"],
        source_label=ends[0],
        target_label=ends[1],
        properties=dict(row["props"]),
    )


def _edges_of(group: Mapping[str, Any], label: str) -> Iterator[Edge]:
    there = primary(group["labels"])
    for target, values in zip(group["targets"], group["properties"], strict=True):
        yield Edge(
            type=group["type"],
            source=group["source"],
            target=target,
            source_label=label,
            target_label=there,
            properties=dict(zip(group["names"], values, strict=True)),
        )


def delete_graph(connection: Connection) -> None:
    """Delete every node of the graph's labels, with its edges, in bounded transactions: first the edges, of which one node may
    have more than a transaction has memory for."""
    labels = "|".join(PRIMARY_LABELS)
    connection.execute(f"MATCH (:{labels})-[r]->() CALL (r) {{ DELETE r }} IN TRANSACTIONS OF 10000 ROWS")
    connection.execute(f"MATCH (n:{labels}) CALL (n) {{ DETACH DELETE n }} IN TRANSACTIONS OF 2000 ROWS")
