"""Loaders for CSV, TSV and JSON: one row or record a line, "column: value; column: value", which reads and retrieves well."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mmkg.config import Limits
from mmkg.errors import LoadError
from mmkg.ingest.builder import TextBuilder
from mmkg.ingest.decode import decode
from mmkg.ingest.raw import RawDocument
from mmkg.ingest.textkind import find_delimiter

_NUMBER = re.compile(r"[-+(]?[$€£]?\s?\d[\d.,:/ -]*(?:[eE][-+]?\d+)?\s?%?\)?")
_FIELD_LIMIT = 16 * 2**20


def load_table(path: Path, media_type: str, limits: Limits, ocr: bool) -> RawDocument:
    """CSV or TSV (also with ; or |). The first row names the columns if it looks like a header."""
    text = decode(path.read_bytes())
    lines = [line for line in text.split("\n", 200)[:200] if line.strip()]
    delimiter = "\t" if media_type == "text/tab-separated-values" else find_delimiter(lines) or ","
    csv.field_size_limit(_FIELD_LIMIT)
    try:
        rows = [
            row for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter) if any(map(str.strip, row))
        ]
    except csv.Error as e:
        raise LoadError(f"not a readable table: {e}") from e
    builder = TextBuilder(limits.characters)
    builder.add(table_rows(rows), "table")
    return RawDocument(media_type=media_type, text=builder.text, blocks=tuple(builder.blocks))


def table_rows(rows: Sequence[Sequence[str]]) -> str:
    """Rows as lines of text: "column: value; column: value" with a header, else "value; value". Empty cells are left out.

    >>> print(table_rows([["Mission", "Year"], ["Apollo 11", "1969"], ["Apollo 13", "1970"]]))
    Mission: Apollo 11; Year: 1969
    Mission: Apollo 13; Year: 1970
    """
    cells = [[" ".join(cell.split()) for cell in row] for row in rows]
    cells = [row for row in cells if any(row)]
    header = cells.pop(0) if len(cells) > 1 and is_header(cells[0]) else None
    return "\n".join(named_row(header, row) for row in cells)


def named_row(header: Sequence[str] | None, row: Sequence[str]) -> str:
    """One row as a line; header: the names of the columns, or None. Cells hold no line breaks.

    >>> named_row(["Mission", ""], ["Apollo 11", "1969", "July"]), named_row(None, ["a", "", "b"])
    ('Mission: Apollo 11; 1969; July', 'a; b')
    """
    if header is None:
        return "; ".join(c for c in row if c)
    names = [*header, *[""] * (len(row) - len(header))]
    return "; ".join(f"{n}: {c}" if n else c for n, c in zip(names, row, strict=False) if c)


def is_header(first: Sequence[str]) -> bool:
    """Short, distinct names without numbers. A table of words only is taken to have a header, as most have."""
    named = [c for c in first if c]
    if len(named) < max(1, len(first) - 1) or len(set(named)) < len(named) or any(len(c) > 80 for c in named):
        return False
    return not any(_NUMBER.fullmatch(c) for c in named) or all(re.fullmatch(r"(?:19|20)\d\d", c) for c in named[1:])


def load_json(path: Path, media_type: str, limits: Limits, ocr: bool) -> RawDocument:
    """JSON or JSON Lines. A list of flat objects becomes rows; anything else one line a value, "path.to[0].it: value"."""
    text = decode(path.read_bytes())
    try:
        if media_type == "application/jsonl":
            value: Any = [_parse(line) for line in text.split("\n") if line.strip()]
        else:
            value = _parse(text)
    except RecursionError as e:
        raise LoadError("the JSON is nested too deeply", code="nested") from e
    except ValueError:
        if media_type == "application/jsonl":
            raise LoadError("not valid JSON Lines: a line is not JSON") from None
        # It began like JSON and is not: cut short, or another notation. Its words are still text.
        builder = TextBuilder(limits.characters)
        builder.add(text, "code")
        note = ("not valid JSON; read as plain text",)
        return RawDocument(media_type=media_type, text=builder.text, blocks=tuple(builder.blocks), notes=note)
    builder = TextBuilder(limits.characters)
    name = ""
    if isinstance(value, dict):
        name = next((value[k] for k in ("title", "name") if isinstance(value.get(k), str)), "")
        if isinstance(value.get("cells"), list) and "nbformat" in value:
            return _notebook(value, media_type, builder)
    builder.add("\n".join(_json_lines(value, limits.characters)), "table")
    return RawDocument(media_type=media_type, text=builder.text, name=name, blocks=tuple(builder.blocks))


def _parse(text: str) -> Any:
    # Numbers stay as they are written: no rounding, and no work for a number of a million digits.
    return json.loads(text, parse_int=str, parse_float=str, parse_constant=str)


def _json_lines(value: Any, most: int) -> Iterator[str]:
    """Lines for a JSON value, without recursion; stops once more than `most` characters came out."""
    stack: list[tuple[str, Any]] = [("", value)]
    size = 0
    while stack and size <= most:
        path, item = stack.pop()
        line = ""
        if (
            isinstance(item, dict)
            and item
            and all(not isinstance(v, dict | list) for v in item.values())
            and path[-1:] in ("]", "")
        ):
            line = "; ".join(f"{k}: {_scalar(v)}" for k, v in item.items() if v not in (None, ""))
        elif isinstance(item, dict):
            stack.extend((f"{path}.{k}" if path else str(k), v) for k, v in reversed(item.items()))
        elif isinstance(item, list):
            if all(not isinstance(v, dict | list) for v in item):
                words = ", ".join(_scalar(v) for v in item if v not in (None, ""))
                line = f"{path}: {words}" if path and words else words
            else:
                stack.extend(
                    (f"{path}[{i}]", v) for i, v in zip(range(len(item) - 1, -1, -1), reversed(item), strict=True)
                )
        elif item not in (None, ""):
            line = f"{path}: {_scalar(item)}" if path else _scalar(item)
        if line:
            size += len(line)
            yield line


def _scalar(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return " ".join(str(value).split())


def _notebook(value: dict[str, Any], media_type: str, builder: TextBuilder) -> RawDocument:
    """A Jupyter notebook: its Markdown and code cells; outputs are left out."""
    for cell in value["cells"]:
        if not isinstance(cell, dict):
            continue
        source = cell.get("source", "")
        text = "".join(map(str, source)) if isinstance(source, list) else str(source)
        if cell.get("cell_type") == "code":
            builder.add(text, "code")
        elif heading := re.match(r"(#{1,6}) +([^\n]+)\n?", text):
            builder.add(heading[2], "heading", level=len(heading[1]))
            builder.add(text[heading.end() :])
        else:
            builder.add(text)
    return RawDocument(media_type=media_type, text=builder.text, blocks=tuple(builder.blocks))
