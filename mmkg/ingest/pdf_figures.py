"""Figures of a PDF page: pictures and drawings as boxes, paired with their captions, and cut out as PNG.

Boxes are in hundredths of a point, origin top left.
"""

from __future__ import annotations

import ctypes
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from mmkg.ingest.layout import area, inside, overlap, union
from mmkg.ingest.pdf_text import PageMatrix
from mmkg.ingest.pictures import check_pixels
from mmkg.types import Box

if TYPE_CHECKING:
    from PIL.Image import Image

DPI = 150
MAX_SIDE = 3_000
"""Longest side of a rendering in pixels; a poster is rendered at a lower resolution."""
MAX_OBJECTS = 60_000
"""Objects of one page that are looked at; maps and plots can hold millions of strokes."""
_SMALL = 4_000
Key = tuple[int, int, int, int, int]
_TEXT, _PATH, _IMAGE, _SHADING, _FORM = 1, 2, 3, 4, 5


class Sized(Protocol):
    """A page as geometry sees it: its size in hundredths of a point."""

    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Picture:
    """An image object. key: tells whether two are the same picture (pixels, length of data, points on the page)."""

    box: Box
    key: Key


@dataclass(slots=True)
class Drawn:
    """What is drawn on a page beside text: images, and boxes of strokes and shadings. forms: boxes of embedded drawings."""

    images: list[Picture] = field(default_factory=list)
    paths: list[Box] = field(default_factory=list)
    forms: list[Box] = field(default_factory=list)


@dataclass(slots=True)
class FigureBox:
    """A figure found on a page. caption: index of its caption among those given, or None."""

    box: Box
    caption: int | None = None
    drawn: bool = False


def drawn_objects(page: Any, matrix: PageMatrix, max_pixels: int) -> Drawn:
    """Boxes of the images, paths and embedded drawings of a page.

    Raises LimitExceededError("pixels") for an image that would decode to more: rendering the page would decode it.
    """
    import pypdfium2.raw as c

    out = Drawn()
    width, height = ctypes.c_uint(), ctypes.c_uint()
    left, bottom, right, top = (ctypes.c_float() for _ in range(4))
    for n, (raw, kind, transform) in enumerate(_objects(c, page.raw)):
        if n >= MAX_OBJECTS:
            break
        if kind == _TEXT or not c.FPDFPageObj_GetBounds(raw, left, bottom, right, top):
            continue
        box = matrix.clip(matrix.box(*_moved(transform, left.value, bottom.value, right.value, top.value)))
        if box[2] - box[0] < 1 and box[3] - box[1] < 1:
            continue
        if kind == _IMAGE:
            if c.FPDFImageObj_GetImagePixelSize(raw, width, height) and width.value and height.value:
                check_pixels((width.value, height.value), max_pixels)
            length = c.FPDFImageObj_GetImageDataRaw(raw, None, 0)
            key = (width.value, height.value, int(length), (box[2] - box[0]) // 100, (box[3] - box[1]) // 100)
            out.images.append(Picture(box, key))
        elif kind == _FORM:
            out.forms.append(box)
        else:
            out.paths.append(box)
    return out


def _objects(c: Any, page: Any) -> Iterator[tuple[Any, int, tuple[float, ...]]]:
    """All objects with their type and the matrix of the forms around them, those inside forms included."""
    one = (1.0, 0.0, 0.0, 1.0, 0.0, 0.0)
    m = c.FS_MATRIX()
    stack: list[tuple[Any, int, tuple[float, ...], int]] = [
        (None, i, one, 0) for i in reversed(range(min(c.FPDFPage_CountObjects(page), MAX_OBJECTS)))
    ]
    while stack:
        form, i, transform, depth = stack.pop()
        raw = c.FPDFPage_GetObject(page, i) if form is None else c.FPDFFormObj_GetObject(form, i)
        kind = c.FPDFPageObj_GetType(raw)
        yield raw, kind, transform
        if kind == _FORM and depth < 8 and c.FPDFPageObj_GetMatrix(raw, m):
            inner = _product((m.a, m.b, m.c, m.d, m.e, m.f), transform)
            count = min(c.FPDFFormObj_CountObjects(raw), MAX_OBJECTS)
            stack.extend((raw, j, inner, depth + 1) for j in reversed(range(count)))


def _product(a: tuple[float, ...], b: tuple[float, ...]) -> tuple[float, ...]:
    """The matrix that applies a, then b."""
    return (
        a[0] * b[0] + a[1] * b[2], a[0] * b[1] + a[1] * b[3],
        a[2] * b[0] + a[3] * b[2], a[2] * b[1] + a[3] * b[3],
        a[4] * b[0] + a[5] * b[2] + b[4], a[4] * b[1] + a[5] * b[3] + b[5],
    )  # fmt: skip


def _moved(
    m: tuple[float, ...], left: float, bottom: float, right: float, top: float
) -> tuple[float, float, float, float]:
    corners = [(x * m[0] + y * m[2] + m[4], x * m[1] + y * m[3] + m[5]) for x in (left, right) for y in (bottom, top)]
    xs, ys = [x for x, _ in corners], [y for _, y in corners]
    return min(xs), min(ys), max(xs), max(ys)


# ---- Which of them are figures --------------------------------------------------------------------------------------


def template_pictures(pages: Sequence[Drawn]) -> set[Key]:
    """Keys of pictures that stand on several pages in the same way: logos, icons, backgrounds."""
    seen = Counter(key for drawn in pages for key in {p.key for p in drawn.images})
    limit = max(3, len(pages) // 4)
    return {key for key, count in seen.items() if count >= limit and key[2]}


def covers_page(drawn: Drawn, page: Sized) -> bool:
    """Whether images fill most of the page, as on a scan."""
    whole = page.width * page.height
    large = [p.box for p in drawn.images if area(p.box) > 0.02 * whole]
    return bool(large) and sum(map(area, large)) >= 0.7 * whole and area(union(large)) >= 0.7 * whole


def find_figures(
    drawn: Drawn,
    page: Sized,
    templates: set[Key],
    captions: Sequence[Box],
    prose: Sequence[Box],
    labels: Sequence[Box],
) -> list[FigureBox]:
    """The figures of a page in reading order.

    captions: boxes of caption paragraphs. prose: boxes of running text, which no figure holds. labels: boxes of short
    lines, which may belong to a drawing.
    """
    whole = page.width * page.height
    boxes = [p.box for p in drawn.images if p.key not in templates and area(p.box) < 0.8 * whole]
    found: list[FigureBox] = []
    for cluster in _clusters(boxes, 500):
        # Photographs scattered around running text are figures each for itself.
        mixed = any(inside(p, cluster) for p in prose)
        found += [FigureBox(b) for b in boxes if inside(b, cluster)] if mixed else [FigureBox(cluster)]
    _pair(found, captions, prose)
    found = _merged(found, captions, prose)
    for n, caption in enumerate(captions):
        barriers = [*prose, *(c for i, c in enumerate(captions) if i != n)]
        box = _drawing(drawn, page, caption, barriers, labels)
        if box is None:
            continue
        own = next((f for f in found if f.caption == n), None)
        if own is None:
            # A drawing takes in the pictures that stand inside it.
            found = [f for f in found if f.caption is not None or _shared(box, f.box) < 0.5]
            if not any(_shared(box, f.box) > 0.5 for f in found):
                found.append(FigureBox(box, n, drawn=True))
        elif area(box) > 1.1 * area(own.box) and _shared(box, own.box) > 0.5:
            own.box, own.drawn = union((box, own.box)), True
            found = [f for f in found if f is own or f.caption is not None or _shared(own.box, f.box) < 0.8]
    return sorted((f for f in found if _large(f.box)), key=lambda f: (f.box[1], f.box[0]))


def _large(box: Box) -> bool:
    return box[2] - box[0] >= _SMALL and box[3] - box[1] >= _SMALL


def _shared(a: Box, b: Box) -> float:
    both = overlap(a[0], a[2], b[0], b[2]) * overlap(a[1], a[3], b[1], b[3])
    return both / max(1, min(area(a), area(b)))


def _clusters(boxes: Sequence[Box], gap: int) -> list[Box]:
    """Unions of boxes that touch or nearly touch: pictures are often stored in strips."""
    out: list[Box] = []
    for box in boxes:
        grown = True
        while grown:
            grown = False
            for other in out:
                if _distance(box, other) <= gap:
                    box, grown = union((box, other)), True
                    out.remove(other)
                    break
        out.append(box)
    return out


def _distance(a: Box, b: Box) -> int:
    """The wider of the two gaps between boxes, 0 where they overlap in both directions."""
    dx = max(a[0], b[0]) - min(a[2], b[2])
    dy = max(a[1], b[1]) - min(a[3], b[3])
    return max(0, dx, dy)


def _pair(figures: Sequence[FigureBox], captions: Sequence[Box], prose: Sequence[Box]) -> None:
    """Give each figure the nearest caption under it, else above it, unless running text lies between."""
    for figure in figures:
        best: tuple[float, int] | None = None
        x0, y0, x1, y1 = figure.box
        for n, (c0, t, c1, b) in enumerate(captions):
            if overlap(x0, x1, c0, c1) < 0.2 * min(x1 - x0, c1 - c0):
                continue
            below, above = t - y1, y0 - b
            distance = below if below >= -1_000 else 1.5 * above + 500 if above >= -1_000 else None
            if distance is None or distance > 30_000:
                continue
            strip = (min(x0, c0), min(y1, b), max(x1, c1), max(t, y0))
            if any(inside(p, strip) for p in prose):
                continue
            if best is None or distance < best[0]:
                best = distance, n
        figure.caption = best[1] if best else None


def _merged(figures: Sequence[FigureBox], captions: Sequence[Box], prose: Sequence[Box]) -> list[FigureBox]:
    """Parts that share a caption as one figure, unless running text would come into it."""
    out = [f for f in figures if f.caption is None]
    for n in range(len(captions)):
        parts = [f for f in figures if f.caption == n]
        if not parts:
            continue
        box = union(f.box for f in parts)
        if len(parts) > 1 and any(inside(p, box) for p in prose):
            parts.sort(key=lambda f: (-area(f.box), f.box))
            out += [FigureBox(f.box, n if i == 0 else None) for i, f in enumerate(parts)]
        else:
            out.append(FigureBox(box, n))
    return out


def _drawing(drawn: Drawn, page: Sized, caption: Box, barriers: Sequence[Box], labels: Sequence[Box]) -> Box | None:
    """The drawing that a caption belongs to: strokes and pictures above it (else below) up to the next running text.

    It stays in the caption's column, and takes in the short lines of text that touch it.
    """
    whole = page.width * page.height
    shapes = [b for b in (*drawn.forms, *drawn.paths, *(p.box for p in drawn.images)) if area(b) < 0.6 * whole]
    left, right = _column(page, caption, barriers)
    for above in (True, False):
        reach = [b for b in barriers if overlap(left, right, b[0], b[2]) > 0.3 * (b[2] - b[0])]
        if above:
            zone = (max((b[3] for b in reach if b[3] <= caption[1] + 200), default=0), caption[1] + 200)
        else:
            zone = (caption[3] - 200, min((b[1] for b in reach if b[1] >= caption[3] - 200), default=page.height))

        def held(boxes: Sequence[Box], zone: tuple[int, int] = zone) -> list[Box]:
            return [b for b in boxes if zone[0] <= b[1] and b[3] <= zone[1] and left <= (b[0] + b[2]) / 2 <= right]

        strokes = held(shapes)
        # Rules alone are no figure: something must have height and width.
        if len(strokes) < 3 and not any(_large(b) for b in strokes):
            continue
        box = max(_clusters(strokes, 4_000), key=area, default=None)
        if box is None or not _large(box):
            continue
        return _grown(box, held(labels))
    return None


def _column(page: Sized, caption: Box, prose: Sequence[Box]) -> tuple[int, int]:
    """Left and right bound of the text column a caption stands in; the whole page for one across the middle."""
    middle = page.width / 2
    narrow = [b for b in prose if b[2] - b[0] < 0.55 * page.width and not b[0] < 0.9 * middle < 1.1 * middle < b[2]]
    if not narrow or caption[0] < 0.9 * middle < 1.1 * middle < caption[2]:
        return 0, page.width
    on_left = (caption[0] + caption[2]) / 2 < middle
    same = [b for b in narrow if ((b[0] + b[2]) / 2 < middle) == on_left]
    other = [b for b in narrow if ((b[0] + b[2]) / 2 < middle) != on_left]
    if not same or not other:
        return 0, page.width
    return (0, min(b[0] for b in other)) if on_left else (max(b[2] for b in other), page.width)


def _grown(box: Box, labels: Sequence[Box]) -> Box:
    """The box with the labels that touch it, and those that touch these."""
    rest = list(labels)
    while near := [b for b in rest if _distance(b, box) <= 1_000]:
        box = union((box, *near))
        rest = [b for b in rest if b not in near]
    return box


# ---- Rendering ------------------------------------------------------------------------------------------------------


def render(page: Any, matrix: PageMatrix, box: Box, max_pixels: int) -> Image:
    """A region of a page as an RGB picture on white, at 150 dpi or what MAX_SIDE allows."""
    width, height = (box[2] - box[0]) / 100, (box[3] - box[1]) / 100
    scale = min(DPI / 72, MAX_SIDE / max(width, height, 1.0), (max_pixels / max(width * height, 1.0)) ** 0.5)
    crop = (box[0] / 100, (matrix.height - box[3]) / 100, (matrix.width - box[2]) / 100, box[1] / 100)
    bitmap = page.render(scale=scale, crop=tuple(max(0.0, v) for v in crop), may_draw_forms=False)
    try:
        return bitmap.to_pil().convert("RGB")
    finally:
        bitmap.close()
