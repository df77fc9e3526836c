"""Acronyms that a text defines."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmkg.algorithms.names import tokenize
from mmkg.extract.aliases import acronyms
from mmkg.extract.derive import EntityDeriver
from mmkg.types import Unit, UnitInput


def defined(text: str) -> list[tuple[str, str]]:
    tokens = tokenize(text)
    return [
        (text[tokens[c].start : tokens[d - 1].end], text[tokens[a].start : tokens[b - 1].end])
        for a, b, c, d in acronyms(text, tokens)
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "by the National Aeronautics and Space Administration (NASA) in",
            [("NASA", "National Aeronautics and Space Administration")],
        ),
        ("the Department of Defense (DoD) said", [("DoD", "Department of Defense")]),
        (
            "the Treaty on the Functioning of the European Union (TFEU)",
            [("TFEU", "Treaty on the Functioning of the European Union")],
        ),
        ("a convolutional neural network (CNN) learns", [("CNN", "convolutional neural network")]),
        (
            "NASA (National Aeronautics and Space Administration)",
            [("NASA", "National Aeronautics and Space Administration")],
        ),
        ("extra-vehicular activities (EVAs)", [("EVAs", "extra-vehicular activities")]),
        ("the Lunar Module (LM) and Command Module (CM)", [("LM", "Lunar Module"), ("CM", "Command Module")]),
        ("at Columbia (CSM) and", []),
        ("in the spring (IT) of", []),
        ("Michael Collins (NASA) flew", []),
        ("in 1969 (AD)", []),
        ("National; Space (NS)", []),
        ("(NASA)", []),
        ("NASA ()", []),
    ],
)
def test_definitions(text: str, expected: list[tuple[str, str]]) -> None:
    assert defined(text) == expected


@given(st.text(alphabet=st.sampled_from("AaBb (OF)of.-&\n"), max_size=60))
def test_any_text_gives_spans_of_initials(text: str) -> None:
    for short, long in defined(text):
        assert short[0].lower() == tokenize(long)[0].folded[0]
        assert len(tokenize(long)) > 1


def test_many_function_words_before_a_bracket_are_cheap() -> None:
    assert defined("of " * 500 + "(OFOFOFOF) " * 50) == []


def test_a_definition_makes_both_sides_mentions_and_an_alias() -> None:
    text = "A convolutional neural network (CNN) learns. The World Health Organization (WHO) helps."
    unit = UnitInput(unit=Unit(ordinal=0, label="Chunk", kind="text", start=0, end=len(text)), pieces=((0, text),))
    derivation = EntityDeriver().derive(unit, ())
    # "who" alone would be found in every question.
    assert derivation.aliases == (("cnn", "convolutional neural network", "acronym"),)
    assert {row.entity for row in derivation.mentions} == {
        "cnn",
        "convolutional neural network",
        "world health organization",
    }
