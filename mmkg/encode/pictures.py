"""Pictures as arrays for a network: decoded with a limit on pixels, upright, without transparency, cropped and scaled."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from mmkg.errors import EncodeError, WeightsError
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Preparation:
    """How a network that was published with its own preparation wants its pictures.

    size: height and width of the input. crop: the shorter side is scaled to `shorter` and the middle cut out; else the whole
    picture is squeezed into the square. mean, std: of the three channels, of values in 0 to 1.
    """

    size: int
    crop: bool = True
    shorter: int = 0
    mean: tuple[float, float, float] = (0.48145466, 0.4578275, 0.40821073)
    std: tuple[float, float, float] = (0.26862954, 0.26130258, 0.27577711)
    resample: str = "bicubic"

    def __post_init__(self) -> None:
        if not 8 <= self.size <= 2048 or (self.shorter and not self.size <= self.shorter <= 4096):
            raise WeightsError(f"preparation of pictures: size {self.size}, shorter side {self.shorter}: out of range")
        if len(self.mean) != 3 or len(self.std) != 3 or min(self.std) <= 0:
            raise WeightsError(
                f"preparation of pictures: mean {self.mean}, std {self.std}: expected three each, std above 0"
            )
        if self.resample not in _RESAMPLE:
            raise WeightsError(f"preparation of pictures: resample {self.resample!r}, known: {', '.join(_RESAMPLE)}")

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Preparation:
        """Raises WeightsError for what is no preparation."""
        try:
            values: dict[str, Any] = {
                k: tuple(float(x) for x in v) if k in ("mean", "std") else v for k, v in data.items()
            }
            return cls(**values)
        except (TypeError, ValueError) as e:
            raise WeightsError(f"preparation of pictures cannot be read: {e}") from e


_RESAMPLE = ("nearest", "bilinear", "bicubic", "lanczos")


def prepared(data: bytes, how: Preparation, *, max_pixels: int) -> FloatArray:
    """(3, size, size) float32, normalised: the bytes of a picture file as a network takes them. Raises EncodeError."""
    from PIL import Image

    picture = load_rgb(data, max_pixels=max_pixels, at_least=how.shorter or how.size)
    width, height = picture.size
    box = (0.0, 0.0, float(width), float(height))
    if how.crop:
        side = min(width, height) * how.size / (how.shorter or how.size)
        left, top = (width - side) / 2, (height - side) / 2
        box = (left, top, left + side, top + side)
    scaled = picture.resize((how.size, how.size), Image.Resampling[how.resample.upper()], box=box)
    mean, std = np.asarray(how.mean, dtype=np.float32), np.asarray(how.std, dtype=np.float32)
    values: FloatArray = (np.asarray(scaled, dtype=np.float32) / np.float32(255.0) - mean) / std
    return np.ascontiguousarray(values.transpose(2, 0, 1), dtype=np.float32)
