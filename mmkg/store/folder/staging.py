"""What a writer keeps durably without showing it: bytes, facts, model output, statuses. Publishing makes documents visible."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mmkg.longfacts import LongFacts
from mmkg.schema import PAGE_MARK
from mmkg.store.blobs import Blobs
from mmkg.store.changes import SourceChange
from mmkg.store.folder.documents import delete_documents
from mmkg.store.folder.facts import put_outputs, stage
from mmkg.store.folder.lookups import PARTLY, STAGED, LedgerLookups
from mmkg.store.folder.parts import begin, finish, put, set_meta
from mmkg.types import LANGUAGES, Cue, DocumentFacts, languages_of, pack_ordinals


class Staging(LedgerLookups):
    """The part of a writer that changes no generation but in `set_meta`."""

    blobs: Blobs

    def stage(
        self,
        document: str,
        facts: DocumentFacts,
        *,
        n_bytes: int,
        uris: Iterable[str],
        original: Path | bytes | None,
        media: Mapping[str, bytes | Path],
        outputs: Mapping[tuple[bytes, str], np.ndarray[Any, Any]],
    ) -> None:
        """Keep a document's bytes, facts and model output durably, not yet visible.

        original, and each of media: the file, or its bytes; None for an original that is lost. Raises StoreDamagedError if the file changed since it was hashed.
        """
        if original is not None:
            self.blobs.put(original, document)
        for sha256, data in media.items():
            self.blobs.put(data, sha256)
        with self.ledger.transaction("facts-staged"):
            stage(self.ledger, document, facts, n_bytes=n_bytes)
            put_outputs(self.ledger, outputs)
            self._await(document, uris)

    def stage_parts(
        self,
        document: str,
        facts: LongFacts,
        parts: Iterable[tuple[DocumentFacts, Mapping[tuple[bytes, str], np.ndarray[Any, Any]]]],
        *,
        n_bytes: int,
        uris: Iterable[str],
        original: Path,
    ) -> None:
        """As stage, for a long text: each of `parts` (with names, and its model output) is kept before the next is asked for.

        What a stopped run left of the document is forgotten first, but for model output. Raises StoreDamagedError if the file
        changed since it was hashed.
        """
        self.blobs.put(original, document)
        with self.ledger.transaction("facts-staged"):
            rows = self.ledger.rows(f"SELECT no FROM document d WHERE id = ? AND {PARTLY}", (document,))
            delete_documents(self.ledger, [no for (no,) in rows], keep_outputs=True)
            no = begin(self.ledger, document, facts, n_bytes=n_bytes)
        languages: dict[int, str] = {}
        for part, outputs in parts:
            languages |= {o: language for language, held in languages_of(part.meta).items() for o in held}
            with self.ledger.transaction("facts-staged"):
                put(self.ledger, no, document, part, facts)
                put_outputs(self.ledger, outputs)
        with self.ledger.transaction("facts-staged"):
            if languages:
                set_meta(
                    self.ledger, no, dict(sorted({**facts.head.meta, LANGUAGES: pack_ordinals(languages)}.items()))
                )
            finish(self.ledger, no)
            self._await(document, uris)

    def kept_outputs(self, keys: Sequence[bytes], space: str) -> set[bytes]:
        """Those of these content keys for which model output of a space is kept."""
        sql = "SELECT key FROM output WHERE space = ? AND key IN {in}"
        return {key for (key,) in self.ledger.rows_in(sql, keys, (space,))}

    def _await(self, document: str, uris: Iterable[str]) -> None:
        self.ledger.db.executemany(
            "INSERT INTO source VALUES (?, NULL, ?, 'pending', '', 0, 0) "
            "ON CONFLICT (uri) DO UPDATE SET pending = excluded.pending",
            [(uri, document) for uri in uris],
        )

    def add_outputs(self, outputs: Mapping[tuple[bytes, str], np.ndarray[Any, Any]]) -> None:
        """Keep model output for facts that are already here."""
        with self.ledger.transaction("outputs-kept"):
            put_outputs(self.ledger, outputs)

    def drop_outputs(self, spaces: Sequence[str]) -> None:
        """Forget all model output of these spaces, inside a transaction of the caller's."""
        its = "space = ?1 OR substr(space, 1, length(?1 || ?2)) = ?1 || ?2"
        for space in spaces:
            self.ledger.db.execute(f"DELETE FROM output WHERE {its}", (space, PAGE_MARK))

    def visible_with(self, keys: Sequence[bytes]) -> bool:
        """Whether a visible document has one of these content keys."""
        sql = "SELECT 1 FROM unit u JOIN document d ON d.no = u.document WHERE d.state = 'visible' AND u."
        columns = (("media", [key.hex() for key in keys]), ("key", keys))
        return any(True for column, values in columns for _ in self.ledger.rows_in(f"{sql}{column} IN {{in}}", values))

    def put_heard(self, recording: str, model: str, span: tuple[int, int], words: Sequence[Cue]) -> None:
        """Keep what a model heard in a clip of a recording (its sha256), durably: it is not heard again after a stop."""
        rows = json.dumps([(c.start_ms, c.end_ms, c.text) for c in words], ensure_ascii=False, separators=(",", ":"))
        with self.ledger.transaction("outputs-kept"):
            self.ledger.db.execute(
                "INSERT OR REPLACE INTO heard VALUES (?, ?, ?, ?, ?)", (recording, model, *span, rows)
            )

    def set_reason(self, document: str, old: str, new: str) -> None:
        """Change the reason of a document's sources where it is `old`."""
        with self.ledger.transaction("sources-noted"):
            self.ledger.db.execute(
                "UPDATE source SET reason = ? WHERE document = ? AND reason = ?", (new, document, old)
            )

    def set_meta(self, metas: Mapping[str, Mapping[str, str]]) -> None:
        """Give visible documents (by id) other properties, as a new generation with the same files. No model is called.

        Cost: reading the facts of these documents, for their hash.
        """
        with self.ledger.transaction("sources-noted"):
            rows = self.ledger.rows_in("SELECT id, no FROM document WHERE state = 'visible' AND id IN {in}", metas)
            for id_, no in list(rows):
                set_meta(self.ledger, no, metas[id_])
            old = self.ledger.current()
            self.ledger.put_generation(replace(old, no=old.no + 1))

    def note_sources(self, changes: Sequence[SourceChange]) -> None:
        """Record statuses that change no document: failed, rejected, skipped, unchanged."""
        with self.ledger.transaction("sources-noted"):
            for c in changes:
                self.ledger.db.execute(
                    "INSERT INTO source VALUES (?, NULL, NULL, ?, ?, ?, ?) ON CONFLICT (uri) DO UPDATE SET "
                    "status = excluded.status, reason = excluded.reason, size = excluded.size, "
                    "mtime_ns = excluded.mtime_ns, pending = NULL",
                    (c.uri, c.status, c.reason, c.size, c.mtime_ns),
                )

    def drop_unclaimed(self) -> None:
        """Forget staged documents that no source waits for any more (their file changed again before they came in), and
        long ones of which only a part came."""
        with self.ledger.transaction("unclaimed-dropped"):
            rows = self.ledger.rows(
                f"SELECT no FROM document d WHERE {STAGED} AND NOT EXISTS (SELECT 1 FROM source s WHERE s.pending = d.id) "
                f"UNION ALL SELECT no FROM document d WHERE {PARTLY}"
            )
            orphans = delete_documents(self.ledger, [no for (no,) in rows])
        self.blobs.delete(orphans)
