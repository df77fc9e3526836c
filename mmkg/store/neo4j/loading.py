"""The bulk load of a graph: rows as columns, created and not merged, in two transactions at a time."""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from mmkg.cypher import statements
from mmkg.errors import StoreError
from mmkg.store.delta_rows import present
from mmkg.store.neo4j.connection import Connection, is_deadlock
from mmkg.types import Edge, Node

ROWS = 10_000
"""Rows a transaction."""
_PART = 2_000
"""Rows a statement."""
_SENDERS = 2
_ATTEMPTS = 20

_Kind = tuple[str, ...]


class Loader:
    """Nodes and edges that are not there yet, each once; all nodes before the first edge.

    A batch is packed column by column (a map for each row costs the driver three times as much). Two are on their way at a time: a
    server commits with one thread a transaction, and takes the locks of an edge's ends at the commit alone, sorted. Should
    two still stand in each other's way, the one that it ends is sent again. At the end of the body everything is there; a load that fails
    leaves a part.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._columns: dict[tuple[_Kind, tuple[str, ...]], list[list[Any]]] = {}
        self._n = 0
        self._senders = ThreadPoolExecutor(_SENDERS, thread_name_prefix="mmkg-load")
        self._sent: deque[Future[None]] = deque()
        self._nodes_sent = False

    def __enter__(self) -> Loader:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self.flush()
                self._wait(0)
        finally:
            self._senders.shutdown(cancel_futures=True)

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
        nodes = any(len(kind) == 1 for kind, _ in columns)
        edges = any(len(kind) > 1 for kind, _ in columns)
        # The ends of edges may be in any batch before.
        self._wait(0 if edges and self._nodes_sent else _SENDERS - 1)
        self._nodes_sent = nodes or (self._nodes_sent and not edges)
        if columns:
            self._sent.append(self._senders.submit(self._send, columns))

    def _wait(self, most: int) -> None:
        """Until at most so many batches are on their way."""
        while len(self._sent) > most:
            self._sent.popleft().result()

    def _send(self, columns: dict[tuple[_Kind, tuple[str, ...]], list[list[Any]]]) -> None:
        parts = [part for (kind, names), values in columns.items() for part in _parts(kind, names, values)]
        for attempt in range(_ATTEMPTS):
            try:
                with self._connection.transaction() as tx:
                    # Each answer is read after the next statement is under way: the driver packs that one while the server takes in this.
                    answers = [(what, n, tx.run(text, parameters)) for what, n, text, parameters in parts]
                    for what, wanted, answer in answers:
                        made = answer.single(strict=True)["n"]
                        if made != wanted:
                            raise StoreError(
                                f"{wanted - made} edges {what} to nodes that are gone: the graph was written meanwhile"
                            )
                return
            except StoreError as e:
                if attempt == _ATTEMPTS - 1 or not is_deadlock(e):
                    raise
                time.sleep(0.05 * (attempt + 1))


def _parts(
    kind: _Kind, names: tuple[str, ...], values: list[list[Any]]
) -> Iterator[tuple[str, int, str, dict[str, Any]]]:
    """(label or type, rows, statement, its parameters), some thousand rows each."""
    if len(kind) == 1:
        for i in range(0, len(values[0]), _PART):
            part = [column[i : i + _PART] for column in values]
            yield kind[0], len(part[0]), statements.load_nodes(kind[0], names), {"columns": part}
        return
    text = statements.load_edges(kind[0], kind[1], kind[2], names)
    order = sorted(range(len(values[0])), key=values[0].__getitem__)
    for i in range(0, len(order), _PART):
        rows = order[i : i + _PART]
        source = [values[0][j] for j in rows]
        starts = [k for k, id_ in enumerate(source) if not k or id_ != source[k - 1]]
        yield (
            kind[0],
            len(rows),
            text,
            {
                "sources": [source[k] for k in starts],
                "starts": [*starts, len(rows)],
                "columns": [[column[j] for j in rows] for column in values[1:]],
            },
        )
