"""Speed of `add` by step, and its ratio to the bare models on the same text.

    python scripts/bench_ingest.py --units 300 --repeats 3

The files are synthetic Markdown (scripts/bench_kit.py). "Bare models" is one call of the encoder with every text that
`add` gives it, and one of the name extractor with every passage, in the same process, before and after each `add`: so the
ratio holds on a machine that others use, too. Processor time counts all threads and the parser children.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from bench_kit import Language, Stopwatch, machine, table

from mmkg.config import Settings
from mmkg.encode.registry import load_text_encoder
from mmkg.extract.names import load_extractor
from mmkg.ingest.pool import ParserPool
from mmkg.kb import KnowledgeBase
from mmkg.texts import encoder_texts

PASSAGES = 5
STEPS = ("hash", "parse", "names", "encode", "stage", "publish", "graph")


def write_files(folder: Path, units: int) -> list[Path]:
    """Markdown files of PASSAGES passages each, about 100 words a passage."""
    words = Language(names=max(1_000, units), passages=PASSAGES)
    files = []
    for i in range(max(1, units // PASSAGES)):
        files.append(folder / f"page-{i:05}.md")
        files[-1].write_text(words.page(i).markdown(), encoding="utf-8")
    return files


def model_input(files: list[Path], settings: Settings) -> tuple[list[str], list[str]]:
    """What the models see of these files: texts to encode, passages to find names in."""
    texts, passages = [], []
    with ParserPool(settings) as pool:
        for outcome in sorted(pool.map(iter(files)), key=lambda o: str(o.path)):
            assert outcome.parsed is not None, f"{outcome.path}: {outcome.status} {outcome.reason}"
            facts = outcome.parsed.facts
            for unit in facts.units:
                texts += encoder_texts(facts, unit)
                passages += [facts.text[a:b] for a, b in unit.spans()]
    return texts, passages


def measure(units: int, repeats: int) -> dict[str, Any]:
    settings = Settings(image_encoder="none")
    encoder, extractor = load_text_encoder(settings), load_extractor()
    started = machine()
    folder = Path(tempfile.mkdtemp(prefix="bench-ingest-"))

    def bare() -> tuple[Stopwatch, Stopwatch]:
        with Stopwatch() as encoding:
            encoder.encode_document(texts)
        with Stopwatch() as naming:
            extractor.extract(passages)
        return encoding, naming

    def add(number: int, paths: list[Path]) -> tuple[Stopwatch, dict[str, float]]:
        root = folder / f"base-{number}"
        with (
            Stopwatch() as watch,
            KnowledgeBase(root, settings=settings, text_encoder=encoder, extractor=extractor) as kb,
        ):
            done = kb.add(*paths)
        assert done.counts == {"added": len(paths)}, done.counts
        shutil.rmtree(root)
        return watch, done.timings

    try:
        files = write_files(folder, units)
        texts, passages = model_input(files, settings)
        encoder.encode_document(texts[:32])
        extractor.extract(passages[:32])
        add(0, files[:1])  # everything is loaded and warm
        alone = [bare()]
        added = []
        for i in range(1, repeats + 1):
            added.append(add(i, files))
            alone.append(bare())
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    ratios: dict[str, list[float]] = {"wall": [], "cpu": []}
    for i, (watch, _) in enumerate(added):
        for clock, values in ratios.items():
            beside = sum(getattr(w, clock) for pair in alone[i : i + 2] for w in pair) / 2
            values.append(beside / getattr(watch, clock))
    n = len(passages)
    wall, cpu = median(w.wall for w, _ in added), median(w.cpu for w, _ in added)
    return {
        "machine": started,
        "load_after": " ".join(f"{x:.1f}" for x in os.getloadavg()),
        "encoder": f"{encoder.space.name} ({encoder.runtime})",
        "extractor": extractor.name,
        "units": n,
        "files": len(files),
        "texts": len(texts),
        "repeats": repeats,
        "add_s": wall,
        "add_cpu_s": cpu,
        "units_per_s": n / wall,
        "bare_encode_s": median(e.wall for e, _ in alone),
        "bare_encode_cpu_s": median(e.cpu for e, _ in alone),
        "bare_names_s": median(x.wall for _, x in alone),
        "bare_names_cpu_s": median(x.cpu for _, x in alone),
        "steps_s": {name: median(t.get(name, 0.0) for _, t in added) for name in STEPS},
        "ratio_wall": median(ratios["wall"]),
        "ratio_cpu": median(ratios["cpu"]),
    }


def report(r: dict[str, Any]) -> str:
    """The Markdown that docs/performance.md shows."""
    m = r["machine"]
    rows: list[list[Any]] = [
        [f"step {name}", seconds, 1e3 * seconds / r["units"], f"{seconds / r['add_s']:.0%}"]
        for name, seconds in r["steps_s"].items()
    ]
    other = r["add_s"] - sum(r["steps_s"].values())
    rows.append(["everything else", other, 1e3 * other / r["units"], f"{other / r['add_s']:.0%}"])
    for title, key in (
        ("add, wall", "add_s"),
        ("add, processor", "add_cpu_s"),
        ("bare encoder, wall", "bare_encode_s"),
        ("bare encoder, processor", "bare_encode_cpu_s"),
        ("bare names, wall", "bare_names_s"),
        ("bare names, processor", "bare_names_cpu_s"),
    ):
        rows.append([title, r[key], 1e3 * r[key] / r["units"], f"{r[key] / r['add_s']:.0%}"])
    return "\n\n".join(
        [
            f"Commit {m['commit']}; {m['processor']}, {m['cores']} cores, Python {m['python']}; load average {m['load']} "
            f"before, {r['load_after']} after. {r['encoder']}; names by {r['extractor']}.",
            f"{r['files']} files, {r['units']} units, {r['texts']} texts to encode; medians of {r['repeats']}: "
            f"**{r['units_per_s']:.1f} units/s**, **{r['ratio_wall']:.2f}** of the bare models' rate by wall time, "
            f"**{r['ratio_cpu']:.2f}** by processor time.",
            table(["", "s", "ms a unit", "of add"], rows),
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--units", type=int, default=300)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path, help="also write everything measured to this file")
    args = parser.parse_args()
    result = measure(args.units, args.repeats)
    print(report(result))
    if args.json:
        args.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
