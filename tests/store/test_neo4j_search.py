"""Searching with a real server's own indexes: the evidence of exported arrays, from nothing local."""

from __future__ import annotations

import numpy as np
import pytest

from mmkg.errors import ConfigError, StoreError
from mmkg.retrieve.pagewords import PAGE
from mmkg.retrieve.walk import DEPTH, SENTENCES_A_UNIT
from mmkg.store.folder.doctor import is_problem
from mmkg.store.neo4j.address import Neo4jAddress
from mmkg.store.neo4j.search import NEAR_SENTENCES, NEAR_UNITS
from mmkg.testing.pdf_files import written_pdf

pytestmark = pytest.mark.neo4j

QUESTIONS = (
    "Who designed the Analytical Engine?",
    "who lived in Ockham Park",
    "Where did Person Number7 meet Ada Lovelace?",
    "letters to Charles Babage",
    "Gazetteer Hill",
    "machine never finished",
)


@pytest.fixture
def files(write, tmp_path):
    write("ada.md", "# Ada Lovelace\n\nAda Lovelace wrote notes on the Analytical Engine.\n\n## Letters\n\nShe wrote to "
          "Charles Babbage from Ockham Park in 1843.\n")  # fmt: skip
    write("babbage.md", "# Charles Babbage\n\nCharles Babbage designed the Analytical Engine. He lived in London.\n")
    write(
        "engine.txt", "The machine that Charles Babbage drew was never finished. Per Scheutz built another in 1843.\n"
    )
    for i in range(12):
        write(
            f"p{i}.md",
            f"# Person Number{i}\n\nPerson Number{i} met Ada Lovelace on Gazetteer Hill. It rained {i} days.\n",
        )
    return tmp_path / "files"


def found(kb, **options):
    return [[(e.id, [c.name for c in e.channels]) for e in kb.search(q, k=5, **options)] for q in QUESTIONS]


def test_the_same_evidence_from_the_servers_indexes(open_kb, files, tmp_path) -> None:
    """With exported arrays of the walk, and with a frontier; after an update and a removal too."""
    indexes, frontier = open_kb(search="indexes"), open_kb(search="indexes", walk_mentions=1)
    indexes.add(files)
    local = tmp_path / "cache"
    want = None
    for step in range(2):
        ranked = found(frontier)
        if step == 0:
            assert not local.exists(), "a frontier leaves nothing on this machine"
        assert found(indexes) == ranked
        want = found(open_kb(search="arrays"))
        assert ranked == want
        for effort in (0, 2):
            assert found(indexes, effort=effort) == found(open_kb(search="arrays"), effort=effort)
        assert indexes.ask(QUESTIONS[0]).text == open_kb(search="arrays").ask(QUESTIONS[0]).text
        (files / "p7.md").write_text(
            "# Person Number7\n\nPerson Number7 never met Ada Lovelace, nor saw Ockham Park.\n"
        )
        indexes.add(files)
        indexes.remove("babbage.md")
    segments = [p for p in local.rglob("*.seg") if "-walk" in str(p)]
    assert segments, "the walk's arrays are kept"
    assert not [p for p in indexes.doctor() if is_problem(p)]


PAGES = (
    ("Dues of the harbour.", "Two pence a ton were asked.", "Herring paid nothing."),
    ("Lamps of the tower.", "Oil came by the boat of Ada Lovelace.", "A keeper trimmed them at dusk."),
    ("Boats of the island.", "Oil and herring came in spring.", "The keeper counted the dues."),
)


def test_words_of_whole_pages_are_found_by_the_servers_index(open_kb, files, write) -> None:
    write("ledger.pdf", written_pdf(PAGES))
    write("single.pdf", written_pdf(PAGES[:1]))
    indexes, frontier = open_kb(search="indexes"), open_kb(search="indexes", walk_mentions=1)
    indexes.add(files)
    for question in (
        "Which keeper asked for dues of herring and oil?",
        "lamps, oil and a keeper",
        "violins of Vienna",
    ):
        arrays = open_kb(search="arrays").retriever()
        whole = arrays.rank(question, k=5)
        want = arrays.view.unit_ids(whole.lists[PAGE].units.tolist())
        assert len(want) == (0 if question.startswith("violins") else len(set(want)))
        for kb in (indexes, frontier):
            asked, retriever = kb._on_indexes().prepared_for(question)
            got = retriever.rank(asked, k=5)
            assert retriever.view.unit_ids(got.lists[PAGE].units.tolist()) == want
            assert retriever.view.unit_ids(got.units.tolist()) == arrays.view.unit_ids(whole.units.tolist())
    run = indexes._read().connection.execute
    run("MATCH (p:_Page) WITH p ORDER BY p._id LIMIT 1 SET p._terms = 'nothing'")
    run("CREATE (:_Page {_id: 'x#1', _document: 'gone', _terms: 'oil', _n_terms: 1, _units: ['x']})")
    assert {p.kind for p in indexes.doctor() if is_problem(p)} == {"unit-not-in-postings", "index-unit-without-row"}
    assert all(p.fixed for p in indexes.doctor(fix=True) if is_problem(p))
    assert not [p for p in indexes.doctor() if is_problem(p)]
    indexes.remove("ledger.pdf")
    assert indexes._read().connection.rows("MATCH (p:_Page) RETURN count(*) AS n") == [{"n": 0}]


def test_indexes_of_an_older_version_are_filled_again(open_kb, files, write) -> None:
    write("ledger.pdf", written_pdf(PAGES))
    kb = open_kb(search="indexes")
    kb.add(files)
    run = kb._read().connection.execute
    run("MATCH (p:_Page) DELETE p")
    run("MATCH (u:_Unit) REMOVE u._page")
    run("MATCH (d:_Document) SET d._searchable = true")
    run("MATCH (s:_Store {_name: 'base'}) SET s._search = 'ready'")
    with pytest.raises(StoreError, match="mmkg add"):
        open_kb(search="indexes").search("Ada Lovelace")
    kb = open_kb(search="indexes")
    kb.add(files)
    assert found(kb) == found(open_kb(search="arrays"))
    assert not [p for p in kb.doctor() if is_problem(p)]


def test_the_first_run_and_a_rebuild_build_the_vector_indexes_in_one_piece(open_kb, files, monkeypatch) -> None:
    monkeypatch.setattr("mmkg.store.neo4j.searchrows._MANY", 1)
    kb = open_kb(search="indexes")

    def made():
        rows = kb._read().connection.rows("SHOW VECTOR INDEXES YIELD id, name RETURN id, name ORDER BY id")
        assert len(rows) == 2
        return [row["id"] for row in rows]

    kb.add(files / "ada.md", files / "babbage.md")
    first = made()
    kb.add(files)
    assert made() == first, "a base that others may search keeps its indexes"
    kb.rebuild()
    assert not set(made()) & set(first)
    assert found(kb) == found(open_kb(search="arrays"))
    # stopped between the deletion of an index and its making
    run = kb._read().connection.execute
    name = kb._read().connection.rows("SHOW VECTOR INDEXES YIELD name RETURN name LIMIT 1")[0]["name"]
    run("MATCH (s:_Store {_name: 'base'}) SET s._search = 'filling'")
    run(f"DROP INDEX {name}")
    with pytest.raises(StoreError, match="wait for its end"):
        open_kb(search="indexes").search("Ada Lovelace")
    (files / "new.md").write_text("# Mary Somerville\n\nMary Somerville taught Ada Lovelace.\n")
    kb = open_kb(search="indexes")
    kb.add(files)
    assert found(kb) == found(open_kb(search="arrays"))


def test_a_rebuild_leaves_unfinished_rows_unfinished(open_kb, files, monkeypatch) -> None:
    monkeypatch.setattr("mmkg.store.neo4j.searchrows._MANY", 1)
    kb = open_kb(search="indexes")
    kb.add(files)
    # another writer is filling them in, and has come to all documents but one
    run = kb._read().connection.execute
    run("MATCH (s:_Store {_name: 'base'}) SET s._search = 'filling'")
    run(
        "MATCH (d:_Document) WITH d ORDER BY d._id LIMIT 1 SET d._searchable = NULL WITH d "
        "MATCH (s:_Sentence {_document: d._id}) DELETE s"
    )
    open_kb(search="arrays").rebuild()
    with pytest.raises(StoreError, match="wait for its end"):
        open_kb(search="indexes").search("Ada Lovelace")
    kb = open_kb(search="indexes")
    kb.add(files)
    assert found(kb) == found(open_kb(search="arrays"))
    assert not [p for p in kb.doctor() if is_problem(p)]


def test_what_is_searched_beforehand_is_what_a_question_asks_for() -> None:
    """Of fewer the rest would be searched once more, of more it would be waited for."""
    assert (NEAR_UNITS, NEAR_SENTENCES) == (DEPTH, SENTENCES_A_UNIT * DEPTH)


def test_searches_at_the_same_time_raise_what_fails(open_kb, files) -> None:
    kb = open_kb(search="indexes")
    kb.add(files)
    indexes = kb._on_indexes()._views._indexes
    assert indexes.together(lambda: 1, lambda: 2) == [1, 2]
    with pytest.raises(ZeroDivisionError):
        indexes.together(lambda: 1, lambda: 1 // 0)
    space, query = kb.text_encoder.space.key, kb.text_encoder.encode_query(["Ada Lovelace"])[0]
    many = indexes.nearest(space, query, 9, sentences=True)
    assert indexes.nearest(space, query, 4, sentences=True) == many[:4]
    assert indexes.nearest(space, query, 12, sentences=True)[:9] == many


def test_a_small_budget_still_finds_what_is_near(open_kb, files) -> None:
    open_kb(search="indexes").add(files)
    kb = open_kb(search="indexes", walk_mentions=1, walk_units=6)
    hit = kb.search("Who designed the Analytical Engine?", k=1)[0]
    assert "designed the Analytical Engine" in hit.text
    view = kb._on_indexes().prepared_for("Who designed the Analytical Engine?")[1].view
    assert 0 < view.n_units <= 6
    assert view.statistics.n_units > 12


def test_indexes_are_made_when_they_are_first_asked_for(open_kb, files) -> None:
    plain = open_kb()
    plain.add(files / "ada.md")
    with pytest.raises(StoreError, match=r"no search indexes.*search=indexes"):
        open_kb(search="indexes").search("Ada Lovelace")
    kb = open_kb(search="indexes")
    kb.add(files / "babbage.md")  # fills what was there before
    plain.add(files / "engine.txt")  # a writer that does not ask for them keeps them up all the same
    assert found(open_kb(search="indexes", walk_mentions=1)) == found(plain)


def test_doctor_names_what_is_not_in_the_indexes_and_mends_it(open_kb, files) -> None:
    kb = open_kb(search="indexes")
    kb.add(files)
    want = found(kb)
    run = kb._read().connection.execute
    run("MATCH (u:_Unit) WITH u ORDER BY u._id LIMIT 1 SET u._terms = 'nothing'")
    run("MATCH (s:_Sentence) WITH s ORDER BY s._id LIMIT 1 DELETE s")
    run("CREATE (:_Sentence {_id: 'x#0', _unit: 'x', _document: 'gone', _ord: 0})")
    kinds = {p.kind for p in kb.doctor() if is_problem(p)}
    assert kinds == {"unit-not-in-postings", "unit-without-vector", "index-unit-without-row"}
    assert all(p.fixed for p in kb.doctor(fix=True) if is_problem(p))
    assert not [p for p in kb.doctor() if is_problem(p)]
    assert found(kb) == want


def test_a_picture_finds_pictures_by_the_servers_index(open_kb, files) -> None:
    """Vectors of a space are searched with k and without others; an unknown space has none."""
    kb = open_kb(search="indexes")
    kb.add(files)
    view = kb._on_indexes().prepared_for("Ada Lovelace")[1].view
    space = kb.text_encoder.space.key
    query = kb.text_encoder.encode_query(["Ada Lovelace wrote notes"])[0]
    units, scores = view.search_units(space, query, 3)
    arrays = open_kb(search="arrays").index()
    exact, cosines = arrays.search_units(space, query, 3)
    assert view.unit_ids(units.tolist()) == arrays.unit_ids(exact.tolist())
    assert np.allclose(scores, cosines, atol=1e-3)
    assert np.allclose(view.unit_vectors(space, units), arrays.unit_vectors(space, exact))
    assert len(view.search_units("other@1", query, 3)[0]) == 0


def test_an_address_says_where_to_search() -> None:
    assert Neo4jAddress.parse("neo4j://h/db?media=file:///m&search=indexes").search == "indexes"
    assert str(Neo4jAddress.parse("neo4j://h/db?search=arrays")) == "neo4j://h:7687/db?search=arrays"
    with pytest.raises(ConfigError, match="search=arrays or search=indexes"):
        Neo4jAddress.parse("neo4j://h/db?search=both")
