"""A file on its way in, and the document that was parsed from it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from mmkg.ingest.pool import Outcome
from mmkg.listing import subtitles_of
from mmkg.schema import subtitled_blob
from mmkg.types import DocumentFacts, Unit


@dataclass(frozen=True, slots=True)
class File:
    """A file as it was found. uri: the source it stands for, which is not its own path for a member of an archive."""

    path: Path
    uri: str
    size: int
    mtime_ns: int
    beside: Path | None = None
    """The subtitles of a recording: one document with it."""


@dataclass(slots=True)
class Arrival:
    """A parsed document and the file it came from."""

    file: File
    outcome: Outcome

    @property
    def document(self) -> str:
        """The document's id."""
        return self.outcome.sha256

    @property
    def facts(self) -> DocumentFacts:
        """What the parser found; the unit of an image file, and each clip of a recording, shows the file itself."""
        assert self.outcome.parsed is not None
        facts = self.outcome.parsed.facts
        shown = self.outcome.recording or self.outcome.sha256

        def filled(unit: Unit) -> Unit:
            whole = unit.media is None and (unit.kind == "image" or unit.label == "Clip")
            return replace(unit, media=shown) if whole else unit

        return replace(facts, units=tuple(filled(u) for u in facts.units))

    @property
    def notes(self) -> tuple[str, ...]:
        """What the parser left out, for the user."""
        assert self.outcome.parsed is not None
        return self.outcome.parsed.notes

    @property
    def n_units(self) -> int:
        """Units that the document brings."""
        assert self.outcome.parsed is not None
        return len(self.outcome.parsed.facts.units)

    def picture(self, media: str) -> bytes:
        """The bytes of a picture of this document, by its sha256. Raises OSError if the file went meanwhile."""
        assert self.outcome.parsed is not None
        data = self.outcome.parsed.media.get(media)
        return self.file.path.read_bytes() if data is None else data

    def original(self) -> Path | bytes:
        """What the document's id is the hash of: its file, or what a recording and its subtitles are together."""
        if not self.outcome.recording or self.file.beside is None:
            return self.file.path
        return subtitled_blob(self.outcome.recording, self.file.beside.read_bytes())

    def media(self) -> dict[str, bytes | Path]:
        """sha256 -> the pictures and the recording that the document's units show."""
        assert self.outcome.parsed is not None
        media: dict[str, bytes | Path] = {**self.outcome.parsed.media}
        if self.outcome.recording:
            media[self.outcome.recording] = self.file.path
        return media


def subtitles(path: Path) -> bytes | None:
    """The bytes of the subtitles beside a recording; empty if they cannot be read now, which the hash will tell."""
    beside = subtitles_of(path)
    if beside is None:
        return None
    try:
        return beside.read_bytes()
    except OSError:
        return b""
