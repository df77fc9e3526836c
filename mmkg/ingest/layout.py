"""Geometry of text on a page: the order in which boxes are read, overlaps, unions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median

from mmkg.types import Box


def union(boxes: Iterable[Box]) -> Box:
    """The smallest box around all; ValueError if there is none."""
    xs0, ys0, xs1, ys1 = zip(*boxes, strict=True)
    return min(xs0), min(ys0), max(xs1), max(ys1)


def overlap(a0: float, a1: float, b0: float, b1: float) -> float:
    """Length that two intervals share, or 0."""
    return max(0.0, min(a1, b1) - max(a0, b0))


def inside(inner: Box, outer: Box) -> bool:
    """Whether the centre of one box lies in the other."""
    x, y = (inner[0] + inner[2]) / 2, (inner[1] + inner[3]) / 2
    return outer[0] <= x <= outer[2] and outer[1] <= y <= outer[3]


def area(box: Box) -> int:
    """Area of a box, in its own units squared."""
    return max(0, box[2] - box[0]) * max(0, box[3] - box[1])


def reading_order(boxes: Sequence[Box]) -> list[int]:
    """Indices of line boxes in the order a person reads them.

    A recursive XY cut (Nagy and Seth, 1984): a region is cut at a vertical gutter if both sides look like columns of
    prose, else at its widest horizontal gap, else read row by row. Table columns are narrow and are read as rows.
    """
    return _cut(boxes, list(range(len(boxes))), depth=0)


def _cut(boxes: Sequence[Box], items: list[int], depth: int) -> list[int]:
    if len(items) >= 6 and depth < 12:
        split = _gutter(boxes, items) or _gap(boxes, items)
        if split:
            return [i for part in split for i in _cut(boxes, part, depth + 1)]
    return _rows(boxes, items)


def _gutter(boxes: Sequence[Box], items: list[int]) -> tuple[list[int], list[int]] | None:
    """Left and right columns, if a vertical strip is free of boxes and both sides are mostly full lines."""
    for left, right in _splits(boxes, items, axis=0):
        if len(left) < 3 or len(right) < 3:
            continue
        if all(_is_prose(boxes, side) for side in (left, right)):
            return left, right
    return None


def _is_prose(boxes: Sequence[Box], items: list[int]) -> bool:
    x0, _, x1, _ = union(boxes[i] for i in items)
    widths = [boxes[i][2] - boxes[i][0] for i in items]
    heights = [boxes[i][3] - boxes[i][1] for i in items]
    return median(widths) >= 0.6 * (x1 - x0) and median(widths) >= 8 * median(heights)


def _gap(boxes: Sequence[Box], items: list[int]) -> tuple[list[int], list[int]] | None:
    """Upper and lower part, cut at the widest gap that is wider than a line is high."""
    height = median(boxes[i][3] - boxes[i][1] for i in items)
    best: tuple[float, list[int], list[int]] | None = None
    for upper, lower in _splits(boxes, items, axis=1):
        width = min(boxes[i][1] for i in lower) - max(boxes[i][3] for i in upper)
        if width > 0.8 * height and (best is None or width > best[0]):
            best = width, upper, lower
    return None if best is None else (best[1], best[2])


def _splits(boxes: Sequence[Box], items: list[int], axis: int) -> list[tuple[list[int], list[int]]]:
    """All ways to part the boxes by a line across `axis` (0: vertical line, 1: horizontal) that touches none."""
    order = sorted(items, key=lambda i: (boxes[i][axis], i))
    out, reach = [], boxes[order[0]][axis + 2]
    for n, i in enumerate(order[1:], start=1):
        if boxes[i][axis] > reach:
            out.append((order[:n], order[n:]))
        reach = max(reach, boxes[i][axis + 2])
    return out


def _rows(boxes: Sequence[Box], items: list[int]) -> list[int]:
    rows: list[list[int]] = []
    for i in sorted(items, key=lambda i: (boxes[i][1] + boxes[i][3], boxes[i][0], i)):
        if rows:
            first = boxes[rows[-1][0]]
            box = boxes[i]
            shared = overlap(first[1], first[3], box[1], box[3])
            if shared >= 0.5 * max(1, min(first[3] - first[1], box[3] - box[1])):
                rows[-1].append(i)
                continue
        rows.append([i])
    return [i for row in rows for i in sorted(row, key=lambda i: (boxes[i][0], i))]
