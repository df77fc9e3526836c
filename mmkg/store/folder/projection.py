"""Ledger rows to index segments: what a generation adds, and the merges that keep the number of segments small."""

from __future__ import annotations

import json
import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mmkg.algorithms.keys import entity_key
from mmkg.algorithms.terms import terms
from mmkg.errors import StoreDamagedError
from mmkg.protocols import IntArray
from mmkg.schema import PRINT_SPACE
from mmkg.store.folder.derived import load_derivation, mention_totals
from mmkg.store.folder.facts import outputs
from mmkg.store.folder.ledger import FileRef, Ledger
from mmkg.store.folder.merge import SegmentInfo, merge_incidence, merge_plan, merge_text
from mmkg.store.folder.parts import Part, is_long, parts
from mmkg.store.folder.segment import (
    INCIDENCE,
    TEXT,
    IncidenceRow,
    IncidenceSegment,
    SegmentFile,
    TextSegment,
    UnitRow,
    write_incidence_segment,
    write_text_segment,
)
from mmkg.texts import index_text
from mmkg.types import DocumentFacts, Unit, UnitDerivation

_MODALITY = {
    "text": 0,
    "table": 0,
    "code": 0,
    "formula": 0,
    "image": 1,
    "figure": 1,
    "page": 1,
    "frame": 1,
    "audio": 2,
    "video": 3,
}

log = logging.getLogger(__name__)
_DEAD_SHARE = 4
"""Dead units are looked after once there is one for this many rows."""


class SegmentWriter:
    """Writes the segments of one generation. Rows come from the ledger, inside its open transaction."""

    def __init__(self, root: Path, ledger: Ledger, generation: int) -> None:
        self.root, self.ledger, self.generation = root, ledger, generation
        self.text: list[FileRef] = []
        self.incidence: list[FileRef] = []
        self._n = 0

    def add_documents(self, documents: Sequence[int]) -> None:
        """A text segment with the units of these documents, and one for each part of a long one."""
        long = {no for no in documents if is_long(self.ledger, no)}
        self.add_units(
            [
                row
                for no in documents
                if no not in long
                for part in parts(self.ledger, no)
                for row in self.unit_rows(part)
            ]
        )
        for no in documents:
            if no in long:
                for part in parts(self.ledger, no):
                    self.add_units(self.unit_rows(part))

    def add_units(self, rows: Sequence[UnitRow]) -> None:
        """A text segment with these units."""
        if rows:
            written = write_text_segment(self.root / "index", self._name("text"), rows, generation=self.generation)
            self.text.append(self._ref(written))

    def unit_rows(self, part: Part) -> list[UnitRow]:
        """The units of a part of a document."""
        sql = "SELECT no, id, key, media FROM unit WHERE document = ? AND ord >= ? AND ord < ? ORDER BY ord"
        first = part.facts.units[0].ordinal if part.facts.units else 0
        keys = self.ledger.rows(sql, (part.no, first, first + len(part.facts.units)))
        wanted = [key for _, _, key, _ in keys if key] + [bytes.fromhex(m) for *_, m in keys if m]
        by_key: dict[bytes, dict[tuple[bytes, str], Any]] = defaultdict(dict)
        for (key, space), x in outputs(self.ledger, wanted).items():
            by_key[key][key, space] = x
        rows = []
        for unit, (no, id_, key, media) in zip(part.facts.units, keys, strict=True):
            mine = {k for k in (key, bytes.fromhex(media) if media else None) if k}
            vectors = {at: x for k in mine for at, x in by_key.get(k, {}).items()}
            rows.append(self._sound(index_row(no, id_, part.no, part.facts, unit, mine, vectors)))
        return rows

    @cached_property
    def _dims(self) -> dict[str, int]:
        """Dimension of each space that the manifest records."""
        spaces = json.loads(self.ledger.meta("manifest") or "{}").get("spaces", {})
        return {key: dim for key, entry in spaces.items() if (dim := (entry.get("space") or {}).get("dim"))}

    def _sound(self, row: UnitRow) -> UnitRow:
        """The row without kept model output that is damaged: the unit is then without a vector, which doctor tells of."""
        kept = {}
        for space, x in row.vectors.items():
            fits = len(x) in (1, 1 + row.n_sentences) and x.shape[1] == self._dims.get(space, x.shape[1])
            if fits and np.isfinite(x).all():
                kept[space] = x
            else:
                log.warning("unit %s: its vectors of %s are damaged and left out", row.id, space)
        return row if len(kept) == len(row.vectors) else replace(row, vectors=kept)

    def add_incidence(self, units: Iterable[int]) -> None:
        """An incidence segment with the derivations of these units; for old units it replaces what stood before."""
        sql = "SELECT no, derived FROM unit WHERE no IN {in}"
        derived = self.ledger.rows_in(sql, sorted(units))
        self.add_derivations([incidence_row(no, load_derivation(text)) for no, text in derived])

    def add_derivations(self, rows: Sequence[IncidenceRow]) -> None:
        """An incidence segment with these rows. Raises StoreDamagedError for rows that no deriver makes."""
        if rows:
            try:
                written = write_incidence_segment(
                    self.root / "index", self._name("inc"), rows, generation=self.generation
                )
            except ValueError as e:
                raise StoreDamagedError(
                    f"a derived row is damaged: {e}", hint="`mmkg doctor --fix` makes it anew"
                ) from e
            self.incidence.append(self._ref(written))

    def merged(
        self, old_text: Sequence[FileRef], old_incidence: Sequence[FileRef]
    ) -> tuple[tuple[FileRef, ...], tuple[FileRef, ...]]:
        """The segment lists of the new generation: small neighbours merged into larger ones, mostly dead ones rewritten.

        Once dead units are more than one in four, their rows are counted, and those that no segment holds any more are
        forgotten; so the table of dead units stays smaller than the index. Before that nothing here grows with the base.
        """
        text, incidence = [*old_text, *self.text], [*old_incidence, *self.incidence]
        (n_dead,) = self.ledger.one("SELECT count(*) FROM dead") or (0,)
        crowded = _DEAD_SHARE * n_dead > sum(r.rows for r in text)
        held = {r.name: self._held(r) for r in (*text, *incidence)} if crowded else {}
        text = self._merge(TEXT, text, held)
        incidence = self._merge(INCIDENCE, incidence, held)
        if crowded:
            left = [held[r.name] if r.name in held else self._held(r) for r in (*text, *incidence)]
            gone = np.setdiff1d(self._dead, np.concatenate([np.empty(0, np.int64), *left]))
            self.ledger.db.executemany("DELETE FROM dead WHERE unit = ?", [(no,) for no in gone.tolist()])
        return tuple(text), tuple(incidence)

    def folded(
        self, old_text: Sequence[FileRef], old_incidence: Sequence[FileRef]
    ) -> tuple[tuple[FileRef, ...], tuple[FileRef, ...]]:
        """All segments of a kind as one, without rows that count no more; then no unit is dead any more. O(index)."""

        def fold(kind: str, refs: Sequence[FileRef]) -> tuple[FileRef, ...]:
            if len(refs) < 2 and not any(len(self._held(r)) for r in refs):
                return tuple(refs)
            return tuple(self._merge_group(kind, refs))

        folded = fold(TEXT, old_text), fold(INCIDENCE, old_incidence)
        self.ledger.db.execute("DELETE FROM dead")
        return folded

    def _merge_group(self, kind: str, refs: Sequence[FileRef]) -> list[FileRef]:
        """The file that stands for these, oldest first; none if no row of them counts."""
        hashes = {r.name.removeprefix("index/"): r.sha256 for r in refs}
        written = (merge_text if kind == TEXT else merge_incidence)(
            self.root / "index", list(hashes), self._dead, self._name("text" if kind == TEXT else "inc"), sha256=hashes
        )
        return [self._ref(written)] if written.rows else []

    @cached_property
    def _dead(self) -> IntArray:
        """Numbers of all dead units, ascending."""
        return np.array(self.ledger.rows("SELECT unit FROM dead ORDER BY unit"), dtype=np.int64).reshape(-1)

    def _held(self, ref: FileRef) -> IntArray:
        """Numbers of the dead units that a segment holds; reads one column of it."""
        kind = IncidenceSegment if ref.name.startswith("index/inc") else TextSegment
        no = kind(self.root / ref.name).no
        return np.asarray(no[np.isin(no, self._dead)], dtype=np.int64)

    def _merge(self, kind: str, refs: list[FileRef], held: Mapping[str, IntArray]) -> list[FileRef]:
        by_name = {r.name.removeprefix("index/"): r for r in refs}
        infos = [
            SegmentInfo(name=name, kind=kind, rows=r.rows, dead=len(held.get(r.name, ())))
            for name, r in by_name.items()
        ]
        for group in merge_plan(infos):
            members = [by_name[info.name] for info in group]
            merged = self._merge_group(kind, members)
            at = refs.index(members[0])
            refs = [*refs[:at], *merged, *(r for r in refs[at:] if r not in members)]
        return refs

    def _ref(self, written: SegmentFile) -> FileRef:
        size = (self.root / "index" / written.name).stat().st_size
        return FileRef(f"index/{written.name}", written.sha256, written.rows, size)

    def _name(self, kind: str) -> str:
        self._n += 1
        return f"{kind}-{self.generation}-{self._n}.seg"


def index_row(
    no: int,
    id_: str,
    document: int,
    facts: DocumentFacts,
    unit: Unit,
    keys: Set[bytes | None] | Set[bytes],
    vectors: Mapping[tuple[bytes, str], npt.NDArray[np.floating[Any]]],
) -> UnitRow:
    """A unit as the index knows it. keys: of its model output; vectors: (key, space) -> rows, of this unit and others.

    What a model made of a recording is kept under the recording's hash, a row for each clip in their order.
    """
    mine = {(k, space): x for (k, space), x in vectors.items() if k in keys}
    if unit.label == "Clip" and unit.media is not None:
        clips = [u.ordinal for u in facts.units if u.label == "Clip"]
        at, recording = clips.index(unit.ordinal), bytes.fromhex(unit.media)
        mine = {(k, s): x[at : at + 1] if k == recording and len(x) == len(clips) else x for (k, s), x in mine.items()}
    return UnitRow(
        no=no,
        id=id_,
        document=document,
        modality=modality_of(unit),
        terms=terms(index_text(facts, unit)),
        n_sentences=len(unit.sentences),
        vectors={space: x for (_, space), x in mine.items() if space != PRINT_SPACE},
    )


def modality_of(unit: Unit) -> int:
    """0 text, 1 image, 2 audio, 3 video."""
    return _MODALITY[unit.kind]


def incidence_row(no: int, derivation: UnitDerivation) -> IncidenceRow:
    """What a unit mentions, as the index knows it."""
    totals = sorted((entity_key(e), max(n, 1), title) for e, (n, title) in mention_totals(derivation).items())
    table = np.array(totals, dtype=np.int64).reshape(-1, 3)
    return IncidenceRow(
        no=no,
        entities=table[:, 0],
        counts=table[:, 1],
        title_share=table[:, 2],
        sentences=[np.array([entity_key(e) for e in s], dtype=np.int64) for s in derivation.sentences],
    )


def box_to_points(box: str | None) -> tuple[float, float, float, float] | None:
    """A ledger box (hundredths, JSON) in points or pixels."""
    if not box:
        return None
    x0, y0, x1, y1 = (v / 100 for v in json.loads(box))
    return (x0, y0, x1, y1)
