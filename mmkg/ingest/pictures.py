"""Opening pictures under limits, whether a file of their own or bytes inside a document."""

from __future__ import annotations

import contextlib
import io
import struct
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from mmkg.errors import LimitExceededError, LoadError

if TYPE_CHECKING:
    from PIL.Image import Image

# What Pillow's readers raise on damaged bytes: its own errors, and whatever a codec written in Python trips over.
_DAMAGED = (OSError, ValueError, SyntaxError, EOFError, IndexError, KeyError, TypeError, AttributeError, OverflowError,
            ZeroDivisionError, struct.error, zlib.error, AssertionError, NotImplementedError, RuntimeError)  # fmt: skip


@contextlib.contextmanager
def open_picture(source: Path | bytes, max_pixels: int) -> Iterator[Image]:
    """A picture with its header read and its size checked, not yet decoded; closed on leaving.

    Raises LimitExceededError("pixels") before any decoding, LoadError if the header is not of a picture Pillow reads.
    """
    from PIL import Image as pil

    shared_limit = pil.MAX_IMAGE_PIXELS
    # Pillow's own limit is one constant for the process; ours is checked below, and theirs put back.
    pil.MAX_IMAGE_PIXELS = None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                image = pil.open(source if isinstance(source, Path) else io.BytesIO(source))
            except FileNotFoundError as e:
                raise LoadError(f"no such file: {source if isinstance(source, Path) else ''}") from e
            except _DAMAGED as e:
                raise LoadError("not a picture that can be read, or damaged in its first bytes") from e
            with image:
                check_pixels(image.size, max_pixels)
                yield image
    finally:
        pil.MAX_IMAGE_PIXELS = shared_limit


def check_pixels(size: tuple[int, int], max_pixels: int) -> None:
    """Raises LimitExceededError("pixels") for a picture of more, LoadError for one without area."""
    width, height = size
    if width <= 0 or height <= 0:
        raise LoadError(f"picture of {width} x {height} pixels")
    if width * height > max_pixels:
        raise LimitExceededError("pixels", f"picture of {width} x {height} pixels; the limit is {max_pixels}")


def decode(image: Image) -> None:
    """Decode the current frame. Raises LoadError with the reason if its bytes are damaged or end early."""
    try:
        image.load()
    except _DAMAGED as e:
        reason = str(e).lower()
        what = (
            "truncated picture"
            if "truncat" in reason or "end of" in reason or "not processed" in reason
            else "damaged picture"
        )
        raise LoadError(f"{what} ({_short(e)})") from e


def png_bytes(image: Image) -> bytes:
    """The picture as PNG without any metadata: the same pixels always give the same bytes."""
    if image.mode not in ("1", "L", "LA", "RGB", "RGBA"):
        alpha = "transparency" in image.info or image.mode in ("PA", "La", "RGBa")
        image = image.convert("RGBA" if alpha else "L" if image.mode in ("I", "F", "I;16") else "RGB")
    out = io.BytesIO()
    image.save(out, format="PNG", compress_level=6, optimize=False, icc_profile=None, exif=b"", dpi=None)
    return out.getvalue()


def _short(e: BaseException) -> str:
    text = " ".join(str(e).split())
    return text[:120] if text else type(e).__name__
