"""One measurement: a question set, rows side by side over one base, and figures for each.

A row is a ranking. Rankings of units become rankings of what the set asks for (passages, pictures, pages), each at the place
of its first unit.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mmkg import __version__
from mmkg.algorithms.fusion import fuse
from mmkg.algorithms.metrics import all_gold_at, ndcg_at, recall_at, reciprocal_rank
from mmkg.config import Settings
from mmkg.errors import ConfigError
from mmkg.evaluate import datasets
from mmkg.evaluate.corpus import Catalogue, catalogue, kind_of, protocol_of
from mmkg.evaluate.datasets import Dataset, Question
from mmkg.evaluate.kept import KeptBase, Say, cache_folder, silent
from mmkg.kb import KnowledgeBase
from mmkg.protocols import Encoder, IntArray, ProgressCallback, Reranker
from mmkg.types import Modality

ROWS = ("bm25", "dense", "rrf", "pixels", "graph", "hybrid", "reranked", "oracle")
"""What can be measured side by side: words alone; vectors of words alone; both by reciprocal rank fusion; vectors of pixels alone;
the walk over the graph alone; the default order at the effort asked for; that reranked; and the best order possible of what `hybrid` has in POOL places."""
POOL = 100
"""Places of `hybrid` that the oracle may reorder."""
DEPTH = 200
"""Units ranked for a question: enough for 50 passages where some have several units."""
WHOLE = 20_000
"""Up to so many units all are ranked where pages compete within their own document only."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be measured, checked: see `evaluate`."""

    rows: tuple[str, ...] = ("hybrid",)
    effort: int | None = None
    seed: int = 1
    protocol: str | None = None
    limit: int | None = None
    answers: bool = False

    def __post_init__(self) -> None:
        for row in self.rows:
            if row not in ROWS:
                raise ConfigError(f"unknown row {row!r}", hint=f"known: {', '.join(ROWS)}")
        if not self.rows:
            raise ConfigError("no row to measure", hint=f"known: {', '.join(ROWS)}")
        if self.limit is not None and self.limit < 1:
            raise ConfigError(f"limit must be at least 1, got {self.limit}")


@dataclass(slots=True)
class Measured:
    """Everything a run found. values: row -> measure -> one value a question, in the order of `questions`.

    answers: measure -> one value for each of the questions that have reference answers. settings and index are for people and JSON.
    """

    dataset: str
    settings: dict[str, Any]
    index: dict[str, Any]
    questions: list[Question]
    values: dict[str, dict[str, list[float]]]
    ms: dict[str, list[float]]
    notes: dict[str, int] = field(default_factory=dict)
    answers: dict[str, list[float]] = field(default_factory=dict)

    @property
    def fingerprint(self) -> str:
        """16 hex digits that stand for the settings."""
        return str(self.settings["fingerprint"])


def evaluate(
    source: str | Path,
    *,
    questions: str | Path | None = None,
    rows: Sequence[str] = ("hybrid",),
    encoder: str | None = None,
    effort: int | None = None,
    seed: int = 1,
    protocol: str | None = None,
    limit: int | None = None,
    answers: bool = False,
    cache: str | Path | None = None,
    settings: Settings | None = None,
    text_encoder: Encoder | None = None,
    reranker: Reranker | None = None,
    progress: ProgressCallback | None = None,
    say: Say = silent,
) -> Measured:
    """Measure rows on a question set; the base of its corpus is built once and kept under `cache`.

    source: a folder, or the file of a published set (mmkg.evaluate.datasets). questions: another file of questions on the same
    corpus. encoder: as the setting. effort: passes of the retriever, None for its default. limit: only the first so many questions.
    answers: also ask each question and compare the answers. say: receives a line for a person now and then.
    Raises ConfigError, NotFoundError, LoadError, StoreError.
    """
    plan = Plan(tuple(dict.fromkeys(rows)), effort, seed, protocol, limit, answers)
    if "reranked" in plan.rows and reranker is None:
        raise ConfigError("no reranker is configured for the row reranked", hint="leave the row out, or pass one")
    dataset = datasets.load(Path(source), questions=None if questions is None else Path(questions))
    wanted = protocol_of(dataset, protocol)
    settings = settings or Settings.load(encoder=encoder, batch_units=512)
    plan = replace(plan, protocol=wanted, effort=settings.effort if effort is None else effort)
    listed, files = catalogue(dataset, wanted, seed)
    base = KeptBase(
        dataset.name,
        files,
        cache=cache_folder(Path(cache) if cache is not None else None),
        settings=settings,
        seed=seed,
        protocol=wanted,
        text_encoder=text_encoder,
        reranker=reranker,
    )
    try:
        index = base.build(progress, say)
        asked = [q for q in dataset.questions if q.gold][: plan.limit]
        if not asked:
            raise ConfigError(f"no question of {dataset.name} has supporting_ids, so nothing can be missed or found")
        run = Run(base.kb, dataset, listed, plan)
        measured = run.measure(asked, say)
        if answers:
            from mmkg.evaluate.answering import measure_answers

            measured.answers = measure_answers(
                base.kb, listed, [q for q in asked if q.answers], effort=plan.effort, say=say
            )
        measured.notes["without_gold"] = sum(not q.gold for q in dataset.questions)
        measured.index = {"key": base.key, **index}
        measured.settings = _settings(base, dataset, asked, plan)
    finally:
        base.close()
    return measured


def _settings(base: KeptBase, dataset: Dataset, asked: Sequence[Question], plan: Plan) -> dict[str, Any]:
    words = "\n".join(f"{q.id}\t{q.text}\t{' '.join(q.gold)}" for q in asked)
    out: dict[str, Any] = {
        "version": __version__,
        "rows": list(plan.rows),
        "encoder": base.space,
        "runtime": base.runtime,
        "effort": plan.effort,
        "seed": plan.seed,
        "protocol": plan.protocol,
        "questions": hashlib.sha256(words.encode()).hexdigest()[:16],
        "index": base.key,
    }
    out["fingerprint"] = hashlib.sha256(repr(sorted(out.items())).encode()).hexdigest()[:16]
    return out


@contextmanager
def opened(
    source: str | Path,
    *,
    questions: str | Path | None = None,
    cache: str | Path | None = None,
    seed: int = 1,
    protocol: str | None = None,
    settings: Settings | None = None,
    progress: ProgressCallback | None = None,
    say: Say = silent,
) -> Iterator[tuple[KeptBase, Dataset, Catalogue]]:
    """The kept base of a set (built if it is not there), the set, and which document each of its ids lies in; for training
    and experiments. Raises as `evaluate` does."""
    dataset = datasets.load(Path(source), questions=None if questions is None else Path(questions))
    wanted = protocol_of(dataset, protocol)
    listed, files = catalogue(dataset, wanted, seed)
    base = KeptBase(
        dataset.name,
        files,
        cache=cache_folder(Path(cache) if cache is not None else None),
        settings=settings or Settings.load(batch_units=512),
        seed=seed,
        protocol=wanted,
    )
    try:
        base.build(progress, say)
        yield base, dataset, listed
    finally:
        base.close()


class Run:
    """Ranks questions over one base and measures the rows."""

    def __init__(self, kb: KnowledgeBase, dataset: Dataset, listed: Catalogue, plan: Plan) -> None:
        self.kb, self.plan, self.listed, self.name = kb, plan, listed, dataset.name
        self.retriever, self.index = kb.retriever(), kb.index()
        self.unit_item = unit_items(kb, listed)
        self._within = plan.protocol == "within-document"
        self._depth = min(self.index.n_units, WHOLE) if self._within else DEPTH
        self._pictures = (
            frozenset({Modality.IMAGE}) if kind_of(dataset) == "pictures" and not dataset.passages else None
        )
        self._file_of = {f.id: self.listed.document_of[f.pages[0]] for f in dataset.files if f.pages}

    def measure(self, asked: Sequence[Question], say: Say = silent) -> Measured:
        """The measures of every row for each question. Raises ConfigError if the effort is out of range."""
        values: dict[str, dict[str, list[float]]] = {row: {} for row in self.plan.rows}
        ms: dict[str, list[float]] = {row: [] for row in self.plan.rows}
        unknown = 0
        self.rank(asked[0])  # models warm up
        told = time.monotonic()
        for number, question in enumerate(asked, 1):
            gold, absent = self.listed.gold(question.gold)
            unknown += absent
            rankings, seconds = self.rank(question)
            for row in self.plan.rows:
                ranking = oracle(rankings["hybrid"], gold) if row == "oracle" else rankings[row]
                for name, value in measures(ranking, gold).items():
                    values[row].setdefault(name, []).append(value)
                ms[row].append(1000.0 * seconds["hybrid" if row == "oracle" else row])
            if time.monotonic() - told > 10:
                told = time.monotonic()
                say(f"{number} of {len(asked)} questions")
        return Measured(
            dataset=self.name,
            settings={},
            index={},
            questions=list(asked),
            values=values,
            ms=ms,
            notes={"unknown_gold": unknown},
        )

    def rank(self, question: Question) -> tuple[dict[str, list[int]], dict[str, float]]:
        """(row -> items best first, row -> seconds) for one question.

        Rows that are lists of the hybrid ranking take the seconds of the steps that they need; hybrid those on the clock.
        """
        options: dict[str, Any] = {} if self.plan.effort is None else {"effort": self.plan.effort}
        if self._within and (document := self._file_of.get(question.document)) is not None:
            options["within"] = self._document_mask(document)
        begun = time.perf_counter()
        try:
            ranked = self.retriever.rank(question.text, k=self._depth, modalities=self._pictures, **options)
        except ValueError as e:
            raise ConfigError(str(e)) from e
        spent = time.perf_counter() - begun
        lists, t = ranked.lists, ranked.timings
        bm25, dense = lists["bm25"].units, lists["dense"].units
        units = {
            "bm25": bm25,
            "dense": dense,
            "rrf": fuse([bm25, dense])[0],
            "pixels": lists["pixels"].units,
            "graph": lists["walk"].units,
            "hybrid": ranked.units,
        }
        words, vectors = t.get("bm25", 0.0), t.get("encode", 0.0) + t.get("dense", 0.0)
        pixels = t.get("encode", 0.0) + t.get("pixels", 0.0)
        walked = sum(t.get(step, 0.0) for step in ("encode", "link", "sentences", "walk"))
        seconds = {
            "bm25": words,
            "dense": vectors,
            "rrf": words + vectors,
            "pixels": pixels,
            "graph": walked,
            "hybrid": spent,
        }
        rankings = {row: self._items(found, question) for row, found in units.items()}
        if "reranked" in self.plan.rows:
            begun = time.perf_counter()
            evidence = self.retriever.retrieve(
                question.text, k=POOL // 2, modalities=self._pictures, collapse=False, **options
            )
            seconds["reranked"] = time.perf_counter() - begun
            found = [self.listed.items(e.document.id, e.locator.page) for e in evidence]
            rankings["reranked"] = self._kept(found, question)
        return rankings, seconds

    def _document_mask(self, document: str) -> npt.NDArray[np.bool_]:
        """(n_units,) the units of one document, as a filter of `search` would let them through."""
        items = [i for i, owner in enumerate(self.listed.owner) if owner == document]
        return np.isin(self.unit_item, items)

    def _items(self, units: IntArray, question: Question) -> list[int]:
        return self._kept(self.unit_item[units].tolist(), question)

    def _kept(self, items: Sequence[int], question: Question) -> list[int]:
        """Each item once, at its first place; of the question's own file only, where the protocol says so."""
        distinct = dict.fromkeys(i for i in items if i >= 0)
        document = self._file_of.get(question.document) if self._within else None
        return [i for i in distinct if document is None or self.listed.owner[i] == document]


def unit_items(kb: KnowledgeBase, listed: Catalogue) -> IntArray:
    """(n_units,) the item each unit of the base belongs to, -1 for none."""
    index = kb.index()
    out = np.full(index.n_units, -1, dtype=np.int64)
    names = index.unit_ids(list(range(index.n_units)))
    paged = []
    for unit, name in enumerate(names):
        document = name.split("/")[0]
        if len(listed.by_document.get(document, ())) > 1:
            paged.append(unit)
        else:
            out[unit] = listed.items(document, None)
    for start in range(0, len(paged), 500):
        some = paged[start : start + 500]
        pages = {e.id: e.locator.page for e in kb.evidence([names[u] for u in some])}
        for unit in some:
            out[unit] = listed.items(names[unit].split("/")[0], pages.get(names[unit]))
    return out


def oracle(ranking: Sequence[int], gold: Sequence[int]) -> list[int]:
    """The first POOL places with the gold ones first: what a perfect order of this pool would give."""
    pool, wanted = ranking[:POOL], set(gold)
    return [i for i in pool if i in wanted] + [i for i in pool if i not in wanted]


def measures(ranking: Sequence[int], gold: Sequence[int]) -> dict[str, float]:
    """Everything that is said of one ranking, in 0..1. coverage@50 is the share of gold in the first 50."""
    out = {f"recall@{k}": recall_at(ranking, gold, k) for k in (1, 2, 3, 5, 10, 20)}
    out |= {f"all_gold@{k}": all_gold_at(ranking, gold, k) for k in (2, 5, 10, 50)}
    out |= {"coverage@50": recall_at(ranking, gold, 50)}
    return out | {"mrr": reciprocal_rank(ranking, gold), "ndcg@10": ndcg_at(ranking, gold, 10)}
