"""The part of bench_graph.py that searches: vectors, and whole questions with seeds from arrays or from Neo4j's own indexes."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mmkg.algorithms.keys import entity_key
from mmkg.algorithms.terms import terms
from mmkg.protocols import FloatArray, GraphStore, IndexView
from mmkg.retrieve.retriever import HybridRetriever
from mmkg.store.folder.index import FolderIndex
from mmkg.store.folder.segment import IncidenceRow, UnitRow, write_incidence_segment, write_text_segment
from mmkg.store.neo4j.connection import Connection
from mmkg.store.neo4j.ddl import hidden_schema, vector_property, vector_schema
from mmkg.store.neo4j.graph import make_schema
from mmkg.store.neo4j.search import SearchIndexes
from mmkg.store.neo4j.searchrows import READY, SearchRows
from mmkg.store.neo4j.views import IndexedViews
from mmkg.types import Evidence

DIM, SENTENCES = 384, 2
SPACE = "bench@1"
WORDS = 20_000


class Corpus:
    """n units with two sentences each: words with a long tail and the names of what they mention as in the graph, vectors around 500
    centres."""

    def __init__(self, n: int, entities: int, pairs: Sequence[tuple[int, int]]) -> None:
        rng = np.random.default_rng(11)
        self.n, self.entities = n, entities
        centres = rng.standard_normal((500, DIM)).astype(np.float32)
        rows = centres[rng.integers(0, 500, n * (1 + SENTENCES))] + rng.standard_normal((n * (1 + SENTENCES), DIM))
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        self.vectors = rows.astype(np.float16).reshape(n, 1 + SENTENCES, DIM)
        drawn = (WORDS * rng.random((n, 80)) ** 4).astype(np.int64)
        self.words = [[f"w{w}" for w in row] for row in drawn.tolist()]
        self.named: list[list[int]] = [[] for _ in range(n)]
        for unit, entity in pairs:
            self.named[unit].append(entity)
            self.words[unit].append(f"Name{entity}x")

    def question(self, i: int) -> tuple[str, FloatArray]:
        """Words and a name of one unit, and a vector near one of its sentences."""
        rng = np.random.default_rng(i)
        unit = int(rng.integers(0, self.n))
        name = f"Name{self.named[unit][0]}x" if self.named[unit] else "Nobody"
        query = self.vectors[unit, 1].astype(np.float32) + 0.02 * rng.standard_normal(DIM).astype(np.float32)
        return f"{name} " + " ".join(self.words[unit][:6]), (query / np.linalg.norm(query)).astype(np.float32)

    def arrays(self, folder: Path, *, vectors: bool) -> FolderIndex:
        """Segments as a base in a folder has them; without vectors, as the walk's arrays of a base on a server."""
        units = [
            UnitRow(
                no=i, id=f"c{i}", document=i, modality=0, n_sentences=SENTENCES,
                terms=terms(" ".join(self.words[i])) if vectors else {"": len(self.words[i])},
                vectors={SPACE: self.vectors[i]} if vectors else {},
            )
            for i in range(self.n)
        ]  # fmt: skip
        incidence = []
        for i in range(self.n):
            keys = np.array([entity_key(f"name{e}x") for e in self.named[i]], dtype=np.int64)
            ones = np.ones(len(keys), dtype=np.int32)
            incidence.append(
                IncidenceRow(no=i, entities=keys, counts=ones, title_share=0 * ones, sentences=[keys[::2], keys[1::2]])
            )
        text = write_text_segment(folder, f"text{vectors}.seg", units, generation=1)
        inc = write_incidence_segment(folder, f"inc{vectors}.seg", incidence, generation=1)
        return FolderIndex(folder, [text[:2]], [inc[:2]], generation=1, lookup=Lookup())

    def put(self, connection: Connection) -> None:
        """Index terms and vectors as mmkg.store.neo4j.searchrows writes them."""
        make_schema(connection, {**hidden_schema(), **vector_schema(SPACE, DIM)})
        connection.execute("MERGE (s:_Store {_name: 'base'}) SET s._search = $ready, s._lock = 0", ready=READY)
        name = vector_property(SPACE)
        unit = (
            "UNWIND $rows AS r CREATE (u:_Unit {_id: r.id, _visible: true, _terms: r.terms, _n_terms: r.n}) "
            f"WITH u, r CALL db.create.setNodeVectorProperty(u, '{name}', r.v)"
        )
        sentence = (
            "UNWIND $rows AS r CREATE (s:_Sentence {_id: r.id, _unit: r.unit, _ord: r.ord}) "
            f"WITH s, r CALL db.create.setNodeVectorProperty(s, '{name}', r.v)"
        )
        for i in range(0, self.n, 500):
            span = range(i, min(i + 500, self.n))
            own = [
                {"id": f"c{j}", "n": len(held), "terms": " ".join(held), "v": self.vectors[j, 0].tolist()}
                for j in span
                for held in [terms(" ".join(self.words[j]))]
            ]
            said = [
                {"id": f"c{j}#{s}", "unit": f"c{j}", "ord": s, "v": self.vectors[j, 1 + s].tolist()}
                for j in span
                for s in range(SENTENCES)
            ]
            with connection.transaction() as tx:
                tx.run(unit, rows=own).consume()
                tx.run(sentence, rows=said).consume()
        SearchRows(connection).pack()


class Lookup:
    """Names of a corpus whose entities are all titles."""

    def names(self, keys: Sequence[int]) -> list[str]:
        return ["" for _ in keys]

    ids = names

    def is_title(self, canonical: Sequence[str]) -> list[bool]:
        return [c.startswith("name") for c in canonical]

    def filename_documents(self, words: Sequence[str]) -> dict[str, list[int]]:
        return {}


class NoReader:
    """Ranking alone reads no unit; what reads the ten best is timed with the graph."""

    def read(self, ids: Sequence[str]) -> list[Evidence]:
        return []


def measure_search(corpus: Corpus, graph: GraphStore, queries: int, connection: Connection | None) -> dict[str, Any]:
    """p50 and p95 of the ten nearest of all sentences, and of whole questions (seeds, walk, order, reading the best ten)."""
    out: dict[str, Any] = {"vectors": corpus.n * SENTENCES, "dim": DIM}
    with tempfile.TemporaryDirectory(prefix="mmkg-bench-") as folder:
        arrays = corpus.arrays(Path(folder), vectors=connection is None)
        view: Callable[[str], IndexView] = lambda _: arrays  # noqa: E731
        if connection is not None:
            started = time.perf_counter()
            corpus.put(connection)
            out["vectors_and_words_load_s"] = round(time.perf_counter() - started, 1)
            views = IndexedViews(lambda: arrays, SearchIndexes(connection), [SPACE])
            view = lambda question: views.around(terms=terms(question), vectors={SPACE: vectors[question]})  # noqa: E731
        asked = [corpus.question(i) for i in range(queries)]
        before = [corpus.question(i) for i in range(queries, 3 * queries)]
        vectors = dict(asked + before)
        one = HybridRetriever(view(asked[0][0]), reader=NoReader(), encode_query=lambda q: vectors[q], text_space=SPACE)

        def whole(question: str) -> None:
            ranked = one.over(view(question)).rank(question, k=10)
            graph.get(one.view.unit_ids(ranked.units[:10].tolist()))

        for question, _ in before:  # a server that has just been filled has not compiled what it searches with
            whole(question)
        out |= _percentiles("vector_search", (lambda v=v: one.view.search_sentences(SPACE, v, 10) for _, v in asked))
        out |= _percentiles("question", (lambda q=q: whole(q) for q, _ in asked))
    return out


def _percentiles(name: str, calls: Iterator[Callable[[], Any]]) -> dict[str, float]:
    times = []
    for i, call in enumerate(calls):
        started = time.perf_counter()
        call()
        if i:  # the first one opens what all use
            times.append(time.perf_counter() - started)
    p50, p95 = (round(1000 * float(q), 1) for q in np.percentile(times, [50, 95]))
    print(f"{name}: p50 {p50} ms", file=sys.stderr, flush=True)
    return {f"{name}_p50_ms": p50, f"{name}_p95_ms": p95}
