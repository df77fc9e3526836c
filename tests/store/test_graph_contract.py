"""The contract of graph stores on the embedded engine, and the same random queries against a plain model in networkx."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import networkx as nx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as s

from mmkg.store.embedded.graph import KGLiteStore
from mmkg.testing.graph_store import GraphStoreContract, dump, expected, make_edge, make_node
from mmkg.types import Edge, GraphDelta, Node


class TestKGLite(GraphStoreContract):
    @pytest.fixture
    def store(self) -> Iterator[KGLiteStore]:
        with KGLiteStore(spare=False) as store:
            yield store


# ---- Random graphs, random queries, a model ----

_CHUNKS = [f"c{i}" for i in range(6)]
_ENTITIES = [f"e{i}" for i in range(6)]
_nodes = s.one_of(
    s.builds(
        lambda i, k, o: make_node(i, kind=k, order=o),
        s.sampled_from(_CHUNKS),
        s.sampled_from(["text", "table"]),
        s.integers(0, 4),
    ),
    s.builds(
        lambda i, n, d: make_node(i, name=n, df=d),
        s.sampled_from(_ENTITIES),
        s.sampled_from(["A", "B", "ü'"]),
        s.integers(0, 3),
    ),
)
_pairs = {
    "MENTIONS": (_CHUNKS, _ENTITIES),
    "NEXT": (_CHUNKS, _CHUNKS),
    "CO_OCCURS": (_ENTITIES, _ENTITIES),
    "SAME_AS": (_ENTITIES, _ENTITIES),
}
_edges = s.sampled_from(sorted(_pairs)).flatmap(
    lambda t: s.builds(
        lambda a, b, n: make_edge(t, a, b, count=n),
        s.sampled_from(_pairs[t][0]),
        s.sampled_from(_pairs[t][1]),
        s.integers(1, 9),
    )
)


class Model:
    """The graph as networkx holds it."""

    def __init__(self) -> None:
        self.g: nx.MultiDiGraph = nx.MultiDiGraph()

    def apply(self, delta: GraphDelta) -> None:
        self.g.remove_nodes_from([i for _, i in delta.delete_nodes])
        for e in delta.delete_edges:
            if self.g.has_edge(e.source, e.target, e.type):
                self.g.remove_edge(e.source, e.target, e.type)
        for n in delta.nodes:
            self.g.add_node(n.id)
            self.g.nodes[n.id].clear()
            self.g.nodes[n.id]["node"] = n
        for e in delta.edges:
            self.g.add_edge(e.source, e.target, e.type)
            self.g.edges[e.source, e.target, e.type]["edge"] = e

    def node(self, id_: str) -> Node:
        found: Node = self.g.nodes[id_]["node"]
        return found

    def edges(self, *types: str) -> list[Edge]:
        return [d["edge"] for _, _, t, d in self.g.edges(keys=True, data=True) if not types or t in types]

    def delta(self) -> GraphDelta:
        return GraphDelta(nodes=tuple(map(self.node, self.g)), edges=tuple(self.edges()))


@s.composite
def _histories(draw: s.DrawFn) -> list[GraphDelta]:
    """Deltas that are each possible after the ones before."""
    here: set[str] = set()
    out = []
    for _ in range(draw(s.integers(1, 4))):
        gone = tuple((n.label, n.id) for n in draw(s.lists(_nodes, max_size=3)))
        new = tuple(draw(s.lists(_nodes, max_size=10)))
        here = (here - {i for _, i in gone}) | {n.id for n in new}
        edges = [e for e in draw(s.lists(_edges, max_size=25)) if {e.source, e.target} <= here]
        out.append(
            GraphDelta(
                delete_nodes=gone, delete_edges=tuple(draw(s.lists(_edges, max_size=3))), nodes=new, edges=tuple(edges)
            )
        )
    return out


def _trails(edges: list[Edge], hops: int) -> Counter[tuple[str, str]]:
    """How many ways of 1..hops directed edges lead from one node to another, no edge used twice."""
    out: Counter[tuple[str, str]] = Counter()
    level = [(e.source, e.target, (i,)) for i, e in enumerate(edges)]
    for _ in range(hops):
        out.update((a, b) for a, b, _ in level)
        level = [
            (a, e.target, (*used, i))
            for a, b, used in level
            for i, e in enumerate(edges)
            if e.source == b and i not in used
        ]
    return out


@pytest.fixture(scope="module")
def shared() -> Iterator[KGLiteStore]:
    with KGLiteStore(spare=False) as store:
        yield store


def _rows(store: KGLiteStore, cypher: str, **parameters: Any) -> Counter[tuple[Any, ...]]:
    return Counter(store.query(cypher, parameters).rows)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    history=_histories(),
    kind=s.sampled_from(["text", "table"]),
    low=s.integers(0, 6),
    types=s.sets(s.sampled_from(sorted(_pairs)), min_size=1),
    hops=s.integers(1, 3),
)
def test_random_graphs_and_queries_agree_with_a_model(
    shared: KGLiteStore, history: list[GraphDelta], kind: str, low: int, types: set[str], hops: int
) -> None:
    store, model = shared, Model()
    store.load([], [])
    for delta in history:
        store.apply(delta)
        model.apply(delta)
    assert dump(store) == expected(model.delta())
    names = "|".join(sorted(types))
    edges = model.edges(*types)

    # Filters on nodes and edges, directed.
    want = Counter(
        (e.source, e.type, e.target)
        for e in edges
        if e.properties["count"] >= low and model.node(e.source).properties.get("kind") == kind
    )
    got = _rows(
        store,
        f"MATCH (a:Chunk)-[r:{names}]->(b) WHERE r.count >= $low AND a.kind = $kind RETURN a.id AS a, type(r) AS t, b.id AS b",
        low=low,
        kind=kind,
    )
    assert got == want

    # Undirected: an edge is seen from both ends, a loop once.
    both = Counter(
        [(e.source, e.target) for e in edges] + [(e.target, e.source) for e in edges if e.source != e.target]
    )
    assert _rows(store, f"MATCH (a)-[r:{names}]-(b) RETURN a.id AS a, b.id AS b") == both

    # Degrees, nodes without edges too.
    degree = Counter(e.source for e in edges)
    assert _rows(store, f"MATCH (a) OPTIONAL MATCH (a)-[r:{names}]->() RETURN a.id AS a, count(r) AS n") == Counter(
        (i, degree[i]) for i in model.g
    )

    # Grouped counts, sums, and a filter on them.
    totals: Counter[str] = Counter()
    for e in model.edges("MENTIONS"):
        totals[e.target] += e.properties["count"]
    assert _rows(
        store,
        "MATCH (:Chunk)-[m:MENTIONS]->(e:Entity) WITH e, sum(m.count) AS n WHERE n > $low RETURN e.id AS id, n",
        low=low,
    ) == Counter((i, n) for i, n in totals.items() if n > low)

    # Two hops through an entity; an edge is used once.
    mentions = [(e.source, e.target) for e in model.edges("MENTIONS")]
    meet = Counter((a, b) for a, x in mentions for b, y in mentions if x == y and a != b)
    assert _rows(
        store, "MATCH (a:Chunk)-[:MENTIONS]->(e)<-[:MENTIONS]-(b:Chunk) RETURN a.id AS a, b.id AS b, count(e) AS n"
    ) == Counter((*pair, n) for pair, n in meet.items())

    # Who can be reached in 1..hops steps, no edge used twice.
    got = _rows(store, f"MATCH (a)-[:{names}*1..{hops}]->(b) RETURN a.id AS a, b.id AS b, count(*) AS n")
    assert got == Counter((*pair, n) for pair, n in _trails(edges, hops).items())

    # Sorted pages.
    rows = sorted(
        ((n.properties["df"], n.id) for n in map(model.node, model.g) if n.label == "Entity"),
        key=lambda r: (-r[0], r[1]),
    )
    page = store.query("MATCH (e:Entity) RETURN e.df AS df, e.id AS id ORDER BY df DESC, id SKIP 1 LIMIT 3").rows
    assert list(page) == rows[1:4]

    # Shortest paths have the model's length.
    loose = nx.Graph([(e.source, e.target) for e in model.edges()])
    loose.add_nodes_from(model.g)
    for a, b in (("c0", "e0"), ("e1", "e2"), ("c1", "c3")):
        path = store.shortest_path(a, b, max_hops=4)
        length = nx.shortest_path_length(loose, a, b) if {a, b} <= set(loose) and nx.has_path(loose, a, b) else 99
        assert (len(path) - 1 if path else 99) == (length if length <= 4 else 99)
        if path:
            best = min(nx.all_shortest_paths(loose, a, b))
            assert [i for i, _ in path] == best
            kinds = [{e.type for e in model.edges() if {e.source, e.target} == {x, y}} for x, y in pairwise(best)]
            assert [t for _, t in path[1:]] == [min(k) for k in kinds]
