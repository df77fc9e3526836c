"""Rank fusion: order of rankings, ties, depth."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmkg.algorithms.fusion import fuse, rrf, top

rankings = st.lists(st.lists(st.sampled_from("abcdefgh"), unique=True, max_size=8), max_size=4)


@given(rankings, st.integers(1, 100))
def test_scores_are_those_of_the_paper(lists, k):
    expected = {}
    for ranking in lists:
        for rank, name in enumerate(ranking, start=1):
            expected[name] = expected.get(name, 0.0) + 1 / (k + rank)
    hits = rrf(lists, k=k)
    assert {hit.id: pytest.approx(hit.score) for hit in hits} == expected
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)


@given(rankings, st.randoms(use_true_random=False))
def test_order_of_rankings_does_not_matter(lists, rng):
    shuffled = list(lists)
    rng.shuffle(shuffled)
    assert rrf(lists) == rrf(shuffled)


def test_ties_go_to_the_smaller_id():
    assert [hit.id for hit in rrf([["b"], ["a"], ["c"]])] == ["a", "b", "c"]


def test_a_repeated_id_counts_once_at_its_first_place():
    assert rrf([["a", "b", "a"]])[0].score == 1 / 61


def test_nothing_gives_nothing():
    assert rrf([]) == []
    assert rrf([[], []]) == []
    assert len(fuse([])[0]) == 0


@pytest.mark.parametrize("k", [0, -1])
def test_refuses_k_below_one(k):
    with pytest.raises(ValueError, match="at least 1"):
        rrf([["a"]], k=k)


@given(st.lists(st.sampled_from([0.0, 0.1, 0.2, 0.3]), max_size=40), st.integers(0, 50))
def test_top_equals_a_full_sort(scores, k):
    array = np.array(scores)
    expected = [i for i in sorted(range(len(scores)), key=lambda i: (-scores[i], i)) if scores[i] > 0][:k]
    assert top(array, k).tolist() == expected


def test_many_ties_at_the_cut_go_to_the_smaller_indices():
    scores = np.ones(1000)
    scores[random.Random(1).sample(range(1000), 5)] = 2.0
    assert sorted(top(scores, 8).tolist())[:3] == [0, 1, 2]
