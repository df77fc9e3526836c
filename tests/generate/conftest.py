"""Evidence made by hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mmkg.types import DocumentRef, Evidence, Locator, Modality, Span

MakeEvidence = Callable[..., Evidence]


def evidence_of(
    id: str,
    text: str,
    *,
    title: str = "",
    heading: str = "",
    offset: int = 0,
    page: int | None = None,
    caption: str = "",
    kind: str = "text",
    sentences: tuple[Span, ...] = (),
    score: float = 1.0,
) -> Evidence:
    """A unit whose words begin at `offset` of its document's text; a caption stands before them, 100 characters earlier."""
    spans: tuple[Span, ...] = ((offset, offset + len(text)),) if text else ()
    words = text
    if caption:
        assert offset >= 100 + len(caption)
        spans = ((offset - 100, offset - 100 + len(caption)), *spans)
        words = f"{caption}\n{text}" if text else caption
    return Evidence(
        id=id,
        kind=kind,
        score=score,
        text=words,
        document=DocumentRef(id=f"doc-{id}", name=title or id, uri=f"file:///{id}"),
        locator=Locator(chars=(offset, offset + len(text)), page=page),
        modality=Modality.IMAGE if kind in ("image", "figure", "page") else Modality.TEXT,
        heading=heading,
        spans=spans,
        sentences=sentences,
    )


@pytest.fixture
def make() -> MakeEvidence:
    return evidence_of
