"""Loader for source code: blocks at the boundaries of definitions, so that a chunk holds whole ones where they fit."""

from __future__ import annotations

import re
from pathlib import Path

from mmkg.config import Limits
from mmkg.ingest.builder import TextBuilder
from mmkg.ingest.decode import decode
from mmkg.ingest.raw import RawDocument

# A blank line and then a line at the left margin that is not the tail of what went before.
_BOUNDARY = re.compile(r"\n(?:[ \t]*\n)+(?=[^\s})\]])")
_BLANK_LINES = re.compile(r"\n[ \t]*\n(?:[ \t]*\n)+")


def load_code(path: Path, media_type: str, limits: Limits, ocr: bool) -> RawDocument:
    """Source code of any language, kept as it is but for blank lines; one block for each part between definitions."""
    text = _BLANK_LINES.sub("\n\n", decode(path.read_bytes()).expandtabs(4))
    builder = TextBuilder(limits.characters)
    for part in _BOUNDARY.split(text):
        builder.add(part, "code")
    return RawDocument(media_type=media_type, text=builder.text, blocks=tuple(builder.blocks))
