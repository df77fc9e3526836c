"""What the benchmarks share: a synthetic language with pages written in it, measuring, and printing of tables.

The language has words by Zipf's law (the most frequent are English function words, so that taggers and sentence rules see
what they expect) and names of people and places, also by a power law, so that a few of them are hubs. Seeds are fixed:
page number i is the same text on every machine.
"""

from __future__ import annotations

import os
import platform
import resource
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

_FUNCTION_WORDS = (
    "the of and to in a was that for on as with by from at is were which an this its had been after between into their "
    "when under over where also first during most other some only while through about against before later early near "
    "both each than until such many"
)
FUNCTION_WORDS = _FUNCTION_WORDS.split()
_ONSETS = "b br c ch d dr f fl g gr h k l m n p pl qu r s sh st t th tr v w".split()  # noqa: SIM905
_VOWELS = "a e i o u ai ea ou".split()  # noqa: SIM905
_ENDS = ["", "n", "r", "l", "s", "t", "m", "nd", "st", "ck"]
SENTENCES = 4
"""To a passage."""
WORDS = 25
"""To a sentence, names included."""


@dataclass(frozen=True, slots=True)
class Page:
    """A short article: title, and passages of about 100 words, each under a heading of its own."""

    title: str
    passages: tuple[tuple[str, str], ...]

    def markdown(self) -> str:
        parts = [f"# {self.title}"]
        for heading, text in self.passages:
            parts += [f"## {heading}", text]
        return "\n\n".join(parts) + "\n"


class Language:
    """Writes pages and questions. names: how many people and places there are; passages: to a page."""

    def __init__(self, *, names: int, passages: int = 5, vocabulary: int = 20_000, seed: int = 7) -> None:
        rng = np.random.default_rng(seed)
        self.passages = passages
        made: dict[str, None] = dict.fromkeys(FUNCTION_WORDS)
        while len(made) < vocabulary:
            made[_word(rng, 1 + (len(made) > 600) + (len(made) > 8000))] = None  # frequent words are short
        self._words = list(made)
        self._names = _names(rng, names)
        self._seed = seed
        self._word_cdf = _cdf(vocabulary, 1.0)
        self._name_cdf = _cdf(names, 0.8)

    def page(self, number: int) -> Page:
        """Page `number`. Its title is a name; rarer names title more pages than frequent ones mention them."""
        rng = np.random.default_rng((self._seed, number))
        title = self._names[number % len(self._names)]
        passages = []
        for i in range(self.passages):
            other = self._names[int(self._draw(rng, self._name_cdf, 1)[0])]
            heading = f"{self._content(rng).capitalize()} of {other}" if i else f"Early {self._content(rng)}"
            passages.append((heading, " ".join(self._sentence(rng, title) for _ in range(SENTENCES))))
        return Page(title, tuple(passages))

    def question(self, number: int) -> str:
        """Question `number`: about two names and some words."""
        rng = np.random.default_rng((self._seed, 1, number))
        a, b = (self._names[int(i)] for i in self._draw(rng, self._name_cdf, 2))
        start = ("Where did", "When did", "Why did")[number % 3]
        return f"{start} {a} leave the {self._content(rng)} of {b} for the {self._content(rng)}?"

    def sentences(self, n: int) -> list[str]:
        """n sentences of the language."""
        rng = np.random.default_rng((self._seed, 2))
        return [self._sentence(rng, self._names[i % len(self._names)]) for i in range(n)]

    def _sentence(self, rng: np.random.Generator, title: str) -> str:
        words = [self._words[i] for i in self._draw(rng, self._word_cdf, WORDS - 5).tolist()]
        named = [self._names[i] for i in self._draw(rng, self._name_cdf, 3).tolist()]
        if rng.random() < 0.3:
            named[0] = title
        if rng.random() < 0.3:
            words[-1] = str(1500 + int(rng.integers(520)))
        for name, at in zip(named, sorted(rng.integers(1, len(words) - 1, size=3).tolist(), reverse=True), strict=True):
            words.insert(at, name)
        words[0] = words[0].capitalize()
        return " ".join(words) + "."

    def _content(self, rng: np.random.Generator) -> str:
        return self._words[len(FUNCTION_WORDS) + int(rng.integers(500))]

    @staticmethod
    def _draw(rng: np.random.Generator, cdf: np.ndarray, n: int) -> np.ndarray:
        return np.searchsorted(cdf, rng.random(n))


def _word(rng: np.random.Generator, syllables: int) -> str:
    picks = rng.random((syllables, 2))
    stem = "".join(_ONSETS[int(a * len(_ONSETS))] + _VOWELS[int(b * len(_VOWELS))] for a, b in picks)
    return stem + _ENDS[int(rng.integers(len(_ENDS)))]


def _names(rng: np.random.Generator, n: int) -> list[str]:
    """Nine in ten are two words, as people have them, the others one, as places have them."""
    first = sorted({_word(rng, 2).capitalize() for _ in range(400)})
    out: dict[str, None] = {}
    while len(out) < n:
        last = _word(rng, int(rng.integers(2, 4))).capitalize()
        out[last if rng.random() < 0.1 else f"{first[int(rng.integers(len(first)))]} {last}"] = None
    return list(out)


def _cdf(n: int, exponent: float) -> np.ndarray:
    weights = np.arange(1, n + 1, dtype=np.float64) ** -exponent
    cdf = np.cumsum(weights)
    return np.asarray(cdf / cdf[-1])


# ---- measuring ----


class Stopwatch:
    """Wall and processor seconds of its body, the processor time of ended child processes included."""

    wall = cpu = 0.0

    def __enter__(self) -> Stopwatch:
        self._wall, self._cpu = time.perf_counter(), cpu_seconds()
        return self

    def __exit__(self, *_: object) -> None:
        self.wall, self.cpu = time.perf_counter() - self._wall, cpu_seconds() - self._cpu


def cpu_seconds() -> float:
    """Processor seconds of this process and of its ended children."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def resident_mb() -> tuple[float, float]:
    """(own, mapped from files) resident memory of this process in MB; (peak, 0) where /proc is not there."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 0.0
    kb = {line.split(":")[0]: int(line.split()[1]) for line in lines if line.startswith(("RssAnon", "RssFile"))}
    return kb["RssAnon"] / 1024, kb["RssFile"] / 1024


def machine() -> dict[str, str]:
    """What a table must name: commit, processor, cores, load now, interpreter."""
    root = Path(__file__).resolve().parent.parent
    git = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=root, capture_output=True, text=True)
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        named = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        model = named[0].split(":", 1)[1].strip() if named else model
    return {
        "commit": git.stdout.strip() or "unknown",
        "processor": model,
        "cores": str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()),
        "load": " ".join(f"{x:.1f}" for x in os.getloadavg()),
        "python": platform.python_version(),
    }


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table; floats with three significant digits."""
    lines = ["| " + " | ".join(head) + " |", "| " + " | ".join("---" for _ in head) + " |"]
    lines += ["| " + " | ".join(_cell(value) for value in row) + " |" for row in rows]
    return "\n".join(lines)


def _cell(value: object) -> str:
    return (
        f"{value:.3g}"
        if isinstance(value, float) and abs(value) < 1000
        else f"{value:.0f}"
        if isinstance(value, float)
        else str(value)
    )
