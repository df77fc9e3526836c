"""The sentences that an answer may be made of, and what each has to do with the question."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from mmkg.algorithms.names import canon, capitalised_runs, tokenize
from mmkg.generate.question import Question, padded
from mmkg.generate.sentences import quote_of, sentence_spans
from mmkg.generate.stems import stems
from mmkg.types import Evidence, Span

TITLE_SHARE = 0.5
"""What a question word counts that is only in the title above a sentence."""


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence of the evidence.

    unit: index of its evidence. place: its number in the unit. text: the words at `span`. title: what stands above it.
    cover: share in 0..1 of each question word that it holds (1 itself, TITLE_SHARE by its title). text_words, title_words:
    folded words with spaces around. names: canonical forms of the names in it and its title.
    """

    unit: int
    place: int
    span: Span
    text: str
    title: str
    cover: tuple[float, ...]
    text_words: str
    title_words: str
    names: frozenset[str]

    def has(self, name: str) -> bool:
        """Whether a canonical name stands in the sentence or its title."""
        return f" {name} " in self.text_words or f" {name} " in self.title_words


@dataclass(frozen=True, slots=True)
class Pool:
    """All sentences of the evidence, and the weight in 0..1 of each question word (they sum to 1)."""

    sentences: tuple[Sentence, ...]
    weights: tuple[float, ...]

    def covered(self, cover: Sequence[float]) -> float:
        """Weighted share in 0..1 of the question."""
        return sum(w * c for w, c in zip(self.weights, cover, strict=True))


def read_pool(question: Question, evidence: Sequence[Evidence]) -> Pool:
    """Sentences of the evidence in order; equal sentences under equal titles once."""
    found: list[Sentence] = []
    seen: set[tuple[str, str]] = set()
    held: Counter[str] = Counter()
    for i, unit in enumerate(evidence):
        title = title_of(unit)
        above, title_words = set(stems(title)), padded(tokenize(title))
        title_names = {form for form in (canon(unit.document.name), canon(unit.heading)) if form}
        inside = above
        for place, span in enumerate(sentence_spans(unit)):
            text = quote_of(unit, span)
            own = set(stems(text))
            # A heading that stands in its own text says nothing of its own.
            if not own or (title, text) in seen or canon(text) in title_names:
                continue
            seen.add((title, text))
            inside = inside | own
            names = {canon(text[s.start : s.end]) for s in capitalised_runs(text)} | title_names
            cover = tuple(1.0 if w in own else TITLE_SHARE if w in above else 0.0 for w in question.words)
            found.append(
                Sentence(
                    i, place, span, text, title, cover, padded(tokenize(text)), title_words, frozenset(names) - {""}
                )
            )
        held.update(inside & set(question.words))
    # A word that most of the evidence holds tells the sentences apart least; one that none holds still counts as asked.
    raw = [math.log(1 + (len(evidence) + 1) / (held[w] + 0.5)) for w in question.words]
    total = sum(raw) or 1.0
    return Pool(tuple(found), tuple(r / total for r in raw))


def title_of(unit: Evidence) -> str:
    """What stands above a unit: the title of its document and its heading."""
    if unit.heading and unit.heading != unit.document.name:
        return f"{unit.document.name} - {unit.heading}"
    return unit.document.name
