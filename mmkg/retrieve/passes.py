"""A pass: a beam, what it leads on to, a pool of candidates, their features, and the ranker's order."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from mmkg.algorithms.fusion import fuse, top
from mmkg.algorithms.pagerank import Float64Array
from mmkg.protocols import IntArray
from mmkg.retrieve import features as f
from mmkg.retrieve.bare import bare_question, bridges_for
from mmkg.retrieve.bridges import BeamUnit, beam_of, bridge_walk
from mmkg.retrieve.inquiry import Inquiry
from mmkg.retrieve.ranker import LinearRanker, RankerSet
from mmkg.retrieve.seeds import SENTENCE_WEIGHT
from mmkg.retrieve.substitute import Gated, scored, substitutions
from mmkg.retrieve.walk import RankedList

MAX_EFFORT = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class PassResult:
    """An order of units, best first, and what it was made from.

    units: of the pool, by the ranker. scores: of the ranker, not bounded. pool: ascending; columns: features of the pool.
    """

    units: IntArray
    scores: Float64Array
    pool: IntArray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    columns: Mapping[str, Float64Array] = field(default_factory=dict)


def run_passes(
    inquiry: Inquiry,
    lists: Mapping[str, RankedList],
    base: RankedList,
    rankers: RankerSet,
    effort: int,
    seconds: dict[str, float],
) -> PassResult:
    """`effort` passes, each with the beam of the order before; the first with that of the base order."""
    result = PassResult(units=base.units, scores=base.scores)
    for number in range(effort):
        prepared = prepare(inquiry, lists, base, result, number, seconds)
        with _timed(seconds, "rank"):
            result = ordered(prepared, rankers.passes[number])
    return result


def prepare(
    inquiry: Inquiry,
    lists: Mapping[str, RankedList],
    base: RankedList,
    before: PassResult,
    number: int,
    seconds: dict[str, float],
) -> PassResult:
    """The pool of pass `number` (from 0) and its features, in no order yet."""
    with _timed(seconds, "beam"):
        beam = beam_of(inquiry, before.units)
    with _timed(seconds, "bridges"):
        bridged = bridge_walk(inquiry, beam)
    with _timed(seconds, "variants"):
        bare = bare_question(inquiry)
        swaps = substitutions(inquiry, beam) if number else []
        gate = bridges_for(inquiry, beam, bare)
    with _timed(seconds, "reencode"):
        inquiry.vectors([bare, *(v.text for v in swaps)])  # together: one call of the encoder
    with _timed(seconds, "score"):
        own = [b.unit for b in beam]
        gated = {"gate": scored(inquiry, gate, own)}
        if number:
            gated["swap"] = scored(inquiry, swaps, own)
    with _timed(seconds, "pool"):
        units = pool_units(inquiry, lists, base, before, beam, bridged, list(gated.values()))
        pool = f.read_pool(inquiry, units)
    with _timed(seconds, "features"):
        held = inquiry.words.held(units)
        columns: f.Columns = {}
        columns |= f.word_columns(inquiry, pool, held)
        columns |= (plain := f.vector_columns(inquiry, pool))
        columns |= f.walk_columns(inquiry, pool, bridged, SENTENCE_WEIGHT)
        columns |= f.name_columns(inquiry, pool)
        around, links = f.beam_columns(inquiry, pool, beam, held)
        columns |= around
        columns |= f.bare_columns(pool, inquiry.vectors([bare])[0], links)
        columns |= f.order_columns("base", pool, base.units)
        for name, one in gated.items():
            columns |= f.variant_columns(name, inquiry, pool, one, plain, beam)
        if number:
            columns |= f.order_columns("before", pool, before.units, before.scores)
    return PassResult(units=units, scores=np.zeros(len(units)), pool=units, columns=columns)


def ordered(prepared: PassResult, ranker: LinearRanker) -> PassResult:
    """The pool in the ranker's order; ties go to the smaller unit."""
    scores = ranker.scores(prepared.columns)
    by_score = np.argsort(-scores, kind="stable")
    return PassResult(
        units=prepared.pool[by_score], scores=scores[by_score], pool=prepared.pool, columns=prepared.columns
    )


def pool_units(
    inquiry: Inquiry,
    lists: Mapping[str, RankedList],
    base: RankedList,
    before: PassResult,
    beam: Sequence[BeamUnit],
    bridged: Float64Array,
    gated: Sequence[Gated],
) -> IntArray:
    """Candidates from every list, ascending, about a hundred."""
    mask = inquiry.mask
    parts: list[IntArray] = [
        fuse([lists[name].units for name in ("bm25", "dense", "sentences")])[0][:40],
        base.units[:50],
        before.units[:50],
    ]
    for mass, k in ((inquiry.asked, 30), (inquiry.asked + SENTENCE_WEIGHT * inquiry.near, 50), (bridged, 40)):
        parts.append(top(mass if mask is None else np.where(mask, mass, 0.0), k))
    for one in gated:
        for values, k in ((one.unit, 30), (one.sentence, 20), (one.joint, 15)):
            parts.append(one.units[np.argsort(-values, kind="stable")[:k]])
    parts += [_about(inquiry, beam), _named(inquiry)]
    units = np.unique(np.concatenate(parts))
    return units if mask is None else units[mask[units]]


def _about(inquiry: Inquiry, beam: Sequence[BeamUnit], k: int = 30) -> IntArray:
    """Units about what the beam names, by the nearness of the naming sentence and the share of the title."""
    best: dict[int, float] = {}
    for one in beam:
        for entity, near in zip(one.entities.tolist(), one.best.tolist(), strict=True):
            units, share = inquiry.links.units_about(entity)
            for unit, part in zip(units[:k].tolist(), share[:k].tolist(), strict=True):
                best[unit] = max(best.get(unit, 0.0), near * part)
    return np.array(sorted(best, key=lambda u: (-best[u], u))[:k], dtype=np.int64)


def _named(inquiry: Inquiry, each: int = 5) -> IntArray:
    """Units about what the question names: a few for each name, those of the strongest titles."""
    out: list[int] = []
    for entity in inquiry.entities:
        units, share = inquiry.links.units_about(entity.entity)
        mass = inquiry.asked[units]
        out += units[np.lexsort((units, -mass, -share))[:each]].tolist()
    return np.array(out, dtype=np.int64)


@contextmanager
def _timed(seconds: dict[str, float], step: str) -> Iterator[None]:
    start = time.perf_counter()
    try:
        yield
    finally:
        seconds[step] = seconds.get(step, 0.0) + time.perf_counter() - start
