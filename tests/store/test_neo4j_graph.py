"""The contract of graph stores on a real Neo4j server."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from mmkg.errors import StoreError
from mmkg.store.neo4j import loading
from mmkg.store.neo4j.address import Neo4jAddress
from mmkg.store.neo4j.connection import Connection
from mmkg.store.neo4j.graph import Neo4jGraph
from mmkg.store.neo4j.loading import Loader
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


def test_a_batch_that_the_server_ended_for_a_deadlock_is_sent_again(
    neo4j_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Neo4jGraph(Connection(Neo4jAddress.parse(neo4j_url))) as graph:
        graph.load([make_node("e0", name="First"), make_node("e1", name="Second")], [])
        met = [_deadlock(graph.connection)]
        real = Connection.transaction

        @contextmanager
        def failing(self: Connection) -> Iterator[object]:
            with real(self) as tx:
                yield tx
                if met:
                    raise met.pop()

        monkeypatch.setattr(Connection, "transaction", failing)
        with Loader(graph.connection) as loader:
            loader.add_edge(make_edge("CO_OCCURS", "e0", "e1", count=1))
        assert not met
        assert list(graph.edges()) == [make_edge("CO_OCCURS", "e0", "e1", count=1)]


def _deadlock(connection: Connection) -> StoreError:
    """What a server says to one of two transactions that wait for each other."""
    ready = threading.Barrier(2, timeout=30)

    def both(first: str, second: str) -> StoreError | None:
        try:
            with connection.transaction() as tx:
                for id_ in (first, second):
                    tx.run("MATCH (n:Entity {id: $id}) SET n.seen = 1", id=id_).consume()
                    if id_ == first:
                        ready.wait()
                raise ZeroDivisionError
        except ZeroDivisionError:
            return None
        except StoreError as e:
            return e

    with ThreadPoolExecutor(2) as threads:
        found = [f.result() for f in (threads.submit(both, "e0", "e1"), threads.submit(both, "e1", "e0"))]
    (error,) = [e for e in found if e]
    return error


def test_batches_at_the_same_hubs_are_loaded_at_the_same_time(neo4j_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "ROWS", 50)
    monkeypatch.setattr(loading, "_PART", 20)
    units = [make_node(f"c{i:03}", text="x", order=i) for i in range(90)]
    hubs = [make_node(f"e{i}", name=f"Hub {i}") for i in range(7)]
    edges = [make_edge("MENTIONS", u.id, h.id, count=i) for h in hubs for i, u in enumerate(units)]
    with Neo4jGraph(Connection(Neo4jAddress.parse(neo4j_url))) as graph:
        graph.load([*units, *hubs], edges)
        assert list(graph.nodes()) == [*units, *hubs]
        assert list(graph.edges()) == sorted(edges, key=lambda e: (e.source, e.target))
