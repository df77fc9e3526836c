"""Which phrase is the answer, and whether the evidence bears on the question: small logistic models of a few features each.

The weights are fixed on training sets by scripts/tune_answers.py and lie in answer_weights.json beside this file.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence, Set
from functools import cache
from importlib import resources
from typing import Any

from mmkg.algorithms.names import canon, tokenize
from mmkg.generate.chain import Chain
from mmkg.generate.pool import Pool, Sentence
from mmkg.generate.question import Kind, Question, noun_kinds
from mmkg.generate.short import Candidate
from mmkg.generate.stems import stems

PHRASE = (
    "fit", "noun", "noun_before", "is_a", "other_noun", "focus", "focus_beside", "close", "beside_alone", "named", "unnamed",
    "covered", "born", "died", "made_by", "question_word", "one_word", "behind", "last",
)  # fmt: skip
"""Features of a phrase, see `phrase_features`."""
SHORT = ("phrase", "margin", "share", "rivals", "covered", "early", "uncovered_name", "first")
"""Features of the best phrase among its rivals, see `short_features`."""
SUPPORT = ("covered", "early", "uncovered_name", "missing_name", "cosine", "phrase", "has_phrase", "length", "typed")
"""Features of an answer as a whole, see `support_features`."""

_WINDOW = 6
_BORN = re.compile(r"\bborn\b|\bbirth", re.IGNORECASE)
_DIED = re.compile(r"\bdie[ds]?\b|\bdeath\b|\bdead\b", re.IGNORECASE)
_BY = re.compile(r"\bby\s+(?:the\s+)?(?:[a-z]+\s+){0,2}$", re.IGNORECASE)
_MAKING = (
    "write paint draw photograph take make build design compose direct produce invent found create publish carve engrave "
    "record sing sculpt edit illustrate translate discover develop"
)


@cache
def _making() -> frozenset[str]:
    return frozenset(stems(_MAKING))


def phrase_features(
    question: Question,
    pool: Pool,
    chains: Sequence[Chain],
    chain: Chain,
    place: int,
    candidate: Candidate,
) -> dict[str, float]:
    """What speaks for, or against, a phrase in sentence `place` of a chain, each about -1..1.

    fit: of its kind. noun: it holds the noun asked for ("county"); noun_before: that stands before it ("captain"); other_noun: it
    holds another such noun; is_a: a document of that name says that it is one. focus: what is asked of the answer itself, in its
    sentence; focus_beside: within six words of it; close: how near. beside_alone: question words within six words, where the
    sentence answers alone. named: share of the question's names that the chain holds; unnamed: none; covered: of its words. born,
    died: a date that stands where such dates do. made_by: it follows "by" where a maker is asked for, which also counts as
    focus. question_word: share of its words that the question holds. one_word. behind: how far its chain is behind the best.
    last: the chain ends with its sentence.
    """
    sentence = pool.sentences[chain.sentences[place]]
    name = canon(candidate.text)
    start, end = candidate.span
    before, after = sentence.text[:start], sentence.text[end:]
    close = set(stems(" ".join(before.split()[-_WINDOW:]))) | set(stems(" ".join(after.split()[:_WINDOW])))
    asked = set(question.focus)
    words = set(stems(candidate.text))
    nouns = noun_kinds(t.folded for t in tokenize(candidate.text))
    weights = dict(zip(question.words, question.weights, strict=True))
    total = sum(question.weights) or 1.0
    # "By" says of a maker what any verb of making asks.
    made_by = question.kind is Kind.PERSON and bool(_making() & asked) and _BY.search(before[-40:]) is not None
    return {
        "fit": candidate.fit,
        "noun": float(bool(question.noun) and question.noun in words),
        "noun_before": float(bool(question.noun) and question.noun in stems(" ".join(before.split()[-2:]))),
        "is_a": float(bool(question.noun) and question.noun in _said_of(pool, name)),
        "behind": min(1.0, chains[0].score - chain.score),
        "last": float(place == len(chain.sentences) - 1),
        "close": 1.0 if made_by else _closeness(before, after, asked),
        "beside_alone": sum(weights.get(w, 0.0) for w in close) / total if len(chain.sentences) == 1 else 0.0,
        "named": _share_named(question, [pool.sentences[i] for i in chain.sentences]),
        "born": _dated(question, _BORN, before, first=True),
        "died": _dated(question, _DIED, before, first=False),
        "made_by": float(made_by),
        "question_word": len(words & set(question.words)) / max(1, len(words)),
        "focus": 1.0 if made_by else len(asked & set(stems(sentence.text))) / max(1, len(asked)),
        "focus_beside": float(made_by or bool(close & asked)),
        "unnamed": float(not any(pool.sentences[i].has(n) for i in chain.sentences for n in question.names or ("",))),
        "covered": pool.covered(chain.cover),
        "one_word": float(" " not in candidate.text),
        "other_noun": float(bool(question.noun) and question.noun not in words and bool(nouns)),
    }


def _said_of(pool: Pool, name: str) -> set[str]:
    """Index terms of the first sentences of a document whose title is this name."""
    found: set[str] = set()
    for s in pool.sentences:
        if s.place <= 1 and s.title_words.startswith(f" {name} "):
            found.update(stems(s.text[:200]))
    return found


def _dated(question: Question, cue: re.Pattern[str], before: str, *, first: bool) -> float:
    """1 if the date stands where a birth (first) or death does, -1 if where the other does; 0 if that was not asked."""
    if question.kind is not Kind.DATE or not cue.search(question.text):
        return 0.0
    span = re.search(r"\(([^()]*)$", before)
    if span is None:
        verb = _BORN if first else _DIED
        return 1.0 if verb.search(before[-40:]) else -0.5
    dashed = re.search(r"[–—-]\s*(?:[A-Z]?[\w.]*\s*)?$", before) is not None or " – " in span.group(1)
    if first:
        return -1.0 if dashed else 1.0
    return 1.0 if dashed else -1.0


def _share_named(question: Question, sentences: Sequence[Sentence]) -> float:
    """Share 0..1 of the question's names that the sentences or their titles hold."""
    if not question.names:
        return 1.0
    return sum(any(s.has(name) for s in sentences) for name in question.names) / len(question.names)


def _closeness(before: str, after: str, asked: Set[str]) -> float:
    """1 for a word of `asked` right beside, less the farther it is, 0 if there is none."""
    ways = [
        next((n for n, word in enumerate(words) if asked & set(stems(word))), None)
        for words in (before.split()[::-1], after.split())
    ]
    return max((1.0 / (1 + n) for n in ways if n is not None), default=0.0)


def short_features(
    question: Question, pool: Pool, chain: Chain, *, likely: Mapping[str, float], best: str, first: bool
) -> dict[str, float]:
    """How sure the best phrase is, given all others: what a reader feels who sees five dates in the text.

    likely: probability of each distinct phrase by the phrase model. best: the likeliest. margin: its lead over the next. share:
    of the sum. rivals: how many, 20 or more are 1. covered, early, uncovered_name: as in `support_features`. first: its chain is
    the best one.
    """
    ranked = sorted(likely.values(), reverse=True)
    total = sum(question.weights) or 1.0
    return {
        "phrase": likely[best],
        "margin": ranked[0] - ranked[1] if len(ranked) > 1 else ranked[0],
        "share": likely[best] / (sum(ranked) or 1.0),
        "rivals": min(1.0, (len(ranked) - 1) / 20),
        "covered": pool.covered(chain.cover),
        "early": sum(w * c for w, c in zip(question.weights, chain.cover, strict=True)) / total,
        "uncovered_name": 1.0 - _share_named(question, [pool.sentences[i] for i in chain.sentences]),
        "first": float(first),
    }


def support_features(
    question: Question,
    pool: Pool,
    chain: Chain,
    *,
    cosines: Sequence[float] | None,
    phrase: float | None,
    typed: bool,
) -> dict[str, float]:
    """What speaks for a chain as an answer at all.

    covered, early: question words that the chain holds, weighted by rarity and by place. uncovered_name: share of the question's
    names that the chain lacks; missing_name: that no evidence holds. cosine: the best of the chain's sentences. phrase: the
    probability of the short answer. length: further sentences. typed: some sentence has what was asked for.
    """
    total = sum(question.weights) or 1.0
    everywhere = [any(s.has(name) for s in pool.sentences) for name in question.names]
    return {
        "covered": pool.covered(chain.cover),
        "early": sum(w * c for w, c in zip(question.weights, chain.cover, strict=True)) / total,
        "uncovered_name": 1.0 - _share_named(question, [pool.sentences[i] for i in chain.sentences]),
        "missing_name": everywhere.count(False) / len(everywhere) if everywhere else 0.0,
        "cosine": max((cosines[i] for i in chain.sentences), default=0.0) if cosines is not None else 0.0,
        "phrase": phrase or 0.0,
        "has_phrase": float(phrase is not None),
        "length": len(chain.sentences) - 1.0,
        "typed": float(typed),
    }


def probability(model: str, features: Mapping[str, float]) -> float:
    """0..1 by the logistic model of that name: phrase, short, support, or support_lexical (where no sentence was encoded)."""
    weights: Mapping[str, float] = _read()["models"][model]
    z = weights["bias"] + sum(weights.get(name, 0.0) * value for name, value in features.items())
    return 1.0 / (1.0 + math.exp(-max(-30.0, min(30.0, z))))


def threshold(model: str) -> float:
    """Probability of a model below which it says no."""
    return float(_read()["thresholds"][model])


@cache
def _read() -> dict[str, Any]:
    text = resources.files("mmkg.generate").joinpath("answer_weights.json").read_text(encoding="utf-8")
    held: dict[str, Any] = json.loads(text)
    return held
