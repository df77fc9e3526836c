"""Why a unit stands where it stands, and why another one was passed over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mmkg.protocols import IndexView
from mmkg.retrieve.passes import PassResult
from mmkg.retrieve.ranked import RankedUnits
from mmkg.retrieve.ranker import LinearRanker
from mmkg.types import Channel, Evidence

DEEPEST = 10_000
"""Places down to which a unit is looked for."""
SHOWN = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighed:
    """One feature of a unit: its value, and what it adds to the score beyond an average unit's."""

    name: str
    value: float
    adds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where a unit stands for a question.

    rank: from 1 among all that were ranked, 0 if it is not among them. shown: how many were asked for. lists: list -> rank from 1, of
    those that hold it. in_pool: whether the last ranked pass looked at it (None at effort 0). features: what moved its score most,
    strongest first. behind: against the last unit that is shown, the features by which this one falls behind most.
    reason: one sentence.
    """

    rank: int
    shown: int
    lists: Mapping[str, int]
    in_pool: bool | None
    reason: str
    features: tuple[Weighed, ...] = ()
    behind: tuple[Weighed, ...] = field(default=())


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """A search and everything that led to its hits.

    question: as it was searched for, misspelt words mended. searched: units that the filters let through. lists: list -> its first
    places, unit id, rank and own score. entities: (id, what the question calls it) where the walk starts. features: of each hit in
    the pool of the last ranked pass, what moved its score most. order: what made the final order: walk, fusion, ranker, ...
    effort: passes that were run. timings: seconds by step, in the order they were taken.
    """

    question: str
    order: str
    effort: int
    searched: int
    units: int
    hits: tuple[Evidence, ...]
    lists: Mapping[str, tuple[Channel, ...]]
    entities: tuple[tuple[str, str], ...] = ()
    features: Mapping[str, tuple[Weighed, ...]] = field(default_factory=dict)
    timings: Mapping[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Everything but the hits, as docs/json.md promises."""
        return {
            "question": self.question,
            "order": self.order,
            "effort": self.effort,
            "searched": self.searched,
            "units": self.units,
            "entities": [{"id": i, "as": text} for i, text in self.entities],
            "lists": {
                name: [{"unit": c.name, "rank": c.rank, "score": round(c.score, 6)} for c in places]
                for name, places in self.lists.items()
            },
            "features": {
                unit: [{"name": w.name, "value": w.value, "adds": w.adds} for w in weighed]
                for unit, weighed in self.features.items()
            },
            "timings": {step: round(seconds, 6) for step, seconds in self.timings.items()},
        }


def contributions(made: PassResult, ranker: LinearRanker, unit: int) -> list[Weighed]:
    """Every feature with a weight, of a unit in the pool, the strongest first. Raises ValueError if it is not in the pool."""
    at = np.flatnonzero(made.pool == unit)
    if not len(at):
        raise ValueError(f"unit {unit} is not in the pool")
    rows = zip(ranker.features, ranker.mean, ranker.scale, ranker.weights, strict=True)
    out = []
    for name, mean, scale, weight in rows:
        value = float(made.columns[name][at[0]])
        if weight:
            out.append(Weighed(name=name, value=round(value, 4), adds=round(float(weight * (value - mean) / scale), 4)))
    return sorted(out, key=lambda w: (-abs(w.adds), w.name))


def explanation(
    view: IndexView,
    ranked: RankedUnits,
    hits: Sequence[Evidence],
    *,
    k: int,
    question: str,
    effort: int,
    ranker: LinearRanker | None,
    searched: int,
) -> Explanation:
    """What led to the hits of a ranking. k: places of each list that are told. ranker: of the last pass, None at effort 0."""
    lists = {}
    for name, held in sorted(ranked.lists.items()):
        ids = view.unit_ids(held.units[:k].tolist())
        scored = zip(ids, held.scores.tolist(), strict=False)
        lists[name] = tuple(Channel(name=unit, rank=i, score=float(x)) for i, (unit, x) in enumerate(scored, 1))
    features = {}
    made = ranked.made
    if made is not None and ranker is not None:
        for hit, unit in zip(hits, view.units_by_id([h.id for h in hits]), strict=True):
            if (made.pool == unit).any():
                features[hit.id] = tuple(contributions(made, ranker, unit)[:SHOWN])
    entities = view.entity_ids([e.entity for e in ranked.entities])
    return Explanation(
        question=question,
        order=ranked.name,
        effort=effort,
        searched=searched,
        units=view.n_units,
        hits=tuple(hits),
        lists=lists,
        entities=tuple((i, question[e.start : e.end]) for i, e in zip(entities, ranked.entities, strict=True)),
        features=features,
        timings=dict(ranked.timings),
    )


def standing(ranked: RankedUnits, unit: int, k: int, ranker: LinearRanker | None) -> Standing:
    """Where `unit` stands in a ranking of DEEPEST places. ranker: of the last pass, None at effort 0."""
    at = np.flatnonzero(ranked.units == unit)
    rank = int(at[0]) + 1 if len(at) else 0
    lists = {}
    for name, held in sorted(ranked.lists.items()):
        place = np.flatnonzero(held.units == unit)
        if len(place):
            lists[name] = int(place[0]) + 1
    made = ranked.made
    in_pool = bool((made.pool == unit).any()) if made is not None else None
    features: tuple[Weighed, ...] = ()
    behind: tuple[Weighed, ...] = ()
    if made is not None and ranker is not None and in_pool:
        own = contributions(made, ranker, unit)
        features = tuple(own[:SHOWN])
        last = int(made.units[min(k, len(made.units)) - 1])
        if rank > k:
            theirs = {w.name: w.adds for w in contributions(made, ranker, last)}
            gaps = [Weighed(name=w.name, value=w.value, adds=round(w.adds - theirs[w.name], 4)) for w in own]
            behind = tuple(sorted((g for g in gaps if g.adds < 0), key=lambda w: (w.adds, w.name))[:SHOWN])
    return Standing(
        rank=rank,
        shown=k,
        lists=lists,
        in_pool=in_pool,
        reason=_reason(rank, k, lists, in_pool, behind),
        features=features,
        behind=behind,
    )


def _reason(rank: int, k: int, lists: Mapping[str, int], in_pool: bool | None, behind: tuple[Weighed, ...]) -> str:
    if 0 < rank <= k:
        return f"it is found, at place {rank}"
    if not lists and not rank:
        return "no list holds it: it shares no word with the question, and no name leads from the question to it"
    best = min(lists, key=lambda name: (lists[name], name)) if lists else ""
    where = f"its best place in a list is {lists[best]} ({best})" if lists else "no list holds it"
    if in_pool is False:
        return f"{where}; that is too far down to become a candidate of the ranked pass"
    if in_pool:
        most = f", most of all by {behind[0].name}" if behind else ""
        return f"{where}; it is a candidate, and the ranker puts it at place {rank} of {k} shown{most}"
    return f"{where}; the walk and the lists together put it at place {rank}, and {k} are shown"
