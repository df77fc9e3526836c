"""A limited child that one caller keeps for itself: started at first use, and anew after it has ended."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self

from mmkg.config import Settings
from mmkg.ingest import wire
from mmkg.ingest.child import Child


class ChildOnDemand:
    """A context manager; one request at a time. Subclasses name the module that the child runs."""

    module: ClassVar[str]

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._child: Child | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the process; the next request starts another."""
        if self._child is not None:
            self._child.end()
            self._child = None

    def started(self) -> Child:
        """The process, running. Raises MMKGError if it does not start."""
        if self._child is None or self._child.process.poll() is not None:
            self.close()
            child = Child(self.settings, self.module)
            try:
                child.start()
            except BaseException:
                child.end()
                raise
            self._child = child
        return self._child


def request(child: Child, message: dict[str, Any], path: Path | None, blobs: Sequence[bytes] = ()) -> None:
    """Send a request, with the file it is about opened where descriptors can travel. Raises OSError, ValueError."""
    fd = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0)) if path is not None else None
    try:
        child.request(message, fd if wire.PASSES_DESCRIPTORS else None, blobs)
    finally:
        if fd is not None:
            os.close(fd)
