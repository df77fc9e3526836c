"""Documents in parts: a long text comes in and is read a part at a time; any other document is one part.

A part is what mmkg.longfacts says: units, the stretch of text that they lie in, and the sections above them. Until its last part
is here a document has the state `arriving`: nobody sees it, and whoever ends a run forgets those that were left so.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from mmkg.longfacts import JOINT, LongFacts, part_of
from mmkg.store.folder.facts import (
    UNIT_COLUMNS,
    canonical,
    compact_json,
    facts_hash,
    insert_document,
    insert_units,
    read,
    sections,
    unit_from_row,
    unpack_text,
)
from mmkg.store.folder.ledger import Ledger, readable
from mmkg.types import DocumentFacts, Section, Unit

ARRIVING = "arriving"


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One part of a document that has the number `no`. sections: those that no part before has; all are in the first.

    before: the last unit of the part before.
    """

    no: int
    number: int
    facts: DocumentFacts
    sections: tuple[Section, ...]
    before: Unit | None = None


class Place(NamedTuple):
    """Where a part lies: offset of its text, ordinal of its first unit, number of its units."""

    start: int
    first: int
    n_units: int


def begin(ledger: Ledger, document: str, facts: LongFacts, *, n_bytes: int) -> int:
    """Write what is known of the whole; returns the document's number. Call inside a transaction."""
    return insert_document(ledger, document, facts.head, state=ARRIVING, n_bytes=n_bytes, recorded=b"")


def put(ledger: Ledger, no: int, document: str, part: DocumentFacts, facts: LongFacts) -> None:
    """Write one part, its units with their names. Call inside a transaction."""
    text = part.text
    ledger.db.execute(
        "INSERT INTO text_part VALUES (?,?,?,?,?,?)",
        (
            no,
            text.start,  # type: ignore[attr-defined]
            len(text),
            part.units[0].ordinal if part.units else 0,
            len(part.units),
            zlib.compress(text.whole().encode("utf-8", "surrogatepass"), 3),  # type: ignore[attr-defined]
        ),
    )
    insert_units(ledger, no, document, part, n_units=facts.n_units, per_section=facts.per_section)


def finish(ledger: Ledger, no: int) -> None:
    """After the last part: the document is staged as any other. Call inside a transaction."""
    ledger.db.execute(
        "UPDATE document SET state = 'staged', facts_hash = ? WHERE no = ?", (stored_hash(ledger, no), no)
    )


def is_long(ledger: Ledger, no: int) -> bool:
    """Whether a document is kept in parts."""
    return ledger.one("SELECT 1 FROM text_part WHERE document = ? LIMIT 1", (no,)) is not None


def set_meta(ledger: Ledger, no: int, meta: Mapping[str, str]) -> None:
    """Give a document other properties; the hash of its facts follows. Call inside a transaction."""
    ledger.db.execute("UPDATE document SET meta = ? WHERE no = ?", (compact_json(dict(meta)), no))
    ledger.db.execute("UPDATE document SET facts_hash = ? WHERE no = ?", (stored_hash(ledger, no), no))


def places(ledger: Ledger, no: int) -> list[Place]:
    """Where the parts of a long document lie, in order; [] for one that is kept whole."""
    sql = "SELECT start, first_unit, n_units FROM text_part WHERE document = ? ORDER BY start"
    return [Place(*row) for row in ledger.rows(sql, (no,))]


def parts(ledger: Ledger, no: int) -> Iterator[Part]:
    """The facts of a document, part by part. Raises StoreDamagedError for rows that cannot be read."""
    rows = places(ledger, no)
    if not rows:
        facts = read(ledger, no)
        yield Part(no=no, number=0, facts=facts, sections=facts.sections)
        return
    head = _head(ledger, no)
    before: Unit | None = None
    for number, (start, first, n) in enumerate(rows):
        with readable(f"document {no}"):
            facts = part_of(head, _text(ledger, no, start), start, _units(ledger, no, first, n))
        yield Part(no=no, number=number, facts=facts, sections=() if number else head.sections, before=before)
        before = facts.units[-1] if facts.units else before


def stored_hash(ledger: Ledger, no: int) -> bytes:
    """facts.facts_hash of what the rows say, without holding more than a part."""
    if not is_long(ledger, no):
        return facts_hash(read(ledger, no))
    # The canonical JSON of the whole, written piece by piece: text and units are its last two fields.
    frame = canonical(_head(ledger, no))
    end = '"text":"","units":[]}'
    assert frame.endswith(end)
    total = hashlib.sha256((frame[: -len(end)] + '"text":"').encode("utf-8", "surrogatepass"))
    rows = places(ledger, no)
    for i, (start, _, _) in enumerate(rows):
        text = (JOINT if i else "") + _text(ledger, no, start)
        total.update(json.dumps(text, ensure_ascii=False)[1:-1].encode("utf-8", "surrogatepass"))
    total.update(b'","units":[')
    between = ""
    for _, first, n in rows:
        for unit in _units(ledger, no, first, n):
            total.update((between + canonical(unit)).encode("utf-8", "surrogatepass"))
            between = ","
    total.update(b"]}")
    return total.digest()


def _head(ledger: Ledger, no: int) -> DocumentFacts:
    row = ledger.one("SELECT media_type, name, meta FROM document WHERE no = ?", (no,))
    assert row is not None
    with readable(f"document {no}"):
        facts = DocumentFacts(media_type=row[0], name=row[1], text="", meta=json.loads(row[2]))
        return replace(facts, sections=sections(ledger, no))


def _text(ledger: Ledger, no: int, start: int) -> str:
    row = ledger.one("SELECT data FROM text_part WHERE document = ? AND start = ?", (no, start))
    assert row is not None
    return unpack_text(row[0])


def _units(ledger: Ledger, no: int, first: int, n: int) -> Sequence[Unit]:
    sql = f"SELECT {UNIT_COLUMNS} FROM unit WHERE document = ? AND ord >= ? AND ord < ? ORDER BY ord"
    return [unit_from_row(row) for row in ledger.rows(sql, (no, first, first + n))]
