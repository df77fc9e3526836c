"""Facts from raw documents: exact offsets, sections, chunks, images, references."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmkg.factsio import from_json, to_json
from mmkg.ingest.assemble import assemble
from mmkg.ingest.chunk import STRETCH
from mmkg.ingest.raw import Block, Figure, RawDocument
from mmkg.types import DocumentFacts, Line, Page, Unit

KINDS = ("text", "text", "text", "heading", "table", "code", "formula", "caption", "ocr")
WORDS = st.text(st.sampled_from("abcDEf .,;!?\n\té\u0301字。1-Figure 2\x00\ud800"), min_size=0, max_size=120)


@st.composite
def raw_documents(draw: st.DrawFn) -> RawDocument:
    """Documents of all kinds of blocks, some not marked as blocks at all, some with pages and figures."""
    parts = draw(st.lists(st.tuples(st.sampled_from(KINDS), WORDS, st.integers(0, 4)), max_size=14))
    text, blocks = "", []
    for kind, words, level in parts:
        start = len(text)
        text += words
        if draw(st.integers(0, 5)):
            blocks.append(Block(start=start, end=len(text), kind=kind, level=level))
        text += draw(st.sampled_from(["\n\n", "\n", " ", ""]))
    offsets = st.integers(0, len(text))
    spans = st.tuples(offsets, offsets).map(lambda s: (min(s), max(s)))
    pages: list[Page] = []
    if draw(st.booleans()):
        at = 0
        for number, end in enumerate(sorted([*draw(st.lists(offsets, max_size=3)), len(text)]), 1):
            line = (Line(start=at, end=end, box=(0, 100 * number, 500, 100 * number + 10)),) if end > at else ()
            pages.append(Page(number=number, width=1000, height=1000, start=at, end=end, lines=line))
            at = end
    claimed = [b for b in blocks if b.kind in ("caption", "ocr")]
    figures = [
        Figure(
            kind="figure",
            width=3,
            height=4,
            anchor=draw(offsets),
            data=draw(st.binary(min_size=1, max_size=3)),
            caption=(block.start, block.end) if block.kind == "caption" else draw(st.none() | spans),
            words=(block.start, block.end) if block.kind == "ocr" else None,
            label=draw(st.sampled_from(["", "figure 2"])),
        )
        for block in claimed
        if draw(st.booleans())
    ]
    return RawDocument(media_type="x/y", text=text, blocks=tuple(blocks), pages=tuple(pages), figures=tuple(figures))


@settings(max_examples=100, deadline=None)
@given(raw_documents(), st.integers(1, 200))
def test_what_holds_for_every_document(raw: RawDocument, target: int) -> None:
    parsed = assemble(raw, chunk_characters=target)
    facts = parsed.facts
    text = facts.text
    assert len(text) == len(raw.text)
    text.encode("utf-8")
    assert [u.ordinal for u in facts.units] == list(range(len(facts.units)))
    covered: set[int] = set()
    at = 0
    for unit in facts.units:
        words = [text[a:b] for a, b in unit.spans()]
        assert all(w == w.strip() and w for w in words)
        covered.update(i for a, b in unit.spans() for i in range(a, b))
        for a, b in unit.sentences:
            assert any(s <= a < b <= e for s, e in unit.spans())
            assert text[a:b] == text[a:b].strip()
        assert list(unit.sentences) == sorted(unit.sentences) or unit.label == "Image"
        if unit.label == "Chunk":
            check_chunk(facts, unit, target, headings_of(raw))
            assert unit.start >= at, "chunks overlap"
            at = unit.end
    headings = [range(s.start, s.start + len(s.heading) + 60) for s in facts.sections]
    lost = {i for i, c in enumerate(text) if not c.isspace() and i not in covered}
    assert all(any(i in h for h in headings) for i in lost), "words of a body are in no unit"
    assert assemble(raw, chunk_characters=target) == parsed
    assert from_json(to_json(facts)) == facts
    assert set(parsed.media) == {u.media for u in facts.units if u.media}


def headings_of(raw: RawDocument) -> set[int]:
    return {i for b in raw.blocks if b.kind == "heading" for i in range(b.start, b.end)}


def check_chunk(facts: DocumentFacts, unit: Unit, target: int, headings: set[int]) -> None:
    assert unit.end - unit.start <= max(1, int(STRETCH * target))
    own = [s for s in facts.sections if s.start <= unit.start < s.end]
    assert unit.section == (max(own, key=lambda s: s.start).order if own else None)
    # No other section begins inside, and no page ends inside.
    assert not any(unit.start < s.start < unit.end for s in facts.sections)
    assert not any(unit.start < p.end < unit.end for p in facts.pages)
    # Every character of it that is not white space is in a sentence, or in a heading.
    sentences = {i for a, b in unit.sentences for i in range(a, b)}
    assert all(facts.text[i].isspace() or i in sentences | headings for i in range(unit.start, unit.end))


def build(
    *parts: tuple[str, str] | tuple[str, str, int], figures: tuple[Figure, ...] = (), name: str = ""
) -> RawDocument:
    text, blocks = "", []
    for kind, words, *level in parts:
        text += "\n\n" if text else ""
        blocks.append(Block(start=len(text), end=len(text) + len(words), kind=kind, level=level[0] if level else 0))
        text += words
    return RawDocument(media_type="text/plain", text=text, name=name, blocks=tuple(blocks), figures=figures)


def texts(facts: DocumentFacts) -> list[str]:
    return [facts.text[u.start : u.end] for u in facts.units]


def test_sections_nest_by_level() -> None:
    raw = build(
        ("text", "Before."), ("heading", "One", 1), ("text", "a"), ("heading", "One A", 2), ("text", "b"),
        ("heading", "Deep", 4), ("text", "c"), ("heading", "One B", 2), ("text", "d"), ("heading", "Two", 1), ("text", "e"),
    )  # fmt: skip
    facts = assemble(raw).facts
    assert [(s.heading, s.parent) for s in facts.sections] == [
        ("One", None), ("One A", 0), ("Deep", 1), ("One B", 0), ("Two", None),
    ]  # fmt: skip
    assert [u.section for u in facts.units] == [None, 0, 1, 2, 3, 4]
    assert facts.text[facts.sections[0].start : facts.sections[0].end].endswith("d\n\n")
    assert texts(facts)[1] == "One\n\na"
    assert facts.name == ""  # two headings of the highest level: neither is the title


def test_the_only_first_heading_is_the_title() -> None:
    facts = assemble(build(("heading", "The  Title", 1), ("heading", "Part", 2), ("text", "a"))).facts
    assert facts.name == "The Title"
    assert texts(facts) == ["Part\n\na"]  # a heading without text of its own makes no chunk


def test_headings_alone_are_still_searchable() -> None:
    facts = assemble(build(("heading", "Opening hours: nine to five", 1), ("heading", "Closed on Mondays", 1))).facts
    assert texts(facts) == ["Opening hours: nine to five", "Closed on Mondays"]


def test_short_blocks_are_merged_and_long_ones_end_at_a_sentence() -> None:
    sentence = "The module landed safely on the plain. "
    facts = assemble(build(*[("text", (sentence * 2).strip())] * 30), chunk_characters=500).facts
    assert len(facts.units) < 10
    assert all(t.endswith(".") and 250 <= len(t) <= 625 for t in texts(facts))
    facts = assemble(build(("text", (sentence * 60).strip())), chunk_characters=500).facts
    assert all(t.endswith(".") and t.startswith("The") for t in texts(facts))


def test_a_table_chunk_holds_whole_rows() -> None:
    rows = [f"Mission: Apollo {i}; Year: {1960 + i}; Crew: three people" for i in range(40)]
    facts = assemble(
        build(("text", "Before."), ("table", "\n".join(rows)), ("text", "After.")), chunk_characters=300
    ).facts
    kinds = [u.kind for u in facts.units]
    assert kinds[0] == kinds[-1] == "text" and set(kinds[1:-1]) == {"table"}
    assert [row for t in texts(facts)[1:-1] for row in t.split("\n")] == rows
    assert [facts.text[a:b] for u in facts.units[1:-1] for a, b in u.sentences] == rows


def test_figures_become_image_units_and_are_referred_to() -> None:
    raw = build(("heading", "Results", 1), ("text", "As Fig. 3 and Figs. 7-8 show, it works."), ("caption", "Figure 3: The probe. It is big."),
                ("text", "No other."), ("ocr", "Scale 1:10"))  # fmt: skip
    caption, words = raw.blocks[2], raw.blocks[4]
    figure = Figure(kind="figure", width=30, height=40, anchor=caption.start, data=b"png", page=None,
                    caption=(caption.start, caption.end), words=(words.start, words.end))  # fmt: skip
    parsed = assemble(replace(raw, figures=(figure,)))
    facts = parsed.facts
    chunk, image, other = facts.units
    assert (image.label, image.kind, image.section, image.width) == ("Image", "figure", 0, 30)
    assert image.media == hashlib.sha256(b"png").hexdigest() and parsed.media == {image.media: b"png"}
    assert facts.words(image) == "Figure 3: The probe. It is big.\nScale 1:10"
    assert [facts.text[a:b] for a, b in image.sentences] == ["Figure 3: The probe.", "It is big.", "Scale 1:10"]
    assert chunk.refers_to == (1,) and other.refers_to == ()
    assert facts.text[other.start : other.end] == "No other."


def test_a_picture_file_has_no_derived_media() -> None:
    raw = RawDocument(media_type="image/png", text="", figures=(Figure(kind="image", width=1, height=1, anchor=0),))
    parsed = assemble(raw)
    assert parsed.media == {} and parsed.facts.units[0].media is None and parsed.facts.units[0].kind == "image"


def test_the_box_of_a_chunk_is_that_of_its_lines() -> None:
    text = "First line\nsecond line\nthird line"
    spans = [(0, 10), (11, 22), (23, 33)]
    lines = tuple(Line(start=a, end=b, box=(10 + i, 100 * i, 200, 100 * i + 50)) for i, (a, b) in enumerate(spans))
    page = Page(number=1, width=1000, height=1000, start=0, end=len(text), lines=lines)
    raw = RawDocument(media_type="application/pdf", text=text, blocks=(Block(start=11, end=33),), pages=(page,))
    first, second = assemble(raw, chunk_characters=24).facts.units
    assert (first.page, first.box) == (1, (10, 0, 200, 50))
    assert second.box == (11, 100, 200, 250)


@pytest.mark.parametrize("value", [0, -5])
def test_a_target_below_one_is_refused(value: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        assemble(RawDocument(media_type="text/plain", text="a"), chunk_characters=value)
