"""Near-copies among candidates: one stands for all while a question's passes are run.

Fifty versions of one page would else fill the beam and every list of the pool, and what a second hop leads to would not be looked at.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np

from mmkg.protocols import IndexView
from mmkg.retrieve.links import Links
from mmkg.retrieve.walk import Mask, RankedList

LOOKED_AT = 100
"""Places of the order among which copies are looked for; O(LOOKED_AT^2) products of vectors."""
COSINE, SHARED, SHARED_OF_ONE_TITLE = 0.96, 0.8, 0.4
"""Two units repeat each other if their vectors are as near as that, and as large a share of their entities is the same, or a smaller one where both
are about the same: texts of one template ("X is a village in Y") are as near, but speak of others."""


MANY = 4
"""Fewer copies of a unit leave room for others, and may be versions that differ in what is asked."""


def copies_in(view: IndexView, links: Links, space: str, ranked: RankedList) -> dict[int, int]:
    """Unit -> the first unit of the order that it repeats, where at least MANY of the first LOOKED_AT repeat that one."""
    units = ranked.units[:LOOKED_AT]
    if len(units) < 2:
        return {}
    vectors = view.unit_vectors(space, units)
    if not vectors.size:
        return {}
    near = np.triu(vectors @ vectors.T >= COSINE, k=1)
    found: dict[int, int] = {}
    for i, j in np.argwhere(near).tolist():
        first, other = int(units[i]), int(units[j])
        if first not in found and other not in found and _same(view, links, first, other):
            found[other] = first
    times = Counter(found.values())
    return {other: first for other, first in found.items() if times[first] >= MANY}


def without(ranked: RankedList, copies: Mapping[int, int]) -> RankedList:
    """The list without those units."""
    return ranked.only(np.flatnonzero(~np.isin(ranked.units, list(copies))))


def masked(mask: Mask | None, copies: Mapping[int, int], n_units: int) -> Mask:
    """The mask, which lets none of them through."""
    out = np.ones(n_units, dtype=np.bool_) if mask is None else mask.copy()
    out[list(copies)] = False
    return out


def put_back(ranked: RankedList, copies: Mapping[int, int]) -> RankedList:
    """The order with each copy right behind the unit that it repeats, of the same score."""
    behind: dict[int, list[int]] = {}
    for unit, first in copies.items():
        behind.setdefault(first, []).append(unit)
    pairs = [
        (unit, score)
        for first, score in zip(ranked.units.tolist(), ranked.scores.tolist(), strict=True)
        for unit in (first, *behind.get(first, ()))
    ]
    units, scores = zip(*pairs, strict=True) if pairs else ((), ())
    return RankedList(ranked.name, np.array(units, dtype=np.int64), np.array(scores, dtype=np.float64))


def _same(view: IndexView, links: Links, one: int, other: int) -> bool:
    starts, entities = view.mentions.indptr, view.mentions.indices
    a, b = (set(entities[starts[u] : starts[u + 1]].tolist()) for u in (one, other))
    shared = len(a & b) / len(a | b) if a | b else 1.0
    if SHARED_OF_ONE_TITLE <= shared < SHARED:
        titles, others = (set(links.titles_of(u)[0].tolist()) for u in (one, other))
        return bool(titles & others)
    return shared >= SHARED
