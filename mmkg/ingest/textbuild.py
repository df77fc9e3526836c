"""Helpers that all rich loaders share: text with exact offsets, and properties found inside files made safe to keep."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from mmkg.errors import LimitExceededError
from mmkg.types import Span

_LIGATURES = {
    "\ufb00": "ff", "\ufb01": "fi", "\ufb02": "fl", "\ufb03": "ffi", "\ufb04": "ffl", "\ufb05": "ft", "\ufb06": "st",
}  # fmt: skip
# Bullets of the Symbol and Wingdings fonts, which reach us as private-use code points.
_PRIVATE = {chr(c): "•" for c in (0xF0B7, 0xF0A7, 0xF076, 0xF0D8, 0xF0FC, 0xF06E, 0xF09F)}
_AUTOMATIC_TITLE = re.compile(
    r"^(untitled|document|dokument|title|slide|presentation|powerpoint presentation|none|null|new document)?\s*\d*$"
    r"|^microsoft (word|powerpoint|excel)\b|^(layout|slide|page|doc|scan|img|image)[ _-]?\d+$|^\S+\s-\s\S+\.\w{2,4}$"
    r"|\.(docx?|pdf|pptx?|xlsx?|indd|tex|dvi|qxd|rtf|txt|html?|p65|fm|jpe?g|png|tiff?|gif|webp|bmp|ai|eps)$",
    re.IGNORECASE,
)
_CAMERA_TITLE = re.compile(
    r"^(olympus digital camera|sony dsc|samsung( csc)?|kodak digital still camera|konica minolta.*|minolta digital camera"
    r"|exif_jpeg_picture|default|dcim|dsc\w*|img_?\d*|cof|dig|screenshot|created with \w+|ascii|charset=\w+.*)$",
    re.IGNORECASE,
)


def clean_character(c: str) -> str:
    """A character as it goes into a document's text: ligatures opened, spaces made plain, controls dropped."""
    if c.isascii():
        return c if c.isprintable() else (" " if c in "\t\n\v\f\r" else "")
    if c in _LIGATURES:
        return _LIGATURES[c]
    category = unicodedata.category(c)
    if category in ("Zs", "Zl", "Zp"):
        return " "
    if category == "Co":
        return _PRIVATE.get(c, "")
    return "" if category in ("Cc", "Cf", "Cs", "Cn") else c


def clean_text(text: str) -> str:
    """One line of text: characters cleaned, runs of white space one blank, ends trimmed."""
    if text.isascii() and text.isprintable():
        return " ".join(text.split())
    return " ".join("".join(map(clean_character, text)).split())


def clean_property(value: object, limit: int = 500) -> str:
    """A property found inside a file as a short printable line; bytes are read as UTF-8, else Latin-1."""
    if isinstance(value, bytes):
        # A property may be preceded by an 8-byte character code (Exif UserComment), and padded with NUL.
        raw = value.removeprefix(b"ASCII\0\0\0").removeprefix(b"UNICODE\0").rstrip(b"\0 ")
        try:
            value = raw.decode("utf-8")
        except UnicodeDecodeError:
            value = raw.decode("latin-1")
    text = clean_text(str(value)[: 4 * limit])
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


def sensible_title(title: str, path: Path | None = None) -> str:
    """The title, or "" if a program made it up: a file name, "untitled", "Microsoft Word - x", a number, a camera's mark."""
    title = clean_property(title, 300)
    words = re.findall(r"[^\W\d_]{2,}", title)
    if not words or _AUTOMATIC_TITLE.search(title) or _CAMERA_TITLE.match(title):
        return ""
    if path is not None and title.casefold() == path.stem.casefold() and " " not in title:
        return ""
    # "annual_report_2020_final" is a file name without its extension; so is a single short capital run such as "UG".
    if " " not in title and (len(title) < 4 or re.search(r"[_\d]|\w-\w+-\w", title)):
        return ""
    return "" if title.count("_") > 1 and title.count("_") >= title.count(" ") else title


class TextBuilder:
    """The text of a document as it grows, so that every span is known the moment its words are added.

    Raises LimitExceededError("characters") past `limit` code points.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._parts: list[str] = []
        self.length = 0

    def add(self, text: str) -> Span:
        """Append text as it is; its span."""
        start = self.length
        self.length += len(text)
        if self.length > self._limit:
            raise LimitExceededError("characters", f"more than {self._limit} characters of text")
        self._parts.append(text)
        return start, self.length

    def paragraph(self) -> int:
        """Begin a paragraph (a blank line, unless at the very start); the offset where it begins."""
        if self.length:
            self.add("\n\n")
        return self.length

    def rows(self, rows: Sequence[Sequence[str]]) -> list[list[Span]]:
        """Append table rows, one a line, cells joined by " | "; the span of each cell."""
        spans: list[list[Span]] = []
        for n, row in enumerate(rows):
            if n:
                self.add("\n")
            spans.append([])
            for m, cell in enumerate(row):
                if m:
                    self.add(" | ")
                spans[-1].append(self.add(cell))
        return spans

    def text(self) -> str:
        """All that was added."""
        return "".join(self._parts)
