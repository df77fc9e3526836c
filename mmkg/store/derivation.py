"""The derived layer, kept up incrementally and at any time equal to deriving from scratch; the same for every store.

A change brings documents in and takes documents out. Beside their own units it can touch only units whose words hold a
title form that appeared or vanished; those are found through the anchors, never by reading the base. Cost: the
units of the change, plus the units that hold a changed title, each O(its length) and O(log n) index look-ups.

What is kept where is the store's matter: it offers its rows as `DerivedRows`, inside a transaction that is all or nothing.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from itertools import combinations, islice
from typing import Any, Protocol

from mmkg.errors import StoreDamagedError
from mmkg.protocols import Deriver
from mmkg.schema import SENTENCE_ENTITIES
from mmkg.types import MentionRow, UnitDerivation, UnitInput

Key = Any
"""A store's own key of a document or unit: a number in a ledger, an id on a server. Hashable, sortable."""
Alias = tuple[str, str, str]
"""short form, long form, reason"""

_NOTHING = UnitDerivation()
_UNITS = 64
"""Units worked on at a time: few enough that a deriver's own cache still holds their tokens at the last step."""


@dataclass(slots=True)
class EntityRow:
    """An entity as the graph shows it."""

    id: str
    name: str
    label: str
    df: int


@dataclass(slots=True)
class UnitRow:
    """A unit as derivation sees it. derived: as the store keeps it (see load_derivation), None before the first time."""

    key: Key
    document: Key
    input: UnitInput
    derived: str | None


@dataclass(slots=True)
class Sums:
    """Differences of counts, by (entity, form), (entity, label), entity, (smaller id, larger id), alias."""

    forms: Counter[tuple[str, str]] = field(default_factory=Counter)
    labels: Counter[tuple[str, str]] = field(default_factory=Counter)
    units: Counter[str] = field(default_factory=Counter)
    df: Counter[str] = field(default_factory=Counter)
    pairs: Counter[tuple[str, str]] = field(default_factory=Counter)
    aliases: Counter[Alias] = field(default_factory=Counter)

    def add(self, derivation: UnitDerivation, sign: int) -> None:
        """Count a derivation in (1) or out (-1)."""
        for m in derivation.mentions:
            # A form that only the title gives still counts once, or such an entity would have no name.
            n = sign * max(m.count, 1)
            self.forms[m.entity, m.form] += n
            if m.label:
                self.labels[m.entity, m.label] += n
        for entity in {m.entity for m in derivation.mentions}:
            self.units[entity] += sign
        for sentence in derivation.sentences:
            for pair in combinations(sorted(sentence[:SENTENCE_ENTITIES]), 2):
                self.pairs[pair] += sign
        for alias in derivation.aliases:
            self.aliases[alias] += sign

    def touched(self) -> list[str]:
        """Every entity of which a count may differ, sorted."""
        return sorted({e for e, _ in self.forms} | {e for e, _ in self.labels} | set(self.units) | set(self.df))


@dataclass(slots=True)
class DerivedChange:
    """What a step changed, as the graph and the index need it.

    units: unit key -> (before, after) for every unit whose derivation changed (new and removed ones too).
    entities: created or changed ones. gone: ids of entities that no unit mentions any more.
    pairs: (id, id), smaller first -> new count, 0 if none. same_as: (short, long, reason) that came and went.
    """

    units: dict[Key, tuple[UnitDerivation, UnitDerivation]] = field(default_factory=dict)
    entities: dict[str, EntityRow] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    pairs: dict[tuple[str, str], int] = field(default_factory=dict)
    same_as_added: list[Alias] = field(default_factory=list)
    same_as_removed: list[Alias] = field(default_factory=list)


class DerivedRows(Protocol):
    """The rows of the derived layer in one store, inside an open transaction."""

    def titles(self, document: Key) -> list[str]:
        """The document's title and its distinct headings; may hold empty ones."""
        ...

    def count_titles(self, changed: Mapping[str, int]) -> dict[str, int]:
        """Add to the counts of title forms; a form that comes to 0 goes. Returns the counts before (absent: 0)."""
        ...

    def known(self, forms: Collection[str]) -> set[str]:
        """Those that are title forms."""
        ...

    def units_of(self, document: Key) -> list[UnitRow]:
        """The units of a document, in its order."""
        ...

    def units(self, keys: Sequence[Key]) -> Iterator[UnitRow]: ...

    def anchored(self, anchors: Collection[int]) -> Iterator[tuple[int, Key]]:
        """(anchor, unit) of derived units under these anchor keys."""
        ...

    def put_anchors(self, rows: Sequence[tuple[int, Key]]) -> None: ...

    def drop_anchors(self, rows: Sequence[tuple[int, Key]]) -> None: ...

    def set_derived(self, rows: Sequence[tuple[Key, str]]) -> None: ...

    def derived_of(self, document: Key) -> Iterable[tuple[Key, str | None]]:
        """(unit, derived) of every unit of a document."""
        ...

    def entities(self, ids: Collection[str]) -> dict[str, EntityRow]:
        """Those that exist."""
        ...

    def add_entities(self, sums: Sums) -> dict[str, EntityRow | None]:
        """Add the differences of forms, labels, units and df to every entity of sums.touched().

        Returns what each is now: name and label are its most frequent form and label, the first by code points among equals;
        None: no unit mentions it any more, and its row is gone.
        """
        ...

    def add_pairs(self, changed: Mapping[tuple[str, str], int]) -> dict[tuple[str, str], int]:
        """Add to the counts of pairs. Returns the counts now; a pair that comes to 0 goes."""
        ...

    def add_aliases(self, changed: Mapping[Alias, int]) -> None:
        """Add to the counts of definitions; one that comes to 0 goes."""
        ...

    def shorts_at(self, ends: Collection[str]) -> set[str]:
        """Short forms of the definitions and SAME_AS pairs that have one of these as an end (SAME_AS: as the short form)."""
        ...

    def aliases(self, shorts: Collection[str]) -> list[Alias]:
        """The definitions of these short forms."""
        ...

    def same_as(self, shorts: Collection[str]) -> set[Alias]: ...

    def change_same_as(self, gone: Sequence[Alias], new: Sequence[Alias]) -> None: ...


def apply(
    rows: DerivedRows,
    deriver: Deriver,
    *,
    added: Sequence[Key],
    removed: Sequence[Key],
    coming: Sequence[Key] = (),
    leaving: Sequence[Key] = (),
    of_leaving: Set[Key] = frozenset(),
) -> DerivedChange:
    """Bring documents into the derived layer and take others out. Call inside a transaction.

    The facts of both must still be there. Returns what changed. coming, leaving: long documents whose titles come and go
    now, and whose units (of_leaving: those of the latter) follow by bring_in and take_out, a part at a time.
    """
    change = DerivedChange()
    flipped = _count_titles(rows, deriver, added=[*added, *coming], removed=[*removed, *leaving])
    out = [unit for document in removed for unit in rows.units_of(document)]
    skip = {unit.key for unit in out}
    # The keys are computed again from the facts, so that no second index by unit is needed.
    rows.drop_anchors([(key, unit.key) for unit in out for key in deriver.anchor_keys(unit.input)])
    for unit in out:
        change.units[unit.key] = (load_derivation(unit.derived), _NOTHING)
    document_of = {unit.key: unit.document for unit in out}
    # Units that hold a changed title first: the anchors of new ones are not there yet, so none is derived twice.
    holders = _holders(rows, deriver, flipped, skip | of_leaving)
    document_of |= _derive_units(rows, deriver, holders, change, only=flipped)
    new = (unit for document in added for unit in rows.units_of(document))
    document_of |= _derive_units(rows, deriver, new, change, anchors=True)
    sums = _sum_up(rows, change, added=set(added), removed=set(removed), document_of=document_of)
    _write(rows, change, sums)
    return change


def bring_in(rows: DerivedRows, deriver: Deriver, units: Iterable[UnitRow], seen: set[str]) -> DerivedChange:
    """Derive new units of one document, whose titles are counted. seen: entities of its earlier parts; these are added to it."""
    change = DerivedChange()
    _derive_units(rows, deriver, units, change, anchors=True)
    _write(rows, change, _part_sums(change, seen, 1))
    return change


def take_out(rows: DerivedRows, deriver: Deriver, units: Sequence[UnitRow], seen: set[str]) -> DerivedChange:
    """Take units of one document out, whose titles are no longer counted. seen: as for bring_in."""
    change = DerivedChange()
    rows.drop_anchors([(key, unit.key) for unit in units for key in deriver.anchor_keys(unit.input)])
    for unit in units:
        change.units[unit.key] = (load_derivation(unit.derived), _NOTHING)
    _write(rows, change, _part_sums(change, seen, -1))
    return change


def _part_sums(change: DerivedChange, seen: set[str], sign: int) -> Sums:
    """Differences of all counts by units of one document that all come (1) or all go (-1)."""
    sums = Sums()
    here: set[str] = set()
    for before, after in change.units.values():
        sums.add(before, -1)
        sums.add(after, 1)
        here |= {m.entity for m in (after if sign > 0 else before).mentions}
    for entity in here - seen:
        sums.df[entity] += sign
    seen |= here
    return sums


def count_titles(rows: DerivedRows, deriver: Deriver, documents: Iterable[Key]) -> None:
    """First step of deriving anew: the title forms of every document."""
    _count_titles(rows, deriver, added=documents, removed=())


def derive_group(rows: DerivedRows, deriver: Deriver, documents: Sequence[Key]) -> DerivedChange:
    """Second step, for each group of documents: their units, and what these add to the counts."""
    change = DerivedChange()
    units = (unit for document in documents for unit in rows.units_of(document))
    document_of = _derive_units(rows, deriver, units, change, anchors=True)
    sums = _sum_up(rows, change, added=set(documents), removed=set(), document_of=document_of)
    _write(rows, change, sums)
    return change


def mention_totals(derivation: UnitDerivation) -> dict[str, tuple[int, int]]:
    """Entity -> (occurrences over all forms, title share)."""
    totals: dict[str, tuple[int, int]] = {}
    for m in derivation.mentions:
        count, title = totals.get(m.entity, (0, 0))
        totals[m.entity] = (count + m.count, max(title, m.title))
    return totals


# ---- titles ----


def _count_titles(rows: DerivedRows, deriver: Deriver, *, added: Iterable[Key], removed: Iterable[Key]) -> set[str]:
    """Update the counts of title forms; returns the forms that appeared or vanished."""
    delta: Counter[str] = Counter()
    for document in added:
        delta.update(_title_forms(rows, deriver, document))
    for document in removed:
        delta.subtract(_title_forms(rows, deriver, document))
    changed = {form: n for form, n in delta.items() if n}
    before = rows.count_titles(changed)
    return {f for f, n in changed.items() if (before.get(f, 0) > 0) != (before.get(f, 0) + n > 0)}


def _title_forms(rows: DerivedRows, deriver: Deriver, document: Key) -> set[str]:
    """Title forms that a document claims: of its title and of its headings, each once."""
    return {form for text in rows.titles(document) if text for form in deriver.title_forms(text)}


def _holders(rows: DerivedRows, deriver: Deriver, forms: set[str], skip: set[Key]) -> Iterator[UnitRow]:
    """Already derived units whose words may hold one of the forms: those under its key, less what is seen at once."""
    by_key: dict[int, set[str]] = defaultdict(set)
    for form in forms:
        by_key[deriver.form_key(form)].add(form)
    found: dict[Key, set[str]] = defaultdict(set)
    for key, unit in rows.anchored(by_key):
        found[unit] |= by_key[key]
    for row in rows.units(sorted(found.keys() - skip)):
        if deriver.may_hold(row.input, found[row.key]):
            yield row


# ---- units ----


def _derive_units(
    rows: DerivedRows,
    deriver: Deriver,
    units: Iterable[UnitRow],
    change: DerivedChange,
    *,
    only: Set[str] | None = None,
    anchors: bool = False,
) -> dict[Key, Key]:
    """Derive these units and note what changed. Returns unit -> document of those that were derived.

    only: leave out units whose words hold none of these forms. anchors: also write the anchors of the units.
    """
    document_of: dict[Key, Key] = {}
    for group in _groups(units, _UNITS):
        inputs = []
        for row in group:
            candidates = deriver.candidates(row.input)
            if only is None or not only.isdisjoint(candidates):
                inputs.append((row, candidates))
        known = rows.known(frozenset().union(*(candidates for _, candidates in inputs)))
        updates = []
        for row, _ in inputs:
            document_of[row.key] = row.document
            before = load_derivation(row.derived)
            after = deriver.derive(row.input, known)
            if row.derived is None or after != before:
                change.units[row.key] = (before, after)
                updates.append((row.key, dump_derivation(after)))
        rows.set_derived(updates)
        if anchors:
            rows.put_anchors(sorted((key, row.key) for row, _ in inputs for key in deriver.anchor_keys(row.input)))
    return document_of


# ---- counts ----


def _sum_up(
    rows: DerivedRows,
    change: DerivedChange,
    *,
    added: set[Key],
    removed: set[Key],
    document_of: Mapping[Key, Key],
) -> Sums:
    """Differences of all counts; the document frequency needs the other units of each document that changed."""
    sums = Sums()
    for before, after in change.units.values():
        sums.add(before, -1)
        sums.add(after, 1)
    documents: dict[Key, list[Key]] = defaultdict(list)
    for unit, document in document_of.items():
        if unit in change.units:
            documents[document].append(unit)
    for document, units in documents.items():
        had = {m.entity for unit in units for m in change.units[unit][0].mentions}
        has = {m.entity for unit in units for m in change.units[unit][1].mentions}
        if document not in added and document not in removed and had != has:
            mine = set(units)
            for unit, text in rows.derived_of(document):
                if unit not in mine:
                    others = {m.entity for m in load_derivation(text).mentions}
                    had |= others
                    has |= others
        sums.df.update(has - had)
        sums.df.subtract(had - has)
    return sums


def _write(rows: DerivedRows, change: DerivedChange, sums: Sums) -> None:
    before = rows.entities(sums.touched())
    for id_, now in rows.add_entities(sums).items():
        if now is None:
            if id_ in before:
                change.gone.add(id_)
        elif now != before.get(id_):
            change.entities[id_] = now
    change.pairs |= rows.add_pairs({pair: n for pair, n in sums.pairs.items() if n})
    _write_aliases(rows, change, sums, created=set(change.entities) - set(before))


def _write_aliases(rows: DerivedRows, change: DerivedChange, sums: Sums, *, created: set[str]) -> None:
    """Counts of definitions, and the SAME_AS pairs that follow: a short form with exactly one long form for a reason."""
    changed = {alias: n for alias, n in sums.aliases.items() if n}
    rows.add_aliases(changed)
    shorts = sorted({short for short, _, _ in changed} | rows.shorts_at(created | change.gone))
    if not shorts:
        return
    definitions: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for short, long, reason in rows.aliases(shorts):
        definitions[short][reason].append(long)
    single = {
        (s, longs[0], r) for s, by_reason in definitions.items() for r, longs in by_reason.items() if len(longs) == 1
    }
    here = rows.entities(sorted({end for short, long, _ in single for end in (short, long)}))
    single = {alias for alias in single if alias[0] in here and alias[1] in here}
    # One edge a pair: the first reason by name stands for it.
    first: dict[tuple[str, str], Alias] = {}
    for alias in sorted(single):
        first.setdefault(alias[:2], alias)
    wanted, present = set(first.values()), rows.same_as(shorts)
    change.same_as_removed += sorted(present - wanted)
    change.same_as_added += sorted(wanted - present)
    rows.change_same_as(sorted(present - wanted), sorted(wanted - present))


# ---- a unit's derivation as text ----


def dump_derivation(d: UnitDerivation) -> str:
    """A unit's derivation as the stores keep it; the digest is made of this text."""
    mentions = [(m.entity, m.form, m.label, m.count, m.title) for m in d.mentions]
    return json.dumps([mentions, d.sentences, d.aliases], ensure_ascii=False, separators=(",", ":"))


def load_derivation(text: str | None) -> UnitDerivation:
    """The inverse of dump_derivation; nothing for None."""
    if text is None:
        return _NOTHING
    try:
        mentions, sentences, aliases = json.loads(text)
        return UnitDerivation(
            mentions=tuple(MentionRow(entity=e, form=f, label=x, count=n, title=t) for e, f, x, n, t in mentions),
            sentences=tuple(tuple(s) for s in sentences),
            aliases=tuple((s, long, reason) for s, long, reason in aliases),
        )
    except (ValueError, TypeError, RecursionError) as e:
        raise StoreDamagedError(f"a unit's mentions cannot be read: {e}", hint="run `mmkg doctor --fix`") from e


def most_frequent(counts: Mapping[str, int]) -> str:
    """The most frequent form or label, the first by code points among equals; "" where there is none.

    >>> most_frequent({"b": 2, "a": 2, "c": 1})
    'a'
    """
    return min(((-n, value) for value, n in counts.items() if n > 0), default=(0, ""))[1]


def _groups(items: Iterable[UnitRow], size: int) -> Iterator[list[UnitRow]]:
    source = iter(items)
    while group := list(islice(source, size)):
        yield group
