"""What a picture shows, without a model that writes captions: names from the words around it, kinds from its pixels.

Precision comes first. A name counts if a label of the picture leads with it ("Elias Crane in 1899", "Map of Penrock Head"), if
it stands in the caption and in the picture itself, or if the pixels show its kind and no other name of that kind is near. What
a near picture shows is passed on, weaker. Several reasons for one name add up as independent ones do: 1 - (1 - a)(1 - b).
Pure functions of one document and of what its near pictures show by themselves.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from mmkg.algorithms.names import Token, canon, tokenize
from mmkg.algorithms.words import ARTICLES, HONORIFICS
from mmkg.extract.kinds import NOTHING, kind_at, kind_of_words
from mmkg.types import Depiction, PassedOn, UnitDerivation, UnitInput

LEAST = 0.5
"""Depictions below this score are not kept."""
AT_MOST = 8
"""Depictions of one picture: the best ones."""

_LEADS, _JOINED, _AGREES = 0.9, 0.8, 0.85
_CAPTION, _REFERS, _SECTION = 0.7, 0.6, 0.5
"""Pixels and one name of their kind: in the caption, in a text that refers to the picture, in the same section."""
_TOLD = 0.6
"""A model that was shown the picture named it as subject or object."""
_GIVEN = "model"
_COPY_DECAY, _LIKE_DECAY = 0.95, 0.6
_TOP, _MARGIN = 2.2, 0.5
"""Standard deviations by which the best kind must pass the mean of all prompts, and the best of another kind."""

_PICTURES = frozenset(
    re.findall(
        r"\w+",
        """
        photo photos photograph photographs picture image images portrait view views map maps plan drawing sketch painting
        diagram model section illustration engraving snapshot closeup close shot scan print postcard poster figure fig plate
        rendering bust statue
        """,
    )
)
_OF = frozenset({"of", "showing", "shows", "depicting", "depicts"})
_CREDIT = frozenset({"by", "courtesy", "credit", "credits", "copyright", "from", "via", "source", "photographer", "c"})
_BESIDE = frozenset(
    {"of", "in", "at", "on", "near", "inside", "outside", "off", "above", "below", "behind", "for", "to"}
)
_NO_THING = frozenset(
    {"DATE", "TIME", "PERCENT", "MONEY", "QUANTITY", "ORDINAL", "CARDINAL", "LANGUAGE", "NORP", "LAW"}
)
_CUT = re.compile(r"\.?\s*\(|\s+[A-Z]\b")
"""What follows a person's name that was found in part only: "James" of "James A. (Jim) Lovell"."""
_LONG_LABEL = 400
"""Only so many characters of a label are looked at: what comes later is text, not a label."""


@dataclass(frozen=True, slots=True)
class _Found:
    """A name in a text: tokens [first, last)."""

    entity: str
    label: str
    first: int
    last: int


def depict(
    units: Sequence[tuple[UnitInput, UnitDerivation]],
    standings: Mapping[int, Sequence[float]],
    passed: Mapping[int, Sequence[PassedOn]],
) -> dict[int, tuple[Depiction, ...]]:
    """What each picture of a document shows, by ordinal; pictures that show nothing known are left out.

    units: the document's, in order, with their mentions. standings: ordinal -> how far the picture's vector stands from the mean
    over all prompts, in standard deviations, for each of kinds.prompts(). passed: ordinal -> what near pictures show.
    """
    named_here = {m.entity for _, derivation in units for m in derivation.mentions}
    out: dict[int, tuple[Depiction, ...]] = {}
    for unit_input, derivation in units:
        unit = unit_input.unit
        if unit.label != "Image":
            continue
        reasons: dict[str, list[tuple[float, str]]] = {}
        for entity, score, reason in (
            *_from_labels(unit_input, derivation),
            *_from_words(unit_input, derivation),
            *_from_description(unit_input, derivation),
            *_from_pixels(unit_input, derivation, units, standings.get(unit.ordinal)),
            *_from_near(passed.get(unit.ordinal, ()), named_here),
        ):
            reasons.setdefault(entity, []).append((score, reason))
        rows = [_joined(entity, found) for entity, found in reasons.items()]
        rows = sorted((r for r in rows if r.score >= LEAST), key=lambda r: (-r.score, r.entity))[:AT_MOST]
        if rows:
            out[unit.ordinal] = tuple(rows)
    return out


def _joined(entity: str, found: list[tuple[float, str]]) -> Depiction:
    best: dict[str, float] = {}
    for score, reason in found:
        best[reason] = max(score, best.get(reason, 0.0))
    doubt = 1.0
    ordered = sorted(best.items(), key=lambda item: (-item[1], item[0]))
    for _, score in ordered:
        doubt *= 1.0 - score
    return Depiction(entity=entity, score=round(1.0 - doubt, 3), reason="; ".join(reason for reason, _ in ordered))


# ---- words ----


def _labels(unit_input: UnitInput) -> Iterator[tuple[str, str]]:
    """(what it is, text) of each label of a picture: its caption; and the title of a file that is nothing but the picture."""
    unit = unit_input.unit
    if unit.caption is not None and unit_input.pieces:
        yield "caption", unit_input.pieces[0][1][:_LONG_LABEL]
    if unit.kind == "image" and unit_input.titles:
        yield "title", unit_input.titles[0][0][:_LONG_LABEL]


def _printed(unit_input: UnitInput) -> str:
    """The words in the picture itself."""
    unit = unit_input.unit
    pieces = unit_input.pieces[1:] if unit.caption is not None else unit_input.pieces
    return "\n".join(words for _, words in (pieces[:-1] if unit.described is not None else pieces))


def _from_description(unit_input: UnitInput, derivation: UnitDerivation) -> Iterator[tuple[str, float, str]]:
    """Names that a model gave as subject or object of what it saw, where one was asked (mmkg.describing)."""
    unit = unit_input.unit
    if unit.described is None:
        return
    at, words = unit_input.pieces[-1]
    told = {canon(words[n.start - at : n.end - at]) for n in unit.names if n.source == _GIVEN}
    for mention in derivation.mentions:
        if mention.entity in told or canon(mention.form) in told:
            yield mention.entity, _TOLD, "a model that was shown the picture says so"


def _from_labels(unit_input: UnitInput, derivation: UnitDerivation) -> Iterator[tuple[str, float, str]]:
    """Names with which a label begins, or begins behind "Portrait of" and the like, and those joined to them by "and"."""
    for what, text in _labels(unit_input):
        tokens = tokenize(text)
        names = _names(tokens, derivation)
        lead = next((n for n in names if _is_lead(text, tokens, n)), None)
        if lead is None:
            continue
        yield lead.entity, _LEADS, f"the {what} leads with it"
        for name in _chain(text, tokens, names, lead):
            yield name.entity, _JOINED, f"the {what} names it beside what it leads with"


def _names(tokens: Sequence[Token], derivation: UnitDerivation) -> list[_Found]:
    """The unit's entities as they stand in a text, by place, longer ones first."""
    words = [t.folded for t in tokens]
    forms = {
        (m.entity, m.label, tuple(form))
        for m in derivation.mentions
        for form in (m.entity.split(" "), [t.folded for t in tokenize(m.form)])
        if form and m.label not in _NO_THING and not all(w.isdigit() for w in m.entity.split(" "))
    }
    places: dict[str, list[int]] = {}
    for i, word in enumerate(words):
        places.setdefault(word, []).append(i)
    found = {
        _Found(entity, label, i, i + len(form))
        for entity, label, form in forms
        for i in places.get(form[0], ())
        if tuple(words[i : i + len(form)]) == form and form[0] not in _PICTURES
    }
    # A title is an entity of its own: as a name it counts only if it holds no other one. Else the longest reading stands.
    names = sorted(found, key=lambda n: (n.first, -n.last, n.entity, n.label))
    names = [n for n in names if not (_is_whole(n, tokens) and any(_inside(o, n) for o in names))]
    return [n for n in names if not any(_inside(n, o) for o in names)]


def _is_whole(name: _Found, tokens: Sequence[Token]) -> bool:
    return name.last - name.first >= len(tokens) - 1 > 1 and not name.label


def _inside(inner: _Found, outer: _Found) -> bool:
    longer = outer.last - outer.first > inner.last - inner.first
    return outer.first <= inner.first and inner.last <= outer.last and longer


def _is_lead(text: str, tokens: Sequence[Token], name: _Found) -> bool:
    rest = text[tokens[name.last - 1].end :]
    if rest[:2].replace("’", "'") == "'s":  # "NASA's first landing" shows the landing
        return False
    if name.label == "PERSON" and _CUT.match(rest):
        return False
    before = [t.folded for t in tokens[: name.first] if t.folded not in ARTICLES and t.folded not in HONORIFICS]
    if not before:
        return True
    # "Figure 3. Portrait of", "Aerial view of", "Photograph showing"
    if len(before) > 8 or before[-1] not in _OF:
        return False
    return any(w in _PICTURES for w in before[-4:-1])


def _chain(text: str, tokens: Sequence[Token], names: Sequence[_Found], lead: _Found) -> list[_Found]:
    """Names that follow the lead in one list: "A and B", "A, B and C"."""
    chain: list[_Found] = []
    last, closed = lead.last, False
    while not closed:
        follower = next((n for n in names if last <= n.first <= last + 2), None)
        if follower is None:
            return []
        gap = text[tokens[last - 1].end : tokens[follower.first].start].strip().casefold()
        words = [w for w in gap.replace(",", " ").split() if w not in ARTICLES]
        closed = words in (["and"], ["&"])
        if not closed and gap.strip() != ",":
            return []
        chain.append(follower)
        last = follower.last
    return chain


def _from_words(unit_input: UnitInput, derivation: UnitDerivation) -> Iterator[tuple[str, float, str]]:
    """Names that are printed in the picture and stand in a label of it, too."""
    printed = {n.entity for n in _names(tokenize(_printed(unit_input)), derivation)}
    for what, text in _labels(unit_input):
        tokens = tokenize(text)
        for name in _names(tokens, derivation):
            if name.entity in printed and name.label != "ORG" and not _is_beside(tokens, name):
                yield name.entity, _AGREES, f"it is printed in the picture and stands in the {what}"


def _is_beside(tokens: Sequence[Token], name: _Found) -> bool:
    """Whether a name says where, by whom or of what part, not what: "the board in the entrance of X", "photograph by Y"."""
    before = [t.folded for t in tokens[: name.first] if t.folded not in ARTICLES]
    return bool(before) and (before[-1] in _BESIDE or any(w in _CREDIT for w in before[-2:]))


# ---- pixels ----


def _from_pixels(
    unit_input: UnitInput,
    derivation: UnitDerivation,
    units: Sequence[tuple[UnitInput, UnitDerivation]],
    standing: Sequence[float] | None,
) -> Iterator[tuple[str, float, str]]:
    """The one name of the kind that the pixels show, in the nearest words that hold a name of that kind."""
    kind = shown_kind(standing)
    if not kind:
        return
    for weight, where, candidates in _context(unit_input, derivation, units):
        fitting = {entity for entity, label in candidates if _entity_kind(entity, label) == kind}
        if len(fitting) == 1:
            yield fitting.pop(), weight, f"the pixels show a {kind}, and it is the only {kind} named {where}"
        if fitting:
            return


def shown_kind(standing: Sequence[float] | None) -> str:
    """The kind that a picture's vector stands out for, "" if it stands out for none or for a picture of no thing."""
    if not standing:
        return ""
    best = max(range(len(standing)), key=lambda i: (standing[i], -i))
    kind = kind_at(best)
    others = max((x for i, x in enumerate(standing) if kind_at(i) != kind), default=0.0)
    if kind == NOTHING or standing[best] < _TOP or standing[best] - others < _MARGIN:
        return ""
    return kind


def _context(
    unit_input: UnitInput, derivation: UnitDerivation, units: Sequence[tuple[UnitInput, UnitDerivation]]
) -> Iterator[tuple[float, str, set[tuple[str, str]]]]:
    """(score, where, (entity, NER label)) of the words around a picture, the nearest first."""
    unit = unit_input.unit
    if unit.caption is not None:
        names = (_names(tokenize(text), derivation) for _, text in _labels(unit_input))
        yield _CAPTION, "in its caption", {(n.entity, n.label) for found in names for n in found}
    referring = [d for u, d in units if unit.ordinal in u.unit.refers_to]
    yield _REFERS, "where the text refers to it", _entities(referring)
    if unit.section is not None and unit.kind == "figure":
        same = [d for u, d in units if u.unit.section == unit.section and u.unit.label == "Chunk"]
        yield _SECTION, "in its section", _entities(same)


def _entities(derivations: Iterable[UnitDerivation]) -> set[tuple[str, str]]:
    return {(m.entity, m.label) for d in derivations for m in d.mentions if m.label not in _NO_THING}


def _entity_kind(entity: str, label: str) -> str:
    words = entity.split(" ")
    return (kind_of_words(words) if len(words) > 1 else "") or ("person" if label == "PERSON" else "")


# ---- near pictures ----


def _from_near(passed: Sequence[PassedOn], named_here: set[str]) -> Iterator[tuple[str, float, str]]:
    """What a copy shows this picture shows; what a like picture shows only if this document names it, too."""
    for p in passed:
        if p.reason == "like":
            if p.depiction.entity in named_here:
                score = round(p.depiction.score * p.score * _LIKE_DECAY, 3)
                yield p.depiction.entity, score, f"like {p.source}, which shows it"
        else:
            yield p.depiction.entity, round(p.depiction.score * _COPY_DECAY, 3), f"a copy of {p.source}, which shows it"
