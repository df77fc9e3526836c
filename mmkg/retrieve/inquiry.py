"""One question on one view, and what all passes over it share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from mmkg.algorithms.pagerank import Float64Array, WalkGraph
from mmkg.algorithms.terms import terms
from mmkg.protocols import FloatArray, IndexView, IntArray, PartialView
from mmkg.retrieve.links import Links
from mmkg.retrieve.question import QuestionEntity
from mmkg.retrieve.walk import Mask
from mmkg.types import Evidence

Encode = Callable[[Sequence[str]], FloatArray]
"""Texts -> (n, dim) float32, unit rows, in the space of the question's vector."""
Read = Callable[[Sequence[str]], list[Evidence]]

DIGITS = 5
"""Decimals of a cosine that count: what differs beyond them is the rounding of a batch, not of the words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """The index terms of a question, each once, sorted: their idf ln((N + 1) / df) and the units that hold them."""

    terms: tuple[str, ...]
    idf: Float64Array
    units: tuple[npt.NDArray[np.int32], ...]

    def held(self, units: IntArray) -> npt.NDArray[np.bool_]:
        """(n_terms, n) whether each of the units holds each term."""
        out = np.zeros((len(self.terms), len(units)), dtype=bool)
        for i, holders in enumerate(self.units):
            if len(holders):
                at = np.minimum(np.searchsorted(holders, units), len(holders) - 1)
                out[i] = holders[at] == units
        return out


@dataclass(frozen=True, slots=True, kw_only=True)
class Inquiry:
    """A question, and what was computed once for it.

    query: (dim,) its vector in `space`. bm25, asked, near: (n_units,) word scores, and the mass of the walks from question entities and from sentence seeds. seeds: (n_entities,) of
    the question. mask: units that may be found; None for all. encoded: vectors of texts, so that no pass encodes a text again.
    """

    question: str
    view: IndexView
    graph: WalkGraph
    links: Links
    space: str
    query: FloatArray
    encode: Encode
    read: Read
    entities: tuple[QuestionEntity, ...]
    words: Words
    bm25: Float64Array
    asked: Float64Array
    near: Float64Array
    seeds: Float64Array
    mask: Mask | None = None
    encoded: dict[str, FloatArray] = field(default_factory=dict)
    clock: Mapping[str, float] = field(default_factory=dict)

    def vectors(self, texts: Sequence[str]) -> FloatArray:
        """(n, dim) vectors of texts; those not seen before are encoded in one call."""
        new = [t for t in dict.fromkeys(texts) if t not in self.encoded]
        if new:
            self.encoded.update(zip(new, self.encode(new), strict=True))
        if not texts:
            return np.zeros((0, len(self.query)), dtype=np.float32)
        return np.stack([self.encoded[t] for t in texts])


def question_words(question: str, view: IndexView) -> Words:
    """The terms of a question that the index knows."""
    found = {term: view.postings(term)[0] for term in sorted(set(terms(question)))}
    held = {term: units for term, units in found.items() if len(units)}
    n_units, df = view.n_units, {term: len(units) for term, units in held.items()}
    if isinstance(view, PartialView):
        whole = view.statistics
        n_units, df = whole.n_units, {term: max(n, whole.frequencies.get(term, 0)) for term, n in df.items()}
    idf = np.log((n_units + 1) / np.array(list(df.values()), dtype=np.float64))
    return Words(terms=tuple(held), idf=idf, units=tuple(held.values()))


def cosines(rows: FloatArray, columns: FloatArray) -> Float64Array:
    """(n, m) inner products of unit rows, rounded so that they do not depend on how the work was cut into batches."""
    products = np.asarray(rows @ columns.T, dtype=np.float64)
    return np.round(products, DIGITS)
