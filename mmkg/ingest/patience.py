"""More time for what is honestly long: a recording's parser says so for every stretch of it that is decoded.

What a file may cost is meant as work on what a person calls one file, and two hours of film are more of it than a page. Stretches are those of
decoded sound and frames, not of a header, and a recording has at most limits.media_seconds of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

STRETCH_S = 1_800
"""Seconds of a recording for which limits.seconds of work are meant."""

_renew: ContextVar[Callable[[], None] | None] = ContextVar("mmkg_renew", default=None)


@contextmanager
def renewing(renew: Callable[[], None]) -> Iterator[None]:
    """Within the block, `renew` is called for each stretch; elsewhere (a parser in this process) nothing is."""
    token = _renew.set(renew)
    try:
        yield
    finally:
        _renew.reset(token)


def stretch_done() -> None:
    """A stretch has been read: the time for the next one begins."""
    if (renew := _renew.get()) is not None:
        renew()


def stretches(seconds: float) -> int:
    """How many stretches a recording of so many seconds has, the last one begun; at least 1."""
    return 1 + int(max(0.0, seconds) // STRETCH_S)
