"""Pictures inside office containers (DOCX, PPTX, XLSX): decoded, read, and kept once, within what one document may cost."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from mmkg.config import Limits
from mmkg.errors import LimitExceededError, LoadError
from mmkg.ingest.docx_parts import Container
from mmkg.ingest.ocr import OcrBudget, ocr_available
from mmkg.ingest.pictures import decode, open_picture, png_bytes
from mmkg.ingest.raw import Figure
from mmkg.types import Span

MAX_FIGURES = 200
MAX_MEDIA_BYTES = 256 * 2**20
_SMALLEST = 40
"""Pictures with a side under this many pixels are bullets and rules."""
_MOST_USES = 3
"""A picture that stands in more places than this is decoration: it is kept once."""


@dataclass(slots=True)
class Picture:
    """A picture in the form it is kept in, and the lines of its words."""

    data: bytes
    width: int
    height: int
    words: list[str]

    def figure(self, anchor: int, caption: Span | None, words: Span | None, **more: Any) -> Figure:
        """The figure of a document that shows it; anchor: where it stands in the text. caption, words: their spans. more: fields of Figure."""
        return Figure(
            kind="figure",
            width=self.width,
            height=self.height,
            anchor=anchor,
            data=self.data,
            caption=caption,
            words=words,
            **more,
        )


class Pictures:
    """Reads the pictures of the container, within what one document may cost."""

    def __init__(self, container: Container, limits: Limits, ocr: bool) -> None:
        self._container, self._limits = container, limits
        self._reading = ocr and ocr_available()
        self._wanted = ocr
        self._budget = OcrBudget(limits.seconds * 0.4)
        self._kept: dict[str, Picture | None] = {}
        self._uses: Counter[str] = Counter()
        self._bytes = self._damaged = self._cut = self._unread = 0

    def get(self, target: str) -> Picture | None:
        """The picture that a part holds, or None if it is outside (""), damaged, tiny, repeated decoration or beyond the limits."""
        if not target:
            return None
        self._uses[target] += 1
        if self._uses[target] > _MOST_USES:
            return None
        if target not in self._kept:
            self._kept[target] = self._read(target)
        return self._kept[target]

    def _read(self, target: str) -> Picture | None:
        if len(self._kept) >= MAX_FIGURES or self._bytes > MAX_MEDIA_BYTES:
            self._cut += 1
            return None
        raw = self._container.read(target)
        try:
            with open_picture(raw, self._limits.pixels) as image:
                if min(image.size) < _SMALLEST:
                    return None
                form = image.format
                decode(image)
                words: list[str] = []
                if self._reading and not self._budget.exhausted:
                    lines = self._budget.read(image)
                    words = [line.text for line in lines]
                else:
                    self._unread += 1
                data = raw if form in ("PNG", "JPEG") else png_bytes(image)
                self._bytes += len(data)
                return Picture(data, image.width, image.height, words)
        except LimitExceededError:
            raise
        except LoadError:
            self._damaged += 1
            return None

    def notes(self) -> list[str]:
        """What a user should know of the pictures."""
        out = self._budget.notes()
        if self._damaged:
            out.append(f"{_pictures(self._damaged)} could not be read (damaged, or a format such as EMF)")
        if self._cut:
            out.append(f"{_pictures(self._cut)} beyond the limit of one document not kept")
        if self._unread and self._wanted:
            why = 'install "mmkg[ocr]"' if not self._reading else "raise limits.seconds"
            out.append(f"words in {_pictures(self._unread)} were not read: {why}")
        return out


def _pictures(n: int) -> str:
    return f"{n} picture" if n == 1 else f"{n} pictures"
