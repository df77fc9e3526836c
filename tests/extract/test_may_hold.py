"""The quick test for a title form never misses one that the words hold."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmkg.extract.derive import EntityDeriver
from mmkg.types import Unit, UnitInput

_PARTS = [
    "O'Brien's",
    "Jean-Luc",
    "Café",
    "ﬁnal",
    "U.S.",
    "St. Paul",
    "İstanbul",
    "3.5",
    "Ada",
    "LOVELACE",
    "\n",
    "’s",
    "x_y",
]
_texts = st.lists(st.one_of(st.sampled_from(_PARTS), st.text(max_size=6)), max_size=8).map(" ".join)


def _unit(*texts: str) -> UnitInput:
    pieces, at = [], 0
    for text in texts:
        pieces.append((at, text))
        at += len(text) + 1
    unit = Unit(ordinal=0, label="Chunk", kind="text", start=0, end=at)
    return UnitInput(unit=unit, pieces=tuple(pieces))


@given(_texts, _texts)
def test_every_candidate_may_be_held(first, second):
    deriver, unit = EntityDeriver(), _unit(first, second)
    for form in deriver.candidates(unit):
        assert deriver.may_hold(unit, [form])
        assert deriver.may_hold(unit, ["zzz zzz", form])


@pytest.mark.parametrize("form", ["history of lovelace", "ada byron", "café ada"])
def test_it_rules_out_most_of_what_shares_a_key(form):
    assert not EntityDeriver().may_hold(_unit("The history of Ada and her engine."), [form])
