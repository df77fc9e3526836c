"""The arrays of a base on a server, exported in pages and kept in a folder of this machine.

They are index segments of the same form as those of a folder base, with numbers of this machine's own. A new generation costs
what changed: documents published since, units derived anew since, and, if anything was removed since, the list of ids. The folder
is named by the base's id; it can be deleted at any time, and is made anew when a file of it is damaged.
"""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from itertools import groupby, islice
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from mmkg.errors import StoreDamagedError
from mmkg.store.derivation import load_derivation
from mmkg.store.folder.index import EntityLookup, FolderIndex
from mmkg.store.folder.ledger import FileRef, Generation, Ledger
from mmkg.store.folder.projection import SegmentWriter, incidence_row, index_row
from mmkg.store.folder.segment import IncidenceRow, UnitRow
from mmkg.store.neo4j.base import BaseRow
from mmkg.store.neo4j.connection import Connection
from mmkg.store.neo4j.facts import read_facts
from mmkg.store.neo4j.rows import derived_text
from mmkg.types import DocumentFacts

log = logging.getLogger(__name__)

_DOCUMENTS = 100
"""Documents a page of the export."""
_UNITS = 2_000
"""Rows a segment of the export, about."""
_GRACE_S = 60.0
_DDL = """
CREATE TABLE document (no INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE);
CREATE TABLE unit (no INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, document INTEGER NOT NULL);
CREATE INDEX unit_document ON unit(document);
CREATE TABLE dead (unit INTEGER PRIMARY KEY);
CREATE TABLE generation (
  no INTEGER PRIMARY KEY, text_segments TEXT NOT NULL, incidence_segments TEXT NOT NULL,
  graph_snapshot TEXT, graph_deltas TEXT NOT NULL);
"""


class ArrayCache:
    """The local copy of one base's arrays. Several processes may share it; they take turns to bring it up."""

    def __init__(self, base: str, root: Path | None = None, *, walk_only: bool = False) -> None:
        """base: id of the base. root: of all caches; default the user's cache folder. walk_only: without words and vectors."""
        self.root = (root or cache_folder()) / (f"{base}-walk" if walk_only else base)
        self._units = _light_units if walk_only else _units
        self._ledger: Ledger | None = None

    def index(self, connection: Connection, row: BaseRow, lookup: EntityLookup) -> FolderIndex:
        """The arrays of the generation of `row`, or a newer one."""
        self.root.mkdir(parents=True, exist_ok=True)
        with FileLock(self.root.with_suffix(".lock")):
            try:
                return self._index(connection, row, lookup)
            except (StoreDamagedError, sqlite3.DatabaseError) as e:
                log.warning("the local arrays in %s are damaged and fetched again: %s", self.root, e)
                self.close()
                shutil.rmtree(self.root)
                self.root.mkdir(parents=True)
                return self._index(connection, row, lookup)

    def _index(self, connection: Connection, row: BaseRow, lookup: EntityLookup) -> FolderIndex:
        self.close()
        self._ledger = ledger = self._open()
        generation = ledger.current()
        if generation.no < row.generation:
            generation = self._bring_up(ledger, connection, row, generation)
        return FolderIndex(
            self.root / "index",
            [(r.name.removeprefix("index/"), r.sha256) for r in generation.text_segments],
            [(r.name.removeprefix("index/"), r.sha256) for r in generation.incidence_segments],
            dead_units=[u for (u,) in ledger.rows("SELECT unit FROM dead ORDER BY unit")],
            generation=row.generation,
            lookup=lookup,
        )

    def close(self) -> None:
        if self._ledger is not None:
            self._ledger.close()
            self._ledger = None

    def document_numbers(self, ids: Iterable[str]) -> dict[str, int]:
        """The arrays' number of each document that they hold."""
        if self._ledger is None:
            return {}
        return dict(self._ledger.rows_in("SELECT id, no FROM document WHERE id IN {in}", sorted(ids)))

    def _open(self) -> Ledger:
        (self.root / "index").mkdir(exist_ok=True)
        path = self.root / "arrays.sqlite"
        db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=30)
        ledger = Ledger(db, path)
        if not ledger.rows("SELECT 1 FROM sqlite_master WHERE name = 'generation'"):
            with ledger.transaction():
                for statement in _DDL.split(";"):
                    if statement.strip():
                        db.execute(statement)
                db.execute("INSERT INTO generation VALUES (0, '[]', '[]', NULL, '[]')")
        return ledger

    def _bring_up(self, ledger: Ledger, connection: Connection, row: BaseRow, old: Generation) -> Generation:
        """Fetch what changed since the generation that is here. One transaction: a stop leaves the old state."""
        with ledger.transaction():
            segments = SegmentWriter(self.root, ledger, row.generation)
            if row.removed > old.no:
                self._bury(ledger, connection)
            for part in _parts(self._units(ledger, connection, old.no), _UNITS):
                segments.add_units(part)
            for rows in _parts(_derivations(ledger, connection, old.no), _UNITS):
                segments.add_derivations(rows)
            text, incidence = segments.merged(old.text_segments, old.incidence_segments)
            new = Generation(row.generation, text, incidence)
            ledger.put_generation(new)
        self._sweep(new)
        return new

    def _bury(self, ledger: Ledger, connection: Connection) -> None:
        """Forget the documents that are no longer on the server."""
        here = {i for (i,) in ledger.rows("SELECT id FROM document")}
        for page in _visible(connection, 0):
            here -= set(page)
        for id_ in sorted(here):
            (no,) = ledger.one("SELECT no FROM document WHERE id = ?", (id_,)) or (None,)
            ledger.db.execute("INSERT OR IGNORE INTO dead SELECT no FROM unit WHERE document = ?", (no,))
            ledger.db.execute("DELETE FROM unit WHERE document = ?", (no,))
            ledger.db.execute("DELETE FROM document WHERE no = ?", (no,))

    def _sweep(self, generation: Generation) -> None:
        """Delete segments that no generation names; another process may just be opening the ones before."""
        named: set[FileRef | str] = set(generation.files())
        for path in (self.root / "index").iterdir():
            with suppress(OSError):
                if f"index/{path.name}" not in named and path.stat().st_mtime < time.time() - _GRACE_S:
                    path.unlink()


def cache_folder() -> Path:
    """MMKG_CACHE, or mmkg/ in the user's cache folder."""
    if given := os.environ.get("MMKG_CACHE"):
        return Path(given)
    if sys.platform == "win32":
        home = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        home = Path.home() / "Library" / "Caches"
    else:
        home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return home / "mmkg"


# ---- pages of the export ----


def _visible(connection: Connection, since: int) -> Iterator[list[str]]:
    """Ids of visible documents published after a generation, in order."""
    text = (
        "MATCH (d:_Document {_state: 'visible'}) WHERE d._id > $after AND d._published > $since "
        f"RETURN d._id AS id ORDER BY id LIMIT {_DOCUMENTS}"
    )
    after = ""
    while page := [row["id"] for row in connection.rows(text, after=after, since=since)]:
        yield page
        after = page[-1]


def _units(ledger: Ledger, connection: Connection, since: int) -> Iterator[UnitRow]:
    for page in _visible(connection, since):
        for document in page:
            number = _number(ledger, "document", document)
            facts, units = _document(connection, document)
            keys = {k for unit in units for k in (unit["key"], unit["media"]) if k}
            vectors = _vectors(connection, sorted(keys))
            _bury_others(ledger, number, [row["id"] for row in units])
            for unit, row in zip(facts.units, units, strict=True):
                mine = {bytes.fromhex(k) for k in (row["key"], row["media"]) if k}
                no = _number(ledger, "unit", row["id"], number)
                yield index_row(no, row["id"], number, facts, unit, mine, vectors)


def _light_units(ledger: Ledger, connection: Connection, since: int) -> Iterator[UnitRow]:
    """Units without words and vectors; what they hold comes from the rows of `mmkg.store.neo4j.searchrows`."""
    text = (
        "UNWIND $ids AS i MATCH (u:_Unit {_document: i}) WHERE u._n_terms IS NOT NULL RETURN i AS document, u._id AS id, "
        "u._modality AS modality, u._n_terms AS terms, u._n_sentences AS sentences ORDER BY document, u._ord"
    )
    for page in _visible(connection, since):
        rows = connection.rows(text, ids=page)
        for document, group in groupby(rows, key=lambda row: row["document"]):
            number, units = _number(ledger, "document", document), list(group)
            _bury_others(ledger, number, [row["id"] for row in units])
            for row in units:
                yield UnitRow(
                    no=_number(ledger, "unit", row["id"], number),
                    id=row["id"],
                    document=number,
                    modality=row["modality"],
                    terms={"": row["terms"]} if row["terms"] else {},  # a length without the words
                    n_sentences=row["sentences"],
                )


def _bury_others(ledger: Ledger, document: int, units: Sequence[str]) -> None:
    """Forget the units that a document had before its facts changed (a recording was heard)."""
    here = {id_: no for no, id_ in ledger.rows("SELECT no, id FROM unit WHERE document = ?", (document,))}
    for id_ in sorted(here.keys() - set(units)):
        ledger.db.execute("INSERT OR IGNORE INTO dead VALUES (?)", (here[id_],))
        ledger.db.execute("DELETE FROM unit WHERE no = ?", (here[id_],))


def _derivations(ledger: Ledger, connection: Connection, since: int) -> Iterator[IncidenceRow]:
    text = (
        "MATCH (u:_Unit) WHERE u._changed > $since AND u._visible AND u._id > $after "
        f"RETURN u._id AS id, u._derived AS derived ORDER BY id LIMIT {_UNITS}"
    )
    after = ""
    while rows := connection.rows(text, after=after, since=since):
        numbers = dict(ledger.rows_in("SELECT id, no FROM unit WHERE id IN {in}", [row["id"] for row in rows]))
        for row in rows:
            if row["id"] in numbers:  # else: published after this export began; the next one brings it
                yield incidence_row(numbers[row["id"]], load_derivation(derived_text(row["derived"])))
        after = rows[-1]["id"]


def _document(connection: Connection, document: str) -> tuple[DocumentFacts, list[dict[str, Any]]]:
    def work(tx: Any) -> tuple[DocumentFacts, list[dict[str, Any]]]:
        row = tx.run("MATCH (d:_Document {_id: $id}) RETURN properties(d) AS row", id=document).single()
        units = tx.run(
            "MATCH (u:_Unit {_document: $id}) RETURN u._id AS id, u._key AS key, u._media AS media, u._facts AS facts "
            "ORDER BY u._ord",
            id=document,
        ).data()
        if row is None:  # removed since its id was listed
            return DocumentFacts(media_type="", name="", text=""), []
        return read_facts(row["row"], [unit["facts"] for unit in units]), units

    return connection.read(work)


def _vectors(connection: Connection, keys: Sequence[str]) -> Mapping[tuple[bytes, str], np.ndarray[Any, Any]]:
    text = "UNWIND $keys AS k MATCH (o:_Output {_key: k}) RETURN k, o._space AS space, o._n AS n, o._data AS data"
    return {
        (bytes.fromhex(row["k"]), row["space"]): np.frombuffer(row["data"], dtype="<f2").reshape(row["n"], -1)
        for row in connection.rows(text, keys=list(keys))
    }


def _number(ledger: Ledger, table: str, id_: str, document: int | None = None) -> int:
    """This machine's number of a document or unit, given at first sight."""
    row = ledger.one(f"SELECT no FROM {table} WHERE id = ?", (id_,))
    if row is None:
        columns, values = ("(id, document)", (id_, document)) if table == "unit" else ("(id)", (id_,))
        places = ", ".join("?" * len(values))
        row = ledger.one(f"INSERT INTO {table} {columns} VALUES ({places}) RETURNING no", values)
    assert row is not None
    return int(row[0])


def _parts(rows: Iterator[Any], size: int) -> Iterator[list[Any]]:
    while part := list(islice(rows, size)):
        yield part


def forget(base: str, root: Path | None = None) -> None:
    """Delete the local arrays of a base."""
    with closing(ArrayCache(base, root)) as cache:
        shutil.rmtree(cache.root, ignore_errors=True)
