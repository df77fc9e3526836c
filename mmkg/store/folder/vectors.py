"""Exact nearest neighbours by inner product over immutable blocks of vectors.

Each block has the vectors in half precision and the same in 8 bits. FAISS scans the 8-bit codes; the error that rounding can have made
in a score is bounded, and every row that could be among the best within that bound is scored again in double precision from its
half-precision vector. So the answer is exact, and the same on any number of threads, at half the memory of a half-precision scan.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from mmkg.protocols import FloatArray, IntArray

_SHARD = 1 << 16
_BLOCK = 4096
_UNIT32 = 2.0**-24


def step_of(vectors: npt.NDArray[np.float16]) -> float:
    """Width of one of 127 levels that cover the largest coordinate; 0.0 if there is none."""
    return (
        max(
            (float(np.abs(vectors[i : i + _BLOCK]).max(initial=0)) for i in range(0, len(vectors), _BLOCK)), default=0.0
        )
        / 127
    )


def quantise(vectors: npt.NDArray[np.float16], step: float) -> npt.NDArray[np.uint8]:
    """(n, dim) uint8: coordinates rounded to steps, plus 128. step must be at least step_of(vectors)."""
    codes = np.empty(vectors.shape, dtype=np.uint8)
    for i in range(0, len(vectors), _BLOCK):
        levels = vectors[i : i + _BLOCK].astype(np.float32)
        levels *= np.float32(1.0 / step) if step else np.float32(0.0)
        np.rint(levels, out=levels)
        levels += 128.0
        codes[i : i + _BLOCK] = levels
    return codes


class VectorRows:
    """A block of vectors: (n, dim) float16, and their (n, dim) uint8 codes of this step. Scan structures are built at first use."""

    def __init__(self, vectors: npt.NDArray[np.float16], codes: npt.NDArray[np.uint8], step: float) -> None:
        if vectors.ndim != 2 or vectors.shape != codes.shape:
            raise ValueError(f"expected equal shapes, got {vectors.shape} vectors and {codes.shape} codes")
        self.vectors = vectors
        self.codes = codes
        self.step = step
        self._lock = threading.Lock()
        self._shards: list[_Shard] | None = None

    def __len__(self) -> int:
        return len(self.vectors)

    @property
    def dim(self) -> int:
        return int(self.vectors.shape[1])

    def shards(self) -> list[_Shard]:
        """The block in pieces that can be scanned at the same time."""
        with self._lock:
            if self._shards is None:
                self._shards = [
                    _Shard(self, start, min(start + _SHARD, len(self))) for start in range(0, len(self), _SHARD)
                ]
            return self._shards


class _Shard:
    """Rows [start, end) of a block, and the FAISS index of their codes."""

    def __init__(self, block: VectorRows, start: int, end: int) -> None:
        self.block, self.start, self.end = block, start, end
        self._lock = threading.Lock()
        self._index: Any = None

    def scan(self, query: FloatArray, k: int) -> tuple[IntArray, FloatArray]:
        """The k best rows (of the block) by the score of their codes, best first."""
        scores, rows = self.index().search(query[None, :], min(k, self.end - self.start))
        return rows[0] + self.start, scores[0]

    def index(self) -> Any:
        """The scan structure, built at first use."""
        import faiss

        with self._lock:
            if self._index is None:
                kind = faiss.ScalarQuantizer.QT_8bit_direct_signed
                index = faiss.IndexScalarQuantizer(self.block.dim, kind, faiss.METRIC_INNER_PRODUCT)
                index.add_sa_codes(self.block.codes[self.start : self.end])
                self._index = index
            return self._index


@dataclass(frozen=True, slots=True)
class Part:
    """A block and the number of each of its rows in the view: (n,) int32, -1 where the row is not in it."""

    rows: VectorRows
    numbers: npt.NDArray[np.int32]


def search(parts: Sequence[Part], query: FloatArray, k: int) -> tuple[IntArray, FloatArray]:
    """The k rows with the largest inner product with query (dim,), best first, ties by number; fewer if there are fewer.

    Returns (m,) numbers and (m,) scores: the products of the half-precision rows with the query, summed in double precision and
    rounded to single; ties are judged after rounding. Raises ValueError for another shape, a query that is not finite, or k < 1.
    """
    query = np.ascontiguousarray(query, dtype=np.float32)
    dims = {part.rows.dim for part in parts}
    if query.ndim != 1 or any(dim != len(query) for dim in dims) or not np.isfinite(query).all():
        raise ValueError(f"expected a finite query of shape ({', '.join(map(str, sorted(dims)))},), got {query.shape}")
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    scans = [_Scan(part, shard, query) for part in parts for shard in part.rows.shards()]
    numbers, scores = np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32)
    pending, fetch = scans, 4 * k + 64
    while pending:
        # FAISS starts a team of threads for one query; in the pool's threads it is told not to.
        list(_pool().map(lambda scan, n=fetch: scan.fetch(n), pending))
        numbers, scores = _best(scans, query, k)
        if len(numbers) == k:
            pending = [scan for scan in scans if scan.may_hide(float(scores[-1]))]
        else:
            pending = [scan for scan in scans if not scan.exhausted]
        fetch *= 8
    return numbers, scores


def warm(parts: Sequence[Part]) -> None:
    """Build what the first search would build."""
    list(_pool().map(_Shard.index, [shard for part in parts for shard in part.rows.shards()]))


class _Scan:
    """The candidates of one shard for one query: live rows, and bounds on their scores."""

    def __init__(self, part: Part, shard: _Shard, query: FloatArray) -> None:
        self.part, self.shard, self.query = part, shard, query
        step, l1 = part.rows.step, float(np.abs(query).sum(dtype=np.float64))
        # Rounding moves a coordinate by half a step (a little more, for the division in single precision); the scan adds dim
        # products of at most 127 |q_i| in single precision; the exact score is rounded once.
        self.slack = l1 * step * (0.5001 + 127 * (len(query) + 4) * _UNIT32) + 1e-12
        self.rows: IntArray = np.empty(0, dtype=np.int64)
        self.approximate: npt.NDArray[np.float64] = np.empty(0)
        self.exhausted = False
        self.ceiling = np.inf

    def fetch(self, n: int) -> None:
        rows, scores = self.shard.scan(self.query, n)
        approximate = scores.astype(np.float64) * self.part.rows.step
        self.exhausted = n >= self.shard.end - self.shard.start
        self.ceiling = float(approximate[-1]) + self.slack
        live = self.part.numbers[rows] >= 0
        self.rows, self.approximate = rows[live], approximate[live]

    def may_hide(self, score: float) -> bool:
        """Whether a row that was not fetched could have this score or more."""
        return not self.exhausted and self.ceiling >= score - 4 * _UNIT32 * abs(score)


def _best(scans: Sequence[_Scan], query: FloatArray, k: int) -> tuple[IntArray, FloatArray]:
    """The exact best k of the candidates."""
    lowest = np.concatenate([scan.approximate - scan.slack for scan in scans])
    bar = float(np.partition(lowest, -k)[-k]) if len(lowest) >= k else -np.inf
    numbers, scores = [], []
    wide = query.astype(np.float64)
    for scan in scans:
        rows = scan.rows[scan.approximate + scan.slack >= bar - 4 * _UNIT32 * abs(bar)]
        # Row by row, in the order of the coordinates: the same sum whatever else is scored along.
        products = scan.part.rows.vectors[rows].astype(np.float64) * wide
        scores.append(products.sum(axis=1).astype(np.float32))
        numbers.append(scan.part.numbers[rows].astype(np.int64))
    joined, values = np.concatenate(numbers), np.concatenate(scores)
    order = np.lexsort((joined, -values))[:k]
    return joined[order], values[order]


@lru_cache(maxsize=1)
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(min(2, os.cpu_count() or 1), thread_name_prefix="mmkg-vectors", initializer=_one_thread)


def _one_thread() -> None:
    import faiss

    faiss.omp_set_num_threads(1)
