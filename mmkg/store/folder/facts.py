"""Facts to rows and back. What `stage` writes, `read` gives back equal: the round trip is exact."""

from __future__ import annotations

import hashlib
import json
import logging
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np

from mmkg.errors import StoreDamagedError
from mmkg.schema import unit_id
from mmkg.store.folder.ledger import Ledger, readable
from mmkg.texts import content_key, encoder_texts, unit_inputs
from mmkg.types import DocumentFacts, Line, NameSpan, Page, Section, Timing, Unit, UnitInput

UNIT_COLUMNS = "ord, label, kind, start, end, page, box, section, cap_start, cap_end, media, width, height, sentences, names, refers, start_ms, end_ms, times"
_N_COLUMNS = UNIT_COLUMNS.count(",") + 1


log = logging.getLogger(__name__)


def facts_hash(facts: DocumentFacts) -> bytes:
    """sha256 of the facts in canonical JSON."""
    text = json.dumps(facts, default=_fields, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def _fields(value: Any) -> dict[str, Any]:
    """A dataclass as a dictionary, one level deep: unlike asdict it copies nothing.

    Fields that came in later are left out where they are empty: what has no times keeps the hash it always had.
    """
    return {f.name: x for f in fields(value) if (x := getattr(value, f.name)) or f.name not in _LATER}


_LATER = frozenset({"span_ms", "times"})


def stage(ledger: Ledger, document: str, facts: DocumentFacts, *, n_bytes: int) -> int:
    """Write the facts of a document in state `staged`; returns its number. Call inside a transaction.

    Cost: O(size of the document) rows, each an indexed insert.
    """
    db = ledger.db
    cursor = db.execute(
        "INSERT INTO document (id, state, media_type, name, meta, text, n_bytes, facts_hash) VALUES (?,?,?,?,?,?,?,?)",
        (
            document,
            "staged",
            facts.media_type,
            facts.name,
            _json(dict(facts.meta)),
            zlib.compress(facts.text.encode("utf-8", "surrogatepass"), 3),
            n_bytes,
            facts_hash(facts),
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
    rows = []
    for unit_input in unit_inputs(facts):
        unit = unit_input.unit
        texts = encoder_texts(facts, unit)
        rows.append(
            (
                no,
                unit_id(document, unit.label, unit.start, unit.end, unit.page, unit.ordinal, unit.span_ms),
                *_unit_row(unit),
                _json(unit_input.pieces),
                _json(unit_input.titles),
                content_key(texts) if texts else None,
            )
        )
    db.executemany(
        f"INSERT INTO unit (document, id, {UNIT_COLUMNS}, pieces, titles, key) "
        f"VALUES ({','.join('?' * (_N_COLUMNS + 5))})",
        rows,
    )
    return no


def set_meta(ledger: Ledger, no: int, meta: Mapping[str, str]) -> None:
    """Give a document other properties; the hash of its facts follows. Call inside a transaction."""
    facts = replace(read(ledger, no), meta=dict(meta))
    row = (_json(dict(meta)), facts_hash(facts), no)
    ledger.db.execute("UPDATE document SET meta = ?, facts_hash = ? WHERE no = ?", row)


def read(ledger: Ledger, no: int) -> DocumentFacts:
    """The facts of one document. Raises StoreDamagedError for rows that cannot be read."""
    with readable(f"document {no}"):
        return _read(ledger, no)


def _read(ledger: Ledger, no: int) -> DocumentFacts:
    row = ledger.one("SELECT media_type, name, meta, text FROM document WHERE no = ?", (no,))
    if row is None:
        raise StoreDamagedError(f"document {no} has no row", hint="run `mmkg doctor`")
    sections = ledger.rows(
        "SELECT ord, heading, level, start, end, parent FROM section WHERE document = ? ORDER BY ord", (no,)
    )
    units = ledger.rows(f"SELECT {UNIT_COLUMNS} FROM unit WHERE document = ? ORDER BY ord", (no,))
    return DocumentFacts(
        media_type=row[0],
        name=row[1],
        meta=json.loads(row[2]),
        text=unpack_text(row[3]),
        sections=tuple(Section(order=o, heading=h, level=v, start=a, end=b, parent=p) for o, h, v, a, b, p in sections),
        pages=tuple(pages(ledger, no)),
        units=tuple(unit_from_row(u) for u in units),
    )


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


def outputs(ledger: Ledger, keys: Sequence[bytes]) -> dict[tuple[bytes, str], np.ndarray[Any, Any]]:
    """Stored vectors of these keys in every space: (n, dim) float16."""
    out = {}
    for key, space, n, data in ledger.rows_in("SELECT key, space, n, data FROM output WHERE key IN {in}", set(keys)):
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
        _json(unit.box) if unit.box else None,
        unit.section,
        unit.caption[0] if unit.caption else None,
        unit.caption[1] if unit.caption else None,
        unit.media,
        unit.width,
        unit.height,
        np.array(unit.sentences, dtype="<i4").tobytes(),
        _json([(n.start, n.end, n.label, n.source) for n in unit.names]),
        _json(unit.refers_to),
        unit.span_ms[0] if unit.span_ms else None,
        unit.span_ms[1] if unit.span_ms else None,
        np.array([(t.start, t.end, t.start_ms, t.end_ms) for t in unit.times], dtype="<i4").tobytes() or None,
    )


def _pack_lines(lines: Sequence[Line]) -> bytes:
    return zlib.compress(np.array([(x.start, x.end, *x.box) for x in lines], dtype="<i4").tobytes(), 3)


def _unpack_lines(data: bytes) -> tuple[Line, ...]:
    rows = np.frombuffer(zlib.decompress(data), dtype="<i4").reshape(-1, 6).tolist()
    return tuple(Line(start=a, end=b, box=(x0, y0, x1, y1)) for a, b, x0, y0, x1, y1 in rows)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
