"""How like two pictures are: a print of the pixels for copies, a cosine for likeness; and the buckets that find candidates.

Every value here is a function of one picture or of one pair, computed in integers, so that it does not depend on what else
is looked at, in which order, or on how a library adds up floats.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from mmkg.algorithms.keys import entity_key

COARSE, FINE = 8, 16
"""A print looks at the picture as 8 x 8 and as 16 x 16 fields."""
_COARSE_BITS, _FINE_BITS = 2 * COARSE * COARSE, 2 * FINE * FINE
PRINT_NUMBERS = (_COARSE_BITS + _FINE_BITS) // 8
"""A print is kept as so many numbers from 0 to 255, which half precision holds exactly."""
_STEP = 4
"""Grey levels by which one field must pass its neighbour to count as brighter: the grain of a flat area counts for nothing."""
_LEAST_EDGES = 40
"""A print with fewer fine bits shows next to nothing: an even page, a blank frame. It has no copies."""
MAX_DISTANCE = 12
"""Coarse bits in which the prints of a copy may differ; they find it."""
MIN_OVERLAP = 0.75
"""Share of the fine bits of two prints, set in either, that a copy has in both; they confirm it.

Measured on 250 photographs and 120 pages of PDF files: copies at a half or a third of the size, compressed at quality 30, or with
more light or contrast have 0.80 to 0.97 (first percentile and median); of 38,000 pairs of others 2 pass it, both of nearly empty forms.
A copy cut by 3 % at each side has 0.54 to 0.67 and is no copy here.
"""
MIN_COSINE = 0.9
"""Cosine from which two pictures are alike in a space of vectors."""
_BANDS, _BAND_BITS = 16, 10
_SCALE = 4096.0

Vector = npt.NDArray[np.int64]


class Link(NamedTuple):
    """Why two pictures are near. score: 0..1, three decimals. reason: copy or like."""

    score: float
    reason: str


class Features(NamedTuple):
    """What is compared of a picture. bits: (640,) bool, coarse ones first, or None without a print; vectors: space -> (dim,) int64."""

    bits: npt.NDArray[np.bool_] | None
    vectors: Mapping[str, Vector]


def grey_print(coarse: npt.NDArray[Any], fine: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """(1, 80) float32 of whole numbers 0..255: the difference print of a picture, given as 9 x 9 and 17 x 17 grey levels.

    For each field a bit says whether it is brighter than its right neighbour, and one whether than the one below.
    Raises ValueError for other shapes. Reference: the idea of N. Krawetz, "Kind of like that" (2013), in two directions.
    """
    if coarse.shape != (COARSE + 1, COARSE + 1) or fine.shape != (FINE + 1, FINE + 1):
        raise ValueError(f"expected (9, 9) and (17, 17) grey levels, got {coarse.shape} and {fine.shape}")
    return np.packbits(np.concatenate([_edges(coarse), _edges(fine)])).astype(np.float32)[None]


def _edges(grey: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    g = grey.astype(np.int64)
    across, down = g[:-1, :-1] - g[:-1, 1:] >= _STEP, g[:-1, :-1] - g[1:, :-1] >= _STEP
    return np.concatenate([across.reshape(-1), down.reshape(-1)])


def features(rows: Mapping[str, npt.NDArray[Any]], *, print_space: str) -> Features:
    """What is compared, from the kept output of a picture: space -> (1, dim). Rows of another shape count as absent."""
    bits: npt.NDArray[np.bool_] | None = None
    vectors: dict[str, Vector] = {}
    for space, row in sorted(rows.items()):
        if len(row) != 1 or not np.isfinite(row).all():
            continue
        if space == print_space:
            if row.shape[1] == PRINT_NUMBERS:
                found = np.unpackbits(row[0].astype(np.uint8)).astype(bool)
                if int(found[_COARSE_BITS:].sum()) >= _LEAST_EDGES:
                    bits = found
        else:
            whole = np.rint(row[0].astype(np.float64) * _SCALE).astype(np.int64)
            if whole.any():
                vectors[space] = whole
    return Features(bits, vectors)


def bucket_keys(of: Features) -> list[int]:
    """Signed 64-bit keys of the buckets of a picture, ascending: two pictures are compared if they share one.

    Copies share one of eight parts of 16 bits of their prints (always up to 7 differing bits, nearly always up to 12).
    Vectors share one of 16 bands of 10 bits, each bit a side of a fixed random hyperplane: with a cosine of 0.9 that misses
    two pairs in a hundred, and of unrelated pictures it compares about one in sixty.
    Reference: Charikar, "Similarity estimation techniques from rounding algorithms", STOC 2002.
    """
    keys = set()
    if of.bits is not None:
        for i, part in enumerate(of.bits[:_COARSE_BITS].reshape(8, 16)):
            if part.any() and not part.all():
                keys.add(entity_key(f"print/{i}/{np.packbits(part).tobytes().hex()}"))
    for space, vector in of.vectors.items():
        sides = (_planes(len(vector)) @ vector > 0).reshape(_BANDS, _BAND_BITS)
        for i, band in enumerate(sides):
            keys.add(entity_key(f"band/{space}/{i}/{''.join('01'[int(b)] for b in band)}"))
    return sorted(keys)


@lru_cache(maxsize=8)
def _planes(dim: int) -> npt.NDArray[np.int64]:
    """(160, dim) of +1 and -1, the same on every machine and with every version of numpy."""
    n = _BANDS * _BAND_BITS * dim
    bits = np.unpackbits(np.frombuffer(hashlib.shake_256(f"mmkg planes {dim}".encode()).digest((n + 7) // 8), np.uint8))
    return bits[:n].astype(np.int64).reshape(-1, dim) * 2 - 1


def link(a: Features, b: Features) -> Link | None:
    """How two pictures are near, or None. Symmetric; more spaces never undo a link that fewer made."""
    if a.bits is not None and b.bits is not None:
        both, either = a.bits & b.bits, a.bits | b.bits
        overlap = int(both[_COARSE_BITS:].sum()) / max(int(either[_COARSE_BITS:].sum()), 1)
        if int((either & ~both)[:_COARSE_BITS].sum()) <= MAX_DISTANCE and overlap >= MIN_OVERLAP:
            return Link(round(overlap, 3), "copy")
    best = max((_cosine(a.vectors[s], b.vectors[s]) for s in a.vectors.keys() & b.vectors.keys()), default=0.0)
    return Link(round(min(best, 1.0), 3), "like") if best >= MIN_COSINE else None


def _cosine(a: Vector, b: Vector) -> float:
    if a.shape != b.shape:
        return 0.0
    return int(a @ b) / math.sqrt(int(a @ a) * int(b @ b))


def nearest(links: Sequence[tuple[str, Link]], k: int) -> list[str]:
    """Ids of the k best links: copies first, then by score, ties by id."""
    return [id_ for id_, x in sorted(links, key=lambda p: (p[1].reason != "copy", -p[1].score, p[0]))[:k]]
