"""What a question asks for: the kind of its answer, the noun that names it, and which of its words weigh most."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from mmkg.algorithms.names import Token, canon, capitalised_runs, tokenize, years
from mmkg.algorithms.terms import terms
from mmkg.algorithms.words import STOP
from mmkg.types import NameSpan


class Kind(StrEnum):
    """What an answer is. NAME: a name of any kind. OPEN: a phrase that no rule can point at. CHOICE: one of those named."""

    PERSON = "person"
    PLACE = "place"
    GROUP = "group"
    WORK = "work"
    DATE = "date"
    NUMBER = "number"
    NAME = "name"
    CHOICE = "choice"
    OPEN = "open"


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_NOUNS = {
    Kind.PERSON: _set(
        "person man woman captain keeper director author writer king queen president actor actress singer player engineer "
        "architect artist painter poet composer producer politician explorer scientist inventor founder emperor general "
        "commander astronaut father mother son daughter brother sister husband wife spouse child musician photographer "
        "screenwriter novelist prince princess pope senator governor mayor minister leader owner coach manager teacher "
        "philosopher rapper drummer guitarist bassist comedian journalist professor surveyor editor performer creator "
        "designer spokesperson host chairman ceo"
    ),
    Kind.PLACE: _set(
        "place city town village country state county river lake mountain island region district province continent "
        "borough location municipality area capital nation street harbour port sea ocean valley neighborhood suburb "
        "birthplace headquarters territory bay beach airport hometown"
    ),
    Kind.GROUP: _set(
        "company organization organisation university school college band team label party agency network club group "
        "league church conference studio firm institution government army airline manufacturer publisher distributor "
        "commission department museum hospital station channel tribe dynasty franchise corporation"
    ),
    Kind.WORK: _set(
        "film movie song album book novel magazine show series game play opera poem newspaper painting sculpture episode "
        "single ship boat vessel aircraft spacecraft programme program musical comic sitcom picture award medal"
    ),
    Kind.DATE: _set("year date day month century decade season time"),
    Kind.NUMBER: _set(
        "number population height length width depth level age cost price distance percentage percent size weight speed "
        "total amount temperature area rate score elevation capacity salary budget fare"
    ),
}
_KIND_OF = {word: kind for kind, words in _NOUNS.items() for word in words}
_BE = _set("is are was were be been does do did has have had can could will would the a an")
_MEASURE = _set("long tall high deep wide far old big large heavy fast much many often")
_CHOICE = re.compile(r"^\s*(?:who|which|what|whose)\b.*,.*\bor\b", re.IGNORECASE | re.DOTALL)
_YES_NO = _set("is are was were do does did has have had can could will would should")
_LAST_WORDS = 8


@dataclass(frozen=True, slots=True)
class Question:
    """A question as the answering rules see it.

    kind: of the answer. noun: stemmed noun after which, what or how many ("captain", "flash"), or "". words: index terms
    without those that only ask, in order, each once. weights: their weight, highest next to the question word. names: canonical
    forms of the names in the question. text: its folded words, one space around each.
    """

    kind: Kind
    noun: str
    words: tuple[str, ...]
    weights: tuple[float, ...]
    names: tuple[str, ...]
    text: str


def read_question(question: str, names: Sequence[NameSpan] = ()) -> Question:
    """Take a question apart. names: spans from an extractor; without them capitalised runs and years are used."""
    tokens = tokenize(question)
    at, kind, noun = _asked(question, tokens)
    held = list(names) or [*capitalised_runs(question), *years(question)]
    forms = {canon(question[s.start : s.end]): None for s in held if s.start > 0 or " " in question[s.start : s.end]}
    words: dict[str, float] = {}
    for i, token in enumerate(tokens):
        for word in terms(question[token.start : token.end]):
            # What stands next to the question word is what the answer's own sentence must say.
            words.setdefault(word, 1.0 / (1.0 + 0.15 * max(0, i - at)))
    return Question(
        kind=kind,
        noun=noun,
        words=tuple(words),
        weights=tuple(words.values()),
        names=tuple(form for form in forms if form and form not in STOP),
        text=padded(tokens),
    )


def padded(tokens: Sequence[Token]) -> str:
    """Folded words with a space around each, so that `" name " in text` finds whole words only."""
    return f" {' '.join(t.folded for t in tokens)} "


def _asked(question: str, tokens: Sequence[Token]) -> tuple[int, Kind, str]:
    """Place of the question word, the kind it asks for, and the noun that goes with it."""
    folded = [t.folded for t in tokens]
    places = [i for i, w in enumerate(folded) if w in _ASKING]
    if not places:
        return (0, Kind.CHOICE if " or " in question and folded[:1] and folded[0] in _YES_NO else Kind.OPEN, "")
    # "..., the film was directed by whom?" asks at its end; "Where was the man who ... born?" at its start.
    at = places[0] if places[0] < _LAST_WORDS or len(places) == 1 else places[-1]
    if folded[0] in _YES_NO:
        return 0, Kind.OPEN, ""
    word = folded[at]
    if _CHOICE.match(question):
        return at, Kind.CHOICE, ""
    if word in ("who", "whom", "whose"):
        return at, Kind.PERSON, ""
    if word == "where":
        return at, Kind.PLACE, ""
    if word == "when":
        return at, Kind.DATE, ""
    rest = folded[at + 1 :]
    if word == "how":
        if rest[:1] and rest[0] in _MEASURE:
            noun = next(iter(terms(rest[1])), "") if rest[0] in ("many", "much") and len(rest) > 1 else ""
            return at, Kind.NUMBER, noun
        return at, Kind.OPEN, ""
    if word not in ("what", "which"):
        return at, Kind.OPEN, ""
    return at, *_by_noun(rest)


_ASKING = _set("who whom whose where when how what which why")


def _by_noun(rest: Sequence[str]) -> tuple[Kind, str]:
    """ "captain commanded ...", "is the highest level at ..." -> the kind and the noun."""
    copula = bool(rest) and rest[0] in _BE
    words = [w for w in rest[:8] if w not in _BE] if copula else list(rest[:4])
    for i, word in enumerate(words):
        if word in ("of", "that", "who", "which", "in", "at", "by", "for", "where", "when", "with", "from"):
            break
        singular = word[:-1] if word.endswith("s") and word[:-1] in _KIND_OF else word
        singular = word[:-3] + "y" if word.endswith("ies") else singular
        if singular in _KIND_OF:
            return _KIND_OF[singular], next(iter(terms(singular)), "")
        if not copula and i == 0:
            return Kind.NAME, next(iter(terms(word)), "")
    return (Kind.OPEN if copula else Kind.NAME), (next(iter(terms(words[0])), "") if words else "")
