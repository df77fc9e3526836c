"""What can still be read of a damaged base, as a new base; what is lost, by source.

Only documents whose facts hash to what was recorded come over, whole, with the vectors and originals that are left; the
derived layer, index and graph are made anew from them. The damaged base is only read. O(base).
"""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from mmkg.errors import MMKGError, NotFoundError, StoreError
from mmkg.protocols import Deriver, ProgressCallback
from mmkg.schema import PAGE_MARK
from mmkg.store.blobs import Blobs
from mmkg.store.changes import SourceChange
from mmkg.store.durable import sync_folder
from mmkg.store.folder.backup import apart, aside_of
from mmkg.store.folder.facts import facts_hash, outputs, read
from mmkg.store.folder.ledger import NAME as LEDGER
from mmkg.store.folder.ledger import Ledger
from mmkg.store.folder.rawpages import RawPages, Value
from mmkg.store.folder.segment import TextSegment
from mmkg.store.folder.writer import FolderWriter
from mmkg.store.manifest import Manifest
from mmkg.types import DocumentFacts, Progress

STATUSES = ("whole", "partial", "read again", "lost")
"""whole: as it was; partial: searchable, but its original or vectors are lost; read again: made anew from its original; lost."""

_TABLES = ("document", "section", "page", "text_part", "unit", "output", "source", "heard")
_BATCH = 200
_ERRORS = (MMKGError, sqlite3.Error, ValueError, KeyError, TypeError, AssertionError, zlib.error, RecursionError)


@dataclass(frozen=True, slots=True, kw_only=True)
class SalvagedSource:
    """What became of one source. status: one of STATUSES; id: its document, or "" if that is not known."""

    uri: str
    id: str
    status: str
    reason: str = ""


@dataclass(slots=True, kw_only=True)
class Salvaged:
    """A finished salvage. rows: ledger rows that could be read, by table. unclaimed: originals and pictures of no known document."""

    target: Path
    sources: list[SalvagedSource] = field(default_factory=list)
    rows: dict[str, int] = field(default_factory=dict)
    unclaimed: list[str] = field(default_factory=list)
    digest: str = ""

    @property
    def counts(self) -> dict[str, int]:
        found = Counter(s.status for s in self.sources)
        return {s: found[s] for s in STATUSES if found[s]}


def salvage(damaged: Path, target: Path, deriver: Deriver, *, progress: ProgressCallback | None = None) -> Salvaged:
    """Make a base in `target`, a new or empty folder, of what the base in `damaged` still holds; no model is called.

    Sources of documents whose facts are lost have the status `lost`; originals() finds those that can be read again.
    Raises NotFoundError if there is no ledger, StoreError for a target that is not empty.
    """
    if not (damaged / LEDGER).is_file():
        raise NotFoundError(
            f"{damaged} has no {LEDGER}", hint="its originals, if any, lie in blobs/: add them to a new base"
        )
    apart(damaged, target)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise StoreError(f"{target} is not empty", hint="name a new or empty folder")
    aside = aside_of(target)
    work = aside / ".work"
    out = Salvaged(target=target)
    try:
        work.mkdir(parents=True)
        with closing(Ledger.create(work, "{}")) as found:
            manifest = _read_rows(damaged, found, out, progress)
            with FolderWriter(aside / "base", deriver, create=True) as writer:
                writer.set_manifest(replace(manifest, deriver=deriver.version))
                _bring_over(damaged, found, writer, out, progress)
        with suppress(OSError):
            target.rmdir()
        os.replace(aside / "base", target)
        sync_folder(target.parent)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return out


def originals(damaged: Path, out: Salvaged) -> Iterator[tuple[SalvagedSource, Path]]:
    """Lost sources whose original is still there, and where: adding it makes the document again."""
    blobs = Blobs(damaged / "blobs")
    for source in out.sources:
        if source.status == "lost" and source.id and blobs.intact(source.id):
            yield source, blobs.path(source.id)


# ---- reading ----


def _read_rows(damaged: Path, found: Ledger, out: Salvaged, progress: ProgressCallback | None) -> Manifest:
    """Every row of the damaged ledger that can be read, into an empty one; and the manifest, if any copy is left."""
    shapes = {table: _columns(found, table) for table in _TABLES}
    text = ""
    pages = RawPages(damaged / LEDGER)
    try:
        with found.transaction():
            for i, (numbered, rowid, values) in enumerate(pages.rows()):
                if progress and i % 50_000 == 0:
                    progress(Progress(stage="salvage", done=0, total=2, item=f"{i} rows read"))
                if not numbered and len(values) == 2 and values[0] == "manifest" and isinstance(values[1], str):
                    text = values[1]
                for table, columns in shapes.items():
                    # A row that is older than a column lacks it at its end.
                    full = values + (None,) * (len(columns.of) - len(values))
                    if numbered is not columns.without_rowid and _fits(full, columns):
                        # What is recorded under a number that is there already is a stale copy of a page.
                        row = tuple(rowid if c.alias else v for v, c in zip(full, columns.of, strict=True))
                        with suppress(sqlite3.IntegrityError, OverflowError):
                            found.db.execute(f"INSERT INTO {table} VALUES ({','.join('?' * len(row))})", row)
    finally:
        pages.close()
    for table in _TABLES:
        out.rows[table] = int((found.one(f"SELECT count(*) FROM {table}") or (0,))[0])
    for data in (text, _bytes(damaged / "manifest.json")):
        with suppress(MMKGError):
            return Manifest.parse(data, "manifest")
    return Manifest()


@dataclass(frozen=True, slots=True)
class _Column:
    kind: type
    nullable: bool
    alias: bool
    """Of the row's number: the record holds NULL in its place."""


@dataclass(frozen=True, slots=True)
class _Shape:
    without_rowid: bool
    of: list[_Column]


def _columns(ledger: Ledger, table: str) -> _Shape:
    kinds = {"INTEGER": int, "TEXT": str, "BLOB": bytes}
    without = bool((ledger.one("SELECT wr FROM pragma_table_list WHERE name = ?", (table,)) or (0,))[0])
    rows = ledger.rows(f"PRAGMA table_info({table})")
    single = sum(1 for *_, key in rows if key) == 1
    columns = [
        _Column(kinds[kind], not required and not key, not without and single and bool(key) and kind == "INTEGER")
        for _, _, kind, required, _, key in rows
    ]
    return _Shape(without, columns)


def _fits(values: tuple[Value, ...], shape: _Shape) -> bool:
    """Whether these can be the values of a row of the table."""
    return len(values) == len(shape.of) and all(
        v is None if c.alias else c.nullable if v is None else isinstance(v, c.kind)
        for v, c in zip(values, shape.of, strict=True)
    )


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


# ---- bringing over ----


def _bring_over(
    damaged: Path, found: Ledger, writer: FolderWriter, out: Salvaged, progress: ProgressCallback | None
) -> None:
    blobs = Blobs(damaged / "blobs")
    dims = {key: _dim(entry) for key, entry in writer.manifest.spaces.items()}
    text_spaces = {k for k, e in writer.manifest.spaces.items() if "text" in e.get("modalities", ())}
    changes: list[SourceChange] = []
    claimed: set[str] = set()
    documents = found.rows("SELECT no, id, n_bytes, facts_hash FROM document WHERE state <> 'arriving' ORDER BY id")
    reasons: dict[str, str] = {}
    for i, (no, id_, n_bytes, recorded) in enumerate(documents):
        if progress and i % 20 == 0:
            progress(Progress(stage="salvage", done=1, total=2, item=f"{i} of {len(documents)} documents"))
        claimed |= {id_, *(m for (m,) in found.rows("SELECT media FROM unit WHERE document = ?", (no,)) if m)}
        facts = _facts(found, no, recorded)
        if facts is None:
            reasons[id_] = "part of its facts is lost"
            continue
        lacks = _stage(found, writer, blobs, no, id_, facts, n_bytes, dims, text_spaces)
        new = _sources(found, id_)
        changes += new
        status = "partial" if lacks else "whole"
        out.sources += [SalvagedSource(uri=c.uri, id=id_, status=status, reason=", ".join(lacks)) for c in new]
        if len(changes) >= _BATCH:
            writer.publish(changes)
            changes = []
    if changes:
        writer.publish(changes)
    with writer.ledger.transaction():
        for row in found.stream("SELECT * FROM heard"):
            if row[0] in claimed:
                writer.ledger.db.execute(f"INSERT OR IGNORE INTO heard VALUES ({','.join('?' * len(row))})", row)
    brought = {s.uri for s in out.sources}
    rest = found.rows(
        "SELECT uri, coalesce(document, pending, ''), status, reason, size, mtime_ns FROM source ORDER BY uri"
    )
    notes = []
    for uri, id_, status, reason, size, mtime_ns in rest:
        if uri in brought:
            continue
        if id_:
            why = reasons.get(id_, "its document is lost")
            out.sources.append(SalvagedSource(uri=uri, id=id_, status="lost", reason=why))
            status, reason = "failed", f"lost: {why}"
            claimed.add(id_)
        notes.append(SourceChange(uri=uri, document=None, status=status, reason=reason, size=size, mtime_ns=mtime_ns))
    writer.note_sources(notes)
    for id_ in _known_elsewhere(damaged, found, blobs) - claimed:
        reasons[id_] = "its row and where it came from are lost"
        claimed.add(id_)
    known = {s.id for s in out.sources}
    for id_ in sorted(reasons.keys() - known):
        out.sources.append(SalvagedSource(uri=_made_up(id_), id=id_, status="lost", reason=reasons[id_]))
    out.sources.sort(key=lambda s: s.uri)
    out.unclaimed = [sha256 for sha256 in blobs.all() if sha256 not in claimed]


def _known_elsewhere(damaged: Path, found: Ledger, blobs: Blobs) -> set[str]:
    """Documents that units of the ledger or the index are of (a unit's id begins with its document's), and whose original is there."""
    ids = {id_.partition("/")[0] for (id_,) in found.rows("SELECT id FROM unit")}
    for path in sorted((damaged / "index").glob("text-*.seg")):
        with suppress(*_ERRORS):
            ids |= {id_.partition(b"/")[0].decode() for id_ in TextSegment(path).ids.tolist()}
    return {id_ for id_ in ids if re.fullmatch("[0-9a-f]{64}", id_) and blobs.intact(id_)}


def _facts(found: Ledger, no: int, recorded: bytes) -> DocumentFacts | None:
    """The facts of a document if they are all there and unchanged."""
    try:
        facts = read(found, no)
        return facts if facts_hash(facts) == recorded else None
    except _ERRORS:
        return None


def _stage(
    found: Ledger,
    writer: FolderWriter,
    blobs: Blobs,
    no: int,
    id_: str,
    facts: DocumentFacts,
    n_bytes: int,
    dims: dict[str, int],
    text_spaces: set[str],
) -> list[str]:
    """Bring one document over, not yet visible; returns what it lacks."""
    lacks = []
    whole = blobs.intact(id_)
    if not whole:
        lacks.append("the original is lost")
    media: dict[str, bytes | Path] = {}
    for sha256 in sorted({u.media for u in facts.units if u.media and u.media != id_}):
        if blobs.intact(sha256):
            media[sha256] = blobs.path(sha256)
        else:
            lacks.append(f"picture {sha256[:12]} is lost")
    keys = found.rows("SELECT key, media FROM unit WHERE document = ?", (no,))
    wanted = {k for k, _ in keys if k}
    pictures = {bytes.fromhex(m) for _, m in keys if m}
    kept = _vectors(found, [*wanted, *pictures, *({bytes.fromhex(id_)} - pictures)], dims)
    for space in sorted(text_spaces):
        if gone := sum((key, space) not in kept for key in wanted):
            lacks.append(f"{gone} of {len(wanted)} vectors are lost (`mmkg doctor --fix` makes them again)")
    writer.stage(
        id_, facts, n_bytes=n_bytes, uris=(), original=blobs.path(id_) if whole else None, media=media, outputs=kept
    )
    return lacks


def _vectors(found: Ledger, keys: list[bytes], dims: dict[str, int]) -> dict[tuple[bytes, str], np.ndarray[Any, Any]]:
    """Model output of known spaces that has their shape and length; one flipped bit of an exponent shows in the length."""
    kept = {}
    for key in keys:
        try:
            rows = outputs(found, [key], pages=True)
        except _ERRORS:
            continue
        for (_, space), x in rows.items():
            if x.shape[1] == dims.get(space.partition(PAGE_MARK)[0], -1):
                lengths = np.linalg.norm(x.astype(np.float32), axis=1)
                if np.isfinite(lengths).all() and (abs(lengths - 1.0) < 0.01).all():
                    kept[key, space] = x
    return kept


def _sources(found: Ledger, id_: str) -> list[SourceChange]:
    """Where a document came from; a made-up source if that is lost, since a document without one would go."""
    rows = found.rows(
        "SELECT uri, status, reason, size, mtime_ns FROM source WHERE document = ? OR pending = ? ORDER BY uri",
        (id_, id_),
    )
    made = [
        SourceChange(
            uri=uri,
            document=id_,
            status="added" if status == "pending" else status,
            reason=reason,
            size=size,
            mtime_ns=at,
        )
        for uri, status, reason, size, at in rows
    ]
    return made or [SourceChange(uri=_made_up(id_), document=id_, reason="salvaged; where it came from is lost")]


def _made_up(id_: str) -> str:
    return f"text:salvaged/{id_[:12]}"


def _dim(entry: dict[str, Any]) -> int:
    space = entry.get("space")
    dim = space.get("dim") if isinstance(space, dict) else None
    return dim if isinstance(dim, int) else 0
