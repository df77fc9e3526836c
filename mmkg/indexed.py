"""Retrieval where the index stays on a server: for each question a view of what lies around it, and the usual retriever over it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from mmkg.algorithms.names import tokenize
from mmkg.algorithms.terms import terms
from mmkg.protocols import FloatArray, IndexView, QuestionViews
from mmkg.retrieve.fields import Field
from mmkg.retrieve.fuzzy import mended
from mmkg.retrieve.likeness import Example
from mmkg.retrieve.question import question_entities
from mmkg.retrieve.retriever import HybridRetriever

if TYPE_CHECKING:
    from mmkg.protocols import Extractor


class IndexedRetriever:
    """HybridRetrievers over question views. Safe to use from several threads.

    make: a retriever over a view, which mends no spelling itself. encode_query: question -> vector in text_space. fields: of
    pictures and sounds. share: every view has the same units and graph, so one retriever serves all.
    """

    def __init__(
        self,
        views: QuestionViews,
        make: Callable[[IndexView], HybridRetriever],
        *,
        extractor: Extractor | None = None,
        encode_query: Callable[[str], FloatArray] | None = None,
        text_space: str | None = None,
        fields: Sequence[Field] = (),
        share: bool = False,
    ) -> None:
        self._views, self._make, self._extractor, self._share = views, make, extractor, share
        self._encode, self._text_space = encode_query, text_space
        self._fields = tuple(fields)
        self._lock = threading.Lock()
        self._first: HybridRetriever | None = None

    def for_example(self, example: Example) -> HybridRetriever:
        """A retriever over the view of what is near a picture, a sound or a clip: near the mean of its vectors in each field."""
        held = {f.space for f in self._fields} & set(example.vectors)
        return self._over(self._views.around(vectors={s: example.vectors[s].mean(axis=0) for s in sorted(held)}))

    def prepared_for(self, question: str) -> tuple[str, HybridRetriever]:
        """The question in right spelling, and a retriever over its view."""
        lookup = self._views.lookup()
        question = mended(question, lookup)
        named = question_entities(question, lookup, self._extractor)
        vectors: dict[str, FloatArray] = {}
        if question.strip() and self._encode is not None and self._text_space is not None:
            query = vectors[self._text_space] = self._encode(question)
            for field in self._fields:
                if (aimed := field.aim(question, query)) is not None:
                    vectors[field.space] = aimed
        view = self._views.around(
            terms=terms(question),
            entities=[e.canonical for e in named],
            vectors=vectors,
            file_words=[t.folded for t in tokenize(question)],
        )
        return question, self._over(view)

    def _over(self, view: IndexView) -> HybridRetriever:
        if not self._share:
            return self._make(view)
        with self._lock:
            if self._first is None:
                self._first = self._make(view)
            return self._first.over(view)
