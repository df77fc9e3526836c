"""Sentences by rule: a table of hard cases, and what holds for any text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmkg.ingest.sentences import MAX_CHARACTERS, cut_long, split_sentences

CASES = {
    "plain": ("It flew. It landed! Did it?", ["It flew.", "It landed!", "Did it?"]),
    "initials": ("J. F. Kennedy spoke. He left.", ["J. F. Kennedy spoke.", "He left."]),
    "middle initial": ("John F. Kennedy was shot. It rained.", ["John F. Kennedy was shot.", "It rained."]),
    "titles": ("Dr. Smith met Mr. Jones. They ate.", ["Dr. Smith met Mr. Jones.", "They ate."]),
    "decimals": ("It took 3.5 hours. Then 1,000.25 more.", ["It took 3.5 hours.", "Then 1,000.25 more."]),
    "US inside": ("The U.S. Air Force flew it. Yes.", ["The U.S. Air Force flew it.", "Yes."]),
    "US at the end": ("He lived in the U.S. The end came.", ["He lived in the U.S.", "The end came."]),
    "company": ("Acme Inc. in Boston built it. Good.", ["Acme Inc. in Boston built it.", "Good."]),
    "clock": ("At 5 p.m. They left.", ["At 5 p.m.", "They left."]),
    "latin": ("Fruit, e.g. Apples, i.e. Good ones. Done.", ["Fruit, e.g. Apples, i.e. Good ones.", "Done."]),
    "figure": ("See Fig. 3 and Eq. 2. Smith et al. found it.", ["See Fig. 3 and Eq. 2.", "Smith et al. found it."]),
    "number word": ("No. 5 is alive. He said no. The rest agreed.", ["No. 5 is alive.", "He said no.", "The rest agreed."]),
    "quote ends": ('"Really?" he said. "Yes!" She left.', ['"Really?" he said.', '"Yes!"', "She left."]),
    "stop in quote": ("He said “go.” Then he went.", ["He said “go.”", "Then he went."]),
    "brackets": ("(He left.) She stayed.", ["(He left.)", "She stayed."]),
    "ellipsis inside": ("Wait ... Houston. Yes.", ["Wait ... Houston.", "Yes."]),
    "ellipsis at the end": ("She waited... Then it rained.", ["She waited...", "Then it rained."]),
    "exclaimed name": ("Yahoo! is a company. Fine.", ["Yahoo! is a company.", "Fine."]),
    "wrapped line": ("Armstrong and\nAldrin landed on the\nMoon. Collins did not.", ["Armstrong and\nAldrin landed on the\nMoon.", "Collins did not."]),
    "blank line": ("A heading\n\nThe text of it.", ["A heading", "The text of it."]),
    "bullets": ("To buy:\n- milk\n- bread", ["To buy:", "- milk", "- bread"]),
    "numbered": ("1. First thing\n2. Second thing", ["1. First thing", "2. Second thing"]),
    "enumerator": ("2.1. Scope of it. Next.", ["2.1. Scope of it.", "Next."]),
    "speakers": ("CC: Roger.\nCDR: We copy\nthat down.", ["CC: Roger.", "CDR: We copy\nthat down."]),
    "time stamps": ("[04:13:20:38]\nCDR: More slack?\n\n[04:13:20:40]\nLMP: No.", ["[04:13:20:38]\nCDR: More slack?", "[04:13:20:40]\nLMP: No."]),
    "chinese": ("東京は首都です。大阪は？はい！", ["東京は首都です。", "大阪は？", "はい！"]),
    "hindi": ("यह एक है। वह दो है।", ["यह एक है।", "वह दो है।"]),
    "file name": ("Open mmkg.toml now. Done.", ["Open mmkg.toml now.", "Done."]),
    "url": ("See https://a.example/x.y?z=1 for it. Done.", ["See https://a.example/x.y?z=1 for it.", "Done."]),
    "roman": ("Pope John Paul II. He was Polish.", ["Pope John Paul II.", "He was Polish."]),
    "no terminator": ("only words", ["only words"]),
    "blank": (" \n\t ", []),
}  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), CASES.values(), ids=CASES.keys())
def test_hard_cases(text: str, expected: list[str]) -> None:
    assert [text[a:b] for a, b in split_sentences(text)] == expected


TEXTS = st.text(st.sampled_from("aB c.!?…\n\t\"'”)。1-:,é\u0301\U0001f600"), max_size=300) | st.text(max_size=200)


@given(TEXTS, st.integers(0, 50))
def test_spans_cover_all_but_white_space_in_order(text: str, start: int) -> None:
    start = min(start, len(text))
    spans = split_sentences(text, start)
    at = start
    for a, b in spans:
        assert at <= a < b <= len(text)
        assert not text[at:a].strip()
        assert text[a:b] == text[a:b].strip()
        at = b
    assert not text[at:].strip()


@given(st.text(st.sampled_from("ab ,;é\u0301\n"), max_size=400), st.integers(1, 60))
def test_cut_pieces_are_short_and_complete(text: str, limit: int) -> None:
    pieces = cut_long(text, 0, len(text), limit=limit)
    assert all(0 < b - a <= limit for a, b in pieces)
    assert "".join("".join(text[a:b].split()) for a, b in pieces) == "".join(text.split())


def test_a_long_sentence_is_cut_after_a_clause() -> None:
    text = "word " * 90 + "first part; " + "word " * 100 + "end."
    spans = split_sentences(text)
    assert max(b - a for a, b in spans) <= MAX_CHARACTERS
    assert text[slice(*spans[0])].endswith("first part;")


def test_time_is_linear_in_hostile_text() -> None:
    # No assertion on seconds: the suite's own time limit is what a quadratic rule would hit.
    for text in ("." * 400_000, "a. " * 200_000, "\n" * 300_000, "A" * 500_000, "(" * 300_000, "a\n" * 200_000):
        split_sentences(text)
