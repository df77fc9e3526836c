"""The values that travel between the parts of mmkg. All are frozen; none holds a handle to a store or a model.

Offsets are half-open spans [start, end) in code points of the document's text. Boxes inside facts are integers in
hundredths of a point (pages) or of a pixel (image files), origin top left; `Locator.bbox` gives them in points or pixels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from mmkg.reasons import code_of

Span = tuple[int, int]
Box = tuple[int, int, int, int]


class Modality(StrEnum):
    """What a unit is made of; `Chunk` units are TEXT."""

    TEXT = "text"
    IMAGE = "image"
    AUDIO = "audio"
    VIDEO = "video"


# ---- Facts: what the bytes of one document give ------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One printed line: its span in the document text and its box on the page."""

    start: int
    end: int
    box: Box


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One page (or the single frame of an image file): 1-based number, size in hundredths of a point or pixel."""

    number: int
    width: int
    height: int
    start: int
    end: int
    lines: tuple[Line, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A heading and the text under it (up to the next heading of the same or a higher level).

    order: ordinal in the document, from 0. level: 1 is the highest. parent: order of the enclosing section, or None.
    """

    order: int
    heading: str
    level: int
    start: int
    end: int
    parent: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NameSpan:
    """A raw name in a document's text. source: "ner", "caps", "year", or "model" (given by what described a picture).
    label: the NER label, or ""."""

    start: int
    end: int
    label: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Cue:
    """Some words of a recording (a subtitle, or one recognised word) and when they are said, half-open, in milliseconds."""

    start_ms: int
    end_ms: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """When some words of a recording are said: their span in the document text, and milliseconds from the start of the media."""

    start: int
    end: int
    start_ms: int
    end_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """What is retrieved: a chunk of text, an image, a clip.

    label: Chunk, Image or Clip. kind: text, table, code, formula (chunks); image, figure, page, frame (images); audio, video.
    start, end: span of the unit's own words in the document text (for an image: its OCR words; may be empty).
    caption: span of the caption of an image, or None. section: order of the innermost section, or None.
    media: sha256 of the picture's or clip's own blob, or None. sentences: spans inside the unit's words and caption.
    refers_to: ordinals of the image units of the same document that the text names ("Figure 3").
    span_ms: of a clip its half-open span in milliseconds; of a key frame (at, at); else None.
    times: when the words of a clip are said, ascending.
    described: span of what a model wrote of a picture; never part of its own words or its caption. None where none was asked.
    """

    ordinal: int
    label: str
    kind: str
    start: int
    end: int
    page: int | None = None
    box: Box | None = None
    section: int | None = None
    caption: Span | None = None
    media: str | None = None
    width: int | None = None
    height: int | None = None
    sentences: tuple[Span, ...] = ()
    names: tuple[NameSpan, ...] = ()
    refers_to: tuple[int, ...] = ()
    span_ms: Span | None = None
    times: tuple[Timing, ...] = ()
    described: Span | None = None

    def spans(self) -> tuple[Span, ...]:
        """The parts of the document text that make up this unit's words: caption, its own, what a model wrote of it."""
        own = ((self.start, self.end),) if self.end > self.start else ()
        return ((self.caption,) if self.caption else ()) + own + ((self.described,) if self.described else ())


TAG_PREFIX = "tag:"
"""How the names of tags begin among the properties of a document."""


LANGUAGES = "lang:units"
"""The property of a document that says which of its units are in which language other than English: "de 0-14 17, fr 15"."""
RESERVED = (TAG_PREFIX, "lang:")
"""How the names of properties begin that no file can give itself."""


def pack_ordinals(languages: Mapping[int, str]) -> str:
    """Ordinals of units by language as one property.

    >>> pack_ordinals({0: "de", 1: "de", 2: "de", 5: "de", 4: "fr"})
    'de 0-2 5, fr 4'
    """
    parts = []
    for language in sorted(set(languages.values())):
        runs: list[list[int]] = []
        for ordinal in sorted(o for o, held in languages.items() if held == language):
            if runs and runs[-1][1] == ordinal - 1:
                runs[-1][1] = ordinal
            else:
                runs.append([ordinal, ordinal])
        parts.append(" ".join([language, *(f"{a}-{b}" if b > a else str(a) for a, b in runs)]))
    return ", ".join(parts)


def languages_of(meta: Mapping[str, str]) -> dict[str, list[int]]:
    """Language -> ordinals of the units in it, from the properties of a document; what cannot be read is left out.

    >>> languages_of({"lang:units": "de 0-2 5, fr 4"})
    {'de': [0, 1, 2, 5], 'fr': [4]}
    """
    out: dict[str, list[int]] = {}
    for part in filter(None, meta.get(LANGUAGES, "").split(", ")):
        language, *runs = part.split(" ")
        held = out.setdefault(language, [])
        for run in runs:
            first, _, last = run.partition("-")
            if first.isdecimal() and (last or first).isdecimal() and int(last or first) - int(first) < 1_000_000:
                held.extend(range(int(first), int(last or first) + 1))
    return out


def tags_of(meta: Mapping[str, str]) -> dict[str, str]:
    """The tags among the properties of a document, by name, sorted.

    >>> tags_of({"author": "Ada", "tag:project": "x"})
    {'project': 'x'}
    """
    return {key.removeprefix(TAG_PREFIX): meta[key] for key in sorted(meta) if key.startswith(TAG_PREFIX)}


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentFacts:
    """All that is known of one document from its bytes alone (model vectors are kept beside, keyed by content).

    name: title from the content, or "". meta: properties found inside the file (author, camera, ...), never its path; and, under
    keys that begin with one of RESERVED, what a user said of it, and the languages of its units (loaders leave such keys out).
    """

    media_type: str
    name: str
    text: str
    sections: tuple[Section, ...] = ()
    pages: tuple[Page, ...] = ()
    units: tuple[Unit, ...] = ()
    meta: Mapping[str, str] = field(default_factory=dict)

    @property
    def tags(self) -> dict[str, str]:
        """What a user said of the document, by name."""
        return tags_of(self.meta)

    def words(self, unit: Unit) -> str:
        """The words of a unit: its caption, its own span and what a model wrote of it, joined by line breaks."""
        return "\n".join(self.text[a:b] for a, b in unit.spans())


@dataclass(frozen=True, slots=True, kw_only=True)
class Parsed:
    """What a parser child returns for one file: the facts without names, and the bytes of the media inside it."""

    facts: DocumentFacts
    media: Mapping[str, bytes] = field(default_factory=dict)
    """sha256 -> bytes of derived media (figure crops); the original file itself is not repeated here."""
    notes: tuple[str, ...] = ()
    """Things a user should know that did not stop the parse ("2 pages without text, OCR not installed")."""


# ---- The graph as rows -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A graph node. label is the primary label; units also carry the label Unit. Properties are str, int, bool or flat lists."""

    id: str
    label: str
    properties: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """A directed graph edge. source_label and target_label are the primary labels of its ends."""

    type: str
    source: str
    target: str
    source_label: str
    target_label: str
    properties: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphDelta:
    """One change of the graph: apply deletions first, then nodes, then edges (both are upserts by id).

    delete_nodes: (label, id); their edges go with them. delete_edges: edges without properties.
    """

    delete_nodes: tuple[tuple[str, str], ...] = ()
    delete_edges: tuple[Edge, ...] = ()
    nodes: tuple[Node, ...] = ()
    edges: tuple[Edge, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryResult:
    """Rows of a Cypher query. columns: names in order; rows: one tuple a row; truncated: a row limit cut it."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    truncated: bool = False
    warnings: tuple[str, ...] = ()
    """What in the query another engine would refuse (docs/cypher.md)."""

    def records(self) -> list[dict[str, Any]]:
        """The rows as dictionaries keyed by column."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]

    def __len__(self) -> int:
        return len(self.rows)


# ---- Retrieval and answers ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Hit:
    """An id and its score in one ranking (higher is better)."""

    id: str
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Locator:
    """Where in a source something lies. Fields that do not apply are None.

    chars: half-open span [start, end) into the document text. page: 1-based.
    bbox: x0, y0, x1, y1 in points (pixels for an image file), origin top left.
    seconds: half-open span from the start of the media.
    """

    chars: Span | None = None
    page: int | None = None
    bbox: tuple[float, float, float, float] | None = None
    seconds: tuple[float, float] | None = None

    def when(self) -> str:
        """The stretch or moment of a recording, "" for what has none.

        >>> Locator(seconds=(61.2, 75.0)).when(), Locator(seconds=(9.9, 9.9)).when()
        ('1:01 to 1:15', 'at 0:09')
        """
        if self.seconds is None:
            return ""
        start, end = self.seconds
        return f"at {clock(start)}" if start == end else f"{clock(start)} to {clock(end)}"

    def to_json(self) -> dict[str, Any]:
        """The keys that apply."""
        pairs = (("chars", self.chars), ("page", self.page), ("bbox", self.bbox), ("seconds", self.seconds))
        return {k: list(v) if isinstance(v, tuple) else v for k, v in pairs if v is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaClip:
    """A clip as a file of its own. lead_s: seconds in it before the clip itself begins (video starts at a key frame)."""

    data: bytes
    media_type: str
    lead_s: float = 0.0


def clock(seconds: float) -> str:
    """A moment of a recording as a person writes it.

    >>> clock(75.9), clock(3_725)
    ('1:15', '1:02:05')
    """
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return (f"{hours}:{minutes:02d}" if hours else f"{minutes}") + f":{rest:02d}"


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentRef:
    """A document as results name it. name is its title, or the file name where it has none; uri its first source."""

    id: str
    name: str
    uri: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PathStep:
    """One step of a path: a node, and the edge type that led to it ("" for the first).

    kind: entity, unit, document or section. name: what a person reads.
    """

    id: str
    kind: str
    name: str
    via: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Path:
    """A way through the graph, from a seed to what was found."""

    steps: tuple[PathStep, ...]

    def __str__(self) -> str:
        return " ".join(f"-{s.via}- {s.name}" if s.via else s.name for s in self.steps)


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """How one retriever saw a unit: 1-based rank and its own score."""

    name: str
    rank: int
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """A retrieved unit, why it was found, and where it lies."""

    id: str
    kind: str
    score: float
    text: str
    document: DocumentRef
    locator: Locator
    modality: Modality = Modality.TEXT
    channels: tuple[Channel, ...] = ()
    path: Path | None = None
    heading: str = ""
    media: str | None = None
    spans: tuple[Span, ...] = ()
    """The parts of the document text that `text` is made of, in order, joined by a line break."""
    sentences: tuple[Span, ...] = ()
    """Spans of the unit's sentences in the document text."""
    similar: tuple[str, ...] = ()
    """Ids of near-duplicates that were folded into this one."""
    described: Span | None = None
    """The part of the document text that a model wrote of a picture: no words of the file. See `is_described`."""

    def is_described(self, span: Span | None) -> bool:
        """Whether a span of the document text is what a model wrote of this picture."""
        return span is not None and self.described is not None and self.described[0] <= span[0] < self.described[1]

    def words(self, span: Span) -> str:
        """The words at a span of the document text, "" if it is not inside this unit."""
        at = 0
        for start, end in self.spans:
            if start <= span[0] and span[1] <= end:
                return self.text[at + span[0] - start : at + span[1] - start]
            at += end - start + 1
        return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Citation:
    """A quote that supports a sentence of the answer.

    marker: the number printed in the answer, from 1. evidence: id of the unit. quote: the exact words at the locator.
    verdict: supported, partial, unsupported, or unverified.
    """

    marker: int
    evidence: str
    document: DocumentRef
    locator: Locator
    quote: str
    verdict: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerSentence:
    """A sentence of an answer and the markers of the citations it carries."""

    text: str
    citations: tuple[int, ...] = ()
    supported: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer, its citations, and the evidence that was looked at.

    found: False where nothing in the base supports an answer; text then says so.
    short: the short answer a rule or model gave ("1969"), or "". timings: seconds by step.
    support: how likely the evidence supports an answer at all, 0..1, also where found is False; None where nothing says so.
    """

    question: str
    text: str
    found: bool
    short: str = ""
    sentences: tuple[AnswerSentence, ...] = ()
    citations: tuple[Citation, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    timings: Mapping[str, float] = field(default_factory=dict)
    model: str = "extractive"
    support: float | None = None


# ---- Reports -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class FileReport:
    """What `add` did with one file. status is one of schema.STATUSES; id is the document's, or "".

    reason: "" or `<code>: <text>`, see mmkg.reasons.
    """

    uri: str
    status: str
    id: str = ""
    reason: str = ""

    @property
    def reason_code(self) -> str:
        """The stable part of the reason, one of mmkg.reasons.REASONS, or ""."""
        return code_of(self.reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """A step of long work. total may grow while a folder is still being listed. eta_s: seconds left, or None."""

    stage: str
    done: int
    total: int
    item: str = ""
    eta_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """A divergence that `doctor` found. kind is from the closed list in docs/operations.md."""

    kind: str
    id: str
    detail: str
    fixed: bool = False


# ---- The derived layer -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitInput:
    """What derivation may look at for one unit: facts of its own document, nothing else.

    pieces: (start in the document text, words) of each part of the unit, caption first.
    titles: (title or heading above the unit, number of units that share it); the document's title first.
    """

    unit: Unit
    pieces: tuple[tuple[int, str], ...]
    titles: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class MentionRow:
    """One surface form of one entity in one unit.

    entity: canonical form. label: NER label or "". count: occurrences of this form (0 if only the title names it).
    title: 0, or the number of units that share the title or heading that names the entity (the same on all its forms).
    """

    entity: str
    form: str
    label: str
    count: int
    title: int


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitDerivation:
    """What one unit says about entities, given the title forms of the whole base.

    mentions: sorted by (entity, form, label). sentences: entities of each sentence of the unit, in order of first
    occurrence. aliases: (short form, long form, reason) that the unit's own words define.
    """

    mentions: tuple[MentionRow, ...] = ()
    sentences: tuple[tuple[str, ...], ...] = ()
    aliases: tuple[tuple[str, str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Depiction:
    """An entity that a picture shows. score: 0..1, three decimals. reason: why, in words."""

    entity: str
    score: float
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PassedOn:
    """What a near picture shows by itself. source: its unit id. score, reason: of the SIMILAR edge (copy, same or like)."""

    source: str
    score: float
    reason: str
    depiction: Depiction
