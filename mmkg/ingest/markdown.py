"""Loader for Markdown: the readable text, without markup, in blocks."""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmkg.config import Limits
from mmkg.ingest.builder import TextBuilder
from mmkg.ingest.decode import decode
from mmkg.ingest.raw import RawDocument
from mmkg.ingest.tables import table_rows
from mmkg.ingest.titles import definition_title

_FRONT_MATTER = re.compile(
    r"\A(?:---\n(?P<yaml>(?:[^\n]*\n){0,300}?)---|\+\+\+\n(?P<toml>(?:[^\n]*\n){0,300}?)\+\+\+)[ \t]*(?:\n|\Z)"
)
_GRID_TABLE = re.compile(r"^\+(?:[-=:]{2,}\+)+[ \t]*\n(?:[|+][^\n]*\n)+", re.MULTILINE)
_FIELD = re.compile(r"([A-Za-z][\w -]{0,40}?)\s*[:=]\s*(.*)$")
_ITEM = re.compile(r"\s*-\s+(\S.*)$")
_MOST_FIELDS = 40
_TAG = re.compile(r"<!--.*?-->|</?[A-Za-z][^<>]*>", re.DOTALL)
_BREAK_TAG = re.compile(r"<br\s*/?>", re.IGNORECASE)


def load_markdown(path: Path, media_type: str, limits: Limits, ocr: bool) -> RawDocument:
    """Markdown (CommonMark with tables). Title: front matter, else the only first heading; pictures give their alt text."""
    text = decode(path.read_bytes())
    meta, name, text = _front_matter(text)
    builder = TextBuilder(limits.characters)
    tokens = _parser().parse(_GRID_TABLE.sub(_pipe_table, text))
    _render(tokens, builder)
    if not name and builder.blocks and builder.blocks[0].kind == "text":
        name = definition_title(builder.text[:600])
    return RawDocument(media_type=media_type, text=builder.text, name=name, blocks=tuple(builder.blocks), meta=meta)


@functools.cache
def _parser() -> Any:
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark", {"maxNesting": 40}).enable(["table", "strikethrough"])


def _pipe_table(found: re.Match[str]) -> str:
    """A grid table (rows parted by +---+ lines, cells over several lines) as the pipe table that the parser knows."""
    lines = found.group().rstrip("\n").split("\n")
    edges = [i for i, c in enumerate(lines[0]) if c == "+"]
    rows: list[list[str]] = [[]]
    for line in lines[1:]:
        if line.startswith("+"):
            rows.append([])
            continue
        if len(line) == len(lines[0]) and all(line[e] in "|+" for e in edges):
            cells = [line[a + 1 : b].strip() for a, b in itertools.pairwise(edges)]
        else:  # a cell over several columns, or characters of another width
            cells = [c.strip() for c in line.strip().strip("|").split("|")]
        row = rows[-1]
        row.extend([""] * (len(cells) - len(row)))
        for i, cell in enumerate(cells):
            row[i] = f"{row[i]} {cell}".strip()
    rows = [[c.replace("|", "\\|") for c in row] for row in rows if any(row)]
    if not rows:
        return ""
    width = len(rows[0])
    out = ["| " + " | ".join(row[:width]) + " |" for row in rows]
    return "\n".join([out[0], "|" + "---|" * width, *out[1:]]) + "\n"


def _front_matter(text: str) -> tuple[dict[str, str], str, str]:
    found = _FRONT_MATTER.match(text)
    if not found:
        return {}, "", text
    fields = _fields(found["yaml"] or found["toml"] or "")
    if not fields:
        return {}, "", text
    title = fields.pop("title", "")
    return fields, title, text[found.end() :]


def _fields(block: str) -> dict[str, str]:
    """The plain fields of front matter: words, numbers and lists of them; what is nested deeper is left out.

    >>> _fields("author: Ada\\ntags:\\n  - stone\\n  - 'sea'\\nkinds: [a, b]\\n")
    {'author': 'Ada', 'tags': 'stone, sea', 'kinds': 'a, b'}
    """
    out: dict[str, list[str]] = {}
    items: list[str] | None = None
    for line in block.splitlines():
        if found := _FIELD.match(line):
            items = out.setdefault(found[1].strip().casefold(), []) if len(out) < _MOST_FIELDS else None
            value = found[2].strip()
            parts = value[1:-1].split(",") if value[:1] == "[" and value[-1:] == "]" else [value]
        elif found := _ITEM.match(line):
            parts = [found[1]]
        else:
            items = None
            continue
        if items is not None:
            items += [p for part in parts if (p := part.strip().strip("\"'"))]
    return {name: ", ".join(values) for name, values in out.items() if values}


def _render(tokens: Sequence[Any], builder: TextBuilder) -> None:
    """Walk the flat token stream; list items gather into one block, so that a list is read as a list."""
    items: list[str] = []  # lines of the open list
    counters: list[int | None] = []  # for each open list: the next number, None for bullets
    prefix = ""
    heading = 0
    rows: list[list[str]] = []

    def flush() -> None:
        if items:
            builder.add("\n".join(items))
            items.clear()

    for token in tokens:
        kind = token.type
        if kind in ("bullet_list_open", "ordered_list_open"):
            counters.append(int(token.attrGet("start") or 1) if kind[0] == "o" else None)
        elif kind in ("bullet_list_close", "ordered_list_close"):
            counters.pop()
            if not counters:
                flush()
        elif kind == "list_item_open":
            number = counters[-1]
            prefix = "  " * (len(counters) - 1) + ("- " if number is None else f"{number}. ")
            if number is not None:
                counters[-1] = number + 1
        elif kind == "heading_open":
            heading = int(token.tag[1])
        elif kind == "table_open":
            rows = []
        elif kind == "tr_open":
            rows.append([])
        elif kind == "table_close":
            flush()
            builder.add(table_rows(rows), "table")
            rows = []
        elif kind == "inline":
            words = _inline(token.children or ())
            if rows:
                rows[-1].append(words)
            elif heading:
                flush()
                builder.add(" ".join(words.split()), "heading", level=heading)
                heading = 0
            elif counters:
                if words.strip():
                    items.append((prefix or "  " * len(counters)) + words)
                prefix = ""
            else:
                builder.add(words)
        elif kind in ("fence", "code_block"):
            flush()
            builder.add(token.content, "code")
        elif kind == "html_block":
            flush()
            from mmkg.ingest.markup import add_html

            add_html(token.content, builder)
    flush()


def _inline(tokens: Sequence[Any]) -> str:
    """Words of a paragraph: a wrapped line is a space, an image its alt text, a tag nothing."""
    out: list[str] = []
    for token in tokens:
        if token.type in ("text", "code_inline"):
            out.append(token.content)
        elif token.type == "softbreak":
            out.append(" ")
        elif token.type == "hardbreak" or (token.type == "html_inline" and _BREAK_TAG.fullmatch(token.content)):
            out.append("\n")
        elif token.type == "image":
            out.append(_inline(token.children or ()) or token.content)
    return re.sub(r"[ \t]{2,}", " ", "".join(out))
