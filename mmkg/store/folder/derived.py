"""The derived layer, kept up incrementally and at any time equal to deriving from scratch.

A change brings documents in and takes documents out. Beside their own units it can touch only units whose words hold a
title form that appeared or vanished; those are found through the `anchor` index, never by reading the base. Cost: the
units of the change, plus the units that hold a changed title, each O(its length) and O(log n) index look-ups.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from itertools import combinations, islice
from typing import Any

from mmkg.algorithms.keys import entity_key
from mmkg.protocols import Deriver
from mmkg.schema import SENTENCE_ENTITIES
from mmkg.store.folder.facts import UNIT_COLUMNS, unit_input
from mmkg.store.folder.ledger import DERIVED_TABLES, Ledger
from mmkg.types import MentionRow, UnitDerivation

_NOTHING = UnitDerivation()
_DOCUMENTS = 256
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
class DerivedChange:
    """What a step changed, as the graph and the index need it.

    units: unit number -> (before, after) for every unit whose derivation changed (new and removed ones too).
    entities: created or changed ones. gone: ids of entities that no unit mentions any more.
    pairs: (id, id), smaller first -> new count, 0 if none. same_as: (short, long, reason) that came and went.
    """

    units: dict[int, tuple[UnitDerivation, UnitDerivation]] = field(default_factory=dict)
    entities: dict[str, EntityRow] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    pairs: dict[tuple[str, str], int] = field(default_factory=dict)
    same_as_added: list[tuple[str, str, str]] = field(default_factory=list)
    same_as_removed: list[tuple[str, str, str]] = field(default_factory=list)


def apply(ledger: Ledger, deriver: Deriver, *, added: Sequence[int], removed: Sequence[int]) -> DerivedChange:
    """Bring documents (by number) into the derived layer and take others out. Call inside a transaction.

    The facts of both must still be in the ledger. Returns what changed.
    """
    change = DerivedChange()
    flipped = _count_titles(ledger, deriver, added=added, removed=removed)
    out = [row for no in removed for row in _unit_rows(ledger, "document = ?", (no,))]
    skip = {no for no, *_ in out}
    _drop_anchors(ledger, deriver, out)
    for row in out:
        change.units[row[0]] = (load_derivation(row[-1]), _NOTHING)
    document_of = {row[0]: row[1] for row in out}
    # Units that hold a changed title first: the anchors of new ones are not there yet, so none is derived twice.
    document_of |= _derive_units(ledger, deriver, _holders(ledger, deriver, flipped, skip), change, only=flipped)
    new = (row for no in added for row in _unit_rows(ledger, "document = ?", (no,)))
    document_of |= _derive_units(ledger, deriver, new, change, anchors=True)
    sums = _Sums()
    _sum_up(ledger, change, sums, added=set(added), removed=set(removed), document_of=document_of)
    _write(ledger, change, sums)
    return change


def derive_from_scratch(ledger: Ledger, deriver: Deriver) -> Iterator[DerivedChange]:
    """Empty the derived layer and derive every visible document anew; yields a change per group of documents.

    Call inside a transaction. O(base).
    """
    for table in DERIVED_TABLES:
        ledger.db.execute(f"DELETE FROM {table}")
    ledger.db.execute("UPDATE unit SET derived = NULL")
    documents = [no for (no,) in ledger.rows("SELECT no FROM document WHERE state = 'visible' ORDER BY no")]
    _count_titles(ledger, deriver, added=documents, removed=())
    for i in range(0, len(documents), _DOCUMENTS):
        group = documents[i : i + _DOCUMENTS]
        change, sums = DerivedChange(), _Sums()
        rows = (row for no in group for row in _unit_rows(ledger, "document = ?", (no,)))
        document_of = _derive_units(ledger, deriver, rows, change, anchors=True)
        _sum_up(ledger, change, sums, added=set(group), removed=set(), document_of=document_of)
        _write(ledger, change, sums)
        yield change


def mention_totals(derivation: UnitDerivation) -> dict[str, tuple[int, int]]:
    """Entity -> (occurrences over all forms, title share)."""
    totals: dict[str, tuple[int, int]] = {}
    for m in derivation.mentions:
        count, title = totals.get(m.entity, (0, 0))
        totals[m.entity] = (count + m.count, max(title, m.title))
    return totals


# ---- titles ----


def _titles(ledger: Ledger, deriver: Deriver, no: int) -> set[str]:
    """Title forms that a document claims: of its title and of its headings, each once."""
    texts = [t for (t,) in ledger.rows("SELECT name FROM document WHERE no = ?", (no,))]
    texts += [t for (t,) in ledger.rows("SELECT DISTINCT heading FROM section WHERE document = ?", (no,))]
    return {form for text in texts if text for form in deriver.title_forms(text)}


def _count_titles(ledger: Ledger, deriver: Deriver, *, added: Iterable[int], removed: Iterable[int]) -> set[str]:
    """Update the counts of title forms; returns the forms that appeared or vanished."""
    delta: Counter[str] = Counter()
    for no in added:
        delta.update(_titles(ledger, deriver, no))
    for no in removed:
        delta.subtract(_titles(ledger, deriver, no))
    changed = {form: n for form, n in delta.items() if n}
    before = dict(ledger.rows_in("SELECT form, n FROM title_form WHERE form IN {in}", changed))
    ledger.db.executemany(
        "INSERT INTO title_form VALUES (?, ?) ON CONFLICT (form) DO UPDATE SET n = n + excluded.n", changed.items()
    )
    flipped = {f for f, n in changed.items() if (before.get(f, 0) > 0) != (before.get(f, 0) + n > 0)}
    ledger.db.executemany("DELETE FROM title_form WHERE form = ? AND n = 0", [(f,) for f in flipped])
    return flipped


def _holders(ledger: Ledger, deriver: Deriver, forms: set[str], skip: set[int]) -> Iterator[_Row]:
    """Rows of already derived units whose words may hold one of the forms: those under its key, less what is seen at once."""
    by_key: dict[int, set[str]] = defaultdict(set)
    for form in forms:
        by_key[deriver.form_key(form)].add(form)
    found: dict[int, set[str]] = defaultdict(set)
    for key, unit in ledger.rows_in("SELECT key, unit FROM anchor WHERE key IN {in}", by_key):
        found[unit] |= by_key[key]
    for row in ledger.rows_in(_SELECT + " WHERE no IN {in}", sorted(found.keys() - skip)):
        if deriver.may_hold(unit_input(row[2:-1]), found[row[0]]):
            yield row


# ---- units ----

_SELECT = f"SELECT no, document, {UNIT_COLUMNS}, pieces, titles, derived FROM unit"
_Row = tuple[Any, ...]  # no, document, UNIT_COLUMNS..., pieces, titles, derived


def _unit_rows(ledger: Ledger, where: str, parameters: Sequence[object]) -> list[_Row]:
    return ledger.rows(f"{_SELECT} WHERE {where} ORDER BY ord", parameters)


def _derive_units(
    ledger: Ledger,
    deriver: Deriver,
    rows: Iterable[_Row],
    change: DerivedChange,
    *,
    only: Set[str] | None = None,
    anchors: bool = False,
) -> dict[int, int]:
    """Derive these units and note what changed. Returns unit number -> document number of those that were derived.

    only: leave out units whose words hold none of these forms. anchors: also write the anchors of the units.
    """
    document_of: dict[int, int] = {}
    for group in _groups(rows, _UNITS):
        inputs = []
        for row in group:
            unit = unit_input(row[2:-1])
            candidates = deriver.candidates(unit)
            if only is None or not only.isdisjoint(candidates):
                inputs.append((row, unit, candidates))
        every = frozenset().union(*(candidates for *_, candidates in inputs))
        known = {f for (f,) in ledger.rows_in("SELECT form FROM title_form WHERE form IN {in}", every)}
        updates = []
        for row, unit, _ in inputs:
            document_of[row[0]] = row[1]
            before = load_derivation(row[-1])
            after = deriver.derive(unit, known)
            if row[-1] is None or after != before:
                change.units[row[0]] = (before, after)
                updates.append((_dump(after), row[0]))
        ledger.db.executemany("UPDATE unit SET derived = ? WHERE no = ?", updates)
        if anchors:
            ledger.db.executemany(
                "INSERT OR IGNORE INTO anchor VALUES (?, ?)",
                sorted((key, row[0]) for row, unit, _ in inputs for key in deriver.anchor_keys(unit)),
            )
    return document_of


def _drop_anchors(ledger: Ledger, deriver: Deriver, rows: Sequence[_Row]) -> None:
    # The keys are computed again from the facts, so that no second index by unit is needed.
    ledger.db.executemany(
        "DELETE FROM anchor WHERE key = ? AND unit = ?",
        [(key, row[0]) for row in rows for key in deriver.anchor_keys(unit_input(row[2:-1]))],
    )


# ---- counts ----


@dataclass(slots=True)
class _Sums:
    forms: Counter[tuple[str, str]] = field(default_factory=Counter)
    labels: Counter[tuple[str, str]] = field(default_factory=Counter)
    units: Counter[str] = field(default_factory=Counter)
    df: Counter[str] = field(default_factory=Counter)
    pairs: Counter[tuple[str, str]] = field(default_factory=Counter)
    aliases: Counter[tuple[str, str, str]] = field(default_factory=Counter)

    def add(self, derivation: UnitDerivation, sign: int) -> None:
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


def _sum_up(
    ledger: Ledger,
    change: DerivedChange,
    sums: _Sums,
    *,
    added: set[int],
    removed: set[int],
    document_of: Mapping[int, int],
) -> None:
    """Differences of all counts; the document frequency needs the other units of each document that changed."""
    for before, after in change.units.values():
        sums.add(before, -1)
        sums.add(after, 1)
    documents: dict[int, list[int]] = defaultdict(list)
    for no, document in document_of.items():
        if no in change.units:
            documents[document].append(no)
    for document, units in documents.items():
        had = {m.entity for no in units for m in change.units[no][0].mentions}
        has = {m.entity for no in units for m in change.units[no][1].mentions}
        if document not in added and document not in removed and had != has:
            mine = set(units)
            for no, text in ledger.rows("SELECT no, derived FROM unit WHERE document = ?", (document,)):
                if no not in mine:
                    others = {m.entity for m in load_derivation(text).mentions}
                    had |= others
                    has |= others
        sums.df.update(has - had)
        sums.df.subtract(had - has)


def _write(ledger: Ledger, change: DerivedChange, sums: _Sums) -> None:
    db = ledger.db
    touched = sorted({e for e, _ in sums.forms} | {e for e, _ in sums.labels} | set(sums.units) | set(sums.df))
    before = {
        id_: EntityRow(id_, name, label, df)
        for id_, name, label, df in ledger.rows_in("SELECT id, name, label, df FROM entity WHERE id IN {in}", touched)
    }
    db.executemany(
        "INSERT INTO entity VALUES (?, ?, '', '', ?, ?) "
        "ON CONFLICT (key) DO UPDATE SET df = df + excluded.df, units = units + excluded.units",
        [(entity_key(e), e, sums.df[e], sums.units[e]) for e in touched],
    )
    for table, column, counts in (("entity_form", "form", sums.forms), ("entity_label", "label", sums.labels)):
        changed = [(entity_key(e), value, n) for (e, value), n in counts.items() if n]
        db.executemany(
            f"INSERT INTO {table} VALUES (?, ?, ?) ON CONFLICT (entity, {column}) DO UPDATE SET n = n + excluded.n",
            changed,
        )
        db.executemany(
            f"DELETE FROM {table} WHERE entity = ? AND {column} = ? AND n = 0", [(k, v) for k, v, n in changed if n < 0]
        )
    keys = {entity_key(e): e for e in touched}
    names, labels = _most_frequent(ledger, "form", keys), _most_frequent(ledger, "label", keys)
    named, empty = [], []
    for key, df, units, *old in ledger.rows_in(
        "SELECT key, df, units, name, label FROM entity WHERE key IN {in}", keys
    ):
        e = keys[key]
        if units == 0:
            empty.append((key,))
            change.gone.add(e)
            continue
        now = EntityRow(e, names.get(key, ""), labels.get(key, ""), df)
        if [now.name, now.label] != old:
            named.append((now.name, now.label, key))
        if now != before.get(e):
            change.entities[e] = now
    db.executemany("DELETE FROM entity WHERE key = ?", empty)
    db.executemany("UPDATE entity SET name = ?, label = ? WHERE key = ?", named)
    change.gone = {e for e in change.gone if e in before}
    for (a, b), n in sums.pairs.items():
        if not n:
            continue
        ends = (entity_key(a), entity_key(b))
        row = ledger.one(
            "INSERT INTO cooccur VALUES (?, ?, ?) ON CONFLICT (a, b) DO UPDATE SET n = n + excluded.n RETURNING n",
            (*ends, n),
        )
        assert row is not None
        change.pairs[a, b] = row[0]
        if row[0] == 0:
            db.execute("DELETE FROM cooccur WHERE a = ? AND b = ?", ends)
    _write_aliases(ledger, change, sums, created=set(change.entities) - set(before))


def _write_aliases(ledger: Ledger, change: DerivedChange, sums: _Sums, *, created: set[str]) -> None:
    """Counts of definitions, and the SAME_AS pairs that follow: a short form with exactly one long form for a reason."""
    changed = [(*alias, n) for alias, n in sums.aliases.items() if n]
    ledger.db.executemany(
        "INSERT INTO alias VALUES (?, ?, ?, ?) ON CONFLICT (short, long, reason) DO UPDATE SET n = n + excluded.n",
        changed,
    )
    ledger.db.executemany(
        "DELETE FROM alias WHERE short = ? AND long = ? AND reason = ? AND n = 0", [c[:3] for c in changed]
    )
    ends = created | change.gone
    shorts = {c[0] for c in changed} | {
        s for (s,) in ledger.rows_in("SELECT short FROM alias WHERE long IN {in}", ends)
    }
    shorts |= {s for (s,) in ledger.rows_in("SELECT short FROM alias WHERE short IN {in}", ends)}
    shorts |= {s for (s,) in ledger.rows_in("SELECT short FROM same_as WHERE short IN {in}", ends)}
    for short in sorted(shorts):
        rows = ledger.rows("SELECT long, reason FROM alias WHERE short = ? ORDER BY reason, long", (short,))
        wanted = set()
        for reason in {r for _, r in rows}:
            longs = [long for long, r in rows if r == reason]
            if len(longs) == 1 and all(
                ledger.one("SELECT 1 FROM entity WHERE id = ?", (end,)) for end in (short, longs[0])
            ):
                wanted.add((short, longs[0], reason))
        # One edge a pair: the first reason by name stands for it.
        wanted = {min(w for w in wanted if w[1] == long) for long in {w[1] for w in wanted}}
        present = set(ledger.rows("SELECT short, long, reason FROM same_as WHERE short = ?", (short,)))
        for gone in sorted(present - wanted):
            ledger.db.execute("DELETE FROM same_as WHERE short = ? AND long = ?", gone[:2])
            change.same_as_removed.append(gone)
        for new in sorted(wanted - present):
            ledger.db.execute("INSERT INTO same_as VALUES (?, ?, ?)", new)
            change.same_as_added.append(new)


def _most_frequent(ledger: Ledger, column: str, keys: Iterable[int]) -> dict[int, str]:
    """For each entity its most frequent form or label, the first by code points among equals."""
    best: dict[int, tuple[int, str]] = {}
    for entity, value, n in ledger.rows_in(
        f"SELECT entity, {column}, n FROM entity_{column} WHERE entity IN {{in}} ORDER BY {column}", list(keys)
    ):
        if n > best.get(entity, (0, ""))[0]:
            best[entity] = (n, value)
    return {entity: value for entity, (_, value) in best.items()}


# ---- the column `derived` ----


def _dump(d: UnitDerivation) -> str:
    mentions = [(m.entity, m.form, m.label, m.count, m.title) for m in d.mentions]
    return json.dumps([mentions, d.sentences, d.aliases], ensure_ascii=False, separators=(",", ":"))


def load_derivation(text: str | None) -> UnitDerivation:
    """A unit's derivation from the column `derived`."""
    if text is None:
        return _NOTHING
    mentions, sentences, aliases = json.loads(text)
    return UnitDerivation(
        mentions=tuple(MentionRow(entity=e, form=f, label=x, count=n, title=t) for e, f, x, n, t in mentions),
        sentences=tuple(tuple(s) for s in sentences),
        aliases=tuple((s, long, reason) for s, long, reason in aliases),
    )


def _groups(items: Iterable[_Row], size: int) -> Iterator[list[_Row]]:
    source = iter(items)
    while group := list(islice(source, size)):
        yield group
