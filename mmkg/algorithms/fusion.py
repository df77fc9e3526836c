"""Joining rankings whose scores cannot be compared: by rank."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mmkg.types import Hit

IntArray = npt.NDArray[np.int64]
Float64Array = npt.NDArray[np.float64]


def rrf(rankings: Sequence[Sequence[str]], *, k: int = 60) -> list[Hit]:
    """Fuse rankings by reciprocal rank: score(d) = sum over rankings of 1 / (k + rank(d)), ranks from 1.

    Ties are broken by id, so the result does not depend on the order of `rankings`. An id that a ranking names twice counts
    at its first place. Raises ValueError if k < 1.
    Reference: Cormack, Clarke and Buettcher, SIGIR 2009, "Reciprocal Rank Fusion outperforms Condorcet and individual rank
    learning methods".

    >>> [hit.id for hit in rrf([["a", "b"], ["b", "c"]])]
    ['b', 'a', 'c']
    """
    names = sorted({name for ranking in rankings for name in ranking})
    index = {name: i for i, name in enumerate(names)}
    order, scores = fuse([np.array([index[n] for n in ranking], dtype=np.int64) for ranking in rankings], k=k)
    return [Hit(names[i], float(s)) for i, s in zip(order, scores, strict=True)]


def fuse(rankings: Sequence[IntArray], *, k: int = 60) -> tuple[IntArray, Float64Array]:
    """The same on arrays of non-negative integers (best first): items in the fused order, and their scores.

    Ties go to the smaller item. O(n log n) in the number of distinct items. Raises ValueError if k < 1.
    """
    return weighted([(ranking, 1.0) for ranking in rankings], k=k)


def weighted(rankings: Sequence[tuple[IntArray, float]], *, k: int = 60) -> tuple[IntArray, Float64Array]:
    """As `fuse`, each ranking with a weight: score(d) = sum over rankings of weight / (k + rank(d)).

    Raises ValueError if k < 1 or a weight is not above 0.

    >>> weighted([(np.array([1, 2]), 1.0), (np.array([2, 3]), 0.5)], k=1)[0].tolist()
    [2, 1, 3]
    """
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    items: list[IntArray] = []
    shares: list[Float64Array] = []
    for ranking, weight in rankings:
        if not weight > 0:
            raise ValueError(f"a weight must be above 0, got {weight}")
        places = np.sort(np.unique(np.asarray(ranking, dtype=np.int64), return_index=True)[1])
        items.append(np.asarray(ranking, dtype=np.int64)[places])
        shares.append(weight / (k + 1.0 + places.astype(np.float64)))
    if not items:
        return np.zeros(0, dtype=np.int64), np.zeros(0)
    distinct, inverse = np.unique(np.concatenate(items), return_inverse=True)
    # Summed in ascending order of the shares, or the order of the rankings would show in the last bit and break ties.
    flat = np.concatenate(shares)
    ascending = np.argsort(flat, kind="stable")
    scores = np.zeros(len(distinct))
    np.add.at(scores, inverse[ascending], flat[ascending])
    order = np.argsort(-scores, kind="stable")
    return distinct[order], scores[order]


def top(scores: npt.NDArray[np.floating], k: int) -> IntArray:
    """Indices of the k largest positive scores, best first; ties go to the smaller index. O(n + k log k).

    >>> top(np.array([0.1, 0.0, 0.3, 0.1]), 3).tolist()
    [2, 0, 3]
    """
    held = np.flatnonzero(scores > 0)
    if k <= 0 or not len(held):
        return np.zeros(0, dtype=np.int64)
    if len(held) > k:
        floor = np.partition(scores[held], len(held) - k)[len(held) - k]
        held = held[scores[held] >= floor]
    return held[np.argsort(-scores[held], kind="stable")][:k]
