"""Results as HTML: fragments for notebooks, and one self-contained report.

Everything that comes from documents, questions or models is escaped, pictures are embedded, and nothing points outside:
no script, no address, and a content security policy in the report that would stop them.
"""

from __future__ import annotations

import base64
import hashlib
import html
import io
import logging
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from mmkg.displaystyle import STYLE
from mmkg.errors import MMKGError
from mmkg.types import Answer, Citation, Evidence, MediaClip, Modality, Path, QueryResult

MediaLoader = Callable[[Evidence], bytes | MediaClip | None]
"""Gives the picture or the clip to show with a piece of evidence, or None. A picture must show what the evidence's box encloses."""

log = logging.getLogger(__name__)

Box = tuple[float, float, float, float]

_POLICY = (
    "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
)
_MAX_PIXELS = 100_000_000
_LARGE, _SMALL = 760, 220
"""Longest side of a picture that is cited, and of one that is not, in pixels."""
_MAX_WORDS = 900
"""Characters of a unit's text that are shown; the cut keeps what is cited."""
_MOST_CLIP = 4_000_000
"""Bytes of a clip that is played in the page; a longer one is only named."""
_PLAYED = re.compile(r"(audio|video)/[a-z0-9.+-]+")
_KINDS = {
    "frame": "frame of a film",
    "audio": "sound",
    "video": "film",
    "image": "picture",
    "figure": "figure",
    "page": "scanned page",
    "table": "table",
    "code": "code",
    "text": "text",
}
_VERDICTS = {"supported": "supported", "partial": "partial", "unverified": "unverified"}


def evidence_html(
    evidence: Evidence,
    media_loader: MediaLoader | None = None,
    *,
    citations: Sequence[Citation] = (),
    anchor: str = "",
) -> str:
    """One piece of evidence: where it lies, its words with the cited quotes marked, its picture, and how it was found.

    citations: those of an answer that point to it; their quotes are marked and their boxes drawn. anchor: id of the element.
    """
    return _evidence(evidence, _Pictures(media_loader), citations, anchor)


def answer_html(answer: Answer, media_loader: MediaLoader | None = None, *, prefix: str = "") -> str:
    """A question, its answer with numbered citations, and the evidence they lead to.

    prefix: start of the ids of elements, so that several answers can stand on one page; made from the question if "".
    """
    return _answer(answer, _Pictures(media_loader), prefix or _digest(answer.question))


def notebook_html(fragment: str) -> str:
    """A fragment with its style sheet, as a notebook shows it."""
    return f'<style>{STYLE}</style><div class="mmkg">{fragment}</div>'


def report_html(
    title: str,
    stats: Mapping[str, Any],
    answers: Sequence[Answer],
    cypher: Sequence[tuple[str, str, QueryResult]] = (),
    media_loader: MediaLoader | None = None,
) -> str:
    """A complete HTML page: what was built, the questions with answers and evidence, and Cypher queries with their rows.

    stats: label -> number, text, list or mapping. cypher: (title, query, result). The page needs no other file.
    """
    pictures = _Pictures(media_loader)
    parts = [f"<header><h1>{_text(title)}</h1></header>", _stats(stats)]
    if answers:
        entries = "".join(f'<li><a href="#q{n}">{_text(a.question)}</a></li>' for n, a in enumerate(answers, start=1))
        parts.append(f'<h2 class="part">Questions</h2><ol class="contents">{entries}</ol>')
        parts += [_answer(a, pictures, f"q{n}") for n, a in enumerate(answers, start=1)]
    if cypher:
        parts.append('<h2 class="part">The graph, asked in Cypher</h2>')
        parts += [_query(*entry) for entry in cypher]
    body = "\n".join(parts)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{_plain(title)}</title>\n<style>{STYLE}</style>\n</head>\n"
        f'<body class="mmkg">\n<div class="page">\n{body}\n'
        "<footer>Made by mmkg. Pictures are inside this file; it loads nothing and runs nothing.</footer>\n"
        "</div>\n</body>\n</html>\n"
    )


# ---- Answers and evidence --------------------------------------------------------------------------------------------


def _answer(answer: Answer, pictures: _Pictures, prefix: str) -> str:
    anchors = {e.id: f"{prefix}-{n}" for n, e in enumerate(answer.evidence, start=1)}
    by_marker = {c.marker: c for c in answer.citations}
    cited: dict[str, list[Citation]] = {}
    for citation in answer.citations:
        cited.setdefault(citation.evidence, []).append(citation)
    parts = [f'<h2 dir="auto">{_plain(answer.question)}</h2>']
    if not answer.found:
        parts.append(f'<p class="none" dir="auto">{_plain(answer.text) or "not found in the base"}</p>')
    else:
        if answer.short:
            parts.append(f'<p class="short" dir="auto">{_plain(answer.short)}</p>')
        parts.append(f"<p>{_sentences(answer, by_marker, anchors)}</p>")
    shown = [e for e in answer.evidence if e.id in cited]
    # What is cited comes first, in the order of the numbers in the text.
    shown.sort(key=lambda e: min(c.marker for c in cited[e.id]))
    parts += [_evidence(e, pictures, cited[e.id], anchors[e.id]) for e in shown]
    rest = [e for e in answer.evidence if e.id not in cited]
    if rest:
        cards = "".join(_evidence(e, pictures, (), anchors[e.id]) for e in rest)
        what = "Other evidence that was looked at" if shown else "What was looked at"
        parts.append(f"<details><summary>{what} ({len(rest)})</summary>{cards}</details>")
    if answer.timings:
        total = sum(v for k, v in answer.timings.items() if k != "total")
        parts.append(
            f'<p class="small soft">{_plain(answer.model)}, {1000 * answer.timings.get("total", total):.0f} ms</p>'
        )
    return f'<section class="answer" id="{prefix}">{"".join(parts)}</section>'


def _sentences(answer: Answer, by_marker: Mapping[int, Citation], anchors: Mapping[str, str]) -> str:
    if not answer.sentences:
        return f'<span dir="auto">{_plain(answer.text)}</span>'
    out = []
    for sentence in answer.sentences:
        links = ""
        for marker in sentence.citations:
            citation = by_marker.get(marker)
            target = anchors.get(citation.evidence) if citation else None
            links += f'<a href="#{target}">{marker}</a>' if target else f"{marker} "
        mark = "" if sentence.supported else ' class="unsupported" title="no evidence supports this sentence"'
        out.append(f'<span dir="auto"{mark}>{_plain(sentence.text)}</span>' + (f"<sup>{links}</sup>" if links else ""))
    return " ".join(out)


def _evidence(evidence: Evidence, pictures: _Pictures, citations: Sequence[Citation], anchor: str) -> str:
    badges = "".join(f'<span class="badge">{c.marker}</span>' for c in citations)
    name = evidence.document.name or _file_name(evidence.document.uri)
    where = ", ".join(filter(None, (_file_name(evidence.document.uri), _place(evidence))))
    kind = _KINDS.get(evidence.kind, evidence.kind)
    head = (
        f'<div class="head">{badges}<span class="name" dir="auto">{_plain(name)}</span>'
        f'<span class="kind">{_plain(kind)}</span><span class="small soft" dir="auto">{_plain(where)}</span></div>'
    )
    heading = ""
    if evidence.heading and evidence.heading != name and not evidence.text.startswith(evidence.heading):
        heading = f'<div class="small soft" dir="auto">{_plain(evidence.heading)}</div>'
    words = _marked(evidence.text, [c.quote for c in citations])
    picture = pictures.figure(evidence, citations)
    body = f'<p class="words" dir="auto">{words}</p>' if words else ""
    parts = [head, heading, f'<div class="body">{body}{picture}</div>' if body or picture else ""]
    notes = []
    if evidence.described is not None:
        cited = any(evidence.is_described(c.locator.chars) for c in citations)
        notes.append(f"{'what is cited is' if cited else 'its last words are'} a model's caption, no words of the file")
    for citation in citations:
        verdict = _VERDICTS.get(citation.verdict, "wrong")
        notes.append(f'<span class="{verdict}">[{citation.marker}] {_plain(citation.verdict)}</span>')
    if evidence.channels:
        found = ", ".join(f"{_plain(c.name)} (rank {c.rank})" for c in evidence.channels)
        notes.append(f"found by {found}")
    if evidence.path is not None:
        parts.append(_path(evidence.path))
    if notes:
        parts.append(f'<div class="small soft">{"; ".join(notes)}</div>')
    identity = f' id="{html.escape(anchor, quote=True)}"' if anchor else ""
    return f'<article class="evidence"{identity}>{"".join(parts)}</article>'


def _path(path: Path) -> str:
    """The steps as chips; the edge that led to each stands before it."""
    items = []
    for step in path.steps:
        via = f'<span class="via">{_plain(step.via.lower().replace("_", " "))} &rarr;</span>' if step.via else ""
        kind = step.kind if step.kind in ("entity", "unit", "document", "section") else "other"
        items.append(f'<li>{via}<span class="chip {kind}" dir="auto">{_plain(_short(step.name, 70))}</span></li>')
    return f'<ol class="path" aria-label="path through the graph">{"".join(items)}</ol>'


def _marked(text: str, quotes: Iterable[str]) -> str:
    """The escaped text with each quote marked; a long text is cut around the first quote."""
    spans = []
    for quote in quotes:
        # A quote comes from the document's text; the unit's own text may break its lines elsewhere.
        pattern = r"\s+".join(re.escape(word) for word in quote.split())
        if pattern and (match := re.search(pattern, text)):
            spans.append(match.span())
    spans.sort()
    first, last = 0, len(text)
    if last > _MAX_WORDS:
        middle = spans[0][0] if spans else 0
        first = max(0, min(middle - _MAX_WORDS // 3, len(text) - _MAX_WORDS))
        last = first + _MAX_WORDS
    out, at = (["&hellip; "] if first else []), first
    for start, end in spans:
        start, end = max(start, at), min(end, last)
        if start < end:
            out.append(f"{_plain(text[at:start])}<mark>{_plain(text[start:end])}</mark>")
            at = end
    out.append(_plain(text[at:last]) + (" &hellip;" if last < len(text) else ""))
    return "".join(out)


# ---- Pictures ----------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Pictures:
    """Loads and reduces each picture once."""

    loader: MediaLoader | None
    _made: dict[tuple[str, int], str] = field(default_factory=dict)
    _clips: dict[tuple[str, int], bytes | MediaClip | None] = field(default_factory=dict)

    def figure(self, evidence: Evidence, citations: Sequence[Citation]) -> str:
        if evidence.modality in (Modality.AUDIO, Modality.VIDEO):
            return self._player(evidence, citations)
        side = _LARGE if citations else _SMALL
        key = evidence.media or evidence.id, side
        if key not in self._made:
            data = self.loader(evidence) if self.loader is not None else None
            self._made[key] = thumbnail(data, side) if isinstance(data, bytes) and data else ""
        address = self._made[key]
        if not address:
            return ""
        boxes = "".join(_box(evidence.locator.bbox, c) for c in citations)
        name = html.escape(_clean(_short(evidence.document.name or _file_name(evidence.document.uri), 120)), quote=True)
        size = "" if citations else ' class="tiny"'
        return f'<figure{size}><span class="frame"><img src="{address}" alt="{name}">{boxes}</span></figure>'

    def _player(self, evidence: Evidence, citations: Sequence[Citation]) -> str:
        """A clip that is cited, ready at the cited second; others are not embedded, a page of hits would be heavy."""
        if not citations or self.loader is None:
            return ""
        key = evidence.id, 0
        if key not in self._clips:
            try:
                self._clips[key] = self.loader(evidence)
            except MMKGError as e:
                log.warning("%s: no clip in the page: %s", evidence.id, e)
                self._clips[key] = None
        clip = self._clips[key]
        if not isinstance(clip, MediaClip) or len(clip.data) > _MOST_CLIP or not _PLAYED.fullmatch(clip.media_type):
            return ""
        begin = evidence.locator.seconds[0] if evidence.locator.seconds else 0.0
        said = min((c.locator.seconds[0] for c in citations if c.locator.seconds), default=begin)
        at = max(0.0, clip.lead_s + said - begin)
        address = f"data:{clip.media_type};base64,{base64.b64encode(clip.data).decode()}#t={at:.1f}"
        tag = "video" if evidence.modality == Modality.VIDEO else "audio"
        return f'<figure class="clip"><{tag} controls preload="metadata" src="{address}"></{tag}></figure>'


def thumbnail(data: bytes, side: int = _LARGE) -> str:
    """A picture as a data: address, reduced to at most `side` pixels a side; "" if it cannot be read or is too large."""
    from PIL import Image, ImageOps

    try:
        with Image.open(io.BytesIO(data)) as image:
            if image.width * image.height > _MAX_PIXELS:
                return ""
            image.draft("RGB", (2 * side, 2 * side))
            upright = ImageOps.exif_transpose(image)
            if upright.mode in ("RGBA", "LA", "PA", "P"):
                ground = Image.new("RGBA", upright.size, "white")
                upright = Image.alpha_composite(ground, upright.convert("RGBA"))
            small = upright.convert("RGB")
        small.thumbnail((side, side), Image.Resampling.LANCZOS)
        made = []
        for kind, options in (("jpeg", {"quality": 82, "subsampling": 0}), ("png", {"optimize": True})):
            out = io.BytesIO()
            small.save(out, kind, **options)
            made.append((out.tell(), kind, out.getvalue()))
    except Exception:  # an adapter over foreign decoders: a picture that cannot be shown must not cost the page
        return ""
    _, kind, best = min(made)
    return f"data:image/{kind};base64,{base64.b64encode(best).decode()}"


def _box(region: Box | None, citation: Citation) -> str:
    """A frame over the part of the picture that a citation points to, where that is a true part of it."""
    part = citation.locator.bbox
    if region is None or part is None:
        return ""
    width, height = region[2] - region[0], region[3] - region[1]
    if width <= 0 or height <= 0:
        return ""
    # The picture shows the region; a small margin keeps the frame off the letters.
    left = (part[0] - region[0]) / width - 0.006
    top = (part[1] - region[1]) / height - 0.006
    right = (part[2] - region[0]) / width + 0.006
    bottom = (part[3] - region[1]) / height + 0.006
    left, top, right, bottom = (min(1.0, max(0.0, v)) for v in (left, top, right, bottom))
    if right <= left or bottom <= top or (right - left) * (bottom - top) > 0.9:
        return ""
    style = f"left:{left:.2%};top:{top:.2%};width:{right - left:.2%};height:{bottom - top:.2%}"
    return f'<span class="box" style="{style}"></span>'


# ---- Numbers and tables ------------------------------------------------------------------------------------------------


def _stats(stats: Mapping[str, Any]) -> str:
    if not stats:
        return ""
    tiles = []
    for label, value in stats.items():
        if label == "bytes" and isinstance(value, int):
            label, value = "size", _size(value)
        wide = " wide" if isinstance(value, Mapping | list | tuple) or len(str(value)) > 12 else ""
        tiles.append(
            f'<div class="tile{wide}"><dt>{_plain(label.replace("_", " "))}</dt><dd dir="auto">{_cell(value, grouped=True)}</dd></div>'
        )
    return f'<dl class="tiles">{"".join(tiles)}</dl>'


def _size(n_bytes: int) -> str:
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if n_bytes >= factor:
            return f"{n_bytes / factor:.1f} {unit}"
    return f"{n_bytes} bytes"


def _query(title: str, query: str, result: QueryResult) -> str:
    head = f'<h2 dir="auto">{_plain(title)}</h2><pre>{_plain(query)}</pre>'
    return f'<section class="query">{head}{_rows(result)}</section>'


def _rows(result: QueryResult) -> str:
    head = "".join(f"<th>{_plain(c)}</th>" for c in result.columns)
    rows = []
    for row in result.rows:
        cells = (f'<td{_number(v)} dir="auto">{_cell(v)}</td>' for v in row)
        rows.append(f"<tr>{''.join(cells)}</tr>")
    note = "first rows only; " if result.truncated else ""
    count = f"{len(result)} row" + ("" if len(result) == 1 else "s")
    return (
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'
        f'<p class="small soft">{note}{count}</p>'
    )


def _number(value: Any) -> str:
    return ' class="number"' if isinstance(value, int | float) and not isinstance(value, bool) else ""


def _cell(value: Any, *, grouped: bool = False) -> str:
    """grouped: large numbers with separators; not in query results, where a number may be a year."""
    if value is None:
        return '<span class="soft">none</span>'
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}" if grouped else str(value)
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 10_000 else f"{value:.0f}"
    if isinstance(value, Mapping):
        return ", ".join(f"{_plain(str(k))}: {_cell(v, grouped=grouped)}" for k, v in value.items())
    if isinstance(value, list | tuple | set | frozenset):
        return ", ".join(
            _cell(v, grouped=grouped) for v in (sorted(value, key=str) if isinstance(value, set | frozenset) else value)
        )
    return _plain(_short(str(value), 400))


# ---- Text ----------------------------------------------------------------------------------------------------------------


def _clean(text: str) -> str:
    """Without characters that HTML forbids (control characters other than white space, half surrogates) or that a terminal
    acts on when a page is printed there: a carriage return ends a line, marks of direction go, as they do from documents."""
    text = re.sub("[\u200e\u200f\u061c\u202a-\u202e\u2066-\u2069]", "", text.replace("\r\n", "\n").replace("\r", "\n"))
    return re.sub(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]", "\ufffd", text)


def _plain(text: str) -> str:
    """Foreign text made inert."""
    return html.escape(_clean(text), quote=True)


def _text(text: str) -> str:
    """The same in an element of its own, so that marks of direction in it end with it."""
    return f'<span dir="auto">{_plain(text)}</span>'


def _short(text: str, length: int) -> str:
    text = " ".join(text.split())
    return text if len(text) <= length else text[: length - 1].rstrip() + "\u2026"


def _file_name(uri: str) -> str:
    last = re.split(r"[/\\]", uri.rstrip("/\\"))[-1]
    return unquote(last) if uri.startswith("file:") else last


def _place(evidence: Evidence) -> str:
    locator = evidence.locator
    if locator.seconds is not None:
        return locator.when()
    # A picture file is one page; saying so would tell nothing.
    return f"page {locator.page}" if locator.page is not None and evidence.kind != "image" else ""


def _digest(text: str) -> str:
    return "a" + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:10]


def enable_notebook_views() -> None:
    """Give Answer, Evidence and QueryResult the method by which notebooks show them. Calling it again changes nothing."""
    views: tuple[tuple[type, Callable[[Any], str]], ...] = (
        (Answer, answer_html),
        (Evidence, evidence_html),
        (QueryResult, _rows),
    )
    for kind, view in views:
        setattr(kind, "_repr_html_", lambda self, view=view: notebook_html(view(self)))  # noqa: B010


__all__ = [
    "MediaLoader",
    "answer_html",
    "enable_notebook_views",
    "evidence_html",
    "notebook_html",
    "report_html",
    "thumbnail",
]
