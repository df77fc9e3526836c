"""What travels between a store and its engine process, and what a delta file holds.

Messages are JSON with a 4-byte big-endian length in front; never pickle, so that nothing a broken child says can run. NaN and
infinities are refused on both sides. A delta file is JSON lines, gzipped if its name ends in .gz:

    {"mmkg_delta": 1}                                                 first line
    ["-n", label, id]   ["-e", type, source, target, source_label, target_label]
    ["n", label, id, properties]   ["e", type, source, target, source_label, target_label, properties]
    {"end": number of rows}                                           last line; without it the file is damaged
"""

from __future__ import annotations

import gzip
import io
import json
import os
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from mmkg.errors import StoreDamagedError
from mmkg.store.durable import put_in_place, sync_file
from mmkg.types import Edge, GraphDelta, Node

MAX_MESSAGE = 512 * 2**20
"""Longest message that the trusted side may send, in bytes."""
_HEADER = struct.Struct(">I")


def encode(message: Any) -> bytes:
    """A message with its length in front. Raises ValueError for what JSON cannot say (NaN, infinity) or a message too long."""
    body = json.dumps(message, ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode("ascii")
    if len(body) > MAX_MESSAGE:
        raise ValueError(f"message of {len(body)} bytes; at most {MAX_MESSAGE}")
    return _HEADER.pack(len(body)) + body


def decode(body: bytes) -> Any:
    """A message body. Raises ValueError for anything but strict JSON."""
    try:
        return json.loads(body, parse_constant=_no_constant)
    except RecursionError as e:
        raise ValueError("message nested too deep") from e


def read_message(read: Callable[[int], bytes], *, limit: int = MAX_MESSAGE) -> Any:
    """Read one message. read(n) gives exactly n bytes or raises EOFError. Raises ValueError past `limit` bytes."""
    (length,) = _HEADER.unpack(read(_HEADER.size))
    if length > limit:
        raise ValueError(f"message of {length} bytes; at most {limit} are taken")
    return decode(read(length))


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


# ---- Deltas ------------------------------------------------------------------------------------------------------


def delta_rows(delta: GraphDelta) -> Iterator[list[Any]]:
    """The rows of a delta, in the order in which they apply."""
    for label, id_ in delta.delete_nodes:
        yield ["-n", label, id_]
    for e in delta.delete_edges:
        yield ["-e", e.type, e.source, e.target, e.source_label, e.target_label]
    for n in delta.nodes:
        yield ["n", n.label, n.id, dict(n.properties)]
    for e in delta.edges:
        yield ["e", e.type, e.source, e.target, e.source_label, e.target_label, dict(e.properties)]


def delta_from_rows(rows: Iterator[list[Any]]) -> GraphDelta:
    """The inverse of delta_rows. Raises ValueError for a row of another form."""
    gone_nodes: list[tuple[str, str]] = []
    gone_edges: list[Edge] = []
    nodes: list[Node] = []
    edges: list[Edge] = []
    for row in rows:
        match row:
            case ["-n", str(label), str(id_)]:
                gone_nodes.append((label, id_))
            case ["-e", str(), str(), str(), str(), str()]:
                gone_edges.append(_edge(row[1:], {}))
            case ["n", str(label), str(id_), dict(properties)]:
                nodes.append(Node(id=id_, label=label, properties=properties))
            case ["e", str(), str(), str(), str(), str(), dict(properties)]:
                edges.append(_edge(row[1:6], properties))
            case _:
                raise ValueError(f"not a row of a delta: {str(row)[:80]}")
    return GraphDelta(
        delete_nodes=tuple(gone_nodes), delete_edges=tuple(gone_edges), nodes=tuple(nodes), edges=tuple(edges)
    )


def _edge(names: list[str], properties: dict[str, Any]) -> Edge:
    type_, source, target, source_label, target_label = names
    return Edge(
        type=type_,
        source=source,
        target=target,
        source_label=source_label,
        target_label=target_label,
        properties=properties,
    )


def write_delta(path: Path, delta: GraphDelta) -> None:
    """Write a delta so that after a crash the path holds all of it or nothing; the same delta gives the same bytes."""
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with aside.open("wb") as f:
            # mtime and name stay out of the gzip header, so that equal deltas are equal files.
            out: Any = gzip.GzipFile("", "wb", 1, f, 0) if path.suffix == ".gz" else f
            count = 0
            out.write(b'{"mmkg_delta":1}\n')
            for row in delta_rows(delta):
                out.write(_line(row))
                count += 1
            out.write(_line({"end": count}))
            if out is not f:
                out.close()
            sync_file(f, "delta")
        put_in_place(aside, path, "delta")
    except BaseException:
        aside.unlink(missing_ok=True)
        raise


def _line(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode() + b"\n"


def read_delta(path: Path) -> GraphDelta:
    """Read a delta file. Raises StoreDamagedError if it is absent, cut short, or not a delta."""
    try:
        return delta_from_rows(_rows(path))
    except (OSError, EOFError, ValueError, RecursionError, zlib.error) as e:
        raise StoreDamagedError(f"graph delta {path.name} cannot be read: {e}", hint="run `mmkg doctor --fix`") from e


def _rows(path: Path) -> Iterator[list[Any]]:
    with path.open("rb") as f:
        stream: Any = gzip.GzipFile(fileobj=f) if path.suffix == ".gz" else f
        lines = iter(io.BufferedReader(stream) if path.suffix == ".gz" else stream)
        if decode(next(lines, b"null")) != {"mmkg_delta": 1}:
            raise ValueError("no delta header")
        count = 0
        for line in lines:
            row = decode(line)
            if isinstance(row, dict):
                if row != {"end": count}:
                    raise ValueError(f"it ends after {count} rows but says {row}")
                if next(lines, None) is not None:
                    raise ValueError("rows after its end")
                return
            if not isinstance(row, list):
                raise ValueError("a line that is no row")
            yield row
            count += 1
        raise ValueError(f"it breaks off after {count} rows")
