"""PDF files: text with page and line boxes, headings, tables as text, figures with captions, scanned pages through OCR."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmkg.config import Limits
from mmkg.errors import LimitExceededError, LoadError
from mmkg.ingest.layout import inside
from mmkg.ingest.ocr import OcrBudget, OcrLine, ocr_available
from mmkg.ingest.pdf_blocks import PdfPage, body_size, make_blocks, vocabulary
from mmkg.ingest.pdf_build import FoundFigure, build_document
from mmkg.ingest.pdf_figures import Key, covers_page, drawn_objects, find_figures, render, template_pictures
from mmkg.ingest.pdf_text import PageMatrix, page_segments, to_lines
from mmkg.ingest.pictures import png_bytes
from mmkg.ingest.raw import RawDocument
from mmkg.ingest.textbuild import clean_property, sensible_title
from mmkg.types import Box

logger = logging.getLogger(__name__)

MAX_FIGURES = 200
"""Figures cut out of one document; more give a note."""
MAX_MEDIA_BYTES = 256 * 2**20
"""Bytes of all pictures cut out of one document; past it words are still read, pictures are not kept."""
_TABLE_TITLE = re.compile(r"^table\s+[A-Z]?\d", re.IGNORECASE)
_LABELLED = 4
"""A figure with this many printed lines inside is not read with OCR."""
_NO_TEXT = 10
_SCAN_STAMP = 200
"""A page that is one picture and has fewer characters than this (a stamp, a page number) is read as a scan."""


@dataclass(slots=True)
class _Work:
    """What the passes over one document share."""

    document: Any
    limits: Limits
    reading: bool
    budget: OcrBudget
    notes: list[str] = field(default_factory=list)
    kept_bytes: int = 0
    n_figures: int = 0
    n_cut: int = 0
    n_unread: int = 0


def load_pdf(path: Path, media_type: str, limits: Limits, ocr: bool) -> RawDocument:
    """Read a PDF.

    Boxes are in hundredths of a point, origin top left, of the page as shown. Text follows the content stream; lines of a
    paragraph are joined by a blank (or nothing, where a break parts a word), so a line's span is what is printed there.
    Raises LoadError ("encrypted: needs a password", "truncated PDF", "PDF without pages"), and LimitExceededError for
    pages, pixels and characters.
    """
    import pypdfium2 as pdfium

    document = _open(pdfium, path)
    try:
        count = len(document)
        if count == 0:
            raise LoadError("PDF without pages", path=path)
        if count > limits.pages:
            raise LimitExceededError("pages", f"{count} pages; the limit is {limits.pages}", path=path)
        reading = ocr and ocr_available()
        work = _Work(document, limits, reading, OcrBudget(limits.seconds * 0.4))
        pages = _read_pages(pdfium, work, count)
        if not pages:
            raise LoadError("no page of the PDF can be read; it is damaged or truncated", path=path)
        scans = [page for page in pages if page.scan]
        known = vocabulary(pages)
        make_blocks(pages)
        figures: dict[int, list[FoundFigure]] = {page.number: [] for page in pages}
        # Pages without text come first: their words are the document's, while those in figures are a help.
        for page in scans:
            figures[page.number].append(_scan_figure(work, page))
        left = min(work.budget.seconds - work.budget.spent, limits.seconds * 0.2)
        work.budget = OcrBudget(left, n_failed=work.budget.n_failed)
        templates = template_pictures([page.drawn for page in pages])
        for page in pages:
            figures[page.number] += _page_figures(work, page, templates)
        _note_missing(work, pages, scans, ocr, path)
        metadata = document.get_metadata_dict()
        return build_document(
            media_type=media_type,
            pages=pages,
            figures=figures,
            known=known,
            body=body_size(pages),
            title=sensible_title(metadata.get("Title", ""), path),
            meta=_properties(metadata),
            notes=tuple(work.notes),
            max_characters=limits.characters,
        )
    except LoadError as e:
        e.path = e.path or path
        raise
    finally:
        document.close()


def _open(pdfium: Any, path: Path) -> Any:
    try:
        return pdfium.PdfDocument(path)
    except FileNotFoundError as e:
        raise LoadError(f"no such file: {path}", path=path) from e
    except (pdfium.PdfiumError, OSError, ValueError) as e:
        import pypdfium2.raw as c

        code = getattr(e, "err_code", None)
        # pdfium leaves the code of an earlier file standing where it sets none.
        if _mentions(path, b"/Encrypt") and code in (c.FPDF_ERR_PASSWORD, c.FPDF_ERR_SECURITY):
            reason = "encrypted: needs a password" if code == c.FPDF_ERR_PASSWORD else "encrypted in an unsupported way"
            raise LoadError(reason, path=path, hint="save a copy without a password", code="encrypted") from e
        head, tail = _ends(path)
        if b"%PDF-" not in head:
            raise LoadError("not a PDF: its header is missing", path=path) from e
        if b"%%EOF" not in tail:
            raise LoadError("truncated PDF: its end is missing", path=path) from e
        raise LoadError("damaged PDF: its structure cannot be read", path=path) from e


def _ends(path: Path) -> tuple[bytes, bytes]:
    try:
        with path.open("rb") as f:
            head = f.read(1024)
            f.seek(0, 2)
            f.seek(max(0, f.tell() - 2048))
            return head, f.read()
    except OSError:
        return b"", b""


def _mentions(path: Path, word: bytes) -> bool:
    with path.open("rb") as f:
        before = b""
        while block := f.read(1 << 20):
            if word in before + block:
                return True
            before = block[-len(word) :]
    return False


def _read_pages(pdfium: Any, work: _Work, count: int) -> list[PdfPage]:
    """Lines and drawn objects of every page that opens."""
    out: list[PdfPage] = []
    characters = 0
    failed = []
    unreadable = 0
    for index in range(count):
        try:
            page = work.document[index]
        except pdfium.PdfiumError:
            failed.append(index + 1)
            continue
        try:
            matrix = PageMatrix(page)
            segments = page_segments(page, matrix)
            read = PdfPage(
                number=index + 1,
                width=matrix.width,
                height=matrix.height,
                lines=to_lines(segments or []),
                drawn=drawn_objects(page, matrix, work.limits.pixels),
            )
            read.scan = read.n_characters < _NO_TEXT or (
                read.n_characters < _SCAN_STAMP and covers_page(read.drawn, matrix)
            )
            unreadable += segments is None
            # An empty page is no scan: nothing is drawn on it.
            read.scan = read.scan and bool(
                segments is None or read.drawn.images or read.drawn.paths or read.drawn.forms
            )
        finally:
            page.close()
        characters += read.n_characters
        if characters > work.limits.characters:
            raise LimitExceededError("characters", f"more than {work.limits.characters} characters of text")
        out.append(read)
    if unreadable:
        work.notes.append(f"the text of {unreadable} of {count} pages has no Unicode meaning; it is read as a picture")
    if failed:
        work.notes.append(f"{len(failed)} of {count} pages cannot be read (first: page {failed[0]})")
    return out


# ---- Pictures -------------------------------------------------------------------------------------------------------


def _scan_figure(work: _Work, page: PdfPage) -> FoundFigure:
    """A page without text as a picture of itself, with its words."""
    whole = (0, 0, page.width, page.height)
    figure = _cut(work, page, whole, "page")
    printed = [line.box for line in page.lines]
    figure.words = [w for w in figure.words if not any(inside(w.box, box) for box in printed)]
    return figure


def _page_figures(work: _Work, page: PdfPage, templates: set[Key]) -> list[FoundFigure]:
    if page.scan or not (page.drawn.images or page.drawn.paths or page.drawn.forms):
        return []
    captions = [b for b in page.blocks if b.kind == "caption"]
    if not captions and not page.drawn.images:
        return []
    prose = [b.box for b in page.blocks if b.kind == "heading" or _is_prose(b)]
    labels = [line for b in page.blocks if b.kind != "caption" and not _is_prose(b) for line in b.lines]
    labels_box = [line.box for line in labels]
    boxes = find_figures(page.drawn, page, templates, [b.box for b in captions], prose, labels_box)
    out = []
    for found in boxes:
        if work.n_figures >= MAX_FIGURES:
            work.n_cut += 1
            continue
        work.n_figures += 1
        printed = [line.box for line in page.lines]
        # What the page prints as text needs no reading: a drawing with its labels as text is known word by word.
        labelled = sum(inside(box, found.box) for box in printed) >= _LABELLED
        figure = _cut(work, page, found.box, "figure", read=not labelled)
        if found.caption is not None:
            figure.caption = captions[found.caption]
        if found.drawn:
            figure.blocks = [
                b for b in page.blocks if b.kind not in ("caption", "heading") and _within(b.box, found.box)
            ]
        figure.words = [w for w in figure.words if not any(inside(w.box, box) for box in printed)]
        out.append(figure)
    return out


def _is_prose(block: Any) -> bool:
    if block.kind == "table":
        cells = [cell.text for row in block.rows for cell in row]
        return sum(len(text) > 6 for text in cells) > 0.3 * len(cells)
    words = block.words
    if _TABLE_TITLE.match(words):
        return True
    return len(words) >= 60 and len(words) / len(block.lines) >= 30


def _within(inner: Box, outer: Box) -> bool:
    slack = 200
    return (
        inner[0] >= outer[0] - slack
        and inner[1] >= outer[1] - slack
        and inner[2] <= outer[2] + slack
        and inner[3] <= outer[3] + slack
    )


def _cut(work: _Work, page: PdfPage, box: Box, kind: str, *, read: bool = True) -> FoundFigure:
    """Render a region, keep it as PNG while there is room, and read its words while the budget lasts."""
    handle = work.document[page.number - 1]
    try:
        picture = render(handle, PageMatrix(handle), box, work.limits.pixels)
    finally:
        handle.close()
    data: bytes | None = png_bytes(picture)
    if work.kept_bytes + len(data or b"") > MAX_MEDIA_BYTES:
        data = None
        work.n_cut += 1
    work.kept_bytes += len(data or b"")
    words: list[OcrLine] = []
    legible = read and picture.width >= 100 and picture.height >= 60
    if work.reading and legible and work.budget.exhausted:
        work.n_unread += 1
    elif work.reading and legible:
        found = work.budget.read(picture)
        scale = (box[2] - box[0]) / picture.width, (box[3] - box[1]) / picture.height
        words = [OcrLine(text=w.text, box=_placed(w.box, box, scale), confidence=w.confidence) for w in found]
    return FoundFigure(kind=kind, box=box, width=picture.width, height=picture.height, data=data, words=words)


def _placed(inner: Box, outer: Box, scale: tuple[float, float]) -> Box:
    """A box in pixels of a crop as one on the page."""
    return (
        outer[0] + round(inner[0] * scale[0]),
        outer[1] + round(inner[1] * scale[1]),
        min(outer[2], outer[0] + round(inner[2] * scale[0])),
        min(outer[3], outer[1] + round(inner[3] * scale[1])),
    )


# ---- Notes and properties -------------------------------------------------------------------------------------------


def _note_missing(work: _Work, pages: Sequence[PdfPage], scans: Sequence[PdfPage], ocr: bool, path: Path) -> None:
    if scans and not work.reading:
        what = f"{len(scans)} page{'s' if len(scans) > 1 else ''} without text"
        work.notes.append(f'{what}: install "mmkg[ocr]"' if ocr else f"{what}: OCR is switched off")
    if work.n_unread:
        work.notes.append(
            f"words in {work.n_unread} pictures were not read within the time limit; raise limits.seconds"
        )
    work.notes += work.budget.notes()
    if work.n_cut:
        work.notes.append(f"{work.n_cut} pictures beyond the limit of one document were not kept")
    if b"%%EOF" not in _ends(path)[1]:
        work.notes.append("the end of the file is missing; pages may be missing too")


def _properties(metadata: dict[str, str]) -> dict[str, str]:
    out = {}
    for key, name in (("Author", "author"), ("Subject", "subject"), ("Keywords", "keywords")):
        if value := clean_property(metadata.get(key, "")):
            out[name] = value
    date = "".join(c for c in metadata.get("CreationDate", "").removeprefix("D:") if c.isdigit())
    if len(date) >= 8 and "01" <= date[4:6] <= "12":
        out["created"] = f"{date[:4]}-{date[4:6]}-{date[6:8]}"
    return out
