"""ledger.sqlite: facts, derived layer, sources, and which generation is current. The one file whose loss loses something.

Access paths are chosen so that the cost of a change follows the document: every lookup that publishing makes is by an
index, O(log n) in the size of the base, and no statement of it scans a table of the base.
"""

from __future__ import annotations

import json
import re
import sqlite3
import uuid
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

from mmkg.errors import FormatVersionError, StoreDamagedError, StoreError, StoreLockedError
from mmkg.schema import FORMAT_VERSION
from mmkg.store.durable import failpoint

NAME = "ledger.sqlite"
_BUSY_MS = 30_000
"""How long a statement waits for another connection of this base."""

META_DDL = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""
"""What a base knows of itself (format 2): `base`, a random id that its backups share, and `manifest`, of which manifest.json is a copy."""

HEARD_DDL = """
CREATE TABLE heard (
  recording TEXT NOT NULL, model TEXT NOT NULL, start_ms INTEGER NOT NULL, end_ms INTEGER NOT NULL, words TEXT NOT NULL,
  PRIMARY KEY (recording, model, start_ms, end_ms)) WITHOUT ROWID;
CREATE INDEX unit_clip ON unit(document) WHERE label = 'Clip';
"""
"""What a recogniser heard in each clip of a recording (its sha256), as JSON rows of start_ms, end_ms, word (format 3)."""
PICTURE_DDL = """
CREATE TABLE bucket (key INTEGER NOT NULL, media TEXT NOT NULL, PRIMARY KEY (key, media)) WITHOUT ROWID;
CREATE TABLE similar (
  a TEXT NOT NULL, b TEXT NOT NULL, score REAL NOT NULL, reason TEXT NOT NULL, PRIMARY KEY (a, b)) WITHOUT ROWID;
CREATE INDEX similar_b ON similar(b);
CREATE TABLE depicts (
  image TEXT NOT NULL, entity TEXT NOT NULL, score REAL NOT NULL, reason TEXT NOT NULL,
  PRIMARY KEY (image, entity)) WITHOUT ROWID;
"""
"""Edges of pictures, and the buckets that find near ones (format 5; mmkg.store.pictures). Made from the facts and model output."""
TIME_COLUMNS = ("start_ms INTEGER", "end_ms INTEGER", "times BLOB")
"""Of the table unit, since format 3."""
DESCRIBED_COLUMNS = ("said_start INTEGER", "said_end INTEGER")
"""Of the table unit, since format 6: the span of what a model wrote of a picture."""

PART_DDL = """
CREATE TABLE text_part (
  document INTEGER NOT NULL, start INTEGER NOT NULL, length INTEGER NOT NULL, first_unit INTEGER NOT NULL,
  n_units INTEGER NOT NULL, data BLOB NOT NULL, PRIMARY KEY (document, start));
"""
"""The text of long documents in stretches, and which units (by `ord`) lie in each (format 4); their column `text` is empty."""

# `state` of a document: arriving (a long text of which parts are still to come), staged (facts complete, not yet visible)
# or visible.
# Unit and document numbers are never reused (AUTOINCREMENT): index segments refer to them.
_DDL = (
    """
CREATE TABLE document (
  no INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, state TEXT NOT NULL, media_type TEXT NOT NULL,
  name TEXT NOT NULL, meta TEXT NOT NULL, text BLOB NOT NULL, n_bytes INTEGER NOT NULL, facts_hash BLOB NOT NULL);
CREATE INDEX document_state ON document(state) WHERE state <> 'visible';
CREATE TABLE section (
  document INTEGER NOT NULL, ord INTEGER NOT NULL, heading TEXT NOT NULL, level INTEGER NOT NULL,
  start INTEGER NOT NULL, end INTEGER NOT NULL, parent INTEGER, PRIMARY KEY (document, ord)) WITHOUT ROWID;
CREATE TABLE page (
  document INTEGER NOT NULL, number INTEGER NOT NULL, width INTEGER NOT NULL, height INTEGER NOT NULL,
  start INTEGER NOT NULL, end INTEGER NOT NULL, lines BLOB NOT NULL, PRIMARY KEY (document, number));
CREATE TABLE unit (
  no INTEGER PRIMARY KEY AUTOINCREMENT, document INTEGER NOT NULL, ord INTEGER NOT NULL, id TEXT NOT NULL UNIQUE,
  label TEXT NOT NULL, kind TEXT NOT NULL, start INTEGER NOT NULL, end INTEGER NOT NULL, page INTEGER, box TEXT,
  section INTEGER, cap_start INTEGER, cap_end INTEGER, media TEXT, width INTEGER, height INTEGER,
  sentences BLOB NOT NULL, names TEXT NOT NULL, refers TEXT NOT NULL, pieces TEXT NOT NULL, titles TEXT NOT NULL,
  key BLOB, derived TEXT, start_ms INTEGER, end_ms INTEGER, times BLOB, said_start INTEGER, said_end INTEGER);
CREATE UNIQUE INDEX unit_document ON unit(document, ord);
CREATE INDEX unit_key ON unit(key) WHERE key IS NOT NULL;
CREATE INDEX unit_media ON unit(media) WHERE media IS NOT NULL;
CREATE TABLE output (key BLOB NOT NULL, space TEXT NOT NULL, n INTEGER NOT NULL, data BLOB NOT NULL);
CREATE UNIQUE INDEX output_key ON output(key, space);

CREATE TABLE source (
  uri TEXT PRIMARY KEY, document TEXT, pending TEXT, status TEXT NOT NULL, reason TEXT NOT NULL,
  size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX source_document ON source(document) WHERE document IS NOT NULL;
CREATE INDEX source_pending ON source(pending) WHERE pending IS NOT NULL;
CREATE TABLE source_word (word TEXT NOT NULL, uri TEXT NOT NULL, PRIMARY KEY (word, uri)) WITHOUT ROWID;
CREATE INDEX source_word_uri ON source_word(uri);

CREATE TABLE title_form (form TEXT PRIMARY KEY, n INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE anchor (key INTEGER NOT NULL, unit INTEGER NOT NULL, PRIMARY KEY (key, unit)) WITHOUT ROWID;
CREATE TABLE entity (
  key INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, name TEXT NOT NULL, label TEXT NOT NULL,
  df INTEGER NOT NULL, units INTEGER NOT NULL);
CREATE TABLE entity_form (
  entity INTEGER NOT NULL, form TEXT NOT NULL, n INTEGER NOT NULL, PRIMARY KEY (entity, form)) WITHOUT ROWID;
CREATE TABLE entity_label (
  entity INTEGER NOT NULL, label TEXT NOT NULL, n INTEGER NOT NULL, PRIMARY KEY (entity, label)) WITHOUT ROWID;
CREATE TABLE cooccur (
  a INTEGER NOT NULL, b INTEGER NOT NULL, n INTEGER NOT NULL, PRIMARY KEY (a, b)) WITHOUT ROWID;
CREATE TABLE alias (
  short TEXT NOT NULL, long TEXT NOT NULL, reason TEXT NOT NULL, n INTEGER NOT NULL,
  PRIMARY KEY (short, long, reason)) WITHOUT ROWID;
CREATE INDEX alias_long ON alias(long);
CREATE TABLE same_as (
  short TEXT NOT NULL, long TEXT NOT NULL, reason TEXT NOT NULL, PRIMARY KEY (short, long)) WITHOUT ROWID;

CREATE TABLE dead (unit INTEGER PRIMARY KEY);
CREATE TABLE generation (
  no INTEGER PRIMARY KEY, text_segments TEXT NOT NULL, incidence_segments TEXT NOT NULL,
  graph_snapshot TEXT, graph_deltas TEXT NOT NULL);
"""
    + META_DDL
    + HEARD_DDL
    + PART_DDL
    + PICTURE_DDL
)

DERIVED_TABLES = ("title_form", "anchor", "entity", "entity_form", "entity_label", "cooccur", "alias", "same_as")
PICTURE_TABLES = ("bucket", "similar", "depicts")


@dataclass(frozen=True, slots=True)
class FileRef:
    """A file of a generation: name relative to the base, sha256, how many rows it holds (for merge decisions), and its bytes.

    size: 0 where a version that did not keep it wrote the file.
    """

    name: str
    sha256: str
    rows: int = 0
    size: int = 0


@dataclass(frozen=True, slots=True)
class Generation:
    """A published state: its number and the files that hold it, segments and deltas oldest first."""

    no: int
    text_segments: tuple[FileRef, ...] = ()
    incidence_segments: tuple[FileRef, ...] = ()
    graph_snapshot: FileRef | None = None
    graph_deltas: tuple[FileRef, ...] = ()

    @classmethod
    def from_row(cls, row: Sequence[Any]) -> Generation:
        """Raises StoreDamagedError for a row that names no files, or files outside the folders that hold them."""

        def refs(text: str) -> tuple[FileRef, ...]:
            return tuple(_file_ref(item) for item in json.loads(text))

        try:
            snapshot = _file_ref(json.loads(row[3])) if row[3] else None
            return cls(int(row[0]), refs(row[1]), refs(row[2]), snapshot, refs(row[4]))
        except (ValueError, TypeError, RecursionError) as e:
            raise StoreDamagedError(f"the ledger names no generation that can be read: {e}", hint=_SALVAGE) from e

    def to_row(self) -> tuple[Any, ...]:
        def text(refs: Sequence[FileRef]) -> str:
            return json.dumps([astuple(r) for r in refs])

        snapshot = json.dumps(astuple(self.graph_snapshot)) if self.graph_snapshot else None
        return (self.no, text(self.text_segments), text(self.incidence_segments), snapshot, text(self.graph_deltas))

    def files(self) -> set[str]:
        """Names of all files that this generation stands on, relative to the base."""
        refs = [*self.text_segments, *self.incidence_segments, *self.graph_deltas]
        return {r.name for r in refs} | ({self.graph_snapshot.name} if self.graph_snapshot else set())


class Ledger:
    """A connection to the ledger. One for the writer; one for each reader, which holds a read transaction open."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self.db = connection
        self.path = path

    @classmethod
    def create(cls, root: Path, manifest: str) -> Ledger:
        """A new empty ledger with this manifest, durable when this returns. What an unfinished one left is removed."""
        for end in ("", "-wal", "-shm"):
            (root / f"{NAME}{end}").unlink(missing_ok=True)
            failpoint("leftover-removed")
        ledger = cls._connect(root / NAME, writable=True)
        with ledger.transaction("ledger-created"):
            for statement in _DDL.split(";"):
                if statement.strip():
                    ledger.db.execute(statement)
            ledger.db.execute("INSERT INTO generation VALUES (0, '[]', '[]', NULL, '[]')")
            ledger.put_meta("base", uuid.uuid4().hex)
            ledger.put_meta("manifest", manifest)
            ledger.db.execute(f"PRAGMA user_version = {FORMAT_VERSION}")
        return ledger

    @classmethod
    def open(cls, root: Path, *, writable: bool = False, name: str = NAME) -> Ledger:
        """Raises StoreDamagedError if the file is absent or not a ledger, FormatVersionError for a newer one."""
        path = root / name
        if not path.exists():
            raise StoreDamagedError(
                f"{path} is missing", hint="restore it from a backup, or `mmkg salvage` what is left"
            )
        ledger = cls._connect(path, writable=writable)
        try:
            found = ledger.format()
            ledger.one("SELECT count(*) FROM generation")
            if ledger.one("SELECT 1 FROM sqlite_master WHERE type IN ('trigger', 'view')"):
                # mmkg makes none: whoever put it there wants statements of his to run with ours
                raise StoreDamagedError(f"{path} holds triggers or views that are not mmkg's", hint=_SALVAGE)
        except StoreError:
            ledger.close()
            raise
        if found > FORMAT_VERSION:
            ledger.close()
            raise newer_format(found)
        if found < FORMAT_VERSION and not writable:
            ledger._as_now(found)
        return ledger

    def _as_now(self, found: int) -> None:
        """Let a base of an older format be read as it is: what it has not is empty. Nothing is written to it."""
        self.db.execute("PRAGMA query_only = OFF")
        if found < 4:
            self.db.execute(PART_DDL.replace("CREATE TABLE", "CREATE TEMP TABLE").replace(";", ""))
        later = {*TIME_COLUMNS, *DESCRIBED_COLUMNS}
        if missing := later - {f"{c[1]} {c[2]}" for c in self.rows("PRAGMA table_info(unit)")}:
            empty = ", ".join(f"NULL AS {column.split()[0]}" for column in sorted(missing))
            self.db.execute(f"CREATE TEMP VIEW unit AS SELECT *, {empty} FROM main.unit")
        self.db.execute("PRAGMA query_only = ON")

    @classmethod
    def there(cls, root: Path) -> bool:
        """False only if the folder has no ledger, or one that was never finished (its maker was killed)."""
        path = root / NAME
        if not path.is_file() or path.stat().st_size == 0:
            return False
        try:
            with closing(sqlite3.connect(path)) as db:
                return db.execute("SELECT 1 FROM sqlite_master WHERE name = 'generation'").fetchone() is not None
        except sqlite3.DatabaseError:
            return True  # what cannot be read may be all there is

    @classmethod
    def _connect(cls, path: Path, *, writable: bool) -> Ledger:
        try:
            db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=_BUSY_MS / 1000)
            db.execute("PRAGMA trusted_schema = OFF")
            db.execute("PRAGMA cell_size_check = ON")
            db.execute("PRAGMA cache_size = -65536")
            if writable:
                db.execute("PRAGMA page_size = 8192")
                (mode,) = db.execute("PRAGMA journal_mode = WAL").fetchone()
                if (
                    mode != "wal"
                ):  # a disk that failed just here: in another mode readers and the writer would stop each other
                    db.close()
                    raise StoreError(
                        f"{path} cannot be opened for writing", hint="check the disk, then run the command again"
                    )
                # FULL: a commit is on disk when COMMIT returns, which is what "committed" promises.
                db.execute("PRAGMA synchronous = FULL")
                db.execute("PRAGMA secure_delete = ON")
            else:
                db.execute("PRAGMA query_only = ON")
        except sqlite3.DatabaseError as e:
            raise _mapped(e, path) from e
        return cls(db, path)

    def close(self) -> None:
        self.db.close()

    @contextmanager
    def transaction(self, point: str = "") -> Iterator[None]:
        """BEGIN IMMEDIATE ... COMMIT; rolled back if the body raises. SQLite's errors become ours.

        point: the fail point after the commit, if there is one.
        """
        try:
            self.db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self.db.execute("COMMIT")
            except BaseException:
                if self.db.in_transaction:
                    self.db.execute("ROLLBACK")
                raise
        except sqlite3.Error as e:
            raise _mapped(e, self.path) from e
        if point:
            failpoint(point)

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        try:
            return self.db.execute(sql, parameters).fetchall()
        except sqlite3.DatabaseError as e:
            raise _mapped(e, self.path) from e

    def stream(self, sql: str, parameters: Sequence[Any] = ()) -> Iterator[tuple[Any, ...]]:
        """The rows one by one, for more than fit into memory."""
        try:
            yield from self.db.execute(sql, parameters)
        except sqlite3.DatabaseError as e:
            raise _mapped(e, self.path) from e

    def one(self, sql: str, parameters: Sequence[Any] = ()) -> tuple[Any, ...] | None:
        try:
            row: tuple[Any, ...] | None = self.db.execute(sql, parameters).fetchone()
            return row
        except sqlite3.DatabaseError as e:
            raise _mapped(e, self.path) from e

    def rows_in(self, sql: str, values: Iterable[Any], prefix: Sequence[Any] = ()) -> Iterator[tuple[Any, ...]]:
        """Rows of `sql`, whose `{in}` stands for a list of placeholders, over any number of values."""
        todo = list(values)
        for i in range(0, len(todo), 500):
            part = todo[i : i + 500]
            yield from self.rows(sql.replace("{in}", f"({','.join('?' * len(part))})"), (*prefix, *part))

    # ---- what the base knows of itself ----

    def format(self) -> int:
        """Format version of the ledger; the first one did not write it down."""
        row = self.one("PRAGMA user_version")
        return (int(row[0]) if row else 0) or 1

    def meta(self, key: str) -> str | None:
        """A value of the table meta, or None; a ledger of format 1 has no such table."""
        if self.format() < 2:
            return None
        row = self.one("SELECT value FROM meta WHERE key = ?", (key,))
        return None if row is None else str(row[0])

    def put_meta(self, key: str, value: str) -> None:
        """Keep a value. Call inside a transaction."""
        self.db.execute(
            "INSERT INTO meta VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value", (key, value)
        )

    # ---- space ----

    def vacuum(self) -> None:
        """Write the whole file anew, without free pages and what they held. O(ledger) time; twice its size on disk for a while."""
        try:
            self.db.execute("VACUUM")
        except sqlite3.Error as e:
            raise _mapped(e, self.path) from e

    def empty_log(self) -> bool:
        """Move the write-ahead log into the file and cut it to no bytes; False if a reader still needs it. Does not wait."""
        try:
            self.db.execute("PRAGMA busy_timeout = 0")
            busy, *_ = self.db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            return not busy
        except sqlite3.OperationalError as e:
            if isinstance(mapped := _mapped(e, self.path), StoreLockedError):
                return False
            raise mapped from e
        finally:
            self.db.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")

    def named(self, error: sqlite3.Error) -> StoreError:
        """The error with a name and a hint for what SQLite said."""
        return _mapped(error, self.path)

    # ---- generations ----

    def current(self) -> Generation:
        """The generation that readers open."""
        row = self.one("SELECT * FROM generation ORDER BY no DESC LIMIT 1")
        if row is None:
            raise StoreDamagedError(f"{self.path} names no generation", hint=_SALVAGE)
        return Generation.from_row(row)

    def put_generation(self, generation: Generation) -> None:
        """Make it current; earlier rows go. Call inside a transaction."""
        self.db.execute("DELETE FROM generation")
        self.db.execute("INSERT INTO generation VALUES (?, ?, ?, ?, ?)", generation.to_row())


_SALVAGE = "restore a backup (`mmkg restore`), or `mmkg salvage` what can still be read"
_DAMAGE = (
    "malformed",
    "not a database",
    "no such table",
    "no such column",
    "encrypted",
    "Could not decode",
    "unsupported file format",
)
_FILE = re.compile(r"(?:graph|index)/[A-Za-z0-9][\w.-]*")


def _file_ref(item: Sequence[Any]) -> FileRef:
    """A stranger may have made the base: a name must not lead out of its folder."""
    name, sha256, rows, size = (*item, 0)[:4]
    numbers = isinstance(rows, int) and isinstance(size, int)
    if not (isinstance(name, str) and _FILE.fullmatch(name) and isinstance(sha256, str) and numbers):
        raise ValueError(f"not a file of a generation: {str(name)[:80]!r}")
    return FileRef(name, sha256, rows, size)


@contextmanager
def readable(what: str) -> Iterator[None]:
    """What a row holds is decoded inside: SQLite does not notice a flipped bit in it, so whatever fails there is damage."""
    try:
        yield
    except (
        ValueError,
        KeyError,
        IndexError,
        TypeError,
        OverflowError,
        RecursionError,
        AssertionError,
        zlib.error,
    ) as e:
        raise StoreDamagedError(f"{what} cannot be read: {e}", hint="run `mmkg doctor`") from e


def newer_format(found: int) -> FormatVersionError:
    """The error for a base that a later mmkg wrote."""
    return FormatVersionError(
        f"the base has format {found}, this mmkg reads up to {FORMAT_VERSION}", hint="upgrade mmkg"
    )


def _mapped(error: sqlite3.Error, path: Path) -> StoreError:
    text = str(error)
    if "locked" in text or "busy" in text:
        return StoreLockedError(f"{path} is locked: {text}")
    if "full" in text:
        return StoreError(f"no space left for {path}: {text}", hint="free some space and run the command again")
    if any(sign in text for sign in _DAMAGE):
        return StoreDamagedError(f"{path} is damaged: {text}", hint=_SALVAGE)
    return StoreError(f"{path}: {text}", hint="check the disk, then run the command again")
