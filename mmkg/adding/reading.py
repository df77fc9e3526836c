"""What the models make of documents that come in: names, languages, vectors of words and of pictures.

A model that fails costs its own output and nothing else: words that cannot be encoded fail the document, a picture goes without.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mmkg.adding.arriving import Arrival
from mmkg.encode.prints import picture_print
from mmkg.encode.sound import SoundEncoder
from mmkg.encode.speech import SpeechModel
from mmkg.encode.text import MINILM
from mmkg.errors import EncodeError
from mmkg.extract.describe import PictureDescriber
from mmkg.extract.language import with_languages
from mmkg.protocols import Encoder, Extractor, PageEncoder
from mmkg.reasons import reason
from mmkg.schema import PRINT_SPACE
from mmkg.seeing import prompt_vectors
from mmkg.texts import Outputs, content_key, encoder_texts, unit_vectors
from mmkg.types import DocumentFacts, NameSpan

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Readers:
    """The models of one run of `add`; None, or none, for those that this base does without. pixels: largest picture opened."""

    extractor: Extractor
    text: Encoder | None
    images: tuple[Encoder, ...]
    speech: SpeechModel | None
    sounds: SoundEncoder | None
    pixels: int
    pages: PageEncoder | None = None
    describer: PictureDescriber | None = None

    def named(self, documents: Sequence[DocumentFacts]) -> list[DocumentFacts]:
        """The same facts with the raw names of every unit, and the language of those that are not in English."""
        pieces = [
            (d, u, start, facts.text[start:end])
            for d, facts in enumerate(documents)
            for u, unit in enumerate(facts.units)
            for start, end in unit.spans()
        ]
        spans: dict[tuple[int, int], list[NameSpan]] = {}
        for (d, u, start, _), found in zip(pieces, self.extractor.extract([p[3] for p in pieces]), strict=True):
            spans.setdefault((d, u), []).extend(replace(n, start=n.start + start, end=n.end + start) for n in found)
        return [
            with_languages(
                replace(
                    facts,
                    units=tuple(replace(x, names=tuple(spans.get((d, u), ()))) for u, x in enumerate(facts.units)),
                )
            )
            for d, facts in enumerate(documents)
        ]

    def encoded(
        self, documents: Sequence[DocumentFacts], arrivals: Sequence[Arrival]
    ) -> tuple[list[Outputs], dict[str, str]]:
        """Vectors by content key for each document; and document id -> reason where a model failed, or the file went."""
        outputs: list[Outputs] = [{} for _ in documents]
        failed: dict[str, str] = {}
        if self.text is not None:
            wanted = [{content_key(t): t for u in f.units if (t := encoder_texts(f, u))} for f in documents]
            try:
                vectors = unit_vectors(self.text, {key: t for own in wanted for key, t in own.items()})
                for d, own in enumerate(wanted):
                    outputs[d] |= {(key, self.text.space.key): vectors[key, self.text.space.key] for key in own}
            except EncodeError as e:
                if len(documents) == 1:
                    failed[arrivals[0].document] = reason("model", f"encoding failed: {e}")
                else:  # find the one that fails, so that its neighbours do not
                    singles = [self.encoded([f], [a]) for f, a in zip(documents, arrivals, strict=True)]
                    return [o for outs, _ in singles for o in outs], {k: v for _, f in singles for k, v in f.items()}
        for d, (facts, arrival) in enumerate(zip(documents, arrivals, strict=True)):
            for media in {u.media for u in facts.units if u.media and u.label == "Image"}:
                try:
                    data = arrival.picture(media)
                except OSError as e:  # an image file that went since it was parsed
                    failed[arrival.document] = reason("unreadable", e.strerror or str(e))
                    break
                outputs[d][bytes.fromhex(media), PRINT_SPACE] = self.printed(data)
                outputs[d] |= self.seen(media, data)
        return outputs, failed

    def words(self, facts: DocumentFacts) -> Outputs:
        """Vectors of one document's words; none where the model fails on them (doctor says so and mends it)."""
        if self.text is None:
            return {}
        try:
            return text_vectors(facts, self.text)
        except EncodeError as e:
            log.warning("no vectors of words: %s", e)
            return {}

    def seen(self, media: str, data: bytes, encoders: Sequence[Encoder] | None = None) -> Outputs:
        """The vectors of a picture (its sha256 and bytes), one a space; none where a model cannot read it."""
        found: Outputs = {}
        for encoder in self.images if encoders is None else encoders:
            try:
                found[bytes.fromhex(media), encoder.space.key] = encoder.encode_document([data])
            except EncodeError as e:
                log.warning("no image vector: %s", e)
        return found

    def printed(self, data: bytes) -> np.ndarray[Any, Any]:
        """The perceptual hash of a picture."""
        return picture_print(data, max_pixels=self.pixels)

    def prompted(self, encoder: Encoder) -> np.ndarray[Any, Any] | None:
        """Vectors of the prompts in a space of pictures, see seeing.prompt_vectors."""
        return prompt_vectors(encoder, self.text)

    def not_english(self, languages: Mapping[str, Sequence[int]], n_units: int) -> str:
        """What a user must know of a document in another language."""
        n = sum(len(held) for held in languages.values())
        note = f"{n} of {n_units} units are in another language ({', '.join(languages)}); the name finder and the stemmer are English"
        if self.text is not None and self.text.space.name == MINILM.name:
            note += ", and so is the default encoder: a multilingual one fits in by the setting encoder"
        return note


def text_vectors(facts: DocumentFacts, encoder: Encoder) -> Outputs:
    """Vectors by content key of a document's words. Raises EncodeError."""
    return {
        (content_key(texts), encoder.space.key): encoder.encode_document(texts)
        for unit in facts.units
        if (texts := encoder_texts(facts, unit))
    }
