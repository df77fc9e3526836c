"""From a ranking to evidence that a person can read: texts, channels, paths, near-duplicates folded."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mmkg.algorithms.pagerank import WalkGraph
from mmkg.protocols import IndexView, Reranker
from mmkg.retrieve import order, paths
from mmkg.retrieve.collapse import collapse as fold_repeats
from mmkg.retrieve.ranked import Clock, RankedUnits, UnitReader
from mmkg.types import Channel, Evidence


def as_evidence(
    view: IndexView,
    graph: WalkGraph,
    reader: UnitReader,
    ranked: RankedUnits,
    k: int,
    *,
    question: str,
    reranker: Reranker | None,
    collapse: bool,
) -> list[Evidence]:
    """The first k units of a ranking as evidence; its timings receive the seconds of these steps too.

    A unit that the store no longer has is left out. collapse: fold near-duplicates into the best of them.
    """
    clock = Clock(ranked.timings)
    ids = view.unit_ids(ranked.units.tolist())
    index = dict(zip(ids, ranked.units.tolist(), strict=True))
    with clock("read"):
        read = {e.id: e for e in reader.read(ids)}
    ranks = {name: order.ranks_of(held, ranked.units) for name, held in sorted(ranked.lists.items()) if len(held)}
    found: list[Evidence] = []
    for i, name in enumerate(ids):
        if (skeleton := read.get(name)) is not None:
            channels = tuple(
                Channel(name=channel, rank=int(places[i]), score=float(scores[i]))
                for channel, (places, scores) in ranks.items()
                if places[i]
            )
            found.append(replace(skeleton, score=float(ranked.scores[i]), channels=channels))
    if reranker is not None:
        with clock("rerank"):
            found = reranker.rerank(question, found)
    with clock("collapse"):
        known = dict(zip(view.unit_ids(list(ranked.copies)), view.unit_ids(list(ranked.copies.values())), strict=True))
        found = fold_repeats(found, k, known) if collapse else found[:k]
    with clock("paths"):
        return with_paths(view, graph, reader, found, [index[e.id] for e in found], ranked)


def with_paths(
    view: IndexView,
    graph: WalkGraph,
    reader: UnitReader,
    found: list[Evidence],
    units: list[int],
    ranked: RankedUnits,
) -> list[Evidence]:
    """The evidence with the way that led to each piece of it, where there is one. units: its indices in the view."""
    ways = paths.find_ways(
        view,
        graph,
        np.array(units, dtype=np.int64),
        question=ranked.question_seeds,
        sentence=ranked.sentence_seeds,
        sentences=ranked.sentences,
        cosines=ranked.cosines,
    )
    entities, on_way = paths.nodes_on(ways)
    unit_ids = dict(zip(on_way, view.unit_ids(on_way), strict=True))
    known = {e.id: e for e in found}
    known.update({e.id: e for e in reader.read([i for i in unit_ids.values() if i not in known])})
    names = paths.Names(
        entity_ids=dict(zip(entities, view.entity_ids(entities), strict=True)),
        entity_names=dict(zip(entities, view.entity_names(entities), strict=True)),
        unit_ids=unit_ids,
        unit_names={u: _readable(known.get(i), i) for u, i in unit_ids.items()},
    )
    return [
        e if way is None else replace(e, path=paths.named_path(way, names)) for e, way in zip(found, ways, strict=True)
    ]


def _readable(evidence: Evidence | None, node: str) -> str:
    if evidence is None:
        return node
    name, heading = evidence.document.name, evidence.heading
    return f"{name}: {heading}" if heading and heading != name else name
