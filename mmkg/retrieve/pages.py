"""Pages seen as pictures: the candidates of the first stage are looked at again, each by the vectors of its page.

The score of a page is the maximal similarity of late interaction (mmkg.algorithms.maxsim). Its scale says nothing to the order that
it comes into, so both are joined by rank. A candidate whose page has no vectors counts as if its page had its own rank.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from mmkg.algorithms.maxsim import maxsim
from mmkg.protocols import FloatArray, PageEncoder, Reranker
from mmkg.schema import page_space
from mmkg.types import Channel, Evidence

PAGES = "pages"
"""Name of the channel. Its score is the mean over the question's vectors, -1..1."""
DEPTH = 50
"""Candidates that are looked at."""
K, WEIGHT = 10, 2.0
"""Of the join by rank: 1 / (K + first rank) + WEIGHT / (K + rank of the page). Not tuned: no trained model of pages was at hand."""
_TOGETHER = 8
"""Pages whose vectors are read at once: a page of 1,030 vectors of 128 numbers has 264 KB."""
_QUESTIONS = 64

Wanted = tuple[str, str]
Read = Callable[[Sequence[Wanted]], Mapping[Wanted, npt.NDArray[Any]]]
"""(document or picture, schema.page_space) -> (n, dim) rows, of those that are kept."""


class PageReranker:
    """A Reranker over the vectors of pages. Safe to use from several threads.

    Cost of a question: one encoding, and for each of the pages of at most DEPTH candidates one indexed read and
    O(m n dim) for m vectors of the question and n of the page.
    """

    depth = DEPTH

    def __init__(self, encoder: PageEncoder, read: Read) -> None:
        self._encoder, self._read = encoder, read
        self._lock = threading.Lock()
        self._questions: OrderedDict[str, FloatArray] = OrderedDict()

    def rerank(self, question: str, evidence: Sequence[Evidence]) -> list[Evidence]:
        """The evidence in the joined order, its scores scaled to the first; what lies beyond DEPTH stays behind it."""
        near, rest = list(evidence[: self.depth]), list(evidence[self.depth :])
        scores = self._scores(question, near) if question.strip() else {}
        if not scores:
            return [*near, *rest]
        pages = sorted(scores, key=lambda i: (-scores[i], i))
        # The units of one page share its place, or a page of many would push the next ones down.
        places: dict[int, int] = {}
        last = np.inf
        for i in pages:
            place = len(set(places.values())) + (scores[i] < last)
            places[i], last = place, scores[i]
        joined = {i: 1.0 / (K + i + 1) + WEIGHT / (K + places.get(i, i + 1)) for i in range(len(near))}
        order = sorted(joined, key=lambda i: (-joined[i], places.get(i, i + 1), i))
        top = joined[order[0]]
        out = []
        for i in order:
            channels = near[i].channels
            if i in places:
                channels = (*channels, Channel(name=PAGES, rank=places[i], score=scores[i]))
            out.append(replace(near[i], score=joined[i] / top, channels=channels))
        floor = out[-1].score
        return [*out, *(replace(e, score=min(e.score, floor)) for e in rest)]

    def _scores(self, question: str, evidence: Sequence[Evidence]) -> dict[int, float]:
        """Place in the evidence -> score of its page."""
        wanted: dict[Wanted, list[int]] = {}
        for i, e in enumerate(evidence):
            for pair in pages_of(e, self._encoder.space.key):
                wanted.setdefault(pair, []).append(i)
        if not wanted:
            return {}
        query = self._encoded(question)
        found: dict[int, float] = {}
        pairs = list(wanted)
        for start in range(0, len(pairs), _TOGETHER):
            for pair, rows in self._read(pairs[start : start + _TOGETHER]).items():
                if rows.shape[1] != query.shape[1]:  # damaged; doctor tells of it
                    continue
                score = maxsim(query, rows) / len(query)
                for i in wanted[pair] if np.isfinite(score) else ():
                    found[i] = max(score, found.get(i, -np.inf))
        return found

    def _encoded(self, question: str) -> FloatArray:
        with self._lock:
            if question not in self._questions:
                self._questions[question] = self._encoder.encode_question(question)
            self._questions.move_to_end(question)
            while len(self._questions) > _QUESTIONS:
                self._questions.popitem(last=False)
            return self._questions[question]


class Together:
    """A Reranker that is two, one after the other."""

    def __init__(self, first: PageReranker, second: Reranker) -> None:
        self._first, self._second = first, second
        self.depth = first.depth

    def rerank(self, question: str, evidence: Sequence[Evidence]) -> list[Evidence]:
        """What the second makes of the first one's order."""
        return self._second.rerank(question, self._first.rerank(question, evidence))


def pages_of(evidence: Evidence, space: str) -> list[Wanted]:
    """Where the vectors of what a unit shows may be kept: those of its page, and those of its picture."""
    out = []
    if evidence.locator.page is not None:
        out.append((evidence.document.id, page_space(space, evidence.locator.page)))
    if evidence.media is not None and evidence.kind in ("image", "figure", "page", "frame"):
        out.append((evidence.media, page_space(space, 0)))
    return out
