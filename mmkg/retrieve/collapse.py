"""Near-duplicates among evidence: the first stays and names those it stands for."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from mmkg.algorithms.similarity import fold_duplicates
from mmkg.types import Evidence

_WORD = re.compile(r"\w+")


def collapse(evidence: Sequence[Evidence], k: int, known: Mapping[str, str] | None = None) -> list[Evidence]:
    """The first k distinct pieces of evidence, best first; each lists the ids of its repetitions in `similar`.

    Only pieces of one kind are compared, by the words of their text; evidence without words repeats another only if it is the same
    picture or clip (the same media hash). known: id -> id of a piece that it is known to repeat, itself in none. O(n^2) in the number
    of pieces, which are few.
    """
    words = [_WORD.findall(e.text.casefold()) or ([e.media] if e.media else []) for e in evidence]
    first = fold_duplicates(words, [e.kind for e in evidence])
    place = {e.id: i for i, e in enumerate(evidence)}
    for other, one in (known or {}).items():
        if other in place and one in place and first[place[other]] == place[other]:
            first[place[other]] = first[place[one]]
    first = [first[j] for j in first]  # what repeats a piece that repeats another
    repeats: dict[int, list[str]] = {}
    for i, j in enumerate(first):
        if i != j:
            repeats.setdefault(j, []).append(evidence[i].id)
    kept = [i for i, j in enumerate(first) if i == j][:k]
    return [replace(evidence[i], similar=tuple(repeats[i])) if i in repeats else evidence[i] for i in kept]
