"""The rows of the derived layer in the ledger (mmkg.store.derivation says what is derived, and how)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from mmkg.algorithms.keys import entity_key
from mmkg.protocols import Deriver
from mmkg.store import derivation
from mmkg.store.derivation import (
    Alias,
    DerivedChange,
    EntityRow,
    Sums,
    UnitRow,
    load_derivation,
    mention_totals,
)
from mmkg.store.folder.facts import UNIT_COLUMNS, unit_input
from mmkg.store.folder.ledger import DERIVED_TABLES, Ledger
from mmkg.store.folder.parts import Part, Place, is_long, parts, places

__all__ = ["DerivedChange", "EntityRow", "Step", "derive_from_scratch", "load_derivation", "mention_totals", "steps"]

_DOCUMENTS = 256
_ROWS = 250
_SELECT = f"SELECT no, document, {UNIT_COLUMNS}, pieces, titles, derived FROM unit"


@dataclass(frozen=True, slots=True)
class Step:
    """What one step changed in the derived layer, and the parts of documents that came in with it."""

    change: DerivedChange
    added: Sequence[Part] = ()


def steps(ledger: Ledger, deriver: Deriver, *, added: Sequence[int], removed: Sequence[int]) -> Iterator[Step]:
    """Bring documents (by number) into the derived layer and take others out. Call inside a transaction.

    The facts of both must still be in the ledger. One step does for all documents that are one part; those of long ones
    follow, each a part, so that no more than one is held at a time.
    """
    rows = LedgerRows(ledger)
    long = {no for no in (*added, *removed) if is_long(ledger, no)}
    leaving = [no for no in removed if no in long]
    of_leaving = {u for no in leaving for (u,) in ledger.rows("SELECT no FROM unit WHERE document = ?", (no,))}
    whole = [no for no in added if no not in long]
    change = derivation.apply(
        rows,
        deriver,
        added=whole,
        removed=[no for no in removed if no not in long],
        coming=[no for no in added if no in long],
        leaving=leaving,
        of_leaving=of_leaving,
    )
    yield Step(change, [part for no in whole for part in parts(ledger, no)])
    for no in leaving:
        seen: set[str] = set()
        for place in places(ledger, no):
            yield Step(derivation.take_out(rows, deriver, rows.units_at(no, place), seen))
    for no in added:
        if no in long:
            seen = set()
            for place, part in zip(places(ledger, no), parts(ledger, no), strict=True):
                yield Step(derivation.bring_in(rows, deriver, rows.units_at(no, place), seen), [part])


def derive_from_scratch(ledger: Ledger, deriver: Deriver) -> Iterator[DerivedChange]:
    """Empty the derived layer and derive every visible document anew; yields a change per group of documents, or part of one.

    Call inside a transaction. O(base).
    """
    for table in DERIVED_TABLES:
        ledger.db.execute(f"DELETE FROM {table}")
    ledger.db.execute("UPDATE unit SET derived = NULL")
    rows = LedgerRows(ledger)
    documents = [no for (no,) in ledger.rows("SELECT no FROM document WHERE state = 'visible' ORDER BY no")]
    derivation.count_titles(rows, deriver, documents)
    whole = [no for no in documents if not is_long(ledger, no)]
    for i in range(0, len(whole), _DOCUMENTS):
        yield derivation.derive_group(rows, deriver, whole[i : i + _DOCUMENTS])
    for no in sorted(set(documents) - set(whole)):
        seen: set[str] = set()
        for place in places(ledger, no):
            yield derivation.bring_in(rows, deriver, rows.units_at(no, place), seen)


class LedgerRows:
    """derivation.DerivedRows over the ledger's tables; documents and units by number."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger

    # ---- titles ----

    def titles(self, document: int) -> list[str]:
        texts = [t for (t,) in self.ledger.rows("SELECT name FROM document WHERE no = ?", (document,))]
        return texts + [
            t for (t,) in self.ledger.rows("SELECT DISTINCT heading FROM section WHERE document = ?", (document,))
        ]

    def count_titles(self, changed: Mapping[str, int]) -> dict[str, int]:
        before = dict(self.ledger.rows_in("SELECT form, n FROM title_form WHERE form IN {in}", changed))
        self.ledger.db.executemany(
            "INSERT INTO title_form VALUES (?, ?) ON CONFLICT (form) DO UPDATE SET n = n + excluded.n", changed.items()
        )
        self.ledger.db.executemany(
            "DELETE FROM title_form WHERE form = ? AND n = 0", [(f,) for f, n in changed.items() if n < 0]
        )
        return before

    def known(self, forms: Collection[str]) -> set[str]:
        return {f for (f,) in self.ledger.rows_in("SELECT form FROM title_form WHERE form IN {in}", forms)}

    # ---- units ----

    def units_of(self, document: int) -> list[UnitRow]:
        return [_unit_row(row) for row in self.ledger.rows(f"{_SELECT} WHERE document = ? ORDER BY ord", (document,))]

    def units_at(self, document: int, place: Place) -> list[UnitRow]:
        """The units of one part of a document."""
        sql = f"{_SELECT} WHERE document = ? AND ord >= ? AND ord < ? ORDER BY ord"
        return [_unit_row(row) for row in self.ledger.rows(sql, (document, place.first, place.first + place.n_units))]

    def units(self, keys: Sequence[int]) -> Iterator[UnitRow]:
        return map(_unit_row, self.ledger.rows_in(_SELECT + " WHERE no IN {in}", keys))

    def anchored(self, anchors: Collection[int]) -> Iterator[tuple[int, int]]:
        return (
            (key, unit) for key, unit in self.ledger.rows_in("SELECT key, unit FROM anchor WHERE key IN {in}", anchors)
        )

    def put_anchors(self, rows: Sequence[tuple[int, int]]) -> None:
        self.ledger.db.executemany("INSERT OR IGNORE INTO anchor VALUES (?, ?)", rows)

    def drop_anchors(self, rows: Sequence[tuple[int, int]]) -> None:
        self.ledger.db.executemany("DELETE FROM anchor WHERE key = ? AND unit = ?", rows)

    def set_derived(self, rows: Sequence[tuple[int, str]]) -> None:
        self.ledger.db.executemany("UPDATE unit SET derived = ? WHERE no = ?", [(text, no) for no, text in rows])

    def derived_of(self, document: int) -> Iterator[tuple[int, str | None]]:
        return (
            (no, text)
            for no, text in self.ledger.stream("SELECT no, derived FROM unit WHERE document = ?", (document,))
        )

    # ---- entities ----

    def entities(self, ids: Collection[str]) -> dict[str, EntityRow]:
        sql = "SELECT id, name, label, df FROM entity WHERE id IN {in}"
        return {row[0]: EntityRow(*row) for row in self.ledger.rows_in(sql, ids)}

    def add_entities(self, sums: Sums) -> dict[str, EntityRow | None]:
        db = self.ledger.db
        touched = sums.touched()
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
                f"DELETE FROM {table} WHERE entity = ? AND {column} = ? AND n = 0",
                [(k, v) for k, v, n in changed if n < 0],
            )
        keys = {entity_key(e): e for e in touched}
        names, labels = self._most_frequent("form", keys), self._most_frequent("label", keys)
        out: dict[str, EntityRow | None] = {}
        named, empty = [], []
        for key, df, units, *old in self.ledger.rows_in(
            "SELECT key, df, units, name, label FROM entity WHERE key IN {in}", keys
        ):
            e = keys[key]
            if units == 0:
                empty.append((key,))
                out[e] = None
                continue
            now = EntityRow(e, names.get(key, ""), labels.get(key, ""), df)
            if [now.name, now.label] != old:
                named.append((now.name, now.label, key))
            out[e] = now
        db.executemany("DELETE FROM entity WHERE key = ?", empty)
        db.executemany("UPDATE entity SET name = ?, label = ? WHERE key = ?", named)
        return out

    def _most_frequent(self, column: str, keys: Iterable[int]) -> dict[int, str]:
        """For each entity its most frequent form or label, the first by code points among equals."""
        best: dict[int, tuple[int, str]] = {}
        for entity, value, n in self.ledger.rows_in(
            f"SELECT entity, {column}, n FROM entity_{column} WHERE entity IN {{in}} ORDER BY {column}", list(keys)
        ):
            if n > best.get(entity, (0, ""))[0]:
                best[entity] = (n, value)
        return {entity: value for entity, (_, value) in best.items()}

    def add_pairs(self, changed: Mapping[tuple[str, str], int]) -> dict[tuple[str, str], int]:
        pairs = {(entity_key(a), entity_key(b)): (a, b) for a, b in changed}
        rows = [(*ends, changed[pair]) for ends, pair in pairs.items()]
        out: dict[tuple[str, str], int] = {}
        gone = []
        for i in range(
            0, len(rows), _ROWS
        ):  # many rows a statement: a text can have a hundred thousand pairs a megabyte
            part = rows[i : i + _ROWS]
            sql = (
                f"INSERT INTO cooccur VALUES {','.join(['(?, ?, ?)'] * len(part))} "
                "ON CONFLICT (a, b) DO UPDATE SET n = n + excluded.n RETURNING a, b, n"
            )
            for a, b, n in self.ledger.rows(sql, [value for row in part for value in row]):
                out[pairs[a, b]] = n
                if n == 0:
                    gone.append((a, b))
        self.ledger.db.executemany("DELETE FROM cooccur WHERE a = ? AND b = ?", gone)
        return out

    # ---- aliases ----

    def add_aliases(self, changed: Mapping[Alias, int]) -> None:
        self.ledger.db.executemany(
            "INSERT INTO alias VALUES (?, ?, ?, ?) ON CONFLICT (short, long, reason) DO UPDATE SET n = n + excluded.n",
            [(*alias, n) for alias, n in changed.items()],
        )
        self.ledger.db.executemany(
            "DELETE FROM alias WHERE short = ? AND long = ? AND reason = ? AND n = 0", list(changed)
        )

    def shorts_at(self, ends: Collection[str]) -> set[str]:
        found: set[str] = set()
        for table, column in (("alias", "long"), ("alias", "short"), ("same_as", "short")):
            sql = f"SELECT short FROM {table} WHERE {column} IN {{in}}"
            found |= {short for (short,) in self.ledger.rows_in(sql, ends)}
        return found

    def aliases(self, shorts: Collection[str]) -> list[Alias]:
        sql = "SELECT short, long, reason FROM alias WHERE short IN {in}"
        return [(s, long, reason) for s, long, reason in self.ledger.rows_in(sql, shorts)]

    def same_as(self, shorts: Collection[str]) -> set[Alias]:
        sql = "SELECT short, long, reason FROM same_as WHERE short IN {in}"
        return {(s, long, reason) for s, long, reason in self.ledger.rows_in(sql, shorts)}

    def change_same_as(self, gone: Sequence[Alias], new: Sequence[Alias]) -> None:
        self.ledger.db.executemany("DELETE FROM same_as WHERE short = ? AND long = ?", [alias[:2] for alias in gone])
        self.ledger.db.executemany("INSERT INTO same_as VALUES (?, ?, ?)", new)


def _unit_row(row: Sequence[object]) -> UnitRow:
    return UnitRow(row[0], row[1], unit_input(row[2:-1]), row[-1])  # type: ignore[arg-type]
