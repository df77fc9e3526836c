"""Many near-copies of one page: one stands for all, and what a second hop leads to is still found."""

import numpy as np
import pytest

from mmkg.retrieve.collapse import collapse
from mmkg.retrieve.copies import MANY, copies_in, put_back
from mmkg.retrieve.walk import RankedList
from mmkg.types import DocumentRef, Evidence, Locator

TEXT = (
    "Apollo 11 was commanded by Neil Armstrong and it landed in the Sea of Tranquility after four long days of flight"
)
WORDS = TEXT.split()


@pytest.fixture(scope="module")
def crowded(retriever_of, unit):
    """The page about Apollo 11 in thirty versions that each lack another word, and the page that a second hop leads to."""
    copies = [unit(f"copy{i:02}", " ".join(WORDS[: i % 12 + 8] + WORDS[i % 12 + 9 :]), "Apollo 11") for i in range(30)]
    others = [
        unit(f"other{i}", f"Apollo {i} carried a camera number {i} around the Moon.", f"Apollo {i}")
        for i in range(12, 18)
    ]
    neil = unit("neil", "Neil Armstrong was born near Wapakoneta in the state of Ohio.", "Neil Armstrong")
    return retriever_of([*copies, *others, neil])


def test_copies_are_one_hit_that_names_the_others(crowded):
    found = crowded.retrieve("Where was the commander of Apollo 11 born?", k=5, effort=1)
    names = [e.id for e in found]
    assert sum(n.startswith("copy") for n in names) == 1
    assert "neil" in names[:3]
    folded = next(e for e in found if e.id.startswith("copy"))
    assert len(folded.similar) >= 10
    assert all(s.startswith("copy") and s != folded.id for s in folded.similar)


def test_nothing_is_lost_from_the_order(crowded):
    ranked = crowded.rank("Where was the commander of Apollo 11 born?", k=37, effort=1)
    assert sorted(ranked.units.tolist()) == list(range(37))
    assert np.all(np.diff(ranked.scores) <= 0)
    assert ranked.copies
    places = {u: i for i, u in enumerate(ranked.units.tolist())}
    assert all(places[unit] > places[first] for unit, first in ranked.copies.items())


def test_a_few_versions_of_a_page_are_left_alone(retriever_of, unit):
    """They may differ in what is asked, and they leave room for others."""
    few = retriever_of([unit(f"v{i}", " ".join(WORDS[: i + 8] + WORDS[i + 9 :]), "Apollo 11") for i in range(MANY)])
    order = RankedList("x", np.arange(MANY), np.linspace(1, 0.5, MANY))
    assert copies_in(few.view, few.links, few.view.spaces()[0], order) == {}


def test_texts_of_one_template_are_no_copies(retriever_of, unit):
    """As near as copies by their vectors, but of other things."""
    villages = [
        unit(f"v{i}", f"It is a village in the Rural District of the Central County. Its reeve is {name}.", name)
        for i, name in enumerate(["Anbar Olya", "Borj Sofla", "Chah Narreh", "Deh Kohneh", "Esfand Zar", "Farah Dasht"])
    ]
    retriever = retriever_of(villages)
    order = RankedList("x", np.arange(6), np.linspace(1, 0.5, 6))
    same = [np.ones((6, 8), dtype=np.float32) / np.sqrt(8)]

    class Near:
        mentions = retriever.view.mentions

        def unit_vectors(self, space, units):
            return same[0][: len(units)]

    assert copies_in(Near(), retriever.links, "any", order) == {}


def test_what_repeats_a_copy_is_folded_into_the_first_too():
    """By its words the third repeats the second, which is known to repeat the first: all are one hit, and none is lost."""
    other = "of other words altogether, which are known to say the same"
    texts = {"one": TEXT, "two": other, "three": other}
    pieces = [
        Evidence(id=i, kind="text", score=1.0, text=t, document=DocumentRef(id=i, name=i, uri=i), locator=Locator())
        for i, t in texts.items()
    ]
    (only,) = collapse(pieces, 3, {"two": "one"})
    assert (only.id, sorted(only.similar)) == ("one", ["three", "two"])


def test_put_back_keeps_scores(crowded):
    ranked = RankedList("x", np.array([4, 1]), np.array([0.9, 0.3]))
    back = put_back(ranked, {7: 4, 5: 4, 2: 9})
    assert back.units.tolist() == [4, 7, 5, 1]
    assert back.scores.tolist() == [0.9, 0.9, 0.9, 0.3]
    assert put_back(RankedList("x", np.zeros(0, np.int64), np.zeros(0)), {}).units.tolist() == []
