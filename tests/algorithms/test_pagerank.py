"""The walk against its formula written out plainly, and what may and may not carry it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mmkg.algorithms.pagerank import WalkGraph


def graph_of(mentions, titles=None):
    mentions = np.asarray(mentions)
    return WalkGraph(sp.csr_matrix(mentions), sp.csr_matrix(np.zeros_like(mentions) if titles is None else titles))


def plain_walk(mentions, titles, restart, iterations=12, damping=0.5):
    """retrieval.md 2.3 with loops."""
    n, m = mentions.shape
    w = np.zeros((n, m))
    for p in range(n):
        for e in range(m):
            if mentions[p, e] or titles[p, e]:
                w[p, e] = (1 + np.log(max(mentions[p, e], 1))) * (1 + (2 / titles[p, e] if titles[p, e] else 0))
    df = (w > 0).sum(axis=0)
    to_units = w / np.where(w.sum(axis=0) > 0, w.sum(axis=0), 1)
    to_entities = np.zeros((n, m))
    for e in range(m):
        if 2 <= df[e] <= max(5, 0.02 * n):
            to_entities[:, e] = w[:, e] * np.log((n + 1) / df[e])
    sums = to_entities.sum(axis=1, keepdims=True)
    to_entities = to_entities / np.where(sums > 0, sums, 1)
    x_e = (1 - damping) * restart
    for _ in range(iterations):
        x_p = damping * to_units @ x_e
        x_e = (1 - damping) * restart + damping * to_entities.T @ x_p
    return x_p, x_e


incidence = st.tuples(st.integers(1, 12), st.integers(1, 9)).flatmap(
    lambda shape: st.tuples(
        hnp.arrays(np.int32, shape, elements=st.sampled_from([0, 0, 1, 1, 2, 7])),
        hnp.arrays(np.int32, shape, elements=st.sampled_from([0, 0, 0, 1, 3])),
        hnp.arrays(np.float64, (shape[1], 2), elements=st.sampled_from([0.0, 0.0, 0.25, 1.0])),
    )
)


@settings(max_examples=150, deadline=None)
@given(incidence)
def test_equals_the_formula(case):
    mentions, titles, restart = case
    walk = graph_of(mentions, titles).run(restart)
    for c in range(2):
        units, entities = plain_walk(mentions, titles, restart[:, c])
        np.testing.assert_allclose(walk.units[:, c], units, atol=1e-12)
        np.testing.assert_allclose(walk.entities[:, c], entities, atol=1e-12)


@settings(max_examples=50, deadline=None)
@given(incidence)
def test_is_linear_in_the_restart(case):
    mentions, titles, restart = case
    graph = graph_of(mentions, titles)
    together = graph.run(restart[:, 0] + 0.3 * restart[:, 1]).units[:, 0]
    apart = graph.run(restart).units
    np.testing.assert_allclose(together, apart[:, 0] + 0.3 * apart[:, 1], atol=1e-12)


def test_reaches_the_second_hop_over_a_shared_entity():
    #      asked bridge other
    graph = graph_of([[1, 1, 0], [0, 1, 0], [0, 0, 1]])
    units = graph.run(np.array([1.0, 0.0, 0.0])).units[:, 0]
    assert units[0] > units[1] > units[2] == 0


def test_an_entity_of_one_unit_is_a_seed_but_no_bridge():
    graph = graph_of([[1, 1], [1, 0]])
    assert graph.carries.tolist() == [True, False]
    assert graph.run(np.array([0.0, 1.0])).units[0, 0] > 0
    back = graph.gather(np.array([1.0, 0.0]))
    assert back[0] > 0
    assert back[1] == 0


def test_a_hub_is_a_seed_but_no_bridge():
    mentions = np.zeros((10, 2), dtype=int)
    mentions[:6, 0] = 1  # 6 of 10 units: above max(5, 0.02 * 10)
    mentions[:2, 1] = 1
    graph = graph_of(mentions)
    assert graph.carries.tolist() == [False, True]
    assert np.count_nonzero(graph.run(np.array([1.0, 0.0])).units[:, 0]) == 6


@pytest.mark.parametrize(("share", "factor"), [(1, 3.0), (2, 2.0), (200, 1.01)], ids=["own", "two", "book"])
def test_a_title_weighs_three_times_and_less_when_shared(share, factor):
    graph = graph_of([[1], [1]], [[share], [0]])
    units = graph.run(np.array([1.0])).units[:, 0]
    assert units[0] / units[1] == pytest.approx(factor)


def test_a_title_without_a_mention_is_an_edge():
    graph = graph_of([[0], [1]], [[1], [0]])
    assert graph.df.tolist() == [2]
    assert graph.entities_of(0)[0].tolist() == [0]


def test_explicit_zeros_change_nothing():
    mentions = sp.csr_matrix((np.array([1, 0, 2]), np.array([0, 1, 1]), np.array([0, 2, 3])), shape=(2, 2))
    titles = sp.csr_matrix((np.array([0, 0, 1]), np.array([0, 1, 1]), np.array([0, 2, 3])), shape=(2, 2))
    assert WalkGraph(mentions, titles).df.tolist() == [1, 1]
    assert titles.nnz == mentions.nnz == 3  # what came in is left as it was


def test_same_bits_from_many_threads():
    rng = np.random.default_rng(3)
    graph = graph_of((rng.random((300, 200)) < 0.03).astype(int))
    restart = (rng.random((200, 3)) < 0.05).astype(float)
    with ThreadPoolExecutor(4) as pool:
        walks = list(pool.map(lambda _: graph.run(restart).units.tobytes(), range(12)))
    assert len(set(walks)) == 1


def test_a_base_without_units_or_entities():
    assert graph_of(np.zeros((0, 0), dtype=int)).run(np.zeros(0)).units.shape == (0, 1)
    assert graph_of(np.zeros((3, 0), dtype=int)).run(np.zeros(0)).units[:, 0].tolist() == [0, 0, 0]


def test_refuses_what_does_not_fit():
    with pytest.raises(ValueError, match="mentions is"):
        WalkGraph(sp.csr_matrix((2, 3)), sp.csr_matrix((2, 4)))
    with pytest.raises(ValueError, match="restart weights"):
        graph_of([[1, 1]]).run(np.zeros(3))


def test_titled_is_the_share_of_the_narrowest_title():
    graph = graph_of([[1, 1, 1], [1, 0, 1]], [[1, 0, 40], [5, 0, 20]])
    assert graph.titled.tolist() == [1.0, 0.0, 1 / 20]


@settings(max_examples=100, deadline=None)
@given(incidence)
def test_a_push_without_tolerance_is_the_walk(case):
    mentions, titles, restart = case
    graph = graph_of(mentions, titles)
    for c in range(2):
        np.testing.assert_allclose(graph.push(restart[:, c], tolerance=0.0), graph.run(restart[:, c]).units[:, 0])


@pytest.mark.parametrize("units", [300, 4_000])
def test_a_push_stays_close_to_the_walk_and_repeats_to_the_bit(units):
    rng = np.random.default_rng(5)
    rows = np.repeat(np.arange(units), 8)
    graph = WalkGraph(
        sp.csr_matrix((np.ones(len(rows)), (rows, rng.zipf(1.4, len(rows)) % (3 * units))), shape=(units, 3 * units)),
        sp.csr_matrix((units, 3 * units)),
    )
    restart = np.zeros(3 * units)
    restart[rng.choice(np.flatnonzero(graph.df), size=6, replace=False)] = 1 / 6
    exact, pushed = graph.run(restart).units[:, 0], graph.push(restart)
    assert np.abs(exact - pushed).max() < 1e-3 * exact.max()
    assert np.argsort(-exact, kind="stable")[:20].tolist() == np.argsort(-pushed, kind="stable")[:20].tolist()
    assert all((graph.push(restart) == pushed).all() for _ in range(3))


def test_a_push_refuses_weights_of_another_shape():
    with pytest.raises(ValueError, match=r"expected restart weights \(2,\)"):
        graph_of([[1, 1]]).push(np.zeros((2, 2)))
