"""The body of a DOCX as items: paragraphs, headings, captions, tables, pictures, in order.

Elements and attributes are known by their local names, because the strict variant of the format has other namespaces.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mmkg.config import Limits
from mmkg.errors import LimitExceededError
from mmkg.ingest.docx_parts import Container
from mmkg.ingest.pdf_text import CAPTION
from mmkg.ingest.textbuild import clean_property, clean_text

_SKIPPED = frozenset(("del", "moveFrom", "Fallback", "pPr", "rPr", "instrText", "tblPr", "trPr", "tcPr", "sectPr"))
_AUTOMATIC_ALT = re.compile(
    r"\s*Description automatically generated.*$|^(?:picture|image|graphic|grafik|bild|photo|shape|diagram)\s*\d*$|^\S+\.(?:png|jpe?g|gif|emf|wmf|bmp|tiff?|svg)$",
    re.IGNORECASE,
)


@dataclass(slots=True)
class Item:
    """A paragraph, table or picture of the body. kind: text, heading, caption, list, table, picture.

    text: the words, or a picture's alternative text. level: of a heading, 0 for the title. relation: of a picture.
    """

    kind: str
    text: str = ""
    level: int = 0
    rows: list[list[str]] = field(default_factory=list)
    relation: str = ""


@dataclass(frozen=True, slots=True)
class Style:
    """A paragraph style: its name in lower case, and the heading level it gives (0: title, -1: none)."""

    name: str
    level: int


def local(element: Any) -> str:
    """Name of an element without its namespace; "" for a comment."""
    tag = element.tag
    return tag.rsplit("}", 1)[-1] if isinstance(tag, str) else ""


def attribute(element: Any, name: str) -> str:
    """An attribute by its local name: the strict variant of the format has other namespaces."""
    for key, value in element.attrib.items():
        if key.rsplit("}", 1)[-1] == name:
            return str(value)
    return ""


def child(element: Any, *names: str) -> Any | None:
    """The first child of that name, and on from there; None where one is missing."""
    for name in names:
        found = next((c for c in element if local(c) == name), None)
        if found is None:
            return None
        element = found
    return element


def read_styles(container: Container, folder: str) -> dict[str, Style]:
    """Paragraph styles by id; the heading level is inherited from what a style builds on."""
    tree = container.tree(posixpath.join(folder, "styles.xml"))
    own: dict[str, tuple[str, str, int | None]] = {}
    for style in () if tree is None else tree:
        if local(style) != "style":
            continue
        name, based, outline = (child(style, *path) for path in (("name",), ("basedOn",), ("pPr", "outlineLvl")))
        level = _outline(outline)
        label = attribute(name, "val") if name is not None else ""
        own[attribute(style, "styleId")] = (label, attribute(based, "val") if based is not None else "", level)
    out = {}
    for key, (label, _, _) in own.items():
        level, at, seen = None, key, set()
        while level is None and at in own and at not in seen:
            seen.add(at)
            level = _named_level(own[at][0]) if _named_level(own[at][0]) is not None else own[at][2]
            at = own[at][1]
        out[key] = Style(label.lower(), -1 if level is None else level)
    return out


def _named_level(name: str) -> int | None:
    if name.lower() == "title":
        return 0
    match = re.fullmatch(r"heading ([1-9])", name.lower())
    return int(match[1]) if match else None


def _outline(element: Any | None) -> int | None:
    value = attribute(element, "val") if element is not None else ""
    # Level 9 means body text.
    return int(value) + 1 if value.isdigit() and int(value) < 9 else None


def read_body(container: Container, main: str, styles: Mapping[str, Style], limits: Limits) -> list[Item]:
    """The items of the document part; each outermost paragraph and table is forgotten once read."""
    out: list[Item] = []
    depth = characters = 0
    for event, element in container.stream(main, ("{*}p", "{*}tbl")):
        if event == "start":
            depth += 1
            continue
        depth -= 1
        if depth:
            continue
        items = _paragraph(element, styles) if local(element) == "p" else _table(element, styles)
        out += items
        characters += sum(len(i.text) + sum(map(len, (c for row in i.rows for c in row))) for i in items)
        if characters > limits.characters:
            raise LimitExceededError("characters", f"more than {limits.characters} characters of text")
        element.clear()
        parent = element.getparent()
        while parent is not None and element.getprevious() is not None:
            del parent[0]
    return out


def _paragraph(element: Any, styles: Mapping[str, Style]) -> list[Item]:
    words: list[str] = []
    pictures: list[Item] = []
    _gather(element, words, pictures)
    text = clean_text("".join(words))
    properties = child(element, "pPr")
    style = Style("", -1)
    listed = False
    if properties is not None:
        named, outline = child(properties, "pStyle"), _outline(child(properties, "outlineLvl"))
        style = styles.get(attribute(named, "val"), style) if named is not None else style
        if outline is not None and style.level < 0:
            style = Style(style.name, outline)
        listed = child(properties, "numPr") is not None
    if not text or style.name.startswith("toc "):
        return pictures
    if style.level >= 0 and len(text) <= 300:
        return [*pictures, Item("heading", text, style.level)]
    if style.name == "caption" or (CAPTION.match(text) and len(text) <= 600):
        return [*pictures, Item("caption", text)]
    return [*pictures, Item("list" if listed or style.name.startswith("list") else "text", text)]


def _gather(element: Any, words: list[str], pictures: list[Item]) -> None:
    """Words and pictures under an element, without deleted text and the second rendering of the same drawing."""
    for child in element:
        name = local(child)
        if name in _SKIPPED:
            continue
        if name == "t":
            words.append(child.text or "")
        elif name in ("tab", "br", "cr", "ptab"):
            words.append(" ")
        elif name == "noBreakHyphen":
            words.append("-")
        elif name in ("drawing", "pict", "object"):
            pictures += _pictures_in(child)
            _gather(child, words, pictures)
        else:
            if name == "p" and words:
                words.append(" ")
            _gather(child, words, pictures)


def automatic_alt(text: str) -> str:
    """A picture's alternative text without what programs write there by themselves ("Picture 3")."""
    return _AUTOMATIC_ALT.sub("", clean_property(text)).strip()


def _pictures_in(drawing: Any) -> list[Item]:
    alt = ""
    out = []
    for element in drawing.iter():
        name = local(element)
        if name == "docPr" or name == "shape":
            alt = alt or attribute(element, "descr") or attribute(element, "alt") or attribute(element, "title")
        elif name == "blip" and (relation := attribute(element, "embed")):
            out.append(Item("picture", alt, relation=relation))
        elif name == "imagedata" and (relation := attribute(element, "id")):
            out.append(Item("picture", alt or attribute(element, "title"), relation=relation))
    for item in out:
        item.text = automatic_alt(item.text)
    return out


def _table(element: Any, styles: Mapping[str, Style]) -> list[Item]:
    """A table as one item, pictures in its cells after it; a frame of one cell is what stands in it."""
    rows: list[list[str]] = []
    pictures: list[Item] = []
    cells = [
        c for row in element.iter() if local(row) == "tr" and _owner(row) is element for c in row if local(c) == "tc"
    ]
    if len(cells) == 1:
        out = []
        for child in cells[0]:
            if local(child) in ("p", "tbl"):
                out += _paragraph(child, styles) if local(child) == "p" else _table(child, styles)
        return out
    for row in element.iter():
        if local(row) != "tr" or _owner(row) is not element:
            continue
        texts = []
        for cell in (c for c in row.iter() if local(c) == "tc" and _owner(c) is element):
            words: list[str] = []
            _gather(cell, words, pictures)
            texts.append(clean_text("".join(words)))
        while texts and not texts[-1]:
            texts.pop()
        if texts:
            rows.append(texts)
    return ([Item("table", rows=rows)] if rows else []) + pictures


def _owner(element: Any) -> Any:
    """The innermost table around a row or cell."""
    return next((a for a in element.iterancestors() if local(a) == "tbl"), None)


def read_notes(tree: Any | None) -> list[Item]:
    """Footnotes or endnotes as text items."""
    out = []
    for note in () if tree is None else tree:
        if local(note) in ("footnote", "endnote") and not attribute(note, "type"):
            words: list[str] = []
            _gather(note, words, [])
            if text := clean_text("".join(words)):
                out.append(Item("text", text))
    return out
