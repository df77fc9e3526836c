"""Metadata of image files: EXIF, PNG text, XMP, IPTC. Everything is foreign: cleaned, bounded, never trusted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmkg.ingest.textbuild import clean_property, sensible_title

if TYPE_CHECKING:
    from PIL.Image import Image

_MAX_XMP = 1 << 20
_EXIF_NAMES = {0x010E: "description", 0x013B: "artist", 0x8298: "copyright", 0x0132: "date", 0x0131: "software",
               0x9C9B: "title", 0x9C9C: "comment", 0x9C9D: "artist", 0x9C9E: "keywords", 0x9C9F: "subject"}  # fmt: skip
_UTF16_TAGS = range(0x9C9B, 0x9CA0)
_PNG_NAMES = {"title": "title", "description": "description", "author": "artist", "copyright": "copyright",
              "creation time": "date", "comment": "comment", "software": "software", "source": "source"}  # fmt: skip
_IPTC_NAMES = {(2, 5): "title", (2, 120): "description", (2, 80): "artist", (2, 25): "keywords", (2, 90): "city",
               (2, 101): "country", (2, 105): "title", (2, 116): "copyright"}  # fmt: skip
_XMP_NAMES = {"title": "title", "description": "description", "creator": "artist", "rights": "copyright",
              "subject": "keywords", "Headline": "title", "CreateDate": "date", "City": "city", "Country": "country"}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageProperties:
    """What is written inside a picture file: title and description ("" if none or made up by a camera), and the rest."""

    title: str = ""
    description: str = ""
    meta: Mapping[str, str] = field(default_factory=dict)


def read_properties(image: Image, path: Path) -> ImageProperties:
    """The properties of an opened (and decoded) picture; the first source that has one wins: XMP, IPTC, PNG, EXIF."""
    found: dict[str, str] = {}
    for read in (_xmp, _iptc, _png_text, _exif):
        try:
            pairs = read(image)
        except Exception:  # an adapter over foreign decoders: damaged metadata must not cost the picture
            continue
        for name, value in pairs:
            text = clean_property(value, 2000 if name == "description" else 300)
            if text:
                found.setdefault(name, text)
    title = sensible_title(found.pop("title", ""), path)
    description = found.pop("description", "")
    # Cameras write their own name there.
    if not sensible_title(description, path) and len(description) < 40:
        description = ""
    for name, value in (("title", title), ("description", clean_property(description, 500))):
        if value:
            found[name] = value
    return ImageProperties(title=title, description=description, meta=dict(sorted(found.items())))


def _exif(image: Image) -> list[tuple[str, Any]]:
    exif = image.getexif()
    out: list[tuple[str, Any]] = []
    for tag, name in _EXIF_NAMES.items():
        if (value := exif.get(tag)) not in (None, "", b""):
            if tag in _UTF16_TAGS:
                raw = bytes(value) if isinstance(value, (bytes, tuple, list)) else str(value).encode("utf-16-le")
                value = raw.decode("utf-16-le", "ignore").rstrip("\0")
            out.append((name, _mended(value)))
    camera = " ".join(clean_property(exif[tag], 60) for tag in (0x010F, 0x0110) if exif.get(tag))
    if camera:
        out.append(("camera", camera))
    detail = exif.get_ifd(0x8769)
    if detail.get(0x9003):
        out.insert(0, ("date", detail[0x9003]))
    if detail.get(0x9286):
        out.append(("comment", detail[0x9286]))
    gps = exif.get_ifd(0x8825)
    if gps.get(2) and gps.get(4):
        latitude, longitude = _degrees(gps[2], gps.get(1)), _degrees(gps[4], gps.get(3))
        if abs(latitude) <= 90 and abs(longitude) <= 180:
            out.append(("gps", f"{latitude:.5f}, {longitude:.5f}"))
    return out


def _mended(value: Any) -> Any:
    """EXIF text is ASCII by the standard; programs write UTF-8, which Pillow hands over as Latin-1."""
    if isinstance(value, str) and not value.isascii():
        try:
            return value.encode("latin-1").decode("utf-8")
        except UnicodeError:
            return value
    return value


def _degrees(parts: Any, side: Any) -> float:
    degrees, minutes, seconds = (float(p) for p in (*parts, 0, 0)[:3])
    value = degrees + minutes / 60 + seconds / 3600
    return -value if str(side).upper() in ("S", "W", "B'S'", "B'W'") else value


def _png_text(image: Image) -> list[tuple[str, Any]]:
    return [
        (_PNG_NAMES[key.lower()], value)
        for key, value in image.info.items()
        if isinstance(key, str) and key.lower() in _PNG_NAMES and isinstance(value, (str, bytes))
    ]


def _iptc(image: Image) -> list[tuple[str, Any]]:
    from PIL import IptcImagePlugin

    records = IptcImagePlugin.getiptcinfo(image) or {}
    out = []
    for tag, name in _IPTC_NAMES.items():
        if value := records.get(tag):
            values = value if isinstance(value, list) else [value]
            out.append((name, ", ".join(clean_property(v) for v in values[:20])))
    return out


def _xmp(image: Image) -> list[tuple[str, Any]]:
    raw = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp") or b""
    raw = raw.encode("utf-8", "ignore") if isinstance(raw, str) else bytes(raw)
    if not raw or len(raw) > _MAX_XMP:
        return []
    from lxml import etree

    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    root = etree.fromstring(raw.strip(b"\0 \r\n"), parser)
    out: list[tuple[str, Any]] = []
    for element in root.iter():
        if not isinstance(element.tag, str):
            continue
        name = _XMP_NAMES.get(etree.QName(element).localname)
        if name:
            values = [v for v in (clean_property(t) for t in element.itertext("*")) if v]
            if values:
                out.append((name, ", ".join(dict.fromkeys(values[:20]))))
        for key, value in element.attrib.items():
            if attribute := _XMP_NAMES.get(etree.QName(key).localname):
                out.append((attribute, value))
    return out
