"""Image files: the picture itself, its words with boxes, and what is written in its metadata."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mmkg.config import Limits
from mmkg.errors import LoadError
from mmkg.ingest.image_meta import read_properties
from mmkg.ingest.ocr import OcrBudget, OcrLine, ocr_available
from mmkg.ingest.pictures import check_pixels, decode, open_picture, png_bytes
from mmkg.ingest.raw import Block, Figure, RawDocument
from mmkg.ingest.textbuild import TextBuilder
from mmkg.types import Box, Line, Page, Span

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_FRAMES = 500
"""Pages of a TIFF that are read; more give a note."""


def load_image(path: Path, media_type: str, limits: Limits, ocr: bool) -> RawDocument:
    """Read a picture (PNG, JPEG, WebP, GIF, TIFF, BMP).

    The picture is seen upright (EXIF orientation applied); boxes are in hundredths of a pixel of the upright picture.
    An animation gives its first frame; a TIFF of several pages gives each as a page. Words are read if `ocr`.
    Raises LoadError if it is truncated or damaged, LimitExceededError("pixels") before decoding one that is too large.
    """
    try:
        with open_picture(path, limits.pixels) as image:
            return _read(image, path, media_type, limits, ocr)
    except LoadError as e:
        e.path = path
        raise


def _read(image: Image, path: Path, media_type: str, limits: Limits, ocr: bool) -> RawDocument:
    frames = int(getattr(image, "n_frames", 1)) if image.format in ("TIFF", "MPO") else 1
    frames = 1 if image.format == "MPO" else frames
    first = _upright(image)
    properties = read_properties(image, path)
    builder = TextBuilder(limits.characters)
    blocks: list[Block] = []
    caption: Span | None = None
    if words := properties.description or properties.title:
        caption = builder.add(words)
        blocks.append(Block(start=caption[0], end=caption[1], kind="caption", page=1))
    notes: list[str] = []
    reading = ocr and ocr_available()
    if ocr and not reading:
        notes.append('words in the picture were not read: install "mmkg[ocr]"')
    budget = OcrBudget(limits.seconds * 0.4)
    pages: list[Page] = []
    figures: list[Figure] = []
    shown = min(frames, limits.pages, MAX_FRAMES)
    if shown < frames:
        notes.append(f"{frames} pages; the first {shown} were read")
    unread = 0
    for number in range(1, shown + 1):
        picture = first if number == 1 else _frame(image, number, limits)
        lines: list[OcrLine] = []
        if reading and not budget.exhausted:
            lines = budget.read(picture)
        elif reading:
            unread += 1
        span, page = _page(builder, number, picture.size, lines)
        if span is not None:
            blocks.append(Block(start=span[0], end=span[1], kind="ocr", page=number))
        pages.append(page)
        figures.append(
            Figure(
                kind="image" if number == 1 else "page",
                width=picture.width,
                height=picture.height,
                anchor=page.start,
                data=None if number == 1 else png_bytes(picture),
                page=number,
                box=(0, 0, picture.width * 100, picture.height * 100),
                caption=caption if number == 1 else None,
                words=span,
            )
        )
    notes += budget.notes()
    if unread:
        notes.append(f"words on {unread} of {shown} pages were not read within the time limit; raise limits.seconds")
    return RawDocument(
        media_type=media_type,
        text=builder.text(),
        name=properties.title,
        blocks=tuple(blocks),
        pages=tuple(pages),
        figures=tuple(figures),
        meta=properties.meta,
        notes=tuple(notes),
    )


def _upright(image: Image) -> Image:
    """The decoded picture turned as its EXIF orientation says."""
    from PIL import ImageOps

    decode(image)
    try:
        return ImageOps.exif_transpose(image) or image
    except (OSError, ValueError, SyntaxError, KeyError, TypeError, ZeroDivisionError, IndexError):
        return image  # a broken EXIF block does not spoil the pixels


def _frame(image: Image, number: int, limits: Limits) -> Image:
    try:
        image.seek(number - 1)
    except (OSError, ValueError, SyntaxError, EOFError, KeyError, TypeError) as e:
        raise LoadError(f"page {number} of the picture cannot be read") from e
    check_pixels(image.size, limits.pixels)
    return _upright(image).copy()


def _page(builder: TextBuilder, number: int, size: tuple[int, int], words: list[OcrLine]) -> tuple[Span | None, Page]:
    """Add the words of one frame, a line each; their span, and the page with a box for each line."""
    lines: list[Line] = []
    start = builder.paragraph() if words else builder.length
    for n, word in enumerate(words):
        if n:
            builder.add("\n")
        span = builder.add(word.text)
        lines.append(Line(start=span[0], end=span[1], box=hundredths(word.box)))
    page = Page(
        number=number,
        width=size[0] * 100,
        height=size[1] * 100,
        start=start,
        end=builder.length,
        lines=tuple(lines),
    )
    return ((start, builder.length) if words else None), page


def hundredths(box: Box) -> Box:
    """A box in pixels as one in hundredths of a pixel."""
    return box[0] * 100, box[1] * 100, box[2] * 100, box[3] * 100
