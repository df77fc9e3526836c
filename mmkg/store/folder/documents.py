"""Rows of documents and sources as a publication changes them. Called inside its transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mmkg.errors import NotFoundError
from mmkg.store.changes import SourceChange
from mmkg.store.folder.facts import put_outputs, stage
from mmkg.store.folder.ledger import Ledger
from mmkg.texts import file_name_words
from mmkg.types import DocumentFacts


def move_sources(ledger: Ledger, changes: Sequence[SourceChange]) -> set[str]:
    """Point sources at their documents; returns the ids of all documents that won or lost a source."""
    db = ledger.db
    touched: set[str] = set()
    for c in changes:
        row = ledger.one("SELECT document, pending FROM source WHERE uri = ?", (c.uri,))
        touched |= {d for d in (row or ()) if d} | ({c.document} if c.document else set())
        if c.drop:
            db.execute("DELETE FROM source WHERE uri = ?", (c.uri,))
            db.execute("DELETE FROM source_word WHERE uri = ?", (c.uri,))
            continue
        db.execute(
            "INSERT INTO source VALUES (?, ?, NULL, ?, ?, ?, ?) ON CONFLICT (uri) DO UPDATE SET "
            "document = excluded.document, pending = NULL, status = excluded.status, reason = excluded.reason, "
            "size = excluded.size, mtime_ns = excluded.mtime_ns",
            (c.uri, c.document, c.status, c.reason, c.size, c.mtime_ns),
        )
        if row is None or row[0] is None:
            db.executemany(
                "INSERT OR IGNORE INTO source_word VALUES (?, ?)", [(w, c.uri) for w in file_name_words(c.uri)]
            )
    return touched


def delete_documents(ledger: Ledger, numbers: Sequence[int], *, keep_outputs: bool = False) -> list[str]:
    """Delete the rows of documents; returns the hashes of blobs that nothing refers to any more."""
    db = ledger.db
    if not numbers:
        return []
    hashes = {h for (h,) in ledger.rows_in("SELECT id FROM document WHERE no IN {in}", numbers)}
    units = list(ledger.rows_in("SELECT key, media FROM unit WHERE document IN {in}", numbers))
    hashes |= {media for _, media in units if media}
    keys = {key for key, _ in units if key}
    for table in ("unit", "section", "page", "text_part"):
        db.executemany(f"DELETE FROM {table} WHERE document = ?", [(n,) for n in numbers])
    db.executemany("DELETE FROM document WHERE no = ?", [(n,) for n in numbers])
    if keep_outputs:
        return []
    keys -= {k for (k,) in ledger.rows_in("SELECT key FROM unit WHERE key IN {in}", keys)}
    hashes -= {h for (h,) in ledger.rows_in("SELECT id FROM document WHERE id IN {in}", hashes)}
    hashes -= {h for (h,) in ledger.rows_in("SELECT media FROM unit WHERE media IN {in}", hashes)}
    db.executemany("DELETE FROM heard WHERE recording = ?", [(h,) for h in hashes])
    keys |= {bytes.fromhex(h) for h in hashes}
    db.executemany("DELETE FROM output WHERE key = ?", [(k,) for k in keys])
    return sorted(hashes)


def stage_beside(
    ledger: Ledger, document: str, facts: DocumentFacts, outputs: Mapping[tuple[bytes, str], np.ndarray[Any, Any]]
) -> tuple[int, int]:
    """Numbers of a document's rows as they were and as they shall be. The old ones get out of the way of its ids."""
    db = ledger.db
    row = ledger.one("SELECT no, n_bytes FROM document WHERE id = ? AND state = 'visible'", (document,))
    if row is None:
        raise NotFoundError(f"no document {document}")
    aside = document[::-1]  # no document has it, and it is a hash in form, as what deletes rows expects
    db.execute("UPDATE document SET id = ? WHERE no = ?", (aside, row[0]))
    db.execute("UPDATE unit SET id = ? || substr(id, ?) WHERE document = ?", (aside, len(document) + 1, row[0]))
    new = stage(ledger, document, facts, n_bytes=row[1])
    put_outputs(ledger, outputs)
    return row[0], new
