"""What a file is, by its bytes alone."""

from __future__ import annotations

import io
import json
import struct
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mmkg.errors import LoadError
from mmkg.ingest.sniff import BINARY, DOCX, check_name, sniff_bytes


def zip_of(*names: str, **files: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name in names:
            archive.writestr(name, b"x")
        for name, data in files.items():
            archive.writestr(name, data)
    return out.getvalue()


def picture(kind: str) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(out, kind)
    return out.getvalue()


PROSE = "Well, yes, I think so. But then, of course, nobody knew.\nThey left, and the rain came down, hard.\n" * 3
PYTHON = (
    'import os\nfrom sys import path\n\n\ndef main(x):\n    """Say it."""\n    return x + 1\n\n\nclass A:\n    pass\n'
)
C = "#include <stdio.h>\n\nint main(void) {\n    int x = 3;\n    if (x) {\n        return 0;\n    }\n}\n"
JAVASCRIPT = (
    "import a from 'b';\nconst x = 1;\nfunction f(y) {\n  return y;\n}\nexport const g = (z) => {\n  f(z);\n};\n"
)
SHELL = "set -e\nfor x in a b; do\n  echo $x\ndone\nif [ -f y ]; then\n  rm y\nfi\nexport A=1\n"
CASES: dict[str, tuple[bytes, str]] = {
    "prose": (PROSE.encode(), "text/plain"),
    "prose utf-16": (PROSE.encode("utf-16"), "text/plain"),
    "one word": (b"hello", "text/plain"),
    "letter": (b"Dear Sir,\n\nthank you, and all the best.\n\nYours,\nJim\n", "text/plain"),
    "markdown": (b"# Title\n\nSome *text* with a [link](http://a.example).\n", "text/markdown"),
    "markdown, a heading that ends in an abbreviation": (b"# Escape from L.A.\n\nA film of 1996.\n", "text/markdown"),
    "settings with a comment": (b"# The port of the server.\n\nport 8080 is what it listens on\n", "text/plain"),
    "markdown fence": (b"Run it:\n\n```sh\nmake\n```\n\nThen look.\n", "text/markdown"),
    "markdown with much code": (("# Use\n\nText.\n\n```python\n" + PYTHON * 4 + "```\n").encode(), "text/markdown"),
    "front matter": (b"---\ntitle: A\n---\n\ntext and [link](b.md)\n", "text/markdown"),
    "html": (b"<!DOCTYPE html><html><body><p>Hi</p></body></html>", "text/html"),
    "html fragment": (b"<div><p>Hi</p></div>", "text/html"),
    "html after comment": (b"<!-- saved -->\n<html><head></head><body>x</body></html>", "text/html"),
    "xml": (b'<?xml version="1.0"?><a><b>c</b></a>', "application/xml"),
    "svg": (b'<svg xmlns="http://www.w3.org/2000/svg"><text>a</text></svg>', "image/svg+xml"),
    "csv": (b"name,year\nApollo 11,1969\nApollo 13,1970\n", "text/csv"),
    "csv semicolons": (b"name;year\nApollo 11;1969\nApollo 13;1970\n", "text/csv"),
    "csv quoted": (b'name,note\nA,"x, y"\nB,"z, w"\nC,v\n', "text/csv"),
    "tsv": (b"a\tb\n1\t2\n3\t4\n", "text/tab-separated-values"),
    "json": (b'{"a": [1, 2]}', "application/json"),
    "json lines": (b'{"a": 1}\n{"a": 2}\n', "application/jsonl"),
    "json cut at 64 KiB": (json.dumps({"key": ["x" * 50] * 3000}).encode(), "application/json"),
    "python": (PYTHON.encode(), "text/x-source;language=python"),
    "python script": (b"#!/usr/bin/env python3\nprint(1)\n", "text/x-source;language=python"),
    "c": (C.encode(), "text/x-source;language=c"),
    "javascript": (JAVASCRIPT.encode(), "text/x-source;language=javascript"),
    "shell": (SHELL.encode(), "text/x-source;language=shell"),
    "pdf": (b"%PDF-1.4\n1 0 obj\n", "application/pdf"),
    "pdf with junk before": (b"\xef\xbb\xbf\n%PDF-1.4\n1 0 obj\n", "application/pdf"),
    "text about pdf": (b"The header is\n%PDF-1.4\nand so on. It is text.\n", "text/plain"),
    "docx": (zip_of("[Content_Types].xml", "word/document.xml"), DOCX),
    "xlsx": (zip_of("xl/workbook.xml"), "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    "epub": (zip_of(mimetype=b"application/epub+zip"), "application/epub+zip"),
    "zip": (zip_of("a.txt"), "application/zip"),
    "png": (picture("PNG"), "image/png"),
    "jpeg": (picture("JPEG"), "image/jpeg"),
    "gif": (picture("GIF"), "image/gif"),
    "webp": (picture("WEBP"), "image/webp"),
    "tiff": (picture("TIFF"), "image/tiff"),
    "bmp": (picture("BMP"), "image/bmp"),
    "text that begins with BM": (b"BM is a university in the north of somewhere else.", "text/plain"),
    "wav": (b"RIFF\x24\0\0\0WAVEfmt ", "audio/wav"),
    "mp3": (b"\xff\xfb\x90\x64" + b"\0" * 100, "audio/mpeg"),
    "mp4": (b"\0\0\0\x18ftypisom" + b"\0" * 16, "video/mp4"),
    "webm": (b"\x1aE\xdf\xa3\x9fB\x86\x81\x01B\x82\x84webm", "video/webm"),
    "gzip": (b"\x1f\x8b\x08" + b"\0" * 20, "application/gzip"),
    "elf": (b"\x7fELF" + b"\0" * 60, "application/x-executable"),
    "floats": (struct.pack("<200d", *range(200)), BINARY),
    "empty": (b"", "text/plain"),
}


@pytest.mark.parametrize(("data", "expected"), CASES.values(), ids=CASES.keys())
def test_media_type_by_content(data: bytes, expected: str) -> None:
    assert sniff_bytes(data) == expected


def test_a_cut_zip_is_named() -> None:
    with pytest.raises(LoadError, match="damaged or cut short"):
        sniff_bytes(zip_of("word/document.xml")[:40])


@pytest.mark.parametrize(
    ("name", "media_type", "reason"),
    [
        ("a.pdf", "image/png", "named .pdf but the content is image/png"),
        ("a.PNG", "application/pdf", "named .png but the content is application/pdf"),
        ("a.docx", "application/zip", "named .docx but the content is application/zip"),
        ("a.txt", "image/jpeg", "named .txt but the content is image/jpeg"),
        ("a.jpg", "text/html", "named .jpg but the content is text/html"),
        ("a.mp3", "text/plain", "named .mp3 but the content is text/plain"),
        ("a.pdf", BINARY, "named .pdf but the content is of no known format"),
        ("a.jpg", "image/png", ""),
        ("a.txt", "text/markdown", ""),
        ("a.csv", "text/plain", ""),
        ("a.mp4", "audio/mp4", ""),
        ("a", "application/pdf", ""),
        ("a.xyz", "text/plain", ""),
        ("pdf", "text/plain", ""),
    ],
)
def test_a_lying_extension_is_named(name: str, media_type: str, reason: str) -> None:
    assert check_name(name, media_type) == reason


@settings(deadline=None)  # the first input pays for imports
@given(st.binary(max_size=600))
def test_any_bytes_have_a_type_or_a_reason(data: bytes) -> None:
    try:
        assert "/" in sniff_bytes(data)
    except LoadError as e:
        assert str(e)


@pytest.mark.parametrize(
    "text",
    [
        "---\n" + "-a: x\n" * 5000,
        "a,b\n" * 20000,
        "```\n" * 20000,
        "<a " * 20000,
        "[" * 60000,
        "_a" * 30000,
        "x y " * 15000,
    ],
    ids=["front matter", "rows", "fences", "tags", "brackets", "emphasis", "one line"],
)
def test_hostile_text_is_sniffed_in_time(text: str) -> None:
    assert sniff_bytes(text.encode())
