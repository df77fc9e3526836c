"""How each of our limited processes begins: pipes taken, settings received, fences closed, readiness told; in this order."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO

from mmkg.config import Limits
from mmkg.ingest import guard, wire
from mmkg.sandbox import end_with


@dataclass(frozen=True, slots=True)
class Line:
    """What a process serves over. settings: the first message it was sent; limits: those in it."""

    requests: BinaryIO | wire.DescriptorStream
    answers: BinaryIO
    settings: dict[str, Any]
    limits: Limits


def begin(load: Callable[[], object] = lambda: None, *, most: int = 1 << 20) -> Line | None:
    """The line to the process that started this one (its id is the last argument); None if it wants nothing.

    This process ends with that one. load: imports what is needed later, once the fences no longer let it. most: bytes of a message.
    """
    end_with(int(sys.argv[-1]))
    requests, answers = take_pipes()
    received = wire.receive(requests, most=most)
    if received is None:
        return None
    settings = received[0]
    limits = Limits(**settings["limits"])
    load()
    fences = guard.close_in(limits.memory_bytes, limits.bytes + (1 << 20), sandbox=settings["sandbox"])
    wire.send(answers, {"ready": True, "peak": guard.peak_bytes(), "fences": fences})
    return Line(requests, answers, settings, limits)


def take_pipes() -> tuple[BinaryIO | wire.DescriptorStream, BinaryIO]:
    """Our ends of the pipes, out of reach of libraries that read stdin or print to stdout."""
    requests: BinaryIO | wire.DescriptorStream
    requests = wire.DescriptorStream(os.dup(0)) if wire.PASSES_DESCRIPTORS else os.fdopen(os.dup(0), "rb")
    answers = os.fdopen(os.dup(1), "wb")
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(2, 1)
    os.close(null)
    return requests, answers
