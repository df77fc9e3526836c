"""A small drawing board over Pillow: everything is drawn at twice the size and reduced, so that lines come out smooth."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

SCALE = 2
Point = tuple[float, float]
Colour = str | tuple[int, ...]


@cache
def font(size: float) -> Any:
    """Pillow's built-in outline font, so that no font file is needed."""
    return ImageFont.load_default(size)


class Board:
    """A picture to draw on, in pixels of the finished size."""

    def __init__(self, width: int, height: int, background: Colour = "white") -> None:
        self.width, self.height = width, height
        self.image = Image.new("RGB", (width * SCALE, height * SCALE), background)
        self._draw = ImageDraw.Draw(self.image)

    def put(self, picture: Image.Image) -> None:
        """Fill the board with a picture and go on drawing over it."""
        self.image = picture.resize(self.image.size, Image.Resampling.BICUBIC)
        self._draw = ImageDraw.Draw(self.image)

    def done(self) -> Image.Image:
        """The picture at its finished size."""
        return self.image.resize((self.width, self.height), Image.Resampling.LANCZOS)

    def text(
        self, at: Point, words: str, size: float = 22, fill: Colour = "#1d2733", anchor: str = "ls", bold: bool = False
    ) -> None:
        """One line of words; `anchor` as in Pillow ("ls": left end of the baseline)."""
        stroke = max(1, round(size * SCALE / 28)) if bold else 0
        xy = (at[0] * SCALE, at[1] * SCALE)
        self._draw.text(
            xy, words, font=font(size * SCALE), fill=fill, anchor=anchor, stroke_width=stroke, stroke_fill=fill
        )

    def line(self, points: Sequence[Point], fill: Colour = "#1d2733", width: float = 2) -> None:
        self._draw.line(_scaled(points), fill=fill, width=round(width * SCALE), joint="curve")

    def dashes(self, points: Sequence[Point], fill: Colour, width: float = 3, dash: float = 14, gap: float = 9) -> None:
        """A dashed polyline; the dash pattern runs on around corners."""
        on, left = True, dash
        for (x0, y0), (x1, y1) in pairwise(points):
            length = math.hypot(x1 - x0, y1 - y0)
            at = 0.0
            while at < length:
                step = min(left, length - at)
                a, b = at / length, (at + step) / length
                if on:
                    ends = [(x0 + (x1 - x0) * t, y0 + (y1 - y0) * t) for t in (a, b)]
                    self.line(ends, fill=fill, width=width)
                at, left = at + step, left - step
                if left <= 1e-9:
                    on, left = not on, gap if on else dash

    def polygon(self, points: Sequence[Point], fill: Colour, outline: Colour | None = None, width: float = 2) -> None:
        self._draw.polygon(_scaled(points), fill=fill)
        if outline is not None:
            self.line([*points, points[0], points[1]], fill=outline, width=width)

    def rect(
        self,
        box: Sequence[float],
        fill: Colour | None = None,
        outline: Colour | None = None,
        width: float = 2,
        radius: float = 0,
    ) -> None:
        self._draw.rounded_rectangle(
            [v * SCALE for v in box], radius * SCALE, fill=fill, outline=outline, width=round(width * SCALE)
        )

    def disc(
        self, centre: Point, radius: float, fill: Colour | None = None, outline: Colour | None = None, width: float = 2
    ) -> None:
        x, y = centre
        box = [(x - radius) * SCALE, (y - radius) * SCALE, (x + radius) * SCALE, (y + radius) * SCALE]
        self._draw.ellipse(box, fill=fill, outline=outline, width=round(width * SCALE))


def _scaled(points: Sequence[Point]) -> list[Point]:
    return [(x * SCALE, y * SCALE) for x, y in points]


def smooth_noise(height: int, width: int, cell: int, seed: int) -> np.ndarray:
    """Value noise in [0, 1], (height, width) float64: random values on a grid `cell` pixels wide, smoothly joined."""
    rng = np.random.default_rng(seed)
    rows, columns = height // cell + 2, width // cell + 2
    grid = rng.random((rows, columns))
    y, x = np.arange(height) / cell, np.arange(width) / cell
    i, j = y.astype(int), x.astype(int)
    fy, fx = (y - i)[:, None], (x - j)[None, :]
    fy, fx = fy * fy * (3 - 2 * fy), fx * fx * (3 - 2 * fx)
    top = grid[np.ix_(i, j)] * (1 - fx) + grid[np.ix_(i, j + 1)] * fx
    bottom = grid[np.ix_(i + 1, j)] * (1 - fx) + grid[np.ix_(i + 1, j + 1)] * fx
    return top * (1 - fy) + bottom * fy


def fractal_noise(height: int, width: int, cell: int, seed: int, octaves: int = 4) -> np.ndarray:
    """Sum of value noises of halving cell size and weight, scaled to [0, 1]."""
    total, weight = np.zeros((height, width)), 0.0
    for k in range(octaves):
        size = max(2, cell >> k)
        total += smooth_noise(height, width, size, seed + k) * 0.5**k
        weight += 0.5**k
    return total / weight


def gradient(height: int, width: int, stops: Sequence[tuple[float, tuple[int, int, int]]]) -> np.ndarray:
    """A vertical gradient, (height, width, 3) float64, through colour stops at heights in [0, 1]."""
    y = np.linspace(0, 1, height)
    channels = [np.interp(y, [s[0] for s in stops], [s[1][c] for s in stops]) for c in range(3)]
    return np.repeat(np.stack(channels, axis=1)[:, None, :], width, axis=1)


def to_image(pixels: np.ndarray) -> Image.Image:
    """An RGB picture from an array of floats in [0, 255]."""
    return Image.fromarray(np.clip(pixels, 0, 255).round().astype(np.uint8), "RGB")
