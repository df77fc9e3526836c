"""Image files of every kind, drawn by the tests."""

import struct
import zlib
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFont, PngImagePlugin

from mmkg.config import Limits
from mmkg.errors import LimitExceededError, LoadError
from mmkg.ingest.image import load_image
from mmkg.ingest.raw import RawDocument


def load(path: Path, ocr: bool = False, **limits: int) -> RawDocument:
    return load_image(path, "image/png", replace(Limits(), **limits), ocr)


def drawn(words: str = "", size: tuple[int, int] = (640, 320), at: tuple[int, int] = (40, 120)) -> Image.Image:
    image = Image.new("RGB", size, "white")
    ImageDraw.Draw(image).text(at, words, font=ImageFont.load_default(size=48), fill="black")
    return image


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP"])
def test_every_format_gives_one_picture_of_its_size(tmp_path, form):
    path = tmp_path / "a"
    drawn().save(path, form)
    raw = load(path)
    assert raw.text == "" and raw.name == "" and raw.notes == ()
    assert [(f.kind, f.width, f.height, f.data, f.page) for f in raw.figures] == [("image", 640, 320, None, 1)]
    assert [(p.number, p.width, p.height) for p in raw.pages] == [(1, 64_000, 32_000)]


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "I;16", "CMYK"])
def test_every_colour_mode_is_read(tmp_path, mode):
    path = tmp_path / "a.tif"
    Image.new(mode, (60, 40)).save(path, "TIFF" if mode in ("CMYK", "I;16") else "PNG")
    assert load(path, ocr=True).figures[0].width == 60


@pytest.mark.models
def test_words_have_boxes_where_they_were_drawn(tmp_path):
    path = tmp_path / "a.png"
    image = drawn("APOLLO")
    ImageDraw.Draw(image).text((300, 240), "SATURN", font=ImageFont.load_default(size=40), fill="black")
    image.save(path)
    raw = load(path, ocr=True)
    assert raw.text == "APOLLO\nSATURN"
    assert [(b.kind, raw.text[b.start : b.end]) for b in raw.blocks] == [("ocr", "APOLLO\nSATURN")]
    assert raw.figures[0].words == (0, len(raw.text))
    first, second = raw.pages[0].lines
    assert raw.text[first.start : first.end] == "APOLLO" and raw.text[second.start : second.end] == "SATURN"
    assert abs(first.box[0] - 4_000) < 1_000 and first.box[1] < 14_500 < first.box[3]
    assert abs(second.box[0] - 30_000) < 1_000 and second.box[1] < 26_000 < second.box[3] <= 32_000


@pytest.mark.models
@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_orientation_is_applied_before_anything_is_measured(tmp_path, orientation):
    path = tmp_path / "a.jpg"
    upright = drawn("COLUMBIA")
    turn = {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    upright.transpose(turn).save(path, exif=exif, quality=95)
    raw = load(path, ocr=True)
    assert (raw.figures[0].width, raw.figures[0].height) == (640, 320)
    assert raw.text == "COLUMBIA" and abs(raw.pages[0].lines[0].box[0] - 4_000) < 1_000


def test_exif_is_kept_as_properties_and_its_description_is_text(tmp_path):
    path = tmp_path / "a.jpg"
    exif = Image.Exif()
    exif[0x010E] = "Buzz Aldrin stands on the surface\x00 of the Moon beside the lander."
    exif[0x013B] = "Neil Armstrong"
    exif[0x010F], exif[0x0110] = "Hasselblad", "500 EL"
    exif.get_ifd(0x8769)[0x9003] = "1969:07:20 22:56:15"
    gps = exif.get_ifd(0x8825)
    gps[1], gps[2], gps[3], gps[4] = "N", (0.0, 40.0, 26.0), "W", (23.0, 28.0, 22.0)
    drawn().save(path, exif=exif)
    raw = load(path)
    assert raw.text == "Buzz Aldrin stands on the surface of the Moon beside the lander."
    assert [(b.kind, b.start, b.end) for b in raw.blocks] == [("caption", 0, len(raw.text))]
    assert raw.figures[0].caption == (0, len(raw.text)) and raw.name == ""
    assert raw.meta["artist"] == "Neil Armstrong" and raw.meta["camera"] == "Hasselblad 500 EL"
    assert raw.meta["date"] == "1969:07:20 22:56:15" and raw.meta["gps"] == "0.67389, -23.47278"


def test_png_text_gives_title_and_description(tmp_path):
    path = tmp_path / "a.png"
    text = PngImagePlugin.PngInfo()
    text.add_text("Title", "Mission badge")
    text.add_itxt("Description", "An eagle lands with an olive branch.")
    text.add_text("Author", "M. Collins")
    drawn().save(path, pnginfo=text)
    raw = load(path)
    assert raw.name == "Mission badge" and raw.text == "An eagle lands with an olive branch."
    assert raw.meta["artist"] == "M. Collins"


def test_xmp_is_read_without_expanding_entities(tmp_path):
    path = tmp_path / "a.jpg"
    xmp = (
        b'<!DOCTYPE x [<!ENTITY e "EXPANDED">]><x:xmpmeta xmlns:x="adobe:ns:meta/" '
        b'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns:dc="http://purl.org/dc/elements/1.1/"><rdf:RDF>'
        b"<rdf:Description><dc:title><rdf:Alt><rdf:li>Earth rises &e;</rdf:li></rdf:Alt></dc:title>"
        b"<dc:creator><rdf:Seq><rdf:li>W. Anders</rdf:li></rdf:Seq></dc:creator></rdf:Description></rdf:RDF></x:xmpmeta>"
    )
    drawn().save(path, xmp=xmp)
    raw = load(path)
    assert raw.name == "Earth rises" and raw.meta["artist"] == "W. Anders"


@pytest.mark.parametrize("words", ["OLYMPUS DIGITAL CAMERA         ", "DSC_0042", "untitled", "\x00\x01\x02"])
def test_what_cameras_and_programs_write_by_themselves_is_no_description(tmp_path, words):
    path = tmp_path / "a.jpg"
    exif = Image.Exif()
    exif[0x010E] = words
    drawn().save(path, exif=exif)
    raw = load(path)
    assert raw.text == "" and raw.figures[0].caption is None


def test_an_animation_gives_its_first_frame_and_a_tiff_each_page(tmp_path):
    frames = [Image.new("RGB", (60 + 20 * n, 40), c) for n, c in enumerate(("red", "green", "blue"))]
    gif, tiff = tmp_path / "a.gif", tmp_path / "a.tif"
    frames[0].save(gif, save_all=True, append_images=[f.resize((60, 40)) for f in frames[1:]])
    assert len(load(gif).figures) == 1
    frames[0].save(tiff, save_all=True, append_images=frames[1:])
    raw = load(tiff)
    assert [(f.kind, f.width, f.page, f.data is None) for f in raw.figures] == [
        ("image", 60, 1, True),
        ("page", 80, 2, False),
        ("page", 100, 3, False),
    ]
    cut = load(tiff, pages=2)
    assert len(cut.pages) == 2 and cut.notes == ("3 pages; the first 2 were read",)


def bomb(path: Path, side: int) -> Path:
    """A PNG of side x side one-bit pixels, small on disk."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = zlib.compress(b"\0" * ((side // 8 + 1) * side), 9)
    head = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b""))
    return path


def test_a_decompression_bomb_is_refused_by_its_header(tmp_path):
    path = bomb(tmp_path / "a.png", 12_000)
    assert path.stat().st_size < 100_000
    with pytest.raises(LimitExceededError) as caught:
        load(path)
    assert caught.value.limit == "pixels" and caught.value.path == path
    # The limit is ours, not a constant of the library: a user may raise it.
    limit = Image.MAX_IMAGE_PIXELS
    assert load(path, pixels=200_000_000).figures[0].width == 12_000
    assert limit == Image.MAX_IMAGE_PIXELS


def test_the_pages_of_a_tiff_are_checked_each(tmp_path):
    path = tmp_path / "a.tif"
    Image.new("1", (10, 10)).save(path, save_all=True, append_images=[Image.new("1", (2000, 2000))])
    with pytest.raises(LimitExceededError):
        load(path, pixels=1_000_000)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF"])
def test_a_truncated_picture_is_refused(tmp_path, form):
    path = tmp_path / "a"
    Image.effect_noise((300, 200), 90).convert("RGB").save(path, form)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(LoadError, match=r"truncated|damaged") as caught:
        load(path)
    assert caught.value.path == path and str(tmp_path) not in str(caught.value)


def test_no_picture_at_all_is_refused(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    with pytest.raises(LoadError, match="not a picture"):
        load(path)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    form=st.sampled_from(["PNG", "JPEG", "GIF", "TIFF", "WEBP", "BMP"]), at=st.floats(0, 1), byte=st.integers(0, 255)
)
def test_a_damaged_picture_gives_a_document_or_a_load_error(tmp_path, form, at, byte):
    path = tmp_path / "a"
    exif = Image.Exif()
    exif[0x010E] = "A description of some length."
    drawn(size=(50, 40)).save(path, form, **({"exif": exif} if form in ("JPEG", "PNG", "WEBP", "TIFF") else {}))
    data = bytearray(path.read_bytes())
    data[int(at * (len(data) - 1))] = byte
    path.write_bytes(bytes(data))
    try:
        load(path)
    except LoadError as e:
        assert str(e)


def test_text_in_metadata_is_printable_and_bounded(tmp_path):
    path = tmp_path / "a.png"
    text = PngImagePlugin.PngInfo()
    text.add_text("Description", "long \x1b[31m words " * 5_000)
    text.add_text("Author", "a\x00b\u202ec" * 500)
    drawn().save(path, pnginfo=text)
    raw = load(path)
    assert len(raw.text) <= 2_000 and raw.text.isprintable()
    assert all(len(v) <= 500 and v.isprintable() for v in raw.meta.values())
