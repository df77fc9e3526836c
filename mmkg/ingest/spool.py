"""The parts of a long text between its parser and the store: on disk, in a file without a name, read one by one."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import IO, Any

from mmkg.factsio import from_json
from mmkg.ingest import wire
from mmkg.longfacts import JOINT, LongFacts, part_of
from mmkg.types import DocumentFacts, Unit

_MOST = 256 * 2**20
"""Bytes of one part as a message: half a million characters and what is known of them are a twentieth of it."""


class Spool:
    """Collects the parts that a parser sends. It lives as long as the facts that are made of it."""

    def __init__(self) -> None:
        self._file: IO[bytes] = tempfile.TemporaryFile(prefix="mmkg-")  # noqa: SIM115 (lives as long as the facts)
        self._n = 0
        self._at = 0
        self._units = 0

    def add(self, header: Mapping[str, Any]) -> None:
        """Take one part. Raises ValueError for one that is not as agreed: its sender has read a stranger's file."""
        start, facts = header["start"], from_json(header["facts"])
        expected = self._at + (len(JOINT) if self._n else 0)
        if header["part"] != self._n + 1 or start != expected or facts.sections or facts.pages:
            raise ValueError("the parts of the text do not follow each other")
        for unit in facts.units:
            _check(unit, start, start + len(facts.text), self._units)
            self._units += 1
        self._n, self._at = self._n + 1, start + len(facts.text)
        wire.send(self._file, header)  # type: ignore[arg-type]

    def finish(self, header: Mapping[str, Any]) -> LongFacts:
        """The facts, by what the parser says of the whole. Raises ValueError if that does not fit the parts."""
        head = from_json(header["facts"])
        if (header["parts"], header["length"], header["units"]) != (self._n, self._at, self._units):
            raise ValueError("some parts of the text are missing")
        if [s.order for s in head.sections] != list(range(len(head.sections))):
            raise ValueError("the sections are not in order")
        per_section = {int(order): int(n) for order, n in header["per_section"]}
        for number, section in enumerate(head.sections):
            if (section.parent or 0) >= max(number, 1) or not 0 <= section.start <= section.end <= self._at:
                raise ValueError(f"section {number} is malformed")
        return LongFacts(
            head=replace(head, text="", units=()),
            length=self._at,
            n_units=self._units,
            per_section=per_section,
            parts=lambda: self._parts(head),
        )

    def _parts(self, head: DocumentFacts) -> Iterator[DocumentFacts]:
        at = 0
        for _ in range(self._n):
            self._file.seek(at)
            received = wire.receive(self._file, most=_MOST)
            at = self._file.tell()
            assert received is not None
            facts = from_json(received[0]["facts"])
            yield part_of(head, facts.text, received[0]["start"], facts.units)


def _check(unit: Unit, start: int, end: int, number: int) -> None:
    spans = [(unit.start, unit.end), *unit.sentences]
    if unit.ordinal != number or any(not start <= a <= b <= end for a, b in spans):
        raise ValueError(f"unit {number} lies outside its part of the text")
    if unit.label != "Chunk" or unit.caption or unit.media or unit.times or unit.refers_to:
        raise ValueError(f"unit {number} is no chunk of a text")
