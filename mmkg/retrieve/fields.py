"""Vector fields beside that of words: a space each, in which pictures or sounds have vectors, and how a question is aimed at them.

Cosines of two spaces cannot be compared, so the lists of several fields of one channel are joined by rank.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mmkg.algorithms.fusion import fuse
from mmkg.protocols import FloatArray, IndexView
from mmkg.retrieve.walk import Mask, RankedList, by_vector, empty

PIXELS, SOUND = "pixels", "sound"

Aim = Callable[[str, FloatArray | None], FloatArray | None]
"""(question, its vector in the text space or None) -> its vector (dim,) in the field, or None where words cannot be asked of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A space that units have vectors in. space: Space.key. channel: PIXELS or SOUND."""

    space: str
    channel: str
    aim: Aim


class Fields:
    """The fields of one view."""

    def __init__(self, view: IndexView, fields: Sequence[Field]) -> None:
        held = set(view.spaces()) if fields else set()
        self._view = view
        self.all = tuple(f for f in fields if f.space in held)

    def of(self, channel: str) -> tuple[Field, ...]:
        """The fields of a channel."""
        return tuple(f for f in self.all if f.channel == channel)

    def asked(self, channel: str, question: str, query: FloatArray | None, mask: Mask | None, depth: int) -> RankedList:
        """Units of a channel for a question, over all its fields."""
        aimed = [(f.space, f.aim(question, query)) for f in self.of(channel)]
        return self.near(channel, [(space, vector) for space, vector in aimed if vector is not None], mask, depth)

    def near(
        self, channel: str, examples: Sequence[tuple[str, FloatArray]], mask: Mask | None, depth: int
    ) -> RankedList:
        """Units nearest to vectors: (space, (dim,)) each; several lists become one by reciprocal rank."""
        lists = [by_vector(channel, self._view, space, vector, mask, depth) for space, vector in examples]
        if not lists:
            return empty(channel)
        if len(lists) == 1:
            return lists[0]
        units, scores = fuse([one.units for one in lists])
        return RankedList(channel, units[:depth], scores[:depth] / scores[:1])
