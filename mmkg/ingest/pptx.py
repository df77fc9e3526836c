"""PPTX files: slides as pages, with titles, words, tables, charts, pictures and speaker notes, each with its box on the slide.

Read from the container's XML like DOCX: no entity is resolved and no relation that leads outside is followed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmkg.config import Limits
from mmkg.errors import LimitExceededError, LoadError
from mmkg.ingest.docx import core_properties
from mmkg.ingest.docx_body import attribute, automatic_alt, child, local
from mmkg.ingest.docx_parts import Container, Relation
from mmkg.ingest.office_pictures import Pictures
from mmkg.ingest.pdf_text import CAPTION
from mmkg.ingest.raw import Block, Figure, RawDocument
from mmkg.ingest.tables import table_rows
from mmkg.ingest.textbuild import TextBuilder, clean_property, clean_text, sensible_title
from mmkg.types import Box, Line, Page, Span

MAIN = "ppt/presentation.xml"
LARGEST_PART = 64 * 2**20
"""Bytes of one slide's XML; the ones that people make have some kilobytes."""
DEEPEST_GROUP = 32
_TITLES = frozenset(("title", "ctrTitle"))
_FURNITURE = frozenset(("dt", "ftr", "sldNum", "hdr", "sldImg"))
_EMU = 127
"""English Metric Units in a hundredth of a point."""


@dataclass(slots=True)
class Shape:
    """What stands somewhere on a slide. kind: title, text, table, picture. target: part that holds the picture."""

    kind: str
    paragraphs: list[str] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)
    target: str = ""
    box: Box | None = None


@dataclass(frozen=True, slots=True)
class _Frame:
    """From a group's coordinates to the slide's: x * sx + dx, y * sy + dy."""

    sx: float = 1.0
    sy: float = 1.0
    dx: float = 0.0
    dy: float = 0.0


def load_pptx(path: Path, media_type: str, limits: Limits, ocr: bool) -> RawDocument:
    """Read a PPTX: a page for each slide in the order of the show, hidden ones too, its title a heading.

    Raises LoadError ("encrypted", "damaged container", "not a PPTX"), LimitExceededError ("pages", "expanded_bytes", "pixels",
    "characters").
    """
    with Container(path, limits.expanded_bytes) as container:
        try:
            tree = container.tree(MAIN)
            if tree is None:
                raise LoadError("not a PPTX: it has no presentation part")
            slides = _slides(container, tree)
            if len(slides) > limits.pages:
                raise LimitExceededError("pages", f"{len(slides)} slides; the limit is {limits.pages}")
            meta = core_properties(container)
            builder = _Builder(limits, Pictures(container, limits, ocr), _size(tree))
            for number, slide in enumerate(slides, 1):
                builder.slide(number, *_read_slide(container, slide))
        except LoadError as e:
            e.path = e.path or path
            raise
    title = sensible_title(meta.pop("title", ""), path)
    return RawDocument(
        media_type=media_type,
        text=builder.text.text(),
        name=title or builder.first_title,
        blocks=tuple(builder.blocks),
        pages=tuple(builder.pages),
        figures=tuple(builder.figures),
        meta=meta,
        notes=tuple(builder.pictures.notes()),
    )


def _slides(container: Container, tree: Any) -> list[str]:
    """Parts of the slides in the order of the show."""
    relations = container.relations(MAIN)
    out = []
    for listed in (e for e in tree if local(e) == "sldIdLst"):
        for element in listed:
            relation = relations.get(_relation_id(element))
            if relation and relation.kind == "slide" and relation.target:
                out.append(relation.target)
    return list(dict.fromkeys(out))


def _relation_id(element: Any) -> str:
    """The r:id of an element, which may have a plain id beside it."""
    return next((str(v) for k, v in element.attrib.items() if k.endswith("}id")), "")


def _size(tree: Any) -> tuple[int, int]:
    """Width and height of a slide in hundredths of a point."""
    found = child(tree, "sldSz")
    width, height = (_number(attribute(found, a)) if found is not None else 0 for a in ("cx", "cy"))
    return (round(width / _EMU) or 72_000, round(height / _EMU) or 54_000)


def _number(text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        return 0
    return value if abs(value) < 10**9 else 0


# ---- One slide ----


def _read_slide(container: Container, part: str) -> tuple[list[Shape], list[str]]:
    """(shapes in reading order, the title first; paragraphs of the speaker notes)."""
    relations = container.relations(part)
    shapes: list[Shape] = []
    tree = _tree(container, part)
    if tree is not None:
        for top in tree.iter():
            if local(top) == "spTree":
                shapes = list(_shapes(container, top, relations, _Frame(), 0))
                break
    shapes.sort(key=lambda s: s.kind != "title")  # stable: the rest as it stands
    notes: list[str] = []
    for relation in relations.values():
        if (
            relation.kind == "notesSlide"
            and relation.target
            and (found := _tree(container, relation.target)) is not None
        ):
            for shape in (e for e in found.iter() if local(e) == "sp"):
                if _placeholder(shape) in ("body", "obj"):
                    notes += _paragraphs(shape)
    return shapes, notes


def _tree(container: Container, part: str) -> Any | None:
    if part in container and container.size(part) > LARGEST_PART:
        raise LimitExceededError(
            "expanded_bytes", f"{part} has {container.size(part)} bytes; the limit is {LARGEST_PART}"
        )
    return container.tree(part)


def _shapes(
    container: Container, parent: Any, relations: dict[str, Relation], frame: _Frame, depth: int
) -> Iterator[Shape]:
    for element in parent:
        name = local(element)
        if name == "AlternateContent":  # the same thing for newer and older programs: the first is enough
            choice = next((c for c in element if local(c) in ("Choice", "Fallback")), None)
            if choice is not None and depth < DEEPEST_GROUP:
                yield from _shapes(container, choice, relations, frame, depth + 1)
        elif name == "grpSp" and depth < DEEPEST_GROUP:
            yield from _shapes(container, element, relations, _inside(element, frame), depth + 1)
        elif name in ("sp", "cxnSp"):
            kind = _placeholder(element)
            paragraphs = _paragraphs(element)
            if paragraphs and kind not in _FURNITURE:
                yield Shape("title" if kind in _TITLES else "text", paragraphs, box=_box(element, frame))
            yield from _filled(element, relations, frame)
        elif name == "pic":
            yield from _filled(element, relations, frame)
        elif name == "graphicFrame":
            yield from _graphic(container, element, relations, frame)


def _placeholder(shape: Any) -> str:
    """Type of the placeholder that a shape fills ("obj" where it says none), "" if it fills none."""
    for element in shape.iter():
        if local(element) == "ph":
            return attribute(element, "type") or "obj"
        if local(element) == "txBody":
            break
    return ""


def _paragraphs(shape: Any) -> list[str]:
    out = []
    for body in (e for e in shape if local(e) == "txBody"):
        for p in (e for e in body if local(e) == "p"):
            if text := _words(p):
                out.append(text)
    return out


def _words(paragraph: Any) -> str:
    parts = []
    for element in paragraph.iter():
        name = local(element)
        if name == "t":
            parts.append(element.text or "")
        elif name in ("br", "tab"):
            parts.append(" ")
    return clean_text("".join(parts))


def _filled(element: Any, relations: dict[str, Relation], frame: _Frame) -> Iterator[Shape]:
    """The picture of an element (a picture proper, or a shape filled with one)."""
    alt = ""
    for inner in element.iter():
        name = local(inner)
        if name == "cNvPr":
            alt = alt or attribute(inner, "descr") or attribute(inner, "title")
        elif name == "blip":
            relation = relations.get(attribute(inner, "embed"))
            if relation and relation.target:
                words = automatic_alt(alt)
                yield Shape("picture", [words] if words else [], target=relation.target, box=_box(element, frame))


def _graphic(container: Container, element: Any, relations: dict[str, Relation], frame: _Frame) -> Iterator[Shape]:
    """A table, the numbers of a chart, or the words of a diagram."""
    box = _box(element, frame)
    for inner in element.iter():
        name = local(inner)
        if name == "tbl":
            rows = [[_words(cell) for cell in row if local(cell) == "tc"] for row in inner if local(row) == "tr"]
            yield Shape("table", rows=[r for r in rows if any(r)], box=box)
            return
        if name == "chart" and (relation := relations.get(_relation_id(inner))) and relation.target:
            tree = _tree(container, relation.target)
            title, rows = read_chart(tree) if tree is not None else ("", [])
            if title:
                yield Shape("text", [title], box=box)
            if rows:
                yield Shape("table", rows=rows, box=box)
            return
        if name == "relIds" and (relation := relations.get(attribute(inner, "dm"))) and relation.target:
            tree = _tree(container, relation.target)
            words = [_words(p) for p in tree.iter() if local(p) == "p"] if tree is not None else []
            if any(words):
                yield Shape("text", [w for w in words if w], box=box)
            return


def read_chart(tree: Any) -> tuple[str, list[list[str]]]:
    """(title, rows) of a chart part: a row for each category, a column for each series, as the file last showed them."""
    title = ""
    series: list[tuple[str, dict[int, str], dict[int, str]]] = []
    for element in tree.iter():
        name = local(element)
        if name == "title" and not title and not series:
            title = " ".join(w for p in element.iter() if local(p) == "p" and (w := _words(p)))
        elif name == "ser":
            names = _points(element, "tx")
            values = _points(element, "val", "yVal")
            series.append((" ".join(names.values()), _points(element, "cat", "xVal"), values))
    places = sorted({i for _, categories, values in series for i in (*categories, *values)})
    if not any(values for _, _, values in series):
        return title, []
    labels: dict[int, str] = {}
    for _, categories, _ in series:
        labels = labels or categories
    rows = [["", *(name or f"series {n}" for n, (name, _, _) in enumerate(series, 1))]]
    rows += [[labels.get(i, str(i + 1)), *(values.get(i, "") for _, _, values in series)] for i in places]
    return title, rows


def _points(series: Any, *names: str) -> dict[int, str]:
    """The cached points of a part of a series, by their index."""
    for part in (e for e in series if local(e) in names):
        out = {}
        for point in (e for e in part.iter() if local(e) == "pt"):
            value = next((e.text or "" for e in point if local(e) == "v"), "")
            out[_number(attribute(point, "idx"))] = clean_property(_short(value), 200)
        if out:
            return dict(list(out.items())[:10_000])
        text = next((e.text or "" for e in part.iter() if local(e) == "v"), "")
        return {0: clean_property(text, 200)} if text else {}
    return {}


def _short(value: str) -> str:
    """A number without the noise of its binary form."""
    try:
        number = float(value)
    except ValueError:
        return value
    return f"{number:.15g}" if abs(number) < 1e15 else value


# ---- Places ----


def _transform(element: Any) -> Any | None:
    return next((e for e in element.iter() if local(e) == "xfrm"), None)


def _numbers(transform: Any, name: str, *attributes: str) -> list[int]:
    found = child(transform, name)
    return [_number(attribute(found, a)) for a in attributes] if found is not None else []


def _inside(group: Any, frame: _Frame) -> _Frame:
    """The frame of what a group holds: its own coordinates lie scaled in its place."""
    properties = child(group, "grpSpPr")
    transform = _transform(properties) if properties is not None else None
    if transform is None:
        return frame
    off, ext = _numbers(transform, "off", "x", "y"), _numbers(transform, "ext", "cx", "cy")
    inner_off, inner_ext = _numbers(transform, "chOff", "x", "y"), _numbers(transform, "chExt", "cx", "cy")
    if not (off and ext and inner_off and inner_ext and all(inner_ext)):
        return frame
    sx, sy = ext[0] / inner_ext[0], ext[1] / inner_ext[1]
    return _Frame(
        frame.sx * sx,
        frame.sy * sy,
        frame.dx + frame.sx * (off[0] - inner_off[0] * sx),
        frame.dy + frame.sy * (off[1] - inner_off[1] * sy),
    )


def _box(element: Any, frame: _Frame) -> Box | None:
    transform = _transform(element)
    if transform is None:
        return None  # where the layout puts it
    off, ext = _numbers(transform, "off", "x", "y"), _numbers(transform, "ext", "cx", "cy")
    if not off or not ext or min(ext) < 0:
        return None
    x0, y0 = frame.dx + frame.sx * off[0], frame.dy + frame.sy * off[1]
    x1, y1 = x0 + frame.sx * ext[0], y0 + frame.sy * ext[1]
    if not all(abs(v) < 10**10 for v in (x0, y0, x1, y1)):
        return None
    return round(x0 / _EMU), round(y0 / _EMU), round(x1 / _EMU), round(y1 / _EMU)


# ---- Text ----


class _Builder:
    """Turns slides into text, blocks, pages and figures."""

    def __init__(self, limits: Limits, pictures: Pictures, size: tuple[int, int]) -> None:
        self.text = TextBuilder(limits.characters)
        self.pictures, self._size = pictures, size
        self.blocks: list[Block] = []
        self.figures: list[Figure] = []
        self.pages: list[Page] = []
        self.first_title = ""
        self._lines: list[Line] = []
        self._number = 0

    def slide(self, number: int, shapes: list[Shape], notes: list[str]) -> None:
        """Add a slide as a page."""
        self._number, self._lines = number, []
        start = self.text.length if not self.text.length else self.text.paragraph()
        captions = [s for s in shapes if s.kind == "text" and len(s.paragraphs) == 1 and CAPTION.match(s.paragraphs[0])]
        pictures = [s for s in shapes if s.kind == "picture"]
        # One printed caption on a slide with pictures is theirs.
        printed = captions[0] if len(captions) == 1 and pictures else None
        first = True
        for shape in shapes:
            if shape is printed or shape.kind == "picture":
                continue
            first = self._add(shape, first=first)
        self._figures(pictures, printed, first=first)
        for note in notes:
            first = self._paragraph(note, "text", None, first=first)
        self.pages.append(
            Page(
                number=number,
                width=self._size[0],
                height=self._size[1],
                start=start,
                end=max(start, self.text.length),
                lines=tuple(self._lines),
            )
        )

    def _add(self, shape: Shape, *, first: bool) -> bool:
        if shape.kind == "table":
            return self._paragraph(table_rows(shape.rows), "table", shape.box, first=first)
        if shape.kind == "title":
            title = " ".join(shape.paragraphs)
            self.first_title = self.first_title or clean_property(title, 300)
            return self._paragraph(title, "heading", shape.box, first=first)
        return self._paragraph("\n".join(shape.paragraphs), "text", shape.box, first=first)

    def _paragraph(self, text: str, kind: str, box: Box | None, *, first: bool) -> bool:
        if text:
            self._block(text, kind, box, first=first)
            return False
        return first

    def _block(self, text: str, kind: str, box: Box | None, *, first: bool) -> Span:
        start = self.text.length if first else self.text.paragraph()
        for n, line in enumerate(text.split("\n")):
            if n:
                self.text.add("\n")
            span = self.text.add(line)
            if box is not None:  # a citation leads to the shape
                self._lines.append(Line(start=span[0], end=span[1], box=box))
        level = 1 if kind == "heading" else 0
        end = self.text.length
        self.blocks.append(Block(start=start, end=end, kind=kind, level=level, page=self._number, box=box))
        return start, end

    def _figures(self, shapes: list[Shape], printed: Shape | None, *, first: bool) -> None:
        found = [(s, p) for s in shapes if (p := self.pictures.get(s.target)) is not None]
        span: Span | None = None
        label = ""
        if printed is not None:
            span = self._block(printed.paragraphs[0], "caption" if found else "text", printed.box, first=first)
            match = CAPTION.match(printed.paragraphs[0])
            label = f"figure {match['number'].lower()}" if match else ""
            first = False
        for shape, picture in found:
            own = self._block(shape.paragraphs[0], "caption", shape.box, first=first) if shape.paragraphs else None
            first = first and own is None
            anchor = (own or span or (self.text.length, 0))[0]
            words = self._block("\n".join(picture.words), "ocr", shape.box, first=first) if picture.words else None
            first = first and words is None
            self.figures.append(
                picture.figure(anchor, own or span, words, page=self._number, box=shape.box, label=label)
            )
