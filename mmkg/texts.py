"""Which words of a unit go where: to the encoder, to the lexical index, to derivation. Pure functions of one document's facts."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from mmkg.algorithms.names import fold
from mmkg.protocols import Encoder
from mmkg.types import DocumentFacts, Section, Unit, UnitInput

Outputs = dict[tuple[bytes, str], np.ndarray[Any, Any]]
"""Model output by (content key, space): (n, dim) numbers."""


def headings_above(facts: DocumentFacts, unit: Unit) -> tuple[Section, ...]:
    """The sections that enclose a unit, innermost first."""
    by_order = {s.order: s for s in facts.sections}
    out: list[Section] = []
    order = unit.section
    while order is not None and len(out) <= len(by_order):
        section = by_order[order]
        out.append(section)
        order = section.parent
    return tuple(out)


def unit_title(facts: DocumentFacts, unit: Unit) -> str:
    """What stands above a unit: the document's title and the innermost heading, or what there is of them."""
    heading = next((s.heading for s in headings_above(facts, unit)), "")
    if heading and heading != facts.name:
        return f"{facts.name} - {heading}" if facts.name else heading
    return facts.name


def index_text(facts: DocumentFacts, unit: Unit) -> str:
    """Title and words, as the lexical index and the unit's vector see them.

    A chunk that begins with its own heading is not given it twice.
    """
    title, words = unit_title(facts, unit), facts.words(unit)
    heading = next((s.heading for s in headings_above(facts, unit)), "")
    if heading and words.startswith(heading):
        words = words[len(heading) :].lstrip()
    return f"{title}\n{words}" if title else words


def encoder_texts(facts: DocumentFacts, unit: Unit) -> list[str]:
    """What is encoded for one unit: its index text, then "title: sentence" for each sentence; [] if it has no words."""
    if not facts.words(unit).strip():
        return []
    title = unit_title(facts, unit)
    lead = f"{title}: " if title else ""
    return [index_text(facts, unit), *(lead + facts.text[a:b] for a, b in unit.sentences)]


def content_key(texts: list[str]) -> bytes:
    """Key under which a model's output for these texts is kept: the same words are never encoded twice."""
    return hashlib.sha256(json.dumps(texts, ensure_ascii=False).encode("utf-8", "surrogatepass")).digest()


def unit_vectors(encoder: Encoder, texts: Mapping[bytes, Sequence[str]]) -> Outputs:
    """Vectors of units, given what is encoded of each under its content key; one call of the model. Raises EncodeError.

    Equal texts (a form letter, a repeated row) are encoded once.
    """
    place = {text: i for i, text in enumerate(dict.fromkeys(t for own in texts.values() for t in own))}
    if not place:
        return {}
    vectors = encoder.encode_document(list(place))
    return {(key, encoder.space.key): vectors[[place[t] for t in own]] for key, own in texts.items()}


def unit_inputs(
    facts: DocumentFacts, *, n_units: int | None = None, per_section: Mapping[int, int] | None = None
) -> Iterator[UnitInput]:
    """For each unit, in order, what derivation may look at.

    A title's share is the number of units under it: a title of a long document is weaker evidence for each of them.
    n_units, per_section: of the whole document (section number -> units under it), where the facts are a part of it.
    """
    if per_section is None:
        per_section = Counter(s.order for unit in facts.units for s in headings_above(facts, unit))
    n_units = len(facts.units) if n_units is None else n_units
    for unit in facts.units:
        titles = [(facts.name, n_units)] if facts.name else []
        titles += [(s.heading, per_section[s.order]) for s in headings_above(facts, unit) if s.heading != facts.name]
        pieces = tuple((a, facts.text[a:b]) for a, b in unit.spans())
        yield UnitInput(unit=unit, pieces=pieces, titles=tuple(titles))


def file_name_words(uri: str) -> set[str]:
    """Searchable words of a source: the folded parts of its file name without the extension.

    >>> sorted(file_name_words("file:///photos/a11_buzz-aldrin.jpg"))
    ['a11', 'aldrin', 'buzz']
    """
    stem = uri.rsplit("/", 1)[-1].rsplit(".", 1)[0]
    return {w for w in "".join(c if c.isalnum() else " " for c in fold(stem)).split() if len(w) > 1}
