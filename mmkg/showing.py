"""Everything about one thing in a base, as plain values: what `mmkg show` prints."""

from __future__ import annotations

from typing import Any

from mmkg.algorithms.keys import entity_key
from mmkg.store.derivation import mention_totals
from mmkg.store.folder.reader import FolderReader
from mmkg.store.neo4j.reader import ServerReader
from mmkg.types import RESERVED, Edge, languages_of, tags_of

Reader = FolderReader | ServerReader


def show(reader: Reader, name: str, *, limit: int = 20) -> dict[str, Any]:
    """A document with its units, a section with those under it, a unit with its words and entities, or an entity with
    where it is mentioned.

    name: an id or a unique prefix of one, a source, a title, or an entity's name. Raises NotFoundError.
    """
    kind, id_ = reader.resolve(name)
    return {"document": _document, "unit": _unit, "section": _section, "entity": _entity}[kind](reader, id_, limit)


def _document(reader: Reader, id_: str, limit: int) -> dict[str, Any]:
    found = reader.document_details(id_)
    return {
        "kind": "document",
        "id": id_,
        "name": found["name"],
        "uri": reader.document_ref(id_, found["name"]).uri,
        "media_type": found["media_type"],
        "bytes": found["n_bytes"],
        "meta": {k: v for k, v in found["meta"].items() if not k.startswith(RESERVED)},
        "tags": tags_of(found["meta"]),
        "languages": {language: len(held) for language, held in languages_of(found["meta"]).items()},
        "sections": [{"heading": h, "level": v} for h, v in found["sections"]],
        "units": [_brief(e) for e in reader.read(reader.unit_ids_of(id_))],
        "entities": _top_entities(reader, id_, limit),
    }


def _top_entities(reader: Reader, document: str, limit: int) -> list[dict[str, Any]]:
    counts: dict[str, int] = {}
    for derivation in reader.derivations(document=document):
        for entity, (n, _) in mention_totals(derivation).items():
            counts[entity] = counts.get(entity, 0) + max(n, 1)
    top = sorted(counts, key=lambda e: (-counts[e], e))[:limit]
    names = reader.names([entity_key(e) for e in top])
    return [{"id": e, "name": n, "count": counts[e]} for e, n in zip(top, names, strict=True)]


def _section(reader: Reader, id_: str, limit: int) -> dict[str, Any]:
    document, _, order = id_.rpartition("/s")
    node = reader.graph.get([id_])[0]
    ref = reader.document_ref(document)
    return {
        "kind": "section",
        "id": id_,
        "heading": node.properties["heading"],
        "level": node.properties["level"],
        "document": {"id": ref.id, "name": ref.name, "uri": ref.uri},
        "units": [_brief(e) for e in reader.read(reader.section_units(document, int(order)))],
    }


def _unit(reader: Reader, id_: str, limit: int) -> dict[str, Any]:
    evidence = reader.read([id_])[0]
    totals = {e: t for derivation in reader.derivations(unit=id_) for e, t in mention_totals(derivation).items()}
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
        **_picture(reader, id_, limit),
    }


def _picture(reader: Reader, id_: str, limit: int) -> dict[str, Any]:
    """What there is to say of a picture: the words on it and below it, what it shows and why, and pictures near to it."""
    node = reader.graph.get([id_])[0]
    if node.label != "Image":
        return {"picture": None, "depicts": [], "similar": []}
    shown = reader.graph.neighbors([id_], types=["DEPICTS"], direction="out", limit=limit)
    names = reader.names([entity_key(e.target) for e in shown])
    near = reader.graph.neighbors([id_], types=["SIMILAR"], direction="both", limit=limit)
    others = [e.target if e.source == id_ else e.source for e in near]
    depicts = [{"id": e.target, "name": n, **_score(e)} for e, n in zip(shown, names, strict=True)]
    similar = [
        {"id": o, "document": brief.document.name, **_score(e)}
        for o, e, brief in zip(others, near, reader.read(others), strict=True)
    ]
    return {
        "picture": {
            "caption": node.properties.get("caption", ""),
            "printed": node.properties.get("ocr_text", ""),
            "model_caption": node.properties.get("model_caption", ""),
            "width": node.properties.get("width", 0),
            "height": node.properties.get("height", 0),
            "sha256": node.properties.get("sha256", ""),
        },
        "depicts": sorted(depicts, key=_best),
        "similar": sorted(similar, key=_best),
    }


def _best(row: dict[str, Any]) -> tuple[float, str]:
    return -row["score"], row["id"]


def _score(edge: Edge) -> dict[str, Any]:
    return {"score": edge.properties["score"], "reason": edge.properties["reason"]}


def _entity(reader: Reader, id_: str, limit: int) -> dict[str, Any]:
    found = reader.entity_details(id_, limit)
    edges = reader.graph.neighbors([id_], types=["MENTIONS"], direction="in", limit=limit)
    shown = reader.graph.neighbors([id_], types=["DEPICTS"], direction="in", limit=limit)
    return {
        "kind": "entity",
        "id": id_,
        "name": found["name"],
        "label": found["label"],
        "documents": found["df"],
        "mentioned_in": found["units"],
        "forms": [{"form": f, "count": n} for f, n in found["forms"]],
        "same_as": [{"short": s, "long": x, "reason": r} for s, x, r in found["same_as"]],
        "co_occurs": [{"id": i, "name": n, "count": c} for i, n, c in found["near"]],
        "units": [_brief(e) for e in reader.read([e.source for e in edges])],
        "pictures": [{"id": e.source, **_score(e)} for e in shown],
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
