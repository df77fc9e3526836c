"""Late interaction: a query of several vectors against a page of many."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_BLOCK = 4_096
"""Rows of a page that are widened to float32 at a time."""


def maxsim(query: npt.NDArray[np.floating], page: npt.NDArray[np.floating]) -> float:
    """Sum over the query's vectors of the largest inner product with a vector of the page.

    query: (m, dim); page: (n, dim), half or single precision; both of unit rows give a score in -m..m. Products and sums are in float32.
    Time O(m n dim), memory O(m _BLOCK). Raises ValueError for other shapes, or an empty query or page.
    Reference: Khattab and Zaharia, SIGIR 2020, "ColBERT"; on pictures of pages Faysse et al., 2024, "ColPali".

    >>> maxsim(np.eye(2), np.array([[1.0, 0.0], [0.6, 0.8]]))
    1.7999999523162842
    """
    if query.ndim != 2 or page.ndim != 2 or query.shape[1] != page.shape[1] or not len(query) or not len(page):
        raise ValueError(f"expected (m, dim) and (n, dim), m and n at least 1, got {query.shape} and {page.shape}")
    wanted = query.astype(np.float32).T
    best = np.full(len(query), -np.inf, dtype=np.float32)
    for start in range(0, len(page), _BLOCK):
        best = np.maximum(best, (page[start : start + _BLOCK].astype(np.float32) @ wanted).max(axis=0))
    return float(best.sum())
