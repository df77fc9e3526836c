"""The contract of graph stores, the random queries and a whole base on the current calendar release of Neo4j, where a Java 21 or later is found."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mmkg.store.embedded.graph import KGLiteStore
from mmkg.store.neo4j.address import Neo4jAddress
from mmkg.store.neo4j.connection import Connection
from mmkg.store.neo4j.graph import Neo4jGraph
from mmkg.testing.differential import compare
from mmkg.testing.graph_store import GraphStoreContract

pytestmark = [pytest.mark.neo4j, pytest.mark.slow]


@pytest.fixture(scope="module")
def calendar(neo4j_script, neo4j_served) -> Iterator[str]:
    with neo4j_served("calendar", version=neo4j_script.CALENDAR) as uri:
        yield uri


class TestNeo4jCalendar(GraphStoreContract):
    @pytest.fixture
    def store(self, calendar: str) -> Iterator[Neo4jGraph]:
        with Neo4jGraph(Connection(Neo4jAddress.parse(calendar))) as store:
            store.clear()
            yield store


def test_random_queries_agree(calendar: str) -> None:
    with KGLiteStore(spare=False) as embedded, Neo4jGraph(Connection(Neo4jAddress.parse(calendar))) as server:
        found = compare(embedded, server)
        server.clear()
    assert not found.odd, "\n".join([f"{len(found.odd)} of 300", *found.odd])
    assert found.empty < 150


def test_a_base_with_the_servers_own_indexes(calendar: str, make_kb, write, tmp_path, monkeypatch) -> None:
    """Digest and evidence as in a folder: staging, commit, full text and vectors work on this release too."""
    with Neo4jGraph(Connection(Neo4jAddress.parse(calendar))) as before:
        before.clear()  # what the contract left: a base wants a database of its own
    monkeypatch.setenv("MMKG_CACHE", str(tmp_path / "cache"))
    write("ada.md", "# Ada Lovelace\n\nAda Lovelace wrote notes on the Analytical Engine.\n")
    write("babbage.md", "# Charles Babbage\n\nCharles Babbage designed the Analytical Engine in London.\n")
    places = (tmp_path / "kb", f"{calendar}/neo4j?media={(tmp_path / 'media').as_uri()}&search=indexes")
    found = []
    for place in places:
        kb = make_kb(place)
        kb.add(tmp_path / "files")
        found.append((kb.digest(), [e.id for e in kb.search("who designed the Analytical Engine", k=5)]))
    assert found[0] == found[1]
