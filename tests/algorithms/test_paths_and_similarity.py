"""Ways through the graph, and near-duplicates."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mmkg.algorithms.pagerank import WalkGraph
from mmkg.algorithms.paths import Tracer
from mmkg.algorithms.similarity import fold_duplicates, jaccard, shingles


def graph_of(mentions):
    mentions = np.asarray(mentions)
    return WalkGraph(sp.csr_matrix(mentions), sp.csr_matrix(mentions.shape, dtype=np.int32))


def test_traces_one_two_and_three_hops():
    #       q  b  c
    graph = graph_of([[1, 1, 0], [0, 1, 1], [0, 0, 1], [0, 0, 0]])
    tracer = Tracer(graph, np.array([1.0, 0.0, 0.0]))
    ways = [tracer.trace(u) for u in range(4)]
    assert [(w.entities, w.units) for w in ways[:3]] == [((0,), (0,)), ((0, 1), (0, 1)), ((0, 1, 2), (0, 1, 2))]
    assert ways[3] is None
    assert ways[0].mass > ways[1].mass > ways[2].mass


def test_takes_the_stronger_of_two_bridges():
    mentions = np.zeros((4, 3), dtype=int)
    mentions[0] = [1, 1, 1]  # names the question's entity and both bridges
    mentions[1] = [0, 1, 1]
    mentions[2] = [0, 1, 0]  # makes the first bridge the more common one
    assert Tracer(graph_of(mentions), np.array([1.0, 0, 0])).trace(1).entities == (0, 2)


@settings(max_examples=100, deadline=None)
@given(hnp.arrays(np.int32, (9, 7), elements=st.sampled_from([0, 0, 0, 1, 2])), st.integers(0, 6))
def test_a_way_follows_edges_and_repeats_nothing(mentions, seed):
    graph = graph_of(mentions)
    restart = np.zeros(7)
    restart[seed] = 1.0
    tracer = Tracer(graph, restart)
    reached = graph.run(restart, iterations=3).units[:, 0] > 0
    for unit in range(9):
        way = tracer.trace(unit)
        if way is None:
            continue
        assert reached[unit]
        assert way.units[-1] == unit
        assert way.entities[0] == seed
        assert len(set(way.units)) == len(way.units) == len(way.entities) == len(set(way.entities))
        for i, (entity, at) in enumerate(zip(way.entities, way.units, strict=True)):
            assert mentions[at, entity]
            if i:
                assert mentions[way.units[i - 1], entity]
                assert graph.carries[entity]


def test_shingles_and_jaccard():
    assert shingles(list("abcde"), 4) == {tuple("abcd"), tuple("bcde")}
    assert shingles([], 4) == frozenset()
    assert jaccard(shingles(list("abcde")), shingles(list("abcdx"))) == pytest.approx(1 / 3)
    assert jaccard(frozenset(), frozenset()) == 0.0


WORDS = [f"w{i}" for i in range(60)]


def test_folds_a_near_copy_and_keeps_what_differs():
    changed = [*WORDS[:-1], "other"]
    assert fold_duplicates([WORDS, WORDS[30:], changed], ["text"] * 3) == [0, 1, 0]


def test_does_not_fold_across_groups_or_empty_texts():
    assert fold_duplicates([WORDS, WORDS, [], []], ["text", "table", "text", "text"]) == [0, 1, 2, 3]


def test_folds_by_vectors_where_words_differ():
    vectors = np.array([[1, 0], [0.999, 0.0447], [0, 1]], dtype=np.float32)
    assert fold_duplicates([["a"], ["b"], ["c"]], ["image"] * 3, vectors=vectors) == [0, 0, 2]


def test_refuses_lists_of_different_lengths():
    with pytest.raises(ValueError, match="same length"):
        fold_duplicates([["a"]], [])
