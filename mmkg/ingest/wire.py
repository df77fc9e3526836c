"""Messages between the pool and its parser processes: a JSON header and raw bytes, each with its length. Never pickle.

Frame: 4 bytes "MKG1", header length and number of blobs (both unsigned 32 bit, big endian), the header in UTF-8, then for
each blob its length (unsigned 64 bit) and its bytes.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO

_MAGIC = b"MKG1"
_HEAD = struct.Struct(">4sII")
_LENGTH = struct.Struct(">Q")
_MOST_BLOBS = 1_000_000

STARVED = 4
"""How many times its seconds a parser gets on the clock, as long as the machine keeps it from using them."""


class WireError(Exception):
    """The other side sent what is no message of this form, or more than is allowed."""


def send(stream: BinaryIO, header: Mapping[str, Any], blobs: Sequence[bytes] = ()) -> None:
    """Write one message and flush."""
    body = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
    stream.write(_HEAD.pack(_MAGIC, len(body), len(blobs)))
    stream.write(body)
    for blob in blobs:
        stream.write(_LENGTH.pack(len(blob)))
        stream.write(blob)
    stream.flush()


def receive(stream: BinaryIO, *, most: int) -> tuple[dict[str, Any], list[bytes]] | None:
    """Read one message; None at the end of the stream. most: bytes that it may have in all.

    Raises WireError for a cut or foreign message, or one that is too long; nothing is allocated before it is checked.
    """
    head = _read(stream, _HEAD.size)
    if head is None:
        return None
    magic, length, count = _HEAD.unpack(head)
    if magic != _MAGIC or count > _MOST_BLOBS:
        raise WireError("not a message")
    left = most - length
    if left < 0:
        raise WireError(f"message of {length} bytes, at most {most} are allowed")
    try:
        header = json.loads(_exact(stream, length))
    except (ValueError, RecursionError) as e:
        raise WireError(f"header is not JSON: {e}") from e
    if not isinstance(header, dict):
        raise WireError("header is not an object")
    blobs = []
    for _ in range(count):
        (size,) = _LENGTH.unpack(_exact(stream, _LENGTH.size))
        left -= size
        if left < 0:
            raise WireError(f"message longer than {most} bytes")
        blobs.append(_exact(stream, size))
    return header, blobs


def _read(stream: BinaryIO, size: int) -> bytes | None:
    data = stream.read(size)
    if not data:
        return None
    if len(data) < size:
        raise WireError("message cut short")
    return data


def _exact(stream: BinaryIO, size: int) -> bytes:
    data = _read(stream, size) if size else b""
    if data is None:
        raise WireError("message cut short")
    return data
