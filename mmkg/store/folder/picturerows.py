"""The rows of pictures in the ledger (mmkg.store.pictures says what they are)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy.typing as npt

from mmkg.protocols import Deriver
from mmkg.schema import PROMPTS_KEY
from mmkg.store import pictures
from mmkg.store.folder.derived import LedgerRows
from mmkg.store.folder.facts import outputs
from mmkg.store.folder.ledger import PICTURE_TABLES, Ledger
from mmkg.store.pictures import Depicts, Similar

_DOCUMENTS = 256


def derive_pictures_anew(ledger: Ledger, deriver: Deriver) -> None:
    """Empty the rows of pictures and make them of every visible document. Call inside a transaction, behind the derived layer."""
    for table in PICTURE_TABLES:
        ledger.db.execute(f"DELETE FROM {table}")
    rows = LedgerPictures(ledger)
    documents = [no for (no,) in ledger.rows("SELECT no FROM document WHERE state = 'visible' ORDER BY no")]
    for i in range(0, len(documents), _DOCUMENTS):
        pictures.apply(rows, deriver, added=documents[i : i + _DOCUMENTS], removed=())


class LedgerPictures(LedgerRows):
    """pictures.PictureRows over the ledger's tables; documents and units by number."""

    def document_id(self, document: int) -> str:
        row = self.ledger.one("SELECT id FROM document WHERE no = ?", (document,))
        return str(row[0]) if row else ""

    def documents_of(self, units: Collection[int]) -> set[int]:
        return {d for (d,) in self.ledger.rows_in("SELECT DISTINCT document FROM unit WHERE no IN {in}", units)}

    def documents_by_id(self, ids: Collection[str]) -> dict[str, int]:
        sql = "SELECT id, no FROM document WHERE state = 'visible' AND id IN {in}"
        return dict(self.ledger.rows_in(sql, ids))

    def media_of(self, documents: Collection[int]) -> set[str]:
        sql = "SELECT DISTINCT media FROM unit WHERE label = 'Image' AND media IS NOT NULL AND document IN {in}"
        return {m for (m,) in self.ledger.rows_in(sql, documents)}

    def showing(self, media: Collection[str]) -> list[tuple[str, str, int]]:
        sql = (
            "SELECT u.media, u.id, u.document FROM unit u JOIN document d ON d.no = u.document "
            "WHERE u.label = 'Image' AND d.state = 'visible' AND u.media IN {in}"
        )
        return [(m, unit, document) for m, unit, document in self.ledger.rows_in(sql, media)]

    def kept(self, media: Collection[str]) -> dict[str, dict[str, npt.NDArray[Any]]]:
        out: dict[str, dict[str, npt.NDArray[Any]]] = {}
        for (key, space), rows in outputs(self.ledger, [bytes.fromhex(m) for m in media]).items():
            out.setdefault(key.hex(), {})[space] = rows
        return out

    def prompts(self) -> dict[str, npt.NDArray[Any]]:
        return {space: rows for (_, space), rows in outputs(self.ledger, [PROMPTS_KEY]).items()}

    def bucket(self, keys: Collection[int], limit: int) -> dict[int, list[str]]:
        out = {}
        for key in keys:
            sql = "SELECT media FROM bucket WHERE key = ? ORDER BY media LIMIT ?"
            if found := [m for (m,) in self.ledger.rows(sql, (key, limit))]:
                out[key] = found
        return out

    def change_buckets(self, gone: Sequence[tuple[int, str]], new: Sequence[tuple[int, str]]) -> None:
        self.ledger.db.executemany("DELETE FROM bucket WHERE key = ? AND media = ?", gone)
        self.ledger.db.executemany("INSERT OR IGNORE INTO bucket VALUES (?, ?)", new)

    def similar_at(self, units: Collection[str]) -> set[Similar]:
        return {
            Similar(*row)
            for end in ("a", "b")
            for row in self.ledger.rows_in(f"SELECT a, b, score, reason FROM similar WHERE {end} IN {{in}}", units)
        }

    def change_similar(self, gone: Collection[Similar], new: Collection[Similar]) -> None:
        self.ledger.db.executemany("DELETE FROM similar WHERE a = ? AND b = ?", [(s.a, s.b) for s in gone])
        self.ledger.db.executemany("INSERT INTO similar VALUES (?, ?, ?, ?)", sorted(new))

    def depicts_of(self, units: Collection[str]) -> set[Depicts]:
        sql = "SELECT image, entity, score, reason FROM depicts WHERE image IN {in}"
        return {Depicts(*row) for row in self.ledger.rows_in(sql, units)}

    def change_depicts(self, gone: Collection[Depicts], new: Collection[Depicts]) -> None:
        self.ledger.db.executemany(
            "DELETE FROM depicts WHERE image = ? AND entity = ?", [(d.image, d.entity) for d in gone]
        )
        self.ledger.db.executemany("INSERT INTO depicts VALUES (?, ?, ?, ?)", sorted(new))
