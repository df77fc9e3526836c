"""What the commands print: JSON as promised, tables on a terminal, and nothing that a document's text could make active."""

from __future__ import annotations

import json
import sys
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import unquote

import click

from mmkg.types import Answer, Evidence, Locator


def plain(value: Any) -> str:
    """Text without control or bidirectional-override characters: a document cannot move the cursor or colour the screen.

    >>> plain("a\\x1b[31mb\\nc")
    'a[31mb c'
    """
    text = str(value).replace("\n", " ").replace("\t", " ").replace("\r", " ")
    return "".join(c for c in text if unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Zl", "Zp"))


def cell(value: Any) -> str:
    """A value in a tab-separated line. A text that a spreadsheet would run as a formula gets an apostrophe before it.

    Numbers stay as they are. For the exact text, `--json`.

    >>> cell("=1+1"), cell(-1), cell("-rf")
    ("'=1+1", '-1', "'-rf")
    """
    text = plain(value)
    return f"'{text}" if isinstance(value, str) and text.lstrip()[:1] in _FORMULA else text


_FORMULA = frozenset("=+-@\uff1d\uff0b\uff0d\uff20")


def emit_json(value: Any) -> None:
    """One JSON document on stdout; characters that a terminal could act on are written as escapes, which mean the same."""
    text = json.dumps(value, ensure_ascii=False, indent=2, default=str)
    if not text.replace("\n", "").isprintable():
        text = "".join(c if c == "\n" or c.isprintable() else json.dumps(c)[1:-1] for c in text)
    click.echo(text)


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """A table on a terminal; tab-separated lines otherwise."""
    if not sys.stdout.isatty():
        click.echo("\t".join(plain(c) for c in columns))
        for row in rows:
            click.echo("\t".join(cell(v) for v in row))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    view = Table(header_style="bold", show_lines=False)
    for column in columns:
        view.add_column(Text(plain(column)), overflow="fold")
    for row in rows:
        view.add_row(*(Text(plain(v)) for v in row))
    Console().print(view)


def note(message: str) -> None:
    """A line for a person, on stderr."""
    click.echo(message, err=True)


def shorten(text: str, width: int) -> str:
    """The text in one line of at most `width` characters."""
    flat = " ".join(plain(text).split())
    return flat if len(flat) <= width else flat[: width - 1] + "…"


def source_name(uri: str) -> str:
    """A source as a person knows it: the path of a file, else the URI.

    >>> source_name("file:///a/my%20notes.md")
    '/a/my notes.md'
    """
    return plain(unquote(uri.removeprefix("file://")) if uri.startswith("file://") else uri)


def place(locator: Locator) -> str:
    """Where something lies, as a person says it.

    >>> place(Locator(page=3, chars=(0, 9)))
    'page 3'
    >>> place(Locator(seconds=(61.2, 75.0), chars=(0, 9)))
    '1:01 to 1:15'
    """
    if locator.seconds is not None:
        return locator.when()
    if locator.page is not None:
        box = f", box {'/'.join(f'{v:.0f}' for v in locator.bbox)}" if locator.bbox else ""
        return f"page {locator.page}{box}"
    return f"characters {locator.chars[0]}-{locator.chars[1]}" if locator.chars else ""


def evidence_json(evidence: Evidence) -> dict[str, Any]:
    """A hit, as docs/json.md promises."""
    return {
        "id": evidence.id,
        "kind": evidence.kind,
        "modality": str(evidence.modality),
        "score": round(evidence.score, 6),
        "text": evidence.text,
        "heading": evidence.heading,
        "document": _document(evidence.document),
        "locator": evidence.locator.to_json(),
        "channels": [{"name": c.name, "rank": c.rank, "score": round(c.score, 6)} for c in evidence.channels],
        "path": None
        if evidence.path is None
        else [{"id": s.id, "kind": s.kind, "name": s.name, "via": s.via} for s in evidence.path.steps],
        "similar": list(evidence.similar),
        "described": None if evidence.described is None else list(evidence.described),
    }


def answer_json(answer: Answer) -> dict[str, Any]:
    """An answer, as docs/json.md promises."""
    return {
        "question": answer.question,
        "answer": answer.text,
        "short": answer.short,
        "found": answer.found,
        "support": None if answer.support is None else round(answer.support, 4),
        "model": answer.model,
        "sentences": [
            {"text": s.text, "citations": list(s.citations), "supported": s.supported} for s in answer.sentences
        ],
        "citations": [
            {
                "marker": c.marker,
                "evidence": c.evidence,
                "document": _document(c.document),
                "locator": c.locator.to_json(),
                "quote": c.quote,
                "verdict": c.verdict,
            }
            for c in answer.citations
        ],
        "evidence": [evidence_json(e) for e in answer.evidence],
        "timings": dict(answer.timings),
    }


def print_answer(answer: Answer, *, evidence: bool = True) -> None:
    """An answer for a person: text, citations with their place, and the paths that led there."""
    click.echo(plain(answer.text))
    by_id = {e.id: e for e in answer.evidence}
    for c in answer.citations:
        where = place(c.locator)
        click.echo(f"  [{c.marker}] {plain(c.document.name)}{', ' + where if where else ''}")
        if c.verdict not in ("supported", "unverified"):
            click.echo(f"      ({c.verdict})")
        if c.evidence in by_id and by_id[c.evidence].is_described(c.locator.chars):
            click.echo("      (a model's caption of the picture, no words of the file)")
        click.echo(f"      “{shorten(c.quote, 200)}”")
        found = by_id.get(c.evidence)
        if evidence and found is not None and found.path is not None:
            click.echo(f"      found by: {shorten(str(found.path), 160)}")


def report_counts(counts: Mapping[str, int]) -> str:
    """ "3 added, 1 rejected"."""
    return ", ".join(f"{n} {status}" for status, n in counts.items()) or "nothing to do"


def _document(document: Any) -> dict[str, str]:
    return {"id": document.id, "name": document.name, "uri": document.uri}
