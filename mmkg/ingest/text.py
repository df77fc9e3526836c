"""Loader for plain text: paragraphs, and the headings that plain text has."""

from __future__ import annotations

import re
from pathlib import Path

from mmkg.config import Limits
from mmkg.ingest.builder import TextBuilder
from mmkg.ingest.decode import decode
from mmkg.ingest.raw import RawDocument
from mmkg.ingest.titles import definition_title, looks_like_title

_PARAGRAPH = re.compile(r"\n[ \t]*\n\s*?(?=[ \t]*\S)|\n[ \t]*\n\s*\Z")
_NUMBERED_HEADING = re.compile(
    r"(?:(?:chapter|part|section|appendix|act|book)\s+[\dIVXLA-Z]+\b|\d+(?:\.\d+)*\.?\s+[A-Z])", re.I
)
_UNDERLINE = re.compile(r"^(?P<text>\S[^\n]{0,120})\n(?P<mark>={3,}|-{3,}|~{3,})[ \t]*$")


def load_text(path: Path, media_type: str, limits: Limits, ocr: bool) -> RawDocument:
    """Plain text. Title: the first line if it looks like one, else what the first sentence defines ("X is a ...")."""
    return raw_text(decode(path.read_bytes()), media_type, limits.characters)


def raw_text(text: str, media_type: str, most: int, *, name: str | None = None) -> RawDocument:
    """Paragraphs and headings of a text, or of a part of one.

    most: characters that it may have. name: for a part that is not the first, the title that the text has, or "".
    """
    # Line by line: a pattern for trailing blanks tries every blank of a long run anew.
    text = "\n".join(line.rstrip(" \t") for line in text.split("\n")).strip("\n")
    builder = TextBuilder(most)
    paragraphs = [p.strip("\n") for p in _PARAGRAPH.split(text) if p.strip()]
    beginning = name is None
    name = name or ""
    for i, paragraph in enumerate(paragraphs):
        heading, level = _heading(paragraph)
        first = beginning and i == 0
        if not heading and first and looks_like_title(paragraph):
            heading, level = paragraph.strip(), 1
        if heading and len(paragraphs) > 1:
            # "1.2 Scope" lies one level under "1 Introduction"; under a title everything lies one deeper.
            builder.add(heading, "heading", level=level if first or not name else level + 1)
            if first:
                name = heading
        else:
            if first and looks_like_title(paragraph):
                name = paragraph.strip()
            builder.add(_undent(paragraph))
    if beginning and not name:
        name = definition_title(paragraphs[0] if paragraphs else "")
    return RawDocument(media_type=media_type, text=builder.text, name=name, blocks=tuple(builder.blocks))


def _heading(paragraph: str) -> tuple[str, int]:
    """The text and level of a paragraph that is a heading, or ("", 0)."""
    if found := _UNDERLINE.match(paragraph):
        if "\n" in paragraph[found.end() :].strip("\n") or paragraph[found.end() :].strip():
            return "", 0
        return found["text"].strip(), 1 if found["mark"][0] == "=" else 2
    if "\n" in paragraph or len(paragraph) > 80 or not looks_like_title(paragraph):
        return "", 0
    line = paragraph.strip()
    letters = [c for c in line if c.isalpha()]
    if number := re.match(r"\d+(?:\.\d+)*", line):
        return (line, 1 + number.group().count(".")) if _NUMBERED_HEADING.match(line) else ("", 0)
    if _NUMBERED_HEADING.match(line) or (len(letters) >= 4 and all(c.isupper() for c in letters)):
        return line, 1
    return "", 0


def _undent(paragraph: str) -> str:
    """The paragraph without the indentation that all of its lines share."""
    lines = paragraph.split("\n")
    indents = [len(line) - len(line.lstrip(" \t")) for line in lines if line.strip()]
    common = min(indents, default=0)
    return "\n".join(line[common:] for line in lines)
