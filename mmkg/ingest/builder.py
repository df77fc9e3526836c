"""Builds the text of a document block by block, so that every block knows its exact span."""

from __future__ import annotations

from mmkg.errors import LimitExceededError
from mmkg.ingest.raw import Block
from mmkg.types import Span


class TextBuilder:
    """Collects blocks; `text` is their texts joined by blank lines.

    limit: most characters of the text; passing it raises LimitExceededError("characters").
    """

    def __init__(self, limit: int) -> None:
        self._parts: list[str] = []
        self._length = 0
        self._limit = limit
        self.blocks: list[Block] = []

    def add(self, text: str, kind: str = "text", *, level: int = 0) -> Span | None:
        """Append a block (stripped; nothing if it is blank) and return its span."""
        text = text.strip() if kind != "code" else text.strip("\n").rstrip()
        if not text.strip():
            return None
        if self._parts:
            self._parts.append("\n\n")
            self._length += 2
        start = self._length
        self._parts.append(text)
        self._length += len(text)
        if self._length > self._limit:
            raise LimitExceededError("characters", f"the text is longer than {self._limit} characters")
        self.blocks.append(Block(start=start, end=self._length, kind=kind, level=level))
        return start, self._length

    @property
    def text(self) -> str:
        """The text so far."""
        return "".join(self._parts)
