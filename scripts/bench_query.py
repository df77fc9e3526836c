"""Latency, memory and cold open of questions on synthetic bases, and the cost of one page in or out.

    python scripts/bench_query.py --units 10000 100000 --cache DIR

The effort is that of the settings: MMKG_EFFORT=0 python scripts/bench_query.py. Bases are built once under --cache (facts made in memory and published by the store's own writer) and used again. Their
vectors are real vectors of sentences with noise, in the space of the text encoder; questions are encoded by the encoder
itself. Each measurement runs in a process of its own, so that memory and cold open are those of a user's process.
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

import numpy as np
from bench_kit import Language, Page, Stopwatch, machine, resident_mb, table

from mmkg.kb import KnowledgeBase

PASSAGES = 5
REPEATS = 5
_BATCH = 2_000
"""Units to a publication while a base is built."""


def language(units: int) -> Language:
    return Language(names=max(4_000, units // 4), passages=PASSAGES)


# ---- building ----


def build(root: Path, units: int) -> dict[str, float]:
    """A base of this many units; returns seconds and rate. The first page goes the whole way through `add`."""
    from mmkg.extract.derive import EntityDeriver
    from mmkg.extract.names import NameExtractor
    from mmkg.store.folder.writer import FolderWriter

    words = language(units)
    seed_page(root, words.page(0))
    encoder = KnowledgeBase(root).text_encoder
    assert encoder is not None, "the text encoder's weights are not installed"
    centres = encoder.encode_document(words.sentences(256))
    extractor, rng = NameExtractor(), np.random.default_rng(11)
    started, cpu = time.perf_counter(), time.process_time()
    with unsynced(), FolderWriter(root, EntityDeriver()) as writer:
        writer.ledger.db.execute("PRAGMA synchronous = OFF")
        pages = range(1, units // PASSAGES)
        for at in range(0, len(pages), _BATCH // PASSAGES):
            part = [words.page(i) for i in pages[at : at + _BATCH // PASSAGES]]
            publish(writer, part, extractor, centres, encoder.space.key, rng)
            logging.info("%s: %d units, %.0f s", root.name, (at + len(part)) * PASSAGES, time.perf_counter() - started)
        loaded = time.perf_counter()
        writer.finish()
    wall = time.perf_counter() - started
    return {
        "build_s": wall,
        "build_cpu_s": time.process_time() - cpu,
        "snapshot_s": time.perf_counter() - loaded,
        "units_per_s": units / (loaded - started),
    }


def seed_page(root: Path, page: Page) -> None:
    """Make the base with one page added the usual way, so that its manifest is a real one."""
    with tempfile.TemporaryDirectory() as folder, KnowledgeBase(root) as kb:
        path = Path(folder) / "first.md"
        path.write_text(page.markdown(), encoding="utf-8")
        kb.add(path)


def publish(writer: Any, pages: Sequence[Page], extractor: Any, centres: Any, space: str, rng: Any) -> None:
    """Stage the pages one by one and publish them together, as an `add` does."""
    from mmkg.store.changes import SourceChange
    from mmkg.texts import content_key, encoder_texts

    changes = []
    for page in pages:
        facts = facts_of(page, extractor)
        data = page.markdown().encode()
        document = hashlib.sha256(data).hexdigest()
        uri = f"file:///synthetic/{document[:16]}.md"
        outputs = {}
        for unit in facts.units:
            texts = encoder_texts(facts, unit)
            outputs[content_key(texts), space] = vectors(rng, centres, len(texts))
        writer.stage(document, facts, n_bytes=len(data), uris=[uri], original=data, media={}, outputs=outputs)
        changes.append(SourceChange(uri=uri, document=document, size=len(data)))
    writer.publish(changes)


def facts_of(page: Page, extractor: Any) -> Any:
    """Facts of a page, made by the real assembling; names are capitalised runs and years."""
    from dataclasses import replace

    from mmkg.ingest.assemble import assemble
    from mmkg.ingest.raw import Block, RawDocument

    blocks, parts, at = [], [], 0
    pieces = [("heading", 1, page.title)]
    pieces += [piece for heading, text in page.passages for piece in (("heading", 2, heading), ("text", 0, text))]
    for kind, level, words in pieces:
        blocks.append(Block(start=at, end=at + len(words), kind=kind, level=level))
        parts.append(words)
        at += len(words) + 2
    raw = RawDocument(media_type="text/markdown", text="\n\n".join(parts), name=page.title, blocks=tuple(blocks))
    facts = assemble(raw).facts
    spans = [(unit, start, facts.text[start:end]) for unit in facts.units for start, end in unit.spans()]
    names: dict[int, list[Any]] = {}
    for (unit, start, _), found in zip(spans, extractor.extract([text for *_, text in spans]), strict=True):
        shifted = [replace(name, start=name.start + start, end=name.end + start) for name in found]
        names.setdefault(unit.ordinal, []).extend(shifted)
    return replace(facts, units=tuple(replace(u, names=tuple(names.get(u.ordinal, ()))) for u in facts.units))


def vectors(rng: Any, centres: Any, n: int) -> Any:
    """(n, dim) float16 unit rows about random centres; cosine to the centre about 0.7, as sentences of one topic have."""
    noise = rng.standard_normal((n, centres.shape[1]), dtype=np.float32)
    noise /= np.linalg.norm(noise, axis=1, keepdims=True)
    x = centres[rng.integers(len(centres), size=n)] + noise
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float16)


@contextmanager
def unsynced() -> Iterator[None]:
    """Without waiting for the disk: a scratch base may be lost in a power cut, and its durability is not measured here."""
    with patch("os.fsync", lambda fd: None):
        yield


# ---- measuring, each in a process of its own ----


def measure_queries(root: Path, units: int, n: int) -> dict[str, Any]:
    """Questions in a warm process: p50 and p95 of rank and retrieve, medians by step, memory, and whether a repeat agrees."""
    words = language(units)
    questions = [words.question(i) for i in range(n)]
    before = sum(resident_mb())
    with KnowledgeBase.open(root, create=False) as kb:
        retriever, effort = kb.retriever(), kb.settings.effort
        for question in questions[:3]:
            retriever.retrieve(question, k=10, effort=effort)
        rank, retrieve, cpu, steps, first = [], [], [], [], []
        for question in questions:
            with Stopwatch() as watch:
                ranked = kb.retriever().rank(question, k=10, effort=effort)
            rank.append(watch.wall)
            cpu.append(watch.cpu)
            steps.append(ranked.timings)
            first.append(ranked.units.tolist())
        for question in questions:
            with Stopwatch() as watch:
                kb.retriever().retrieve(question, k=10, effort=effort)
            retrieve.append(watch.wall)
        again = [kb.retriever().rank(question, k=10, effort=effort).units.tolist() for question in questions]
        gc.collect()
        own, mapped = resident_mb()
        index = kb.index()
        return {
            "units": index.n_units,
            "effort": effort,
            "entities": index.n_entities,
            "mentions": int(index.mentions.nnz),
            "largest_hub_share": float(index.entity_unit_df.max() / index.n_units),
            "rank_p50_ms": 1e3 * median(rank),
            "rank_p95_ms": 1e3 * float(np.quantile(rank, 0.95)),
            "rank_cpu_p50_ms": 1e3 * median(cpu),
            "retrieve_p50_ms": 1e3 * median(retrieve),
            "retrieve_p95_ms": 1e3 * float(np.quantile(retrieve, 0.95)),
            "steps_ms": {name: 1e3 * median(s.get(name, 0.0) for s in steps) for name in steps[0]},
            "own_mb": own,
            "mapped_mb": mapped,
            "before_mb": before,
            "same_on_repeat": first == again,
        }


def measure_open(root: Path, units: int) -> dict[str, float]:
    """The start of a new process: index alone, retriever with its encoder, first question. Seconds since the imports."""
    question = language(4_000).question(0)
    with Stopwatch() as opened:
        kb = KnowledgeBase.open(root, create=False)
        kb.index()
    with Stopwatch() as ready:
        retriever = kb.retriever()
    with Stopwatch() as first:
        retriever.retrieve(question, k=10)
    kb.close()
    return {"index_s": opened.wall, "retriever_s": ready.wall, "first_s": first.wall}


def measure_page(root: Path, units: int) -> dict[str, Any]:
    """One page in and out by one long-lived KnowledgeBase, then by the command line; medians of REPEATS."""
    words = language(max(units, 1))
    out: dict[str, list[tuple[float, float]]] = {name: [] for name in ("add", "remove", "cli add", "cli remove")}
    steps: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / f"page-{i}.md" for i in range(2 * REPEATS + 1)]
        for i, file in enumerate(files):
            file.write_text(words.page(10_000_000 + i).markdown(), encoding="utf-8")
        with KnowledgeBase.open(root) as kb:
            kb.add(files[-1])  # models are loaded, the base's spaces checked
            kb.remove(files[-1])
            for file in files[:REPEATS]:
                with Stopwatch() as watch:
                    report = kb.add(file)
                assert report.counts == {"added": 1}, report
                out["add"].append((watch.wall, watch.cpu))
                steps.append(report.timings)
            for file in files[:REPEATS]:
                with Stopwatch() as watch:
                    kb.remove(file)
                out["remove"].append((watch.wall, watch.cpu))
        for command in ("add", "remove"):
            for file in files[REPEATS : 2 * REPEATS]:
                with Stopwatch() as watch:
                    arguments = [sys.executable, "-m", "mmkg", "--kb", str(root), command, str(file)]
                    done = subprocess.run(arguments, capture_output=True, text=True)
                assert done.returncode == 0, done.stderr
                out[f"cli {command}"].append((watch.wall, watch.cpu))
    row: dict[str, Any] = {}
    for name, seconds in out.items():
        row[name] = median(wall for wall, _ in seconds)
        row[f"{name} cpu"] = median(cpu for _, cpu in seconds)
    row["steps"] = {name: median(s.get(name, 0.0) for s in steps) for name in steps[0]}
    return row


MEASURES = {"open": measure_open, "page": measure_page}


def child(measure: str, root: Path, units: int, questions: int) -> Any:
    """Run one measurement in a fresh process."""
    arguments = ["--child", measure, "--base", str(root), "--units", str(units), "--questions", str(questions)]
    done = subprocess.run([sys.executable, __file__, *arguments], stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--units", type=int, nargs="+", default=[10_000], help="sizes of the bases; building 100000 takes a while"
    )
    parser.add_argument("--questions", type=int, default=50)
    parser.add_argument("--cache", type=Path, help="keep the bases here and use them again; default a temporary folder")
    parser.add_argument("--skip", nargs="*", default=[], choices=["queries", "open", "page"])
    parser.add_argument("--json", type=Path, help="also write everything measured to this file")
    parser.add_argument("--child", choices=["queries", *MEASURES], help=argparse.SUPPRESS)
    parser.add_argument("--base", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        units = args.units[0]
        if args.child == "queries":
            print(json.dumps(measure_queries(args.base, units, args.questions)))
        else:
            print(json.dumps(MEASURES[args.child](args.base, units)))
        return
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    cache = args.cache or Path(tempfile.mkdtemp(prefix="bench-query-"))
    try:
        result = run(cache, args.units, args.questions, set(args.skip))
    finally:
        if args.cache is None:
            shutil.rmtree(cache)
    print(report(result))
    if args.json:
        args.json.write_text(json.dumps(result, indent=1) + "\n")


def run(cache: Path, sizes: Sequence[int], questions: int, skip: set[str]) -> dict[str, Any]:
    result: dict[str, Any] = {"machine": machine(), "bases": {}, "pages": {}}
    for units in sorted(sizes):
        root = cache / f"units-{units}"
        record = cache / f"units-{units}.json"
        if not record.exists():  # it is written last: without it the base is a piece of an interrupted run
            shutil.rmtree(root, ignore_errors=True)
            record.write_text(json.dumps(build(root, units)))
        row = json.loads(record.read_text())
        row["disk_mb"] = sum(f.stat().st_size for f in root.rglob("*") if f.is_file()) / 1e6
        if "queries" not in skip:
            row |= child("queries", root, units, questions)
        if "open" not in skip:
            opened = [child("open", root, units, questions) for _ in range(REPEATS)]
            row |= {name: median(o[name] for o in opened) for name in opened[0]}
        result["bases"][units] = row
    if "page" not in skip:
        for units in (0, *sorted(sizes)):
            root = cache / f"units-{units}"
            if units == 0:
                shutil.rmtree(root, ignore_errors=True)
            result["pages"][units] = child("page", root, units, questions)
    result["load_after"] = " ".join(f"{x:.1f}" for x in os.getloadavg())
    return result


def report(result: dict[str, Any]) -> str:
    """The Markdown that docs/performance.md shows."""
    m = result["machine"]
    parts = [
        f"Commit {m['commit']}; {m['processor']}, {m['cores']} cores, Python {m['python']}; load average "
        f"{m['load']} before, {result['load_after']} after."
    ]
    bases = result["bases"]
    names = {
        "entities": "entities",
        "mentions": "mentions",
        "disk_mb": "on disk, MB",
        "units_per_s": "build, units/s (facts to generation)",
        "snapshot_s": "graph snapshot after it, s",
        "effort": "effort",
        "rank_p50_ms": "rank p50, ms",
        "rank_p95_ms": "rank p95, ms",
        "rank_cpu_p50_ms": "rank p50, processor ms",
        "retrieve_p50_ms": "retrieve p50, ms",
        "retrieve_p95_ms": "retrieve p95, ms",
        "own_mb": "memory, own, MB",
        "mapped_mb": "memory, mapped files, MB",
        "index_s": "cold open: index, s",
        "retriever_s": "cold open: models and retriever, s",
        "first_s": "cold open: first question, s",
        "same_on_repeat": "same ids on repeat",
    }
    rows = [[title, *(b.get(key, "") for b in bases.values())] for key, title in names.items()]
    steps = {name: None for b in bases.values() for name in b.get("steps_ms", {})}
    rows += [[f"step {name}, ms", *(b.get("steps_ms", {}).get(name, "") for b in bases.values())] for name in steps]
    parts.append(table(["", *(f"{units} units" for units in bases)], rows))
    pages = result["pages"]
    if pages:
        names = {name: f"{name}, s" for name in ("add", "remove", "cli add", "cli remove")}
        names |= {f"{name} cpu": f"{name}, processor s" for name in list(names)}
        rows = [[title, *(p[key] for p in pages.values())] for key, title in names.items()]
        steps = {name: None for p in pages.values() for name in p["steps"]}
        rows += [[f"of add: {name}, s", *(p["steps"].get(name, 0.0) for p in pages.values())] for name in steps]
        parts.append(table(["one page of 5 units", *(f"{units} units" for units in pages)], rows))
    return "\n\n".join(parts)


if __name__ == "__main__":
    main()
