"""Immutable files of arrays in the safetensors layout: written once with their hash, read by memory map, never pickled.

Written here rather than with the safetensors package because a merge must stream rows larger than memory, and the
package's NumPy reader copies. The files open with that package.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import uuid
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from mmkg.errors import StoreDamagedError
from mmkg.store.durable import put_in_place, sync_file

_DTYPES = {"U8": "|u1", "I8": "|i1", "F16": "<f2", "I32": "<i4", "F64": "<f8", "I64": "<i8", "U64": "<u8"}
_NAMES = {np.dtype(v): k for k, v in _DTYPES.items()}
_MAX_HEADER = 16 * 2**20


class TensorWriter:
    """Writes named arrays, in blocks, to a temporary file that gets its name only when all is on disk.

    tensors: name -> (dtype, shape), fixed beforehand; blocks must come in this order (wider items first keeps every array
    aligned). Use as a context manager and call `commit()` at its end; without it the temporary file is removed.
    """

    def __init__(
        self,
        path: Path,
        tensors: Mapping[str, tuple[npt.DTypeLike, tuple[int, ...]]],
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        header: dict[str, Any] = {"__metadata__": dict(metadata or {})}
        start = 0
        self._ends: list[tuple[str, np.dtype[Any], int]] = []
        for name, (dtype, shape) in tensors.items():
            kind = np.dtype(dtype)
            end = start + kind.itemsize * int(np.prod(shape, dtype=np.int64))
            header[name] = {"dtype": _NAMES[kind], "shape": list(shape), "data_offsets": [start, end]}
            self._ends.append((name, kind, end))
            start = end
        self._path = path
        self._total = start
        self._written = 0
        self._current = 0
        self._hash = hashlib.sha256()
        self._temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
        self._file = open(self._temporary, "xb")  # noqa: SIM115 (closed by __exit__)
        text = json.dumps(header, ensure_ascii=True, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)
        self._put(len(text).to_bytes(8, "little") + text)

    def write(self, name: str, block: npt.NDArray[Any]) -> None:
        """Append rows to a tensor. Raises ValueError for the wrong tensor, dtype or too many rows."""
        while self._current < len(self._ends) and self._written == self._ends[self._current][2]:
            if self._ends[self._current][0] == name and block.size == 0:
                return
            self._current += 1
        if block.size == 0:
            return
        expected, dtype, end = self._ends[self._current] if self._current < len(self._ends) else ("no more", None, 0)
        if name != expected or block.dtype != dtype or self._written + block.nbytes > end:
            raise ValueError(f"expected {expected} {dtype}, got {block.shape} {block.dtype} for {name}")
        self._put(np.ascontiguousarray(block).view(np.uint8).reshape(-1).data)
        self._written += block.nbytes

    def commit(self) -> str:
        """Sync the file, give it its name, sync the folder; its sha256, 64 hex digits. Raises ValueError if rows are missing."""
        if self._written != self._total:
            raise ValueError(f"expected {self._total} bytes of arrays in {self._path.name}, got {self._written}")
        sync_file(self._file, "segment")
        self._file.close()
        put_in_place(self._temporary, self._path, "segment")
        return self._hash.hexdigest()

    def __enter__(self) -> TensorWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        self._temporary.unlink(missing_ok=True)

    def _put(self, data: bytes | memoryview) -> None:
        self._hash.update(data)
        self._file.write(data)


class TensorFile:
    """Arrays of one file, mapped read-only. `arrays[name]`; `metadata`: str -> str.

    sha256: if given, the whole file is read once and compared. Raises StoreDamagedError, with the file's name, if the
    file is missing, has other bytes, or is not of this format.
    """

    def __init__(self, path: Path, *, sha256: str | None = None) -> None:
        try:
            with open(path, "rb") as file:
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as e:  # ValueError: an empty file cannot be mapped
            raise damaged(path, f"cannot be read: {e}") from e
        if sha256 is not None and hashlib.sha256(self._map).hexdigest() != sha256:
            raise damaged(path, "has other bytes than were written")
        self.size = len(self._map)
        self.metadata: dict[str, str] = {}
        self.arrays: dict[str, npt.NDArray[Any]] = {}
        try:
            self._parse()
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as e:
            raise damaged(path, f"is not a segment: {e}") from e

    def _parse(self) -> None:
        length = int.from_bytes(self._map[:8], "little")
        if not 2 <= length <= min(_MAX_HEADER, self.size - 8):
            raise ValueError(f"header of {length} bytes")
        header = json.loads(self._map[8 : 8 + length])
        data = 8 + length
        self.metadata = {str(k): str(v) for k, v in header.pop("__metadata__", {}).items()}
        total = 0
        for name, entry in header.items():
            dtype = np.dtype(_DTYPES[entry["dtype"]])
            shape = tuple(int(n) for n in entry["shape"])
            start, end = entry["data_offsets"]
            count = int(np.prod(shape, dtype=object)) if shape else 1
            if min(shape, default=0) < 0 or start != total or end - start != count * dtype.itemsize:
                raise ValueError(f"array {name} at {start}..{end}, shape {shape}")
            if data + end > self.size:
                raise ValueError(f"array {name} ends past the end of the file")
            array = np.frombuffer(self._map, dtype=dtype, count=count, offset=data + start)
            self.arrays[name] = array.reshape(shape)
            total = end
        if data + total != self.size:
            raise ValueError(f"{self.size - data - total} bytes after the last array")


def damaged(path: Path, what: str) -> StoreDamagedError:
    """The error for a file of the index that cannot be trusted."""
    return StoreDamagedError(
        f"{path.name} {what}", hint="run `mmkg doctor --fix`, which makes the index again from the ledger"
    )
