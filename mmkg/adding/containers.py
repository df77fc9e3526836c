"""The archives and messages that a run meets: what is to be opened, how deep, and the files that came out."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mmkg.adding.arriving import File
from mmkg.adding.report import Timer
from mmkg.adding.unpacking import Budget, Container, Unpacked, Unpacker, batches
from mmkg.config import Settings
from mmkg.ingest.unpack import DEEPEST
from mmkg.reasons import reason


@dataclass(frozen=True, slots=True)
class Batch:
    """Containers opened together, and path -> source of all that came out of them."""

    opened: list[tuple[Container, Unpacked]]
    files: dict[Path, str]


class Containers:
    """Containers met so far and not opened yet."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._waiting: list[Container] = []
        self._around: dict[Path, Container] = {}
        """The container that a file of the temporary folder came out of."""

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def note(self, file: File, media_type: str) -> str:
        """Have a container opened later. Returns why it is not, "" if it is."""
        around = self._around.get(file.path)
        depth = around.depth + 1 if around else 0
        if depth >= DEEPEST:
            return reason("nested", f"an archive inside {DEEPEST} others is not opened")
        if file.uri.startswith("file:"):
            self._waiting.append(
                Container(
                    path=file.path,
                    uri=file.uri,
                    media_type=media_type,
                    mtime_ns=file.mtime_ns,
                    depth=depth,
                    budget=around.budget if around else Budget.of(self._settings),
                )
            )
        return ""

    def opened(self, unpacker: Unpacker, timings: dict[str, float]) -> Iterator[Batch]:
        """What lies in the containers that wait now; files are there until the next batch is asked for."""
        waiting, self._waiting = self._waiting, []
        while waiting:
            with tempfile.TemporaryDirectory(prefix="mmkg-unpacked-") as folder:

                def unpack(container: Container, folder: Path = Path(folder)) -> Unpacked:
                    with Timer(timings, "unpack"):
                        return unpacker.unpack(container, folder)

                opened = next(batches(waiting, unpack))
                around = {path: container for container, unpacked in opened for path in unpacked.files}
                self._around |= around
                yield Batch(opened, {p: uri for _, unpacked in opened for p, uri in unpacked.files.items()})
                for path in around:
                    del self._around[path]
