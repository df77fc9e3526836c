"""The question without what it starts from: what it asks of whatever it leads to.

"Who leads the country that hosted the games of Munich?" asks two things. Without the name ("Who leads the country that hosted the
games of?") its vector no longer pulls towards Munich. One vector serves all bridges, so this costs one text where substitution costs
one a bridge.
"""

from __future__ import annotations

from collections.abc import Sequence

from mmkg.algorithms.terms import terms
from mmkg.retrieve.bridges import BeamUnit
from mmkg.retrieve.inquiry import Inquiry
from mmkg.retrieve.substitute import Variant, bridges_of
from mmkg.types import Span

BRIDGES = 12
"""Bridges of each unit of the beam at which the bare question is scored."""


def bare_question(inquiry: Inquiry) -> str:
    """The question without the names in it; the whole question if no content word is left."""
    return _without(inquiry.question, [(e.start, e.end) for e in inquiry.entities])


def bridges_for(inquiry: Inquiry, beam: Sequence[BeamUnit], text: str) -> list[Variant]:
    """One text for all bridges of the beam, so that it is scored where one of them is spoken of."""
    return [
        Variant(text=text, source=place, bridge=entity, near=near)
        for place, one in enumerate(beam)
        for entity, near in bridges_of(inquiry, one, one.best, BRIDGES)
    ]


def _without(question: str, spans: Sequence[Span]) -> str:
    left, at = "", 0
    for start, end in sorted(spans):
        if start >= at:
            left += question[at:start]
            at = end
    left = " ".join((left + question[at:]).split())
    return left if terms(left) else question
