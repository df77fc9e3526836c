"""Just enough of the ONNX file format to write a convolutional network down.

torch's own exporter needs two more packages and its bytes change with its version; these bytes depend on the weights alone,
so their hash can be pinned. The format is protocol buffers, message and field numbers as in the ONNX IR specification.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

OPSET = 13
IR_VERSION = 7
_FLOAT = 1  # TensorProto.DataType


def _varint(n: int) -> bytes:
    out = bytearray()
    while n > 0x7F:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


def _int(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value)


def _bytes(number: int, value: bytes | str) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _attribute(name: str, value: int | float | str | Sequence[int]) -> bytes:
    if isinstance(value, int):
        body = _int(3, value) + _int(20, 2)
    elif isinstance(value, float):
        body = _varint(2 << 3 | 5) + struct.pack("<f", value) + _int(20, 1)
    elif isinstance(value, str):
        body = _bytes(4, value) + _int(20, 3)
    else:
        body = b"".join(_int(8, v) for v in value) + _int(20, 7)
    return _bytes(1, name) + body


def _value(name: str, shape: Sequence[int | str]) -> bytes:
    dims = b"".join(_bytes(1, _int(1, d) if isinstance(d, int) else _bytes(2, d)) for d in shape)
    return _bytes(1, name) + _bytes(2, _bytes(1, _int(1, _FLOAT) + _bytes(2, dims)))


@dataclass(slots=True)
class Graph:
    """A network under construction, float32 throughout. Values are named by the order in which nodes make them."""

    _nodes: list[bytes] = field(default_factory=list)
    _constants: list[bytes] = field(default_factory=list)

    def constant(self, values: npt.NDArray[np.float32]) -> str:
        """Add a tensor; returns its name."""
        name = f"c{len(self._constants)}"
        dims = b"".join(_int(1, d) for d in values.shape)
        raw = np.ascontiguousarray(values, dtype="<f4").tobytes()
        self._constants.append(dims + _int(2, _FLOAT) + _bytes(8, name) + _bytes(9, raw))
        return name

    def node(self, op: str, *inputs: str, **attributes: int | float | str | Sequence[int]) -> str:
        """Add an operator with one output; returns the output's name."""
        name = f"v{len(self._nodes)}"
        body = b"".join(_bytes(1, i) for i in inputs) + _bytes(2, name) + _bytes(4, op)
        body += b"".join(_bytes(5, _attribute(k, v)) for k, v in sorted(attributes.items()))
        self._nodes.append(body)
        return name

    def model(
        self, name: str, *, inputs: dict[str, Sequence[int | str]], outputs: dict[str, Sequence[int | str]]
    ) -> bytes:
        """The file: name of the graph, and its inputs and outputs with their shapes (a name for a free dimension)."""
        graph = b"".join(_bytes(1, n) for n in self._nodes) + _bytes(2, name)
        graph += b"".join(_bytes(5, c) for c in self._constants)
        graph += b"".join(_bytes(11, _value(n, s)) for n, s in inputs.items())
        graph += b"".join(_bytes(12, _value(n, s)) for n, s in outputs.items())
        opset = _bytes(1, "") + _int(2, OPSET)
        return _int(1, IR_VERSION) + _bytes(2, "mmkg") + _bytes(7, graph) + _bytes(8, opset)
