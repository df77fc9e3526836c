"""Ranked lists of units, one a channel: words, vectors, file names, and the walk over the graph."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mmkg.algorithms.bm25 import bm25_scores
from mmkg.algorithms.fusion import top
from mmkg.algorithms.names import tokenize
from mmkg.algorithms.pagerank import Float64Array, WalkGraph
from mmkg.algorithms.terms import STOP_WORDS, terms
from mmkg.protocols import FloatArray, IndexView, IntArray, PartialView

DEPTH = 100
"""Places of a list that are kept for fusion and for the channels of evidence."""

ITERATIONS = 8
"""Steps of the walk: from 8 on the first ten places no longer change (measured on 300 questions of two text sets)."""

SENTENCES_A_UNIT = 2
"""Sentences asked for by vector for each unit of a list. With four, of 100 questions over 1,890 passages no first ten was another
(with one it was in one question); a server's index takes as long as it is asked for sentences."""

FEW = 20_000
"""Units or sentences that are scored one by one, where a mask lets through no more: a search of all would have to fetch thousands
to find the few. Measured at 100,000 units, processor time of units and sentences together: 63 ms without a mask; with one that lets 100
units through 7 ms one by one, and 4.5 s by a search that is asked for more and more."""

Mask = npt.NDArray[np.bool_]
Search = Callable[[int], tuple[IntArray, FloatArray]]


@dataclass(frozen=True, slots=True)
class RankedList:
    """Units of one channel, best first, each once, and its own scores."""

    name: str
    units: IntArray
    scores: Float64Array

    def __len__(self) -> int:
        return len(self.units)

    def only(self, places: IntArray) -> RankedList:
        """The entries at these places."""
        return RankedList(self.name, self.units[places], self.scores[places])


def empty(name: str) -> RankedList:
    """A list without entries."""
    return RankedList(name, np.zeros(0, dtype=np.int64), np.zeros(0))


def by_words(question: str, view: IndexView, mask: Mask | None, depth: int) -> RankedList:
    """BM25 over title and text."""
    return _from_scores("bm25", word_scores(question, view), mask, depth)


def word_scores(question: str, view: IndexView) -> Float64Array:
    """(n_units,) BM25 over title and text, with the statistics of the whole base."""
    whole = None
    if isinstance(view, PartialView):
        s = view.statistics
        whole = s.n_worded, s.mean_length, s.frequencies
    return bm25_scores(terms(question), view.postings, view.unit_length, whole=whole)


def by_vector(name: str, view: IndexView, space: str, query: FloatArray, mask: Mask | None, depth: int) -> RankedList:
    """Units whose vectors in a space are nearest to the query."""
    if mask is not None and np.count_nonzero(mask) <= FEW:
        units, scores = _nearest_of(np.flatnonzero(mask), view.unit_vectors(space, np.flatnonzero(mask)), query, depth)
    else:
        units, scores = _searched(lambda k: view.search_units(space, query, k), lambda u: u, view.n_units, mask, depth)
    return RankedList(name, units, scores.astype(np.float64))


def nearest_sentences(
    view: IndexView, space: str, query: FloatArray, mask: Mask | None, depth: int
) -> tuple[IntArray, FloatArray]:
    """Sentences nearest to the query: SENTENCES_A_UNIT x depth."""
    unit = view.sentence_unit
    if mask is not None and np.count_nonzero(held := mask[unit]) <= FEW:
        sentences = np.flatnonzero(held)
        return _nearest_of(sentences, view.sentence_vectors(space, sentences), query, SENTENCES_A_UNIT * depth)
    return _searched(
        lambda k: view.search_sentences(space, query, k),
        lambda s: unit[s].astype(np.int64),
        len(unit),
        mask,
        SENTENCES_A_UNIT * depth,
    )


def by_sentence(view: IndexView, sentences: IntArray, scores: FloatArray, depth: int) -> RankedList:
    """Units by their best sentence."""
    units = view.sentence_unit[sentences].astype(np.int64)
    first = np.sort(np.unique(units, return_index=True)[1])[:depth]
    return RankedList("sentences", units[first], scores[first].astype(np.float64))


def by_file_name(question: str, view: IndexView, mask: Mask | None, depth: int) -> RankedList:
    """Units of documents whose file name has words of the question.

    score(u) = sum of idf over the question's words in the file name / sum of idf over all its words, in (0, 1];
    idf(w) = ln((D + 1) / df(w)) over the D documents, where a word that no file name has counts as if one had.
    """
    words = sorted({t.folded for t in tokenize(question)} - STOP_WORDS)
    found = view.filename_units(words) if words else {}
    if not found:
        return empty("filename")
    scores, total = np.zeros(view.n_units), 0.0
    for word in words:
        units = found.get(word, np.zeros(0, dtype=np.int64))
        df = max(1, len(np.unique(view.unit_document[units])))
        weight = float(np.log((view.n_documents + 1) / df))
        total += weight
        scores[units] += weight
    return _from_scores("filename", scores / total if total > 0 else scores, mask, depth)


def walk_mass(graph: WalkGraph, weights: Float64Array) -> Float64Array:
    """(n_units,) personalised PageRank from the restart weights of the entities (n_entities,), sum 1; all 0 if these are."""
    if not weights.any():
        return np.zeros(graph.n_units)
    # Units that stand alike in the graph must tie, not be told apart by the last bits of a sum.
    return np.round(graph.push(weights, iterations=ITERATIONS), 12)


def by_walk(mass: Float64Array, mask: Mask | None, depth: int) -> RankedList:
    """Units by the mass of a walk."""
    return _from_scores("walk", mass, mask, depth)


def _from_scores(name: str, scores: Float64Array, mask: Mask | None, depth: int) -> RankedList:
    if mask is not None:
        scores = np.where(mask, scores, 0.0)
    units = top(scores, depth)
    return RankedList(name, units, scores[units])


def _nearest_of(items: IntArray, vectors: FloatArray, query: FloatArray, depth: int) -> tuple[IntArray, FloatArray]:
    """What `_searched` gives for a mask that lets through few, by scoring those alone.

    items: ascending; vectors: (n, dim), a row of zeros for an item without one. The sums are those of an exact search: row by row,
    in double precision, ties to the smaller item.
    """
    held = vectors.any(axis=1) if vectors.shape[1] else np.zeros(len(items), dtype=bool)
    scores = (vectors[held].astype(np.float64) * query.astype(np.float64)).sum(axis=1).astype(np.float32)
    first = np.lexsort((items[held], -scores))[:depth]
    return items[held][first], scores[first]


def _searched(
    search: Search, unit_of: Callable[[IntArray], IntArray], limit: int, mask: Mask | None, depth: int
) -> tuple[IntArray, FloatArray]:
    """The best `depth` results that the mask lets through: asks for more until there are enough."""
    k = depth if mask is None else 4 * depth
    while True:
        items, scores = search(min(k, limit)) if limit else (np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.float32))
        if mask is None:
            return items, scores
        held = np.flatnonzero(mask[unit_of(items)])
        if len(held) >= depth or len(items) < k or k >= limit:
            return items[held[:depth]], scores[held[:depth]]
        k *= 8
