"""What `show` asks of a folder base beyond what search needs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from mmkg.algorithms.keys import entity_key
from mmkg.errors import NotFoundError
from mmkg.store.folder.derived import load_derivation
from mmkg.types import UnitDerivation


class _Rows(Protocol):
    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]: ...

    def one(self, sql: str, parameters: Sequence[Any] = ()) -> tuple[Any, ...] | None: ...


class FolderDetails:
    """Rows about one thing, for `show` and `copy`; ServerReader has the same methods."""

    def source_rows(self: _Rows) -> list[dict[str, Any]]:
        """Every source with what a copy needs of it, but those that wait for a publication."""
        keys = ("uri", "document", "status", "reason", "size", "mtime_ns")
        sql = f"SELECT {', '.join(keys)} FROM source WHERE status <> 'pending' ORDER BY uri"
        return [dict(zip(keys, row, strict=True)) for row in self.rows(sql)]

    def profiles(self: _Rows) -> Iterator[tuple[str, str, str, Mapping[str, str], Sequence[str]]]:
        """(id, name, media type, properties, URIs) of every visible document."""
        uris: dict[str, list[str]] = {}
        for uri, document in self.rows("SELECT uri, document FROM source WHERE document IS NOT NULL ORDER BY uri"):
            uris.setdefault(document, []).append(uri)
        for id_, name, media_type, meta in self.rows(
            "SELECT id, name, media_type, meta FROM document WHERE state = 'visible' ORDER BY id"
        ):
            yield id_, name, media_type, json.loads(meta), uris.get(id_, [])

    def units_of_kinds(self: _Rows, kinds: Sequence[str]) -> list[str]:
        """Ids of the visible units of these kinds. O(units)."""
        sql = "SELECT u.id FROM unit u JOIN document d ON d.no = u.document WHERE d.state = 'visible' AND u.kind = ?"
        return [i for kind in kinds for (i,) in self.rows(sql, (kind,))]

    def document_details(self: _Rows, document: str) -> dict[str, Any]:
        """name, media_type, n_bytes, meta, sections [(heading, level)] of a visible document. Raises NotFoundError."""
        row = self.one("SELECT no, name, media_type, meta, n_bytes FROM document WHERE id = ?", (document,))
        if row is None:
            raise NotFoundError(f"no document {document}")
        no, name, media_type, meta, n_bytes = row
        sections = self.rows("SELECT heading, level FROM section WHERE document = ? ORDER BY ord", (no,))
        return {
            "name": name,
            "media_type": media_type,
            "n_bytes": n_bytes,
            "meta": json.loads(meta),
            "sections": [(heading, level) for heading, level in sections],
        }

    def section_units(self: _Rows, document: str, order: int) -> list[str]:
        """Ids of the units directly under a section."""
        rows = self.rows(
            "SELECT u.id FROM unit u JOIN document d ON d.no = u.document WHERE d.id = ? AND u.section = ? ORDER BY u.ord",
            (document, order),
        )
        return [i for (i,) in rows]

    def derivations(self: _Rows, *, document: str | None = None, unit: str | None = None) -> list[UnitDerivation]:
        """What each unit of a document, or one unit, mentions."""
        if document is not None:
            sql = "SELECT u.derived FROM unit u JOIN document d ON d.no = u.document WHERE d.id = ? ORDER BY u.ord"
        else:
            sql = "SELECT derived FROM unit WHERE id = ?"
        return [load_derivation(text) for (text,) in self.rows(sql, (document if document is not None else unit,))]

    def entity_details(self: _Rows, id_: str, limit: int) -> dict[str, Any]:
        """name, label, df, units, forms [(form, n)], near [(id, name, n)], same_as [(short, long, reason)]."""
        key = entity_key(id_)
        row = self.one("SELECT name, label, df, units FROM entity WHERE key = ?", (key,))
        if row is None:
            raise NotFoundError(f"no entity {id_}")
        near = self.rows(
            "SELECT e.id, e.name, c.n FROM (SELECT b AS other, n FROM cooccur WHERE a = ? "
            "UNION ALL SELECT a, n FROM cooccur WHERE b = ?) c JOIN entity e ON e.key = c.other "
            "ORDER BY c.n DESC, e.id LIMIT ?",
            (key, key, limit),
        )
        sql = "SELECT short, long, reason FROM same_as WHERE short = ? OR long = ? ORDER BY short, long"
        forms = "SELECT form, n FROM entity_form WHERE entity = ? ORDER BY n DESC, form LIMIT ?"
        return {
            "name": row[0],
            "label": row[1],
            "df": row[2],
            "units": row[3],
            "forms": self.rows(forms, (key, limit)),
            "near": near,
            "same_as": self.rows(sql, (id_, id_)),
        }
