"""Many small files, one long PDF, one large text: files/s, pages/s, and how much the parent grows.

    python scripts/bench_files.py --files 10000 --pages 2000 --text-mb 200

Words are found by capitals and vectors by hashing (mmkg.testing), so that what is measured is parsing, committing and memory, not
models. A line of JSON for each part; `parent_mib` is the peak of the parent's own memory above its size before the part,
`mapped_mib` that of the files that it has mapped and the system may drop, `children_mib` the largest peak of a parser or engine.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import tempfile
import threading
import time
from pathlib import Path

from mmkg.config import Settings
from mmkg.extract.names import NameExtractor
from mmkg.ingest.pool import ParserPool
from mmkg.kb import KnowledgeBase
from mmkg.testing.encoders import HashingEncoder
from mmkg.testing.pdf_files import pages_pdf


def resident() -> tuple[int, int]:
    """(own, mapped) bytes of this process that are in memory."""
    text = Path("/proc/self/status").read_text()
    own, mapped = (int(re.search(rf"{name}:\s+(\d+)", text)[1]) * 1024 for name in ("RssAnon", "RssFile"))
    return own, mapped


def children() -> int:
    """The most memory that a process started by this one has had so far, in bytes; of those that live."""
    most = 0
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, IndexError, TypeError, ValueError):
                status = (entry / "status").read_text()
                if re.search(r"PPid:\s+(\d+)", status)[1] == str(os.getpid()):
                    most = max(most, int(re.search(r"VmHWM:\s+(\d+)", status)[1]) * 1024)
    return most


class Peak:
    """The parent's largest size meanwhile, in bytes above the size at the start, and its children's."""

    def __enter__(self) -> Peak:
        self.base, self.own, self.mapped, self.children, self._done = resident(), 0, 0, 0, threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        self.started = time.monotonic()
        return self

    def _watch(self) -> None:
        n = 0
        while not self._done.wait(0.02):
            own, mapped = resident()
            self.own = max(self.own, own - self.base[0])
            self.mapped = max(self.mapped, mapped - self.base[1])
            if n % 50 == 0:
                self.children = max(self.children, children())
            n += 1

    def __exit__(self, *_: object) -> None:
        self.seconds = time.monotonic() - self.started
        self._done.set()
        self._thread.join()


def long_pdf(n: int) -> bytes:
    return pages_pdf(
        b"".join(
            b"BT /F1 11 Tf 72 %d Td (Page %d line %d: the ship Grey Petrel left Port Ferren in 18%02d.) Tj ET\n"
            % (740 - 16 * i, k, i, k % 100)
            for i in range(40)
        )
        for k in range(n)
    )


def measure(root: Path, what: str, folder: Path, n: int, unit: str) -> None:
    kb = KnowledgeBase(
        root / f"kb-{what}",
        settings=Settings(image_encoder="none"),
        text_encoder=HashingEncoder(),
        extractor=NameExtractor(),
    )
    (root / "first.txt").write_text("A first file loads what is loaded once.\n")
    kb.add(root / "first.txt")
    with Peak() as peak:
        report = kb.add(folder)
    kb.close()
    out = {
        "part": what,
        "n": n,
        "counts": report.counts,
        f"{unit}_per_s": round(n / peak.seconds, 1),
        "seconds": round(peak.seconds, 1),
    }
    print(
        json.dumps(
            out
            | {
                "parent_mib": round(peak.own / 2**20),
                "mapped_mib": round(peak.mapped / 2**20),
                "children_mib": round(peak.children / 2**20),
            }
            | {"timings": {k: round(v, 1) for k, v in report.timings.items()}}
        ),
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--pages", type=int, default=2_000)
    parser.add_argument("--text-mb", type=float, default=200)
    sizes = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        if sizes.files:
            folder = root / "small"
            folder.mkdir()
            for k in range(sizes.files):
                (folder / f"{k}.txt").write_text(
                    f"Keeper Anna Berg{k % 500} lit the lamp of Cape Example{k} in 18{k % 100:02}.\n"
                )
            with ParserPool(Settings()) as pool:
                started = time.monotonic()
                n = sum(1 for _ in pool.map(sorted(folder.iterdir())))
            print(
                json.dumps({"part": "parse only", "files_per_s": round(n / (time.monotonic() - started), 1)}),
                flush=True,
            )
            measure(root, "files", folder, sizes.files, "files")
        if sizes.pages:
            folder = root / "pdf"
            folder.mkdir()
            (folder / "long.pdf").write_bytes(long_pdf(sizes.pages))
            measure(root, "pages", folder, sizes.pages, "pages")
        if sizes.text_mb:
            folder = root / "text"
            folder.mkdir()
            part = "".join(
                f"The ship Grey Petrel{i} left Port Ferren in 18{i % 100:02} with Anna Berg{i % 300}.\n"
                + "\n" * (i % 5 == 0)
                for i in range(15_000)
            )
            with (folder / "large.txt").open("w") as file:
                while file.tell() < sizes.text_mb * 2**20:
                    file.write(part)
            measure(root, "text", folder, round(sizes.text_mb), "mb")


if __name__ == "__main__":
    main()
