"""Long texts between parser and store: vectors of a part, and the whole for a store that takes no parts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from mmkg.ingest.pool import Outcome
from mmkg.longfacts import joined
from mmkg.protocols import Encoder
from mmkg.reasons import reason
from mmkg.texts import Outputs, content_key, encoder_texts, unit_vectors
from mmkg.types import DocumentFacts, Parsed


def part_vectors(
    part: DocumentFacts, encoder: Encoder | None, kept: Callable[[Sequence[bytes], str], set[bytes]]
) -> Outputs:
    """Vectors by content key of a part's units, but for those that are kept already: a stopped run made them.

    kept: those of these keys for which model output of a space is there. Raises EncodeError.
    """
    if encoder is None:
        return {}
    texts = {content_key(t): t for unit in part.units if (t := encoder_texts(part, unit))}
    have = kept(list(texts), encoder.space.key)
    return unit_vectors(encoder, {key: t for key, t in texts.items() if key not in have})


def whole(outcome: Outcome, most: int) -> Outcome:
    """The same outcome with the facts held at once. most: characters that the text may then have."""
    assert outcome.long is not None
    if outcome.long.length > most:
        why = reason("characters", f"the text is longer than {most} characters")
        return replace(outcome, status="rejected", reason=why, long=None)
    return replace(outcome, parsed=Parsed(facts=joined(outcome.long)), long=None)
