"""Index views whose words and vectors stay in Neo4j's indexes; the arrays of the walk are exported, or grown for each question.

Small bases: who mentions what is exported and kept like the arrays of `mmkg.store.neo4j.cache`, without words and vectors.
Bases with more mentions than `walk_mentions`: nothing is exported, see `mmkg.store.neo4j.frontier`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Protocol

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from mmkg.protocols import FloatArray, IndexView, IntArray, PageWords, Statistics
from mmkg.store.folder.index import FolderIndex
from mmkg.store.neo4j.search import NEAR_SENTENCES, NEAR_UNITS, Near, SearchIndexes, gathered

CANDIDATES = 500
"""Units that full text brings for the words of a question; the order among them is made here, from whole counts."""

Int32 = npt.NDArray[np.int32]


class Numbered(Protocol):
    """The part of a view that says which unit has which number."""

    n_units: int
    sentence_unit: Int32

    def unit_ids(self, units: Sequence[int]) -> list[str]: ...
    def units_by_id(self, ids: Sequence[str]) -> list[int]: ...


class ServerSearches:
    """The searching half of an IndexView, answered by the server. Results are numbers of `numbered`; other units are left out.

    words: unit id -> index term -> how often, of the question's words. spaces: those whose vectors can be searched.
    """

    def __init__(
        self,
        indexes: SearchIndexes,
        numbered: Numbered,
        words: Mapping[str, Mapping[str, int]],
        spaces: Sequence[str],
        terms: Sequence[str] = (),
    ) -> None:
        self._indexes, self._numbered, self._spaces = indexes, numbered, tuple(sorted(spaces))
        self._postings: dict[str, tuple[Int32, Int32]] = {}
        self._sentence_start: IntArray | None = None
        self._add_words(words, terms)

    def _add_words(self, words: Mapping[str, Mapping[str, int]], asked: Sequence[str] = ()) -> None:
        ids = list(words)
        held: dict[str, list[tuple[int, int]]] = {t: [] for t in asked}
        for unit, id_ in zip(self._numbered.units_by_id(ids), ids, strict=True):
            if unit >= 0:
                for term, n in words[id_].items():
                    held.setdefault(term, []).append((unit, n))
        for term, pairs in held.items():
            table = np.array(sorted(pairs), dtype=np.int32).reshape(-1, 2)
            self._postings[term] = table[:, 0].copy(), table[:, 1].copy()

    def postings(self, term: str) -> tuple[Int32, Int32]:
        """Those units of the question that hold the term; of a term it does not have, the CANDIDATES best."""
        if term not in self._postings:
            self._add_words(self._indexes.words([term], CANDIDATES), [term])
        return self._postings[term]

    def frequencies(self, terms: Sequence[str]) -> list[int]:
        """How many units hold each index term; of many terms at once, at least so many."""
        return self._indexes.frequencies(terms)

    def spaces(self) -> tuple[str, ...]:
        """Keys of the spaces that the server can search."""
        return self._spaces

    def search_units(self, space: str, query: FloatArray, k: int) -> tuple[IntArray, FloatArray]:
        """About the k nearest units, best first."""
        return self._numbers(self._indexes.nearest(space, query, k, sentences=False))

    def search_sentences(self, space: str, query: FloatArray, k: int) -> tuple[IntArray, FloatArray]:
        """About the k nearest sentences, best first."""
        return self._numbers(self._indexes.nearest(space, query, k, sentences=True))

    def unit_vectors(self, space: str, units: IntArray) -> FloatArray:
        """(n, dim) float32 vectors of these units, zeros where there is none, (n, 0) for an unknown space."""
        ids = self._numbered.unit_ids(np.asarray(units).tolist())
        return self._rows(space, [(i, 0) for i in ids])

    def sentence_vectors(self, space: str, sentences: IntArray) -> FloatArray:
        """(n, dim) float32 vectors of these sentences, as for units."""
        sentences = np.asarray(sentences, dtype=np.int64)
        units = self._numbered.sentence_unit[sentences]
        ordinals = sentences - self._starts()[units]
        ids = self._numbered.unit_ids(units.tolist())
        return self._rows(space, [(i, int(n) + 1) for i, n in zip(ids, ordinals, strict=True)])

    def _rows(self, space: str, wanted: Sequence[tuple[str, int]]) -> FloatArray:
        if space not in self._spaces or not wanted:
            return np.zeros((len(wanted), 0), dtype=np.float32)
        found = self._indexes.vectors(space, [id_ for id_, _ in wanted])
        dim = next((x.shape[1] for x in found.values()), 0) or self._indexes.dim(space)
        return gathered(found, wanted, dim)

    def _numbers(self, near: Sequence[Near]) -> tuple[IntArray, FloatArray]:
        units = self._numbered.units_by_id([n.unit for n in near])
        kept = [(unit, n) for unit, n in zip(units, near, strict=True) if unit >= 0]
        starts = self._starts()
        numbers = [unit if n.ordinal < 0 else int(starts[unit]) + n.ordinal for unit, n in kept]
        scores = np.array([n.cosine for _, n in kept], dtype=np.float32)
        order = np.lexsort((np.array(numbers, dtype=np.int64), -scores))
        return np.array(numbers, dtype=np.int64)[order], scores[order]

    def _starts(self) -> IntArray:
        """(n_units,) first sentence of each unit."""
        if self._sentence_start is None:
            n = self._numbered.n_units
            self._sentence_start = np.searchsorted(self._numbered.sentence_unit, np.arange(n)).astype(np.int64)
        return self._sentence_start


def searched(
    indexes: SearchIndexes, terms: Sequence[str], vectors: Mapping[str, FloatArray]
) -> tuple[Mapping[str, Mapping[str, int]], list[int], PageWords, dict[str, tuple[list[Near], list[Near]]]]:
    """All that a question is searched for first, at the same time: words, frequencies and pages of its index terms, and for each
    space the units and sentences near its vector."""
    near = [
        partial(indexes.nearest, space, vector, NEAR_SENTENCES if sentences else NEAR_UNITS, sentences=sentences)
        for space, vector in vectors.items()
        for sentences in (True, False)
    ]
    if not terms:
        words: Mapping[str, Mapping[str, int]] = {}
        known, pages, found = [], PageWords(), indexes.together(*near)
    else:
        *found, words, pages, known = indexes.together(
            *near,
            partial(indexes.words, terms, CANDIDATES),
            partial(indexes.pages, terms),
            partial(indexes.frequencies, terms),
        )
    return words, known, pages, {s: (found[2 * i + 1], found[2 * i]) for i, s in enumerate(vectors)}


class IndexedView(ServerSearches):
    """One question's IndexView over exported arrays of the walk: units and graph are all there, words and vectors are not."""

    def __init__(
        self,
        arrays: FolderIndex,
        indexes: SearchIndexes,
        words: Mapping[str, Mapping[str, int]],
        spaces: Sequence[str],
        statistics: Statistics,
        page_words: PageWords,
    ) -> None:
        super().__init__(indexes, arrays, words, spaces, tuple(statistics.frequencies))
        self._arrays = arrays
        self.statistics, self.page_words, self.unit_pages = statistics, page_words, indexes.unit_pages
        self.generation = arrays.generation
        self.n_units, self.n_documents, self.n_entities = arrays.n_units, arrays.n_documents, arrays.n_entities
        self.unit_document, self.unit_modality = arrays.unit_document, arrays.unit_modality
        self.unit_length, self.sentence_unit = arrays.unit_length, arrays.sentence_unit
        self.mentions: sp.csr_matrix = arrays.mentions
        self.title_share: sp.csr_matrix = arrays.title_share
        self.sentence_entities: sp.csr_matrix = arrays.sentence_entities
        self.entity_df, self.entity_unit_df = arrays.entity_df, arrays.entity_unit_df
        self.entities = arrays.entities
        self.entity_ids, self.entity_names = arrays.entity_ids, arrays.entity_names
        self.is_title, self.unit_ids, self.units_by_id = arrays.is_title, arrays.unit_ids, arrays.units_by_id
        self.filename_units = arrays.filename_units


class IndexedViews:
    """protocols.QuestionViews over exported arrays."""

    whole_walk = True
    """Every view has the same units and graph: what is built from them can be shared."""

    def __init__(self, arrays: Callable[[], FolderIndex], indexes: SearchIndexes, spaces: Sequence[str]) -> None:
        self._open, self._indexes, self._spaces = arrays, indexes, spaces
        self._arrays: FolderIndex | None = None
        self._totals = (0, 0.0)
        self._lock = threading.Lock()

    def arrays(self) -> FolderIndex:
        """The exported arrays, fetched at first use."""
        with self._lock:
            if self._arrays is None:
                self._arrays = self._open()
                lengths = self._arrays.unit_length
                worded = int(np.count_nonzero(lengths))
                self._totals = worded, float(lengths.sum(dtype=np.int64)) / max(worded, 1)
            return self._arrays

    def lookup(self) -> IndexView:
        """A view for look-ups alone."""
        return self.around()

    def around(
        self,
        *,
        terms: Sequence[str] = (),
        entities: Sequence[str] = (),
        vectors: Mapping[str, FloatArray] | None = None,
        file_words: Sequence[str] = (),
    ) -> IndexView:
        """The view for a question with these index terms; its graph is the whole one."""
        arrays = self.arrays()
        asked = sorted(set(terms))
        words, known, pages = searched(self._indexes, asked, vectors or {})[:3]
        statistics = Statistics(
            n_units=arrays.n_units,
            n_worded=self._totals[0],
            mean_length=self._totals[1],
            frequencies=dict(zip(asked, known, strict=True)),
        )
        return IndexedView(arrays, self._indexes, words, self._spaces, statistics, pages)
