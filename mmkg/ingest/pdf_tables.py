"""Tables in a PDF page, found from where the text stands: rows of cells whose columns line up.

Rules and shading are not looked at: many tables have none. A row that wraps gives its lines as rows of their own.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from mmkg.ingest.layout import overlap, union
from mmkg.ingest.pdf_text import CAPTION, Segment, TextLine, cells
from mmkg.types import Box

_GLUE_NEXT = frozenset(("$", "€", "£", "¥", "US$", "C$", "•", "(", "-", "–", "—", "*"))
_GLUE_BEFORE = frozenset((")", "%", ")%", "%)", "†", "‡", "*", "pp", "bps", "x"))
_PROSE_CELL = 28
"""Cells of two columns that are typically longer than this are lines of prose."""
_WOVEN_ROWS = 5
_MAX_PITCH = 3.2
"""Rows further apart than this many ems belong to no common table."""


@dataclass(slots=True)
class Table:
    """Rows of cells. first, last: half-open range of the page's lines that it replaces."""

    first: int
    last: int
    rows: list[list[Segment]]

    @property
    def box(self) -> Box:
        return union(cell.box for row in self.rows for cell in row)


def find_tables(lines: Sequence[TextLine]) -> list[Table]:
    """Tables among lines in stream order; ranges are disjoint and ascending."""
    rows = [_glued(cells(line)) for line in lines]
    out: list[Table] = []
    at = 0
    while at < len(lines):
        if len(rows[at]) < 2 or lines[at].rotated:
            at += 1
            continue
        end = _extent(lines, rows, at)
        first, last = _header(lines, rows, at), end
        if out:
            first = max(first, out[-1].last)
        if _is_table(rows[at:end]):
            out.append(Table(first, last, _columns_joined(rows[first:last])))
            at = last
        else:
            at += 1
    return out


def unwoven(lines: Sequence[TextLine]) -> list[TextLine]:
    """The lines, each parted at the gutter if the page is two columns of prose whose rows the stream gives across both."""
    rows = [cells(line) for line in lines]
    both = [row for row in rows if len(row) == 2]
    if len(both) < _WOVEN_ROWS or len(both) < 0.4 * len(rows):
        return list(lines)
    columns = _columns(both)
    if len(columns) != 2 or min(statistics.median(len(row[n].text) for row in both) for n in (0, 1)) <= _PROSE_CELL:
        return list(lines)
    out = []
    for line, row in zip(lines, rows, strict=True):
        parted = len(row) == 2 and row[0].box[2] <= columns[1][0] and row[1].box[0] >= columns[0][1]
        out += [TextLine([cell]) for cell in row] if parted else [line]
    return out


def _extent(lines: Sequence[TextLine], rows: Sequence[Sequence[Segment]], at: int) -> int:
    """End of the run of rows that starts at a row of several cells; a few single cells may stand between them."""
    end, single = at + 1, 0
    last_box = lines[at].box
    span = [last_box[0], last_box[2]]
    for i in range(at + 1, len(lines)):
        line = lines[i]
        box, size = line.box, 100 * max(line.size, lines[i - 1].size)
        if line.rotated or box[1] < last_box[1] - 0.3 * size or box[1] - last_box[3] > _MAX_PITCH * size:
            break
        if overlap(span[0], span[1], box[0], box[2]) <= 0 or CAPTION.match(line.text):
            break
        if len(rows[i]) >= 2:
            end, single = i + 1, 0
            span = [min(span[0], box[0]), max(span[1], box[2])]
        else:
            single += 1
            # A full line of prose, or many short lines, is no part of a table.
            if single > 2 or box[2] - box[0] > 0.75 * (span[1] - span[0]):
                break
        last_box = box
    return end


def _header(lines: Sequence[TextLine], rows: Sequence[Sequence[Segment]], at: int) -> int:
    """The first row may be preceded by one short line over its columns ("Year ended December 31,")."""
    if at == 0 or len(rows[at - 1]) != 1 or lines[at - 1].rotated:
        return at
    above, first = lines[at - 1].box, lines[at].box
    size = 100 * lines[at].size
    near = 0 <= first[1] - above[3] <= 0.9 * size
    within = above[0] >= first[0] - size and above[2] <= first[2] + size
    short = len(lines[at - 1].text) <= 40 and not lines[at - 1].text.endswith(".")
    return at - 1 if near and within and short else at


def _is_table(rows: Sequence[Sequence[Segment]]) -> bool:
    """Enough rows of several short cells, with gutters that stay free in nearly all of them."""
    multi = [row for row in rows if len(row) >= 2]
    widest = max(len(row) for row in multi)
    if len(multi) < 2 or (len(multi) < 3 and widest < 3) or len(multi) < 0.5 * len(rows):
        return False
    columns = _columns(multi)
    if len(columns) < 2:
        return False
    placed = [[_column_of(cell, columns) for cell in row] for row in multi]
    # In justified prose the wide gaps fall anywhere: cells of a row then share a column.
    if sum(len(set(p)) >= 2 for p in placed) < 0.7 * len(multi):
        return False
    lengths = [[len(c.text) for row, p in zip(multi, placed, strict=True) for c, k in zip(row, p, strict=True) if k == n]
               for n in range(len(columns))]  # fmt: skip
    typical = [statistics.median(values) for values in lengths if values]
    if len(columns) == 2 and min(typical) > _PROSE_CELL:
        return False  # two columns of prose set row by row
    if len(columns) == 2 and _is_list(multi):
        return False
    return statistics.median(typical) <= 60


def _is_list(rows: Sequence[Sequence[Segment]]) -> bool:
    """Bullets or numbers before running text: a list, not a table."""
    marks = sum(len(row[0].text) <= 4 and not row[0].text.strip("()[].").replace(".", "").isalpha() for row in rows)
    prose = statistics.median(len(row[-1].text) for row in rows)
    return marks >= 0.7 * len(rows) and prose > 25


def _columns(rows: Sequence[Sequence[Segment]]) -> list[tuple[int, int]]:
    """Horizontal extents of the columns: what remains where at most a tenth of the rows crosses a strip."""
    edges = sorted({x for row in rows for cell in row for x in (cell.box[0], cell.box[2])})
    allowed = len(rows) // 10
    em = 100 * statistics.median(cell.size for row in rows for cell in row)
    out: list[tuple[int, int]] = []
    for a, b in itertools.pairwise(edges):
        middle = (a + b) / 2
        crossing = sum(any(cell.box[0] < middle < cell.box[2] for cell in row) for row in rows)
        if crossing > allowed:
            if out and a - out[-1][1] < 0.5 * em:
                out[-1] = (out[-1][0], b)
            else:
                out.append((a, b))
    return out


def _column_of(cell: Segment, columns: Sequence[tuple[int, int]]) -> int:
    def distance(column: tuple[int, int]) -> tuple[float, float]:
        shared = overlap(cell.box[0], cell.box[2], *column)
        return -shared, abs(cell.box[0] + cell.box[2] - column[0] - column[1])

    return min(range(len(columns)), key=lambda k: distance(columns[k]))


def _glued(row: list[Segment]) -> list[Segment]:
    """The cells with currency signs and closing marks joined to the number they belong to."""
    out: list[Segment] = []
    for cell in row:
        if out and out[-1].text in _GLUE_NEXT:
            out[-1] = _joined(out[-1], cell)
        elif out and cell.text in _GLUE_BEFORE:
            out[-1] = _joined(out[-1], cell, blank="")
        else:
            out.append(cell)
    return out


def _joined(a: Segment, b: Segment, blank: str = " ") -> Segment:
    return Segment(f"{a.text}{blank}{b.text}", union((a.box, b.box)), max(a.size, b.size), a.bold, False, b.broken)


def _columns_joined(rows: Sequence[list[Segment]]) -> list[list[Segment]]:
    """Rows whose cells are parted where a column ends; pieces of one column are one cell."""
    columns = _columns([row for row in rows if len(row) >= 2])
    out = []
    for row in rows:
        joined: list[Segment] = []
        held = -1
        for cell in row:
            column = _column_of(cell, columns)
            if joined and column == held:
                joined[-1] = _joined(joined[-1], cell)
            else:
                joined.append(cell)
            held = column
        out.append(joined)
    return out
