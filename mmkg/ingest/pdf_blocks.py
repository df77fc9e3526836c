"""From lines to blocks over a whole PDF: running headers, reading order, headings, captions, tables, words parted by breaks."""

from __future__ import annotations

import itertools
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

from mmkg.ingest.layout import overlap, reading_order, union
from mmkg.ingest.pdf_figures import Drawn
from mmkg.ingest.pdf_tables import find_tables, unwoven
from mmkg.ingest.pdf_text import CAPTION, Segment, TextLine, to_paragraphs
from mmkg.types import Box

_NUMBERED = re.compile(
    r"^(?P<number>\d{1,2}(?:\.\d{1,2}){0,3}\.?|[IVXLC]{1,5}\.|[A-Z]\.(?:\d\.?)*|(?:Chapter|Section|Appendix|Part|Item)\s+[\dA-Z]+[.:]?)"
    r"\s+[A-Z“\"]"
)
_PAGE_NUMBER = re.compile(
    r"^\W*(?:page|seite|p\.)?\W*#(?:\s*(?:of|/|von|-)\s*#)?\W*$|^\W*[ivxlc]{1,6}\W*$", re.IGNORECASE
)
_WORD = re.compile(r"[^\W\d_]+(?:[-’'][^\W\d_]+)*")


@dataclass(slots=True)
class PdfBlock:
    """A paragraph, heading, caption or table. rows: cells of a table, else empty. level: of a heading."""

    kind: str
    lines: list[TextLine] = field(default_factory=list)
    rows: list[list[Segment]] = field(default_factory=list)
    level: int = 0

    @property
    def box(self) -> Box:
        if self.rows:
            return union(cell.box for row in self.rows for cell in row)
        return union(line.box for line in self.lines)

    @property
    def size(self) -> float:
        return median(line.size for line in self.lines) if self.lines else self.rows[0][0].size

    @property
    def bold(self) -> bool:
        return bool(self.lines) and all(line.bold for line in self.lines)

    @property
    def words(self) -> str:
        """The words, for judging; the final text joins broken words."""
        if self.rows:
            return "\n".join(" | ".join(cell.text for cell in row) for row in self.rows)
        return " ".join(line.text for line in self.lines)


@dataclass(slots=True)
class PdfPage:
    """One page as read: its number (from 1), size in hundredths of a point, lines, drawn objects; blocks come later."""

    number: int
    width: int
    height: int
    lines: list[TextLine]
    drawn: Drawn
    scan: bool = False
    blocks: list[PdfBlock] = field(default_factory=list)

    @property
    def n_characters(self) -> int:
        return sum(len(s.text) for line in self.lines for s in line.segments)


def make_blocks(pages: Sequence[PdfPage]) -> None:
    """Fill in the blocks of all pages; running headers and page numbers are dropped first."""
    drop_running(pages)
    for page in pages:
        page.blocks = _page_blocks(page)
    _mark_headings(pages, body_size(pages))


def body_size(pages: Sequence[PdfPage]) -> float:
    """Font size of most characters, in points."""
    sizes: Counter[float] = Counter()
    for page in pages:
        for line in page.lines:
            for segment in line.segments:
                sizes[round(segment.size * 2) / 2] += len(segment.text)
    return min(sizes, key=lambda s: (-sizes[s], s)) if sizes else 10.0


def vocabulary(pages: Sequence[PdfPage]) -> set[str]:
    """Words as printed inside lines, lower case: they tell whether a word parted by a break has a hyphen of its own."""
    return {
        word.lower()
        for page in pages
        for line in page.lines
        for s in line.segments
        for word in _WORD.findall(s.text)[:-1]
    }


# ---- Running headers and footers ------------------------------------------------------------------------------------


def drop_running(pages: Sequence[PdfPage]) -> None:
    """Remove lines that stand at the same place of at least three pages; the first of each is kept unless a number."""
    if len(pages) < 3:
        return
    places: dict[tuple[str, int], list[tuple[int, int]]] = defaultdict(list)
    for n, page in enumerate(pages):
        for i, key in _edge_lines(page):
            places[key].append((n, i))
    dropped: dict[int, set[int]] = defaultdict(set)
    for (words, bucket), found in places.items():
        near = [place for b in (bucket - 1, bucket, bucket + 1) for place in places.get((words, b), ())]
        if len({n for n, _ in near}) < 3:
            continue
        numbered = _PAGE_NUMBER.match(words) or _counts_pages([(n, pages[n].lines[i].text) for n, i in near])
        if not numbered:
            continue
        first = min(n for n, _ in near)
        for n, i in found:
            if n != first or _PAGE_NUMBER.match(words):
                dropped[n].add(i)
    for n, gone in dropped.items():
        pages[n].lines = [line for i, line in enumerate(pages[n].lines) if i not in gone]


def _counts_pages(found: Sequence[tuple[int, str]]) -> bool:
    """Whether lines that differ in their digits alone are the same, or one of their numbers goes with the page.

    Otherwise they are rows of a table that happen to end at the same height.
    """
    numbers = [[int(d) for d in re.findall(r"\d+", text)] for _, text in found]
    if len({tuple(row) for row in numbers}) == 1:
        return True
    steps = [
        Counter(value - n for (n, _), value in zip(found, column, strict=True)) for column in zip(*numbers, strict=True)
    ]
    return any(max(step.values()) >= 0.7 * len(found) for step in steps)


def _edge_lines(page: PdfPage) -> list[tuple[int, tuple[str, int]]]:
    """Lines near the top or bottom edge (and turned ones at the side) with digits masked and their height on the page."""
    out = []
    for i, line in enumerate(page.lines):
        box = line.box
        edge = box[3] < 0.12 * page.height or box[1] > 0.88 * page.height or line.rotated
        if edge and len(line.text) <= 200:
            # Roman page numbers differ from page to page as digits do.
            words = re.sub(r"\d+", "#", line.text.lower())
            words = "#" if re.fullmatch(r"[ivxlc]{1,6}", words) else words
            out.append((i, (words, round((box[1] + box[3]) / 2 / 600))))
    return out


# ---- Blocks of a page -----------------------------------------------------------------------------------------------


def _page_blocks(page: PdfPage) -> list[PdfBlock]:
    lines = unwoven(page.lines)
    if len(lines) > len(page.lines) or _scrambled(lines):
        lines = [lines[i] for i in reading_order([line.box for line in lines])]
    blocks: list[PdfBlock] = []
    at = 0
    for table in [*find_tables(lines), None]:
        end = table.first if table else len(lines)
        for paragraph in to_paragraphs(lines[at:end]):
            kind = "caption" if CAPTION.match(paragraph[0].text) else "text"
            blocks.append(PdfBlock(kind, list(paragraph)))
        if table:
            blocks.append(PdfBlock("table", rows=table.rows))
            at = table.last
    return blocks


def _scrambled(lines: Sequence[TextLine]) -> bool:
    """Whether the stream order is no reading order: it often steps up inside one column."""
    straight = [line for line in lines if not line.rotated and len(line.text) > 15]
    if len(straight) < 8:
        return False
    jumps = 0
    for a, b in itertools.pairwise(straight):
        if b.box[3] < a.box[1] and overlap(a.box[0], a.box[2], b.box[0], b.box[2]) > 0.5 * (b.box[2] - b.box[0]):
            jumps += 1
    return jumps > 0.25 * len(straight)


# ---- Headings -------------------------------------------------------------------------------------------------------


def _mark_headings(pages: Sequence[PdfPage], body: float) -> None:
    candidates: list[tuple[PdfBlock, int]] = []
    bold_share = _bold_share(pages)
    for page in pages:
        for i, block in enumerate(page.blocks):
            following = page.blocks[i + 1] if i + 1 < len(page.blocks) else None
            depth = _heading_depth(block, following, body, bold_share)
            if depth is not None:
                candidates.append((block, depth))
    # Sizes that differ by a hair are one size; the numbering deepens a heading within its size.
    sizes: list[float] = []
    for size in sorted({max(block.size, body) for block, _ in candidates}, reverse=True):
        if not sizes or sizes[-1] - size > 0.6:
            sizes.append(size)
    for block, depth in candidates:
        rank = next(n for n, size in enumerate(sizes) if max(block.size, body) >= size - 0.6)
        block.kind, block.level = "heading", min(6, rank + 1 + depth)


def _bold_share(pages: Sequence[PdfPage]) -> float:
    total = bold = 1
    for page in pages:
        for line in page.lines:
            total += len(line.text)
            bold += len(line.text) if line.bold else 0
    return bold / total


def _heading_depth(block: PdfBlock, following: PdfBlock | None, body: float, bold_share: float) -> int | None:
    """None if no heading, else 0, or how deep its number goes below the first level."""
    words = block.words
    if block.kind != "text" or block.lines[0].rotated or len(block.lines) > 3 or len(words) > 160:
        return None
    letters = sum(c.isalpha() for c in words)
    if letters < 3 or letters < 0.5 * len(words.replace(" ", "")) or words.endswith((",", ";", "-", "–")):
        return None
    numbered = _NUMBERED.match(words)
    depth = numbered["number"].strip(".").count(".") if numbered else 0
    if block.size >= 1.15 * body and block.size >= body + 0.9:
        return None if words.endswith(".") and len(words) > 60 else depth
    leads = following is not None and following.kind in ("text", "table", "caption") and len(following.words) >= 40
    if len(block.lines) > 2 or len(words) > 100 or words.endswith((".", ":", "?")) or not leads or following is None:
        return None
    if block.size < 0.97 * body or not _above(block, following):
        return None
    if block.bold and bold_share < 0.3 and not following.bold and words[:1].isalnum() and len(words.split()) <= 14:
        return depth
    capital = words.isupper() and letters >= 6 and len(block.lines) == 1
    if numbered and len(block.lines) == 1 and not _NUMBERED.match(following.words) and (capital or len(words) <= 70):
        return depth
    return 0 if capital and len(words.split()) <= 10 else None


def _above(block: PdfBlock, following: PdfBlock) -> bool:
    """Whether a block stands right above the other, near enough to head it."""
    a, b = block.box, following.box
    return 0 <= b[1] - a[3] + 300 <= 4_000 and overlap(a[0], a[2], b[0], b[2]) > 0


# ---- Words ----------------------------------------------------------------------------------------------------------


def joint(left: str, right: str, known: set[str]) -> str:
    """What stands between two lines whose break parted a word: "" or "-".

    The document itself decides, where it has the word elsewhere in one form; else a lower-case rest is joined.
    """
    head, tail = re.search(r"[^\W\d_]+(?:-[^\W\d_]+)*$", left), re.match(r"[^\W\d_]+", right)
    if not head or not tail:
        return "-"
    whole, parted = f"{head[0]}{tail[0]}".lower(), f"{head[0]}-{tail[0]}".lower()
    if parted in known and whole not in known:
        return "-"
    return "" if whole in known or tail[0][0].islower() else "-"
