"""A user's Cypher on a server: the gate, READ access, and limits of time, rows and bytes.

What READ access does not stop (file and URL reads, settings, procedures) the gate does. What neither stops, a query that
fills the server's memory, `mmkg.cypher.growth` refuses where it can be seen from the text, and the server's own limits
(docs/operations.md) end otherwise.
"""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mmkg.cypher.gate import prepare
from mmkg.cypher.growth import check_growth
from mmkg.cypher.statements import primary
from mmkg.errors import MMKGError, QueryLimitError
from mmkg.store.delta_rows import checked_parameters
from mmkg.store.neo4j.connection import Connection
from mmkg.types import QueryResult

if TYPE_CHECKING:
    from neo4j import Transaction

_GRACE_S = 0.4
"""The server ends a late query itself; this much later the caller is let go."""


def user_query(
    connection: Connection,
    cypher: str,
    parameters: Mapping[str, Any] | None,
    *,
    timeout_s: float,
    max_rows: int,
    max_bytes: int,
) -> QueryResult:
    """Rows of a read-only query. Nodes, relationships and paths come as maps, dates as ISO text.

    Raises WriteRefusedError, CypherError; QueryLimitError with limit time, memory or bytes; StoreUnavailableError.
    """
    if not (math.isfinite(timeout_s) and timeout_s > 0 and max_rows > 0 and max_bytes > 0):
        raise ValueError("timeout_s, max_rows and max_bytes must be above 0")
    text = prepare(cypher)
    check_growth(text)
    values = checked_parameters(parameters or {})
    connection.driver()  # opened outside the time limit
    outcome: list[QueryResult | BaseException] = []

    def work() -> None:
        try:
            outcome.append(_run(connection, text, values, timeout_s, max_rows, max_bytes))
        except BaseException as e:
            outcome.append(e)

    # In a thread of its own: a server that is too busy to notice its own time limit must not hold the caller.
    thread = threading.Thread(target=work, name="mmkg-cypher", daemon=True)
    thread.start()
    thread.join(timeout_s + _GRACE_S)
    if not outcome:
        raise QueryLimitError("time", f"the query took longer than {timeout_s:g} s and was ended")
    result = outcome[0]
    if isinstance(result, MMKGError):
        raise result
    if isinstance(result, BaseException):
        raise result
    return result


def _run(
    connection: Connection, text: str, values: dict[str, Any], timeout_s: float, max_rows: int, max_bytes: int
) -> QueryResult:
    with connection.errors(), connection.session(fetch_size=min(max_rows + 1, 500)) as session:
        tx = session.begin_transaction(timeout=timeout_s)
        try:
            return _table(tx, text, values, max_rows, max_bytes)
        finally:
            tx.close()


def _table(tx: Transaction, text: str, values: dict[str, Any], max_rows: int, max_bytes: int) -> QueryResult:
    result = tx.run(text, values)
    columns = tuple(result.keys())
    rows: list[tuple[Any, ...]] = []
    taken = 0
    for record in result:
        if len(rows) == max_rows:
            return QueryResult(columns=columns, rows=tuple(rows), truncated=True)
        row = tuple(_plain(v) for v in record.values())
        taken += len(json.dumps(row, allow_nan=False))
        if taken > max_bytes:
            raise QueryLimitError(
                "bytes", f"the result has more than {max_bytes} bytes", hint="return less, or add LIMIT"
            )
        rows.append(row)
    return QueryResult(columns=columns, rows=tuple(rows))


def _plain(value: Any) -> Any:
    """A value of the driver in the form that the embedded engine gives."""
    from neo4j.graph import Node, Path, Relationship

    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Node):
        labels = sorted(value.labels, key=lambda x: (x != primary(sorted(value.labels)), x))
        return {"id": value.get("id"), "labels": labels, "properties": {k: _plain(v) for k, v in value.items()}}
    if isinstance(value, Relationship):
        return {"type": value.type, "properties": {k: _plain(v) for k, v in value.items()}}
    if isinstance(value, Path):
        edges = [
            {
                "type": r.type,
                "source": r.start_node.get("id") if r.start_node else None,
                "target": r.end_node.get("id") if r.end_node else None,
                "properties": {k: _plain(v) for k, v in r.items()},
            }
            for r in value.relationships
        ]
        return {"nodes": [_plain(n) for n in value.nodes], "relationships": edges}
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, bytes | bytearray):
        return f"{len(value)} bytes"
    if hasattr(value, "iso_format"):
        return value.iso_format()
    if isinstance(value, tuple) and hasattr(value, "srid"):
        return str(value)
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return str(value)
