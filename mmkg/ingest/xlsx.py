"""XLSX files: each sheet a section, its tables row by row with their column names; formulas by the value they last had.

Read from the container's XML as a stream, cell by cell: the size that a sheet claims costs nothing, only what stands in it.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmkg.config import Limits
from mmkg.errors import LimitExceededError, LoadError
from mmkg.ingest.docx import core_properties
from mmkg.ingest.docx_body import attribute, automatic_alt, local
from mmkg.ingest.docx_parts import Container
from mmkg.ingest.office_pictures import Pictures
from mmkg.ingest.raw import Block, Figure, RawDocument
from mmkg.ingest.tables import is_header
from mmkg.ingest.textbuild import TextBuilder, clean_text, sensible_title
from mmkg.types import Span

MAIN = "xl/workbook.xml"
MAX_COLUMNS = 16_384
_DATES = frozenset((*range(14, 23), *range(27, 37), *range(45, 48), *range(50, 59)))
"""Number formats of the standard that show days and times."""
_PERCENTS = frozenset((9, 10))
_LITERAL = re.compile(r'"[^"]*"|\[[^\]]*\]|\\.|_.')
_REFERENCE = re.compile(r"([A-Z]{1,3})(\d{1,7})")


@dataclass(slots=True)
class _Workbook:
    container: Container
    limits: Limits
    strings: list[str]
    formats: list[str]
    """Of each cell style: date, time, percent or ""."""
    epoch: datetime.date


def load_xlsx(path: Path, media_type: str, limits: Limits, ocr: bool) -> RawDocument:
    """Read an XLSX: visible and hidden sheets in their order. A row reads "column: value; column: value".

    A formula gives the value that is kept with it, or its own text where none is. Rows of one cell above a table are text.
    Raises LoadError ("encrypted", "damaged container", "not an XLSX"), LimitExceededError ("pages" for more sheets than that,
    "expanded_bytes", "characters", "pixels").
    """
    with Container(path, limits.expanded_bytes) as container:
        try:
            sheets, epoch = _sheets(container, limits)
            book = _Workbook(container, limits, _strings(container, limits), _formats(container), epoch)
            meta = core_properties(container)
            builder = _Builder(limits, Pictures(container, limits, ocr))
            for name, part in sheets:
                builder.sheet(name, _rows(book, part))
                builder.show(container, part)
        except LoadError as e:
            e.path = e.path or path
            raise
    return RawDocument(
        media_type=media_type,
        text=builder.text.text(),
        name=sensible_title(meta.pop("title", ""), path),
        blocks=tuple(builder.blocks),
        figures=tuple(builder.figures),
        meta=meta,
        notes=tuple(builder.pictures.notes()),
    )


def _sheets(container: Container, limits: Limits) -> tuple[list[tuple[str, str]], datetime.date]:
    """(name, part) of each sheet, and day 0 of its dates."""
    tree = container.tree(MAIN)
    if tree is None:
        raise LoadError("not an XLSX: it has no workbook part")
    relations = container.relations(MAIN)
    epoch = datetime.date(1899, 12, 30)
    out = []
    for element in tree.iter():
        if local(element) == "workbookPr" and attribute(element, "date1904") in ("1", "true"):
            epoch = datetime.date(1904, 1, 1)
        elif local(element) == "sheet":
            id_ = next((str(v) for k, v in element.attrib.items() if k.endswith("}id")), "")
            relation = relations.get(id_)
            if relation and relation.kind == "worksheet" and relation.target:
                out.append((clean_text(attribute(element, "name"))[:200], relation.target))
    if len(out) > limits.pages:
        raise LimitExceededError("pages", f"{len(out)} sheets; the limit is {limits.pages}")
    return out, epoch


def _strings(container: Container, limits: Limits) -> list[str]:
    """The strings that cells share, by index."""
    part = next((r.target for r in container.relations(MAIN).values() if r.kind == "sharedStrings" and r.target), "")
    out: list[str] = []
    left = limits.characters
    for event, element in container.stream(part, ("{*}si",)) if part else ():
        if event == "end":
            out.append(_text(element))
            left -= len(out[-1])
            if left < 0:
                raise LimitExceededError("characters", f"more than {limits.characters} characters of text")
            _forget(element)
    return out


def _text(element: Any) -> str:
    """Words of a string, without the reading aids that East Asian text may carry."""
    parts = []
    for inner in element:
        if local(inner) == "t":
            parts.append(inner.text or "")
        elif local(inner) == "r":
            parts += [t.text or "" for t in inner if local(t) == "t"]
    return clean_text("".join(parts))


def _formats(container: Container) -> list[str]:
    part = next((r.target for r in container.relations(MAIN).values() if r.kind == "styles" and r.target), "")
    tree = container.tree(part) if part else None
    if tree is None:
        return []
    codes: dict[str, str] = {}
    out: list[str] = []
    for element in tree.iter():
        if local(element) == "numFmt":
            codes[attribute(element, "numFmtId")] = attribute(element, "formatCode")
        elif local(element) == "cellXfs":
            out = [attribute(xf, "numFmtId") for xf in element if local(xf) == "xf"]
    return [_kind(id_, codes.get(id_)) for id_ in out]


def _kind(id_: str, code: str | None) -> str:
    if code is None:
        number = int(id_) if id_.isdigit() else 0
        return "date" if number in _DATES else "percent" if number in _PERCENTS else ""
    plain = _LITERAL.sub("", code).lower()
    if "%" in plain:
        return "percent"
    if re.search(r"[yd]|mmm", plain):
        return "date"
    return "time" if re.search(r"[hs]", plain) else ""


# ---- Cells ----


Row = dict[int, str]
"""What stands in a row, by column from 0. Sparse: the last column that there is costs no more than the first."""


def _rows(book: _Workbook, part: str) -> Iterator[tuple[int, Row]]:
    """(row number, cells) of the rows in which something stands."""
    last = 0
    for event, row in book.container.stream(part, ("{*}row",)):
        if event != "end":
            continue
        number = attribute(row, "r")
        last = int(number) if number.isdigit() and len(number) < 9 else last + 1
        cells: Row = {}
        at = -1
        for cell in row:
            if local(cell) != "c":
                continue
            found = _REFERENCE.fullmatch(attribute(cell, "r"))
            at = _column(found[1]) if found else at + 1
            if at < MAX_COLUMNS and (value := _value(book, cell)):
                cells[at] = value
        _forget(row)
        if cells:
            yield last, cells


def _column(letters: str) -> int:
    number = 0
    for c in letters:
        number = 26 * number + ord(c) - 64
    return number - 1


def _value(book: _Workbook, cell: Any) -> str:
    """What a cell shows, as near as its kept value and number format tell; "" for errors."""
    kind = attribute(cell, "t")
    inside = {local(e): e for e in cell}
    if kind == "inlineStr":
        return _text(inside["is"]) if "is" in inside else ""
    raw = (inside["v"].text or "").strip() if "v" in inside else ""
    if not raw:
        formula = clean_text(inside["f"].text or "") if "f" in inside else ""
        return f"={formula}" if formula else ""
    if kind == "s":
        return book.strings[int(raw)] if raw.isdigit() and len(raw) < 10 and int(raw) < len(book.strings) else ""
    if kind == "b":
        return "TRUE" if raw == "1" else "FALSE"
    if kind == "e":
        return ""
    if kind in ("str", "d"):
        return clean_text(raw)
    style = attribute(cell, "s")
    shown = book.formats[int(style)] if style.isdigit() and len(style) < 9 and int(style) < len(book.formats) else ""
    return number_text(raw, shown, book.epoch)


def number_text(raw: str, shown: str, epoch: datetime.date = datetime.date(1899, 12, 30)) -> str:
    """A number as its cell shows it: without binary noise, as a day or a share where it is one.

    >>> number_text("0.1", ""), number_text("25405", "date"), number_text("0.125", "percent"), number_text("0.5", "time")
    ('0.1', '1969-07-21', '12.5%', '12:00')
    """
    try:
        number = float(raw)
    except ValueError:
        return clean_text(raw)
    if number != number or abs(number) > 1e300:
        return ""
    if shown == "percent":
        return f"{100 * number:.12g}%"
    if shown in ("date", "time") and 0 <= number < 2_958_466:
        days, minutes = divmod(round(number * 1440), 1440)
        clock = f"{minutes // 60:02}:{minutes % 60:02}"
        if shown == "time" and days == 0:
            return clock
        day = (epoch + datetime.timedelta(days=days)).isoformat()
        return f"{day} {clock}" if minutes else day
    return f"{number:.15g}" if abs(number) < 1e15 else raw


def _forget(element: Any) -> None:
    """Drop what was read: a sheet is never in memory as a whole."""
    element.clear()
    parent = element.getparent()
    while parent is not None and element.getprevious() is not None:
        del parent[0]


# ---- Text ----


class _Builder:
    def __init__(self, limits: Limits, pictures: Pictures) -> None:
        self.text = TextBuilder(limits.characters)
        self.pictures = pictures
        self.blocks: list[Block] = []
        self.figures: list[Figure] = []

    def sheet(self, name: str, rows: Iterator[tuple[int, Row]]) -> None:
        """Add a sheet: its name as a heading, each run of rows without an empty one between them as a table."""
        if name:
            self._block(name, "heading", level=1)
        run: _Run | None = None
        last = -1
        for number, cells in rows:
            if run is None or number != last + 1:
                self._end(run)
                run = _Run(self)
            run.add(cells)
            last = number
        self._end(run)

    def _end(self, run: _Run | None) -> None:
        if run is not None:
            run.end()

    def _block(self, text: str, kind: str, *, level: int = 0) -> Span:
        start = self.text.paragraph()
        self.text.add(text)
        self.blocks.append(Block(start=start, end=self.text.length, kind=kind, level=level))
        return start, self.text.length

    def show(self, container: Container, part: str) -> None:
        """Add the pictures that stand on a sheet, at its end."""
        for drawing in (r.target for r in container.relations(part).values() if r.kind == "drawing" and r.target):
            tree = container.tree(drawing)
            relations = container.relations(drawing)
            for element in tree.iter() if tree is not None else ():
                if local(element) != "pic":
                    continue
                alt = target = ""
                for inner in element.iter():
                    if local(inner) == "cNvPr":
                        alt = alt or attribute(inner, "descr")
                    elif local(inner) == "blip" and (relation := relations.get(attribute(inner, "embed"))):
                        target = relation.target
                if (picture := self.pictures.get(target)) is None:
                    continue
                alt = automatic_alt(alt)
                caption = self._block(alt, "caption") if alt else None
                anchor = caption[0] if caption else self.text.length
                words = self._block("\n".join(picture.words), "ocr") if picture.words else None
                self.figures.append(picture.figure(anchor, caption, words))


class _Run:
    """Rows that follow each other: lines of one cell, then a table whose first row may name the columns."""

    def __init__(self, builder: _Builder) -> None:
        self._builder = builder
        self._single: list[str] = []
        self._first: Row | None = None
        self._header: Row = {}
        self._start: int | None = None

    def add(self, cells: Row) -> None:
        """The next row; cells that are not empty."""
        if self._first is None and self._start is None:
            if len(cells) == 1:
                self._single += cells.values()
                return
            self._lead()
            self._first = cells
            return
        if self._first is not None:
            first, self._first = self._first, None
            if _names_columns(first):
                self._header = first
            else:
                self._line(first)
        self._line(cells)

    def end(self) -> None:
        """No more rows."""
        if self._first is not None:  # a table of one row has no header
            self._line(self._first)
        if self._start is not None:
            builder = self._builder
            builder.blocks.append(Block(start=self._start, end=builder.text.length, kind="table"))
        elif len(self._single) > 1:  # a list in one column
            self._builder._block("\n".join(self._single), "table")
        elif self._single:
            self._lead()

    def _lead(self) -> None:
        for line in self._single:
            self._builder._block(line, "text")
        self._single = []

    def _line(self, cells: Row) -> None:
        named = (f"{self._header[n]}: {c}" if n in self._header else c for n, c in sorted(cells.items()))
        line = "; ".join(named)
        text = self._builder.text
        if self._start is None:
            self._start = text.paragraph()
        else:
            text.add("\n")
        text.add(line)


def _names_columns(cells: Row) -> bool:
    last = max(cells)
    return last < 2 * len(cells) + 2 and is_header([cells.get(n, "") for n in range(last + 1)])
