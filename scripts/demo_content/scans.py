"""Pages as a flat-bed scanner gives them: paper with grain and a fold, ink of uneven strength, a slight turn."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageChops, ImageFilter

from demo_content.canvas import Board, fractal_noise, smooth_noise, to_image
from demo_content.records import ROSTER, TELEGRAM


def roster_page() -> Image.Image:
    """The roster of boats, A4 at 150 dots an inch, in grey."""
    width, height = 1240, 1754
    board = Board(width, height)
    y = 190.0
    for words, kind in ROSTER:
        if kind == "head":
            board.text((width / 2, y), words, 38, "black", "ms", bold=True)
            y += 66
        elif kind == "gap":
            y += 36
        else:
            board.text((150, y), words, 34, "black")
            y += 62
    board.line([(150, 306), (1090, 306)], "black", 2)
    board.disc((1010, 1560), 74, outline="black", width=4)
    board.disc((1010, 1560), 58, outline="black", width=2)
    board.text((1010, 1552), "H C", 34, "black", "ms")
    board.text((1010, 1594), "V", 34, "black", "ms")
    return _scan(board.done().convert("L"), seed=101, turn=0.7, paper=(228, 222, 206), grey=True)


def telegram_page() -> Image.Image:
    """The telegram form, printed lines and pasted strips of words."""
    width, height = 1240, 860
    form, words = Board(width, height), Board(width, height)
    form.rect((50, 46, width - 50, height - 46), outline="black", width=3)
    form.text((90, 112), "Coast telegraph, Vellamar Sound", 36, "black", bold=True)
    form.text((width - 90, 112), "No. 0417", 28, "black", "rs")
    form.line([(50, 140), (width - 50, 140)], "black", 2)
    y = 196.0
    for line in TELEGRAM:
        if line:
            words.text((96, y), line, 34, "black")
            form.line([(90, y + 12), (width - 90, y + 12)], "#b9b9b9", 1)
        y += 70 if line else 26
    form.disc((1050, 700), 88, outline="#777777", width=4)
    form.text((1050, 690), "19 OCT", 30, "#777777", "ms")
    form.text((1050, 728), "1923", 30, "#777777", "ms")
    page = ImageChops.multiply(form.done().convert("L"), words.done().convert("L"))
    return _scan(page, seed=131, turn=-1.1, paper=(236, 222, 186), grey=False)


def _scan(page: Image.Image, *, seed: int, turn: float, paper: tuple[int, int, int], grey: bool) -> Image.Image:
    """Ink and paper as a scanner sees them; `turn` in degrees."""
    width, height = page.size
    turned = page.rotate(turn, Image.Resampling.BICUBIC, fillcolor=255).filter(ImageFilter.GaussianBlur(0.6))
    ink = 1 - np.asarray(turned, dtype=float) / 255
    ink *= 0.72 + 0.28 * smooth_noise(height, width, 46, seed)
    tone = 0.94 + 0.07 * fractal_noise(height, width, 180, seed + 1, 5)
    fold = np.abs(np.arange(height) - height * 0.52)
    tone *= (1 - 0.07 * np.exp(-fold / 5) + 0.02 * np.exp(-fold / 22))[:, None]
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    tone *= 1 - 0.10 * np.clip(np.maximum(np.abs(x), np.abs(y)) - 0.88, 0, 1) * 8
    stain = np.exp(-(((np.hypot((x - 0.62) * width / height, y + 0.72) - 0.13) / 0.012) ** 2))
    tone *= 1 - 0.09 * stain
    pixels = tone[..., None] * np.array(paper, dtype=float)
    pixels = pixels * (1 - ink[..., None]) + np.array([46, 42, 50]) * ink[..., None]
    pixels += np.random.default_rng(seed + 9).normal(0, 3.0, (height, width, 1))
    picture = to_image(pixels)
    return picture.convert("L") if grey else picture
