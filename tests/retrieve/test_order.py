"""One order from many lists."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mmkg.retrieve.order import (
    UNWORDED_SHARE,
    alternating,
    base_order,
    by_bearing,
    file_names_asked_for,
    ranks_of,
    with_side_lists,
)
from mmkg.retrieve.walk import RankedList, empty


def ranked(name, units, scores=None):
    scores = scores or [1.0 / (i + 1) for i in range(len(units))]
    return RankedList(name, np.array(units, dtype=np.int64), np.array(scores, dtype=np.float64))


units = st.lists(st.integers(0, 30), unique=True, max_size=20)


def mass_of(walk, n=40):
    mass = np.zeros(n)
    mass[walk.units] = walk.scores
    return mass


def base(walk, flat, titled=1.0):
    return base_order(walk, mass_of(walk), flat, titled=titled)


def test_where_titles_are_named_the_walk_leads_and_the_rest_follows():
    out = base(ranked("walk", [5, 3]), [ranked("bm25", [1, 3]), ranked("dense", [1, 2])])
    assert out.name == "walk"
    assert out.units.tolist() == [5, 3, 1, 2]


def test_without_titles_the_words_decide_among_units_that_the_walk_holds_alike():
    walk = ranked("walk", [5, 3, 7], [0.11, 0.1, 0.1])
    flat = [ranked("bm25", [7, 3]), ranked("dense", [7, 3])]
    assert base(walk, flat, titled=1.0).units.tolist() == [5, 3, 7]
    assert base(walk, flat, titled=0.0).units.tolist() == [7, 3, 5]


def test_without_a_walk_the_flat_lists_are_fused():
    out = base(empty("walk"), [ranked("bm25", [1, 5]), ranked("dense", [2, 1])])
    assert out.name == "fusion"
    assert out.units.tolist() == [1, 2, 5]


def test_side_lists_take_every_third_place_in_turn():
    out = with_side_lists(ranked("walk", [0, 1, 2, 3, 4, 5]), [ranked("pixels", [10, 11]), ranked("filename", [20])], 9)
    assert out.units.tolist() == [0, 1, 10, 2, 3, 20, 4, 5, 11]


def test_a_side_unit_that_is_above_already_takes_no_place():
    out = with_side_lists(ranked("walk", [0, 1, 2]), [ranked("pixels", [1])], 3)
    assert out.units.tolist() == [0, 1, 2]


@given(units, st.lists(units, max_size=3), st.integers(1, 12))
def test_order_has_each_unit_once_and_no_rising_score(main, sides, k):
    out = with_side_lists(ranked("walk", main), [ranked("s", s) for s in sides], k)
    available = set(main).union(*sides)
    assert len(out) == min(k, len(available))
    assert len(set(out.units.tolist())) == len(out)
    assert set(out.units.tolist()) <= available
    assert (np.diff(out.scores) <= 0).all()
    kept = [u for u in out.units.tolist() if u in main]
    if not sides:
        assert kept == main[:k]
    # The base order holds at least two of any three places, as long as it has units.
    assert len(kept) >= min(len(main), k - k // 3)


@given(units, st.lists(units, min_size=3, max_size=3), st.floats(0, 1))
def test_base_order_scores_lie_in_the_unit_interval_and_do_not_rise(walk, flat, titled):
    out = base(ranked("walk", walk), [ranked("f", f) for f in flat], titled)
    assert sorted(out.units.tolist()) == sorted(set(walk).union(*flat))
    assert ((out.scores > 0) & (out.scores <= 1)).all()
    assert (np.diff(out.scores) <= 0).all()


def test_file_names_need_half_of_the_words_and_follow_the_base_order():
    strong = file_names_asked_for(ranked("filename", [4, 7, 9, 2], [0.8, 0.5, 0.5, 0.4]), ranked("walk", [9, 7]))
    assert strong.units.tolist() == [4, 9, 7]


def test_ranks_start_at_one_and_absent_is_zero():
    ranks, scores = ranks_of(ranked("bm25", [7, 3], [2.0, 1.0]), np.array([3, 4, 7]))
    assert ranks.tolist() == [2, 0, 1]
    assert scores.tolist() == [1.0, 0.0, 2.0]


def test_fill_takes_only_places_left_empty():
    out = with_side_lists(ranked("walk", [0, 1]), [], 4, fill=[ranked("pixels", [1, 10, 11, 12])])
    assert out.units.tolist() == [0, 1, 10, 11]
    assert with_side_lists(ranked("walk", [0, 1, 2, 3]), [], 4, fill=[ranked("pixels", [9])]).units.tolist() == [
        0,
        1,
        2,
        3,
    ]


def test_words_on_a_sign_do_not_stand_before_what_a_picture_shows():
    base, walk = ranked("fusion", [3, 1, 2]), ranked("walk", [])
    near, far = by_bearing(base, ranked("dense", [1, 3, 2], [0.6, 0.2, 0.1]), walk)
    assert (near.units.tolist(), far.units.tolist()) == ([1], [3, 2])
    near, far = by_bearing(base, ranked("dense", [1, 3, 2], [0.6, 0.2, 0.1]), ranked("walk", [2]))
    assert near.units.tolist() == [1, 2], "the walk leads to it"
    near, far = by_bearing(base, ranked("dense", []), walk)
    assert near.units.tolist() == [3, 1, 2] and not len(far), "without vectors words are all there is"


def test_lists_that_cannot_be_compared_take_turns() -> None:
    both = alternating(ranked("filename", [4, 7], [0.4, 0.3]), ranked("walk", [9, 4, 2, 1], [9.0, 8.0, 7.0, 6.0]))
    assert both.units.tolist() == [4, 9, 7, 2, 1]
    assert (np.diff(both.scores) < 0).all()
    assert not len(alternating(ranked("filename", [], []), ranked("walk", [], [])))


def test_fewer_words_name_a_file_that_has_no_others() -> None:
    names, base = ranked("filename", [4, 7], [0.4, 0.2]), ranked("walk", [9], [1.0])
    assert not len(file_names_asked_for(names, base))
    assert file_names_asked_for(names, base, least=UNWORDED_SHARE).units.tolist() == [4]
