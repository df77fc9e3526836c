"""A limited child that one caller keeps for itself: started at first use, and anew after it has ended."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self

from mmkg.config import Settings
from mmkg.errors import LoadError
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

    def send(self, message: dict[str, Any], path: Path | None = None, blobs: Sequence[bytes] = ()) -> None:
        """Send a request, with the file it is about opened where descriptors can travel. Raises OSError, ValueError, MMKGError."""
        child = self.started()
        fd = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0)) if path is not None else None
        try:
            child.request(message, fd if wire.PASSES_DESCRIPTORS else None, blobs)
        finally:
            if fd is not None:
                os.close(fd)


class MediaChild(ChildOnDemand):
    """A child that answers each request about a file piece by piece, each piece within limits.seconds of work."""

    name: ClassVar[str]
    """In errors: "media process"."""
    piece: ClassVar[str]
    """In errors: what one answer is about."""

    def ask(
        self, message: dict[str, Any], path: Path | None = None, blobs: Sequence[bytes] = ()
    ) -> tuple[dict[str, Any], list[bytes]]:
        """Send a request and wait for its first answer. Raises LoadError, and what `receive` raises."""
        self.request(message, path, blobs)
        return self.receive()

    def request(self, message: dict[str, Any], path: Path | None = None, blobs: Sequence[bytes] = ()) -> None:
        """As send, but a process that has ended is a LoadError."""
        try:
            self.send(message, path, blobs)
        except (OSError, ValueError) as e:
            self.close()
            raise LoadError(f"the {self.name} ended: {e}", code="crash") from e

    def receive(self) -> tuple[dict[str, Any], list[bytes]]:
        """The next answer. Raises LoadError if it is an error, or the process took too long or died; then it is ended."""
        limit = self.settings.limits.seconds
        trouble = "it ended"
        received = None
        child = self._child  # not another one, if it has died: that one was asked nothing
        if child is None:
            raise LoadError(f"the {self.name} ended", code="crash")
        with child.deadline(limit):
            try:
                received = child.answer()
            except (OSError, ValueError, wire.WireError) as e:
                trouble = str(e)
        if received is None:
            expired = child.expired
            self.close()
            raise LoadError(
                f"one {self.piece} took longer than {limit:g} s"
                if expired
                else f"the {self.name} died of it: {trouble}",
                code="seconds" if expired else "crash",
            )
        if "error" in received[0]:
            raise LoadError(str(received[0]["error"])[:300])
        return received
