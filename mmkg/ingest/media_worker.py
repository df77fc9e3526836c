"""The media process: hears recordings and cuts clips, behind the fences of a parser. Run as `python -m mmkg.ingest.media_worker`.

It is apart from the parsers because a recogniser needs more memory and time than a file may cost, and apart from us because
it decodes a stranger's bytes. A model comes over the pipe, already checked; every clip that was heard is answered at once.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from mmkg.errors import LoadError, MMKGError
from mmkg.ingest import wire
from mmkg.ingest.av_open import decoded, load_av, open_media, quiet_threads
from mmkg.ingest.clipping import cut_clip
from mmkg.ingest.serving import begin
from mmkg.ingest.source import open_source
from mmkg.ingest.speech import LONGEST_S, RATE, Recogniser, Samples

MOST_REQUEST = 8 * 2**30


def main() -> None:
    """Serve until the input ends, or the process that started this one is gone (its id is the last argument)."""
    if (line := begin(load_av)) is None:
        return
    requests, answers, limits = line.requests, line.answers, line.limits
    recogniser: Recogniser | None = None
    while (received := wire.receive(requests, most=MOST_REQUEST)) is not None:
        request, blobs = received
        fd = requests.take() if isinstance(requests, wire.DescriptorStream) else None
        try:
            if request["op"] == "load":
                recogniser = Recogniser(dict(zip(request["names"], blobs, strict=True)), threads=request["threads"])
                wire.send(answers, {"done": True})
            else:
                path = Path(request["path"])
                with open_source(path, most=limits.bytes, fd=fd) as source:
                    if request["op"] == "hear":
                        assert recogniser is not None
                        _hear(answers, recogniser, source.file, request)
                    elif request["op"] == "sample":
                        _sample(answers, source.file, request)
                    else:
                        data, media_type, lead_ms = cut_clip(
                            source.file, request["media_type"], tuple(request["span"]), video=request["video"]
                        )
                        wire.send(answers, {"done": True, "media_type": media_type, "lead_ms": lead_ms}, [data])
        except MMKGError as e:
            wire.send(answers, {"error": str(e)[:300]})
        except MemoryError:
            wire.send(answers, {"error": "memory: more than the limit"})
        except Exception as e:  # a stranger's file, or model, and native code: the process goes on with the next
            wire.send(answers, {"error": f"{type(e).__name__}: {str(e)[:200]}"})
        received = None


def _hear(answers: BinaryIO, recogniser: Recogniser, file: BinaryIO, request: dict[str, Any]) -> None:
    """Hear the asked spans (ascending, milliseconds) in one pass, an answer for each."""
    spans = [(int(a), int(b)) for a, b in request["spans"]]
    for (a, b), parts in samples_of(file, request["media_type"], spans):
        words = [[c.start_ms, c.end_ms, c.text] for at, x in parts for c in recogniser.hear(x, at)]
        wire.send(answers, {"span": [a, b], "words": words})
    wire.send(answers, {"done": True})


def _sample(answers: BinaryIO, file: BinaryIO, request: dict[str, Any]) -> None:
    """Give the samples of the asked spans (ascending, milliseconds), an answer for each."""
    spans = [(int(a), int(b)) for a, b in request["spans"]]
    for (a, b), parts in samples_of(file, request["media_type"], spans, rate=int(request["rate"])):
        x = np.concatenate([np.empty(0, dtype=np.float32), *(x for _, x in parts)])
        wire.send(answers, {"span": [a, b]}, [x.astype("<f4").tobytes()])
    wire.send(answers, {"done": True})


def samples_of(
    file: BinaryIO, media_type: str, spans: list[tuple[int, int]], rate: int = RATE
) -> Iterator[tuple[tuple[int, int], Iterator[tuple[int, Samples]]]]:
    """Each span with its samples, (start in ms, (n,) float32 at `rate`) in parts that one hearing can take.

    The parts of a span must be used up before the next span is asked for. Memory: one part.
    """
    blocks = _blocks(file, media_type, rate)
    rest: tuple[int, Samples] = (0, np.empty(0, dtype=np.float32))

    def take(start: int, end: int) -> Samples:
        """Samples [start, end) by number from the beginning of the recording; fewer at its end."""
        nonlocal rest
        at, first_part = rest
        parts, n = [first_part], len(first_part)
        while at + n < end:
            block = next(blocks, None)
            if block is None:
                break
            first, x = block
            if at + n <= start:
                parts, at, n = [], max(at + n, first), 0
            elif at + n < first:  # the sound begins later than the picture
                parts.append(np.zeros(first - at - n, dtype=np.float32))
                n = first - at
            parts.append(x)
            n += len(x)
        have = np.concatenate([np.empty(0, dtype=np.float32), *parts])
        rest = (at + min(n, max(0, end - at)), have[max(0, end - at) :])
        return np.asarray(have[max(0, start - at) : max(0, end - at)], dtype=np.float32)

    for a, b in spans:
        parts = max(1, -(-(b - a) // int(LONGEST_S * 1000)))
        borders = [a + (b - a) * i // parts for i in range(parts + 1)]
        yield (
            (a, b),
            ((s, take(s * rate // 1000, e * rate // 1000)) for s, e in pairwise(borders)),
        )


def _blocks(file: BinaryIO, media_type: str, rate: int) -> Iterator[tuple[int, Samples]]:
    """(number of its first sample, samples) of the first sound stream at `rate`, mono, counted as in recording.py."""
    av = load_av()
    with open_media(file, media_type) as container:
        audio = next((s for s in container.streams.audio if s.codec_context is not None and s.rate), None)
        if audio is None:
            raise LoadError("no sound in it")
        streams = [*container.streams.video, audio]
        begins = [float(s.start_time * s.time_base) for s in streams if s.start_time is not None and s.time_base]
        quiet_threads(audio)
        resampler = av.AudioResampler(format="flt", layout="mono", rate=rate)
        at: int | None = None
        for _, frame in decoded(container, [audio]):
            if at is None:
                begin = frame.time - min(begins, default=0.0) if frame.time is not None else 0.0
                at = max(0, round(begin * 1000)) * rate // 1000
            frame.pts = None
            for made in resampler.resample(frame):
                x = np.nan_to_num(made.to_ndarray().reshape(-1), nan=0.0, posinf=0.0, neginf=0.0).clip(-1, 1)
                yield at, x.astype(np.float32)
                at += len(x)


if __name__ == "__main__":
    sys.stdin = None
    with contextlib.suppress(BrokenPipeError, KeyboardInterrupt):
        main()
