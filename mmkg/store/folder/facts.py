"""Facts to rows and back. What `stage` writes, `read` gives back equal: the round trip is exact."""

from __future__ import annotations

import hashlib
import json
import logging
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any

import numpy as np

from mmkg.errors import StoreDamagedError
from mmkg.longfacts import JOINT
from mmkg.schema import PAGE_MARK, unit_id
from mmkg.store.folder.ledger import Ledger, readable
from mmkg.texts import content_key, encoder_texts, unit_inputs
from mmkg.types import DocumentFacts, Line, NameSpan, Page, Section, Timing, Unit, UnitInput

UNIT_COLUMNS = "ord, label, kind, start, end, page, box, section, cap_start, cap_end, media, width, height, sentences, names, refers, start_ms, end_ms, times, said_start, said_end"
_N_COLUMNS = UNIT_COLUMNS.count(",") + 1


log = logging.getLogger(__name__)


def facts_hash(facts: DocumentFacts) -> bytes:
    """sha256 of the facts in canonical JSON."""
    return hashlib.sha256(canonical(facts).encode("utf-8", "surrogatepass")).digest()


def canonical(value: DocumentFacts | Unit) -> str:
    """Facts, or one unit of them, in canonical JSON."""
    return json.dumps(value, default=_fields, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def _fields(value: Any) -> dict[str, Any]:
    """A dataclass as a dictionary, one level deep: unlike asdict it copies nothing.

    Fields that came in later are left out where they are empty: what has no times keeps the hash it always had.
    """
    return {f.name: x for f in fields(value) if (x := getattr(value, f.name)) or f.name not in _LATER}


_LATER = frozenset({"span_ms", "times", "described"})


def stage(ledger: Ledger, document: str, facts: DocumentFacts, *, n_bytes: int) -> int:
    """Write the facts of a document in state `staged`; returns its number. Call inside a transaction.

    Cost: O(size of the document) rows, each an indexed insert.
    """
    no = insert_document(ledger, document, facts, state="staged", n_bytes=n_bytes, recorded=facts_hash(facts))
    insert_units(ledger, no, document, facts)
    return no


def insert_document(
    ledger: Ledger, document: str, facts: DocumentFacts, *, state: str, n_bytes: int, recorded: bytes
) -> int:
    """Write the rows of a document but for its units; returns its number. recorded: the hash of its facts."""
    db = ledger.db
    cursor = db.execute(
        "INSERT INTO document (id, state, media_type, name, meta, text, n_bytes, facts_hash) VALUES (?,?,?,?,?,?,?,?)",
        (
            document,
            state,
            facts.media_type,
            facts.name,
            compact_json(dict(facts.meta)),
            zlib.compress(facts.text.encode("utf-8", "surrogatepass"), 3),
            n_bytes,
            recorded,
        ),
    )
    no = cursor.lastrowid
    assert no is not None
    db.executemany(
        "INSERT INTO section VALUES (?,?,?,?,?,?,?)",
        [(no, s.order, s.heading, s.level, s.start, s.end, s.parent) for s in facts.sections],
    )
    db.executemany(
        "INSERT INTO page VALUES (?,?,?,?,?,?,?)",
        [(no, p.number, p.width, p.height, p.start, p.end, _pack_lines(p.lines)) for p in facts.pages],
    )
    return no


def insert_units(
    ledger: Ledger,
    no: int,
    document: str,
    facts: DocumentFacts,
    *,
    n_units: int | None = None,
    per_section: Mapping[int, int] | None = None,
) -> None:
    """Write the units of a document, or of a part of it; n_units and per_section as texts.unit_inputs takes them."""
    rows = []
    for unit_input in unit_inputs(facts, n_units=n_units, per_section=per_section):
        unit = unit_input.unit
        texts = encoder_texts(facts, unit)
        rows.append(
            (
                no,
                unit_id(document, unit.label, unit.start, unit.end, unit.page, unit.ordinal, unit.span_ms),
                *_unit_row(unit),
                compact_json(unit_input.pieces),
                compact_json(unit_input.titles),
                content_key(texts) if texts else None,
            )
        )
    ledger.db.executemany(
        f"INSERT INTO unit (document, id, {UNIT_COLUMNS}, pieces, titles, key) "
        f"VALUES ({','.join('?' * (_N_COLUMNS + 5))})",
        rows,
    )


def read(ledger: Ledger, no: int) -> DocumentFacts:
    """The facts of one document. Raises StoreDamagedError for rows that cannot be read."""
    with readable(f"document {no}"):
        return _read(ledger, no)


def _read(ledger: Ledger, no: int) -> DocumentFacts:
    row = ledger.one("SELECT media_type, name, meta, text FROM document WHERE no = ?", (no,))
    if row is None:
        raise StoreDamagedError(f"document {no} has no row", hint="run `mmkg doctor`")
    units = ledger.rows(f"SELECT {UNIT_COLUMNS} FROM unit WHERE document = ? ORDER BY ord", (no,))
    return DocumentFacts(
        media_type=row[0],
        name=row[1],
        meta=json.loads(row[2]),
        text=whole_text(ledger, no, row[3]),
        sections=sections(ledger, no),
        pages=tuple(pages(ledger, no)),
        units=tuple(unit_from_row(u) for u in units),
    )


def whole_text(ledger: Ledger, no: int, data: bytes) -> str:
    """The text of a document. data: its column `text`; a long text has its parts in rows of their own."""
    rows = ledger.rows("SELECT data FROM text_part WHERE document = ? ORDER BY start", (no,))
    return JOINT.join(unpack_text(part) for (part,) in rows) if rows else unpack_text(data)


def sections(ledger: Ledger, no: int) -> tuple[Section, ...]:
    """The sections of a document, in order."""
    rows = ledger.rows(
        "SELECT ord, heading, level, start, end, parent FROM section WHERE document = ? ORDER BY ord", (no,)
    )
    return tuple(Section(order=o, heading=h, level=v, start=a, end=b, parent=p) for o, h, v, a, b, p in rows)


def pages(ledger: Ledger, no: int, number: int | None = None) -> Iterator[Page]:
    """The pages of a document, or one of them, in order."""
    sql = "SELECT number, width, height, start, end, lines FROM page WHERE document = ?"
    rows = (
        ledger.rows(sql + " ORDER BY number", (no,))
        if number is None
        else ledger.rows(sql + " AND number = ?", (no, number))
    )
    for n, width, height, start, end, lines in rows:
        yield Page(number=n, width=width, height=height, start=start, end=end, lines=_unpack_lines(lines))


def unpack_text(data: bytes) -> str:
    return zlib.decompress(data).decode("utf-8", "surrogatepass")


def unit_from_row(row: Sequence[Any]) -> Unit:
    """A unit from its UNIT_COLUMNS."""
    (
        ordinal,
        label,
        kind,
        start,
        end,
        page,
        box,
        section,
        cap_start,
        cap_end,
        media,
        width,
        height,
        sentences,
        names,
        refers,
        start_ms,
        end_ms,
        times,
        said_start,
        said_end,
    ) = row
    return Unit(
        ordinal=ordinal,
        label=label,
        kind=kind,
        start=start,
        end=end,
        page=page,
        box=tuple(json.loads(box)) if box else None,
        section=section,
        caption=None if cap_start is None else (cap_start, cap_end),
        media=media,
        width=width,
        height=height,
        sentences=unpack_spans(sentences),
        names=tuple(NameSpan(start=a, end=b, label=lab, source=src) for a, b, lab, src in json.loads(names)),
        refers_to=tuple(json.loads(refers)),
        span_ms=None if start_ms is None else (start_ms, end_ms),
        times=unpack_times(times),
        described=None if said_start is None else (said_start, said_end),
    )


def unit_input(row: Sequence[Any]) -> UnitInput:
    """What derivation sees, from UNIT_COLUMNS, pieces, titles."""
    return UnitInput(
        unit=unit_from_row(row[:_N_COLUMNS]),
        pieces=tuple((a, words) for a, words in json.loads(row[_N_COLUMNS])),
        titles=tuple((title, share) for title, share in json.loads(row[_N_COLUMNS + 1])),
    )


def unpack_spans(data: bytes) -> tuple[tuple[int, int], ...]:
    flat = np.frombuffer(data, dtype="<i4").tolist()
    return tuple(zip(flat[::2], flat[1::2], strict=True))


def unpack_times(data: bytes | None) -> tuple[Timing, ...]:
    """The column `times`: rows of four 32-bit integers, NULL where there are none."""
    rows = np.frombuffer(data or b"", dtype="<i4").reshape(-1, 4).tolist()
    return tuple(Timing(start=a, end=b, start_ms=at, end_ms=until) for a, b, at, until in rows)


def put_outputs(ledger: Ledger, rows: Mapping[tuple[bytes, str], np.ndarray[Any, Any]]) -> None:
    """Keep model output: (key, space) -> (n, dim) vectors, as half precision. Call inside a transaction."""
    ledger.db.executemany(
        "INSERT OR IGNORE INTO output VALUES (?,?,?,?)",
        [(key, space, len(x), np.ascontiguousarray(x, dtype="<f2").tobytes()) for (key, space), x in rows.items()],
    )


def outputs(
    ledger: Ledger, keys: Sequence[bytes], *, pages: bool = False
) -> dict[tuple[bytes, str], np.ndarray[Any, Any]]:
    """Stored vectors of these keys in every space: (n, dim) float16. pages: with those of pages, which are many."""
    sql = "SELECT key, space, n, data FROM output WHERE key IN {in}"
    if not pages:  # the mark is looked for before `data` is read
        sql += f" AND instr(space, '{PAGE_MARK}') = 0"
    out = {}
    for key, space, n, data in ledger.rows_in(sql, set(keys)):
        try:
            out[key, space] = np.frombuffer(data, dtype="<f2").reshape(n, -1)
        except ValueError:
            log.warning("kept vectors of %s are damaged", space)
    return out


def _unit_row(unit: Unit) -> tuple[Any, ...]:
    return (
        unit.ordinal,
        unit.label,
        unit.kind,
        unit.start,
        unit.end,
        unit.page,
        compact_json(unit.box) if unit.box else None,
        unit.section,
        unit.caption[0] if unit.caption else None,
        unit.caption[1] if unit.caption else None,
        unit.media,
        unit.width,
        unit.height,
        np.array(unit.sentences, dtype="<i4").tobytes(),
        compact_json([(n.start, n.end, n.label, n.source) for n in unit.names]),
        compact_json(unit.refers_to),
        unit.span_ms[0] if unit.span_ms else None,
        unit.span_ms[1] if unit.span_ms else None,
        np.array([(t.start, t.end, t.start_ms, t.end_ms) for t in unit.times], dtype="<i4").tobytes() or None,
        unit.described[0] if unit.described else None,
        unit.described[1] if unit.described else None,
    )


def _pack_lines(lines: Sequence[Line]) -> bytes:
    return zlib.compress(np.array([(x.start, x.end, *x.box) for x in lines], dtype="<i4").tobytes(), 3)


def _unpack_lines(data: bytes) -> tuple[Line, ...]:
    rows = np.frombuffer(zlib.decompress(data), dtype="<i4").reshape(-1, 6).tolist()
    return tuple(Line(start=a, end=b, box=(x0, y0, x1, y1)) for a, b, x0, y0, x1, y1 in rows)


def compact_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
