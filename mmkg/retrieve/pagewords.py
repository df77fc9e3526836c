"""Words of whole pages: a question's words often lie spread over a page, in its text, a table and a figure, each a unit of its own.

Pages are ranked by BM25 over all words of their units, and this list is joined by rank with the order of units:

    score(u) = 1 / (K + rank(u)) + WEIGHT / (K + rank of its page, if u is the page's first unit in that order)

A unit that lies on no page counts as if it had a page of the same rank, so that documents with pages gain nothing over others. A page
that no ranked unit lies on comes in by its unit with the best words. Where no document has more than one page, nothing changes.
Over a view that holds a part of a base (protocols.PartialView) the pages are those that the server found, ranked with its counts.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mmkg.algorithms.bm25 import bm25_scores
from mmkg.algorithms.fusion import top
from mmkg.algorithms.pagerank import Float64Array
from mmkg.algorithms.terms import terms
from mmkg.protocols import IndexView, PageWords, PartialView
from mmkg.retrieve.walk import DEPTH, Mask, RankedList

K, WEIGHT = 10, 0.5
"""Chosen on 97 questions about 23 PDF files, where it matters little: from K 5 to 40 and WEIGHT 0.3 to 1 recall@5 of pages is 71 to 76 within a
document (73 without the list) and 56 to 60 over all (54 without)."""
PAGE = "page words"
"""Name of the list."""


@dataclass(frozen=True, slots=True)
class Pages:
    """The pages of a view. of: (n_units,) the page of each unit, -1 for none. length: (n_pages,) index terms of each."""

    of: npt.NDArray[np.int64]
    length: npt.NDArray[np.int64]

    @classmethod
    def of_view(cls, view: IndexView, placed: Iterable[tuple[str, int]], *, least: int = 2) -> Pages:
        """placed: (unit id, page) of the units that lie on a page. Documents with fewer than `least` pages here have none.

        O(units on pages).
        """
        if not (placed := list(placed)):
            return cls(np.full(view.n_units, -1, dtype=np.int64), np.zeros(0, dtype=np.int64))
        ids, numbers = zip(*placed, strict=True)
        units = np.array(view.units_by_id(ids), dtype=np.int64)
        at = np.column_stack([view.unit_document[units], np.array(numbers, dtype=np.int64)])[units >= 0]
        units = units[units >= 0]
        of = np.full(view.n_units, -1, dtype=np.int64)
        if len(units):
            distinct = np.unique(at, axis=0)
            documents, counts = np.unique(distinct[:, 0], return_counts=True)
            several = np.isin(at[:, 0], documents[counts >= least])
            of[units[several]] = np.unique(at[several], axis=0, return_inverse=True)[1].reshape(-1)
        n = int(of.max(initial=-1)) + 1
        held = of >= 0
        length = np.bincount(of[held], weights=view.unit_length[held], minlength=n).astype(np.int64)
        return cls(of, length)

    def __len__(self) -> int:
        return len(self.length)

    def scores(self, question: str, view: IndexView, mask: Mask | None) -> Float64Array:
        """(n_pages,) BM25 over the words of each page that the mask lets through. O(postings of the question's terms)."""
        if isinstance(view, PartialView):
            scores = self._found_scores(question, view, view.page_words)
        else:
            scores = self._whole_scores(question, view)
        if mask is not None:
            seen = np.zeros(len(self), dtype=bool)
            seen[self.of[mask & (self.of >= 0)]] = True
            scores[~seen] = 0.0
        return scores

    def _whole_scores(self, question: str, view: IndexView) -> Float64Array:
        def postings(term: str) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
            units, tf = view.postings(term)
            at = self.of[units]
            held = at >= 0
            pages, place = np.unique(at[held], return_inverse=True)
            times = np.bincount(place.reshape(-1), weights=tf[held], minlength=len(pages))
            return pages.astype(np.int32), times.astype(np.int32)

        return bm25_scores(terms(question), postings, self.length)

    def _found_scores(self, question: str, view: IndexView, found: PageWords) -> Float64Array:
        """Of the pages that hold a unit here; 0 for those that were not found."""
        if found.statistics is None:
            return np.zeros(len(self))
        lengths = np.maximum(self.length, 1)
        held: dict[str, dict[int, int]] = {}
        for hit in found.hits:
            page = max((int(self.of[u]) for u in view.units_by_id(hit.units) if u >= 0), default=-1)
            if page >= 0:
                lengths[page] = hit.length
                for term, times in hit.counts.items():
                    held.setdefault(term, {})[page] = times

        def postings(term: str) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
            rows = sorted(held.get(term, {}).items())
            table = np.array(rows, dtype=np.int32).reshape(-1, 2)
            return table[:, 0], table[:, 1]

        s = found.statistics
        return bm25_scores(terms(question), postings, lengths, whole=(s.n_worded, s.mean_length, s.frequencies))


def join(
    base: RankedList, pages: Pages, question: str, view: IndexView, words: Float64Array, mask: Mask | None
) -> tuple[RankedList, RankedList]:
    """The base order with the words of whole pages in it, and their list, each page by the unit that stands for it.

    words: (n_units,) BM25 of each unit by itself. The scores stay those of the places.
    """
    best = top(pages.scores(question, view, mask), DEPTH)
    if not len(best):
        return base, RankedList(PAGE, np.zeros(0, dtype=np.int64), np.zeros(0))
    place = np.full(len(pages), -1, dtype=np.int64)
    place[best] = np.arange(len(best))
    own = np.arange(1, len(base) + 1, dtype=np.float64)
    at = pages.of[base.units]
    bonus = np.where(at < 0, WEIGHT / (K + own), 0.0)
    first = np.unique(at, return_index=True)[1]
    first = first[at[first] >= 0]
    first = first[place[at[first]] >= 0]
    bonus[first] = WEIGHT / (K + 1.0 + place[at[first]])
    standing = np.full(len(pages), -1, dtype=np.int64)
    standing[at[first]] = base.units[first]
    missing = best[standing[best] < 0]
    if len(missing):
        lacks = np.zeros(len(pages) + 1, dtype=bool)  # the last place is that of no page, -1
        lacks[missing] = True
        held = np.flatnonzero(lacks[pages.of] if mask is None else lacks[pages.of] & mask)
        held = held[np.lexsort((held, -words[held], pages.of[held]))]
        on, first = np.unique(pages.of[held], return_index=True)
        standing[on] = held[first]
    units = np.concatenate([base.units, standing[missing]])
    joined = np.concatenate([1.0 / (K + own) + bonus, WEIGHT / (K + 1.0 + place[missing])])
    order = np.argsort(-joined, kind="stable")
    floor = base.scores[-1:] if len(base) else np.ones(1)
    scores = np.concatenate([base.scores, np.repeat(floor, len(missing))])
    listed = RankedList(PAGE, standing[best], 1.0 / np.arange(1, len(best) + 1))
    return RankedList(base.name, units[order], scores), listed
