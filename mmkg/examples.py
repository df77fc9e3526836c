"""What a user gives to search by, beside words, as vectors: a picture, a sound, or a clip with both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mmkg.errors import LoadError, MissingDependencyError, NotFoundError
from mmkg.retrieve.likeness import Example

if TYPE_CHECKING:
    from mmkg.config import Settings
    from mmkg.protocols import Encoder, FloatArray

Given = str | Path | bytes
"""A file, or its bytes."""


def example_of(
    settings: Settings,
    seeing: Sequence[Encoder],
    sounds: Sequence[tuple[str, FloatArray]],
    *,
    image: Given | None = None,
    clip: str | Path | None = None,
    weight: float = 0.5,
) -> Example:
    """The example of a picture, a sound, a film, or several of them; each encoder that is here gives vectors of its space.

    seeing: encoders of pictures. sounds: (key of the space, (dim,) vector) of what was heard. weight: of the words beside it.
    Raises MissingDependencyError where nothing here can look at it, NotFoundError for a file that is not there, LoadError or EncodeError
    for one that cannot be read, ValueError for a weight outside 0..1.
    """
    vectors: dict[str, list[FloatArray]] = {}
    for space, vector in sounds:
        vectors.setdefault(space, []).append(vector[None])
    pictures: list[bytes] = [] if image is None else [_bytes(image)]
    if clip is not None:
        pictures += frames_of(settings, Path(clip))
    if pictures and not seeing:
        raise MissingDependencyError(
            "searching by picture needs an image encoder", hint='pip install "mmkg[torch,models]"'
        )
    for encoder in seeing if pictures else ():
        vectors.setdefault(encoder.space.key, []).append(encoder.encode_query(pictures))
    if not vectors:
        raise MissingDependencyError(
            f"{clip or 'this'} has no picture, and nothing here knows its sound",
            hint='pip install "mmkg[av]", then `mmkg add` the recordings again',
        )
    return Example(vectors={space: np.concatenate(rows) for space, rows in vectors.items()}, weight=weight)


def frames_of(settings: Settings, clip: Path) -> list[bytes]:
    """The key frames of a film, in a limited child process as `add` reads it; [] for a recording of sound alone."""
    from mmkg.ingest.pool import ParserPool

    if not clip.is_file():
        raise NotFoundError(f"no such file: {clip}")
    with ParserPool(replace(settings, workers=1)) as pool:
        outcome = next(iter(pool.map([clip])))
    if outcome.status != "ok" or outcome.parsed is None:
        raise LoadError(f"{clip.name}: {outcome.reason or outcome.status}", path=clip)
    if not outcome.media_type.startswith(("video/", "audio/")):
        raise LoadError(f"{clip.name} is no recording but {outcome.media_type}", path=clip)
    media = outcome.parsed.media
    shown = [u.media for u in outcome.parsed.facts.units if u.label == "Image" and u.media]
    return [media[name] for name in shown if name in media]


def _bytes(given: Given) -> bytes:
    if isinstance(given, bytes):
        return given
    try:
        return Path(given).read_bytes()
    except FileNotFoundError as e:
        raise NotFoundError(f"no such file: {given}") from e
    except OSError as e:
        raise LoadError(f"cannot read {given}: {e.strerror or e}", path=Path(given)) from e
