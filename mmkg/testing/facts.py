"""Small documents as facts, made by the real assembling, chunking and naming; only the file is missing."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace

from mmkg.extract.names import NameExtractor
from mmkg.ingest.assemble import assemble
from mmkg.ingest.raw import Block, RawDocument
from mmkg.types import DocumentFacts


def facts_of(title: str, text: str, *, headings: Sequence[str] = (), chunk_characters: int = 200) -> DocumentFacts:
    """Facts of a document with a title, one paragraph of text before any heading, and the text again under each heading.

    Names are capitalised runs and years (no model).
    """
    parts: list[str] = []
    blocks: list[Block] = []
    at = 0

    def put(words: str, kind: str, level: int = 0) -> None:
        nonlocal at
        blocks.append(Block(start=at, end=at + len(words), kind=kind, level=level))
        parts.append(words)
        at += len(words) + 2

    if title:
        put(title, "heading", 1)
    put(text, "text")
    for heading in headings:
        put(heading, "heading", 2)
        put(text, "text")
    raw = RawDocument(media_type="text/markdown", text="\n\n".join(parts), name=title, blocks=tuple(blocks))
    facts = assemble(raw, chunk_characters=chunk_characters).facts
    extractor = NameExtractor()
    units = []
    for unit in facts.units:
        names = []
        for start, end in unit.spans():
            found = extractor.extract([facts.text[start:end]])[0]
            names += [replace(n, start=n.start + start, end=n.end + start) for n in found]
        units.append(replace(unit, names=tuple(names)))
    return replace(facts, units=tuple(units))


def id_of(facts: DocumentFacts) -> str:
    """A document id for facts without a file."""
    return hashlib.sha256(f"{facts.name}\0{facts.text}".encode()).hexdigest()
