"""Our side of the page process: pages of a PDF file as pictures."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from mmkg.config import Settings
from mmkg.errors import LoadError
from mmkg.ingest import wire
from mmkg.ingest.child import Child


class PageProcess:
    """Started at first use; a context manager. One request at a time."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._child: Child | None = None

    def __enter__(self) -> PageProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        if self._child is not None:
            self._child.end()
            self._child = None

    def render(self, path: Path, pages: Sequence[int]) -> Iterator[tuple[int, bytes | None]]:
        """Each of these pages (from 1) of a PDF file as PNG, None where it cannot be rendered, as soon as it is there.

        Raises LoadError if the file cannot be read, or a page costs more than a file may.
        """
        if not pages:
            return
        child = self._started()
        fd = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        try:
            child.request({"path": str(path), "pages": list(pages)}, fd if wire.PASSES_DESCRIPTORS else None)
        except (OSError, ValueError) as e:
            self.close()
            raise LoadError(f"the page process ended: {e}", code="crash") from e
        finally:
            os.close(fd)
        for number in pages:
            answer, blobs = self._receive(child)
            if answer.get("page") != number or len(blobs) > 1:
                self.close()
                raise LoadError("the page process sent a broken answer", code="parser")
            yield number, blobs[0] if blobs else None
        self._receive(child)  # that it is done

    def _started(self) -> Child:
        if self._child is None or self._child.process.poll() is not None:
            self.close()
            child = Child(self.settings, "mmkg.ingest.page_worker")
            try:
                child.start()
            except BaseException:
                child.end()
                raise
            self._child = child
        return self._child

    def _receive(self, child: Child) -> tuple[dict[str, Any], list[bytes]]:
        limit = self.settings.limits.seconds
        trouble = "it ended"
        received = None
        with child.deadline(limit):
            try:
                received = child.answer()
            except (OSError, ValueError, wire.WireError) as e:
                trouble = str(e)
        if received is None:
            expired = child.expired
            self.close()
            raise LoadError(
                f"one page took longer than {limit:g} s" if expired else f"the page process died of it: {trouble}",
                code="seconds" if expired else "crash",
            )
        if "error" in received[0]:
            raise LoadError(str(received[0]["error"])[:300])
        return received
