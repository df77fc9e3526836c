"""Which loader reads which media type. Loaders are named by string and imported in the parser process, on first use."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path

from mmkg.config import Limits
from mmkg.errors import UnsupportedFormatError
from mmkg.ingest.av_open import DEMUXERS
from mmkg.ingest.raw import RawDocument
from mmkg.ingest.sniff import DOCX, PPTX, XLSX

LoadFunction = Callable[[Path, str, Limits, bool], RawDocument]
"""load(path, media_type, limits, ocr). Raises LoadError, LimitExceededError or UnsupportedFormatError."""

LOADERS: dict[str, str] = {
    "text/plain": "mmkg.ingest.text:load_text",
    "text/markdown": "mmkg.ingest.markdown:load_markdown",
    "text/html": "mmkg.ingest.markup:load_html",
    "application/xml": "mmkg.ingest.markup:load_xml",
    "text/csv": "mmkg.ingest.tables:load_table",
    "text/tab-separated-values": "mmkg.ingest.tables:load_table",
    "application/json": "mmkg.ingest.tables:load_json",
    "application/jsonl": "mmkg.ingest.tables:load_json",
    "text/x-source": "mmkg.ingest.sourcecode:load_code",
    "application/pdf": "mmkg.ingest.pdf:load_pdf",
    DOCX: "mmkg.ingest.docx:load_docx",
    PPTX: "mmkg.ingest.pptx:load_pptx",
    XLSX: "mmkg.ingest.xlsx:load_xlsx",
    "application/epub+zip": "mmkg.ingest.epub:load_epub",
    "message/rfc822": "mmkg.ingest.message:load_message",
    **dict.fromkeys(("model/gltf-binary", "model/obj", "model/stl"), "mmkg.ingest.model3d:load_model"),
    **dict.fromkeys(DEMUXERS, "mmkg.ingest.recording:load_recording"),
    **dict.fromkeys(
        ("image/png", "image/jpeg", "image/webp", "image/gif", "image/tiff", "image/bmp"),
        "mmkg.ingest.image:load_image",
    ),
}


def find_loader(media_type: str) -> LoadFunction:
    """The loader for a media type (parameters such as ";language=python" do not matter).

    Raises UnsupportedFormatError where there is none.
    """
    name = LOADERS.get(media_type.partition(";")[0])
    if name is None:
        raise UnsupportedFormatError(f"no loader for {media_type} yet")
    module, _, function = name.partition(":")
    loader: LoadFunction = getattr(importlib.import_module(module), function)
    return loader
