"""From lists to one order. Scores of different kinds have different scales, so lists enter by rank."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from mmkg.algorithms.fusion import fuse, weighted
from mmkg.algorithms.pagerank import Float64Array
from mmkg.protocols import IntArray
from mmkg.retrieve.walk import RankedList

SIDE_EVERY = 3
"""A side list may take every third place."""
BEARING = 0.35
"""Cosine of MiniLM from which words bear on a question; unrelated texts are about 0 to 0.2, two captions of a picture 0.5 to 0.8."""
PIXEL_K, PIXEL_WEIGHT = 5, 0.3
"""How pixels join words, see with_pixels."""
FLAT_WEIGHT = 4.0
"""Weight of the flat lists where nothing that the question names is a title."""
FILE_NAME_SHARE = 0.5
"""A file name counts as asked for when it holds this share of the question's weight in words."""
UNWORDED_SHARE = 0.3
"""The same where only pictures and recordings are asked for."""

HYBRID = "hybrid"
MODES = {"lexical": ("bm25",), "dense": ("dense", "sentences"), "graph": ("walk",)}
"""Beside HYBRID: what a user may search by alone, and the lists it stands for."""


def checked(modes: Sequence[str]) -> Sequence[str]:
    """The modes. Raises ValueError for an unknown one, for none, and for HYBRID beside others."""
    unknown = sorted(set(modes) - {HYBRID, *MODES})
    if unknown or not modes or (HYBRID in modes and len(set(modes)) > 1):
        raise ValueError(f"expected {HYBRID}, or some of {', '.join(MODES)}; got {', '.join(modes) or 'none'}")
    return modes


def of_modes(modes: Sequence[str], lists: Mapping[str, RankedList], base: RankedList) -> RankedList:
    """The order that the modes ask for: the base order for HYBRID, else their lists by reciprocal rank fusion."""
    if HYBRID in modes:
        return base
    units, scores = fuse([lists[name].units for mode in MODES if mode in modes for name in MODES[mode]])
    return RankedList("+".join(mode for mode in MODES if mode in modes), units, scores / scores[:1])


def base_order(walk: RankedList, mass: Float64Array, flat: Sequence[RankedList], *, titled: float) -> RankedList:
    """The order of units with words: the mass of the walk, moderated by the flat lists.

    score(u) = ln(mass(u) / largest + 1e-4) + beta x 10 / (10 + place of u in the fused flat lists, from 0), with
    beta = FLAT_WEIGHT x (1 - titled)^2. titled, in 0..1, says how far what the question names are titles of single units.
    Where it is 1 the order is the walk's: there the walk knows best. Names that are only mentioned, or the title of a long
    document, leave many units alike, and the words must decide. Measured on train questions of three text sets: with titled = 0
    the best beta is 4 or more (the walk alone is 7 to 16 points of recall@5 lower), with sentence seeds about 1 half-way.
    Without a walk (the question names nothing known) the reciprocal rank fusion alone. Scores lie in (0, 1] and do not rise.
    walk, mass: of the same walk, mass over all units (n_units,).
    """
    fused, scores = fuse([ranked.units for ranked in flat])
    if not len(walk):
        return RankedList("fusion", fused, scores / scores[0] if len(scores) else scores)
    places = np.zeros(len(mass))
    places[fused] = 10.0 / (10.0 + np.arange(len(fused)))
    beta = FLAT_WEIGHT * max(0.0, 1.0 - titled) ** 2
    candidates = np.union1d(walk.units, fused)
    joined = np.log(mass[candidates] / walk.scores[0] + 1e-4) + beta * places[candidates]
    order = np.argsort(-joined, kind="stable")
    return RankedList("walk", candidates[order], np.exp(joined[order] - joined[order[0]]))


def joined(units: IntArray, scores: Float64Array, base: RankedList, *, name: str) -> RankedList:
    """An order of some units by scores without bounds, then the rest of the base order.

    The scores become exp(score - best), in (0, 1]; what follows is scaled below the last of them.
    """
    rest = base.only(np.flatnonzero(~np.isin(base.units, units)))
    shares = np.exp(np.maximum(scores - scores[0], -30.0)) if len(scores) else np.zeros(0)
    last = float(shares[-1]) if len(shares) else 1.0
    below = rest.scores * (last / rest.scores[0]) if len(rest) else rest.scores
    return RankedList(name, np.concatenate([units, rest.units]), np.concatenate([shares, below]))


def with_side_lists(
    base: RankedList, sides: Sequence[RankedList], k: int, *, fill: Sequence[RankedList] = ()
) -> RankedList:
    """The first k places of the base order, in which side lists take every third place, in turn, while they have units.

    Places that the base order cannot fill go to the side lists too, and then to the lists of `fill`. A unit that already has a
    place costs its side list nothing. A unit put in takes the score of the place above it, so scores do not rise.
    """
    queues, last = ([s.units.tolist() for s in lists] for lists in (sides, fill))
    main = list(zip(base.units.tolist(), base.scores.tolist(), strict=True))
    units: list[int] = []
    scores: list[float] = []
    taken: set[int] = set()
    at = turn = 0
    while len(units) < k:
        while at < len(main) and main[at][0] in taken:
            at += 1
        place = len(units) + 1
        side = None
        if place % SIDE_EVERY == 0 or at == len(main):
            side, turn = _next(queues, taken, turn)
        if side is None and at == len(main):
            side, _ = _next(last, taken, 0)
        if side is not None:
            unit, score = side, scores[-1] if scores else 1.0
        elif at < len(main):
            unit, score = main[at]
        else:
            break
        taken.add(unit)
        units.append(unit)
        scores.append(score)
    return RankedList(
        base.name, np.array(units, dtype=np.int64), np.minimum.accumulate(np.array(scores, dtype=np.float64))
    )


def _next(queues: list[list[int]], taken: set[int], turn: int) -> tuple[int | None, int]:
    """The next unit of the side lists, each in its turn, and whose turn it is then; None if all are used up."""
    for i in range(len(queues)):
        queue = queues[(turn + i) % len(queues)]
        while queue:
            unit = queue.pop(0)
            if unit not in taken:
                return unit, (turn + i + 1) % len(queues)
    return None, turn


def file_names_asked_for(names: RankedList, base: RankedList, *, least: float = FILE_NAME_SHARE) -> RankedList:
    """Units of the files that the question as good as names; equal ones in the base order.

    least: share of the question's words (by idf) that a file name must have. Where only pictures and recordings are asked for,
    UNWORDED_SHARE is enough: many have no words but those of their file's name.
    """
    strong = names.only(np.flatnonzero(names.scores >= least))
    place = {int(u): i for i, u in enumerate(base.units)}
    last = len(place)
    ranks = np.array([place.get(int(u), last) for u in strong.units], dtype=np.int64)
    return strong.only(np.lexsort((strong.units, ranks, -strong.scores)))


def with_pixels(words: RankedList, pixels: RankedList) -> RankedList:
    """Pictures by their words and by their pixels: score = 1 / (PIXEL_K + rank by words) + PIXEL_WEIGHT / (PIXEL_K + rank by pixels).

    Words say more of a picture than pixels do here, where both are there; a picture that only one list knows comes by that.
    Joined as equals with k = 60, 944 captions of photographs found theirs among the first five in 65 of 100 cases, by
    words alone in 80; so joined in 81 (COCO dev, caption 1 by MiniLM and the label bridge; the first place 33, 50, 48).
    """
    held = [(ranked.units, weight) for ranked, weight in ((words, 1.0), (pixels, PIXEL_WEIGHT)) if len(ranked)]
    units, scores = weighted(held, k=PIXEL_K)
    return RankedList(words.name, units, scores / scores[:1])


def alternating(first: RankedList, second: RankedList) -> RankedList:
    """Two lists whose scores say nothing to each other, a place of one and a place of the other in turn; scores 1/place."""
    units: dict[int, None] = {}
    for n in range(max(len(first), len(second))):
        for one in (first, second):
            if n < len(one):
                units.setdefault(int(one.units[n]))
    return RankedList(second.name, np.array(list(units), dtype=np.int64), 1.0 / np.arange(1, len(units) + 1))


def by_bearing(base: RankedList, dense: RankedList, walk: RankedList) -> tuple[RankedList, RankedList]:
    """Pictures whose words bear on the question, and the others, each in the base order.

    A word on a sign stands first in a list of pictures by words when no other picture has any; it says little of what is
    asked. Words bear on a question when their cosine with it is at least BEARING, or when the walk from what the question names leads to
    them. Without vectors all do. Measured on captions of photographs without stored words (recall@5 of 120 questions): 15
    when every picture with words counts, 43 by pixels alone.
    """
    if not len(dense):
        return base, base.only(np.zeros(0, dtype=np.int64))
    bearing = np.union1d(dense.units[dense.scores >= BEARING], walk.units)
    held = np.isin(base.units, bearing)
    return base.only(np.flatnonzero(held)), base.only(np.flatnonzero(~held))


def ranks_of(ranked: RankedList, units: IntArray) -> tuple[IntArray, Float64Array]:
    """For each unit its rank from 1 (0 if absent) and its score in the list."""
    place = {int(u): i for i, u in enumerate(ranked.units)}
    ranks = np.array([place.get(int(u), -1) + 1 for u in units], dtype=np.int64)
    scores = np.zeros(len(ranks))
    held = ranks > 0
    scores[held] = ranked.scores[ranks[held] - 1]
    return ranks, scores
