"""Rows of the engine as JSON: what a bare node, relationship or path becomes, and the caps on a result."""

from __future__ import annotations

import datetime
import json
import math
from typing import Any

from mmkg.cypher.statements import primary

_STRUCTURAL = ("title", "type")
_NODE_KEYS = {"id", "labels", "properties"}
_EDGE_KEYS = {"id", "start", "end", "type", "properties"}


class TooLarge(Exception):
    """A result passed its cap of bytes."""


def node_row(row: dict[str, Any]) -> list[Any]:
    """[label, id, properties] from a row of statements.get_nodes."""
    properties = {k: v for k, v in row["props"].items() if k != "id" and k not in _STRUCTURAL and v is not None}
    return [primary(row["labels"]), row["id"], properties]


def edge_row(row: dict[str, Any], label: str, direction: str) -> list[Any]:
    """[type, source, target, source label, target label, properties] from a row of statements.edges_at(label)."""
    properties = {k: v for k, v in row["props"].items() if k != "type" and v is not None}
    ends = (label, primary(row["labels"])) if direction == "out" else (primary(row["labels"]), label)
    return [row["type"], row["source"], row["target"], *ends, properties]


def table(result: Any, rows: int, size: int) -> dict[str, Any]:
    """Columns and rows of a result, at most `rows` rows; raises TooLarge past `size` bytes of JSON.

    truncated: whether the engine had more rows than it was asked to keep.
    """
    columns = list(result.columns)
    out: list[list[Any]] = []
    taken = 0
    for record in result:
        row = [to_json(record[c]) for c in columns]
        taken += len(json.dumps(row, allow_nan=False))
        if taken > size:
            raise TooLarge(f"the result has more than {size} bytes")
        out.append(row)
        if len(out) == rows:
            break
    diagnostics = result.diagnostics or {}
    return {"columns": columns, "rows": out, "truncated": diagnostics.get("total_rows") is not None}


def to_json(value: Any) -> Any:
    """A value of the engine as JSON: dates as ISO text, nodes and relationships as maps, what is not finite as null."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return _map(value)
    if isinstance(value, list | tuple):
        return [to_json(v) for v in value]
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    return str(value)


def _map(value: dict[str, Any]) -> Any:
    keys = value.keys()
    if keys == _NODE_KEYS and isinstance(value["id"], int) and isinstance(value["properties"], dict):
        properties = {k: to_json(v) for k, v in value["properties"].items() if k not in _STRUCTURAL}
        return {"id": properties.get("id"), "labels": value["labels"], "properties": properties}
    if keys == _EDGE_KEYS and isinstance(value["start"], int):
        return {"type": value["type"], "properties": to_json(value["properties"])}
    if keys == {"nodes", "relationships"} and all(isinstance(v, list) for v in value.values()):
        return _path(value["nodes"], value["relationships"])
    return {str(k): to_json(v) for k, v in value.items()}


def _path(nodes: list[Any], edges: list[Any]) -> dict[str, Any]:
    """A path; its relationships get the ids of their ends, which the engine gives as internal numbers."""
    names = {n["id"]: n["properties"].get("id") for n in nodes if isinstance(n, dict) and n.keys() == _NODE_KEYS}
    out: list[Any] = []
    for edge in edges:
        if isinstance(edge, dict) and edge.keys() == _EDGE_KEYS:
            ends = {"source": names.get(edge["start"]), "target": names.get(edge["end"])}
            out.append({"type": edge["type"], **ends, "properties": to_json(edge["properties"])})
        else:
            out.append(to_json(edge))
    return {"nodes": [to_json(n) for n in nodes], "relationships": out}
