"""Who is about what: titles, mentions and sentences of a view, looked up from either side. Built once for all questions."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from mmkg.algorithms.pagerank import Float64Array, WalkGraph
from mmkg.algorithms.terms import words
from mmkg.protocols import IndexView, IntArray

KNOWN_ENTITIES = 1 << 17
"""Entities whose names and words are kept in memory."""


class Links:
    """Look-ups between units, sentences and entities. Safe to use from several threads.

    A title that n units share makes each of them 1 / n "about" its entity.
    """

    def __init__(self, view: IndexView, graph: WalkGraph) -> None:
        self._view, self._graph = view, graph
        titles = sp.csr_matrix(view.title_share, dtype=np.float64, copy=True)
        titles.eliminate_zeros()
        titles.data = 1.0 / titles.data
        self.titles: sp.csr_matrix = titles
        """(n_units, n_entities) 1 / n where the entity is a title of the unit."""
        self._titles_by_entity: sp.csc_matrix = titles.tocsc()
        counts = np.bincount(view.sentence_unit, minlength=view.n_units)
        self.sentence_start: IntArray = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        self._ids: dict[int, str] = {}
        self._names: dict[int, str] = {}
        self._words: dict[int, frozenset[str]] = {}
        self._lock = threading.Lock()

    @cached_property
    def _sentences_by_entity(self) -> sp.csc_matrix:
        by_entity: sp.csc_matrix = self._view.sentence_entities.tocsc()
        return by_entity

    def titles_of(self, unit: int) -> tuple[IntArray, Float64Array]:
        """Entities that are titles of the unit, and 1 / n of each."""
        a, b = self.titles.indptr[unit], self.titles.indptr[unit + 1]
        return self.titles.indices[a:b].astype(np.int64), self.titles.data[a:b]

    def units_about(self, entity: int) -> tuple[IntArray, Float64Array]:
        """Units whose title the entity is, ascending, and 1 / n of each."""
        held = self._titles_by_entity
        a, b = held.indptr[entity], held.indptr[entity + 1]
        return held.indices[a:b].astype(np.int64), held.data[a:b]

    def units_naming(self, entity: int) -> IntArray:
        """Units that mention the entity or have it as a title, ascending."""
        return self._graph.units_of(entity)[0]

    def entities_in(self, sentence: int) -> npt.NDArray[np.int64]:
        """Entities of a sentence, ascending."""
        table = self._view.sentence_entities
        held: IntArray = table.indices[table.indptr[sentence] : table.indptr[sentence + 1]].astype(np.int64)
        return held

    def sentences_naming(self, entity: int) -> IntArray:
        """Sentences that name the entity, ascending."""
        table = self._sentences_by_entity
        held: IntArray = np.sort(table.indices[table.indptr[entity] : table.indptr[entity + 1]]).astype(np.int64)
        return held

    def sentences_of(self, units: IntArray) -> tuple[IntArray, IntArray]:
        """All sentences of the units, unit after unit, and for each the place of its unit in `units`."""
        starts = self.sentence_start[units]
        counts = self.sentence_start[np.asarray(units) + 1] - starts
        rows = np.repeat(np.arange(len(units), dtype=np.int64), counts)
        first = np.cumsum(counts) - counts
        return starts[rows] + np.arange(len(rows), dtype=np.int64) - first[rows], rows

    def ids(self, entities: Sequence[int]) -> list[str]:
        """Canonical forms."""
        return self._kept(self._ids, entities, self._view.entity_ids)

    def names(self, entities: Sequence[int]) -> list[str]:
        """Display names."""
        return self._kept(self._names, entities, self._view.entity_names)

    def words(self, entities: Sequence[int]) -> list[frozenset[str]]:
        """Words of the canonical forms, without stop words, not stemmed."""
        ids = self.ids(entities)
        out = []
        for entity, name in zip(entities, ids, strict=True):
            known = self._words.get(entity)
            if known is None:
                known = frozenset(words(name))
                if len(self._words) < KNOWN_ENTITIES:
                    self._words[entity] = known
            out.append(known)
        return out

    def _kept(
        self, table: dict[int, str], entities: Sequence[int], look_up: Callable[[Sequence[int]], list[str]]
    ) -> list[str]:
        with self._lock:
            missing = sorted({e for e in entities if e not in table})
            if missing:
                if len(table) + len(missing) > KNOWN_ENTITIES:
                    table.clear()
                    missing = sorted(set(entities))
                table.update(zip(missing, look_up(missing), strict=True))
            return [table[e] for e in entities]
