"""Our side of the media process: hear the clips of a recording, or cut one out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mmkg.config import Settings
from mmkg.errors import LoadError
from mmkg.ingest.ondemand import MediaChild
from mmkg.types import Cue, Span


class MediaProcess(MediaChild):
    """Started at first use; a context manager. One request at a time."""

    module = "mmkg.ingest.media_worker"
    name = "media process"
    piece = "clip"

    def use(self, files: Mapping[str, bytes], *, threads: int = 1) -> None:
        """Load a recogniser from the bytes of its files. Raises MMKGError if they are none."""
        message = {"op": "load", "names": list(files), "threads": threads}
        self.ask(message, blobs=list(files.values()))

    def hear(self, path: Path, media_type: str, spans: Sequence[Span]) -> Iterator[tuple[Span, list[Cue]]]:
        """The words of each span (milliseconds, ascending), as soon as they are known.

        Raises LoadError if the recording cannot be read or costs more than a clip may (limits.seconds of work each).
        """
        if not spans:
            return
        message = {"op": "hear", "path": str(path), "media_type": media_type, "spans": [list(s) for s in spans]}
        answer, _ = self.ask(message, path)
        while not answer.get("done"):
            try:
                a, b = (int(v) for v in answer["span"])
                cues = [Cue(start_ms=int(s), end_ms=int(e), text=str(w)) for s, e, w in answer["words"]]
            except (KeyError, ValueError, TypeError) as e:
                raise LoadError(f"the media process sent a broken answer: {e}", code="parser") from e
            yield (a, b), cues
            answer, _ = self.receive()

    def samples(
        self, path: Path, media_type: str, spans: Sequence[Span], rate: int
    ) -> Iterator[tuple[Span, npt.NDArray[np.float32]]]:
        """The sound of each span (milliseconds, ascending, not longer than a clip) as (n,) float32 mono at `rate` hertz.

        Raises LoadError if the recording cannot be read, or has no sound.
        """
        message = {
            "op": "sample",
            "path": str(path),
            "media_type": media_type,
            "spans": [list(s) for s in spans],
            "rate": rate,
        }
        answer, blobs = self.ask(message, path)
        while not answer.get("done"):
            try:
                a, b = (int(v) for v in answer["span"])
                x = np.frombuffer(blobs[0], dtype="<f4").astype(np.float32)
            except (KeyError, ValueError, TypeError, IndexError) as e:
                raise LoadError(f"the media process sent a broken answer: {e}", code="parser") from e
            if not np.isfinite(x).all():
                raise LoadError("the media process sent samples that are no numbers", code="parser")
            yield (a, b), x
            answer, blobs = self.receive()

    def cut(self, path: Path, media_type: str, span: Span, *, video: bool) -> tuple[bytes, str, int]:
        """A clip as a file of its own; see clipping.cut_clip. Raises LoadError."""
        message = {"op": "cut", "path": str(path), "media_type": media_type, "span": list(span), "video": video}
        answer, blobs = self.ask(message, path)
        if len(blobs) != 1:
            raise LoadError("the media process sent a broken answer", code="parser")
        return blobs[0], str(answer.get("media_type", "")), int(answer.get("lead_ms", 0))


def cut_once(settings: Settings, path: Path, media_type: str, span: Span, *, video: bool) -> tuple[bytes, str, int]:
    """MediaProcess.cut with a process for this one clip. Raises LoadError, MMKGError if no process can be started."""
    with MediaProcess(settings) as process:
        return process.cut(path, media_type, span, video=video)
