"""Time and memory of the index on synthetic units: write, merge, cold open, refresh, search. Needs no model.

    python scripts/bench_index.py --units 10000 100000

Vectors are drawn around cluster centres, so that nearest neighbours are as crowded as in text; words and entities follow Zipf's law.
"""

from __future__ import annotations

import argparse
import hashlib
import resource
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mmkg.algorithms.bm25 import bm25_scores
from mmkg.store.folder.index import FolderIndex, SegmentCache
from mmkg.store.folder.merge import SegmentInfo, merge_incidence, merge_plan, merge_text
from mmkg.store.folder.segment import (
    IncidenceRow,
    SegmentFile,
    UnitRow,
    write_incidence_segment,
    write_text_segment,
)

SPACE = "synthetic@1"


class Words:
    """An EntityLookup that answers from keys."""

    def names(self, keys: Sequence[int]) -> list[str]:
        return [str(key) for key in keys]

    ids = names

    def is_title(self, canonical: Sequence[str]) -> list[bool]:
        return [False] * len(canonical)

    def filename_documents(self, words: Sequence[str]) -> dict[str, list[int]]:
        return {}


class Corpus:
    """Units with 3 or 4 sentences, about 60 terms and 14 entities, 5 to a document."""

    def __init__(self, dim: int, seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        self.dim = dim
        self.centres = self.rng.standard_normal((2000, dim), dtype=np.float32)
        self.no = 0

    def vectors(self, n: int) -> np.ndarray:
        x = self.centres[self.rng.integers(len(self.centres), size=n)]
        x = x + 0.9 * self.rng.standard_normal((n, self.dim), dtype=np.float32)
        return x / np.linalg.norm(x, axis=1, keepdims=True)

    def batch(self, n: int) -> tuple[list[UnitRow], list[IncidenceRow]]:
        units, incidence = [], []
        sentences = 3 + self.rng.integers(2, size=n)
        vectors = self.vectors(int(n + sentences.sum())).astype(np.float16)
        start = 0
        for n_sentences in sentences.tolist():
            no, document = self.no, self.no // 5
            self.no += 1
            words = self.rng.zipf(1.3, size=90) % 200_000
            units.append(
                UnitRow(
                    no=no,
                    id=f"{hashlib.sha256(str(document).encode()).hexdigest()}/c{no % 5 * 900}-{no % 5 * 900 + 1000}",
                    document=document,
                    modality=0,
                    terms=[f"w{w}" for w in words.tolist()],
                    n_sentences=n_sentences,
                    vectors={SPACE: vectors[start : start + 1 + n_sentences]},
                )
            )
            start += 1 + n_sentences
            entities = np.unique(self.rng.zipf(1.15, size=14) % 1_000_003) * 2_654_435_761
            ones = np.ones(len(entities), dtype=np.int64)
            parts = np.array_split(entities, n_sentences)
            incidence.append(IncidenceRow(no=no, entities=entities, counts=ones, title_share=ones * 0, sentences=parts))
        return units, incidence


class Base:
    """Segments and merges as a store keeps them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.text: list[SegmentFile] = []
        self.incidence: list[SegmentFile] = []
        self.generation = 0
        self.written_s = self.merged_s = 0.0

    def add(self, units: list[UnitRow], incidence: list[IncidenceRow]) -> None:
        self.generation += 1
        g = self.generation
        start = time.perf_counter()
        self.text.append(write_text_segment(self.directory, f"text-{g}-0.seg", units, generation=g))
        self.incidence.append(write_incidence_segment(self.directory, f"inc-{g}-0.seg", incidence, generation=g))
        middle = time.perf_counter()
        self.text = self._merge(self.text, "text", merge_text)
        self.incidence = self._merge(self.incidence, "inc", merge_incidence)
        self.written_s += middle - start
        self.merged_s += time.perf_counter() - middle

    def _merge(self, files: list[SegmentFile], kind: str, merge: Callable[..., SegmentFile]) -> list[SegmentFile]:
        infos = [SegmentInfo(name=f.name, kind=kind, rows=f.rows) for f in files]
        for i, group in enumerate(merge_plan(infos)):
            names = [info.name for info in group]
            checks = {f.name: f.sha256 for f in files}
            merged = merge(self.directory, names, (), f"{kind}-{self.generation}-{i + 1}.seg", sha256=checks)
            files = [f for f in files if f.name not in names] + [merged]
            for name in names:
                (self.directory / name).unlink()
        return files

    def view(self, cache: SegmentCache | None = None, dead: Sequence[int] = (), verify: bool = True) -> FolderIndex:
        text, incidence = [f[:2] for f in self.text], [f[:2] for f in self.incidence]
        return FolderIndex(
            self.directory,
            text,
            incidence,
            generation=self.generation,
            lookup=Words(),
            dead_units=dead,
            cache=cache,
            verify=verify,
        )

    def bytes(self) -> int:
        return sum((self.directory / f.name).stat().st_size for f in self.text + self.incidence)


def timed(call: Callable[[], Any], repeats: int = 1) -> str:
    """Median wall time and mean processor time (all threads; what counts on a busy machine), in milliseconds."""
    walls = []
    cpu = time.process_time()
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        walls.append((time.perf_counter() - start) * 1e3)
    cpu = (time.process_time() - cpu) / repeats * 1e3
    walls.sort()
    tail = f" p95 {walls[min(repeats - 1, int(0.95 * repeats))]:.1f}" if repeats > 1 else ""
    return f"p50 {walls[repeats // 2]:.1f}{tail} ms, processor {cpu:.1f} ms"


def resident_mb() -> tuple[float, float]:
    """Own (anonymous) and mapped memory of this process, in MB; peak of all where /proc is absent."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 0.0
    sizes = {line.split(":")[0]: int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("Rss")}
    return sizes["RssAnon"], sizes["RssFile"]


def measure(n_units: int, dim: int, batch: int, queries: int, directory: Path, others: bool) -> None:
    corpus, base = Corpus(dim), Base(directory)
    for start in range(0, n_units, batch):
        base.add(*corpus.batch(min(batch, n_units - start)))

    def row(name: str, value: str) -> None:
        print(f"{n_units:>8}  {name:<44} {value}", flush=True)

    row("files, MB", f"{len(base.text)} text + {len(base.incidence)} incidence, {base.bytes() / 1e6:.0f} MB")
    row("write segments", f"{base.written_s / n_units * 1e3:.3f} ms a unit")
    row("merge segments (all levels)", f"{base.merged_s / n_units * 1e3:.3f} ms a unit")
    before = resident_mb()
    views: list[FolderIndex] = []
    row("cold open, checksums", timed(lambda: views.append(base.view())))
    row("cold open, no checksums", timed(lambda: base.view(verify=False)))
    view = views[0]
    row("build the scan (before the first search)", timed(view.warm))
    after = resident_mb()
    row("memory: own / mapped", f"{after[0] - before[0]:.0f} / {after[1] - before[1]:.0f} MB")
    row("sentences, entities, mentions", f"{len(view.sentence_unit)}, {view.n_entities}, {view.mentions.nnz}")
    asked = iter(np.tile(corpus.vectors(queries), (8, 1)))
    for name, call in (
        ("units top 100", lambda: view.search_units(SPACE, next(asked), 100)),
        ("sentences top 10", lambda: view.search_sentences(SPACE, next(asked), 10)),
        ("both", lambda: (view.search_units(SPACE, q := next(asked), 100), view.search_sentences(SPACE, q, 10))),
    ):
        row(name, timed(call, queries))
    words = [[f"w{w}" for w in np.random.default_rng(i).zipf(1.3, size=8) % 200_000] for i in range(queries)]
    asked_words = iter(words)
    row("BM25 of 8 terms", timed(lambda: bm25_scores(next(asked_words), view.postings, view.unit_length), queries))
    page = corpus.batch(5)
    row("write one page (5 units)", timed(lambda: base.add(*page)))
    row("refresh after it", timed(lambda: views.append(base.view(view.cache))))
    row("refresh after removing one page", timed(lambda: base.view(view.cache, dead=range(10, 15))))
    if others:
        compare(view, corpus, queries, row)


def compare(view: FolderIndex, corpus: Corpus, queries: int, row: Callable[[str, str], None]) -> None:
    """The other ways to scan, on one thread each, and whether they give the same sentences."""
    import faiss

    parts = [s.spaces[SPACE].sentence_vectors for s in view._text]
    x = np.concatenate([part.vectors for part in parts]).astype(np.float32)
    q = corpus.vectors(queries)
    flat = faiss.IndexFlatIP(x.shape[1])
    flat.add(x)

    def on_own_thread(call: Callable[[np.ndarray], Any], name: str) -> None:
        def work() -> None:
            faiss.omp_set_num_threads(1)
            asked = iter(q)
            row(f"sentences top 10, {name}", timed(lambda: call(next(asked)[None]), queries))

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()

    on_own_thread(lambda one: flat.search(one, 10), "FAISS flat, 1 thread")
    on_own_thread(lambda one: np.argpartition(x @ one[0], -10), "NumPy single precision (BLAS threads)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--units", type=int, nargs="+", default=[10_000])
    parser.add_argument("--dim", type=int, default=384)
    parser.add_argument("--batch", type=int, default=1000, help="units to a generation")
    parser.add_argument("--queries", type=int, default=30)
    parser.add_argument("--compare", action="store_true", help="time other scans too (more memory)")
    parser.add_argument("--directory", type=Path, help="where to write; default a temporary folder")
    args = parser.parse_args()
    for n_units in args.units:
        directory = Path(tempfile.mkdtemp(prefix="bench-index-", dir=args.directory))
        try:
            measure(n_units, args.dim, args.batch, args.queries, directory, args.compare)
        finally:
            shutil.rmtree(directory)


if __name__ == "__main__":
    main()
