"""Which sentences answer together: a beam search for a short chain in which each sentence is tied to one before it.

A multi-hop answer stands in a sentence that shares few words with the question. It is reached as a reader reaches it: a
sentence about what the question names mentions something new, a *bridge*, and another sentence says of the bridge what was asked.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mmkg.generate.pool import Pool, Sentence
from mmkg.generate.question import Question

LONGEST = 3
BEAM = 12
STARTS = 16
STEP_COST = 0.06
"""What a further sentence must add to be worth reading, if its bridge is named in one unit; more where it is common."""
_COSINE = 0.35
_RANK = 0.05
_TYPED = 0.15
_LINK = 0.04


@dataclass(frozen=True, slots=True)
class Chain:
    """Sentences (indices of the pool) in the order they are reached. bridges: the names that tie each to one before it.

    cover: of each question word by the best of them. score: higher is better, about 0..1.5.
    """

    sentences: tuple[int, ...]
    bridges: tuple[str, ...]
    cover: tuple[float, ...]
    score: float


def find_chains(
    question: Question,
    pool: Pool,
    *,
    cosines: Sequence[float] | None = None,
    typed: Callable[[Sentence], bool] = lambda sentence: False,
) -> list[Chain]:
    """The best chains of one to three sentences, best first, ties by the order of the evidence.

    cosines: of the question with each sentence of the pool, or None. typed: whether a sentence holds something of the kind
    that is asked for and that the question does not name.
    """
    held_by: dict[str, int] = {}

    def cost(bridge: str) -> float:
        # A name that half of the evidence holds ties nothing to nothing.
        if bridge not in held_by:
            held_by[bridge] = len({s.unit for s in pool.sentences if s.has(bridge)})
        return STEP_COST * math.log2(1 + held_by[bridge])

    base = [_own_worth(pool, i, cosines) for i in range(len(pool.sentences))]
    fits = [typed(s) for s in pool.sentences]

    def rate(members: tuple[int, ...], cover: tuple[float, ...], bridges: tuple[str, ...]) -> float:
        score = pool.covered(cover) + max(base[i] for i in members) - sum(map(cost, bridges))
        return score + (_TYPED if fits[members[-1]] else 0.0)

    order = sorted(range(len(base)), key=lambda i: (-(pool.covered(pool.sentences[i].cover) + base[i]), i))
    beam = [
        Chain((i,), (), pool.sentences[i].cover, rate((i,), pool.sentences[i].cover, ()))
        for i in order[:STARTS]
        if any(pool.sentences[i].cover) or base[i] > 0
    ]
    found = list(beam)
    for _ in range(LONGEST - 1):
        grown = [c for chain in beam for c in _grown(question, pool, chain, rate)]
        grown.sort(key=lambda c: (-c.score, c.sentences))
        beam = grown[:BEAM]
        found += beam
    found.sort(key=lambda c: (-c.score, len(c.sentences), c.sentences))
    return found


def _own_worth(pool: Pool, i: int, cosines: Sequence[float] | None) -> float:
    worth = _RANK / (1 + pool.sentences[i].unit)
    return worth + (_COSINE * max(0.0, cosines[i]) if cosines is not None else 0.0)


def _grown(
    question: Question,
    pool: Pool,
    chain: Chain,
    rate: Callable[[tuple[int, ...], tuple[float, ...], tuple[str, ...]], float],
) -> list[Chain]:
    out = []
    last = pool.sentences[chain.sentences[-1]]
    for j, following in enumerate(pool.sentences):
        if j in chain.sentences:
            continue
        bridge = link(question, last, following)
        if not bridge:
            continue
        members = (*chain.sentences, j)
        cover = tuple(max(a, b) for a, b in zip(chain.cover, following.cover, strict=True))
        bridges = (*chain.bridges, bridge)
        out.append(Chain(members, bridges, cover, rate(members, cover, bridges) + _LINK * (" " in bridge)))
    return out


def link(question: Question, a: Sentence, b: Sentence) -> str:
    """The longest name that two sentences share and the question does not hold; "" if there is none.

    The bridge stands in the words of at least one of them: two sections under one title are not tied by the title alone.
    """
    shared = [
        name
        for name in a.names | b.names
        if f" {name} " not in question.text
        and a.has(name)
        and b.has(name)
        and (f" {name} " in a.text_words or f" {name} " in b.text_words)
    ]
    return max(shared, key=lambda n: (n.count(" "), len(n), n), default="")
