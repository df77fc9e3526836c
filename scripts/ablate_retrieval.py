"""What each part of the retriever is worth: the same questions without it, with paired intervals and by hops.

    python scripts/ablate_retrieval.py --data SETS --cache .cache/eval --work .cache/ranker --out ablation.json

Three kinds of rows, each against the same row with everything, all on the development sets:

- learned, effort 1 (and 2 with --second): the ranker is fitted again on the training sets without the features of the part, so what is
  left may make up for it. Both rankers of a pair are fitted on the same questions (--limit of each training set, else all). Pools are
  those of the whole retriever.
- fixed, effort 1: the part is switched off in the retriever as it is shipped, packaged weights and all; pools change with it.
- base, effort 0: the same for the order before the ranker.
- transfer, effort 1: the ranker fitted without the training sets that were made as the development set was (--kinds transfer).

The features of a set (minutes of a core) are kept under --work and used again; questions are encoded once.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import numpy as np
from train_ranker import TRAIN, Set, progress

from mmkg.algorithms.pagerank import WalkGraph
from mmkg.retrieve import order, retriever
from mmkg.retrieve.passes import PassResult, ordered
from mmkg.retrieve.ranker import LinearRanker, packaged_rankers
from mmkg.retrieve.training import FOLDS, Example, fit, fold_of

DEV = "musique,2wikimultihopqa,hotpotqa"
DRAWS = 2000

PARTS: dict[str, tuple[str, ...]] = {
    "words (bm25, cover, title words)": ("bm25", "bm25_place", "cover", "title_words", "title_cover"),
    "vectors of units and sentences": (
        "dense", "dense_gap", "dense_place", "sentence", "sentence_gap", "sentence_place", "two_sentences",
    ),
    "walks (asked, near, both)": ("asked", "asked_place", "near", "near_place", "walk", "walk_place"),
    "bridge walk": ("bridge", "bridge_place"),
    "names of the question": ("is_asked", "names", "names_count", "entities"),
    "links of the beam": (
        "about", "about_near", "about_count", "about_idf", "reverse", "reverse_count", "shared", "in_beam",
        "residual", "residual_linked",
    ),
    "bare question": (
        "bare_unit", "bare_unit_gap", "bare_sentence", "bare_sentence_gap", "bare_linked", "bare_linked_place",
    ),
    "gate (bare question at a bridge)": ("gate_*",),
    "bare question and gate": ("bare_*", "gate_*"),
    "base order": ("base_place",),
    "length": ("length",),
}  # fmt: skip
SECOND = {
    "substitution": ("swap_*",),
    "gate (bare question at a bridge)": ("gate_*",),
    "bare question and gate": ("bare_*", "gate_*"),
    "order of the first pass": ("before_*",),
}


def without(features: Sequence[str], part: Sequence[str]) -> list[str]:
    gone = {f for p in part for f in features if f == p or (p.endswith("*") and f.startswith(p[:-1]))}
    if not gone:
        raise SystemExit(f"no feature is one of {', '.join(part)}")
    return [f for f in features if f not in gone]


# ---- features, kept ----


class Pools:
    """The pools of one set and pass, with all features: (n, f) float32 for each question, None where no pass can be run."""

    def __init__(self, features: list[str], pools: list[tuple[np.ndarray, np.ndarray, np.ndarray] | None]) -> None:
        self.features, self.pools = features, pools
        """Each: units of the order before, units of the pool, (n, f) values."""

    def result(self, i: int) -> PassResult | None:
        held = self.pools[i]
        if held is None:
            return None
        columns = {f: held[2][:, c].astype(np.float64) for c, f in enumerate(self.features)}
        return PassResult(units=held[0], scores=np.zeros(len(held[0])), pool=held[1], columns=columns)

    def write(self, path: Path) -> None:
        n = [-1 if p is None else len(p[1]) for p in self.pools]
        held = [p for p in self.pools if p is not None]
        temporary = path.with_suffix(".part.npz")
        np.savez(
            temporary,
            features=np.array(self.features),
            n=np.array(n),
            pool=np.concatenate([p[1] for p in held]),
            values=np.concatenate([p[2] for p in held]),
        )
        temporary.replace(path)

    @classmethod
    def read(cls, path: Path) -> Pools:
        with np.load(path, allow_pickle=False) as kept:
            sizes, pool, values = kept["n"].tolist(), kept["pool"], kept["values"]
            features = kept["features"].tolist()
        out, at = [], 0
        for n in sizes:
            if n < 0:
                out.append(None)
                continue
            out.append((pool[at : at + n], pool[at : at + n], values[at : at + n]))
            at += n
        return cls(features, out)


class Sets:
    """Opens a set when its base is needed; most runs need the kept features alone."""

    def __init__(self, args: argparse.Namespace, limit: int | None) -> None:
        self.args, self.limit = args, limit
        self._open: dict[str, Set] = {}

    def __call__(self, name: str) -> Set:
        if name not in self._open:
            wanted = SimpleNamespace(data=self.args.data, cache=self.args.cache, work=self.args.work, limit=self.limit)
            self._open[name] = Set(name, wanted)
        return self._open[name]


def pools_of(one: Set, number: int, before: Sequence[PassResult | None], work: Path) -> Pools:
    """The features of a pass, made or read."""
    path = work / f"features-{one.name}-{len(one.raw)}-{number}.npz"
    if path.exists():
        return Pools.read(path)
    rows, features = [], None
    for i, q in enumerate(one.group.questions):
        made = one.group.retriever.prepared(q.text, number, before[i])
        if made is None:
            rows.append(None)
            continue
        features = features or list(made.columns)
        rows.append((made.units, made.pool, np.stack([made.columns[f] for f in features], axis=1).astype(np.float32)))
        progress(one.name, number + 1, i + 1, len(one.raw))
    assert features is not None, "no question could be prepared"
    found = Pools(features, rows)
    found.write(path)
    return found


def examples_of(one: Set, pools: Pools, features: Sequence[str]) -> list[Example | None]:
    at = [pools.features.index(f) for f in features]
    out: list[Example | None] = []
    for q, held in zip(one.group.questions, pools.pools, strict=True):
        if held is None:
            out.append(None)
            continue
        documents = one.unit_document[held[1]].astype(np.int64)
        gold = np.isin(documents, sorted(q.documents))
        out.append(Example(values=held[2][:, at], document=documents, gold=gold))
    return out


# ---- measuring ----


def orders(pools: Pools, ranker: LinearRanker) -> list[PassResult | None]:
    return [None if (p := pools.result(i)) is None else ordered(p, ranker) for i in range(len(pools.pools))]


def interval(differences: np.ndarray) -> tuple[float, float, float]:
    """Mean and 95 % percentile bootstrap over questions, in points."""
    rng = np.random.default_rng(0)
    n = len(differences)
    draws = differences[rng.integers(n, size=(DRAWS, n))].mean(axis=1)
    low, high = np.quantile(draws, (0.025, 0.975))
    return tuple(round(100 * float(x), 2) for x in (differences.mean(), low, high))


def compared(one: Set, rows: np.ndarray, against: np.ndarray) -> dict:
    """recall@5 and all gold in 5 without a part, and the paired differences to the row with it; by hops as well."""
    hops = np.array([q["hops"] for q in one.raw])
    parts = {"all": np.ones(len(hops), dtype=bool)} | {str(h): hops == h for h in sorted(set(hops.tolist()))}
    return {
        name: {
            "questions": int(held.sum()),
            "recall@5": round(100 * float(rows[held, 1].mean()), 1),
            "all_gold@5": round(100 * float(rows[held, 2].mean()), 1),
            "recall@5 difference": interval(rows[held, 1] - against[held, 1]),
            "all_gold@5 difference": interval(rows[held, 2] - against[held, 2]),
        }
        for name, held in parts.items()
    }


def learned(args: argparse.Namespace, train: Sets, dev: Sets, number: int, parts: dict, found: dict) -> None:
    """Rankers fitted without the features of a part, on the pools of pass `number`."""
    teachers = [train(n) for n in args.train.split(",")]
    pupils = [dev(n) for n in args.dev.split(",")]
    fixed = packaged_rankers().passes
    before_train = {s.name: [None] * len(s.raw) for s in teachers}
    before_dev = {s.name: [None] * len(s.raw) for s in pupils}
    if number:
        first = {s.name: pools_of(s, 0, before_train[s.name], args.work) for s in teachers}
        before_train = out_of_fold(teachers, first, next(iter(first.values())).features)
        before_dev = {s.name: orders(pools_of(s, 0, before_dev[s.name], args.work), fixed[0]) for s in pupils}
    made = {s.name: pools_of(s, number, before_train[s.name], args.work) for s in teachers}
    asked = {s.name: pools_of(s, number, before_dev[s.name], args.work) for s in pupils}
    features = next(iter(made.values())).features
    base: dict[str, np.ndarray] = {}
    for part, gone in {"": (), **parts}.items():
        started = time.perf_counter()
        kept = without(features, gone) if gone else features
        taught = [e for s in teachers for e in examples_of(s, made[s.name], kept) if e is not None]
        ranker = fit(taught, kept)
        for s in pupils:
            rows = s.measure(orders(asked[s.name], ranker))
            if not part:
                base[s.name] = rows
            row = compared(s, rows, base[s.name])
            found.setdefault(f"learned, effort {number + 1}", {}).setdefault(part or "everything", {})[s.name] = row
            print(f"effort {number + 1} without {part or 'nothing':34} {s.name:18} {line(row['all'])}", flush=True)
        print(f"  {len(taught)} questions, {time.perf_counter() - started:.0f} s", file=sys.stderr)


def transferred(args: argparse.Namespace, train: Sets, dev: Sets, found: dict) -> None:
    """The ranker of the first pass fitted on all training sets, and on those of other families than the set measured."""
    teachers = [train(n) for n in args.train.split(",")]
    made = {s.name: pools_of(s, 0, [None] * len(s.raw), args.work) for s in teachers}
    features = next(iter(made.values())).features
    taught = {s.name: [e for e in examples_of(s, made[s.name], features) if e is not None] for s in teachers}
    full = fit([e for s in teachers for e in taught[s.name]], features)
    for one in (dev(n) for n in args.dev.split(",")):
        pools = pools_of(one, 0, [None] * len(one.raw), args.work)
        rest = [s for s in teachers if s.family != one.family]
        without_own = fit([e for s in rest for e in taught[s.name]], features)
        base, rows = (one.measure(orders(pools, ranker)) for ranker in (full, without_own))
        kind = found.setdefault("transfer, effort 1", {})
        kind.setdefault("everything", {})[one.name] = compared(one, base, base)
        kind.setdefault("the set's own family", {})[one.name] = row = compared(one, rows, base)
        print(f"fitted without {one.family:20} {one.name:18} {line(row['all'])}", flush=True)


def cross_validated(args: argparse.Namespace, train: Sets, parts: dict, found: dict) -> None:
    """The same on the training sets, each question by a ranker that did not see it: what decides whether a part stays."""
    sets = [train(n) for n in args.train.split(",")]
    made = {s.name: pools_of(s, 0, [None] * len(s.raw), args.work) for s in sets}
    features = next(iter(made.values())).features
    base: dict[str, np.ndarray] = {}
    for part, gone in {"": (), **parts}.items():
        results = out_of_fold(sets, made, without(features, gone) if gone else features)
        for s in sets:
            rows = s.measure(results[s.name])
            if not part:
                base[s.name] = rows
            row = compared(s, rows, base[s.name])
            found.setdefault("learned, effort 1, cross-validated", {}).setdefault(part or "everything", {})[s.name] = (
                row
            )
            print(f"train without {part or 'nothing':34} {s.name:22} {line(row['all'])}", flush=True)


def out_of_fold(
    sets: Sequence[Set], pools: dict[str, Pools], features: Sequence[str]
) -> dict[str, list[PassResult | None]]:
    """Each question's order by a ranker that did not see it."""
    taught = {s.name: examples_of(s, pools[s.name], features) for s in sets}
    rankers = [
        fit(
            [
                e
                for s in sets
                for q, e in zip(s.group.questions, taught[s.name], strict=True)
                if e is not None and fold_of(q) != fold
            ],
            features,
        )
        for fold in range(FOLDS)
    ]
    return {
        s.name: [
            None if (p := pools[s.name].result(i)) is None else ordered(p, rankers[fold_of(q)])
            for i, q in enumerate(s.group.questions)
        ]
        for s in sets
    }


# ---- parts that are no features ----


@contextmanager
def no_mending(one: Set) -> Iterator[None]:
    with patch.object(one.group.retriever, "_mend", False):
        yield


@contextmanager
def whole_walk(one: Set) -> Iterator[None]:
    """All of each step is carried on, by products with the whole matrix."""

    def run(self, restart, *, damping=0.5, iterations=12, tolerance=1e-6):
        return self.run(restart, damping=damping, iterations=iterations).units[:, 0]

    with patch.object(WalkGraph, "push", run):
        yield


@contextmanager
def no_sentence_seeds(one: Set) -> Iterator[None]:
    from mmkg.retrieve import passes

    with patch.object(retriever, "sentence_weight", lambda titled: 0.0), patch.object(passes, "SENTENCE_WEIGHT", 0.0):
        yield


@contextmanager
def no_flat_weight(one: Set) -> Iterator[None]:
    with patch.object(order, "FLAT_WEIGHT", 0.0):
        yield


Switch = Callable[[Set], "contextmanager[None]"]
FIXED: dict[str, Switch] = {
    "mending of misspelt words": no_mending,
    "push (each step whole instead)": whole_walk,
    "sentence seeds": no_sentence_seeds,
    "flat lists in the base order": no_flat_weight,
}
BASE = ("sentence seeds", "flat lists in the base order", "push (each step whole instead)")


def ranked(one: Set, effort: int) -> np.ndarray:
    """(n, 5) measures of the retriever as it is."""
    fixed = packaged_rankers()
    results: list[PassResult | None] = []
    with patch.object(one.group.retriever, "_rankers", fixed):
        for i, q in enumerate(one.group.questions):
            found = one.group.retriever.rank(q.text, k=50, effort=effort)
            results.append(PassResult(units=found.units, scores=found.scores))
            progress(one.name, effort, i + 1, len(one.raw))
    return one.measure(results)


def switched(args: argparse.Namespace, dev: Sets, found: dict) -> None:
    """Parts switched off in the retriever, at efforts 1 and 0."""
    for name in args.dev.split(","):
        one = dev(name)
        for effort, parts in ((1, tuple(FIXED)), (0, BASE)):
            kind = "fixed, effort 1" if effort else "base, effort 0"
            base = ranked(one, effort)
            found.setdefault(kind, {}).setdefault("everything", {})[name] = compared(one, base, base)
            for part in parts:
                with FIXED[part](one):
                    row = compared(one, ranked(one, effort), base)
                found[kind].setdefault(part, {})[name] = row
                print(f"{kind} without {part:34} {name:18} {line(row['all'])}", flush=True)


def line(row: dict) -> str:
    low = row["recall@5 difference"]
    both = row["all_gold@5 difference"]
    return (
        f"{row['recall@5']:5.1f} / {row['all_gold@5']:5.1f}   {low[0]:+.2f} [{low[1]:+.2f}, {low[2]:+.2f}]   "
        f"{both[0]:+.2f} [{both[1]:+.2f}, {both[2]:+.2f}]"
    )


def markdown(found: dict) -> str:
    """A table a kind: differences of recall@5, and of all gold in 5, with intervals."""
    out = []
    for kind, rows in found.items():
        sets = list(next(iter(rows.values())))
        out += [f"\n{kind}\n", f"| without | {' | '.join(sets)} |", f"| --- |{' --- |' * len(sets)}"]
        for part, row in rows.items():
            cells = []
            for s in sets:
                all_ = row[s]["all"]
                d, b = all_["recall@5 difference"], all_["all_gold@5 difference"]
                cells.append(
                    f"{all_['recall@5']} / {all_['all_gold@5']}"
                    if part == "everything"
                    else f"{d[0]:+.1f} [{d[1]:+.1f}, {d[2]:+.1f}]; {b[0]:+.1f} [{b[1]:+.1f}, {b[2]:+.1f}]"
                )
            out.append(f"| {part} | {' | '.join(cells)} |")
    return "\n".join(out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cache", type=Path, default=Path(".cache/eval"), help="where the bases are")
    parser.add_argument("--work", type=Path, default=Path(".cache/ranker"), help="where features and vectors are kept")
    parser.add_argument("--train", default=TRAIN, help="sets to fit on")
    parser.add_argument("--dev", default=DEV, help="sets to measure on")
    parser.add_argument("--limit", type=int, help="questions of each training set (default all)")
    parser.add_argument("--kinds", default="learned,switched", help="learned, second, train, transfer, switched")
    parser.add_argument("--parts", default="", help="with train: only the parts whose name holds this")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    found = json.loads(args.out.read_text()) if args.out.exists() else {}
    train, dev = Sets(args, args.limit), Sets(args, None)
    for kind in args.kinds.split(","):
        if kind == "learned":
            learned(args, train, dev, 0, PARTS, found)
        elif kind == "second":
            learned(args, train, dev, 1, SECOND, found)
        elif kind == "train":
            cross_validated(args, train, {p: PARTS[p] for p in PARTS if not args.parts or args.parts in p}, found)
        elif kind == "transfer":
            transferred(args, train, dev, found)
        elif kind == "switched":
            switched(args, dev, found)
        else:
            parser.error(f"unknown kind {kind!r}")
        args.out.write_text(json.dumps(found, indent=1))
    print(markdown(found))


if __name__ == "__main__":
    main()
