"""The contract of protocols.GraphStore. A store's test class inherits it and overrides the fixture `store` with an empty one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mmkg.errors import CypherError, QueryLimitError, StoreDamagedError, StoreError, WriteRefusedError
from mmkg.protocols import GraphStore
from mmkg.types import Edge, GraphDelta, Node

_LABELS = {"d": "Document", "s": "Section", "c": "Chunk", "i": "Image", "m": "Clip", "e": "Entity"}


def make_node(id_: str, **properties: Any) -> Node:
    """A node whose label follows from the first letter of its id: d, s, c, i, m or e."""
    return Node(id=id_, label=_LABELS[id_[0]], properties=properties)


def make_edge(type_: str, source: str, target: str, **properties: Any) -> Edge:
    """An edge between nodes of make_node."""
    ends = {"source_label": _LABELS[source[0]], "target_label": _LABELS[target[0]]}
    return Edge(type=type_, source=source, target=target, properties=properties, **ends)


def small_graph() -> GraphDelta:
    """Two chunks and a picture of a document, three entities; c1 and c2 meet at e1 and e2."""
    return GraphDelta(
        nodes=(
            make_node("d1", name="Report", media_type="text/plain", uris=["a.txt", "b/ü.txt"]),
            make_node("c1", text="Ada wrote 'DELETE' in a note.", kind="text", start=0, end=29, order=0),
            make_node("c2", text='Ada met\nBabbage; "so" \\ it \t goes.', kind="text", start=29, end=60, order=1),
            make_node("i1", kind="figure", width=4, height=3, bbox=[0.0, 1.5, 2.25, 3.0]),
            make_node("e1", name="Ada", kind="PERSON", df=1),
            make_node("e2", name="Babbage", kind="PERSON", df=1),
            make_node("e3", name="e3", kind="", df=0),
        ),
        edges=(
            make_edge("CONTAINS", "d1", "c1"),
            make_edge("CONTAINS", "d1", "c2"),
            make_edge("CONTAINS", "d1", "i1"),
            make_edge("NEXT", "c1", "c2"),
            make_edge("REFERS_TO", "c2", "i1"),
            make_edge("MENTIONS", "c1", "e1", count=1, title=0),
            make_edge("MENTIONS", "c2", "e1", count=1, title=2),
            make_edge("MENTIONS", "c2", "e2", count=3, title=0),
            make_edge("CO_OCCURS", "e1", "e2", count=1),
            make_edge("SAME_AS", "e2", "e3", reason="initials"),
        ),
    )


def dump(store: GraphStore) -> tuple[list[str], list[str]]:
    """Everything in a graph, in one canonical form to compare."""
    nodes = sorted(json.dumps([n.label, n.id, dict(n.properties)], sort_keys=True) for n in store.nodes())
    edges = sorted(
        json.dumps([e.type, e.source_label, e.source, e.target_label, e.target, dict(e.properties)], sort_keys=True)
        for e in store.edges()
    )
    return nodes, edges


def graph_digest(store: GraphStore) -> str:
    """64 hex digits of everything in a graph."""
    return hashlib.sha256(json.dumps(dump(store)).encode()).hexdigest()


def expected(delta: GraphDelta) -> tuple[list[str], list[str]]:
    """What dump() gives for a graph that holds the rows of a delta."""
    nodes = sorted(json.dumps([n.label, n.id, dict(n.properties)], sort_keys=True) for n in delta.nodes)
    edges = sorted(
        json.dumps([e.type, e.source_label, e.source, e.target_label, e.target, dict(e.properties)], sort_keys=True)
        for e in delta.edges
    )
    return nodes, edges


class GraphStoreContract:
    """Behaviour that every graph store shares."""

    @pytest.fixture
    def store(self) -> Iterator[GraphStore]:
        raise NotImplementedError("give an empty store")

    @pytest.fixture
    def filled(self, store: GraphStore) -> GraphStore:
        store.apply(small_graph())
        return store

    # ---- writing ----

    def test_what_goes_in_comes_out(self, filled: GraphStore) -> None:
        assert dump(filled) == expected(small_graph())

    def test_upsert_twice_is_once(self, filled: GraphStore) -> None:
        filled.apply(small_graph())
        assert dump(filled) == expected(small_graph())

    def test_load_and_apply_give_the_same_graph(self, filled: GraphStore) -> None:
        rows = small_graph()
        filled.apply(GraphDelta(nodes=(make_node("e9", name="left over"),)))
        filled.load(iter(rows.nodes), iter(rows.edges))
        assert dump(filled) == expected(rows)
        names = "MATCH (n) RETURN n.id AS id, n.name AS name ORDER BY id"
        loaded = filled.query(names)
        filled.apply(GraphDelta(delete_nodes=tuple((n.label, n.id) for n in rows.nodes)))
        assert dump(filled) == ([], [])
        filled.apply(rows)
        assert filled.query(names) == loaded

    def test_rows_that_come_twice_in_a_load_count_once(self, store: GraphStore) -> None:
        rows = small_graph()
        later = make_node("e1", name="Ada Lovelace", kind="PERSON", df=2)
        store.load(
            [*rows.nodes, later], [*rows.edges, make_edge("MENTIONS", "c1", "e1", count=5, title=0), *rows.edges[:2]]
        )
        nodes = tuple(later if n.id == "e1" else n for n in rows.nodes)
        edges = tuple(
            make_edge("MENTIONS", "c1", "e1", count=5, title=0) if e == rows.edges[5] else e for e in rows.edges
        )
        assert dump(store) == expected(GraphDelta(nodes=nodes, edges=edges))

    def test_an_upsert_takes_away_what_the_row_no_longer_has(self, filled: GraphStore) -> None:
        filled.apply(
            GraphDelta(nodes=(make_node("c1", text="short"),), edges=(make_edge("MENTIONS", "c1", "e1", count=9),))
        )
        assert filled.get(["c1"]) == [make_node("c1", text="short")]
        assert filled.neighbors(["c1"], types=["MENTIONS"]) == [make_edge("MENTIONS", "c1", "e1", count=9)]

    def test_delete_removes_the_edges_of_a_node(self, filled: GraphStore) -> None:
        filled.apply(GraphDelta(delete_nodes=(("Chunk", "c2"),)))
        rows = small_graph()
        left = GraphDelta(
            nodes=tuple(n for n in rows.nodes if n.id != "c2"),
            edges=tuple(e for e in rows.edges if "c2" not in (e.source, e.target)),
        )
        assert dump(filled) == expected(left)

    def test_delete_edges_leaves_the_nodes(self, filled: GraphStore) -> None:
        filled.apply(GraphDelta(delete_edges=(make_edge("MENTIONS", "c2", "e1"), make_edge("CO_OCCURS", "e1", "e3"))))
        assert filled.neighbors(["e1"], types=["MENTIONS"]) == [make_edge("MENTIONS", "c1", "e1", count=1, title=0)]
        assert len(list(filled.nodes())) == 7

    def test_deletions_come_before_upserts(self, filled: GraphStore) -> None:
        """A node that one delta deletes and gives anew stays, without its old edges."""
        filled.apply(
            GraphDelta(
                delete_nodes=(("Entity", "e1"), ("Entity", "absent")),
                nodes=(make_node("e1", name="Ada"),),
                edges=(make_edge("MENTIONS", "c1", "e1", count=7, title=0),),
            )
        )
        assert filled.neighbors(["e1"]) == [make_edge("MENTIONS", "c1", "e1", count=7, title=0)]

    def test_a_delta_that_fails_changes_nothing(self, filled: GraphStore) -> None:
        with pytest.raises(StoreError, match="absent"):
            filled.apply(
                GraphDelta(
                    delete_nodes=(("Entity", "e3"),),
                    nodes=(make_node("e8", name="new"),),
                    edges=(make_edge("MENTIONS", "c1", "e-absent", count=1),),
                )
            )
        assert dump(filled) == expected(small_graph())

    @pytest.mark.parametrize(
        "delta",
        [
            GraphDelta(nodes=(Node(id="x", label="Nope"),)),
            GraphDelta(nodes=(Node(id="x", label="Chunk`) DETACH DELETE n //"),)),
            GraphDelta(edges=(make_edge("KNOWS", "c1", "e1"),)),
            GraphDelta(nodes=(make_node("e1", score=float("nan")),)),
            GraphDelta(nodes=(make_node("e1", more={"a": 1}),)),
        ],
        ids=["label", "injected label", "type", "not a number", "map"],
    )
    def test_unknown_names_and_values_are_refused(self, filled: GraphStore, delta: GraphDelta) -> None:
        with pytest.raises(StoreError):
            filled.apply(delta)
        assert dump(filled) == expected(small_graph())
        with pytest.raises(StoreError):
            filled.load((*small_graph().nodes, *delta.nodes), delta.edges)

    # ---- reading ----

    def test_get_keeps_the_order_and_skips_what_is_not_there(self, filled: GraphStore) -> None:
        assert [n.id for n in filled.get(["e2", "nobody", "c1", "d1", "e2"])] == ["e2", "c1", "d1", "e2"]
        assert filled.get([]) == []

    def test_neighbors_counts_an_edge_once(self, filled: GraphStore) -> None:
        """Also an edge whose two ends are both asked for."""
        edges = filled.neighbors(["c1", "c2", "c1"])
        keys = [(e.type, e.source, e.target) for e in edges]
        assert keys == sorted(set(keys))
        assert len(keys) == 7

    def test_neighbors_by_direction_and_type(self, filled: GraphStore) -> None:
        out = filled.neighbors(["c2"], direction="out")
        into = filled.neighbors(["c2"], direction="in")
        assert {e.target for e in out} == {"i1", "e1", "e2"}
        assert {e.source for e in into} == {"c1", "d1"}
        assert filled.neighbors(["c2"], types=["NEXT", "REFERS_TO"], direction="out") == [
            make_edge("REFERS_TO", "c2", "i1")
        ]
        assert filled.neighbors(["nobody"]) == []

    def test_neighbors_limit_keeps_the_first(self, filled: GraphStore) -> None:
        everything = filled.neighbors(["e1", "c2"])
        assert filled.neighbors(["e1", "c2"], limit=3) == everything[:3]

    def test_a_symmetric_edge_is_stored_once_and_matched_both_ways(self, filled: GraphStore) -> None:
        for here, there in (("e1", "e2"), ("e2", "e1")):
            rows = filled.query(
                "MATCH (a:Entity {id: $id})-[r:CO_OCCURS]-(b:Entity) RETURN b.id AS id, r.count AS n", {"id": here}
            )
            assert rows.rows == ((there, 1),)

    def test_shortest_path(self, filled: GraphStore) -> None:
        assert filled.shortest_path("d1", "e3") == [
            ("d1", ""),
            ("c2", "CONTAINS"),
            ("e2", "MENTIONS"),
            ("e3", "SAME_AS"),
        ]
        assert filled.shortest_path("e1", "e1") == [("e1", "")]
        assert filled.shortest_path("d1", "e3", max_hops=2) is None
        assert filled.shortest_path("d1", "nobody") is None

    def test_shortest_path_ties_go_to_the_smaller_id(self, filled: GraphStore) -> None:
        """d1 to e1 over c1 or c2."""
        assert filled.shortest_path("d1", "e1") == [("d1", ""), ("c1", "CONTAINS"), ("e1", "MENTIONS")]
        assert filled.shortest_path("e1", "d1") == [("e1", ""), ("c1", "MENTIONS"), ("d1", "CONTAINS")]

    def test_save_and_open(self, filled: GraphStore, tmp_path: Path) -> None:
        filled.save(tmp_path / "graph")
        before = dump(filled)
        filled.apply(GraphDelta(delete_nodes=(("Entity", "e1"),)))
        assert dump(filled) != before
        filled.open(tmp_path / "graph")
        assert dump(filled) == before
        assert filled.query("MATCH (u:Unit) RETURN count(u) AS n").rows == ((3,),)

    def test_a_damaged_snapshot_is_named_and_changes_nothing(self, filled: GraphStore, tmp_path: Path) -> None:
        (tmp_path / "graph").write_bytes(b"no graph")
        for path in (tmp_path / "graph", tmp_path / "absent"):
            with pytest.raises(StoreDamagedError):
                filled.open(path)
            assert dump(filled) == expected(small_graph())

    # ---- users' queries ----

    def test_query_by_the_shared_label(self, filled: GraphStore) -> None:
        result = filled.query("MATCH (u:Unit) RETURN u.id AS id, labels(u)[0] AS label ORDER BY id")
        assert result.columns == ("id", "label")
        assert result.rows == (("c1", "Chunk"), ("c2", "Chunk"), ("i1", "Image"))
        assert not result.truncated

    def test_query_sees_each_change(self, filled: GraphStore) -> None:
        count = "MATCH (e:Entity) RETURN count(e) AS n"
        assert filled.query(count).rows == ((3,),)
        filled.apply(GraphDelta(nodes=(make_node("e4", name="new"),)))
        assert filled.query(count).rows == ((4,),)
        filled.apply(GraphDelta(delete_nodes=(("Entity", "e4"), ("Entity", "e3"))))
        assert filled.query(count).rows == ((2,),)
        filled.load([make_node("e1", name="only")], [])
        assert filled.query(count).rows == ((1,),)

    def test_values_keep_their_types(self, filled: GraphStore) -> None:
        result = filled.query(
            "MATCH (c:Chunk {id: 'c2'}), (i:Image) RETURN c.text AS s, c.start AS i, 1.0 AS f, true AS b, null AS n, "
            "i.bbox AS xs, [1, 'a', [2.5]] AS mixed, {k: $p} AS m",
            {"p": {"x": [1, None, "ü"]}},
        )
        text = small_graph().nodes[2].properties["text"]
        assert result.rows == (
            (text, 29, 1.0, True, None, [0.0, 1.5, 2.25, 3.0], [1, "a", [2.5]], {"k": {"x": [1, None, "ü"]}}),
        )
        assert [type(v) for v in result.rows[0][1:4]] == [int, float, bool]

    def test_parameters_are_values_only(self, filled: GraphStore) -> None:
        evil = "x'}) DETACH DELETE n //"
        assert filled.query("MATCH (n:Entity {name: $name}) RETURN n.id AS id", {"name": evil}).rows == ()
        assert dump(filled) == expected(small_graph())

    def test_rows_are_capped_and_said_to_be(self, filled: GraphStore) -> None:
        result = filled.query("UNWIND range(1, 100) AS x RETURN x ORDER BY x", max_rows=7)
        assert result.rows == tuple((x,) for x in range(1, 8))
        assert result.truncated
        assert not filled.query("UNWIND range(1, 7) AS x RETURN x", max_rows=7).truncated

    def test_bytes_are_capped(self, filled: GraphStore) -> None:
        with pytest.raises(QueryLimitError) as error:
            filled.query("UNWIND range(1, 10000) AS x RETURN 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa' AS s", max_bytes=10_000)
        assert error.value.limit == "bytes"

    @pytest.mark.parametrize(
        "cypher",
        [
            "CREATE (n:Entity {id: 'x'})",
            "MATCH (n) SET n.name = 'x'",
            "MATCH (n) DETACH DELETE n",
            "MERGE (n:Entity {id: 'x'})",
        ],
    )
    def test_query_refuses_writes(self, filled: GraphStore, cypher: str) -> None:
        with pytest.raises(WriteRefusedError):
            filled.query(cypher)
        assert dump(filled) == expected(small_graph())

    @pytest.mark.parametrize("cypher", ["", "MATCH (n", "RETURN nope", "MATCH (n) RETURN $absent AS x"])
    def test_a_wrong_query_is_a_cypher_error(self, filled: GraphStore, cypher: str) -> None:
        with pytest.raises(CypherError):
            filled.query(cypher)

    def test_a_late_query_ends_and_the_store_answers(self, filled: GraphStore) -> None:
        with pytest.raises(QueryLimitError) as error:
            filled.query(
                "UNWIND range(1, 1000000) AS a UNWIND range(1, 1000000) AS b RETURN count(a + b) AS n", timeout_s=0.5
            )
        assert error.value.limit in ("time", "memory")
        assert filled.query("RETURN 1 AS x").rows == ((1,),)
        assert dump(filled) == expected(small_graph())
