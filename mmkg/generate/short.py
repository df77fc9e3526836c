"""Short answers by rule: what in a sentence has the kind that a question asks for, and which of these it is."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from mmkg.algorithms.names import canon, capitalised_runs, fold, tokenize
from mmkg.algorithms.words import FORMS_OF_ADDRESS, STOP, is_common
from mmkg.generate.question import Kind, Question
from mmkg.generate.stems import stems
from mmkg.types import NameSpan, Span

_MONTH = (
    r"(?:January|February|March|April|May|June|July|August|September|October|November|December"
    r"|Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec)\.?"
)
_YEAR = r"(?:1\d{3}|20\d{2})"
_DATE = re.compile(
    rf"\b(?:\d{{1,2}}(?:st|nd|rd|th)?\s+{_MONTH},?\s+{_YEAR}|{_MONTH}\s+\d{{1,2}}(?:st|nd|rd|th)?,?\s+{_YEAR}"
    rf"|{_MONTH}\s+{_YEAR}|{_YEAR}s?|\d{{1,2}}\s+{_MONTH}|{_MONTH}\s+\d{{1,2}})\b(?![,.]\d)"
)
_ONES = "one two three four five six seven eight nine"
_WORD_NUMBER = (
    rf"(?:{'|'.join(_ONES.split())}|ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen|seventeen|eighteen|nineteen"
    r"|(?:twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety)(?:[- ](?:one|two|three|four|five|six|seven|eight|nine))?"
    r"|hundred|thousand|million|billion|dozen)"
)
_NUMBER = re.compile(
    rf"(?<![\w.,-])(?:(?:about|around|over|nearly|almost|approximately|some)\s+)?(?:[$£€]\s?)?"
    rf"(?:\d+(?:,\d{{3}})*(?:\.\d+)?|{_WORD_NUMBER}(?:(?:\s+and\s+|\s+|-){_WORD_NUMBER})*)"
    r"(?:\s+(?:hundred|thousand|million|billion|trillion|dozen))?\s?(?:%|°[CF]?)?(?!\w)",
    re.IGNORECASE,
)
_UNIT = re.compile(
    r"[\s-]?((?:square |cubic )?(?:met(?:re|er)s?|feet|foot|ft|inches|inch|miles?|kilomet(?:re|er)s?|km|cm|mm|m|kg|kilograms?|tons?"
    r"|tonnes?|pounds?|lbs?|years?|months?|weeks?|days?|hours?|minutes?|seconds?|acres?|hectares?|percent|per cent|dollars?|crowns?"
    r"|people|inhabitants|residents|seats|km²|m²|mph|knots?|degrees|litres?|liters?))\b"
)
_RATE = re.compile(r"\s+(?:every|per|each|a)\s+(?:\d+(?:\.\d+)?\s+)?[a-z]+")
_NEXT_WORD = re.compile(r"\s+([^\W\d_][\w'’-]*)")
_ORDINAL = re.compile(
    r"\b(?:first|second|third|fourth|fifth|sixth|seventh|eighth|ninth|tenth|\d+(?:st|nd|rd|th)|ground|top)\b",
    re.IGNORECASE,
)
_PLACE_BEFORE = re.compile(r"\b(?:in|at|on|near|from|to|off|of|outside|around)\s+(?:the\s+)?$", re.IGNORECASE)
_BY_BEFORE = re.compile(r"\b(?:by|captain|capt\.?|dr\.?|mr\.?|mrs\.?|sir|president)\s+$", re.IGNORECASE)
_LABELS = {
    Kind.PERSON: {"PERSON": 1.0, "ORG": 0.3, "WORK_OF_ART": 0.2, "GPE": 0.1, "": 0.5},
    Kind.PLACE: {"GPE": 1.0, "LOC": 1.0, "FAC": 1.0, "ORG": 0.5, "": 0.5, "PERSON": 0.2},
    Kind.GROUP: {"ORG": 1.0, "": 0.6, "PRODUCT": 0.4, "WORK_OF_ART": 0.3, "PERSON": 0.3, "NORP": 0.4, "GPE": 0.3},
    Kind.WORK: {"WORK_OF_ART": 1.0, "PRODUCT": 0.8, "": 0.8, "ORG": 0.5, "PERSON": 0.4},
    Kind.NAME: {"": 0.8, "PERSON": 0.7, "ORG": 0.7, "WORK_OF_ART": 0.7, "GPE": 0.7, "NORP": 0.7, "EVENT": 0.7},
}


@dataclass(frozen=True, slots=True)
class Candidate:
    """A phrase of a sentence that may be the answer. span: in the sentence. fit: 0..1, how well its kind fits."""

    span: Span
    text: str
    fit: float


def candidates(question: Question, sentence: str, names: Sequence[NameSpan] = ()) -> list[Candidate]:
    """What in a sentence has the kind asked for, in order; nothing that the question itself says.

    names: labelled spans of the sentence; without them capitalised runs, whose kind is unknown, are used.
    """
    if question.kind is Kind.DATE:
        found = _dates(question, sentence)
    elif question.kind is Kind.NUMBER:
        found = _numbers(question, sentence)
    elif question.kind in _LABELS:
        found = [*_with_noun(question, sentence), *_named(question, sentence, names)]
    else:
        found = []
    return [c for c in found if not _asked(question, c.text)]


def _asked(question: Question, text: str) -> bool:
    name = canon(text)
    return not name or f" {name} " in question.text


def _named(question: Question, sentence: str, names: Sequence[NameSpan]) -> list[Candidate]:
    spans = {(n.start, n.end): n.label for n in names if n.label != "DATE" and n.source != "year"}
    for run in capitalised_runs(sentence):
        spans.setdefault((run.start, run.end), "")
    table = _LABELS[question.kind]
    found: list[Candidate] = []
    # A labelled name inside a longer run without a label ("Captain Idris Vantongren") is the better phrase for a person.
    for (start, end), label in sorted(spans.items()):
        fit = table.get(label, 0.1)
        start = _without_address(sentence, start, end)
        text = sentence[start:end]
        if end <= start or (" " not in text and is_common(fold(text))):
            continue
        before = sentence[max(0, start - 24) : start]
        if question.kind is Kind.PLACE:
            fit = min(1.0, fit + 0.4) if _PLACE_BEFORE.search(before) else 0.7 * fit
        if question.kind is Kind.PERSON and (" " in text) and _BY_BEFORE.search(before):
            fit = min(1.0, fit + 0.4)
        if question.kind is Kind.PERSON and " " not in text:
            fit *= 0.6
        found.append(Candidate((start, end), text, fit))
    return _outermost(found)


def _without_address(sentence: str, start: int, end: int) -> int:
    tokens = tokenize(sentence[start:end])
    if len(tokens) > 1 and tokens[0].folded in FORMS_OF_ADDRESS:
        return start + tokens[1].start
    return start


def _outermost(found: Sequence[Candidate]) -> list[Candidate]:
    """Of phrases that lie inside one another, the better fit, then the longer."""
    out: list[Candidate] = []
    for c in sorted(found, key=lambda c: (-c.fit, c.span[0] - c.span[1], c.span)):
        if all(c.span[1] <= o.span[0] or o.span[1] <= c.span[0] for o in out):
            out.append(c)
    return sorted(out, key=lambda c: c.span)


def _with_noun(question: Question, sentence: str) -> list[Candidate]:
    """ "Third floor" for "which floor": an ordinal before the noun."""
    if not question.noun:
        return []
    found = []
    for match in _ORDINAL.finditer(sentence):
        following = re.match(r"\s+([\w'-]+)", sentence[match.end() : match.end() + 30])
        if following and stems(following.group(1)) == [question.noun]:
            end = match.end() + following.end()
            found.append(Candidate((match.start(), end), sentence[match.start() : end], 1.0))
    return found


def _dates(question: Question, sentence: str) -> list[Candidate]:
    if question.noun == "year":
        return [Candidate(m.span(), m.group(), 1.0) for m in re.finditer(rf"\b{_YEAR}\b", sentence)]
    if question.noun == "month":
        return [Candidate(m.span(), m.group(), 1.0) for m in re.finditer(rf"\b{_MONTH}", sentence)]
    # A day is as good as a year where it has one; a day without a year says little.
    return [
        Candidate(m.span(), m.group(), 1.0 if re.search(_YEAR, m.group()) else 0.5) for m in _DATE.finditer(sentence)
    ]


def _numbers(question: Question, sentence: str) -> list[Candidate]:
    """Numbers with what they count, and how often: "two flashes every 12 seconds"; those of a calendar date are left out."""
    dates = [m.span() for m in _DATE.finditer(sentence) if re.search(_MONTH, m.group())]
    found = []
    for match in _NUMBER.finditer(sentence):
        start, end = match.span()
        if any(a < end and start < b for a, b in dates):
            continue
        fit = 0.3 if re.fullmatch(_YEAR, match.group().strip()) else 0.6
        unit = _UNIT.match(sentence, end)
        if not question.noun:
            fit, end = (fit, end) if unit is None else (0.9, unit.end())
        elif counted := _counted(question.noun, sentence, end):
            rate = _RATE.match(sentence, counted)
            fit, end = 1.0, counted if rate is None else rate.end()
        elif unit is None:
            fit *= 0.4
        text = sentence[start:end]
        found.append(Candidate((start, start + len(text.rstrip())), text.rstrip(), fit))
    return found


def _counted(noun: str, sentence: str, at: int) -> int:
    """Where a noun ends that a number before `at` counts, with up to two words between ("24 new treads"); else 0."""
    for _ in range(3):
        word = _NEXT_WORD.match(sentence, at)
        if word is None or fold(word.group(1)) in STOP:
            return 0
        at = word.end()
        if noun in stems(word.group(1)):
            return at
    return 0
