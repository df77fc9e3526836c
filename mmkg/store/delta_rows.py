"""Nodes, edges and parameters on their way to the engine process and back: what is allowed, and how it is packed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from mmkg.cypher.statements import PRIMARY_LABELS
from mmkg.errors import CypherError, QueryLimitError, StoreError
from mmkg.schema import EDGE_TYPES
from mmkg.types import Edge, GraphDelta, Node

_encode = json.JSONEncoder(allow_nan=False, separators=(",", ":")).encode
_PAGE = 2_000
_PART_BYTES = 1 << 20
_PARAMETER_BYTES = 16 * 2**20


class Batches:
    """Rows as JSON text, by key, handed on in parts of about a megabyte."""

    def __init__(self, send: Callable[[tuple[str, ...], str], object]) -> None:
        self._send = send
        self._rows: dict[tuple[str, ...], list[str]] = {}
        self._sizes: dict[tuple[str, ...], int] = {}

    def add(self, key: tuple[str, ...], row: dict[str, Any]) -> None:
        try:
            text = _encode(row)
        except (ValueError, TypeError) as e:
            raise StoreError(f"a property that the graph does not take, in {key[1]} {row}: {e}") from e
        self._rows.setdefault(key, []).append(text)
        self._sizes[key] = self._sizes.get(key, 0) + len(text)
        if self._sizes[key] > _PART_BYTES:
            self._flush(key)

    def flush(self) -> None:
        for key in self._rows:
            self._flush(key)

    def _flush(self, key: tuple[str, ...]) -> None:
        if self._rows[key]:
            self._send(key, ",".join(self._rows[key]))
            self._rows[key] = []
            self._sizes[key] = 0


def check_label(label: str) -> None:
    if label not in PRIMARY_LABELS:
        raise StoreError(f"unknown node label {label!r}; known: {', '.join(PRIMARY_LABELS)}")


def check_node(node: Node) -> None:
    check_label(node.label)
    if reserved := node.properties.keys() & {"id", "type", "title"}:
        raise StoreError(f"{node.label} {node.id}: the property name {min(reserved)!r} is the engine's own")
    if dict in map(type, node.properties.values()):
        raise StoreError(f"{node.label} {node.id}: a map is no property value")


def check_edge(edge: Edge) -> None:
    check_label(edge.source_label)
    check_label(edge.target_label)
    check_types((edge.type,))
    if reserved := edge.properties.keys() & {"type"}:
        raise StoreError(f"{edge.type}: the property name {min(reserved)!r} is the engine's own")


def check_delta(delta: GraphDelta) -> None:
    """Raises StoreError for a label, edge type or property name that no engine takes."""
    for node in delta.nodes:
        check_node(node)
    for edge in (*delta.delete_edges, *delta.edges):
        check_edge(edge)
    for label, _ in delta.delete_nodes:
        check_label(label)


class FirstRows:
    """The rows of a bulk load, checked: each node and edge the first time it comes, and aside those that come again.

    Holds the ids of all nodes and an integer for each pair of an edge, exact: 2 M edges take about 150 MB for a while.
    distinct: no edge comes twice (the rows are those of a ledger); then no pairs are held.
    """

    def __init__(self, *, distinct: bool = False) -> None:
        self._distinct = distinct
        self._numbers: dict[tuple[str, str], int] = {}
        self._pairs: dict[str, set[int]] = {}
        self._nodes: list[Node] = []
        self._edges: list[Edge] = []

    def nodes(self, nodes: Iterable[Node]) -> Iterator[Node]:
        """All nodes, before the first edge. Raises StoreError for one that the graph does not take."""
        for node in nodes:
            check_node(node)
            if (at := (node.label, node.id)) in self._numbers:
                self._nodes.append(node)
            else:
                self._numbers[at] = len(self._numbers)
                yield node

    def edges(self, edges: Iterable[Edge]) -> Iterator[Edge]:
        """Raises StoreError for an edge that the graph does not take, or whose end was not among the nodes."""
        numbers = self._numbers
        for edge in edges:
            check_edge(edge)
            try:
                pair = numbers[edge.source_label, edge.source] << 32 | numbers[edge.target_label, edge.target]
            except KeyError as e:
                raise StoreError(f"edge {edge.type} to a node that does not exist: {e.args[0]}") from e
            if self._distinct:
                yield edge
                continue
            of_type = self._pairs.setdefault(edge.type, set())
            if pair in of_type:
                self._edges.append(edge)
            else:
                of_type.add(pair)
                yield edge

    def again(self) -> GraphDelta | None:
        """What came again, as an upsert: the last one stays. None if nothing did. Forgets the pairs."""
        self._numbers, self._pairs = {}, {}
        found = GraphDelta(nodes=tuple(self._nodes), edges=tuple(self._edges))
        return found if found.nodes or found.edges else None


def check_types(types: Iterable[str]) -> None:
    for type_ in types:
        if type_ not in EDGE_TYPES:
            raise StoreError(f"unknown edge type {type_!r}; known: {', '.join(EDGE_TYPES)}")


def present(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in properties.items() if v is not None}


def pages(ids: Sequence[str]) -> Iterator[list[str]]:
    for i in range(0, len(ids), _PAGE):
        yield list(ids[i : i + _PAGE])


def to_node(row: Sequence[Any]) -> Node:
    return Node(label=row[0], id=row[1], properties=row[2])


def to_edge(row: Sequence[Any]) -> Edge:
    return Edge(type=row[0], source=row[1], target=row[2], source_label=row[3], target_label=row[4], properties=row[5])


def checked_parameters(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters as the wire takes them. Raises CypherError for a value that Cypher and JSON do not share."""
    try:
        text = json.dumps(dict(parameters), allow_nan=False)
    except (ValueError, TypeError, RecursionError) as e:
        raise CypherError(f"a parameter that Cypher does not take: {e}") from e
    if len(text) > _PARAMETER_BYTES:
        raise QueryLimitError("bytes", f"the parameters have more than {_PARAMETER_BYTES} bytes")
    values: dict[str, Any] = json.loads(text)
    return values
