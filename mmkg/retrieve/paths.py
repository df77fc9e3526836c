"""Why a unit was found: the way from what the question names, or from a sentence near to it, to the unit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mmkg.algorithms.pagerank import Float64Array, WalkGraph
from mmkg.algorithms.paths import Tracer, Way
from mmkg.protocols import FloatArray, IndexView, IntArray
from mmkg.retrieve.seeds import EXPONENT, SENTENCE_WEIGHT, SENTENCES
from mmkg.types import Path, PathStep

MAX_HOPS = 3
MENTIONS = "MENTIONS"


@dataclass(frozen=True, slots=True)
class Found:
    """A way as indices. source: unit of the seed sentence where the way begins at one, else None."""

    way: Way
    source: int | None = None

    def units(self) -> tuple[int, ...]:
        """All units on the way."""
        return self.way.units if self.source is None else (self.source, *self.way.units)


def find_ways(
    view: IndexView,
    graph: WalkGraph,
    units: IntArray,
    *,
    question: Float64Array,
    sentence: Float64Array,
    sentences: IntArray,
    cosines: FloatArray,
) -> list[Found | None]:
    """For each unit the way that led to it, None where its own words matched or nothing leads there.

    question, sentence: (n_entities,) seeds of either kind. A unit that names an entity of the question has that one
    hop. Else the stronger of: the shortest way of up to MAX_HOPS hops from a question entity, by its mass; and one hop from an
    entity of a seed sentence in another unit. Ties go to the question's way, and to smaller indices.
    """
    if not len(units):
        return []
    asked = Tracer(graph, question, max_hops=MAX_HOPS) if question.any() else None
    near = Tracer(graph, sentence, max_hops=1) if sentence.any() else None
    out: list[Found | None] = []
    for unit in units.tolist():
        way = asked.trace(unit) if asked is not None else None
        found = Found(way) if way is not None else None
        if near is not None and (way is None or len(way.units) > 1):
            other = near.trace(unit)
            if other is not None and (way is None or SENTENCE_WEIGHT * other.mass > way.mass):
                source = _source(view, graph, other.entities[0], unit, sentences, cosines)
                found = found if source is None else Found(other, source)
        out.append(found)
    return out


def _source(
    view: IndexView, graph: WalkGraph, entity: int, unit: int, sentences: IntArray, cosines: FloatArray
) -> int | None:
    """The unit whose seed sentence gave the entity most of its weight, None if that is the unit itself."""
    table = view.sentence_entities
    best: tuple[float, int] | None = None
    for s, cosine in zip(sentences[:SENTENCES].tolist(), cosines[:SENTENCES].tolist(), strict=True):
        held = table.indices[table.indptr[s] : table.indptr[s + 1]]
        if cosine > 0 and entity in held:
            weight = cosine**EXPONENT / len(held)
            if best is None or weight > best[0]:
                best = weight, int(view.sentence_unit[s])
    return None if best is None or best[1] == unit else best[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """Ids and readable names of the nodes on ways, by index."""

    entity_ids: Mapping[int, str]
    entity_names: Mapping[int, str]
    unit_ids: Mapping[int, str]
    unit_names: Mapping[int, str]


def named_path(found: Found, names: Names) -> Path:
    """The way with the ids and names that a person reads."""
    steps: list[PathStep] = []

    def add(node: str, kind: str, name: str) -> None:
        steps.append(PathStep(id=node, kind=kind, name=name, via=MENTIONS if steps else ""))

    if found.source is not None:
        add(names.unit_ids[found.source], "unit", names.unit_names[found.source])
    for entity, unit in zip(found.way.entities, found.way.units, strict=True):
        add(names.entity_ids[entity], "entity", names.entity_names[entity])
        add(names.unit_ids[unit], "unit", names.unit_names[unit])
    return Path(steps=tuple(steps))


def nodes_on(ways: Sequence[Found | None]) -> tuple[list[int], list[int]]:
    """Entities and units on any of the ways, ascending."""
    entities = {e for w in ways if w is not None for e in w.way.entities}
    units = {u for w in ways if w is not None for u in w.units()}
    return sorted(entities), sorted(units)


def no_seeds(graph: WalkGraph) -> Float64Array:
    """(n_entities,) zeros."""
    return np.zeros(graph.n_entities)
