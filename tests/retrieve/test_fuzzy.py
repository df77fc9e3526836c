"""Misspelt questions, over a small base in memory."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmkg.evaluate import noise
from mmkg.retrieve.fuzzy import mended


@pytest.fixture(scope="module")
def units(unit):
    return [
        unit("a", "Ottoline Brask ordered the lens from the Brightwater Glassworks in 1885.", "Korvane Light"),
        unit("b", "Brightwater Glassworks lies on the Tamrel river, beside the old expedition road.", "Brightwater"),
        unit("c", "The Marquess of Vellamar paid for the expedition. Marie Duval wrote of it.", "Vellamar"),
        unit("d", "A harbour and a lighthouse. The harbour is deep.", "Penrock Head"),
    ]


@pytest.fixture(scope="module")
def view(index_of, units):
    return index_of(units)


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("Who paid for the expediton?", "Who paid for the expedition?"),
        ("Which habrour is deep?", "Which harbour is deep?"),
        ("What did Ottolime Brask order?", "What did Ottoline Brask order?"),
        ("Where is Penrok Head?", "Where is Penrock Head?"),
        ("WHERE IS PENROK HEAD?", "WHERE IS PENROCK HEAD?"),
        ("What did Maria Duval write?", "What did Marie Duval write?"),  # each word may be right, the name is not
        ("Who ordered the lighthouselens?", "Who ordered the lighthouse lens?"),
        ("Is the harbourdeep?", "Is the harbour deep?"),
        ("Who lit Korvame Liqht?", "Who lit Korvane Light?"),
        ("the Brightvvater Glassworks", "the Brightwater Glassworks"),
        ("What did wbichOttoline Brask order?", "What did which Ottoline Brask order?"),  # run together, and misread
        ("Where is orPENROCK Head?", "Where is or PENROCK Head?"),
        ("Who lit Konvune Light?", "Who lit Korvane Light?"),  # two look-alikes in a name
        ("When was Marle Duval born?", "When was Marie Duval born?"),
    ],
)
def test_misspelt_words_become_those_of_the_base(question, expected, view):
    assert mended(question, view) == expected


@pytest.mark.parametrize(
    "question",
    [
        "Who paid for the expedition?",
        "What did Ottoline Brask order from the Brightwater Glassworks?",
        "How many people live in Marrakesh?",  # unknown, and near nothing
        "Was the telescope older?",  # common English that no unit holds
        "Is the zzz of 1886 at the F100?",
        "Qui a payé l'expédition ?",
        "灯台はどこですか",
        "",
    ],
)
def test_what_is_right_or_unknown_stays(question, view):
    assert mended(question, view) == question


@settings(deadline=None)  # unknown words cost more on a busy machine
@given(text=st.text(max_size=60))
def test_any_text_is_taken_and_mending_again_changes_nothing(text, view):
    once = mended(text, view)
    assert mended(once, view) == once


@settings(deadline=None)
@given(seed=st.integers(0, 500))
def test_one_slip_in_a_name_is_found_again(seed, view):
    question = "What did Ottoline Brask order from the Brightwater Glassworks?"
    assert mended(noise.name_typo(question, random.Random(seed)), view) in (
        question,
        question.replace("Brask", "Bask"),  # a word of its own to the list of common ones
    )


def test_the_ranking_of_a_misspelt_question_is_that_of_the_right_one(retriever_of, units):
    right, wrong = "What did Ottoline Brask order?", "What did Ottolime Brsak order?"
    mending, plain = retriever_of(units), retriever_of(units, mend=False)
    assert mending.rank(wrong, k=4).units.tolist() == mending.rank(right, k=4).units.tolist()
    assert mending.rank(wrong, k=4).entities and not plain.rank(wrong, k=4).entities


def test_an_empty_base_changes_nothing(index_of):
    assert mended("Wher is the habrour of Ottolime?", index_of([])) == "Wher is the habrour of Ottolime?"


@pytest.mark.parametrize(
    ("seen", "meant"),
    [
        (
            "Wbere is tbe cxpcdition thc Brightwater Glassworks paid for?",
            "Where is the expedition the Brightwater Glassworks paid for?",
        ),
        ("Wh0 paid f0r the expediti0n?", "Who paid for the expedition?"),
        ("Is theHarbour deep?", "Is the Harbour deep?"),
        ("Who paid forthe expedition?", "Who paid for the expedition?"),
        ("Is the engine an F100?", "Is the engine an F100?"),
    ],
)
def test_print_that_was_misread_is_read_again(seen, meant, view):
    assert mended(seen, view) == meant
