"""Pictures as arrays for a network: decoded with a limit on pixels, upright, without transparency, cropped and scaled."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from mmkg.errors import EncodeError
from mmkg.protocols import FloatArray

# Only these decoders are offered the bytes; Pillow has others that start programs (EPS) or are rarely looked after.
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP")


def load_rgb(data: bytes, *, max_pixels: int, at_least: int) -> Any:
    """The first frame as an upright RGB picture on white.

    data: bytes of a picture file. max_pixels: width x height allowed, checked before decoding. at_least: a JPEG may be
    decoded at a fraction of its size as long as its shorter side keeps this many pixels.
    Raises EncodeError if the bytes are no picture, are cut off, or pass the limit.
    """
    from PIL import Image, ImageOps

    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as picture:
            width, height = picture.size
            if width * height > max_pixels:
                raise EncodeError(f"the picture has {width} x {height} pixels, the limit is {max_pixels}")
            if min(width, height) > 2 * at_least:
                scale = at_least / min(width, height)
                picture.draft("RGB", (round(width * scale), round(height * scale)))
            picture.load()
            return _rgb(ImageOps.exif_transpose(picture))
    except EncodeError:
        raise
    except Exception as e:  # Pillow's decoders raise OSError, ValueError, SyntaxError, struct.error, ...
        raise EncodeError(f"the picture cannot be decoded: {e}") from e


def _rgb(picture: Any) -> Any:
    from PIL import Image

    if picture.mode.startswith("I"):  # 16 bits a pixel, which convert() would clip
        return Image.fromarray((np.asarray(picture).clip(0, 65535) / 257).astype(np.uint8)).convert("RGB")
    if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        white = Image.new("RGBA", picture.size, (255, 255, 255, 255))
        picture = Image.alpha_composite(white, picture)
    return picture.convert("RGB")


def center_crop(picture: Any, *, size: int, margin: int) -> FloatArray:
    """(3, size, size) float32 in 0 to 255: the middle square, less a margin, scaled by bicubic interpolation.

    The square's side is size / (size + margin) of the shorter side, as EfficientNet was evaluated.
    """
    from PIL import Image

    width, height = picture.size
    side = min(width, height) * size / (size + margin)
    left, top = (width - side) / 2, (height - side) / 2
    scaled = picture.resize((size, size), Image.Resampling.BICUBIC, box=(left, top, left + side, top + side))
    return np.ascontiguousarray(np.asarray(scaled, dtype=np.float32).transpose(2, 0, 1))
