"""Recall on the multi-hop text sets, through the whole pipeline: files, facts, graph, index, retriever.

    .venv/bin/python scripts/eval_text.py --data ../shared/data --sets musique,2wikimultihopqa,hotpotqa --json out.json

Each passage is one document, added in shuffled order (seed 1): evaluation corpora come in question order, and an order
that reaches the graph would leak the answer. A ranking of units is a ranking of their documents, each at its first unit.
Bases and vectors are kept under --cache and used again.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import random
import sqlite3
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from mmkg.algorithms.fusion import fuse
from mmkg.config import Settings
from mmkg.kb import KnowledgeBase
from mmkg.protocols import Encoder, FloatArray, Space

ROWS = ("bm25", "dense", "rrf", "walk", "default")


class KeptVectors:
    """An encoder that remembers: vectors in a SQLite file, keyed by the text, half precision."""

    def __init__(self, inner: Encoder, path: Path) -> None:
        self.inner = inner
        self.db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self.db.execute("CREATE TABLE IF NOT EXISTS vector (key BLOB PRIMARY KEY, data BLOB) WITHOUT ROWID")

    @property
    def space(self) -> Space:
        return self.inner.space

    @property
    def runtime(self) -> str:
        return self.inner.runtime

    @property
    def modalities(self):
        return self.inner.modalities

    def encode_query(self, items: Sequence[str]) -> FloatArray:
        return self.inner.encode_query(items)

    def encode_document(self, items: Sequence[str], *, batch_size: int = 64) -> FloatArray:
        keys = [hashlib.sha256(t.encode()).digest() for t in items]
        out = np.zeros((len(items), self.space.dim), dtype=np.float32)
        todo = []
        for i, key in enumerate(keys):
            row = self.db.execute("SELECT data FROM vector WHERE key = ?", (key,)).fetchone()
            if row:
                out[i] = np.frombuffer(row[0], dtype="<f2")
            else:
                todo.append(i)
        if todo:
            out[todo] = self.inner.encode_document([items[i] for i in todo], batch_size=batch_size)
            rows = [(keys[i], out[i].astype("<f2").tobytes()) for i in todo]
            self.db.execute("BEGIN")
            self.db.executemany("INSERT OR REPLACE INTO vector VALUES (?, ?)", rows)
            self.db.execute("COMMIT")
        return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the evaluation sets")
    parser.add_argument("--sets", default="musique,2wikimultihopqa,hotpotqa")
    parser.add_argument("--cache", type=Path, default=Path(".cache/eval"), help="where bases and vectors are kept")
    parser.add_argument("--questions", type=int, help="only the first this many questions")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    args.cache.mkdir(parents=True, exist_ok=True)
    results = {name: evaluate(args, name) for name in args.sets.split(",")}
    if args.json:
        args.json.write_text(json.dumps(results, indent=1))


def evaluate(args: argparse.Namespace, name: str) -> Mapping[str, object]:
    corpus = gzip.decompress((args.data / name / "corpus.jsonl.gz").read_bytes()).decode()
    passages = [json.loads(line) for line in corpus.split("\n") if line]
    asked = (args.data / name / "questions_dev.jsonl").read_text(encoding="utf-8")
    questions = [json.loads(line) for line in asked.split("\n") if line]
    settings = Settings.load(batch_units=512)
    plain = KnowledgeBase(args.cache / f"{name}-{args.seed}", settings=settings)
    assert plain.text_encoder is not None, "the text model is not installed"
    kb = KnowledgeBase(
        plain.root, settings=settings, text_encoder=KeptVectors(plain.text_encoder, args.cache / "vectors.sqlite")
    )
    started = time.perf_counter()
    ids = ingest(kb, passages, args.cache / f"{name}-files", args.seed)
    seconds = time.perf_counter() - started
    retriever, documents = kb.retriever(), document_ids(kb, ids)
    index = kb.index()
    scores: dict[str, list[tuple[float, ...]]] = {row: [] for row in ROWS}
    spent = []
    for q in questions[: args.questions]:
        gold = set(q["supporting_ids"])
        begun = time.perf_counter()
        ranked = retriever.rank(q["question"], k=200)
        spent.append(time.perf_counter() - begun)
        lists = {
            "bm25": ranked.lists["bm25"].units,
            "dense": ranked.lists["dense"].units,
            "rrf": fuse([ranked.lists["bm25"].units, ranked.lists["dense"].units])[0],
            "walk": ranked.lists["walk"].units,
            "default": ranked.units,
        }
        for row, units in lists.items():
            scores[row].append(measure(index.unit_document[units], documents, gold))
    table = {row: [round(float(x), 4) for x in np.mean(values, axis=0)] for row, values in scores.items()}
    ms = {"p50": round(1000 * float(np.median(spent)), 1), "p95": round(1000 * float(np.quantile(spent, 0.95)), 1)}
    print(f"\n{name}: {len(passages)} passages, {len(spent)} questions, ingest {seconds:.0f} s, ms a question {ms}")
    for row, (r2, r5, all5, all50) in table.items():
        print(f"  {row:8} R@2 {100 * r2:5.1f}  R@5 {100 * r5:5.1f}  all@5 {100 * all5:5.1f}  all@50 {100 * all50:5.1f}")
    sys.stdout.flush()
    kb.close()
    columns = ["recall@2", "recall@5", "all_gold@5", "all_gold@50"]
    return {"rows": {r: dict(zip(columns, v, strict=True)) for r, v in table.items()}, "ms": ms, "ingest_s": seconds}


def ingest(kb: KnowledgeBase, passages: Sequence[Mapping[str, str]], folder: Path, seed: int) -> dict[str, list[str]]:
    """Add every passage as a file of its own; returns document id -> passage ids (equal passages are one document)."""
    folder.mkdir(parents=True, exist_ok=True)
    order = list(range(len(passages)))
    random.Random(seed).shuffle(order)
    ids: dict[str, list[str]] = {}
    for place, i in enumerate(order):
        text = f"# {' '.join(passages[i]['title'].split())}\n\n{passages[i]['text']}\n".encode()
        ids.setdefault(hashlib.sha256(text).hexdigest(), []).append(passages[i]["id"])
        path = folder / f"{place:06d}.md"
        if not path.exists():
            path.write_bytes(text)
    report = kb.add(
        folder, progress=lambda p: p.done % 1000 == 0 and print(f"  {p.done} of {p.total}", file=sys.stderr)
    )
    print(f"  {report.counts}  { ({k: round(v) for k, v in report.timings.items()}) }", file=sys.stderr)
    return ids


def document_ids(kb: KnowledgeBase, ids: Mapping[str, list[str]]) -> list[list[str]]:
    """Passage ids of each document index of the view."""
    index = kb.index()
    first = np.unique(index.unit_document, return_index=True)[1]
    return [ids[unit.split("/")[0]] for unit in index.unit_ids(first.tolist())]


def measure(ranking: np.ndarray, documents: Sequence[Sequence[str]], gold: set[str]) -> tuple[float, ...]:
    """Recall@2, recall@5, all gold in 5, all gold in 50, over documents."""
    seen = list(dict.fromkeys(ranking.tolist()))
    ids = [set(documents[d]) for d in seen]

    def found(k: int) -> int:
        return len(gold & set().union(*ids[:k])) if ids[:k] else 0

    return found(2) / len(gold), found(5) / len(gold), float(found(5) == len(gold)), float(found(50) == len(gold))


if __name__ == "__main__":
    main()
