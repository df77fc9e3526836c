"""Facts to JSON and back, exactly. Used on the pipe from parser processes and by the stores.

Keys are the field names; fields that have their default value are left out, so that the form is small and its hash does
not change when a later version adds a field with a default.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from mmkg.types import Box, DocumentFacts, Line, NameSpan, Page, Section, Span, Timing, Unit

T = TypeVar("T")


def to_json(facts: DocumentFacts) -> dict[str, Any]:
    """The facts as a JSON object of plain lists, dictionaries, strings and integers.

    >>> to_json(DocumentFacts(media_type="text/plain", name="", text="a"))
    {'media_type': 'text/plain', 'name': '', 'text': 'a'}
    """
    out: dict[str, Any] = {"media_type": facts.media_type, "name": facts.name, "text": facts.text}
    if facts.sections:
        out["sections"] = [_section(s) for s in facts.sections]
    if facts.pages:
        out["pages"] = [_page(p) for p in facts.pages]
    if facts.units:
        out["units"] = [unit_to_json(u) for u in facts.units]
    if facts.meta:
        out["meta"] = {key: facts.meta[key] for key in sorted(facts.meta)}
    return out


def from_json(value: Mapping[str, Any]) -> DocumentFacts:
    """The inverse of to_json. Raises ValueError where the object is not of that form.

    >>> facts = DocumentFacts(media_type="text/plain", name="", text="a", units=(Unit(ordinal=0, label="Chunk",
    ...     kind="text", start=0, end=1, sentences=((0, 1),)),))
    >>> from_json(to_json(facts)) == facts
    True
    """
    try:
        meta = value.get("meta", {})
        if not isinstance(meta, dict):
            raise TypeError("meta is not an object")
        return DocumentFacts(
            media_type=_str(value["media_type"]),
            name=_str(value["name"]),
            text=_str(value["text"]),
            sections=_all(_read_section, value.get("sections", ())),
            pages=_all(_read_page, value.get("pages", ())),
            units=_all(unit_from_json, value.get("units", ())),
            meta={_str(k): _str(v) for k, v in meta.items()},
        )
    except (TypeError, KeyError, AttributeError) as e:
        raise ValueError(f"not the facts of a document: {type(e).__name__}: {e}") from e


def unit_to_json(unit: Unit) -> dict[str, Any]:
    """One unit as a JSON object."""
    out: dict[str, Any] = {
        "ordinal": unit.ordinal,
        "label": unit.label,
        "kind": unit.kind,
        "start": unit.start,
        "end": unit.end,
    }
    for key in ("page", "section", "media", "width", "height"):
        if (value := getattr(unit, key)) is not None:
            out[key] = value
    if unit.box is not None:
        out["box"] = list(unit.box)
    if unit.caption is not None:
        out["caption"] = list(unit.caption)
    if unit.sentences:
        out["sentences"] = [list(s) for s in unit.sentences]
    if unit.names:
        out["names"] = [[n.start, n.end, n.label, n.source] for n in unit.names]
    if unit.refers_to:
        out["refers_to"] = list(unit.refers_to)
    if unit.span_ms is not None:
        out["span_ms"] = list(unit.span_ms)
    if unit.times:
        out["times"] = [[t.start, t.end, t.start_ms, t.end_ms] for t in unit.times]
    if unit.described is not None:
        out["described"] = list(unit.described)
    return out


def unit_from_json(value: Mapping[str, Any]) -> Unit:
    """The inverse of unit_to_json. Raises ValueError, TypeError or KeyError where the object is not of that form."""
    return Unit(
        ordinal=_int(value["ordinal"]),
        label=_str(value["label"]),
        kind=_str(value["kind"]),
        start=_int(value["start"]),
        end=_int(value["end"]),
        page=_maybe(_int, value.get("page")),
        box=_maybe(_box, value.get("box")),
        section=_maybe(_int, value.get("section")),
        caption=_maybe(_span, value.get("caption")),
        media=_maybe(_str, value.get("media")),
        width=_maybe(_int, value.get("width")),
        height=_maybe(_int, value.get("height")),
        sentences=_all(_span, value.get("sentences", ())),
        names=_all(_name, value.get("names", ())),
        refers_to=_all(_int, value.get("refers_to", ())),
        span_ms=_maybe(_span, value.get("span_ms")),
        times=_all(_timing, value.get("times", ())),
        described=_maybe(_span, value.get("described")),
    )


def _section(section: Section) -> dict[str, Any]:
    out: dict[str, Any] = {
        "order": section.order,
        "heading": section.heading,
        "level": section.level,
        "start": section.start,
        "end": section.end,
    }
    if section.parent is not None:
        out["parent"] = section.parent
    return out


def _read_section(value: Mapping[str, Any]) -> Section:
    return Section(
        order=_int(value["order"]),
        heading=_str(value["heading"]),
        level=_int(value["level"]),
        start=_int(value["start"]),
        end=_int(value["end"]),
        parent=_maybe(_int, value.get("parent")),
    )


def _page(page: Page) -> dict[str, Any]:
    out: dict[str, Any] = {
        "number": page.number,
        "width": page.width,
        "height": page.height,
        "start": page.start,
        "end": page.end,
    }
    if page.lines:
        # One flat list a line: pages of a book have tens of thousands of lines.
        out["lines"] = [[line.start, line.end, *line.box] for line in page.lines]
    return out


def _read_page(value: Mapping[str, Any]) -> Page:
    return Page(
        number=_int(value["number"]),
        width=_int(value["width"]),
        height=_int(value["height"]),
        start=_int(value["start"]),
        end=_int(value["end"]),
        lines=_all(_read_line, value.get("lines", ())),
    )


def _read_line(value: Any) -> Line:
    start, end, *box = _ints(value, 6)
    return Line(start=start, end=end, box=_box(box))


def _timing(value: Any) -> Timing:
    start, end, start_ms, end_ms = _ints(value, 4)
    return Timing(start=start, end=end, start_ms=start_ms, end_ms=end_ms)


def _name(value: Any) -> NameSpan:
    if not isinstance(value, list | tuple) or len(value) != 4:
        raise ValueError(f"expected [start, end, label, source], got {value!r:.100}")
    return NameSpan(start=_int(value[0]), end=_int(value[1]), label=_str(value[2]), source=_str(value[3]))


def _all(read: Callable[[Any], T], values: Any) -> tuple[T, ...]:
    if not isinstance(values, list | tuple):
        raise TypeError(f"expected a list, got {type(values).__name__}")
    return tuple(read(value) for value in values)


def _maybe(read: Callable[[Any], T], value: Any) -> T | None:
    return None if value is None else read(value)


def _int(value: Any) -> int:
    if type(value) is not int:
        raise TypeError(f"expected an integer, got {value!r:.100}")
    return value


def _str(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected a string, got {value!r:.100}")
    return value


def _ints(value: Any, n: int) -> tuple[int, ...]:
    if not isinstance(value, list | tuple) or len(value) != n:
        raise ValueError(f"expected {n} integers, got {value!r:.100}")
    return tuple(_int(v) for v in value)


def _span(value: Any) -> Span:
    start, end = _ints(value, 2)
    return start, end


def _box(value: Any) -> Box:
    x0, y0, x1, y1 = _ints(value, 4)
    return x0, y0, x1, y1
