"""One long film with speech, made here, brought in whole: seconds of each step, and the most memory of parent and children.

    python scripts/bench_long.py --hours 2              with the recogniser of speech that is installed
    python scripts/bench_long.py --hours 2 --rest 60    a minute of silence after each take: sparse speech
    python scripts/bench_long.py --hours 2 --deaf       without

The speech is that of the demo's recordings, said again and again with pauses of another length each time; the pictures are slides
that change every half minute. A line of JSON at the end.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image, ImageDraw

from mmkg.config import Settings
from mmkg.kb import KnowledgeBase
from mmkg.types import Progress

RATE = 16_000
FPS = 2
DEMO = Path(__file__).resolve().parents[1] / "data" / "demo" / "files"


def speech(seconds: float, rest: int) -> Iterator[np.ndarray]:
    """(n,) int16 pieces of the demo's spoken recordings, with pauses of `rest` seconds and a few more, for so many seconds."""
    takes = []
    for path in sorted(p for p in DEMO.iterdir() if p.suffix in (".mp3", ".mp4")):
        with av.open(str(path)) as source:
            resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE)
            pieces = [f.to_ndarray().reshape(-1) for x in source.decode(audio=0) for f in resampler.resample(x)]
            takes.append(np.concatenate(pieces))
    left, n = round(seconds * RATE), 0
    while left > 0:
        for piece in (takes[n % len(takes)], np.zeros(RATE * (2 + n % 5 + rest), dtype=np.int16)):
            yield piece[:left]
            left -= len(piece[:left])
        n += 1


def slide(number: int) -> Image.Image:
    """A slide of the talk."""
    picture = Image.new("RGB", (480, 270), ((number * 53) % 200, (number * 91) % 200, (number * 29) % 200))
    draw = ImageDraw.Draw(picture)
    draw.rectangle((20 + number * 7 % 300, 150, 140 + number * 7 % 300, 240), fill="white")
    draw.text((30, 40), f"Lecture slide {number}", fill="white", font_size=36)
    return picture


def film(path: Path, seconds: float, rest: int) -> Path:
    """Write the film, a piece at a time."""
    with av.open(str(path), "w") as out:
        video = out.add_stream("libx264", rate=FPS, options={"preset": "ultrafast"})
        video.width, video.height, video.pix_fmt = 480, 270, "yuv420p"
        audio = out.add_stream("aac", rate=RATE, layout="mono")
        at = frames = 0
        for piece in speech(seconds, rest):
            for a in range(0, len(piece), RATE):
                part = np.ascontiguousarray(piece[None, a : a + RATE])
                sound = av.AudioFrame.from_ndarray(part, format="s16", layout="mono")
                sound.sample_rate, sound.pts, sound.time_base = RATE, at, Fraction(1, RATE)
                out.mux(audio.encode(sound))
                at += part.shape[1]
                while frames / FPS <= at / RATE:
                    frame = av.VideoFrame.from_image(slide(frames // (30 * FPS)))
                    frame.pts, frame.time_base = frames, Fraction(1, FPS)
                    out.mux(video.encode(frame))
                    frames += 1
        out.mux(video.encode(None))
        out.mux(audio.encode(None))
    return path


class Peaks:
    """Most resident bytes of this process and of each kind of child, and the processor time of children, while it is open."""

    def __enter__(self) -> Peaks:
        self.most: dict[str, int] = {}
        self.work: dict[int, float] = {}
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def _watch(self) -> None:
        me = os.getpid()
        while not self._done.wait(0.25):
            for entry in Path("/proc").iterdir():
                if not entry.name.isdigit():
                    continue
                try:
                    status = (entry / "status").read_text()
                    if int(entry.name) != me and f"PPid:\t{me}\n" not in status:
                        continue
                    command = (entry / "cmdline").read_bytes().decode(errors="replace")
                    used = (entry / "stat").read_text().rpartition(")")[2].split()
                except OSError:
                    continue
                name = "parent" if int(entry.name) == me else (re.findall(r"mmkg\.[\w.]+", command) or ["other"])[-1]
                # What is not its own are pages of files, which the system may drop.
                for kind, field in (("", "VmRSS"), (", own", "RssAnon")):
                    size = int((re.search(rf"{field}:\s+(\d+)", status) or ["", "0"])[1]) * 1024
                    self.most[name + kind] = max(self.most.get(name + kind, 0), size)
                self.work[int(entry.name)] = (int(used[11]) + int(used[12])) / 100

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=float, default=2.0)
    parser.add_argument("--rest", type=int, default=0)
    parser.add_argument("--deaf", action="store_true")
    arguments = parser.parse_args()
    seconds = 3600 * arguments.hours
    with tempfile.TemporaryDirectory() as folder:
        path = film(Path(folder) / "lecture.mp4", seconds, arguments.rest)
        last = [time.monotonic(), ""]

        def tell(p: Progress) -> None:
            if time.monotonic() - float(last[0]) > 20:
                last[0] = time.monotonic()
                print(f"{p.stage}: {p.done} of {p.total}", file=sys.stderr, flush=True)

        with KnowledgeBase(
            Path(folder) / "kb", settings=Settings.load(workers=1, speech="none" if arguments.deaf else "default")
        ) as kb:
            _ = kb.text_encoder, kb.extractor  # their start is not the film's
            with Peaks() as peaks:
                began = time.monotonic()
                report = kb.add(path, progress=tell)
                took = time.monotonic() - began
            stats = kb.stats()
            again = time.monotonic()
            kb.add(path)
            print(
                json.dumps(
                    {
                        "media_seconds": seconds,
                        "rest_s": arguments.rest,
                        "file_mib": path.stat().st_size >> 20,
                        "status": report.counts,
                        "reasons": [d.reason for d in report.documents],
                        "clock_s": round(took, 1),
                        "timings_s": {k: round(v, 1) for k, v in report.timings.items()},
                        "child_work_s": round(sum(v for k, v in peaks.work.items() if k != os.getpid()), 1),
                        "peak_mib": {k: v >> 20 for k, v in sorted(peaks.most.items())},
                        "clips": stats.get("clips"),
                        "images": stats.get("images"),
                        "again_s": round(time.monotonic() - again, 1),
                        "load": round(os.getloadavg()[0], 1),
                    }
                )
            )


if __name__ == "__main__":
    main()
