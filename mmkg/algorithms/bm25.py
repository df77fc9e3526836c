"""BM25 over postings, with the statistics of the whole base."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping

import numpy as np
import numpy.typing as npt

Postings = Callable[[str], tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]]
"""term -> (units that hold it, ascending; how often); two empty arrays for an unknown term."""


def idf(n_units: int, df: int) -> float:
    """Inverse document frequency ln(1 + (N - df + 0.5) / (df + 0.5)): above 0 for 0 <= df <= N.

    Raises ValueError if df is not in 0..n_units.

    >>> round(idf(10, 1), 4)
    1.9924
    """
    if not 0 <= df <= n_units:
        raise ValueError(f"df must be in 0..{n_units}, got {df}")
    return math.log(1.0 + (n_units - df + 0.5) / (df + 0.5))


def bm25_scores(
    query: Iterable[str],
    postings: Postings,
    lengths: npt.NDArray[np.integer],
    *,
    k1: float = 1.5,
    b: float = 0.75,
    whole: tuple[int, float, Mapping[str, int]] | None = None,
) -> npt.NDArray[np.float64]:
    """(n,) score of each unit: sum over query terms of idf(t) * tf / (tf + k1 * (1 - b + b * length / mean length)).

    lengths: (n,) number of index terms of each unit. Units without terms (pictures without words) count neither in N
    nor in the mean. A term that the query repeats counts as often. Terms are added in sorted order, so the floating
    sum does not depend on the order of the query. whole: N, mean length and term -> df of the base of which `postings` and `lengths`
    are a part. Raises ValueError if k1 < 0 or b is not in 0..1.
    Reference: Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond", 2009; idf and the
    missing factor k1 + 1 as in Lucene (Kamphuis et al., ECIR 2020, "Which BM25 Do You Mean?").

    >>> held = {"cat": (np.array([0, 2], np.int32), np.array([1, 3], np.int32))}
    >>> none = (np.empty(0, np.int32), np.empty(0, np.int32))
    >>> bm25_scores(["cat", "dog"], lambda t: held.get(t, none), np.array([4, 4, 4])).round(3).tolist()
    [0.188, 0.0, 0.313]
    """
    if k1 < 0 or not 0 <= b <= 1:
        raise ValueError(f"expected k1 >= 0 and 0 <= b <= 1, got k1={k1}, b={b}")
    scores = np.zeros(len(lengths), dtype=np.float64)
    n_units = int(np.count_nonzero(lengths))
    if n_units == 0:
        return scores
    mean = float(lengths.sum(dtype=np.int64)) / n_units
    known: Mapping[str, int] = {}
    if whole is not None:
        n_units, mean, known = whole
    for term, times in sorted(Counter(query).items()):
        units, tf = postings(term)
        if len(units):
            weights = tf.astype(np.float64)
            norm = k1 * (1.0 - b + (b / mean) * lengths[units])
            df = min(max(known.get(term, 0), len(units)), n_units)
            scores[units] += times * idf(n_units, df) * weights / (weights + norm)
    return scores
