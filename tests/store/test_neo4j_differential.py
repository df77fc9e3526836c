"""The same random queries on the embedded engine and on a real Neo4j give the same rows."""

from __future__ import annotations

import pytest

from mmkg.store.embedded.graph import KGLiteStore
from mmkg.store.neo4j.address import Neo4jAddress
from mmkg.store.neo4j.connection import Connection
from mmkg.store.neo4j.graph import Neo4jGraph
from mmkg.testing.differential import compare

pytestmark = pytest.mark.neo4j

QUERIES = 300


def test_random_queries_agree(neo4j_url: str) -> None:
    with KGLiteStore(spare=False) as embedded, Neo4jGraph(Connection(Neo4jAddress.parse(neo4j_url))) as server:
        found = compare(embedded, server, queries=QUERIES)
    assert not found.odd, "\n".join([f"{len(found.odd)} of {QUERIES}", *found.odd])
    assert found.empty < QUERIES / 2  # a query that finds nothing compares nothing
