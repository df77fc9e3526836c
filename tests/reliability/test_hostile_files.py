"""T7: files from strangers. Whatever they hold, the parent lives, each gets a listed status and reason, good ones come in.

The whole way of `add` is walked, with an encoder and an extractor that need no weights. Full sizes under `slow`.
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
import time
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest

from mmkg.config import Limits
from mmkg.ingest import pool as parser_pool
from mmkg.reasons import code_of, fits
from mmkg.store.folder.doctor import is_problem
from mmkg.testing import office_files
from mmkg.testing.hostile_files import BOMBS, ODD_NAMES, lies, odd_contents, truncations

DEMO = Path(__file__).resolve().parents[2] / "data" / "demo" / "files"
SMALL_BOMBS = (
    "zeros.zip",
    "laughs.xlsx",
    "paragraphs.docx",
    "lies.docx",
    "forms.pdf",
    "image.pdf",
    "nearly.png",
    "frames.gif",
    "laughs.xml",
)
SECONDS = 10.0
MEMORY = 2**30

OURS = {"parser", "no-parser", "crash", "dependency", "stopped", "model"}
"""Codes that would say that the fault is ours: none may come of a file, bombs aside."""


@contextlib.contextmanager
def watched_children() -> Iterator[dict[int, int]]:
    """Most memory in bytes of each parser process that lives meanwhile, by its id."""
    peaks: dict[int, int] = {}
    done = threading.Event()

    def look() -> None:
        me = str(os.getpid())
        while not done.wait(0.02):
            for entry in Path("/proc").iterdir():
                if not entry.name.isdigit():
                    continue
                with contextlib.suppress(OSError, IndexError, TypeError):
                    status = (entry / "status").read_text()
                    if (
                        re.search(r"PPid:\s+(\d+)", status)[1] != me
                        or b"mmkg.ingest.worker" not in (entry / "cmdline").read_bytes()
                    ):
                        continue
                    if peak := re.search(r"VmHWM:\s+(\d+) kB", status):
                        peaks[int(entry.name)] = max(peaks.get(int(entry.name), 0), int(peak[1]) * 1024)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield peaks
    finally:
        done.set()
        thread.join()


def tree(folder: Path, leave_out: Path) -> set[str]:
    return {str(p) for p in folder.rglob("*") if not p.is_relative_to(leave_out)}


class Batch:
    """A folder of hostile files with ten good ones among them, and what `add` must do with it."""

    def __init__(self, tmp_path: Path, make_kb) -> None:
        self.folder, self.tmp, self.make_kb = tmp_path / "in", tmp_path, make_kb
        self.folder.mkdir()
        self.good = []
        for n in range(10):
            path = self.folder / f"{'amz'[n % 3]}-good-{n}.txt"
            path.write_text(
                f"Lighthouse Number{n} stands at Cape Example{n}. Keeper Anna Berg{n} lit it in 19{10 + n}.\n"
            )
            self.good.append(path.as_uri())

    def put(self, name: str | bytes, data: bytes) -> None:
        with contextlib.suppress(OSError):  # a file system may have no such name
            Path(os.fsdecode(os.fsencode(self.folder) + b"/" + os.fsencode(name))).write_bytes(data)

    def add(self, *, ocr: bool = True, **limits):
        """Add all; check what holds for every batch; returns {file name: (status, reason)} of the hostile ones."""
        elsewhere = self.tmp / "elsewhere"
        elsewhere.mkdir()
        kb = self.make_kb(self.tmp / "kb", workers=2, ocr=ocr, limits=Limits(**limits))
        before = tree(self.tmp, kb.root)
        n_files = len(os.listdir(self.folder))
        report = kb.add(self.folder, ignore=())
        assert tree(self.tmp, kb.root) == before, "nothing is written outside the base"
        for d in report.documents:
            assert fits(d.status, d.reason), d
        # What lies in an archive has statuses of its own (tests/kb/test_archives.py).
        whole = [d for d in report.documents if "!/" not in d.uri]
        by_uri = {d.uri: d for d in whole}
        n_hidden = sum(name.startswith((".", "~$")) or name.endswith("~") for name in os.listdir(self.folder))
        assert len(whole) == len(by_uri) == n_files - n_hidden
        for uri in self.good:
            assert by_uri[uri].status == "added" and not by_uri[uri].reason, by_uri[uri]
        hit = kb.search("Who lit the lighthouse at Cape Example7?", k=3, mode="lexical")[
            0
        ]  # its words alone: these vectors mean nothing
        assert "Number7" in hit.text
        assert [p for p in kb.doctor() if is_problem(p)] == []
        for document in kb.documents():
            text = kb.document_text(document["id"]) + document["name"]
            odd = {c for c in text if unicodedata.category(c) in ("Cc", "Cs") and c not in "\n\t"}
            assert not odd and "\ufffd" not in text.replace("a\ufffdb", ""), document
        assert {s["uri"]: s["reason_code"] for s in kb.sources()} == {d.uri: d.reason_code for d in report.documents}
        kb.close()
        return {uri: (d.status, d.reason) for uri, d in by_uri.items() if uri not in self.good}


@pytest.fixture
def batch(tmp_path, make_kb) -> Batch:
    return Batch(tmp_path, make_kb)


def samples() -> dict[str, bytes]:
    """One file of each format that is read: the demo's, by extension."""
    found: dict[str, bytes] = {}
    for path in sorted(DEMO.iterdir(), key=lambda p: p.stat().st_size):
        found.setdefault(path.suffix[1:], path.read_bytes())
    found["pptx"] = office_files.pptx(
        [office_files.shape("Korvane Light", placeholder="title") + office_files.shape("lit by A. Berg")]
    )
    found["xlsx"] = office_files.xlsx(
        {"Keepers": [(1, [office_files.cell("A1", "A. Berg kept Korvane Light", kind="inlineStr")])]}
    )
    found["zip"] = office_files.container({"keepers.txt": "A. Berg kept Korvane Light.\n"})
    found["json"] = b'[{"name": "Korvane Light", "built": 1871, "keepers": ["A. Berg", "M. Vey"]}, {"name": "Tamar"}]'
    return {f"sample.{extension}": data for extension, data in found.items()}


@pytest.mark.parametrize(
    "names",
    [SMALL_BOMBS, pytest.param(tuple(n for n, _ in BOMBS), marks=[pytest.mark.slow, pytest.mark.timeout(1200)])],
    ids=["small", "full"],
)
def test_bombs(batch: Batch, names: tuple[str, ...], record_property, monkeypatch) -> None:
    """Each ends within 10 s of work and 1 GiB, at no cost to its neighbours."""
    took: dict[str, float] = {}
    parse = parser_pool.ParserPool._parse

    def timed(self, path, *rest):
        started = time.thread_time(), time.monotonic()
        outcome = parse(self, path, *rest)
        took[path.name] = time.monotonic() - started[1]
        return outcome

    monkeypatch.setattr(parser_pool.ParserPool, "_parse", timed)
    for name, make in BOMBS:
        if name in names:
            batch.put(name, make())
    with watched_children() as peaks:
        found = batch.add(seconds=SECONDS, memory_bytes=MEMORY)
    assert len(found) == len(names)
    assert peaks and max(peaks.values()) < MEMORY + 2**27, "a parser's own start is no part of its limit"
    # A busy machine gives a parser up to four times its seconds; a second more is the pool's.
    assert max(took.values()) < 4 * SECONDS + 5
    codes = {uri.rsplit("/", 1)[-1]: code_of(reason) for uri, (_, reason) in found.items()}
    assert not {n: c for n, c in codes.items() if c in OURS}
    by_clock = {n for n, c in codes.items() if c == "seconds"}
    assert by_clock <= BY_THE_CLOCK, "a bomb that only the clock ended"
    record_property("cases", len(names))
    record_property("peak_mib", max(peaks.values()) >> 20)


BY_THE_CLOCK = {"forms.pdf"}
"""Bombs of time: what they ask for is well formed, and more than anyone has."""


@pytest.mark.parametrize("n", [20, pytest.param(100, marks=pytest.mark.slow)], ids=["small", "full"])
def test_cut_files(batch: Batch, n: int, record_property) -> None:
    for name, data in truncations(samples(), n):
        batch.put(name, data)
    found = batch.add(seconds=SECONDS * 3, ocr=n > 20)
    assert len(found) == n
    assert not {u: r for u, (_, r) in found.items() if code_of(r) in OURS}
    assert sum(status in ("rejected", "empty") for status, _ in found.values()) > n // 4
    record_property("cases", n)


@pytest.mark.parametrize("every", [9, pytest.param(1, marks=pytest.mark.slow)], ids=["small", "full"])
def test_lying_extensions(batch: Batch, every: int, record_property) -> None:
    made = list(lies(samples()))[::every]
    for name, data in made:
        batch.put(name, data)
    found = batch.add(seconds=SECONDS * 3, ocr=every == 1)
    assert len(found) == len(made)
    text = {"md", "txt", "html", "csv", "json"}
    images = {"png", "jpg", "gif", "webp"}
    recordings = {"mp3", "mp4"}
    for uri, (status, reason) in found.items():
        own, told = re.fullmatch(r".*/lie-(\w+)-as\.(\w+)", uri).groups()  # type: ignore[union-attr]
        same = {own, told} <= text or {own, told} <= images or {own, told} <= recordings
        assert (code_of(reason) == "name") == (not same), (uri, status, reason)
    record_property("cases", len(made))


@pytest.mark.parametrize("first", ["a.webp", "z.webp"], ids=["liar-first", "liar-last"])
def test_a_lying_name_costs_only_its_own_file(tmp_path: Path, make_kb, first: str) -> None:
    """The same bytes under an honest name come in, whoever is looked at first, in one run or the next."""
    text = b"The beacon of Point Nemo was painted by Rosa Vey.\n"
    folder = tmp_path / "in"
    folder.mkdir()
    for name in (first, "m.txt", "n.md"):
        (folder / name).write_bytes(text)
    kb = make_kb()
    status = {d.uri.rsplit("/", 1)[-1]: (d.status, d.reason_code) for d in kb.add(folder).documents}
    assert status == {first: ("rejected", "name"), "m.txt": ("added", ""), "n.md": ("added", "")}
    assert [len(d["uris"]) for d in kb.documents()] == [2]
    (folder / "later.png").write_bytes(text)
    again = {d.uri.rsplit("/", 1)[-1]: (d.status, d.reason_code) for d in kb.add(folder).documents}
    assert again["later.png"] == ("rejected", "name") and again["m.txt"] == ("unchanged", "")
    assert [len(d["uris"]) for d in kb.documents()] == [2]


@pytest.mark.parametrize("n", [60, pytest.param(512, marks=pytest.mark.slow)], ids=["small", "full"])
def test_odd_contents(batch: Batch, n: int, record_property) -> None:
    made = list(odd_contents(1200))
    step = len(made) // n
    for name, data in made[::step][:n]:
        batch.put(name, data)
    found = batch.add(seconds=SECONDS * 3)
    assert len(found) == n
    assert not {u: r for u, (_, r) in found.items() if code_of(r) in OURS | {"seconds", "memory"}}
    assert not list(Path("/tmp").glob("mmkg-canary*"))
    record_property("cases", n)


def test_odd_names(batch: Batch, record_property) -> None:
    for k, name in enumerate(ODD_NAMES):
        batch.put(name, f"The beacon of Point Nemo{k} was painted by Rosa Vey{k}.\n".encode())
    found = batch.add()
    assert len(found) >= 50
    assert {status for status, _ in found.values()} <= {"added", "rejected"}
    assert sum(status == "added" for status, _ in found.values()) >= 50
    record_property("cases", len(found))
