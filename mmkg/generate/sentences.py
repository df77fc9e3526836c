"""Sentences of evidence and of answers: spans that a citation can point at."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence

from mmkg.types import Evidence, Span

_END = re.compile(r"[.!?…。！？]+[\"'”’»)\]]*(?=\s|$)|\n+")
_ABBREVIATION = re.compile(
    r"(?:^|[\s(\[\"“])(?:[A-Z]|(?:[A-Za-z]\.)+[A-Za-z]|Mr|Mrs|Ms|Dr|Prof|St|Sr|Jr|Lt|Col|Capt|Gen|Sgt|Rev|Hon|Fig|Figs|No|Nos"
    r"|Vol|pp|vs|cf|ca|al|Inc|Ltd|Co|Corp|approx|Mt|Ft)$"
)
_LONGEST = 600
_LONGEST_ROW = 240
"""Characters of a row that is quoted as a whole."""
_CELL = re.compile(r"; (?=[^\s;:][^;:\n]{0,40}: )")


def split(text: str, start: int = 0, end: int | None = None) -> list[Span]:
    """Spans of the sentences in text[start:end], in order, without outer white space; never empty.

    A plain rule for text that comes without sentence spans (an answer of a model, a unit of a foreign retriever): a
    terminator before white space ends a sentence unless an abbreviation or an initial stands before it; so does a line break.

    >>> t = "Dr. Vey paid. It cost 3.5 pounds!"
    >>> [t[a:b] for a, b in split(t)]
    ['Dr. Vey paid.', 'It cost 3.5 pounds!']
    """
    end = len(text) if end is None else end
    spans: list[Span] = []
    begin = start
    for match in _END.finditer(text, start, end):
        if text[match.start()] == "." and not _closes(text, begin, match.start(), match.end(), end):
            continue
        spans.append((begin, match.end()))
        begin = match.end()
    spans.append((begin, end))
    return [s for s in (_trimmed(text, a, b) for a, b in spans) if s[1] > s[0]]


def _closes(text: str, begin: int, at: int, after: int, end: int) -> bool:
    if _ABBREVIATION.search(text[max(begin, at - 12) : at]):
        return after >= end or not text[after:end].strip()
    rest = text[after : after + 8].lstrip()
    return not rest[:1].islower()


def _trimmed(text: str, start: int, end: int) -> Span:
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return start, end


def sentence_spans(evidence: Evidence) -> tuple[Span, ...]:
    """Spans in the document text of the sentences of a unit, ascending, each wholly inside one of its parts.

    Those that came with the unit where it has some; else a split of its words.
    """
    given = tuple(s for s in evidence.sentences if evidence.words(s).strip())
    if given and evidence.kind == "table":
        return tuple(part for span in given for part in _cells(evidence.words(span), span[0]))
    if given:
        return given
    parts = evidence.spans or _whole(evidence)
    found: list[Span] = []
    at = 0
    for start, end in parts:
        words = evidence.text[at : at + end - start]
        found += [(start + a, start + b) for a, b in _short_enough(words, split(words))]
        at += end - start + 1
    return tuple(found)


def _cells(words: str, start: int) -> list[Span]:
    """Spans of the cells of a long row ("name: cell; name: cell"), of which one alone answers; a short row is one."""
    if len(words) <= _LONGEST_ROW:
        return [(start, start + len(words))]
    cuts = [0, *(m.start() + 2 for m in _CELL.finditer(words)), len(words) + 2]
    spans = [_trimmed(words, a, b - 2) for a, b in itertools.pairwise(cuts)]
    return [(start + a, start + b) for a, b in spans if b > a]


def quote_of(evidence: Evidence, span: Span) -> str:
    """The words of a unit at a span of the document text; "" if it is not inside the unit."""
    if evidence.spans:
        return evidence.words(span)
    for start, end in _whole(evidence):
        if start <= span[0] and span[1] <= end:
            return evidence.text[span[0] - start : span[1] - start]
    return ""


def _whole(evidence: Evidence) -> tuple[Span, ...]:
    """Where the text of a unit without parts lies, if its locator says so or it stands alone."""
    chars = evidence.locator.chars
    if chars is not None and chars[1] - chars[0] == len(evidence.text):
        return (chars,)
    return ((0, len(evidence.text)),) if chars is None else ()


def _short_enough(text: str, spans: Sequence[Span]) -> list[Span]:
    out: list[Span] = []
    for start, end in spans:
        while end - start > _LONGEST:
            cut = text.rfind(" ", start + _LONGEST // 2, start + _LONGEST)
            cut = start + _LONGEST if cut < 0 else cut
            out.append((start, cut))
            start, _ = _trimmed(text, cut, end)
        out.append((start, end))
    return [s for s in out if s[1] > s[0]]
