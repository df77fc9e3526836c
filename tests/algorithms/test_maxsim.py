"""Late interaction against the plain formula."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmkg.algorithms.maxsim import maxsim


def rows(seed: int, n: int, dim: int, kind: type = np.float32) -> np.ndarray:
    x = np.random.default_rng(seed).standard_normal((n, dim))
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(kind)


@given(st.integers(0, 2**16), st.integers(1, 24), st.integers(1, 300), st.integers(1, 48), st.booleans())
def test_it_is_the_plain_einsum(seed: int, m: int, n: int, dim: int, half: bool) -> None:
    query, page = rows(seed, m, dim), rows(seed + 1, n, dim, np.float16 if half else np.float32)
    plain = np.einsum("md,nd->mn", query.astype(np.float64), page.astype(np.float64)).max(axis=1).sum()
    assert maxsim(query, page) == pytest.approx(plain, abs=1e-4)


def test_a_page_longer_than_a_block_and_its_order() -> None:
    query, page = rows(0, 7, 16), rows(1, 9_001, 16, np.float16)
    plain = (page.astype(np.float32) @ query.T).max(axis=0).sum()
    assert maxsim(query, page) == pytest.approx(float(plain), abs=1e-5)
    assert maxsim(query, page[::-1]) == pytest.approx(float(plain), abs=1e-5)
    assert maxsim(query, query) == pytest.approx(7.0, abs=1e-5)


@pytest.mark.parametrize(("a", "b"), [((3, 4), (2, 5)), ((0, 4), (2, 4)), ((3, 4), (0, 4)), ((4,), (2, 4))])
def test_other_shapes_are_refused(a: tuple[int, ...], b: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="expected"):
        maxsim(np.zeros(a), np.zeros(b))
