"""Searching and asking, and the ranker that orders what is found."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any, Literal, overload

from mmkg.errors import LoadError, MissingDependencyError, NotFoundError
from mmkg.kb.opened import OpenBase, reads
from mmkg.types import Answer, Evidence, Modality

if TYPE_CHECKING:
    from mmkg.filtering import Mask
    from mmkg.indexed import IndexedRetriever
    from mmkg.protocols import FloatArray, Generator, IndexView, Reranker
    from mmkg.retrieve.explain import Explanation, Standing
    from mmkg.retrieve.likeness import Example
    from mmkg.retrieve.overview import Community
    from mmkg.retrieve.retriever import HybridRetriever
    from mmkg.showing import Reader
    from mmkg.training import RankerReport
    from mmkg.where import Given


class Asks(OpenBase):
    """From a question to evidence and answers."""

    def retriever(self) -> HybridRetriever:
        """The retriever over the newest generation."""
        with self._lock:
            reader = self._read()
            if self._retriever is None or self._retriever[0] != reader.generation.no:
                self._models.check(reader.manifest)
                self._retriever = (reader.generation.no, self._over(reader.index, reader))
            return self._retriever[1]

    def _over(self, view: IndexView, reader: Reader, *, mend: bool = True) -> HybridRetriever:
        from mmkg.retrieve.retriever import HybridRetriever

        text = self.text_encoder
        return HybridRetriever(
            view,
            reader=reader,
            extractor=self.extractor,
            encode_query=None if text is None else lambda question: text.encode_query([question])[0],
            text_space=text.space.key if text else None,
            fields=self._models.fields(reader.manifest),
            reranker=self._second_look(reader),
            encode=None if text is None else text.encode_query,
            rankers=self._models.rankers(self.root),
            mend=mend,
            pages=reader.unit_pages,
        )

    def _second_look(self, reader: Reader) -> Reranker | None:
        """What looks at the candidates again: their pages as pictures, where the base has vectors of them; then the user's own."""
        from mmkg.seeing import page_spaces

        held = page_spaces(reader.manifest.spaces)
        encoder = self._models.page_encoder if held else None
        if encoder is None or encoder.space.key not in held:
            return self._reranker
        from mmkg.retrieve.pages import PageReranker, Together

        pages = PageReranker(encoder, reader.page_vectors)
        return pages if self._reranker is None else Together(pages, self._reranker)

    def _on_indexes(self) -> IndexedRetriever | None:
        """What searches with a server's own indexes, where the base's address or its size says so."""
        if self._server is None:
            return None
        with self._lock:
            reader = self._read()
            if self._indexed is None or self._indexed[0] != reader.generation.no:
                self._indexed = (reader.generation.no, self._on_server(reader))
            return self._indexed[1]

    def _on_server(self, reader: Reader) -> IndexedRetriever | None:
        from mmkg.indexed import IndexedRetriever
        from mmkg.store.neo4j.reader import ServerReader

        assert self._server is not None and isinstance(reader, ServerReader)
        views = self._server.views(reader, self.settings)
        if views is None:
            return None
        self._models.check(reader.manifest)
        text = self.text_encoder
        return IndexedRetriever(
            views,
            lambda view: self._over(view, reader, mend=False),
            extractor=self.extractor,
            encode_query=None if text is None else lambda question: text.encode_query([question])[0],
            text_space=text.space.key if text else None,
            fields=self._models.fields(reader.manifest),
            share=views.whole_walk,
        )

    def index(self) -> IndexView:
        """The arrays of the newest generation."""
        return self._read().index

    def _searching(
        self, where: Given | None, *, question: str = "", example: Example | None = None
    ) -> tuple[str, HybridRetriever, Mask | None]:
        """The question, a retriever for it, and the mask of its units that a filter lets through. Raises FilterError."""
        from mmkg.filtering import Filters
        from mmkg.where import parse

        conditions = parse(where)
        with self._lock:
            indexed = self._on_indexes()
            if indexed is None:
                retriever = self.retriever()
                assert self._reader is not None  # the retriever stands on it
                if self._filters is None or self._filters[0] is not retriever:
                    self._filters = (retriever, Filters(retriever.view, self._reader))
                return question, retriever, self._filters[1].mask(conditions)
            reader = self._read()
        if example is not None:
            retriever = indexed.for_example(example)
        else:
            question, retriever = indexed.prepared_for(question)
        return question, retriever, Filters(retriever.view, reader).mask(conditions) if conditions else None

    @reads
    def properties(self) -> list[str]:
        """Names of the properties that documents here have, for filters; tags begin with `tag:`."""
        from mmkg.filtering import names_of

        return names_of(self._read())

    @overload
    def search(
        self,
        query: str | None = None,
        *,
        image: str | FilePath | bytes | None = None,
        sound: str | FilePath | None = None,
        clip: str | FilePath | None = None,
        text: str | None = None,
        weight: float | None = None,
        k: int = 10,
        modality: str | Modality | Iterable[str | Modality] | None = None,
        where: Given | None = None,
        effort: int | None = None,
        mode: str | Iterable[str] = "hybrid",
        explain: Literal[False] = False,
    ) -> list[Evidence]: ...

    @overload
    def search(
        self,
        query: str,
        *,
        k: int = 10,
        modality: str | Modality | Iterable[str | Modality] | None = None,
        where: Given | None = None,
        effort: int | None = None,
        mode: str | Iterable[str] = "hybrid",
        explain: Literal[True],
    ) -> Explanation: ...

    def search(
        self,
        query: str | None = None,
        *,
        image: str | FilePath | bytes | None = None,
        sound: str | FilePath | None = None,
        clip: str | FilePath | None = None,
        text: str | None = None,
        weight: float | None = None,
        k: int = 10,
        modality: str | Modality | Iterable[str | Modality] | None = None,
        where: Given | None = None,
        effort: int | None = None,
        mode: str | Iterable[str] = "hybrid",
        explain: bool = False,
    ) -> list[Evidence] | Explanation:
        """The k best units for a text, a picture, a recording (clips that sound like it), a film, or words beside one of these, each
        with why it was found.

        image: a file or its bytes. clip: a film, searched by its key frames and its sound. text: the same as query, as one writes it
        beside a picture. weight: share of the words beside an example, 0 to 1 (None: 0.5).
        modality: text, image, audio, video, or several; None is all. where: filters that hits must pass, as in "kind=pdf",
        ["date>=2020", "tag:project=x"] or {"author": "Ada*"}; docs/search.md has the grammar. effort: 0 (the walk alone) to 3 (three
        ranked passes); None is the setting. mode: hybrid, or any of lexical, dense, graph; or global, for questions about the whole. explain: return an Explanation, with
        the hits, every list, score and time. Raises ValueError for k < 1, another effort or mode, FilterError for a filter that
        cannot be read or names what nothing here has.
        """
        if query is not None and text is not None:
            raise ValueError("give the words once: as query or as text")
        example = {"image": image, "sound": sound, "clip": clip, "weight": weight}
        return self._search(
            query if text is None else text,
            example={name: value for name, value in example.items() if value is not None},
            k=k,
            modality=modality,
            where=where,
            effort=effort,
            mode=mode,
            explain=explain,
        )

    @reads
    def _search(
        self,
        query: str | None,
        *,
        example: Mapping[str, Any],
        k: int,
        modality: str | Modality | Iterable[str | Modality] | None,
        where: Given | None,
        effort: int | None,
        mode: str | Iterable[str],
        explain: bool,
    ) -> list[Evidence] | Explanation:
        if k < 1:
            raise ValueError(f"k must be at least 1, got {k}")
        wanted = _modalities(modality)
        if example and not query and set(example) == {"sound"}:
            from mmkg.sounds import search_sound

            if explain:
                raise ValueError("a search by sound cannot be explained in lists: it has one, of cosines")
            space, vector = self._sound_query(FilePath(example["sound"]))
            reader = self._read()
            within = None
            if where is not None:  # apart from _searching: the encoder of words is not asked for, or about
                from mmkg.filtering import Filters
                from mmkg.where import parse

                within = Filters(reader.index, reader).mask(parse(where))
            return search_sound(reader, reader.index, space, vector, k=k, modalities=wanted, within=within)
        effort = self.settings.effort if effort is None else effort
        if set(example) - {"weight"}:
            if explain:
                raise ValueError("a search by example cannot be explained in lists; its hits have channels and paths")
            given = self._example(**example)
            _, retriever, within = self._searching(where, example=given)
            return retriever.search_like(given, query or "", k=k, modalities=wanted, within=within, effort=effort)
        if "weight" in example:
            raise ValueError("weight is for words beside a picture, a sound or a film")
        if not query or not query.strip():
            raise ValueError("give a text or a picture to search for")
        modes = (mode,) if isinstance(mode, str) else tuple(mode)
        if GLOBAL in modes:
            if len(set(modes)) > 1 or explain:
                raise ValueError("mode global stands alone, and is explained by the channel and path of its hits")
            from mmkg.overview import evidence_of

            view, pairs, inside = self._themes(query, where, wanted)
            return evidence_of(view, self._read().read, pairs, k, inside)
        query, retriever, within = self._searching(where, question=query)
        if explain:
            return retriever.explain(query, k=k, modalities=wanted, effort=effort, modes=modes, within=within)
        return retriever.retrieve(query, k=k, modalities=wanted, effort=effort, modes=modes, within=within)

    def _example(
        self,
        *,
        image: str | FilePath | bytes | None = None,
        sound: str | FilePath | None = None,
        clip: str | FilePath | None = None,
        weight: float = 0.5,
    ) -> Example:
        """The vectors of an example in every space that knows it."""
        from mmkg.examples import example_of

        sounds = [] if sound is None else [self._sound_query(FilePath(sound))]
        if clip is not None:
            with suppress(
                LoadError, MissingDependencyError, NotFoundError
            ):  # a film without sound, or no vectors of sounds
                sounds.append(self._sound_query(FilePath(clip)))
        seeing = self._models.seeing(self._read().manifest)
        return example_of(self.settings, seeing, sounds, image=image, clip=clip, weight=weight)

    def _sound_query(self, path: FilePath) -> tuple[str, FloatArray]:
        """(key of the space, vector) of a recording. Raises MissingDependencyError, NotFoundError, LoadError."""
        from mmkg.encode.spaces import check
        from mmkg.sounds import encode_recording

        encoder = self.sound_encoder
        if encoder is None:
            raise MissingDependencyError("searching by sound needs a sound encoder", hint='pip install "mmkg[av]"')
        key = encoder.space.key
        if (recorded := self._read().manifest.spaces.get(key)) is None:
            raise NotFoundError(
                f"the base holds no vectors of sounds by {key}",
                hint="`mmkg add` on a folder makes those that are missing",
            )
        check(encoder, recorded)
        return key, encode_recording(self.settings, encoder, path)

    def _themes(
        self, question: str, where: Given | None, modalities: frozenset[Modality] | None
    ) -> tuple[IndexView, list[tuple[Community, float]], Mask | None]:
        """The newest generation, its themes in the order of the question, and the mask of what a filter lets through.

        Themes need all of the graph: of a base that a server's own indexes search, its arrays are fetched for this.
        """
        from mmkg import overview
        from mmkg.filtering import Filters
        from mmkg.where import parse

        conditions = parse(where)
        with self._lock:
            view, reader = self.retriever().view, self._read()
        pairs = overview.ranked(
            overview.themes(view, self.root), question, view, extractor=self.extractor, encoder=self.text_encoder
        )
        return view, pairs, _both(view, Filters(view, reader).mask(conditions), modalities)

    @reads
    def communities(self) -> list[Community]:
        """The themes of the base, the largest first: groups of things that are named together, with the units at their centre.

        Made from the newest generation at the first call, and kept; see docs/search.md.
        """
        from mmkg.overview import themes

        return themes(self.retriever().view, self.root)

    @reads
    def why_not(self, question: str, unit: str, *, k: int = 10, effort: int | None = None) -> Standing:
        """Where a unit (id or a unique prefix) stands for a question, and why. Raises NotFoundError."""
        kind, found = self._read().resolve(unit)
        if kind != "unit":
            raise NotFoundError(f"{unit} is a {kind}, not a unit", hint="`mmkg search --json` shows the ids of units")
        question, retriever, _ = self._searching(None, question=question)
        at = retriever.view.units_by_id([found])[0]
        if at < 0:
            raise NotFoundError(f"{unit} is not among the units that the walk looks at", hint="raise walk_units")
        return retriever.standing(question, at, k=k, effort=self.settings.effort if effort is None else effort)

    def train_ranker(
        self,
        questions: str | FilePath,
        *,
        out: str | FilePath | None = None,
        force: bool = False,
        progress: Callable[[str, int, int, int], None] | None = None,
    ) -> RankerReport:
        """Fit the ranker on questions with known sources (JSON Lines); kept in the base, or in `out`, if it is better.

        Raises ConfigError for questions that cannot be read or used.
        """
        from mmkg.retrieve.ranker import BASE_FILE
        from mmkg.training import read_questions, train_ranker

        asked = read_questions(FilePath(questions), self._read())
        target = self.root / BASE_FILE if out is None else FilePath(out)
        current = self._models.rankers(self.root)
        report = train_ranker(self.retriever(), asked, current, target, force=force, progress=progress)
        self._retriever = self._indexed = None
        return report

    def forget_ranker(self) -> bool:
        """Go back to the packaged ranker; False if the base has none of its own."""
        from mmkg.retrieve.ranker import BASE_FILE

        held = (self.root / BASE_FILE).exists()
        (self.root / BASE_FILE).unlink(missing_ok=True)
        self._retriever = self._indexed = None
        return held

    @reads
    def ask(
        self,
        question: str,
        *,
        k: int = 8,
        generator: Generator | None = None,
        modality: str | Modality | Iterable[str | Modality] | None = None,
        where: Given | None = None,
        effort: int | None = None,
        mode: str | Iterable[str] = "hybrid",
    ) -> Answer:
        """A short answer whose sentences cite what they stand on, or found=False.

        modality, where, effort, mode: as for `search`; with mode "global" and no generator, the themes of the base in the order of
        the question, k of them at most, each with a sentence from its centre. generator: default the extractive one, which calls no model. `answer.evidence` is what it was given.
        """
        from mmkg.generate.extractive import ExtractiveGenerator

        started = time.perf_counter()
        if generator is None and GLOBAL in ((mode,) if isinstance(mode, str) else tuple(mode)):
            from mmkg import overview

            view, pairs, within = self._themes(question, where, _modalities(modality))
            answer = overview.answer(question, pairs, view, self._read().read, k, within)
            searched = time.perf_counter()
        else:
            evidence = self.search(question, k=k, modality=modality, where=where, effort=effort, mode=mode)
            searched = time.perf_counter()
            if generator is None:
                generator = ExtractiveGenerator(encoder=self.text_encoder, extractor=self.extractor)
            answer = generator.generate(question, evidence)
        reader = self._read()
        citations = tuple(replace(c, locator=_refined(reader, c.document.id, c.locator)) for c in answer.citations)
        done = time.perf_counter()
        timings = {"search": searched - started, "answer": done - searched, **answer.timings}
        return replace(answer, citations=citations, timings={k: round(v, 4) for k, v in timings.items()})


GLOBAL = "global"
"""The mode for questions about the whole base; see mmkg.overview."""


def _both(view: IndexView, within: Mask | None, modalities: frozenset[Modality] | None) -> Mask | None:
    """The mask of a filter and of modalities together; None if there is neither."""
    if modalities is None:
        return within
    from mmkg.filtering import of_modalities

    held = of_modalities(view, sorted(modalities))
    return held if within is None else held & within


def _modalities(value: str | Modality | Iterable[str | Modality] | None) -> frozenset[Modality] | None:
    if value is None:
        return None
    names = [value] if isinstance(value, str) else list(value)
    try:
        return frozenset(Modality(n) for n in names)
    except ValueError as e:
        raise ValueError(f"unknown modality in {names}; known: {', '.join(Modality)}") from e


def _refined(reader: Reader, document: str, locator: Any) -> Any:
    """The box of the quoted lines, where pages are known."""
    if locator.chars is None:
        return locator
    try:
        found = reader.locate(document, *locator.chars)
    except NotFoundError:  # removed while the answer was made
        return locator
    return replace(
        locator,
        page=found.page or locator.page,
        bbox=found.bbox or locator.bbox,
        seconds=found.seconds or locator.seconds,
    )
