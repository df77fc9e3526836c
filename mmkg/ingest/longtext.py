"""Plain text too long to be held at once: decoded, cut and assembled in parts of about half a million characters.

What comes of it depends on the bytes alone. A part ends at a blank line where there is one, else at the end of a line or a
word; chunks and sentences do not cross that end, sections do.
"""

from __future__ import annotations

import codecs
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import BinaryIO

from mmkg.errors import LoadError
from mmkg.ingest.assemble import assemble, title_from, title_line
from mmkg.ingest.decode import encoding_of, normalise
from mmkg.ingest.text import raw_text
from mmkg.longfacts import JOINT, tree, under
from mmkg.types import DocumentFacts, Section, Unit

LONG_BYTES = 8 * 2**20
"""Plain text of more bytes than this is read in parts."""

PART = 500_000
"""Most characters of a part, before blank lines and indentation are taken out."""

_BLOCK = 1 << 20


def is_long(media_type: str, size: int) -> bool:
    """Whether a file of this type and size is read in parts."""
    return size > LONG_BYTES and media_type.partition(";")[0] == "text/plain"


class LongText:
    """A long text being read. `parts` gives its facts part by part; the rest is known when they are through.

    file: open at its beginning. chunk_characters: as assemble takes it.
    """

    def __init__(self, file: BinaryIO, media_type: str, chunk_characters: int) -> None:
        self._file, self._media_type, self._target = file, media_type, chunk_characters
        self._name: str | None = None
        self._heads: list[tuple[str, int, int]] = []
        self._own: Counter[int] = Counter()
        self.length = 0
        self.n_units = 0
        self.has_words = False

    def parts(self) -> Iterator[tuple[int, DocumentFacts]]:
        """(offset of its text in the whole, facts) of each part: the text of the part, units placed in the whole; no sections.

        Raises LoadError.
        """
        for window in _windows(self._file):
            raw = raw_text(window, self._media_type, 4 * PART, name=self._name)
            if not raw.text:
                continue
            if self._name is None:
                self._name = raw.name
            facts = assemble(raw, chunk_characters=self._target).facts
            start = self.length + (len(JOINT) if self.length else 0)
            before = len(self._heads)
            units = tuple(self._placed(u, start, before) for u in facts.units)
            self._heads += [(s.heading, s.level, s.start + start) for s in facts.sections]
            self._own.update(u.section for u in units if u.section is not None)
            self.has_words = self.has_words or any(
                c.isalnum() for u in facts.units for c in facts.text[u.start : u.end]
            )
            self.n_units += len(units)
            self.length = start + len(facts.text)
            yield start, replace(facts, name="", sections=(), units=units)

    def _placed(self, unit: Unit, start: int, before: int) -> Unit:
        """A unit of a part as one of the whole. What stands before the first heading of a part is under the last one so far."""
        section = before - 1 if unit.section is None else before + unit.section
        return replace(
            unit,
            ordinal=self.n_units + unit.ordinal,
            start=unit.start + start,
            end=unit.end + start,
            section=section if section >= 0 else None,
            sentences=tuple((a + start, b + start) for a, b in unit.sentences),
        )

    @property
    def sections(self) -> list[Section]:
        """All sections."""
        return tree(self._heads, self.length)

    @property
    def name(self) -> str:
        """The title, or ""."""
        return title_line(self._name or "") or title_from(self.sections)

    @property
    def per_section(self) -> dict[int, int]:
        """Number of a section -> units under it."""
        return under(self.sections, self._own)


def _windows(file: BinaryIO) -> Iterator[str]:
    """The text, normalised, in stretches of at most PART characters that end where a part may end."""
    waiting = ""
    for text in _decoded(file):
        waiting += text
        while len(waiting) > PART:
            end = _end(waiting)
            yield waiting[:end]
            waiting = waiting[end:]
    yield waiting


def _end(text: str) -> int:
    """Where the next part ends: at the last blank line of its second half, or line, or word."""
    for mark in ("\n\n", "\n", " "):
        at = text.rfind(mark, PART // 2, PART)
        if at >= 0:
            return at + len(mark)
    return PART


def _decoded(file: BinaryIO) -> Iterator[str]:
    name, mark, errors = encoding_of(_sample(file))
    file.seek(mark)
    decoder = codecs.getincrementaldecoder(name)(errors)
    held = ""
    while block := file.read(_BLOCK):
        try:
            text = held + decoder.decode(block)
        except UnicodeDecodeError as e:
            raise LoadError(f"not {name} all through: {e.reason}", code="encoding") from e
        # A line end of two characters may be cut between them.
        held = text[-1:] if text.endswith("\r") else ""
        yield normalise(text[: len(text) - len(held)])
    yield normalise(held)


def _sample(file: BinaryIO) -> bytes:
    """The beginning of the file, or, where that is ASCII, the first stretch that is not."""
    first = file.read(_BLOCK)
    block = first
    while block and block.isascii() and not block.count(0):
        block = file.read(_BLOCK)
    return block or first
