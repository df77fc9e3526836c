"""From what a loader found to facts: sections, chunks, image units, sentences and references, with exact offsets."""

from __future__ import annotations

import bisect
import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from mmkg.ingest.chunk import pack, sentences_of
from mmkg.ingest.raw import Block, Figure, RawDocument
from mmkg.ingest.references import figure_label, labels_in
from mmkg.ingest.sentences import split_sentences, trim
from mmkg.ingest.spoken import with_subtitle_words
from mmkg.longfacts import tree
from mmkg.types import RESERVED, Box, DocumentFacts, Page, Parsed, Section, Span, Unit

NAME_CHARACTERS = 300
"""A longer title or heading is cut at white space."""

# Control characters and lone surrogates: neither is text, and the second cannot be stored as UTF-8.
_NOT_TEXT = {i: " " for i in [*range(9), 11, 12, *range(13, 32), *range(127, 160)]} | dict.fromkeys(
    range(0xD800, 0xE000), "\ufffd"
)
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_SPACE = re.compile(r"\s+")


def assemble(raw: RawDocument, *, chunk_characters: int = 1_000) -> Parsed:
    """Facts of a document, without names, and the bytes of the pictures inside it.

    raw: what a loader found; its blocks are put in order, cut where they overlap, and text outside any block counts as a
    text block. chunk_characters: target length of a chunk, at least 1; no chunk is longer than chunk.STRETCH times it.
    The result depends on the arguments alone.

    Every character that is not white space lies in a unit, but for headings of sections that have no text of their own.
    """
    if chunk_characters < 1:
        raise ValueError(f"chunk_characters must be at least 1, got {chunk_characters}")
    text = clean(raw.text)
    figures = sorted((_within(f, len(text)) for f in raw.figures), key=lambda f: (f.anchor, f.page or 0))
    claimed = sorted(s for f in figures for s in (f.caption, f.words) if s)
    blocks = list(_tidy(text, raw.blocks, claimed))
    sections, blocks = _sections(text, blocks)
    pages = tuple(raw.pages)
    blocks = [b for block in blocks for b in _by_page(block, pages)]
    chunks = _chunks(text, blocks, sections, pages, chunk_characters)
    media: dict[str, bytes] = {}
    images = [_image(text, figure, sections, media) for figure in figures]
    units = _in_order(text, chunks, images, figures)
    if raw.clips:
        units = _in_time(raw, units)
    facts = DocumentFacts(
        media_type=raw.media_type,
        name=title_line(raw.name) or title_from(sections),
        text=text,
        sections=tuple(sections),
        pages=pages,
        units=tuple(units),
        meta={clean(k): v for k, v in sorted((k, title_line(v, 2_000)) for k, v in raw.meta.items()) if _own(k) and v},
    )
    facts = with_subtitle_words(facts, raw.cues) if raw.cues else facts
    return Parsed(facts=facts, media=media, notes=tuple(raw.notes))


def _own(name: str) -> bool:
    """Whether a file may have a property of this name: what a user says of it, or mmkg, is not the file's to say."""
    return bool(name) and not clean(name).startswith(RESERVED)


def clean(text: str) -> str:
    """The text with control characters as spaces and lone surrogates as U+FFFD; one for one, so offsets stay."""
    return text.translate(_NOT_TEXT) if _CONTROL.search(text) else text


def title_line(text: str, limit: int = NAME_CHARACTERS) -> str:
    """The text on one line, cut at white space to at most `limit` characters."""
    line = _SPACE.sub(" ", clean(text)).strip()
    if len(line) > limit:
        line = line[: limit - 1].rsplit(" ", 1)[0].rstrip() + "…"
    return line


# ---- Blocks -------------------------------------------------------------------------------------------------------


def _tidy(text: str, blocks: Iterable[Block], claimed: Sequence[Span]) -> Iterator[Block]:
    """Blocks in text order without overlap, nothing that a figure claims among them, gaps filled with text blocks."""
    at = 0
    for block in _without(sorted(blocks, key=lambda b: (b.start, b.end)), claimed, len(text)):
        start = max(block.start, at)
        if start >= block.end:
            continue
        yield from _gap(text, at, start, claimed)
        kind = "text" if block.kind in ("caption", "ocr") else block.kind
        a, b = trim(text, start, block.end)
        if b > a:
            yield replace(block, start=a, end=b, kind=kind)
        at = block.end
    yield from _gap(text, at, len(text), claimed)


def _gap(text: str, start: int, end: int, claimed: Sequence[Span]) -> Iterator[Block]:
    if start < end and not text[start:end].isspace():
        for block in _without([Block(start=start, end=end)], claimed, len(text)):
            a, b = trim(text, block.start, block.end)
            if b > a:
                yield replace(block, start=a, end=b)


def _without(blocks: Iterable[Block], claimed: Sequence[Span], length: int) -> Iterator[Block]:
    starts = [s for s, _ in claimed]
    ends_before = [0]  # running maximum of ends, since claimed spans may nest
    for _, e in claimed:
        ends_before.append(max(ends_before[-1], e))
    for block in blocks:
        at, end = max(0, block.start), min(block.end, length)
        i = bisect.bisect_right(starts, at)
        at = max(at, min(ends_before[i], end))
        while i < len(claimed) and claimed[i][0] < end:
            if claimed[i][0] > at:
                yield replace(block, start=at, end=claimed[i][0])
            at = max(at, claimed[i][1])
            i += 1
        if at < end:
            yield replace(block, start=at, end=end)


def _by_page(block: Block, pages: Sequence[Page]) -> Iterator[Block]:
    """The block with its page filled in; one that spans pages is parted at their ends."""
    if not pages:
        yield block
        return
    at = block.start
    for page in pages:
        if page.end <= at:
            continue
        if page.start >= block.end or at >= block.end:
            break
        stop = min(block.end, page.end)
        yield replace(block, start=at, end=stop, page=page.number)
        at = stop
    if at < block.end:
        yield replace(block, start=at)


# ---- Sections -----------------------------------------------------------------------------------------------------


def _sections(text: str, blocks: Sequence[Block]) -> tuple[list[Section], list[Block]]:
    """Sections from heading blocks, and the blocks; a heading without a letter or digit is plain text."""
    blocks = [
        replace(b, kind="text") if b.kind == "heading" and not any(c.isalnum() for c in text[b.start : b.end]) else b
        for b in blocks
    ]
    heads = [(title_line(text[b.start : b.end]), max(1, b.level), b.start) for b in blocks if b.kind == "heading"]
    return tree(heads, len(text)), blocks


def _section_at(sections: Sequence[Section], starts: Sequence[int], offset: int) -> int | None:
    # The latest heading at or before the offset is the innermost section: an outer one would have begun earlier.
    i = bisect.bisect_right(starts, offset) - 1
    return i if i >= 0 else None


def title_from(sections: Sequence[Section]) -> str:
    """The first heading, where it is the only one of the highest level."""
    if not sections:
        return ""
    top = min(s.level for s in sections)
    if sections[0].level == top and sum(s.level == top for s in sections) == 1:
        return sections[0].heading
    return ""


# ---- Units --------------------------------------------------------------------------------------------------------


def _chunks(
    text: str, blocks: Sequence[Block], sections: Sequence[Section], pages: Sequence[Page], target: int
) -> list[Unit]:
    starts = [s.start for s in sections]
    prose = any(b.kind in ("text", "formula") for b in blocks)
    runs: list[tuple[list[Block], int | None, str]] = []
    last: tuple[int | None, int | None, str] | None = None
    for block in blocks:
        section = _section_at(sections, starts, block.start)
        mode = _mode(block, prose, target)
        key = (section, block.page, mode)
        together = last is not None and last[:2] == key[:2] and not _apart(text, runs[-1][0][-1], block)
        if together and last is not None and last[2] == "heading":
            # A heading takes the mode of what follows it.
            runs[-1][0].append(block)
            runs[-1] = (runs[-1][0], section, mode)
            last = key
        elif together and key == last:
            runs[-1][0].append(block)
        else:
            runs.append(([block], section, mode))
            last = key
    bodies = [run for run in runs if any(b.kind != "heading" for b in run[0])]
    if not bodies or (len(runs) >= len(bodies) + 3 and _size(runs) > 2 * _size(bodies)):
        bodies = runs  # little but headings: they are the text
    by_page = {p.number: p for p in pages}
    units: list[Unit] = []
    for run, section, mode in bodies:
        kinds = {b.kind for b in run}
        kind = "formula" if kinds == {"formula"} else {"table": "table", "code": "code"}.get(mode, "text")
        first = 0
        for start, end in pack(text, run, target):
            while run[first].end <= start:
                first += 1
            # Blocks are in text order: looking at all that follow, for each chunk, would be quadratic.
            touched = _until(run, first, end)
            page = run[0].page
            units.append(
                Unit(
                    ordinal=0,
                    label="Chunk",
                    kind=kind,
                    start=start,
                    end=end,
                    page=page,
                    box=_box(start, end, by_page.get(page) if page else None, touched),
                    section=section,
                    sentences=tuple(sentences_of(text, start, end, touched)),
                )
            )
    return units


def _until(run: Sequence[Block], first: int, end: int) -> list[Block]:
    """Blocks of the run from number `first` on that begin before `end`."""
    last = first
    while last < len(run) and run[last].start < end:
        last += 1
    return list(run[first:last])


def _mode(block: Block, prose: bool, target: int) -> str:
    if block.kind in ("table", "heading"):
        return block.kind
    # A line of code between paragraphs is read with them; a listing stands alone.
    if block.kind == "code" and not (prose and block.end - block.start < target // 4):
        return "code"
    return "prose"


def _apart(text: str, before: Block, after: Block) -> bool:
    """Whether words lie between two blocks (the caption of a figure): one chunk cannot span them."""
    return after.start > before.end and not text[before.end : after.start].isspace()


def _size(runs: Sequence[tuple[list[Block], int | None, str]]) -> int:
    return sum(b.end - b.start for run, _, _ in runs for b in run)


def _box(start: int, end: int, page: Page | None, blocks: Sequence[Block]) -> Box | None:
    """Union of the boxes of the lines that the span touches, or else of its blocks."""
    boxes: list[Box] = []
    if page is not None and page.lines:
        at = bisect.bisect_right(page.lines, start, key=lambda line: line.end)
        for line in page.lines[at:]:
            if line.start >= end:
                break
            boxes.append(line.box)
    boxes = boxes or [b.box for b in blocks if b.box is not None]
    if not boxes:
        return None
    x0, y0, x1, y1 = zip(*boxes, strict=True)
    return min(x0), min(y0), max(x1), max(y1)


def _within(figure: Figure, length: int) -> Figure:
    def clip(span: Span | None) -> Span | None:
        if span is None or not 0 <= span[0] < span[1] <= length:
            return None
        return span

    return replace(
        figure, anchor=min(max(figure.anchor, 0), length), caption=clip(figure.caption), words=clip(figure.words)
    )


def _image(text: str, figure: Figure, sections: Sequence[Section], media: dict[str, bytes]) -> Unit:
    sha = None
    if figure.data is not None:
        sha = hashlib.sha256(figure.data).hexdigest()
        media[sha] = figure.data
    caption = trim(text, *figure.caption) if figure.caption else None
    start, end = trim(text, *figure.words) if figure.words else (figure.anchor, figure.anchor)
    sentences = [*split_sentences(text, *caption)] if caption else []
    if end > start:
        sentences += split_sentences(text, start, end)
    return Unit(
        ordinal=0,
        label="Image",
        kind=figure.kind,
        start=start,
        end=end,
        page=figure.page,
        box=figure.box,
        section=_section_at(sections, [s.start for s in sections], figure.anchor),
        caption=caption if caption and caption[1] > caption[0] else None,
        media=sha,
        width=figure.width,
        height=figure.height,
        sentences=tuple(sentences),
        span_ms=None if figure.at_ms is None else (figure.at_ms, figure.at_ms),
    )


def _in_time(raw: RawDocument, units: Sequence[Unit]) -> list[Unit]:
    """Clips and key frames by time, each clip before the frames that it shows, after what has no time."""
    clips = [
        Unit(ordinal=0, label="Clip", kind=c.kind, start=0, end=0, span_ms=(c.start_ms, c.end_ms)) for c in raw.clips
    ]
    untimed = [u for u in units if u.span_ms is None]
    timed = sorted(
        [*clips, *(u for u in units if u.span_ms is not None)],
        key=lambda u: (u.span_ms or (0, 0))[0] * 2 + (u.label != "Clip"),
    )
    return [replace(u, ordinal=i) for i, u in enumerate([*untimed, *timed])]


def _in_order(text: str, chunks: Sequence[Unit], images: Sequence[Unit], figures: Sequence[Figure]) -> list[Unit]:
    """Units in reading order with their ordinals; chunks know the figures that they name."""
    keyed: list[tuple[tuple[int, int, int], Unit, Figure | None]] = [((u.start, 1, 0), u, None) for u in chunks]
    keyed += [((f.anchor, 0, i), u, f) for i, (u, f) in enumerate(zip(images, figures, strict=True))]
    keyed.sort(key=lambda item: item[0])
    by_label: dict[str, list[int]] = {}
    for ordinal, (_, unit, figure) in enumerate(keyed):
        if figure is not None:
            caption = text[unit.caption[0] : unit.caption[1]] if unit.caption else ""
            if label := figure_label(figure.label or caption):
                by_label.setdefault(label, []).append(ordinal)
    out: list[Unit] = []
    for ordinal, (_, unit, figure) in enumerate(keyed):
        refers: tuple[int, ...] = ()
        if figure is None and by_label:
            named = {o for label in labels_in(text[unit.start : unit.end]) for o in by_label.get(label, ())}
            refers = tuple(sorted(named))
        out.append(replace(unit, ordinal=ordinal, refers_to=refers))
    return out
