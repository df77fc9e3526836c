"""Searching by an example: a picture, a sound, a clip, and words beside it.

Each space gives the units nearest to the example; they are joined by rank with a walk from the entities that the nearest name. With
words beside, two rankings more take part: what the words alone would find, and what is nearest to the sum of both vectors, where
a field knows both (a picture of a street and "at night"). All by rank, since scores of different kinds have different scales.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mmkg.algorithms.fusion import Float64Array, weighted
from mmkg.algorithms.pagerank import WalkGraph
from mmkg.protocols import FloatArray
from mmkg.retrieve import walk
from mmkg.retrieve.fields import PIXELS, SOUND, Fields
from mmkg.retrieve.walk import Mask, RankedList

NEAREST = 5
"""Units whose entities the walk starts from."""
FRAMES = 12
"""Rows of an example that are looked at; of more, evenly spread ones."""
COMPOSED, WORDS = "composed", "words"


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """What is searched by, beside words. vectors: Space.key -> (m, dim) float32 unit rows: a picture's one, or those of the frames of
    a clip. weight: share of the words in the order, 0 (none) to 1 (words alone)."""

    vectors: Mapping[str, FloatArray]
    weight: float = 0.5

    def __post_init__(self) -> None:
        if not 0.0 <= self.weight <= 1.0:
            raise ValueError(f"weight must be in 0..1, got {self.weight}")
        for space, rows in self.vectors.items():
            if rows.ndim != 2 or not len(rows):
                raise ValueError(f"expected (m, dim) vectors of {space}, got {rows.shape}")

    def rows(self, space: str) -> FloatArray:
        """At most FRAMES rows, evenly spread."""
        found = self.vectors[space]
        if len(found) <= FRAMES:
            return found
        spread: FloatArray = found[np.linspace(0, len(found) - 1, FRAMES).round().astype(int)]
        return spread


@dataclass(frozen=True, slots=True, kw_only=True)
class Alike:
    """lists: by channel, the walk among them. seeds: (n_entities,) where it started."""

    lists: dict[str, RankedList]
    seeds: Float64Array


def alike(graph: WalkGraph, fields: Fields, example: Example, mask: Mask | None, depth: int) -> Alike:
    """The units nearest to an example, a list a channel, and the walk from the entities that the nearest of all name."""
    lists: dict[str, RankedList] = {}
    seeds = np.zeros(graph.n_entities)
    for channel in (PIXELS, SOUND):
        rows = [
            (f.space, row) for f in fields.of(channel) if f.space in example.vectors for row in example.rows(f.space)
        ]
        if not rows:
            continue
        near = fields.near(channel, rows, None, depth)  # the walk may start at what the mask hides
        lists[channel] = near if mask is None else fields.near(channel, rows, mask, depth)
        for unit, score in zip(near.units[:NEAREST].tolist(), near.scores[:NEAREST].tolist(), strict=True):
            held, _ = graph.entities_of(unit)
            if len(held) and score > 0:
                seeds[held] += score**4 * graph.idf[held] / len(held)
    lists["walk"] = walk.by_walk(walk.walk_mass(graph, seeds), mask, depth)
    return Alike(lists=lists, seeds=seeds)


def composed(
    fields: Fields, example: Example, question: str, query: FloatArray | None, mask: Mask | None, depth: int
) -> RankedList:
    """Units nearest to unit((1 - weight) x example + weight x words), in the fields that know both."""
    wanted = []
    for field in fields.all:
        words = field.aim(question, query) if field.space in example.vectors else None
        if words is not None:
            mean = example.vectors[field.space].mean(axis=0)
            both = (1.0 - example.weight) * mean / max(float(np.linalg.norm(mean)), 1e-12) + example.weight * words
            wanted.append((field.space, (both / max(float(np.linalg.norm(both)), 1e-12)).astype(np.float32)))
    return fields.near(COMPOSED, wanted, mask, depth)


def joined(found: Alike, words: RankedList | None, both: RankedList | None, weight: float) -> RankedList:
    """One order of all lists. The lists of the example share 1 - weight, the words have weight, and what is near to both has the
    smaller of the two: so weight 0 is a search by the example alone, and 1 one by the words."""
    parts = [one for one in found.lists.values() if len(one)]
    weights = [(1.0 - weight) / max(len(parts), 1)] * len(parts)
    if words is not None:
        parts.append(words)
        weights.append(weight)
    if both is not None:
        parts.append(both)
        weights.append(min(weight, 1.0 - weight))
    held = [(one.units, share) for one, share in zip(parts, weights, strict=True) if share > 0 and len(one)]
    if not held:
        return walk.empty("example")
    units, scores = weighted(held)
    return RankedList("example", units, scores / scores[0])
