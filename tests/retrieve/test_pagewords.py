"""Words of whole pages in the order of units: a plain computation, and what it must leave alone."""

from __future__ import annotations

import numpy as np
import pytest

from mmkg.retrieve.pagewords import PAGE, Pages, join
from mmkg.retrieve.walk import RankedList, word_scores

WORDS = ["anchor", "bell", "cable", "dock", "eddy", "ferry", "gull", "harbour"]


class View:
    """The part of an IndexView that pages ask for: units of words, each of a document."""

    def __init__(self, units: list[tuple[int, str]]) -> None:
        self.n_units = len(units)
        self.unit_document = np.array([d for d, _ in units], dtype=np.int32)
        self.words = [text.split() for _, text in units]
        self.unit_length = np.array([len(w) for w in self.words], dtype=np.int32)

    def units_by_id(self, ids):
        return [int(i) if i.isdigit() and int(i) < self.n_units else -1 for i in ids]

    def postings(self, term):
        held = [(i, w.count(term)) for i, w in enumerate(self.words) if term in w]
        return np.array([i for i, _ in held], dtype=np.int32), np.array([n for _, n in held], dtype=np.int32)


def ranked(*units: int) -> RankedList:
    return RankedList("walk", np.array(units, dtype=np.int64), np.linspace(1.0, 0.5, len(units)))


def test_a_page_with_all_the_words_beats_units_with_one_each() -> None:
    # document 0: page 1 has units 0 and 1, page 2 unit 2, page 3 unit 3
    view = View([(0, "anchor dock"), (0, "bell dock"), (0, "anchor dock"), (0, "gull gull")])
    pages = Pages.of_view(view, [("0", 1), ("1", 1), ("2", 2), ("3", 3)])
    assert pages.of.tolist() == [0, 0, 1, 2] and pages.length.tolist() == [4, 2, 2]
    base = ranked(2, 0, 1)
    out, listed = join(base, pages, "anchor bell", view, word_scores("anchor bell", view), None)
    assert listed.name == PAGE and listed.units.tolist() == [0, 2]
    assert out.units.tolist() == [2, 0, 1] or out.units.tolist() == [0, 2, 1]
    assert out.scores.tolist() == base.scores.tolist()


def test_a_page_that_no_unit_brought_comes_in_by_its_best_one() -> None:
    view = View([(0, "anchor"), (0, "bell"), (0, "anchor bell cable"), (0, "dock")])
    pages = Pages.of_view(view, [("0", 1), ("1", 2), ("2", 2), ("3", 3)])
    out, _ = join(ranked(3), pages, "anchor bell", view, word_scores("anchor bell", view), None)
    assert out.units.tolist() == [3, 2, 0] and out.scores.tolist() == [1.0, 1.0, 1.0]
    mask = np.array([True, False, False, True])
    out, _ = join(ranked(3), pages, "anchor bell", view, word_scores("anchor bell", view), mask)
    assert out.units.tolist() == [3, 0]


def test_documents_of_one_page_and_units_without_one_are_left_alone() -> None:
    view = View([(0, "anchor"), (1, "anchor bell"), (2, "bell"), (2, "cable"), (3, "anchor")])
    pages = Pages.of_view(view, [("0", 1), ("1", 1), ("9", 4)])
    assert len(pages) == 0 and (pages.of == -1).all()
    pages = Pages.of_view(view, [("0", 1), ("2", 1), ("3", 2)])
    assert pages.of.tolist() == [-1, -1, 0, 1, -1]
    base = ranked(4, 1, 0)
    assert join(base, pages, "harbour", view, word_scores("harbour", view), None)[0] is base
    # among units without pages the order stays
    out, _ = join(base, pages, "anchor", view, word_scores("anchor", view), None)
    assert out.units.tolist() == [4, 1, 0]


@pytest.mark.parametrize("seed", range(20))
def test_the_scores_of_pages_are_those_of_their_words_together(seed: int) -> None:
    rng = np.random.default_rng(seed)
    units = [(int(rng.integers(3)), " ".join(rng.choice(WORDS, size=int(rng.integers(1, 6))))) for _ in range(30)]
    view, numbers = View(units), rng.integers(1, 5, size=30)
    pages = Pages.of_view(view, [(str(i), int(p)) for i, p in enumerate(numbers)])
    texts: dict[int, list[str]] = {}
    for i, at in enumerate(pages.of.tolist()):
        texts.setdefault(at, []).append(units[i][1])
    whole = View([(0, " ".join(texts[at])) for at in range(len(pages))])
    question = "anchor ferry gull anchor"
    np.testing.assert_allclose(pages.scores(question, view, None), word_scores(question, whole), atol=1e-12)
    base = RankedList("walk", rng.permutation(30)[:12].astype(np.int64), np.linspace(1, 0.1, 12))
    out, listed = join(base, pages, question, view, word_scores(question, view), None)
    assert len(set(out.units.tolist())) == len(out) and set(base.units.tolist()) <= set(out.units.tolist())
    assert (np.diff(out.scores) <= 0).all() and len(set(pages.of[listed.units].tolist())) == len(listed)
