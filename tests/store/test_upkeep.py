"""What removal leaves behind goes with time: dead units, their segments, the list of them."""

from __future__ import annotations

import pytest

from mmkg.store.folder.ledger import Ledger


def _state(kb):
    """(dead units, rows in text segments, rows in incidence segments) of the current generation."""
    ledger = Ledger.open(kb.root)
    try:
        generation = ledger.current()
        dead = [u for (u,) in ledger.rows("SELECT unit FROM dead")]
        text, incidence = generation.text_segments, generation.incidence_segments
        return dead, sum(r.rows for r in text), sum(r.rows for r in incidence)
    finally:
        ledger.close()


@pytest.fixture
def pages(write):
    return [write(f"{i}.md", f"# Page {i}\n\nAda Lovelace came to Town{i} in {1800 + i}.\n") for i in range(20)]


def test_dead_units_are_forgotten_when_no_segment_holds_them(pages, make_kb, tmp_path):
    kb = make_kb()
    kb.add(*pages)  # one segment
    for page in pages[:15]:
        kb.remove(page)
        dead, text, _ = _state(kb)
        live = len(list(kb.documents()))
        # A segment is rewritten when most of its rows are dead, so no more than that is kept.
        assert len(dead) <= live + 1
        assert text <= 2 * live + 1
    fresh = make_kb(tmp_path / "fresh")
    fresh.add(*pages[15:])
    assert kb.digest(deep=True) == fresh.digest(deep=True)
    assert [e.id for e in kb.search("Ada Lovelace", k=20)] == [e.id for e in fresh.search("Ada Lovelace", k=20)]


def test_an_emptied_base_keeps_nothing(pages, make_kb):
    kb = make_kb()
    kb.add(*pages)
    kb.remove(*pages)
    assert _state(kb) == ([], 0, 0)


def test_a_page_that_comes_and_goes_leaves_no_trail(pages, make_kb):
    kb = make_kb()
    kb.add(*pages[:4])
    for _ in range(12):
        kb.add(pages[5])
        kb.remove(pages[5])
    dead, text, incidence = _state(kb)
    assert len(dead) < 8 and text < 12 and incidence < 16


def test_staged_documents_are_found_without_reading_the_others(make_kb, pages):
    """The writer asks for them in every run: the plan must use the index of what is not visible."""
    from mmkg.store.folder.lookups import STAGED

    kb = make_kb()
    kb.add(pages[0])
    ledger = Ledger.open(kb.root)
    try:
        plan = [row[3] for row in ledger.rows(f"EXPLAIN QUERY PLAN SELECT no FROM document d WHERE {STAGED}")]
    finally:
        ledger.close()
    assert plan and all("document_state" in step for step in plan)
