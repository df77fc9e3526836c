"""Triangles to a picture without a display or a graphics driver: orthographic, with a depth buffer, in numpy."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

WIDEST = 64
"""Triangles up to so many pixels wide are drawn together by size; wider ones, few, one by one."""
_BATCH = 1 << 19
"""Pixels that are looked at together."""


def rasterise(triangles: Floats, colours: npt.NDArray[np.uint8], size: int) -> npt.NDArray[np.uint8]:
    """(size, size, 3) RGB: the triangles seen along -z on white, the nearest (largest z) in front, both sides drawn alike.

    triangles: (n, 3, 3) corners x, y, z, x and y in pixels, y downwards; what lies outside is cut. colours: (n, 3) RGB of each,
    shaded by how much it faces the eye. Time O(n + pixels under their bounding boxes), memory O(n + _BATCH). The picture does not depend on
    the order of triangles of different depth; of equal depth the first wins.
    """
    picture = np.full((size * size, 3), 255, dtype=np.uint8)
    depth = np.full(size * size, -np.inf)
    if not len(triangles):
        return picture.reshape(size, size, 3)
    normal = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
    length = np.linalg.norm(normal, axis=1)
    facing = np.abs(normal[:, 2]) / np.maximum(length, 1e-300)
    shade = np.rint(colours * (0.35 + 0.65 * facing)[:, None]).astype(np.uint8)
    low = np.floor(triangles[:, :, :2].min(axis=1)).astype(np.int64)
    high = np.floor(triangles[:, :, :2].max(axis=1)).astype(np.int64)
    held = (high >= 0).all(axis=1) & (low < size).all(axis=1) & (length > 0)
    low, high = np.clip(low, 0, size - 1), np.clip(high, 0, size - 1)
    side = (high - low).max(axis=1) + 1
    width = 1
    while True:
        last = width >= WIDEST
        mine = np.flatnonzero(held & (side > (width // 2 if width > 1 else 0)) & ((side <= width) | last))
        window = size if last else width
        for start in range(0, len(mine), step := max(1, _BATCH // window**2)):
            _draw(triangles, shade, low, mine[start : start + step], window, size, picture, depth)
        if last:
            return picture.reshape(size, size, 3)
        width *= 2


def _draw(
    triangles: Floats,
    shade: npt.NDArray[np.uint8],
    low: npt.NDArray[np.int64],
    some: npt.NDArray[np.int64],
    window: int,
    size: int,
    picture: npt.NDArray[np.uint8],
    depth: Floats,
) -> None:
    """Draw some triangles, each in a window of pixels from its lowest corner."""
    a, b, c = (triangles[some, i] for i in range(3))
    offsets = np.arange(window)
    x = low[some, 0, None, None] + offsets[None, None, :]
    y = low[some, 1, None, None] + offsets[None, :, None]
    px, py = x + 0.5, y + 0.5

    def edge(p: Floats, q: Floats) -> Floats:
        """Twice the signed area of p, q and each pixel's centre."""
        dx, dy = (q - p)[:, 0, None, None], (q - p)[:, 1, None, None]
        value: Floats = dx * (py - p[:, 1, None, None]) - dy * (px - p[:, 0, None, None])
        return value

    area = (b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]
    safe = np.where(area == 0, 1.0, area)[:, None, None]
    wa, wb, wc = edge(b, c) / safe, edge(c, a) / safe, edge(a, b) / safe
    inside = (wa >= 0) & (wb >= 0) & (wc >= 0) & (area != 0)[:, None, None] & (x < size) & (y < size)
    if window == 1:  # smaller than a pixel: it shows where it lies, or a fine mesh would be full of holes
        inside = (x < size) & (y < size)
        wa = wb = wc = np.full_like(wa, 1 / 3)
    z = wa * a[:, 2, None, None] + wb * b[:, 2, None, None] + wc * c[:, 2, None, None]
    which, row, column = np.nonzero(inside)
    at = (low[some[which], 1] + row) * size + low[some[which], 0] + column
    near = z[which, row, column]
    order = np.lexsort((some[which], -near, at))
    at, near, which = at[order], near[order], which[order]
    first = np.ones(len(at), dtype=bool)
    first[1:] = at[1:] != at[:-1]
    at, near, which = at[first], near[first], which[first]
    front = near > depth[at]
    depth[at[front]] = near[front]
    picture[at[front]] = shade[some[which[front]]]
