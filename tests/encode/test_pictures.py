from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mmkg.encode.pictures import center_crop, load_rgb
from mmkg.errors import EncodeError


def encoded(picture: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    out = io.BytesIO()
    picture.save(out, format=kind, **options)
    return out.getvalue()


def load(data: bytes, **options: Any) -> Any:
    return load_rgb(data, **({"max_pixels": 10_000, "at_least": 16} | options))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP"])
def test_formats(kind: str) -> None:
    picture = load(encoded(Image.new("RGB", (40, 30), (200, 40, 40)), kind))
    assert (picture.mode, picture.size) == ("RGB", (40, 30))
    assert np.abs(np.asarray(picture, dtype=int)[15, 20] - (200, 40, 40)).max() < 12


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGBA", "CMYK", "I;16", "F"])
def test_modes(mode: str) -> None:
    picture = load(encoded(Image.new(mode, (20, 20)), "TIFF"))
    assert (picture.mode, picture.size) == ("RGB", (20, 20))


def test_sixteen_bits_are_scaled_not_clipped() -> None:
    ramp = np.linspace(0, 65535, 20, dtype=np.uint16).repeat(20).reshape(20, 20)
    pixels = np.asarray(load(encoded(Image.fromarray(ramp))))
    assert (pixels[0, 0, 0], pixels[19, 0, 0]) == (0, 255)
    assert 110 < pixels[10, 0, 0] < 150


def test_transparency_lies_on_white() -> None:
    picture = load(encoded(Image.new("RGBA", (20, 20), (0, 0, 0, 0))))
    assert picture.getpixel((5, 5)) == (255, 255, 255)


def test_a_turned_photo_is_set_upright() -> None:
    photo = Image.new("RGB", (40, 20))
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    assert load(encoded(photo, "JPEG", exif=exif)).size == (20, 40)


def test_only_the_first_frame() -> None:
    frames = [Image.new("RGB", (20, 20), c) for c in ("red", "blue")]
    assert load(encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])).getpixel((3, 3)) == (255, 0, 0)


def test_a_large_jpeg_is_decoded_small() -> None:
    picture = load(encoded(Image.new("RGB", (800, 640)), "JPEG"), max_pixels=10**6, at_least=100)
    assert 100 <= min(picture.size) < 640


def test_pixels_are_counted_before_decoding() -> None:
    data = encoded(Image.new("1", (4000, 4000)))
    assert len(data) < 10_000
    with pytest.raises(EncodeError, match="4000 x 4000 pixels, the limit is 10000"):
        load(data)


PNG = encoded(Image.effect_noise((64, 64), 40))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"plain text",
        PNG[: len(PNG) // 2],
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        b"P6 4 4 255\n" + b"0" * 48,
    ],
    ids=["empty", "text", "cut off", "eps", "ppm"],
)
def test_what_is_no_picture_is_refused(data: bytes) -> None:
    with pytest.raises(EncodeError, match="cannot be decoded"):
        load(data)


def test_crop_is_centred() -> None:
    pixels = np.zeros((100, 300, 3), dtype=np.uint8)
    pixels[:, 100:200] = 255
    crop = center_crop(Image.fromarray(pixels), size=56, margin=8)
    assert (crop.shape, crop.dtype) == ((3, 56, 56), np.float32)
    assert crop.min() > 250
