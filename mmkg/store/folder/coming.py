"""Model output of spaces that a base is being brought to: kept beside the ledger's `output`, where nothing that serves looks.

The table is made by the first reindex and is empty outside of one. It is no part of the format: a base without it, and a
version that does not know it, lose nothing but the work of a reindex that was stopped.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from mmkg.schema import FORMAT_VERSION, PROBES_KEY, PROMPTS_KEY
from mmkg.store.folder.ledger import Ledger
from mmkg.store.folder.lookups import PARTLY
from mmkg.store.folder.parts import parts
from mmkg.store.folder.writer import FolderWriter
from mmkg.store.manifest import Manifest
from mmkg.types import DocumentFacts

_DDL = (
    "CREATE TABLE IF NOT EXISTS coming (key BLOB NOT NULL, space TEXT NOT NULL, n INTEGER NOT NULL, data BLOB NOT NULL)"
)
_INDEX = "CREATE UNIQUE INDEX IF NOT EXISTS coming_key ON coming(key, space)"
_OF_NO_UNIT = (
    "NOT EXISTS (SELECT 1 FROM unit u WHERE u.key = coming.key) "
    "AND NOT EXISTS (SELECT 1 FROM unit u WHERE u.media = lower(hex(coming.key)))"
)


def forget_unclaimed(ledger: Ledger) -> None:
    """Delete what a stopped reindex kept of units that are gone since. O(what it kept)."""
    if _there(ledger):
        with ledger.transaction("coming-forgotten"):
            ledger.db.execute(
                f"DELETE FROM coming WHERE key NOT IN (?, ?) AND {_OF_NO_UNIT}", (PROBES_KEY, PROMPTS_KEY)
            )


def _there(ledger: Ledger) -> bool:
    return ledger.one("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'coming'") is not None


class FolderComing:
    """What a reindex needs of a base in a folder, beside its writer."""

    def __init__(self, writer: FolderWriter) -> None:
        self._writer, self._ledger = writer, writer.ledger

    def _tables(self) -> tuple[str, ...]:
        """Where output may lie."""
        return ("output", "coming") if _there(self._ledger) else ("output",)

    def begin(self) -> None:
        """Make room for rows."""
        with self._ledger.transaction("coming-begun"):
            self._ledger.db.execute(_DDL)
            self._ledger.db.execute(_INDEX)

    def put(self, rows: Mapping[tuple[bytes, str], npt.NDArray[Any]]) -> None:
        """Keep (content key, space) -> (n, dim) vectors durably, as half precision; what is there stays."""
        with self._ledger.transaction("coming-kept"):
            self._ledger.db.executemany(
                "INSERT OR IGNORE INTO coming VALUES (?, ?, ?, ?)",
                [(k, s, len(x), np.ascontiguousarray(x, dtype="<f2").tobytes()) for (k, s), x in rows.items()],
            )

    def get(self, key: bytes, space: str) -> npt.NDArray[np.float32] | None:
        """(n, dim) of one row, or None."""
        row = (
            self._ledger.one("SELECT n, data FROM coming WHERE key = ? AND space = ?", (key, space))
            if _there(self._ledger)
            else None
        )
        return None if row is None else np.frombuffer(row[1], dtype="<f2").reshape(row[0], -1).astype(np.float32)

    def keys(self, keys: Collection[bytes], space: str) -> set[bytes]:
        """Those of these keys that have output in a space, kept or coming."""
        found = set()
        for table in self._tables():
            sql = f"SELECT key FROM {table} WHERE space = ? AND key IN {{in}}"
            found |= {bytes(k) for (k,) in self._ledger.rows_in(sql, set(keys), (space,))}
        return found

    def count(self, space: str) -> int:
        """How many units and pictures have output in a space, kept or coming."""
        n = 0
        for table in self._tables():
            sql = f"SELECT count(*) FROM {table} WHERE space = ? AND key NOT IN (?, ?)"
            n += int((self._ledger.one(sql, (space, PROBES_KEY, PROMPTS_KEY)) or (0,))[0])
        return n

    def spaces(self) -> set[str]:
        """Spaces that a reindex was bringing in."""
        rows = self._ledger.rows("SELECT DISTINCT space FROM coming") if _there(self._ledger) else []
        return {space for (space,) in rows}

    def forget(self, spaces: Collection[str]) -> None:
        """Delete the rows of these spaces."""
        if spaces:
            with self._ledger.transaction("coming-forgotten"):
                self._ledger.db.executemany("DELETE FROM coming WHERE space = ?", [(s,) for s in sorted(spaces)])

    def lacking(self, space: str) -> list[str]:
        """Documents, visible or to come, with a unit that has words but no output in a space, kept or coming; a list of all."""
        tables = self._tables()
        absent = " ".join(f"AND NOT EXISTS (SELECT 1 FROM {t} o WHERE o.key = u.key AND o.space = ?)" for t in tables)
        rows = self._ledger.rows(
            f"SELECT d.id FROM document d WHERE NOT ({PARTLY}) "
            f"AND EXISTS (SELECT 1 FROM unit u WHERE u.document = d.no AND u.key IS NOT NULL {absent}) ORDER BY d.id",
            (space,) * len(tables),
        )
        return [id_ for (id_,) in rows]

    def pictures_lacking(self, space: str) -> list[str]:
        """sha256 of the visible pictures without output in a space, kept or coming."""
        wanted = dict.fromkeys(media for _, media in self._writer.images_without(space))
        there = self.keys([bytes.fromhex(m) for m in wanted], space)
        return [m for m in wanted if bytes.fromhex(m) not in there]

    def facts(self, document: str) -> Iterator[DocumentFacts]:
        """The facts of a document, a long one part by part."""
        row = self._ledger.one("SELECT no FROM document WHERE id = ?", (document,))
        return (part.facts for part in parts(self._ledger, row[0])) if row else iter(())

    def change_over(self, manifest: Manifest, *, leaving: Sequence[str]) -> None:
        """From the commit of this on, the base has this manifest and the output that was coming; that of spaces in `leaving` is gone.

        In the same commit the derived layer, graph and index are made anew. O(base), without a model.
        """
        manifest = replace(manifest, format_version=FORMAT_VERSION)
        coming = sorted(self.spaces() & manifest.spaces.keys())
        db = self._ledger.db

        def first() -> None:
            self._ledger.put_meta("manifest", manifest.text())
            db.executemany("DELETE FROM output WHERE space = ?", [(space,) for space in leaving])
            db.executemany(
                "INSERT OR IGNORE INTO output SELECT key, space, n, data FROM coming "
                f"WHERE space = ? AND (key = ? OR NOT ({_OF_NO_UNIT}))",
                [(space, PROMPTS_KEY) for space in coming],
            )
            db.execute("DROP TABLE IF EXISTS coming")

        self._writer.rebuild(first=first)
        manifest.write_copy(self._writer.root)
