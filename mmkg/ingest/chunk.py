"""Chunks: spans of about a target length that end at a sentence, a row or a line, and hold whole blocks where they fit."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from mmkg.ingest.raw import Block
from mmkg.ingest.sentences import cut_long, split_sentences, trim
from mmkg.types import Span

STRETCH = 1.25
"""A chunk is at most this many times the target: a heading or a short tail may ride along."""

_BLANK = re.compile(r"\n[ \t]*\n+")


def pack(text: str, run: Sequence[Block], target: int) -> list[Span]:
    """Chunks of one run of blocks (same section, same page, same kind), in text order.

    Each chunk is stripped of outer white space and at most STRETCH x target long; chunks do not overlap and cover every
    character of the blocks but white space. A heading stays with the text that follows it.
    """
    packer = _Packer(text, target)
    for block in run:
        packer.add(block)
    return packer.finish()


def atoms(text: str, block: Block) -> list[Span]:
    """The smallest parts that a chunk keeps whole: rows of a table, lines of code, sentences of prose."""
    if block.kind in ("table", "code"):
        return list(_lines(text, block.start, block.end))
    return split_sentences(text, block.start, block.end)


def sentences_of(text: str, start: int, end: int, blocks: Sequence[Block]) -> list[Span]:
    """Sentence spans of a chunk: by rule in prose, rows in tables, paragraphs in code. `blocks`: those that it touches.

    A heading is no sentence (it stands before every sentence under it anyway), unless the chunk has nothing else.
    """
    out: list[Span] = []
    body = [b for b in blocks if b.kind != "heading" and b.start < end and start < b.end]
    for block in body or blocks:
        a, b = max(start, block.start), min(end, block.end)
        if a >= b:
            continue
        if block.kind == "table":
            pieces: Iterator[Span] | list[Span] = _lines(text, a, b)
        elif block.kind == "code":
            pieces = _paragraphs(text, a, b)
        else:
            out.extend(split_sentences(text, a, b))
            continue
        for piece in pieces:
            out.extend(cut_long(text, *piece, limit=600))
    return out


class _Packer:
    def __init__(self, text: str, target: int) -> None:
        self.text = text
        self.target = target
        self.most = int(target * STRETCH)
        self.done: list[Span] = []
        self.start: int | None = None
        self.end = 0
        self.glued = False  # the open chunk is only a heading so far

    def add(self, block: Block) -> None:
        start, end = trim(self.text, block.start, block.end)
        if start == end:
            return
        if block.kind == "heading" and end - start <= self.target // 4:
            # Nothing goes between a heading and its text: close what came before if it has some size.
            if self.start is not None and not self.glued and self.end - self.start >= self.target // 2:
                self._flush()
            if self.start is None or end - self.start > self.target:
                self._flush()
                self.start = start
                self.glued = True
            self.end = end
            return
        if self.start is None:
            self.start = start
        elif end - self.start > (self.most if self.glued else self.target) and (
            not self.glued and self.end - self.start >= self.target // 2
        ):
            self._flush()
            self.start = start
        if end - self.start <= (self.most if self.glued else self.target):
            self.end, self.glued = end, False
            return
        for atom in atoms(self.text, block):
            for piece in cut_long(self.text, *atom, limit=self.target):
                self._extend(*piece)

    def _extend(self, start: int, end: int) -> None:
        if self.start is None or self.end <= self.start:
            self.start = start
        elif end - self.start > (self.most if self.glued else self.target):
            self._flush()
            self.start = start
        self.end, self.glued = end, False

    def _flush(self) -> None:
        if self.start is not None and self.end > self.start:
            self.done.append((self.start, self.end))
        self.start, self.end, self.glued = None, 0, False

    def finish(self) -> list[Span]:
        self._flush()
        if len(self.done) > 1:
            (first, _), (start, end) = self.done[-2], self.done[-1]
            if end - start < self.target // 4 and end - first <= self.most:
                self.done[-2:] = [(first, end)]
        return self.done


def _lines(text: str, start: int, end: int) -> Iterator[Span]:
    at = start
    while at < end:
        stop = text.find("\n", at, end)
        stop = end if stop < 0 else stop
        if (span := trim(text, at, stop))[1] > span[0]:
            yield span
        at = stop + 1


def _paragraphs(text: str, start: int, end: int) -> Iterator[Span]:
    at = start
    for match in _BLANK.finditer(text, start, end):
        if (span := trim(text, at, match.start()))[1] > span[0]:
            yield span
        at = match.end()
    if (span := trim(text, at, end))[1] > span[0]:
        yield span
