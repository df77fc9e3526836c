"""The contract of graph stores on a real Neo4j server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mmkg.store.neo4j.address import Neo4jAddress
from mmkg.store.neo4j.connection import Connection
from mmkg.store.neo4j.graph import Neo4jGraph
from mmkg.testing.graph_store import GraphStoreContract, make_edge, make_node

pytestmark = pytest.mark.neo4j


class TestNeo4j(GraphStoreContract):
    @pytest.fixture
    def store(self, neo4j_url: str) -> Iterator[Neo4jGraph]:
        with Neo4jGraph(Connection(Neo4jAddress.parse(neo4j_url))) as store:
            yield store


@pytest.mark.slow
def test_a_graph_whose_hubs_have_many_edges_is_deleted(neo4j_url: str) -> None:
    """One transaction that deleted some thousand entities with all their edges passed the server's memory for one."""
    units = [make_node(f"c{i:05}", text="x") for i in range(30_000)]
    hubs = [make_node(f"e{i}", name=f"Hub {i}", kind="", df=1) for i in range(20)]
    with Neo4jGraph(Connection(Neo4jAddress.parse(neo4j_url))) as graph:
        graph.load([*units, *hubs], (make_edge("MENTIONS", u.id, h.id, count=1, title=0) for u in units for h in hubs))
        assert graph.counts()["MENTIONS"] == 600_000
        graph.clear()
        assert not list(graph.nodes())
