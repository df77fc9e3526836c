"""The print of a picture: what finds its copies when they are scaled, compressed again or a little brighter."""

from __future__ import annotations

import numpy as np

from mmkg.algorithms.likeness import COARSE, FINE, PRINT_NUMBERS, grey_print
from mmkg.encode.pictures import load_rgb
from mmkg.errors import EncodeError
from mmkg.protocols import FloatArray


def picture_print(data: bytes, *, max_pixels: int = 100_000_000) -> FloatArray:
    """(1, 80) float32 of the first frame; zeros, the print of nothing, for bytes that are no picture or pass the limit."""
    from PIL import Image

    try:
        grey = load_rgb(data, max_pixels=max_pixels, at_least=64).convert("L")
    except EncodeError:
        return np.zeros((1, PRINT_NUMBERS), dtype=np.float32)
    coarse, fine = (grey.resize((n + 1, n + 1), Image.Resampling.BOX) for n in (COARSE, FINE))
    return grey_print(np.asarray(coarse), np.asarray(fine))
