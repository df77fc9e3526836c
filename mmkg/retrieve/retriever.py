"""The default retriever: flat lists, the walk over the graph, one order, and evidence that says why it was found."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from mmkg.algorithms.pagerank import Float64Array, WalkGraph
from mmkg.protocols import DeepReranker, Extractor, FloatArray, IndexView, IntArray, PartialView, Reranker
from mmkg.retrieve import copies, likeness, order, passes, paths, walk
from mmkg.retrieve.evidence import as_evidence
from mmkg.retrieve.explain import DEEPEST, Explanation, Standing, explanation, standing
from mmkg.retrieve.fields import PIXELS, SOUND, Field, Fields
from mmkg.retrieve.fuzzy import mended
from mmkg.retrieve.inquiry import Encode, Inquiry, question_words
from mmkg.retrieve.likeness import Example
from mmkg.retrieve.links import Links
from mmkg.retrieve.order import HYBRID
from mmkg.retrieve.pagewords import PAGE, Pages, join
from mmkg.retrieve.passes import MAX_EFFORT
from mmkg.retrieve.question import QuestionEntity, asks_for_pictures, question_entities, wanted_media
from mmkg.retrieve.ranked import Clock, RankedUnits, UnitReader
from mmkg.retrieve.ranker import RankerSet
from mmkg.retrieve.seeds import SENTENCES, question_seeds, sentence_seeds, sentence_weight
from mmkg.retrieve.walk import DEPTH, Mask, RankedList
from mmkg.types import Evidence, Modality

_MODALITIES = (Modality.TEXT, Modality.IMAGE, Modality.AUDIO, Modality.VIDEO)
_SPARE = 10
"""Places ranked beyond k, to fill up after near-duplicates are folded."""


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(2, thread_name_prefix="mmkg-question")


# A child made by fork has the pool but not its threads, and would wait for them for ever.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """What stands before the passes. asked, near: seeds (n_entities,); from_asked, from_near: masses (n_units,)."""

    question: str
    mask: Mask | None
    query: FloatArray | None
    entities: tuple[QuestionEntity, ...]
    lists: dict[str, RankedList]
    sentences: IntArray
    cosines: FloatArray
    asked: Float64Array
    near: Float64Array
    from_asked: Float64Array
    from_near: Float64Array
    base: RankedList
    clock: Clock


class HybridRetriever:
    """Retrieval from one generation of the index. Safe to use from several threads.

    encode_query: question -> (dim,) float32, unit length, in text_space; None leaves out everything that needs vectors.
    fields: of pictures and sounds, where questions are brought into their spaces. encode: texts -> (n, dim) float32, the same space, for
    passes; rankers: what orders their pools. Without either, or without vectors in the base, every effort is 0.
    mend: misspelt words of a question are put right.
    pages: (id, page) of the units that lie on one, asked for once; None leaves the words of whole pages out. A PartialView brings its own.
    """

    def __init__(
        self,
        view: IndexView,
        *,
        reader: UnitReader,
        extractor: Extractor | None = None,
        encode_query: Callable[[str], FloatArray] | None = None,
        text_space: str | None = None,
        fields: Sequence[Field] = (),
        reranker: Reranker | None = None,
        encode: Encode | None = None,
        rankers: RankerSet | None = None,
        mend: bool = True,
        pages: Callable[[], Iterable[tuple[str, int]]] | None = None,
    ) -> None:
        self.view = view
        self._placed = view.unit_pages if isinstance(view, PartialView) else pages
        self._pages: Pages | None = None
        whole = (view.statistics.n_units, view.entity_unit_df) if isinstance(view, PartialView) else None
        self.graph = WalkGraph(view.mentions, view.title_share, whole=whole)
        self.links = Links(view, self.graph)
        self._reader, self._extractor, self._reranker = reader, extractor, reranker
        self._encode_all, self._rankers = encode, rankers
        self._mend = mend
        held = view.spaces()
        self._text_space = text_space if encode_query is not None and text_space in held else None
        self.fields = Fields(view, fields)
        self._encode = encode_query

    def over(self, view: IndexView) -> HybridRetriever:
        """The same over a view that differs only in what its searches see: another question's, with the same units and graph."""
        self._paged()  # once for all views
        other = copy.copy(self)
        other.view = view
        other.fields = Fields(view, self.fields.all)
        return other

    @property
    def max_effort(self) -> int:
        """How many passes can be run here."""
        if self._encode_all is None or self._rankers is None or self._text_space is None:
            return 0
        return len(self._rankers.passes)

    def rank(
        self,
        question: str,
        *,
        k: int = 10,
        modalities: frozenset[Modality] | None = None,
        effort: int = 0,
        modes: Sequence[str] = (HYBRID,),
        within: Mask | None = None,
    ) -> RankedUnits:
        """The k best units for a question.

        modalities: None for all. within: (n_units,) the units that may be found, None for all; the walk may pass through any. effort: 0..3, how many passes to run after the walk; no more than `max_effort` are.
        modes: "hybrid", which decides for each question, or any of "lexical", "dense" and "graph": then those lists alone, joined
        by reciprocal rank, whatever the effort. Raises ValueError if k < 1, effort is outside 0..3, or a mode is unknown.
        """
        if k < 1:
            raise ValueError(f"k must be at least 1, got {k}")
        if not 0 <= effort <= MAX_EFFORT:
            raise ValueError(f"effort must be in 0..{MAX_EFFORT}, got {effort}")
        effort = min(effort, self.max_effort) if HYBRID in order.checked(modes) else 0
        found = self._found(question, self._mask(modalities, within), max(DEPTH, k), Clock())
        base, made, clock = order.of_modes(modes, found.lists, found.base), None, found.clock
        repeated: dict[int, int] = {}
        if effort and found.query is not None:
            assert self._rankers is not None and self._text_space is not None  # else effort is 0
            with clock("copies"):
                repeated = copies.copies_in(self.view, self.links, self._text_space, base)
            among, lists = found, found.lists
            if repeated:
                lists = {name: copies.without(ranked, repeated) for name, ranked in found.lists.items()}
                base = copies.without(base, repeated)
                among = replace(found, mask=copies.masked(found.mask, repeated, self.view.n_units))
            made = passes.run_passes(self._inquiry(among), lists, base, self._rankers, effort, clock.seconds)
            base = order.joined(made.units, made.scores, base, name="ranker")
            if repeated:
                base = copies.put_back(base, repeated)
        if HYBRID in modes and len(pages := self._paged()):
            with clock("pages"):
                words = walk.word_scores(found.question, self.view)
                base, found.lists[PAGE] = join(base, pages, found.question, self.view, words, found.mask)
        with clock("order"):
            ranked = self._ordered(question, base, found.lists, modalities, k)
        media = wanted_media(question, found.entities) if HYBRID in modes else frozenset()
        if media and (modalities is None or media < modalities):
            with clock("media"):
                ranked = self._media_first(question, ranked, found.lists, k, media, effort, within)
        return RankedUnits(
            units=ranked.units,
            scores=ranked.scores,
            name=ranked.name,
            lists=found.lists,
            entities=found.entities,
            question_seeds=found.asked,
            sentence_seeds=found.near,
            sentences=found.sentences,
            cosines=found.cosines,
            made=made,
            copies=repeated,
            timings=clock.seconds,
        )

    def standing(
        self, question: str, unit: int, *, k: int = 10, effort: int = 0, modes: Sequence[str] = (HYBRID,)
    ) -> Standing:
        """Where a unit stands for a question that asks for k, and why. Raises ValueError as `rank` does."""
        ranked = self.rank(question, k=max(k, min(DEEPEST, self.view.n_units)), effort=effort, modes=modes)
        passes_run = min(effort, self.max_effort) if ranked.made is not None else 0
        ranker = self._rankers.passes[passes_run - 1] if self._rankers is not None and passes_run else None
        return standing(ranked, unit, k, ranker)

    def prepared(self, question: str, number: int, before: passes.PassResult | None = None) -> passes.PassResult | None:
        """The pool of pass `number` (from 0) and its features, for training; before: the result of the pass before.

        None where no pass can be run: without an encoder or vectors, or for an empty question.
        """
        found = self._found(question, None, DEPTH, Clock())
        if found.query is None or self._encode_all is None or self._text_space is None:
            return None
        start = before or passes.PassResult(units=found.base.units, scores=found.base.scores)
        return passes.prepare(self._inquiry(found), found.lists, found.base, start, number, found.clock.seconds)

    def _found(self, question: str, mask: Mask | None, depth: int, clock: Clock) -> _Found:
        """Everything before the passes: the lists, the walks, the base order."""
        asked_for, encode = question, self._encode if question.strip() else None
        # The encoder works on another core while the question's words are looked at; few questions change there.
        ahead = None if encode is None else _pool().submit(encode, question)
        if self._mend:
            with clock("spelling"):
                question = mended(question, self.view)
        with clock("link"):
            entities = question_entities(question, self.view, self._extractor)
        lists: dict[str, RankedList] = {}
        with clock("bm25"):
            lists["bm25"] = walk.by_words(question, self.view, mask, depth)
            lists["filename"] = walk.by_file_name(question, self.view, mask, depth)
        query: FloatArray | None = None
        if encode is not None and ahead is not None:
            with clock("encode"):
                query = ahead.result() if question == asked_for else encode(question)
        sentences, cosines = self._vector_lists(lists, question, query, mask, depth, clock)
        with clock("walk"):
            asked = question_seeds(self.graph, [e.entity for e in entities])
            near = sentence_seeds(self.view, self.graph, sentences, cosines)
            from_asked, from_near = walk.walk_mass(self.graph, asked), walk.walk_mass(self.graph, near)
            # No product of whole arrays: the threads that a BLAS takes for it go on spinning, and a server on this machine waits.
            named = np.flatnonzero(asked)
            titled = float((asked[named] * self.graph.titled[named]).sum())
            # Without an entity of the question the walk has no anchor: sentences alone were measured to lead it astray.
            mass = from_asked + sentence_weight(titled) * from_near if asked.any() else from_asked
            lists["walk"] = walk.by_walk(mass, mask, depth)
        with clock("order"):
            flat = [lists["bm25"], lists["dense"], lists["sentences"]]
            base = order.base_order(lists["walk"], mass, flat, titled=titled)
        return _Found(
            question=question,
            mask=mask,
            query=query,
            entities=entities,
            lists=lists,
            sentences=sentences,
            cosines=cosines,
            asked=asked,
            near=near,
            from_asked=from_asked,
            from_near=from_near,
            base=base,
            clock=clock,
        )

    def _paged(self) -> Pages:
        """The pages of the view, looked up at the first question."""
        if self._pages is None:
            placed = self._placed() if self._placed is not None else ()
            self._pages = Pages.of_view(self.view, placed, least=1 if isinstance(self.view, PartialView) else 2)
        return self._pages

    def _inquiry(self, found: _Found) -> Inquiry:
        assert found.query is not None and self._encode_all is not None and self._text_space is not None
        with found.clock("words"):
            return Inquiry(
                question=found.question,
                view=self.view,
                graph=self.graph,
                links=self.links,
                space=self._text_space,
                query=found.query,
                encode=self._encode_all,
                read=self._reader.read,
                entities=found.entities,
                words=question_words(found.question, self.view),
                bm25=walk.word_scores(found.question, self.view),
                asked=found.from_asked,
                near=found.from_near,
                seeds=found.asked,
                mask=found.mask,
            )

    def retrieve(
        self,
        question: str,
        *,
        k: int = 10,
        modalities: frozenset[Modality] | None = None,
        effort: int = 0,
        modes: Sequence[str] = (HYBRID,),
        within: Mask | None = None,
        collapse: bool = True,
        timings: dict[str, float] | None = None,
    ) -> list[Evidence]:
        """The k best units as evidence with channels, path and locator.

        collapse: fold near-duplicates into the best of them. timings: a dictionary that receives the seconds by step.
        Raises ValueError as `rank` does.
        """
        ranked, found = self._retrieved(question, k, modalities, effort, modes, within, collapse)
        if timings is not None:
            timings.update(ranked.timings)
        return found

    def explain(
        self,
        question: str,
        *,
        k: int = 10,
        modalities: frozenset[Modality] | None = None,
        effort: int = 0,
        modes: Sequence[str] = (HYBRID,),
        within: Mask | None = None,
        collapse: bool = True,
    ) -> Explanation:
        """`retrieve` with all that led to it: every list, score, feature, path and time. Raises ValueError as `rank` does."""
        ranked, found = self._retrieved(question, k, modalities, effort, modes, within, collapse)
        mask = self._mask(modalities, within)
        passes_run = min(effort, self.max_effort) if ranked.made is not None else 0
        ranker = self._rankers.passes[passes_run - 1] if self._rankers is not None and passes_run else None
        return explanation(
            self.view,
            ranked,
            found,
            k=k,
            question=mended(question, self.view) if self._mend else question,
            effort=passes_run,
            ranker=ranker,
            searched=self.view.n_units if mask is None else int(np.count_nonzero(mask)),
        )

    def _retrieved(
        self,
        question: str,
        k: int,
        modalities: frozenset[Modality] | None,
        effort: int,
        modes: Sequence[str],
        within: Mask | None,
        collapse: bool,
    ) -> tuple[RankedUnits, list[Evidence]]:
        if k < 1:
            raise ValueError(f"k must be at least 1, got {k}")
        n = k + _SPARE if collapse else k
        if question and isinstance(self._reranker, DeepReranker):
            n = max(n, self._reranker.depth)
        ranked = self.rank(
            question,
            k=max(n, DEPTH) if collapse else n,
            modalities=modalities,
            effort=effort,
            modes=modes,
            within=within,
        )
        while True:
            first = replace(ranked, units=ranked.units[:n], scores=ranked.scores[:n])
            found = self._evidence(question, first, k, collapse=collapse)
            if len(found) >= k or n >= len(ranked.units):
                return ranked, found
            n *= 3  # many copies of one passage stand at the top

    def search_like(
        self,
        example: Example,
        question: str = "",
        *,
        k: int = 10,
        modalities: frozenset[Modality] | None = None,
        within: Mask | None = None,
        effort: int = 0,
        collapse: bool = True,
    ) -> list[Evidence]:
        """The k best units for a picture, a sound or a clip, and maybe words beside it (mmkg.retrieve.likeness).

        The walk brings in what is about the same things, of any modality. effort: of the words' own ranking.
        Raises ValueError if k < 1.
        """
        if k < 1:
            raise ValueError(f"k must be at least 1, got {k}")
        mask, depth = self._mask(modalities, within), max(DEPTH, k + _SPARE)
        clock = Clock()
        with clock("example"):
            near = likeness.alike(self.graph, self.fields, example, mask, depth)
        lists, told, both = dict(near.lists), None, None
        if question.strip() and example.weight > 0:
            told = self.rank(question, k=depth, modalities=modalities, effort=effort, within=within)
            lists[likeness.WORDS] = RankedList(likeness.WORDS, told.units, told.scores)
            query = self._encode(question) if self._encode is not None else None
            with clock("composed"):
                both = likeness.composed(self.fields, example, question, query, mask, depth)
            lists[likeness.COMPOSED] = both
        found = likeness.joined(near, lists.get(likeness.WORDS), both, example.weight if told is not None else 0.0)
        found = found.only(np.arange(min(len(found), k + _SPARE)))
        none = paths.no_seeds(self.graph)
        ranked = RankedUnits(
            units=found.units,
            scores=np.clip(found.scores, 0.0, 1.0),
            name=found.name,
            lists=lists,
            entities=told.entities if told else (),
            question_seeds=near.seeds + (told.question_seeds if told else none),
            sentence_seeds=told.sentence_seeds if told else none,
            sentences=told.sentences if told else np.zeros(0, dtype=np.int64),
            cosines=told.cosines if told else np.zeros(0, dtype=np.float32),
            timings=clock.seconds,
        )
        return self._evidence("", ranked, k, collapse=collapse)

    def _vector_lists(
        self,
        lists: dict[str, RankedList],
        question: str,
        query: FloatArray | None,
        mask: Mask | None,
        depth: int,
        clock: Clock,
    ) -> tuple[IntArray, FloatArray]:
        """Puts the lists by vectors beside the others; returns the nearest sentences and their cosines, where the walk starts."""
        view = self.view
        sentences, cosines = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.float32)
        if query is None or self._text_space is None:
            lists["dense"], lists["sentences"] = walk.empty("dense"), walk.empty("sentences")
        else:
            with clock("dense"):
                lists["dense"] = walk.by_vector("dense", view, self._text_space, query, mask, depth)
            with clock("sentences"):
                sentences, cosines = walk.nearest_sentences(view, self._text_space, query, mask, depth)
                lists["sentences"] = walk.by_sentence(view, sentences, cosines, depth)
                if mask is not None:  # The walk starts from all sentences, whatever it may end at.
                    sentences, cosines = view.search_sentences(self._text_space, query, SENTENCES)
        for channel in (PIXELS, SOUND):
            if channel == PIXELS or self.fields.of(channel):
                with clock(channel):
                    lists[channel] = self.fields.asked(channel, question, query, mask, depth)
        return sentences, cosines

    def _ordered(
        self,
        question: str,
        base: RankedList,
        lists: Mapping[str, RankedList],
        modalities: frozenset[Modality] | None,
        k: int,
    ) -> RankedList:
        """The base order with what has no words.

        Units with words come by the walk and the flat lists. A picture without words can come by its pixels only, and how sure
        that is cannot be compared with words. So: asked for pictures alone, pixels join by rank the pictures whose words bear on the
        question; asked for pictures or recordings, file names that the question has words of take turns with the rest; in a mixed search
        where the question has a word for pictures, they take every third place; else they only fill places left empty.
        """
        sides = [order.file_names_asked_for(lists["filename"], base)]
        if modalities is not None and Modality.TEXT not in modalities:
            named = order.file_names_asked_for(lists["filename"], base, least=order.UNWORDED_SHARE)
            far = lists["pixels"]
            sound = lists.get(SOUND, walk.empty(SOUND))
            if modalities <= {Modality.AUDIO, Modality.VIDEO} and len(sound):
                base, far = order.with_pixels(base, sound), sound
            if modalities <= {Modality.IMAGE} and len(lists["pixels"]):
                near, far = order.by_bearing(base, lists["dense"], lists["walk"])
                base = order.with_pixels(near, lists["pixels"])
            return order.with_side_lists(order.alternating(named, base) if len(named) else base, [], k, fill=[far])
        if asks_for_pictures(question):
            sides.append(lists["pixels"])
        return order.with_side_lists(base, sides, k, fill=[lists["pixels"]])

    def _media_first(
        self,
        question: str,
        ranked: RankedList,
        lists: dict[str, RankedList],
        k: int,
        media: frozenset[Modality],
        effort: int,
        within: Mask | None,
    ) -> RankedList:
        """The order of what is asked for alone and that of everything, a place of each in turn; by a second search, of the first."""
        alone = self.rank(question, k=k, modalities=media, effort=effort, within=within)
        lists["media"] = RankedList("media", alone.units, alone.scores)
        both = order.alternating(lists["media"], ranked)
        return both.only(np.arange(min(k, len(both))))

    def _mask(self, modalities: frozenset[Modality] | None, within: Mask | None) -> Mask | None:
        if within is not None and within.shape != (self.view.n_units,):
            raise ValueError(f"expected a mask of shape ({self.view.n_units},), got {within.shape}")
        if modalities is None:
            return within
        held = np.isin(self.view.unit_modality, [_MODALITIES.index(m) for m in sorted(modalities)])
        return held if within is None else held & within

    def _evidence(self, question: str, ranked: RankedUnits, k: int, *, collapse: bool) -> list[Evidence]:
        reranker = self._reranker if question else None
        return as_evidence(
            self.view, self.graph, self._reader, ranked, k, question=question, reranker=reranker, collapse=collapse
        )
