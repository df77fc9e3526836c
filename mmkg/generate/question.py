"""What a question asks for: the kind of its answer, the noun that names it, and which of its words weigh most."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from mmkg.algorithms.names import Token, canon, capitalised_runs, tokenize, years
from mmkg.algorithms.words import STOP
from mmkg.generate.stems import stems
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
_FIRST_WORDS = 3
_FOCUS = 3
_RELATIVE = _set("that who which whose where when whom")
_ENDING = _set("of that who which in at by for where when with from on to and or as")


@dataclass(frozen=True, slots=True)
class Question:
    """A question as the answering rules see it.

    kind: of the answer. noun: stemmed noun after which, what or how many ("captain", "flash"), or "". words: index terms
    without those that only ask, in order, each once. weights: their weight, highest next to the question word. names: canonical
    forms of the names in the question. text: its folded words, one space around each. focus: the first words after the question
    word that belong to no name, as index terms: what is asked of the answer itself. hops: clauses that describe something
    instead of naming it ("the boat that ...").
    """

    kind: Kind
    noun: str
    words: tuple[str, ...]
    weights: tuple[float, ...]
    names: tuple[str, ...]
    text: str
    focus: tuple[str, ...]
    hops: int


def read_question(question: str, names: Sequence[NameSpan] = ()) -> Question:
    """Take a question apart. names: spans from an extractor; without them capitalised runs and years are used."""
    tokens = tokenize(question)
    at, kind, noun = _asked(question, tokens)
    held = list(names) or [*capitalised_runs(question), *years(question)]
    forms = {canon(question[s.start : s.end]): None for s in held if s.start > 0 or " " in question[s.start : s.end]}
    words: dict[str, float] = {}
    for i, token in enumerate(tokens):
        for word in stems(question[token.start : token.end]):
            # What stands next to the question word is what the answer's own sentence must say.
            words.setdefault(word, 1.0 / (1.0 + 0.15 * max(0, i - at)))
    return Question(
        kind=kind,
        noun=noun,
        words=tuple(words),
        weights=tuple(words.values()),
        names=tuple(form for form in forms if form and form not in STOP),
        text=padded(tokens),
        focus=tuple(dict.fromkeys(_focus(question, tokens, at, noun, held))),
        hops=sum(t.folded in _RELATIVE for i, t in enumerate(tokens) if i > at),
    )


def _focus(question: str, tokens: Sequence[Token], at: int, noun: str, names: Sequence[NameSpan]) -> list[str]:
    free = [
        (i, w)
        for i, t in enumerate(tokens)
        if i != at and not any(n.start < t.end and t.start < n.end for n in names)
        for w in stems(question[t.start : t.end])
        if w != noun
    ]
    if at >= len(tokens) - 3:  # A question word at the end is asked of what stands before it.
        return [w for i, w in free if i < at][-_FOCUS:]
    following = tokens[at + 1].folded if at + 1 < len(tokens) else ""
    last = len(tokens) - 1
    if tokens[at].folded in ("where", "when") and following in _BE and any(i == last for i, _ in free):
        # "Where does the cable laid by ... come ashore?": the verb comes last.
        return [w for i, w in free if i > at][-2:]
    ends = [i for i, t in enumerate(tokens) if i > at and (t.folded in _RELATIVE or t.folded in ("of", "by"))]
    end = next((e for e in ends if any(at < i < e for i, _ in free)), len(tokens))
    return [w for i, w in free if at < i < end][:_FOCUS]


def padded(tokens: Sequence[Token]) -> str:
    """Folded words with a space around each, so that `" name " in text` finds whole words only."""
    return f" {' '.join(t.folded for t in tokens)} "


def _asked(question: str, tokens: Sequence[Token]) -> tuple[int, Kind, str]:
    """Place of the question word, the kind it asks for, and the noun that goes with it."""
    folded = [t.folded for t in tokens]
    places = [i for i, w in enumerate(folded) if w in _ASKING]
    at_end = [i for i in places if i >= len(folded) - 3]
    if folded[:1] and folded[0] in _YES_NO and not at_end:
        return 0, Kind.CHOICE if " or " in question else Kind.OPEN, ""
    if not places:
        return 0, Kind.OPEN, ""
    # "..., the film was directed by whom?" asks at its end; "Where was the man who ... born?" at its start.
    at = at_end[0] if at_end and places[0] >= _FIRST_WORDS else places[0]
    word, rest = folded[at], folded[at + 1 :]
    if _CHOICE.match(question):
        return at, Kind.CHOICE, ""
    if word in ("who", "whom", "whose"):
        return at, Kind.PERSON, ""
    if word == "where":
        return at, Kind.PLACE, ""
    if word == "when":
        return at, Kind.DATE, ""
    if word == "how" and rest[:1] and rest[0] in _MEASURE:
        noun = next(iter(stems(rest[1])), "") if rest[0] in ("many", "much") and len(rest) > 1 else ""
        return at, Kind.NUMBER, noun
    if word in ("what", "which"):
        kind, noun = _by_noun(rest)
        # "What is the population": the noun is not what is counted, as it is in "how many people".
        return at, kind, "" if kind is Kind.NUMBER else noun
    return at, Kind.OPEN, ""


_ASKING = _set("who whom whose where when how what which why")


def noun_kinds(words: Iterable[str]) -> set[Kind]:
    """The kinds of the nouns among some folded words.

    >>> sorted(noun_kinds(["dakota", "city"]))
    [<Kind.PLACE: 'place'>]
    """
    return {_KIND_OF[_singular(w)] for w in words if _singular(w) in _KIND_OF}


def _by_noun(rest: Sequence[str]) -> tuple[Kind, str]:
    """The kind and the noun of what follows which or what.

    "captain commanded ...", "New York county is ...", "is the highest level at ...": the first noun whose kind is known, or
    the last of several that stand together ("film company"). A noun of no known kind asks for a name of any kind.
    """
    copula = bool(rest) and rest[0] in _BE
    words: list[str] = []
    for word in rest[:8]:
        if word in _BE and copula and len(words) < 1:
            continue
        if word in _BE or word in _ENDING:
            break
        words.append(word)
    known = [i for i, w in enumerate(words) if _singular(w) in _KIND_OF]
    if known:
        at = known[0]
        while at + 1 in known:
            at += 1
        noun = _singular(words[at])
        return _KIND_OF[noun], next(iter(stems(noun)), "")
    if copula or not words:
        return Kind.OPEN, ""
    return Kind.NAME, next(iter(stems(words[0])), "")


def _singular(word: str) -> str:
    if word.endswith("ies"):
        return word[:-3] + "y"
    return word[:-1] if word.endswith("s") and word[:-1] in _KIND_OF else word
