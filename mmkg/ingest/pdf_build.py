"""The text of a PDF from its blocks, with a span for every line, cell, caption and word read from a picture."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mmkg.ingest.layout import overlap, union
from mmkg.ingest.ocr import OcrLine
from mmkg.ingest.pdf_blocks import PdfBlock, PdfPage, joint
from mmkg.ingest.pdf_text import CAPTION
from mmkg.ingest.raw import Block, Figure, RawDocument
from mmkg.ingest.textbuild import TextBuilder, sensible_title
from mmkg.types import Box, Line, Page, Span


@dataclass(slots=True)
class FoundFigure:
    """A picture cut out of a page. words: read from its pixels. blocks: printed text that belongs to it (labels)."""

    kind: str
    box: Box
    width: int
    height: int
    data: bytes | None
    words: list[OcrLine] = field(default_factory=list)
    caption: PdfBlock | None = None
    blocks: list[PdfBlock] = field(default_factory=list)


class _PageText:
    """Adds the blocks of one page to the text, and remembers lines and spans."""

    def __init__(self, builder: TextBuilder, page: PdfPage, known: set[str]) -> None:
        self.builder, self.page, self.known = builder, page, known
        self.lines: list[Line] = []
        self.blocks: list[Block] = []
        self.spans: dict[int, Span] = {}
        self.start: int | None = None

    def begin(self) -> int:
        at = self.builder.paragraph()
        self.start = at if self.start is None else self.start
        return at

    def line(self, span: Span, box: Box) -> None:
        self.lines.append(Line(start=span[0], end=span[1], box=box))

    def add(self, block: PdfBlock) -> None:
        start = self.begin()
        if block.rows:
            spans = self.builder.rows([[cell.text for cell in row] for row in block.rows])
            for row, row_spans in zip(block.rows, spans, strict=True):
                for cell, span in zip(row, row_spans, strict=True):
                    self.line(span, cell.box)
        else:
            self._paragraph(block)
        span = (start, self.builder.length)
        self.spans[id(block)] = span
        self.blocks.append(
            Block(start=span[0], end=span[1], kind=block.kind, level=block.level, page=self.page.number, box=block.box)
        )

    def _paragraph(self, block: PdfBlock) -> None:
        texts = [line.text for line in block.lines]
        for n, (line, text) in enumerate(zip(block.lines, texts, strict=True)):
            last = n + 1 == len(texts)
            glue = "" if last else " "
            if line.broken and not last:
                # The hyphen that was printed is no part of a joined word, but stays in "state-of-the-art".
                text, glue = text + joint(text, texts[n + 1], self.known), ""
            elif line.broken:
                text += "-"
            self.line(self.builder.add(text), line.box)
            self.builder.add(glue)

    def add_words(self, figure: FoundFigure) -> Span | None:
        """The words of a figure as an `ocr` block: printed labels first, then what was read from its pixels."""
        if not figure.blocks and not figure.words:
            return None
        start = self.begin()
        first = True
        for block in figure.blocks:
            if not first:
                self.builder.add("\n")
            first = False
            if block.rows:
                for row, spans in zip(
                    block.rows, self.builder.rows([[c.text for c in row] for row in block.rows]), strict=True
                ):
                    for cell, span in zip(row, spans, strict=True):
                        self.line(span, cell.box)
            else:
                self._paragraph(block)
        for n, word in enumerate(figure.words):
            text, glue = word.text, "" if first else "\n"
            if n and _flows(figure.words[n - 1], word):
                glue = " "
                if _parted(figure.words[n - 1].text, text):
                    glue = ""
            self.builder.add(glue)
            following = figure.words[n + 1] if n + 1 < len(figure.words) else None
            if following and _flows(word, following) and _parted(text, following.text):
                text = text[:-1] + joint(text[:-1], following.text, self.known)
            self.line(self.builder.add(text), word.box)
            first = False
        span = (start, self.builder.length)
        self.blocks.append(Block(start=span[0], end=span[1], kind="ocr", page=self.page.number, box=figure.box))
        return span


def build_document(
    *,
    media_type: str,
    pages: Sequence[PdfPage],
    figures: Mapping[int, Sequence[FoundFigure]],
    known: set[str],
    body: float,
    title: str,
    meta: Mapping[str, str],
    notes: tuple[str, ...],
    max_characters: int,
) -> RawDocument:
    """Put the pages together. title: from the metadata, or "" to take the largest text of the first page."""
    builder = TextBuilder(max_characters)
    out_pages: list[Page] = []
    out_blocks: list[Block] = []
    out_figures: list[Figure] = []
    for page in pages:
        text = _PageText(builder, page, known)
        own = figures.get(page.number, ())
        moved = {id(block) for figure in own for block in figure.blocks}
        for block in page.blocks:
            if id(block) not in moved:
                text.add(block)
        anchors = [_anchor(figure, page, text) for figure in own]
        for figure, anchor in zip(own, anchors, strict=True):
            words = text.add_words(figure)
            caption = text.spans.get(id(figure.caption)) if figure.caption else None
            out_figures.append(
                Figure(
                    kind=figure.kind,
                    width=figure.width,
                    height=figure.height,
                    anchor=anchor,
                    data=figure.data,
                    page=page.number,
                    box=figure.box,
                    caption=caption,
                    words=words,
                    label=_label(figure.caption),
                )
            )
        start = builder.length if text.start is None else text.start
        out_pages.append(
            Page(
                number=page.number,
                width=page.width,
                height=page.height,
                start=start,
                end=builder.length,
                lines=tuple(text.lines),
            )
        )
        out_blocks += text.blocks
    return RawDocument(
        media_type=media_type,
        text=builder.text(),
        name=title or _largest_text(pages, body),
        blocks=tuple(out_blocks),
        pages=tuple(out_pages),
        figures=tuple(out_figures),
        meta=meta,
        notes=notes,
    )


def _anchor(figure: FoundFigure, page: PdfPage, text: _PageText) -> int:
    """Where a figure stands in the text: at its caption, else before the first block under its top in its column."""
    if figure.caption is not None and id(figure.caption) in text.spans:
        return text.spans[id(figure.caption)][0]
    for block in page.blocks:
        span = text.spans.get(id(block))
        if span is None:
            continue
        box = block.box
        if box[1] >= figure.box[1] and overlap(box[0], box[2], figure.box[0], figure.box[2]) > 0:
            return span[0]
    return text.builder.length


def _label(caption: PdfBlock | None) -> str:
    match = CAPTION.match(caption.words) if caption else None
    return f"figure {match['number'].lower()}" if match else ""


def _flows(a: OcrLine, b: OcrLine) -> bool:
    """Whether a line read from a scan goes on in the next: same height of letters, under it, no gap."""
    ha, hb = a.box[3] - a.box[1], b.box[3] - b.box[1]
    gap = b.box[1] - a.box[3]
    long = len(a.text) >= 30
    return (
        long
        and -0.6 * ha <= gap <= 0.7 * ha
        and b.box[1] > a.box[1]
        and max(ha, hb) <= 1.5 * min(ha, hb)
        and abs(a.box[0] - b.box[0]) <= 4 * ha
    )


def _parted(left: str, right: str) -> bool:
    return bool(re.search(r"[^\W\d_]-$", left)) and right[:1].islower()


def _largest_text(pages: Sequence[PdfPage], body: float) -> str:
    """The largest text on the first page that has text, if it is larger than the body and reads like a title."""
    blocks = next((page.blocks for page in pages if page.blocks), [])
    blocks = [b for b in blocks if b.kind in ("heading", "text") and not b.lines[0].rotated]
    found = [b for b in blocks if sum(c.isalpha() for c in b.words) >= 4]
    found = [b for b in found if b.size >= 1.2 * body and len(b.words) <= 300]
    if not found:
        return ""
    size = max(b.size for b in found)
    largest = [b for b in found if b.size >= size - 0.6]
    # A title may be set as two paragraphs of one size, one under the other.
    title = [largest[0]]
    for block in largest[1:]:
        a, b = union(p.box for p in title), block.box
        if 0 <= b[1] - a[3] <= 200 * size and len(title) < 3:
            title.append(block)
    return sensible_title(" ".join(block.words for block in title))
