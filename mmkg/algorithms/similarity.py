"""Near-duplicates among a handful of texts, by shared word runs."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
import numpy.typing as npt


def shingles(tokens: Sequence[str], n: int = 4) -> frozenset[tuple[str, ...]]:
    """The distinct runs of n tokens; a shorter text is one run of all its tokens.

    >>> sorted(shingles(["a", "b", "c"], 2))
    [('a', 'b'), ('b', 'c')]
    """
    if len(tokens) <= n:
        return frozenset([tuple(tokens)]) if tokens else frozenset()
    return frozenset(zip(*(tokens[i:] for i in range(n)), strict=False))


def jaccard(a: frozenset[Hashable], b: frozenset[Hashable]) -> float:
    """Size of the intersection over size of the union, 0 for two empty sets.

    Reference: Broder, "On the resemblance and containment of documents", SEQUENCES 1997.
    """
    if not a or not b:
        return 0.0
    shared = len(a & b)
    return shared / (len(a) + len(b) - shared)


def fold_duplicates(
    texts: Sequence[Sequence[str]],
    groups: Sequence[Hashable],
    *,
    threshold: float = 0.8,
    vectors: npt.NDArray[np.float32] | None = None,
    cosine: float = 0.98,
) -> list[int]:
    """For each text the index of the first text that it repeats, or its own.

    texts: tokens of each, best first. groups: only texts of one group are compared. Two texts repeat each other when their
    4-token shingles have a Jaccard index of at least `threshold`, or when both have a vector ((n, dim), unit rows; a zero
    row has none) with a cosine above `cosine`. A text is compared with the first ones only, never with texts folded
    already, so chains of small changes do not fold into one. O(n^2) in the number of texts.
    Raises ValueError if the lengths differ.
    """
    if len(texts) != len(groups) or (vectors is not None and len(vectors) != len(texts)):
        raise ValueError("texts, groups and vectors must have the same length")
    sets = [shingles(t) for t in texts]
    out: list[int] = []
    firsts: list[int] = []
    for i, own in enumerate(sets):
        target = i
        for j in firsts:
            if groups[i] != groups[j]:
                continue
            if jaccard(own, sets[j]) >= threshold or (vectors is not None and float(vectors[i] @ vectors[j]) > cosine):
                target = j
                break
        out.append(target)
        if target == i:
            firsts.append(i)
    return out
