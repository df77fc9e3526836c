"""Names and id rules that the ledger, the graph engines and the exports share."""

from __future__ import annotations

import hashlib

FORMAT_VERSION = 6
"""Version of the layout of a base in a folder; docs/storage.md lists them. Older ones open, and the first writer brings them up."""

NODE_LABELS = ("Document", "Section", "Chunk", "Image", "Clip", "Unit", "Entity")
UNIT_LABELS = ("Chunk", "Image", "Clip")
EDGE_TYPES = (
    "CONTAINS",
    "NEXT",
    "MENTIONS",
    "CO_OCCURS",
    "SAME_AS",
    "REFERS_TO",
    "SHOWS",
    "DEPICTS",
    "SIMILAR",
)

STATUSES = ("added", "updated", "unchanged", "moved", "empty", "skipped", "rejected", "failed")
"""What `add` says of a file. `removed` and `pending` appear only in other reports."""

PRINT_SPACE = "mmkg-print@1"
"""Under this name the print of a picture (mmkg.algorithms.likeness) is kept with model output; it is no space that is searched."""
PROMPTS_KEY = hashlib.sha256(b"mmkg prompts 1").digest()
"""Key under which the vectors of the prompts for kinds of pictures are kept, a set for each space of pictures."""
PROBES_KEY = hashlib.sha256(b"mmkg probes 1").digest()
"""Key under which a reindex keeps what its encoder made of the probes, to know it again when it goes on."""

PAGE_MARK = "|page "
"""Stands in the name of a space under which the vectors of one page are kept: many rows, which no index holds."""

SENTENCE_ENTITIES = 12
"""CO_OCCURS counts pairs among the first this many entities of a sentence."""


def document_id(data: bytes) -> str:
    """Id of a document: sha256 of its bytes, 64 hex digits."""
    return hashlib.sha256(data).hexdigest()


def page_space(space: str, page: int) -> str:
    """The name under which the vectors of a page are kept with model output. space: key of the encoder's space.

    page: its number in the document whose id is the key of the row; 0 for a picture, whose hash is the key.

    >>> page_space("colpali@1a2b", 3)
    'colpali@1a2b|page 3'
    """
    return f"{space}{PAGE_MARK}{page}"


def subtitled_blob(recording: str, subtitles: bytes) -> bytes:
    """What a recording (its sha256) and the subtitle file beside it are as one document: its id is the hash of these bytes.

    They are kept as the document's original; the recording is a blob of its own, which its clips name.
    """
    return f"mmkg recording {recording} with these subtitles:\n".encode() + subtitles


def section_id(document: str, order: int) -> str:
    """Id of a section: its document and its ordinal in it."""
    return f"{document}/s{order}"


def unit_id(
    document: str,
    label: str,
    start: int,
    end: int,
    page: int | None,
    ordinal: int,
    span_ms: tuple[int, int] | None = None,
) -> str:
    """Id of a unit: its document and its place (character span, milliseconds, or page and ordinal).

    The words of a recording may come later than the recording, so they do not enter the ids of its clips and frames.

    >>> unit_id("d", "Chunk", 0, 12, None, 0)
    'd/c0-12'
    >>> unit_id("d", "Image", 0, 0, 3, 7)
    'd/i7p3'
    >>> unit_id("d", "Clip", 0, 0, None, 2, (0, 12_500)), unit_id("d", "Image", 0, 0, 1, 7, (800, 800))
    ('d/m0-12500', 'd/i7t800')
    """
    if label == "Chunk":
        return f"{document}/c{start}-{end}"
    if label == "Clip":
        a, b = span_ms or (0, 0)
        return f"{document}/m{a}-{b}"
    if span_ms is not None:
        return f"{document}/i{ordinal}t{span_ms[0]}"
    return f"{document}/i{ordinal}" + (f"p{page}" if page is not None else "")
