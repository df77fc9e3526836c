"""What a question names: the entities of the base that its words are linked to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mmkg.algorithms.names import Token, canon, forms_at, match_titles, name_starts, tokenize
from mmkg.algorithms.words import STOP
from mmkg.protocols import Extractor, IndexView
from mmkg.types import Modality

VISUAL_WORDS = frozenset(
    """
    cartoon cartoons chart charts diagram diagrams drawing drawings illustration illustrations image images logo logos map maps
    painting paintings photo photograph photographs photos picture pictured pictures portrait portraits poster posters
    screenshot screenshots sketch sketches
    """.split()  # noqa: SIM905
)
"""Words by which a question asks for something to look at; not those with a common other sense ("plot", "figure")."""

_MEDIA = {word: Modality.IMAGE for word in VISUAL_WORDS} | {
    word: media
    for media, words in {
        Modality.VIDEO: "clip clips film films footage video videos",
        Modality.AUDIO: "audio recording recordings",
    }.items()
    for word in words.split()
}
_HEAD = 8
"""What is asked for is named among so many words, or is the last one."""
_BEGGING = frozenset("any find give have see show some there".split())  # noqa: SIM905
_ASKING = frozenset("did does how was were what when which who whom whose why".split())  # noqa: SIM905
_SHOWING = frozenset("at depicting for from in of on showing shows taken that where with".split())  # noqa: SIM905
"""Words that beg for a thing, words that ask for a fact, and words that may follow the thing."""


@dataclass(frozen=True, slots=True)
class QuestionEntity:
    """An entity of the base that a question names.

    entity: its index in the view. start, end: span of the words in the question. source: how it was found: "title" (gazetteer),
    "vocabulary" (a known name), or what the extractor says ("ner", "caps", "year").
    """

    canonical: str
    entity: int
    start: int
    end: int
    source: str


def question_entities(question: str, view: IndexView, extractor: Extractor | None = None) -> tuple[QuestionEntity, ...]:
    """Entities that the question names, in the order of their places; each once.

    Found as in documents: titles of the base (several words also in lower case), names by the extractor. Beyond that, since
    a question is short and written for this base: a title of one common word counts if it is capitalised and does not open the
    question; and a question typed without any capital is read as if every word had one, and names of several words that
    nothing else covers are looked up in the vocabulary (in other questions that finds more phrases than names). Only what the base mentions is kept, and nothing that lies inside a longer one.
    Two look-ups in the view for each question.
    """
    tokens = tokenize(question)
    uncased = question == question.lower()
    if uncased:
        tokens = [t._replace(capitalised_or_digit=True) for t in tokens]
    forms = {form for i in name_starts(tokens, any_case=True) for form in forms_at(tokens, i)}
    spans = [] if extractor is None else extractor.extract([question])[0]
    named = [(s.start, s.end, canon(question[s.start : s.end]), s.source) for s in spans]
    asked = sorted(forms | {name for _, _, name, _ in named if name})
    titles = {form for form, known in zip(asked, view.is_title(asked), strict=True) if known}
    index = {form: e for form, e in zip(asked, view.entities(asked), strict=True) if e >= 0}

    found = [(a, b, name, "title") for a, b, name in _titles(tokens, titles, set() if uncased else titles)]
    found += [item for item in named if item[2]]
    found = _outermost([item for item in found if item[2] in index])
    if uncased:
        covered = [(a, b) for a, b, _, _ in found]
        vocabulary = {form for form in index if " " in form}
        found += [(a, b, name, "vocabulary") for a, b, name in _unclaimed(tokens, vocabulary, covered)]

    out: dict[int, QuestionEntity] = {}
    for start, end, name, source in sorted(found):
        out.setdefault(index[name], QuestionEntity(name, index[name], start, end, source))
    return tuple(out.values())


def asks_for_pictures(question: str) -> bool:
    """Whether the question has a word for something to look at.

    >>> asks_for_pictures("Show me a photo of the crew"), asks_for_pictures("Who commanded the crew?")
    (True, False)
    """
    return any(t.folded in VISUAL_WORDS for t in tokenize(question))


def wanted_media(question: str, named: Sequence[QuestionEntity] = ()) -> frozenset[Modality]:
    """What is asked for, where that is itself something to look at or listen to: "photo of the crew", "the landing, film".

    Empty for a question about such a thing ("Who took the photo of the crew?"), and where the word is in a name, as `named` tells.

    >>> [sorted(wanted_media(q)) for q in ("an old photo of the crew", "Who took the photo of the crew?")]
    [['image'], []]
    """
    tokens = tokenize(question)
    if any(t.folded in _ASKING for t in tokens[:_HEAD]):
        return frozenset()
    begged = any(t.folded in _BEGGING for t in tokens[:_HEAD])
    if question.rstrip().endswith("?") and not begged:
        return frozenset()
    for i, token in enumerate(tokens):
        media = _MEDIA.get(token.folded)
        if media is None or any(e.start <= token.start < e.end for e in named):
            continue
        if i + 1 == len(tokens) or (i < _HEAD and tokens[i + 1].folded in _SHOWING):
            return frozenset({media})
    return frozenset()


def _titles(tokens: Sequence[Token], titles: set[str], single: set[str]) -> list[tuple[int, int, str]]:
    matches = match_titles(tokens, titles, any_case=True)
    taken = {i for a, b, _ in matches for i in range(a, b)}
    for i, token in enumerate(tokens):
        # A capital inside a question is meant, unlike one that opens it.
        named = i > 0 and token.capitalised_or_digit and not token.folded[0].isdigit()
        if named and i not in taken and token.folded in single and token.folded not in STOP:
            matches.append((i, i + 1, token.folded))
    return [(tokens[a].start, tokens[b - 1].end, name) for a, b, name in matches]


def _unclaimed(
    tokens: Sequence[Token], vocabulary: set[str], covered: Sequence[tuple[int, int]]
) -> list[tuple[int, int, str]]:
    free = [t for t in tokens if not any(a < t.end and t.start < b for a, b in covered)]
    matches = match_titles(free, vocabulary, any_case=True)
    return [(free[a].start, free[b - 1].end, name) for a, b, name in matches if _adjacent(tokens, free[a:b])]


def _adjacent(tokens: Sequence[Token], run: Sequence[Token]) -> bool:
    first = tokens.index(run[0])
    return list(tokens[first : first + len(run)]) == list(run)


def _outermost(found: list[tuple[int, int, str, str]]) -> list[tuple[int, int, str, str]]:
    """Without those that lie inside a longer one."""
    return [
        (a, b, name, source)
        for a, b, name, source in found
        if not any(x <= a and b <= y and y - x > b - a for x, y, _, _ in found)
    ]
