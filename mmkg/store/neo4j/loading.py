"""The bulk load of a graph: rows as columns, created and not merged, packed here while the server takes in those before."""

from __future__ import annotations

import json
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from mmkg.cypher import statements
from mmkg.errors import StoreError
from mmkg.store.delta_rows import present
from mmkg.store.neo4j.connection import Connection
from mmkg.types import Edge, Node

ROWS = 10_000
"""Rows a transaction."""
_PART = 2_000
"""Rows a statement."""

_Kind = tuple[str, ...]


class Loader:
    """Nodes and edges that are not there yet, each once; all nodes before the first edge.

    A batch is packed column by column (a map for each row costs the driver three times as much), and sent by a second thread. One
    transaction at a time: two that make edges at the same hub would wait for each other's locks. At the end of the body everything
    is there; a load that fails leaves a part.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._columns: dict[tuple[_Kind, tuple[str, ...]], list[list[Any]]] = {}
        self._n = 0
        self._sender = ThreadPoolExecutor(1, thread_name_prefix="mmkg-load")
        self._sent: Future[None] | None = None

    def __enter__(self) -> Loader:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self.flush()
                self._wait()
        finally:
            self._sender.shutdown(cancel_futures=True)

    def add_node(self, node: Node) -> None:
        self._add((node.label,), [node.id], present(node.properties))

    def add_edge(self, edge: Edge) -> None:
        kind = edge.type, edge.source_label, edge.target_label
        self._add(kind, [edge.source, edge.target], present(edge.properties))

    def _add(self, kind: _Kind, ids: list[str], properties: dict[str, Any]) -> None:
        names = tuple(sorted(properties))
        columns = self._columns.get((kind, names))
        if columns is None:
            columns = self._columns[kind, names] = [[] for _ in range(len(ids) + len(names))]
        for column, value in zip(columns, (*ids, *(properties[name] for name in names)), strict=True):
            column.append(value)
        self._n += 1
        if self._n >= ROWS:
            self.flush()

    def flush(self) -> None:
        """Hand what is here to the server. Raises what the batch before it met, StoreError for a value that the graph does not take."""
        columns, self._columns, self._n = self._columns, {}, 0
        for (kind, _), values in columns.items():
            try:
                json.dumps(values, allow_nan=False)
            except (ValueError, TypeError) as e:
                raise StoreError(f"a property that the graph does not take, in {kind[0]}: {e}") from e
        self._wait()
        if columns:
            self._sent = self._sender.submit(self._send, columns)

    def _wait(self) -> None:
        if self._sent is not None:
            sent, self._sent = self._sent, None
            sent.result()

    def _send(self, columns: dict[tuple[_Kind, tuple[str, ...]], list[list[Any]]]) -> None:
        with self._connection.transaction() as tx:
            # Each answer is read after the next statement is under way: the driver packs that one while the server takes in this.
            answers = []
            for (kind, names), values in columns.items():
                if len(kind) == 1:
                    text = statements.load_nodes(kind[0], names)
                else:
                    text = statements.load_edges(kind[0], kind[1], kind[2], names)
                for i in range(0, len(values[0]), _PART):
                    part = [column[i : i + _PART] for column in values]
                    answers.append((kind[0], len(part[0]), tx.run(text, columns=part)))
            for what, wanted, answer in answers:
                made = answer.single(strict=True)["n"]
                if made != wanted:
                    raise StoreError(
                        f"{wanted - made} edges {what} to nodes that are gone: the graph was written meanwhile"
                    )
