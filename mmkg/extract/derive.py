"""From the facts of one unit to its entities: titles, gazetteer matches, raw names, last names, aliases.

Pure functions. What other documents contribute is only the set of their title forms (`known`), and it is asked only for
the unit's own candidates, so that a new or vanished title touches few units. The rules are those of retrieval.md 2.2.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from mmkg.algorithms.names import (
    Token,
    begins_sentence,
    form_key,
    forms_at,
    is_common,
    is_pointer,
    match_titles,
    may_be_alone,
    name_starts,
    title_forms,
    title_variants,
    tokenize,
)
from mmkg.algorithms.words import ARTICLES, HONORIFICS, INITIALISMS, JOINERS, MONTHS_AND_DAYS
from mmkg.extract.aliases import Definition, acronyms
from mmkg.extract.depict import depict
from mmkg.types import Depiction, MentionRow, PassedOn, UnitDerivation, UnitInput

MAX_NAME_TOKENS = 8
MAX_NAME_CHARACTERS = 80

_NO_PROSE = frozenset({"code", "formula"})
_PLACE_LIKE = frozenset({"GPE", "LOC", "NORP", "LANGUAGE", "DATE", "FAC"})


@dataclass(frozen=True, slots=True)
class _Piece:
    """A part of a unit's words: where it lies in the document, its tokens, and the acronyms it defines."""

    offset: int
    text: str
    tokens: tuple[Token, ...]
    starts: tuple[int, ...]
    definitions: tuple[Definition, ...]


@dataclass(frozen=True, slots=True)
class _Name:
    """A name found in a piece: tokens [first, last), its canonical form, NER label or "", and what found it."""

    piece: int
    first: int
    last: int
    entity: str
    label: str
    source: str

    def overlaps(self, other: _Name) -> bool:
        return self.first < other.last and other.first < self.last

    def strictly_contains(self, other: _Name) -> bool:
        return (
            self.first <= other.first and other.last <= self.last and self.last - self.first > other.last - other.first
        )


class EntityDeriver:
    """The first implementation of `protocols.Deriver`."""

    version = "names-2+depicts-1"

    def title_forms(self, title: str) -> tuple[str, ...]:
        """Canonical forms under which a title or heading is known, the full form first; () if it names nothing."""
        return title_forms(title)

    def candidates(self, unit: UnitInput) -> frozenset[str]:
        """Canonical forms in the unit's words that would be mentions if they were title forms."""
        return _candidates(unit.pieces, unit.unit.kind in _NO_PROSE)

    def anchor_keys(self, unit: UnitInput) -> frozenset[int]:
        """Keys of the candidates: of their first two tokens, or of their only one."""
        heads = {" ".join(form.split(" ", 2)[:2]) for form in self.candidates(unit)}
        return frozenset(map(form_key, heads))

    def form_key(self, form: str) -> int:
        """Signed 64-bit key of a canonical form."""
        return form_key(form)

    def may_hold(self, unit: UnitInput, forms: Iterable[str]) -> bool:
        """False only if none of the forms is a candidate. Plain ASCII words are searched without cutting them into tokens."""
        if not all(words.isascii() for _, words in unit.pieces):
            return True  # folding may turn other characters into those of the form
        # Every token of a form is a part of the text as folding leaves it.
        text = "\n".join(words for _, words in unit.pieces).lower().replace("'", "")
        return any(all(word in text for word in form.split(" ")) for form in forms)

    def derive(self, unit: UnitInput, known: Container[str]) -> UnitDerivation:
        """The unit's mentions, the entities of its sentences, and its aliases, given the title forms of the base."""
        titles: dict[str, tuple[str, int]] = {}
        for title, share in unit.titles:
            for form, surface in title_variants(title):
                kept, least = titles.get(form, (surface, share))
                titles[form] = (kept, min(least, share))
        hits = {form for form in self.candidates(unit) if form in titles or form in known}
        prose = unit.unit.kind not in _NO_PROSE
        pieces = _pieces(unit.pieces)
        names: list[_Name] = []
        for index, piece in enumerate(pieces):
            gazetteer = [
                _Name(index, i, j, form, "", "title")
                for i, j, form in (match_titles(piece.tokens, hits) if hits else [])
            ]
            raw = _raw_names(unit, index, piece) if prose else []
            names += _resolved(piece, gazetteer, raw)
        if prose:
            names = _with_full_names(names, pieces, titles)
        return UnitDerivation(
            mentions=_rows(names, pieces, titles),
            sentences=_sentences(unit, names, pieces),
            aliases=_aliases(names, pieces if prose else ()),
        )

    def depict(
        self,
        units: Sequence[tuple[UnitInput, UnitDerivation]],
        standings: Mapping[int, Sequence[float]],
        passed: Mapping[int, Sequence[PassedOn]],
    ) -> dict[int, tuple[Depiction, ...]]:
        """What each picture of a document shows (mmkg.extract.depict)."""
        return depict(units, standings, passed)


# ---- Candidates --------------------------------------------------------------------------------------------------


@lru_cache(maxsize=128)
def _pieces(pieces: tuple[tuple[int, str], ...]) -> tuple[_Piece, ...]:
    out = []
    for offset, text in pieces:
        tokens = tuple(tokenize(text))
        out.append(_Piece(offset, text, tokens, tuple(t.start for t in tokens), tuple(acronyms(text, tokens))))
    return tuple(out)


@lru_cache(maxsize=128)
def _candidates(pieces: tuple[tuple[int, str], ...], several_tokens: bool) -> frozenset[str]:
    found: set[str] = set()
    for piece in _pieces(pieces):
        for start in name_starts(piece.tokens):
            forms = forms_at(piece.tokens, start, MAX_NAME_TOKENS)
            if several_tokens or not may_be_alone(forms[0]):
                forms = forms[1:]
            found.update(form for form in forms if len(form) <= MAX_NAME_CHARACTERS)
    return frozenset(found)


# ---- Names of one piece ------------------------------------------------------------------------------------------


def _raw_names(unit: UnitInput, index: int, piece: _Piece) -> list[_Name]:
    """The unit's raw name spans that lie in a piece and pass the guards, and both sides of the acronyms it defines."""
    labels: dict[tuple[int, int], tuple[str, str]] = {}
    for span in unit.unit.names:
        start, end = span.start - piece.offset, span.end - piece.offset
        if start < 0 or end > len(piece.text):
            continue
        i, j = bisect_right(piece.starts, start), bisect_left(piece.starts, end)
        if i and piece.tokens[i - 1].end > start:
            i -= 1
        while i < j - 1 and piece.tokens[i].folded in ARTICLES:
            i += 1
        if not _is_name(piece.tokens[i:j], span.source):
            continue
        label, source = labels.get((i, j), ("", span.source))
        labels[i, j] = (label or span.label, "ner" if "ner" in (source, span.source) else source)
    names = [_Name(index, i, j, _form(piece, i, j), *label) for (i, j), label in labels.items()]
    for a, b, c, d in piece.definitions:
        for i, j in ((a, b), (c, d)):
            if _is_name(piece.tokens[i:j], "alias"):
                names.append(_Name(index, i, j, _form(piece, i, j), labels.get((i, j), ("", ""))[0], "alias"))
    return names


def _is_name(tokens: tuple[Token, ...], source: str) -> bool:
    """Guards against what models and capitals take for a name and no reader would."""
    if not 1 <= len(tokens) <= MAX_NAME_TOKENS or not all(t.joins for t in tokens[1:]):
        return False
    words = [t.folded for t in tokens]
    if not 2 <= len(" ".join(words)) <= MAX_NAME_CHARACTERS:
        return False
    if source != "alias" and not any(t.capitalised_or_digit for t in tokens):
        return False
    if is_pointer(words) or (len(words) > 1 and all(len(w) == 1 for w in words) and "".join(words) not in INITIALISMS):
        return False
    if all(w.isdigit() for w in words):
        return len(words) == 1 and may_be_alone(words[0])
    return len(words) > 1 or not (is_common(words[0]) or words[0] in MONTHS_AND_DAYS or words[0] in HONORIFICS)


def _form(piece: _Piece, i: int, j: int) -> str:
    return " ".join(t.folded for t in piece.tokens[i:j])


_RANK = {"alias": 0, "ner": 1, "caps": 2, "year": 3}


def _resolved(piece: _Piece, gazetteer: list[_Name], raw: list[_Name]) -> list[_Name]:
    """The names of a piece, no words counted twice for one reading.

    Gazetteer matches stand. Of the raw names, acronym definitions come before the model's, and these before capitalised
    runs. A name may hold a shorter one strictly inside ("President of France" and "France", "Apollo 11 Command Module"
    and "Apollo 11": measured, keeping both finds more), but none crosses another. A year inside a name stays, too.
    The label of a raw name passes to the gazetteer match on the same words.
    """
    people = {n.first: n.last for n in raw if n.label == "PERSON"}
    kept: list[_Name] = []
    for name in sorted(raw, key=lambda n: (_RANK.get(n.source, 1), -(n.last - n.first), n.first)):
        if any(g.overlaps(name) and not name.strictly_contains(g) for g in gazetteer):
            continue
        if name.source == "year":
            crossed = any((n.first, n.last) == (name.first, name.last) for n in kept)
        elif name.source == "caps":
            # "Buzz Aldrin of the National Academy": the capitals run on, the model saw the person end.
            crossed = name.first in people and people[name.first] < name.last
            crossed = crossed or any(_is_led_in(piece, name, n) for n in raw if n.source == "ner")
            crossed = crossed or any(n.overlaps(name) and not name.strictly_contains(n) for n in kept)
        else:
            crossed = any(n.overlaps(name) for n in kept)
        if not crossed:
            kept.append(name)
    labels = {(n.first, n.last): n.label for n in raw if n.label}
    named = [replace(g, label=labels.get((g.first, g.last), "")) for g in gazetteer]
    return sorted(named + kept, key=lambda n: (n.first, n.last, n.entity))


def _is_led_in(piece: _Piece, run: _Name, name: _Name) -> bool:
    """Whether a capitalised run is a shorter name behind common words: "Historian Andrew Chaikin", "Dubbed Skylab"."""
    if run.last != name.last or run.first >= name.first:
        return False
    if not all(is_common(t.folded) or t.folded in HONORIFICS for t in piece.tokens[run.first : name.first]):
        return False
    return name.label == "PERSON" or begins_sentence(piece.text, piece.tokens[run.first].start)


# ---- The whole unit ----------------------------------------------------------------------------------------------


def _with_full_names(names: list[_Name], pieces: tuple[_Piece, ...], titles: dict[str, tuple[str, int]]) -> list[_Name]:
    """A last name alone stands for the one person of the unit, or of its titles, whose name ends with it."""
    by_title: dict[str, set[str]] = {}
    by_text: dict[str, set[str]] = {}
    for form in titles:
        if _is_person_like(form):
            by_title.setdefault(form.rsplit(" ", 1)[1], set()).add(form)
    people = {n.entity for n in names if n.label == "PERSON" and _is_person_like(n.entity)}
    for form in people:
        by_text.setdefault(form.rsplit(" ", 1)[1], set()).add(form)
    out = []
    for name in names:
        if name.last - name.first == 1 and _may_be_last_name(name):
            full = _one_person(by_title.get(name.entity) or by_text.get(name.entity) or set())
            if full:
                name = replace(name, entity=full)
        out.append(name)
    return out


def _one_person(forms: set[str]) -> str:
    """The shortest of full names that may all be of one person ("neil armstrong", "neil a armstrong"), or ""."""
    if not forms or len({form.split(" ", 1)[0] for form in forms}) > 1:
        return ""
    return min(forms, key=lambda form: (form.count(" "), form))


def _is_person_like(form: str) -> bool:
    words = form.split(" ")
    return (
        2 <= len(words) <= 4
        and len(words[-1]) > 2
        and not is_common(words[-1])
        and all(w.isalpha() and w not in JOINERS for w in words)
    )


def _may_be_last_name(name: _Name) -> bool:
    if name.source == "title":
        return name.label == "PERSON"
    return name.label not in _PLACE_LIKE


def _surface(name: _Name, pieces: tuple[_Piece, ...]) -> str:
    piece = pieces[name.piece]
    return " ".join(piece.text[piece.tokens[name.first].start : piece.tokens[name.last - 1].end].split())


def _rows(names: list[_Name], pieces: tuple[_Piece, ...], titles: dict[str, tuple[str, int]]) -> tuple[MentionRow, ...]:
    counts = Counter((n.entity, _surface(n, pieces), n.label) for n in names)
    named = {entity for entity, _, _ in counts}
    rows = [
        MentionRow(entity=e, form=f, label=label, count=n, title=titles[e][1] if e in titles else 0)
        for (e, f, label), n in counts.items()
    ]
    rows += [
        MentionRow(entity=e, form=surface, label="", count=0, title=share)
        for e, (surface, share) in titles.items()
        if e not in named
    ]
    return tuple(sorted(rows, key=lambda r: (r.entity, r.form, r.label)))


def _sentences(unit: UnitInput, names: list[_Name], pieces: tuple[_Piece, ...]) -> tuple[tuple[str, ...], ...]:
    placed = sorted(
        (pieces[n.piece].offset + pieces[n.piece].tokens[n.first].start, n.last - n.first, n.entity) for n in names
    )
    at = [start for start, _, _ in placed]
    return tuple(
        tuple(dict.fromkeys(entity for _, _, entity in placed[bisect_left(at, a) : bisect_left(at, b)]))
        for a, b in unit.unit.sentences
    )


def _aliases(names: list[_Name], pieces: Iterable[_Piece]) -> tuple[tuple[str, str, str], ...]:
    """Acronyms whose two sides are both mentions of the unit.

    A title and its form without the final parenthesis are no aliases: of ten pages "John Smith (...)" each has the form
    "john smith" as a title entity of its own units, and an alias would make one person of the ten.
    """
    found: set[tuple[str, str, str]] = set()
    entities = {n.entity for n in names}
    for piece in pieces:
        for a, b, c, d in piece.definitions:
            short, long = _form(piece, c, d), _form(piece, a, b)
            if short != long and short in entities and long in entities:
                found.add((short, long, "acronym"))
    return tuple(sorted(found))
