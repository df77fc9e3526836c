"""A ranking as arrays, and what readers of it need."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from mmkg.algorithms.pagerank import Float64Array
from mmkg.protocols import FloatArray, IntArray
from mmkg.retrieve.passes import PassResult
from mmkg.retrieve.question import QuestionEntity
from mmkg.retrieve.walk import RankedList
from mmkg.types import Evidence


class UnitReader(Protocol):
    """Reads units for people: the store behind an index view implements it."""

    def read(self, ids: Sequence[str]) -> list[Evidence]:
        """Each unit as evidence with score 0 and neither channels nor path, in the order of ids; unknown ids are left out."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RankedUnits:
    """A ranking as arrays, best first, and what led to it.

    units: indices in the view. scores: in (0, 1], not rising. name: "walk", "fusion", or that of the last pass.
    lists: channel -> its own list, at least DEPTH deep where it has so many. entities: what the question names.
    question_seeds, sentence_seeds: (n_entities,) where the walk started. sentences, cosines: the nearest, best first.
    made: what the last pass made, None at effort 0. copies: unit -> the unit of the ranking that it repeats, as far as looked for.
    timings: seconds by step.
    """

    units: IntArray
    scores: Float64Array
    name: str
    lists: Mapping[str, RankedList]
    entities: tuple[QuestionEntity, ...] = ()
    question_seeds: Float64Array
    sentence_seeds: Float64Array
    sentences: IntArray
    cosines: FloatArray
    made: PassResult | None = None
    copies: Mapping[int, int] = field(default_factory=dict)
    timings: dict[str, float] = field(default_factory=dict)


class Clock:
    """Adds up seconds by step."""

    def __init__(self, seconds: dict[str, float] | None = None) -> None:
        self.seconds: dict[str, float] = {} if seconds is None else seconds

    @contextmanager
    def __call__(self, step: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[step] = self.seconds.get(step, 0.0) + time.perf_counter() - start
