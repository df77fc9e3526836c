"""From facts and derivations to rows of the graph: pure functions, the same for every store."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from mmkg.schema import section_id, unit_id
from mmkg.store.derivation import Alias, DerivedChange, EntityRow, Key, mention_totals
from mmkg.types import DocumentFacts, Edge, GraphDelta, Node, Section, Unit, UnitDerivation


def unit_ids(document: str, facts: DocumentFacts) -> list[str]:
    """Ids of the units of a document, in order."""
    return [unit_id(document, u.label, u.start, u.end, u.page, u.ordinal, u.span_ms) for u in facts.units]


def document_node(id_: str, name: str, media_type: str, uris: Sequence[str]) -> Node:
    """The node of a document. uris: the sources that have it now, sorted."""
    return Node(
        id=id_, label="Document", properties={"name": name, "media_type": media_type, "sha256": id_, "uris": list(uris)}
    )


def document_nodes(id_: str, facts: DocumentFacts, uris: Sequence[str]) -> Iterator[Node]:
    """The nodes of one document: itself, its sections, its units."""
    yield document_node(id_, facts.name, facts.media_type, uris)
    yield from part_nodes(id_, facts, facts.sections)


def part_nodes(id_: str, facts: DocumentFacts, sections: Iterable[Section]) -> Iterator[Node]:
    """The nodes of these sections, and of the units of a part of a document."""
    for s in sections:
        yield Node(
            id=section_id(id_, s.order),
            label="Section",
            properties={"heading": s.heading, "level": s.level, "order": s.order},
        )
    for unit, uid in zip(facts.units, unit_ids(id_, facts), strict=True):
        yield _unit_node(uid, unit, [facts.text[a:b] for a, b in unit.spans()])


def _unit_node(id_: str, unit: Unit, words: list[str]) -> Node:
    properties: dict[str, Any] = {"kind": unit.kind, "order": unit.ordinal}
    if unit.label == "Chunk":
        properties |= {"text": "\n".join(words), "start": unit.start, "end": unit.end}
    elif unit.label == "Clip":
        start_ms, end_ms = unit.span_ms or (0, 0)
        properties |= {"start_ms": start_ms, "end_ms": end_ms, "transcript": "\n".join(words), "sha256": unit.media}
    else:
        caption = words.pop(0) if unit.caption is not None else ""
        if unit.described is not None:
            properties["model_caption"] = words.pop()
        properties |= {"caption": caption, "ocr_text": "\n".join(words)}
        properties |= {"sha256": unit.media, "width": unit.width, "height": unit.height}
    if unit.box:
        properties["bbox"] = [x / 100 for x in unit.box]
    properties["page"] = unit.page
    return Node(id=id_, label=unit.label, properties={k: v for k, v in properties.items() if v is not None})


def document_edges(id_: str, facts: DocumentFacts) -> Iterator[Edge]:
    """CONTAINS, NEXT, REFERS_TO and SHOWS of one document. The document holds every unit; a section those directly under it.

    A clip shows the key frames of its time: by that its words and its pictures are tied.
    """
    return part_edges(id_, facts, facts.sections, None)


def part_edges(id_: str, facts: DocumentFacts, sections: Iterable[Section], last: Unit | None) -> Iterator[Edge]:
    """As document_edges, of these sections and a part of a document's units. last: the unit before the first of them."""
    for s in sections:
        yield edge("CONTAINS", id_, "Document", section_id(id_, s.order), "Section")
    ids = unit_ids(id_, facts)
    place = {unit.ordinal: (uid, unit.label) for unit, uid in zip(facts.units, ids, strict=True)}
    frames = [(u.span_ms[0], uid) for u, uid in zip(facts.units, ids, strict=True) if u.label == "Image" and u.span_ms]
    before = None if last is None else (unit_ids(id_, replace(facts, units=(last,)))[0], last.label)
    for unit, uid in zip(facts.units, ids, strict=True):
        yield edge("CONTAINS", id_, "Document", uid, unit.label)
        if unit.section is not None:
            yield edge("CONTAINS", section_id(id_, unit.section), "Section", uid, unit.label)
        if before is not None:
            yield edge("NEXT", *before, uid, unit.label)
        before = (uid, unit.label)
        for target in unit.refers_to:
            yield edge("REFERS_TO", uid, unit.label, *place[target])
        if unit.label == "Clip" and unit.span_ms:
            for at_ms, frame in frames:
                if unit.span_ms[0] <= at_ms < unit.span_ms[1]:
                    yield edge("SHOWS", uid, unit.label, frame, "Image", at_ms=at_ms)


def removed_nodes(id_: str, facts: DocumentFacts) -> list[tuple[str, str]]:
    """(label, id) of everything that goes with a document."""
    sections = [("Section", section_id(id_, s.order)) for s in facts.sections]
    units = [(unit.label, uid) for unit, uid in zip(facts.units, unit_ids(id_, facts), strict=True)]
    return [("Document", id_), *sections, *units]


def entity_node(entity: EntityRow) -> Node:
    return Node(id=entity.id, label="Entity", properties={"name": entity.name, "kind": entity.label, "df": entity.df})


def mention_edges(unit: str, label: str, derivation: UnitDerivation) -> Iterator[Edge]:
    """MENTIONS of one unit, by entity id."""
    for entity, (count, title) in sorted(mention_totals(derivation).items()):
        yield edge("MENTIONS", unit, label, entity, "Entity", count=count, title=title)


def pair_edge(a: str, b: str, n: int) -> Edge:
    return edge("CO_OCCURS", a, "Entity", b, "Entity", count=n)


def same_as_edge(alias: Alias) -> Edge:
    short, long, reason = alias
    return edge("SAME_AS", short, "Entity", long, "Entity", reason=reason)


@dataclass(slots=True)
class ChangeRows:
    """What a change of the derived layer means for the graph. gone: ids of entities to delete, sorted."""

    gone: list[str] = field(default_factory=list)
    gone_edges: list[Edge] = field(default_factory=list)
    nodes: list[Node] = field(default_factory=list)
    edges: list[Edge] = field(default_factory=list)

    def delta(self, *, deleted: Iterable[tuple[str, str]], nodes: Iterable[Node], edges: Iterable[Edge]) -> GraphDelta:
        """These rows behind those of documents. deleted: (label, id) of nodes that go with their documents."""
        return GraphDelta(
            delete_nodes=(*deleted, *(("Entity", e) for e in self.gone)),
            delete_edges=tuple(self.gone_edges),
            nodes=(*nodes, *self.nodes),
            edges=(*edges, *self.edges),
        )


def change_rows(change: DerivedChange, units: Mapping[Key, tuple[str, str]]) -> ChangeRows:
    """Entities, MENTIONS, CO_OCCURS and SAME_AS that differ.

    units: unit key -> (id, label) of the units that stay; edges of units that go are deleted with their nodes.
    """
    out = ChangeRows(gone=sorted(change.gone))
    out.nodes = [entity_node(change.entities[e]) for e in sorted(change.entities)]
    for key in sorted(units):
        id_, label = units[key]
        before, after = (mention_totals(d) for d in change.units[key])
        for entity in sorted(before.keys() - after.keys()):
            out.gone_edges.append(edge("MENTIONS", id_, label, entity, "Entity"))
        for entity in sorted(after):
            if after[entity] != before.get(entity):
                count, title = after[entity]
                out.edges.append(edge("MENTIONS", id_, label, entity, "Entity", count=count, title=title))
    for (a, b), n in sorted(change.pairs.items()):
        if n:
            out.edges.append(pair_edge(a, b, n))
        elif a not in change.gone and b not in change.gone:
            out.gone_edges.append(edge("CO_OCCURS", a, "Entity", b, "Entity"))
    for short, long, _ in change.same_as_removed:
        if short not in change.gone and long not in change.gone:
            out.gone_edges.append(edge("SAME_AS", short, "Entity", long, "Entity"))
    out.edges += [same_as_edge(alias) for alias in change.same_as_added]
    return out


def edge(type_: str, source: str, source_label: str, target: str, target_label: str, **properties: Any) -> Edge:
    return Edge(
        type=type_,
        source=source,
        target=target,
        source_label=source_label,
        target_label=target_label,
        properties=properties,
    )
