"""Markers, claims and verdicts."""

from __future__ import annotations

import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmkg.generate.cite import CitationBook, check, cited_sentences, claim_of, parse_markers, render
from mmkg.generate.sentences import quote_of, sentence_spans, split
from mmkg.types import DocumentRef, Evidence, Locator


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("It is red [1].", [(1,)]),
        ("It is red [2][3].", [(2,), (3,)]),
        ("It is red [1, 2].", [(1, 2)]),
        ("It is red [ 1;2 ].", [(1, 2)]),
        ("It is red [2-4].", [(2, 3, 4)]),
        ("It is red 【3】.", [(3,)]),
        ("In [1969] it was red.", []),
        ("It [is] red [x].", []),
        ("An array a[i] of [] and [,].", []),
    ],
)
def test_markers(text: str, numbers: list[tuple[int, ...]]) -> None:
    assert [n for _, n in parse_markers(text)] == numbers


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It is red. [1] It is round.", [("It is red.", (1,)), ("It is round.", ())]),
        ("It is red [1]. It is round [2].", [("It is red.", (1,)), ("It is round.", (2,))]),
        ("Red, says Dr. Vey [1][2].", [("Red, says Dr. Vey.", (1, 2))]),
        ("It is red.\n[1]", [("It is red.", (1,))]),
        ("Made by A [1] and sold by B [2].", [("Made by A and sold by B.", (1, 2))]),
        ("- red [1]\n- round [2]", [("- red", (1,)), ("- round", (2,))]),
        ("[1]", []),
        ("", []),
    ],
)
def test_markers_go_to_their_sentence(text: str, expected: list[tuple[str, tuple[int, ...]]]) -> None:
    assert cited_sentences(text) == expected


def test_a_supported_sentence_quotes_the_sentence_that_says_it(make) -> None:
    text = "The sea was calm. The Gull Stair was paid for by Rosamund Vey. Nobody knows why."
    (sentence,), (citation,) = check("Rosamund Vey paid for the Gull Stair [1].", [make("a", text, offset=70, page=3)])
    assert sentence.supported and sentence.citations == (1,)
    assert citation.verdict == "supported"
    assert citation.quote == "The Gull Stair was paid for by Rosamund Vey."
    assert citation.locator.chars == (88, 132)
    assert citation.locator.page == 3


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        ("The stair cost 9,400 crowns in 2010 [1].", "supported"),
        ("The stair cost 9400 crowns [1].", "supported"),
        ("The stair cost 9,500 crowns in 2010 [1].", "partial"),
        ("The stair cost Piers 9,400 crowns in 2010 [1].", "partial"),
        ("Ottoline liked brown herring [1].", "unsupported"),
    ],
)
def test_a_number_or_name_that_is_not_in_the_quote_is_at_best_partial(make, answer: str, verdict: str) -> None:
    sentences, citations = check(answer, [make("a", "In 2010 the stair cost 9,400 crowns.")])
    assert citations[0].verdict == verdict
    assert sentences[0].supported == (verdict != "unsupported")


def test_two_quotes_support_a_sentence_together(make) -> None:
    units = [
        make("a", "Ottoline Brask ordered the Sorrel Lens."),
        make("b", "The Sorrel Lens was ground by Mirela Dusk."),
        make("c", "Bread is baked on Thursdays."),
    ]
    answer = "The lens that Ottoline Brask ordered, the Sorrel Lens, was ground by Mirela Dusk [1][2][3]."
    (sentence,), citations = check(answer, units)
    assert sentence.supported
    assert [c.verdict for c in citations] == ["supported", "supported", "unsupported"]


def test_a_title_counts_but_does_not_prove_alone(make) -> None:
    unit = make("a", "He was born in 1930. He liked boats.", title="Neil Armstrong")
    assert check("Neil Armstrong was born in 1930 [1].", [unit])[1][0].verdict == "supported"
    assert check("Neil Armstrong [1].", [unit])[1][0].verdict == "unsupported"


def test_markers_of_what_was_not_sent_are_dropped(make) -> None:
    sentences, citations = check("It is red [9]. It is round [1, 7].", [make("a", "It is round.")])
    assert [s.supported for s in sentences] == [False, True]
    assert [s.citations for s in sentences] == [(), (1,)]
    assert [c.evidence for c in citations] == ["a"]
    assert render(sentences) == "It is red. (unsupported) It is round. [1]"


def test_a_sentence_without_a_marker_is_unsupported(make) -> None:
    sentences, citations = check("It is round.", [make("a", "It is round.")])
    assert not sentences[0].supported and citations == ()


def test_one_quote_has_one_marker(make) -> None:
    unit = make("a", "It is round. It is red.")
    sentences, citations = check("It is red [1]. It is round [1]. Red it is [1].", [unit])
    assert [s.citations for s in sentences] == [(1,), (2,), (1,)]
    assert [c.quote for c in citations] == ["It is red.", "It is round."]


def test_the_book_refuses_what_is_not_there(make) -> None:
    book = CitationBook([make("a", "It is round.")])
    with pytest.raises(KeyError):
        book.cite("b", (0, 5), "supported")
    with pytest.raises(ValueError, match="not inside"):
        book.cite("a", (5, 50), "supported")


def test_a_caption_can_be_quoted(make) -> None:
    unit = make("a", "OCR words", caption="Side view of the stair.", offset=500, kind="figure")
    (citation,) = check("The side view of the stair [1].", [unit])[1]
    assert citation.quote == "Side view of the stair." and citation.locator.chars == (400, 423)


def test_claims_hold_numbers_and_names_strictly() -> None:
    claim = claim_of("The harbour of Vellamar got 1,200 NASA boots.")
    assert claim.strict == {"vellamar", "1200", "nasa"}
    assert {"harbour", "boot"} <= claim.words


_word = st.text(string.ascii_letters + "äß0123456789", min_size=1, max_size=8)
_text = st.lists(st.lists(_word, min_size=1, max_size=9).map(lambda w: " ".join(w).capitalize() + "."), max_size=6).map(
    " ".join
)


@st.composite
def _documents(draw: st.DrawFn) -> tuple[str, Evidence]:
    """A document's text, and a unit of it with one or two parts, with or without sentence spans."""
    before, caption, between, body = draw(_text), draw(_text), draw(_text), draw(_text)
    text = f"{before}\n{caption}\n{between}\n{body}"
    first, second = len(before) + 1, len(before) + len(caption) + len(between) + 3
    spans = tuple((a, b) for a, b in ((first, first + len(caption)), (second, second + len(body))) if b > a)
    sentences = tuple(s for a, b in spans for s in split(text, a, b)) if draw(st.booleans()) else ()
    unit = Evidence(
        id="u",
        kind="text",
        score=1.0,
        text="\n".join(text[a:b] for a, b in spans),
        document=DocumentRef(id="d", name="d", uri="d"),
        locator=Locator(chars=spans[0] if spans else None),
        spans=spans,
        sentences=sentences,
    )
    return text, unit


@settings(max_examples=60, deadline=None)
@given(document=_documents(), answer=st.lists(st.tuples(_text, st.integers(0, 4)), max_size=4))
def test_every_quote_is_the_document_at_its_place(
    document: tuple[str, Evidence], answer: list[tuple[str, int]]
) -> None:
    text, unit = document
    for start, end in sentence_spans(unit):
        assert quote_of(unit, (start, end)) == text[start:end]
    written = " ".join(f"{sentence} [{n}]" for sentence, n in [*answer, (unit.text, 1)])
    sentences, citations = check(written, [unit])
    assert [c.marker for c in citations] == list(range(1, len(citations) + 1))
    for citation in citations:
        assert citation.locator.chars is not None
        start, end = citation.locator.chars
        assert text[start:end] == citation.quote != ""
    assert {m for s in sentences for m in s.citations} <= {c.marker for c in citations}


def test_a_long_row_of_a_table_is_quoted_by_the_cell(make):
    row = f"file: a/b.jpg; kind: image; title: Ona Mole, Builder of the Zed; caption: {'A boat; of oak. ' * 20}"
    unit = make("r", row, offset=50, kind="table", sentences=((50, 50 + len(row)),))
    quotes = [quote_of(unit, span) for span in sentence_spans(unit)]
    assert quotes[:3] == ["file: a/b.jpg", "kind: image", "title: Ona Mole, Builder of the Zed"]
    assert "; ".join(quotes) == row.strip(), "nothing is lost"
    short = make("s", "boat: Zed; builder: Ona Mole", kind="table", sentences=((0, 28),))
    assert sentence_spans(short) == ((0, 28),), "a short row says more as a whole"
