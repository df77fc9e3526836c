"""Fit the rankers that come with the package: features by the package's own code, a linear model for each pass.

    python scripts/train_ranker.py --data ../shared/data --cache .cache/eval --out mmkg/retrieve/ranker.json

The bases are those of `mmkg eval` (one document a passage, shuffled), kept under --cache; one that lies there as SET-1 is used. Each later pass is fitted on the orders that the passes before
it give to questions they were not fitted on (folds by question), as in use. --measure SETS reports the rankers on other sets.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import sqlite3
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mmkg.config import Settings
from mmkg.evaluate.run import opened
from mmkg.kb import KnowledgeBase
from mmkg.retrieve.passes import MAX_EFFORT, PassResult, ordered
from mmkg.retrieve.ranker import RankerSet, load_rankers
from mmkg.retrieve.retriever import HybridRetriever
from mmkg.retrieve.training import L2, Asked, Group, Trainer

TRAIN = "musique_train,hotpotqa_train,2wikimultihopqa_train,musique_train100,hotpotqa_train100"


class Kept:
    """encode_query with a memory in SQLite, for experiments that ask the same questions again."""

    def __init__(self, encoder, path: Path) -> None:
        self.encoder = encoder
        self.db = sqlite3.connect(path, isolation_level=None)
        self.db.execute("PRAGMA journal_mode = WAL")
        self.db.execute("PRAGMA synchronous = OFF")
        self.db.execute("CREATE TABLE IF NOT EXISTS vector (key BLOB PRIMARY KEY, data BLOB) WITHOUT ROWID")
        self.encoded = 0

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        keys = [hashlib.sha256(t.encode()).digest()[:16] for t in texts]
        out = np.zeros((len(texts), self.encoder.space.dim), dtype=np.float32)
        todo = []
        for i, key in enumerate(keys):
            row = self.db.execute("SELECT data FROM vector WHERE key = ?", (key,)).fetchone()
            if row:
                out[i] = np.frombuffer(row[0], dtype="<f4")
            else:
                todo.append(i)
        if todo:
            out[todo] = self.encoder.encode_query([texts[i] for i in todo])
            self.encoded += len(todo)
            self.db.execute("BEGIN")
            self.db.executemany(
                "INSERT OR REPLACE INTO vector VALUES (?, ?)", [(keys[i], out[i].astype("<f4").tobytes()) for i in todo]
            )
            self.db.execute("COMMIT")
        return out


class Set:
    """One evaluation set: its base, its questions, and which document each passage is."""

    def __init__(self, name: str, args: argparse.Namespace) -> None:
        self.name = name
        folder = args.data / name
        file = folder / "questions_train.jsonl"
        file = file if file.exists() else folder / "questions_dev.jsonl"
        questions = [json.loads(line) for line in file.read_text(encoding="utf-8").split("\n") if line]
        # A subset that does not hang on the order of the file.
        questions.sort(key=lambda q: hashlib.sha1(q["id"].encode()).digest())
        self.raw = questions[: args.limit]
        corpus = gzip.decompress((folder / "corpus.jsonl.gz").read_bytes()).decode()
        document_of = {}
        for line in corpus.split("\n"):
            if line:
                p = json.loads(line)
                text = f"# {' '.join(p['title'].split())}\n\n{p['text']}\n"
                document_of[p["id"]] = hashlib.sha256(text.encode()).hexdigest()
        root = args.cache / f"{name}-1"
        if not root.exists():
            with opened(folder, questions=file, cache=args.cache) as (base, _, _):
                root = base.kb.root
        kb = KnowledgeBase(root, settings=Settings.load(image_encoder="none"))
        encoder = kb.text_encoder
        assert encoder is not None, "the text model is not installed"
        encode = Kept(encoder, args.work / "questions.sqlite")
        view = kb.index()
        first = np.unique(view.unit_document, return_index=True)[1]
        index = {u.split("/")[0]: d for d, u in enumerate(view.unit_ids(first.tolist()))}
        self.space = encoder.space.key
        self.unit_document = view.unit_document
        self.group = Group(
            name=name,
            retriever=HybridRetriever(
                view,
                reader=kb._read(),
                extractor=kb.extractor,
                encode_query=lambda q: encode([q])[0],
                text_space=self.space,
                encode=encode,
            ),
            questions=[
                Asked(
                    id=q["id"],
                    text=q["question"],
                    documents=frozenset(index[document_of[i]] for i in q["supporting_ids"]),
                )
                for q in self.raw
            ],
        )

    @property
    def family(self) -> str:
        """Sets that were made alike."""
        return self.name.split("_")[0]

    def measure(self, results: Sequence[PassResult | None], keep=lambda q: True) -> np.ndarray:
        """(n, 5) recall@2, recall@5, all gold in 5, all in 50, recall in the pool."""
        rows = []
        for asked, raw, result in zip(self.group.questions, self.raw, results, strict=True):
            if keep(raw):
                gold = asked.documents
                seen = list(dict.fromkeys(self.unit_document[result.units].tolist())) if result is not None else []
                r = {k: len(gold & set(seen[:k])) / len(gold) for k in (2, 5, 50, 10_000)}
                rows.append((r[2], r[5], float(r[5] == 1), float(r[50] == 1), r[10_000]))
        return np.array(rows)


def table(name: str, rows: np.ndarray) -> str:
    return f"{name:52}" + " / ".join(f"{100 * x:5.1f}" for x in rows.mean(axis=0))


def progress(name: str, number: int, done: int, total: int) -> None:
    if done % 100 == 0:
        print(f"  {name}, pass {number}: {done} of {total}", file=sys.stderr)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cache", type=Path, default=Path(".cache/eval"), help="where the bases are")
    parser.add_argument("--work", type=Path, default=Path(".cache/ranker"), help="where vectors are kept")
    parser.add_argument("--sets", default=TRAIN)
    parser.add_argument("--limit", type=int, help="questions of each set")
    parser.add_argument("--passes", type=int, default=MAX_EFFORT)
    parser.add_argument("--l2", type=float, default=L2)
    parser.add_argument("--measure", default="", help="report on these sets with the rankers of --out")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    if args.measure:
        report(args)
        return
    sets = [Set(name, args) for name in args.sets.split(",")]
    trainer = Trainer([s.group for s in sets], l2=args.l2, progress=progress)
    for number in range(args.passes):
        trainer.step()
        for i, s in enumerate(sets):
            print(table(f"{s.name}, pass {number + 1}, cross-validated", s.measure(trainer.held_out[i])))
            if len({x.family for x in sets}) > 1:
                held = {x.name: x.family for x in sets}
                without = trainer.fitted(lambda g, _, f=s.family, held=held: held[g.name] != f, number)
                order = trainer.orders(lambda _, r=without: r)[i]
                print(table(f"{s.name}, pass {number + 1}, fitted without {s.family}", s.measure(order)))
        sys.stdout.flush()
    provenance = {
        "sets": {s.name: len(s.raw) for s in sets},
        "l2": args.l2,
        "loss": "listwise",
        "encoder": sets[0].space,
    }
    RankerSet(passes=tuple(trainer.rankers), provenance=provenance).write(args.out)


def report(args: argparse.Namespace) -> None:
    rankers = load_rankers(args.out)
    for name in args.measure.split(","):
        one = Set(name, args)
        before: list[PassResult | None] = [None] * len(one.raw)
        for number in range(min(args.passes, len(rankers.passes))):
            for i, q in enumerate(one.group.questions):
                made = one.group.retriever.prepared(q.text, number, before[i])
                before[i] = None if made is None else ordered(made, rankers.passes[number])
                progress(name, number + 1, i + 1, len(before))
            print(table(f"{name}, effort {number + 1}", one.measure(before)))
            for hops in sorted({q["hops"] for q in one.raw}):
                rows = one.measure(before, lambda q, h=hops: q["hops"] == h)
                print(table(f"    {hops} hops, {len(rows)} questions", rows))
            sys.stdout.flush()


if __name__ == "__main__":
    main()
