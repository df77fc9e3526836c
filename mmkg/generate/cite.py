"""Citations: markers in an answer's text, the quote each stands on, and whether the quote bears the sentence out.

The rule of a verdict. The *claim words* of a sentence are its index terms (stemmed, no stop words). They are looked for in
the quote and in what stands above it (title of the document, heading). Then
  supported    at least 70 % of the claim words are there, and so is every number and every name of the sentence;
  partial      at least 35 % are there;
  unsupported  fewer.
A name is a word with a capital that does not open the sentence, or any word with two capitals. The rule sees words, not
meaning: it cannot see a negation or two names that changed places.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from mmkg.algorithms.names import fold, tokenize
from mmkg.algorithms.terms import terms
from mmkg.algorithms.words import STOP
from mmkg.generate.sentences import quote_of, sentence_spans, split
from mmkg.types import AnswerSentence, Citation, Evidence, Span

SUPPORTED = 0.7
PARTIAL = 0.35
_RANK = {"supported": 2, "partial": 1, "unsupported": 0}

_NUMBERS = r"\d{1,3}(?!\d)"
_MARKER = re.compile(rf"[\[【]\s*{_NUMBERS}(?:\s*[,;–-]\s*{_NUMBERS})*\s*[\]】]")
_RUN = rf"(?:\s*{_MARKER.pattern})+"
_AFTER_STOP = re.compile(rf"([.!?…]+[\"'”’)]*)((?:[ \t]*{_MARKER.pattern})+)")
_DIGITS = re.compile(r"\d+(?:[.,]\d+)*")


def parse_markers(text: str) -> list[tuple[Span, tuple[int, ...]]]:
    """Where citation markers stand in a text and which numbers they carry: [1], [2][3], [1, 2], [1-3].

    >>> parse_markers("Yes [1, 3].")
    [((4, 10), (1, 3))]
    """
    found = []
    for match in _MARKER.finditer(text):
        numbers: list[int] = []
        for part in re.split(r"[,;]", match.group()[1:-1]):
            ends = [int(n) for n in re.findall(r"\d+", part)]
            low, high = ends[0], ends[-1]
            # "[3-1]" is no range; and a range never names more than the few blocks that are sent.
            numbers += range(low, high + 1) if low <= high <= low + 50 else ends
        found.append((match.span(), tuple(dict.fromkeys(numbers))))
    return found


def cited_sentences(text: str) -> list[tuple[str, tuple[int, ...]]]:
    """The sentences of an answer without their markers, each with the numbers it cites.

    A marker after the full stop belongs to the sentence before it.

    >>> cited_sentences("It is red. [1] It is round [2][1].")
    [('It is red.', (1,)), ('It is round.', (2, 1))]
    """
    text = _AFTER_STOP.sub(lambda m: m.group(2) + m.group(1), text)
    out: list[tuple[str, tuple[int, ...]]] = []
    for start, end in split(text):
        sentence = text[start:end]
        numbers = tuple(dict.fromkeys(n for _, held in parse_markers(sentence) for n in held))
        bare = re.sub(r"\s+([.,;:!?…])", r"\1", re.sub(_RUN, "", sentence)).strip()
        if any(c.isalnum() for c in bare):
            out.append((bare, numbers))
        elif numbers and out:
            out[-1] = (out[-1][0], tuple(dict.fromkeys(out[-1][1] + numbers)))
    return out


@dataclass(frozen=True, slots=True)
class Claim:
    """What a sentence says, as words: index terms, and the numbers and names among them that must not be missing."""

    words: frozenset[str]
    strict: frozenset[str]


def claim_of(sentence: str) -> Claim:
    """The claim words of a sentence of an answer."""
    tokens = tokenize(sentence)
    strict: set[str] = set()
    for i, token in enumerate(tokens):
        written = sentence[token.start : token.end]
        inner = written[:1].isupper() and i > 0 and not _opens(sentence, token.start)
        if (inner or sum(c.isupper() for c in written) > 1) and token.folded not in STOP:
            strict.update(terms(written))
    strict |= numbers_in(sentence)
    return Claim(frozenset(terms(sentence)) | strict, frozenset(strict))


def numbers_in(text: str) -> set[str]:
    """Numbers of a text without separators of thousands.

    >>> sorted(numbers_in("1,200 men and 3.5 tons"))
    ['1200', '3.5']
    """
    return {re.sub(r",(?=\d{3})", "", n) for n in _DIGITS.findall(fold(text))}


def _opens(sentence: str, at: int) -> bool:
    before = sentence[:at].rstrip(" \"'“‘(*-")
    return not before or before[-1] in ".!?:\n"


@dataclass(frozen=True, slots=True)
class Support:
    """How far a quote bears out a sentence. found: the claim words that it holds; share: of all; missing: strict ones it lacks."""

    span: Span
    quote: str
    found: frozenset[str]
    share: float
    missing: frozenset[str]

    @property
    def verdict(self) -> str:
        return _verdict(self.share, self.missing)


def _verdict(share: float, missing: frozenset[str]) -> str:
    if share >= SUPPORTED and not missing:
        return "supported"
    return "partial" if share >= PARTIAL else "unsupported"


def best_quote(claim: Claim, evidence: Evidence) -> Support | None:
    """The sentence of a unit, or two that follow each other, that holds most of a claim; None if the unit has no words."""
    spans = sentence_spans(evidence)
    above = _words_of(f"{evidence.document.name} {evidence.heading}")
    pairs = [(a[0], b[1]) for a, b in pairwise(spans) if quote_of(evidence, (a[0], b[1]))]
    best: Support | None = None
    for span in (*spans, *pairs):
        found = support(claim, quote_of(evidence, span), span, above)
        # A pair is taken only if it holds more than its better half.
        if best is None or (len(found.missing), -found.share) < (len(best.missing), -best.share):
            best = found
    return best


def support(claim: Claim, quote: str, span: Span, above: frozenset[str] = frozenset()) -> Support:
    """How far a quote bears out a claim. above: words of the title and heading over the quote."""
    held = _words_of(quote)
    # At least one word must come from the quote itself: a title alone proves nothing.
    found = claim.words & (held | above) if claim.words & held else frozenset()
    share = len(found) / len(claim.words) if claim.words else 0.0
    return Support(span, quote, found, share, claim.strict - held - above)


def _words_of(text: str) -> frozenset[str]:
    return frozenset(terms(text)) | numbers_in(text)


class CitationBook:
    """Gives out markers: one for each quote, from 1, in the order of first use."""

    def __init__(self, evidence: Sequence[Evidence]) -> None:
        self._evidence = {e.id: e for e in evidence}
        self._held: dict[tuple[str, Span], Citation] = {}

    def cite(self, evidence: str, span: Span, verdict: str) -> int:
        """The marker of a quote. Used twice, it keeps the worse verdict, which is the one to warn of.

        Raises KeyError if this evidence was not given, ValueError if the span is not inside it.
        """
        unit = self._evidence[evidence]
        quote = quote_of(unit, span)
        if not quote:
            raise ValueError(f"span {span} is not inside the unit {evidence}")
        held = self._held.get((evidence, span))
        if held is None:
            held = Citation(
                marker=len(self._held) + 1,
                evidence=evidence,
                document=unit.document,
                locator=replace(unit.locator, chars=span),
                quote=quote,
                verdict=verdict,
            )
        elif _RANK[verdict] < _RANK[held.verdict]:
            held = replace(held, verdict=verdict)
        self._held[evidence, span] = held
        return held.marker

    def citations(self) -> tuple[Citation, ...]:
        """All citations given out, by marker."""
        return tuple(sorted(self._held.values(), key=lambda c: c.marker))


def check(text: str, evidence: Sequence[Evidence]) -> tuple[tuple[AnswerSentence, ...], tuple[Citation, ...]]:
    """The sentences of a model's answer and its citations, each verified against the evidence that was sent.

    Marker n means evidence[n - 1]; a marker of anything else is dropped. Each sentence is compared with its quotes together,
    since a sentence may join two sources: where they support it, so does each quote that holds a claim word of its own.
    A sentence without a quote that supports it, at least in part, has supported=False.
    """
    book = CitationBook(evidence)
    sentences = []
    for sentence, numbers in cited_sentences(text):
        claim = claim_of(sentence)
        quotes = [(evidence[n - 1], best_quote(claim, evidence[n - 1])) for n in numbers if 1 <= n <= len(evidence)]
        held = [(unit, found) for unit, found in quotes if found is not None]
        joint = _together(claim, [found for _, found in held])
        markers = []
        for i, (unit, found) in enumerate(held):
            others = frozenset[str]().union(*(f.found for j, (_, f) in enumerate(held) if j != i))
            verdict = found.verdict
            if joint == "supported" and found.found - others:
                verdict = "supported"
            markers.append(book.cite(unit.id, found.span, verdict))
        sentences.append(
            AnswerSentence(
                text=sentence, citations=tuple(dict.fromkeys(markers)), supported=joint in ("supported", "partial")
            )
        )
    return tuple(sentences), book.citations()


def _together(claim: Claim, quotes: Sequence[Support]) -> str:
    if not quotes or not claim.words:
        return "unsupported"
    found = frozenset[str]().union(*(q.found for q in quotes))
    return _verdict(len(found) / len(claim.words), claim.strict - found)


NOT_FOUND = "not found in the base"
"""The text of an answer that the evidence does not hold."""


def render(sentences: Sequence[AnswerSentence], *, lead: str = "") -> str:
    """The text of an answer: its sentences, each followed by its markers; one without support says so."""
    parts = [lead] if lead else []
    for s in sentences:
        marks = "".join(f"[{n}]" for n in s.citations)
        warning = "" if s.supported else "(unsupported)"
        parts.append(" ".join(filter(None, (" ".join(s.text.split()), marks, warning))))
    return " ".join(parts)
