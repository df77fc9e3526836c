"""The CSV files of `export --format neo4j-admin`, taken in by the server's own import tool."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmkg.errors import ConfigError
from mmkg.export import export
from mmkg.store.embedded.graph import KGLiteStore
from mmkg.store.neo4j.address import Neo4jAddress
from mmkg.store.neo4j.connection import Connection
from mmkg.store.neo4j.graph import Neo4jGraph
from mmkg.testing.graph_store import dump, graph_digest, make_edge, make_node, small_graph
from mmkg.testing.random_cypher import random_graph
from mmkg.types import GraphDelta

DEMO = Path(__file__).resolve().parents[2] / "data" / "demo" / "files"
ODD = GraphDelta(
    nodes=(
        make_node("c9", text='a "quoted", word;\nand a line\\', kind="", order=7),
        make_node("d9", name="=1+1", uris=["file:///a;b.txt", 'c"d']),
        make_node("i9", kind="image", bbox=[1.0, 2.5, 3.0, 4.0]),
        make_node("e90", name="-x", kind="", df=0),
    ),
    edges=(make_edge("MENTIONS", "c9", "e90", count=0, title=1),),
)


@pytest.fixture
def store():
    with KGLiteStore(spare=False) as graph:
        graph.load([], [])
        for delta in (small_graph(), random_graph(1, chunks=11), ODD):
            graph.apply(delta)
        yield graph


def test_files_and_their_heads(store, tmp_path) -> None:
    export(store, tmp_path / "out", format="neo4j-admin")
    export(store, tmp_path / "out", format="neo4j-admin")  # over an earlier export
    head, first = (tmp_path / "out" / "nodes-Image.csv").read_text().split("\n")[:2]
    assert head.startswith("id:ID(Image),:LABEL,") and "bbox:double[]" in head
    assert first.startswith('"i01","Image\x1fUnit",')
    assert "--nodes=nodes-Image.csv" in (tmp_path / "out" / "import.args").read_text().split("\n")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.txt").touch()
    with pytest.raises(ConfigError, match="other things in it"):
        export(store, tmp_path / "other", format="neo4j-admin")


@pytest.fixture
def base(make_kb):
    """The graph of a base of real files."""
    with make_kb() as kb:
        for name in ("korvane-light.md", "keepers.csv", "roster-of-boats-1920.pdf", "relief-boats.html"):
            kb.add(DEMO / name)
        yield kb._read().graph


@pytest.mark.neo4j
@pytest.mark.slow
@pytest.mark.parametrize("which", ["store", "base"])
def test_the_import_tool_makes_the_same_graph(which, request, tmp_path, neo4j_script, monkeypatch) -> None:
    store = request.getfixturevalue(which)
    export(store, tmp_path / "out", format="neo4j-admin")
    home = tmp_path / "home"
    try:
        done = neo4j_script.admin(
            neo4j_script.BASELINE, home, "database", "import", "full", "neo4j", "@import.args", cwd=tmp_path / "out"
        )
    except neo4j_script.NotHere as e:
        pytest.skip(str(e))
    assert done.returncode == 0, done.stdout + done.stderr
    server = neo4j_script.start(home, tied=True)
    monkeypatch.setenv("NEO4J_USER", server.user)
    monkeypatch.setenv("NEO4J_PASSWORD", server.password)
    try:
        with Neo4jGraph(Connection(Neo4jAddress.parse(server.uri))) as graph:
            for here, there in zip(dump(store), dump(graph), strict=True):
                assert set(here) ^ set(there) == set()
            assert graph_digest(graph) == graph_digest(store)
            assert (
                graph.query("MATCH (u:Unit) RETURN count(u) AS n").rows
                == store.query("MATCH (u:Unit) RETURN count(u) AS n").rows
            )
    finally:
        neo4j_script.stop(server)
