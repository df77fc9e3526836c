"""Everything about one thing in a base, as plain values: what `mmkg show` prints."""

from __future__ import annotations

import json
from typing import Any

from mmkg.algorithms.keys import entity_key
from mmkg.store.folder.derived import load_derivation, mention_totals
from mmkg.store.folder.reader import FolderReader


def show(reader: FolderReader, name: str, *, limit: int = 20) -> dict[str, Any]:
    """A document with its units, a section with those under it, a unit with its words and entities, or an entity with
    where it is mentioned.

    name: an id or a unique prefix of one, a source, a title, or an entity's name. Raises NotFoundError.
    """
    kind, id_ = reader.resolve(name)
    return {"document": _document, "unit": _unit, "section": _section, "entity": _entity}[kind](reader, id_, limit)


def _document(reader: FolderReader, id_: str, limit: int) -> dict[str, Any]:
    row = reader.one("SELECT no, name, media_type, meta, n_bytes FROM document WHERE id = ?", (id_,))
    assert row is not None
    no, name, media_type, meta, n_bytes = row
    sections = reader.rows("SELECT heading, level FROM section WHERE document = ? ORDER BY ord", (no,))
    return {
        "kind": "document",
        "id": id_,
        "name": name,
        "uri": reader.document_ref(id_, name).uri,
        "media_type": media_type,
        "bytes": n_bytes,
        "meta": json.loads(meta),
        "sections": [{"heading": h, "level": v} for h, v in sections],
        "units": [_brief(e) for e in reader.read(reader.unit_ids_of(id_))],
        "entities": _top_entities(reader, no, limit),
    }


def _top_entities(reader: FolderReader, document: int, limit: int) -> list[dict[str, Any]]:
    counts: dict[str, int] = {}
    for (derived,) in reader.rows("SELECT derived FROM unit WHERE document = ?", (document,)):
        for entity, (n, _) in mention_totals(load_derivation(derived)).items():
            counts[entity] = counts.get(entity, 0) + max(n, 1)
    top = sorted(counts, key=lambda e: (-counts[e], e))[:limit]
    names = reader.names([entity_key(e) for e in top])
    return [{"id": e, "name": n, "count": counts[e]} for e, n in zip(top, names, strict=True)]


def _section(reader: FolderReader, id_: str, limit: int) -> dict[str, Any]:
    document, _, order = id_.rpartition("/s")
    row = reader.one(
        "SELECT s.heading, s.level, d.no FROM section s JOIN document d ON d.no = s.document WHERE d.id = ? AND s.ord = ?",
        (document, int(order)),
    )
    assert row is not None
    heading, level, no = row
    units = reader.rows("SELECT id FROM unit WHERE document = ? AND section = ? ORDER BY ord", (no, int(order)))
    ref = reader.document_ref(document)
    return {
        "kind": "section",
        "id": id_,
        "heading": heading,
        "level": level,
        "document": {"id": ref.id, "name": ref.name, "uri": ref.uri},
        "units": [_brief(e) for e in reader.read([i for (i,) in units])],
    }


def _unit(reader: FolderReader, id_: str, limit: int) -> dict[str, Any]:
    evidence = reader.read([id_])[0]
    row = reader.one("SELECT derived FROM unit WHERE id = ?", (id_,))
    totals = mention_totals(load_derivation(row[0] if row else None))
    names = reader.names([entity_key(e) for e in totals])
    return {
        **_brief(evidence),
        "kind": "unit",
        "unit_kind": evidence.kind,
        "text": evidence.text,
        "document": {"id": evidence.document.id, "name": evidence.document.name, "uri": evidence.document.uri},
        "heading": evidence.heading,
        "entities": [
            {"id": e, "name": n, "count": count, "title": title}
            for (e, (count, title)), n in zip(totals.items(), names, strict=True)
        ][:limit],
    }


def _entity(reader: FolderReader, id_: str, limit: int) -> dict[str, Any]:
    key = entity_key(id_)
    row = reader.one("SELECT name, label, df, units FROM entity WHERE key = ?", (key,))
    assert row is not None
    forms = reader.rows("SELECT form, n FROM entity_form WHERE entity = ? ORDER BY n DESC, form LIMIT ?", (key, limit))
    near = reader.rows(
        "SELECT e.id, e.name, c.n FROM (SELECT b AS other, n FROM cooccur WHERE a = ? "
        "UNION ALL SELECT a, n FROM cooccur WHERE b = ?) c JOIN entity e ON e.key = c.other "
        "ORDER BY c.n DESC, e.id LIMIT ?",
        (key, key, limit),
    )
    edges = reader.graph.neighbors([id_], types=["MENTIONS"], direction="in", limit=limit)
    same = reader.rows("SELECT short, long, reason FROM same_as WHERE short = ? OR long = ?", (id_, id_))
    return {
        "kind": "entity",
        "id": id_,
        "name": row[0],
        "label": row[1],
        "documents": row[2],
        "mentioned_in": row[3],
        "forms": [{"form": f, "count": n} for f, n in forms],
        "same_as": [{"short": s, "long": x, "reason": r} for s, x, r in same],
        "co_occurs": [{"id": i, "name": n, "count": c} for i, n, c in near],
        "units": [_brief(e) for e in reader.read([e.source for e in edges])],
    }


def _brief(evidence: Any) -> dict[str, Any]:
    text = " ".join(evidence.text.split())
    return {
        "id": evidence.id,
        "kind": evidence.kind,
        "document": evidence.document.name,
        "locator": evidence.locator.to_json(),
        "text": text if len(text) <= 160 else text[:159] + "…",
    }
