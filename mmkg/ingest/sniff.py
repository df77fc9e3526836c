"""What a file is, from its bytes alone: the same bytes under two names must give the same facts."""

from __future__ import annotations

import io
import re
import zipfile
from pathlib import Path
from typing import BinaryIO

from mmkg.errors import LoadError
from mmkg.ingest.decode import decode, is_text
from mmkg.ingest.message import looks_like_message
from mmkg.ingest.textkind import classify
from mmkg.ingest.words import word_set

HEAD_BYTES = 64 * 1024
BINARY = "application/octet-stream"
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
PPTX = "application/vnd.openxmlformats-officedocument.presentationml.presentation"

_MAGIC: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\x89PNG\r\n\x1a\n", "image/png"),
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"GIF87a", "image/gif"),
    (0, b"GIF89a", "image/gif"),
    (0, b"II*\x00", "image/tiff"),
    (0, b"MM\x00*", "image/tiff"),
    (0, b"II+\x00", "image/tiff"),
    (0, b"MM\x00+", "image/tiff"),
    (0, b"8BPS\x00", "image/vnd.adobe.photoshop"),
    (0, b"\x00\x00\x00\x0cJXL ", "image/jxl"),
    (0, b"\x00\x00\x00\x0cjP  ", "image/jp2"),
    (0, b"fLaC", "audio/flac"),
    (0, b"ID3", "audio/mpeg"),
    (0, b"#!AMR", "audio/amr"),
    (0, b"MThd\x00\x00\x00\x06", "audio/midi"),
    (0, b"FLV\x01", "video/x-flv"),
    (0, b"\x00\x00\x01\xba", "video/mpeg"),
    (0, b"\x00\x00\x01\xb3", "video/mpeg"),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "video/x-ms-asf"),
    (0, b"{\\rtf", "application/rtf"),
    (0, b"%!PS", "application/postscript"),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "application/x-ole-storage"),
    (0, b"\x1f\x8b\x08", "application/gzip"),
    (0, b"BZh", "application/x-bzip2"),
    (0, b"\xfd7zXZ\x00", "application/x-xz"),
    (0, b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
    (0, b"Rar!\x1a\x07", "application/vnd.rar"),
    (0, b"\x28\xb5\x2f\xfd", "application/zstd"),
    (257, b"ustar", "application/x-tar"),
    (0, b"SQLite format 3\x00", "application/vnd.sqlite3"),
    (0, b"\x7fELF", "application/x-executable"),
    (0, b"wOFF", "font/woff"),
    (0, b"wOF2", "font/woff2"),
    (0, b"PAR1", "application/vnd.apache.parquet"),
    (0, b"glTF", "model/gltf-binary"),
)
_PDF = re.compile(rb"(?:\A|[\r\n])\s*%PDF-\d\.\d")
_ZIP = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")
_IMAGE_BRANDS = {b"avif": "image/avif", b"avis": "image/avif", b"heic": "image/heic", b"heix": "image/heic",
                 b"mif1": "image/heic", b"hevc": "image/heic"}  # fmt: skip

_EXTENSIONS = {
    "pdf": "pdf",
    "docx": "docx",
    "epub": "epub",
    "pptx": "pptx",
    "xlsx": "xlsx",
    "zip": "zip",
    "glb": "model",
    "stl": "model",
    "eml": "text",
    **dict.fromkeys(word_set("png jpg jpeg jpe jfif webp gif tif tiff bmp dib heic heif avif"), "image"),
    **dict.fromkeys(word_set("mp3 flac wav ogg oga opus m4a aac aif aiff wma amr mid"), "audio"),
    **dict.fromkeys(word_set("mp4 m4v mov mkv webm avi wmv flv mpg mpeg ogv 3gp"), "video"),
    **dict.fromkeys(
        word_set(
            "txt text md markdown rst htm html xhtml csv tsv json jsonl ndjson xml yaml yml toml ini tex log srt vtt "
            "py js mjs jsx tsx java c h cc cpp hpp cs go rs rb php swift kt scala sh bash sql css r lua pl"
        ),
        "text",
    ),
}
_OWN = {
    "application/pdf": "pdf",
    DOCX: "docx",
    PPTX: "pptx",
    XLSX: "xlsx",
    "application/epub+zip": "epub",
    "application/zip": "zip",
}
_TEXT_TYPES = frozenset({"message/rfc822", "application/json", "application/jsonl", "application/xml", "image/svg+xml"})


def sniff(file: BinaryIO) -> str:
    """Media type of an open, seekable file by its content; BINARY if it is nothing known. The position is left at 0.

    Text gets a type by its look: text/plain, text/markdown, text/html, text/csv, text/tab-separated-values,
    application/json, application/jsonl, application/xml, or text/x-source;language=NAME.
    Raises LoadError for a zip container whose directory is damaged.
    """
    file.seek(0)
    head = file.read(HEAD_BYTES)
    try:
        return _binary_type(head, file) or _stl_type(head, file) or _text_type(head)
    finally:
        file.seek(0)


def sniff_bytes(data: bytes) -> str:
    """sniff for bytes in memory.

    >>> sniff_bytes(b"%PDF-1.7\\n1 0 obj"), sniff_bytes(b"a,b\\n1,2\\n3,4\\n"), sniff_bytes(b"Hello there.")
    ('application/pdf', 'text/csv', 'text/plain')
    """
    return sniff(io.BytesIO(data))


def family(media_type: str) -> str:
    """pdf, docx, pptx, xlsx, epub, zip, image, audio, video, model, text, or "other": within one, the extension does not matter."""
    if media_type in _OWN:
        return _OWN[media_type]
    if media_type in _TEXT_TYPES or media_type.startswith("text/"):
        return "text"
    kind = media_type.partition("/")[0]
    return kind if kind in ("image", "audio", "video", "model") else "other"


def check_name(path: Path | str, media_type: str) -> str:
    """ "" if the extension fits the content, else a reason. An unknown extension, or none, promises nothing.

    >>> check_name("x.pdf", "image/png")
    'named .pdf but the content is image/png'
    """
    extension = Path(path).suffix.lower().lstrip(".")
    promised = _EXTENSIONS.get(extension)
    found = family(media_type)
    if promised is None or promised == found or {promised, found} == {"audio", "video"}:
        return ""
    if promised == "text" and media_type in ("application/rtf", "application/postscript"):
        return ""
    content = "of no known format" if media_type == BINARY else media_type
    return f"named .{extension} but the content is {content}"


def _binary_type(head: bytes, file: BinaryIO) -> str:
    if head.startswith(_ZIP):
        return _zip_type(file)
    for at, magic, media_type in _MAGIC:
        if head.startswith(magic, at):
            return media_type
    if _PDF.search(head[:1024]) and (b" obj" in head or not is_text(head)):
        return "application/pdf"
    return _container_type(head)


def _stl_type(head: bytes, file: BinaryIO) -> str:
    """STL has no mark: in its binary form the number of triangles says how long it is, to the byte."""
    if len(head) < 84:
        return ""
    count = int.from_bytes(head[80:84], "little")
    return "model/stl" if count and file.seek(0, io.SEEK_END) == 84 + 50 * count else ""


def _container_type(head: bytes) -> str:
    """Formats whose first bytes say only the container."""
    if head[:4] == b"RIFF" and len(head) >= 12:
        return {b"WEBP": "image/webp", b"WAVE": "audio/wav", b"AVI ": "video/x-msvideo"}.get(head[8:12], BINARY)
    if head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
        return "audio/aiff"
    if head[:4] == b"OggS":
        return "video/ogg" if b"\x80theora" in head[:4096] else "audio/ogg"
    if head[:4] == b"\x1aE\xdf\xa3":
        return "video/webm" if b"webm" in head[:64] else "video/x-matroska"
    if head[4:8] == b"ftyp":
        brand = head[8:12]
        if brand in _IMAGE_BRANDS:
            return _IMAGE_BRANDS[brand]
        return {b"M4A ": "audio/mp4", b"M4B ": "audio/mp4", b"qt  ": "video/quicktime"}.get(brand, "video/mp4")
    if (
        head[:2] == b"BM"
        and len(head) >= 18
        and int.from_bytes(head[14:18], "little") in (12, 40, 52, 56, 64, 108, 124)
    ):
        return "image/bmp"
    if len(head) > 376 and head[0] == head[188] == head[376] == 0x47 and not is_text(head):
        return "video/mp2t"
    # A bare MPEG audio frame: sync bits, then a layer, bit rate and sample rate that exist. Not a UTF-16 mark.
    if (
        len(head) > 4
        and head[0] == 0xFF
        and head[1] & 0xE0 == 0xE0
        and head[1] & 0x18 != 0x08
        and head[1] & 0x06 not in (0, 6)
        and head[2] & 0xF0 != 0xF0
        and head[2] & 0x0C != 0x0C
    ):
        return "audio/mpeg"
    if len(head) > 4 and head[0] == 0xFF and head[1] & 0xF6 == 0xF0:
        return "audio/aac"
    return ""


def _zip_type(file: BinaryIO) -> str:
    try:
        with zipfile.ZipFile(file) as archive:
            names = set(archive.namelist())
            kind = archive.read("mimetype")[:200].decode("ascii", "replace") if _small_mimetype(archive, names) else ""
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, EOFError, RuntimeError, UnicodeError) as e:
        raise LoadError("the zip container is damaged or cut short", hint="copy or save the file again") from e
    if "word/document.xml" in names:
        return DOCX
    if "xl/workbook.xml" in names:
        return XLSX
    if "xl/workbook.bin" in names:
        return "application/vnd.ms-excel.sheet.binary.macroEnabled.12"
    if "ppt/presentation.xml" in names:
        return PPTX
    if "META-INF/MANIFEST.MF" in names and not kind:
        return "application/java-archive"  # a program, not an archive of files to read
    if kind and re.fullmatch(r"[\w.+-]+/[\w.+-]+", kind.strip()):
        return kind.strip()
    return "application/zip"


_STL_TEXT = re.compile(r"\A\s*solid\b[^\n]*\n\s*facet\s+normal\s+[-+\d.eE]+\s")
_VERTEX = re.compile(r"^v(?:\s+[-+]?\d[\d.eE+-]*){3,7}\s*$", re.MULTILINE)
_NOT_OBJ = re.compile(
    r"^(?!\s*(?:#|$|(?:v|vt|vn|vp|f|l|p|o|g|s|mtllib|usemtl|cstype|deg|curv|surf|end|lod|mg)\b)).+$", re.MULTILINE
)


def _model_type(text: str) -> str:
    """Models that are text: STL by its first two lines; OBJ if it has corners and hardly a line that OBJ does not know."""
    if _STL_TEXT.match(text):
        return "model/stl"
    lines = text.count("\n") + 1
    if len(_VERTEX.findall(text)) >= min(3, lines) and 20 * len(_NOT_OBJ.findall(text)) <= lines:
        return "model/obj"
    return ""


def _small_mimetype(archive: zipfile.ZipFile, names: set[str]) -> bool:
    """OpenDocument and EPUB name their type in a first, uncompressed entry."""
    return "mimetype" in names and archive.getinfo("mimetype").file_size <= 200


def _text_type(head: bytes) -> str:
    try:
        text = decode(head)
    except LoadError:
        return BINARY
    if looks_like_message(text):
        return "message/rfc822"
    if model := _model_type(text):
        return model
    return classify(text, whole=len(head) < HEAD_BYTES)
