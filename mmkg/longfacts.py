"""Facts of a text that is too long to be held at once: they are made, sent, kept and read in parts.

A part is the facts of the whole document of which text and units are only a stretch: offsets, ordinals and section numbers are
those of the whole. So whatever looks at one unit at a time takes a part for a document.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mmkg.types import DocumentFacts, Section

JOINT = "\n\n"
"""What stands between the texts of two parts."""


class Stretch(str):
    """A stretch of a document's text, addressed by the offsets of the whole: stretch[a:b] is text[a:b] of the document.

    start: offset of its first character. Only spans inside it can be read: others raise IndexError.

    >>> Stretch("light", 100)[102:105]
    'ght'
    """

    start: int

    def __new__(cls, text: str, start: int) -> Stretch:
        self = super().__new__(cls, text)
        self.start = start
        return self

    def __getitem__(self, key: Any) -> str:
        if not isinstance(key, slice) or key.step is not None or key.start is None or key.stop is None:
            raise TypeError("a stretch of a text is read by spans")
        if not self.start <= key.start <= key.stop <= self.start + len(self):
            raise IndexError(f"[{key.start}, {key.stop}) lies outside [{self.start}, {self.start + len(self)})")
        return super().__getitem__(slice(key.start - self.start, key.stop - self.start))

    def whole(self) -> str:
        """All of the stretch."""
        return super().__getitem__(slice(None))


@dataclass(frozen=True, slots=True, kw_only=True)
class LongFacts:
    """The facts of a long text. parts: gives them anew each time, in order; each has a Stretch for its text.

    head: title, properties and all sections, without text and units. length: characters of the text. n_units: of all parts.
    per_section: number of a section -> units under it, those of inner sections included.
    """

    head: DocumentFacts
    length: int
    n_units: int
    per_section: Mapping[int, int]
    parts: Callable[[], Iterator[DocumentFacts]]


def part_of(head: DocumentFacts, text: str, start: int, units: Sequence[Any]) -> DocumentFacts:
    """A part: the units, the text that they lie in, and the sections above them."""
    wanted: set[int] = set()
    for order in {u.section for u in units}:
        while order is not None and order not in wanted:
            wanted.add(order)
            order = head.sections[order].parent
    sections = tuple(head.sections[order] for order in sorted(wanted))
    return replace(head, text=Stretch(text, start), sections=sections, units=tuple(units))


def joined(long: LongFacts) -> DocumentFacts:
    """The same facts, held at once."""
    parts = list(long.parts())
    text = JOINT.join(part.text.whole() for part in parts if isinstance(part.text, Stretch))
    return replace(long.head, text=text, units=tuple(unit for part in parts for unit in part.units))


def tree(heads: Iterable[tuple[str, int, int]], length: int) -> list[Section]:
    """Sections from headings in the order of the text: (heading, level, start). length: of the text.

    >>> [(s.heading, s.parent, s.end) for s in tree([("A", 1, 0), ("B", 2, 5), ("C", 1, 9)], 12)]
    [('A', None, 9), ('B', 0, 9), ('C', None, 12)]
    """
    found = list(heads)
    ends = [length] * len(found)
    parents: list[int | None] = [None] * len(found)
    stack: list[int] = []
    for i, (_, level, start) in enumerate(found):
        while stack and found[stack[-1]][1] >= level:
            ends[stack.pop()] = start
        parents[i] = stack[-1] if stack else None
        stack.append(i)
    return [
        Section(order=i, heading=heading, level=level, start=start, end=ends[i], parent=parents[i])
        for i, (heading, level, start) in enumerate(found)
    ]


def under(sections: Sequence[Section], own: Mapping[int, int]) -> dict[int, int]:
    """Number of a section -> units under it. own: units directly in it, by its number."""
    total = {order: n for order, n in own.items() if n}
    for section in reversed(sections):  # an inner section stands after the outer one
        if section.parent is not None and section.order in total:
            total[section.parent] = total.get(section.parent, 0) + total[section.order]
    return total
