"""Embedding spaces: what a base records of its encoders, and how a later encoder is held against it.

A record is the space's own fields and the vectors of a few fixed probes. Names can lie, so the probes decide: an encoder
whose probe vectors have a cosine under 0.99 to the recorded ones is of another space, also where name and dimension agree.
Runtimes of one space pass: for the probes MiniLM's lowest cosine to fp32 is 0.9996 with int8 weights and 0.9999 in bf16.
"""

from __future__ import annotations

import base64
import binascii
import io
import math
from collections.abc import Mapping
from dataclasses import asdict, fields
from functools import cache
from typing import Any

import numpy as np

from mmkg.errors import EncoderMismatchError, StoreDamagedError
from mmkg.protocols import Encoder, FloatArray, Space
from mmkg.types import Modality

MIN_COSINE = 0.99
"""Below this cosine of any probe two encoders are of different spaces."""

PROBE_TEXTS = (
    "The quick brown fox jumps over the lazy dog.",
    "Who signed the treaty that ended the war in 1648?",
    "Annual rainfall (mm) | 2019: 512 | 2020: 498",
    "def area(radius): return 3.14159 * radius ** 2",
)
"""Fixed for ever: a base holds their vectors. Prose, a question, a table and code, so that other models differ on some."""

_REINDEX = "use the encoder the base was built with, or bring the base over to this one: `mmkg reindex --encoder NAME`"


@cache
def probe_image() -> bytes:
    """A PNG drawn by rule, the same pixels everywhere: a colour gradient, a disc, and stripes. 96 x 96 RGB."""
    from PIL import Image

    y, x = np.mgrid[0:96, 0:96]
    pixels = np.stack([x * 2, y * 2, 255 - x - y], axis=-1).clip(0, 255)
    pixels[(x - 34) ** 2 + (y - 40) ** 2 < 24**2] = (230, 120, 20)
    pixels[(x > 60) & (y // 8 % 2 == 0)] = (30, 60, 40)
    out = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(out, format="PNG")
    return out.getvalue()


def probe(encoder: Encoder) -> FloatArray:
    """(n, dim) float32: the vectors of the fixed probes; sentences for a text encoder, else a picture or a sound."""
    if Modality.AUDIO in encoder.modalities:
        from mmkg.encode.sound import probe_sound

        return encoder.encode_document([probe_sound(encoder.sample_rate)])  # type: ignore[attr-defined]
    probes = PROBE_TEXTS if Modality.TEXT in encoder.modalities else (probe_image(),)
    return encoder.encode_document(probes)


def space_to_json(space: Space) -> dict[str, Any]:
    """The fields of a space, ready for JSON."""
    return asdict(space)


def space_from_json(data: Mapping[str, Any]) -> Space:
    """A space from its fields. Raises StoreDamagedError for a missing or unknown field or a wrong type."""
    types = {f.name: type(getattr(_SAMPLE, f.name)) for f in fields(Space)}
    for name, kind in types.items():
        if type(data.get(name)) is not kind:
            raise StoreDamagedError(f"recorded space: field {name}: expected {kind.__name__}, got {data.get(name)!r}")
    if unknown := sorted(set(data) - set(types)):
        raise StoreDamagedError(f"recorded space: unknown field {unknown[0]}")
    return Space(**data)


_SAMPLE = Space(name="", revision="", dim=0)


def record(encoder: Encoder) -> dict[str, Any]:
    """What a base's manifest keeps of an encoder: {"space": fields, "probes": float16 rows in base64}."""
    vectors = probe(encoder).astype("<f2")
    return {"space": space_to_json(encoder.space), "probes": base64.b64encode(vectors.tobytes()).decode("ascii")}


def recorded_probes(recorded: Mapping[str, Any]) -> tuple[Space, FloatArray]:
    """Space and (n, dim) float32 probe vectors of a record. Raises StoreDamagedError if it is not one."""
    data = recorded.get("space")
    if not isinstance(data, Mapping):
        raise StoreDamagedError("recorded space: no field space")
    space = space_from_json(data)
    try:
        flat = np.frombuffer(base64.b64decode(recorded["probes"], validate=True), dtype="<f2").astype(np.float32)
    except (KeyError, TypeError, ValueError, binascii.Error) as e:
        raise StoreDamagedError(f"recorded probes of {space.name} cannot be read: {e}") from e
    if space.dim < 1 or flat.size == 0 or flat.size % space.dim or not np.isfinite(flat).all():
        raise StoreDamagedError(f"recorded probes of {space.name}: {flat.size} numbers do not make rows of {space.dim}")
    return space, flat.reshape(-1, space.dim)


def check(encoder: Encoder, recorded: Mapping[str, Any]) -> None:
    """Refuse an encoder of another space than the recorded one; encodes the probes once.

    Raises EncoderMismatchError that names what differs, StoreDamagedError if the record cannot be read.
    """
    space, expected = recorded_probes(recorded)
    for field in fields(Space):
        was, now = getattr(space, field.name), getattr(encoder.space, field.name)
        if was != now:
            raise EncoderMismatchError(
                f"the base was built with encoder {space.name} ({field.name} {was!r}), but this one is "
                f"{encoder.space.name} ({field.name} {now!r})",
                hint=_REINDEX,
            )
    vectors = probe(encoder)
    if vectors.shape != expected.shape:
        raise EncoderMismatchError(
            f"expected probe vectors {expected.shape} from {space.name}, got {vectors.shape}", hint=_REINDEX
        )
    lengths = np.linalg.norm(vectors, axis=1) * np.linalg.norm(expected, axis=1)
    lowest = float(np.min(np.sum(vectors * expected, axis=1) / np.maximum(lengths, 1e-12)))
    if not math.isfinite(lowest) or lowest < MIN_COSINE:
        raise EncoderMismatchError(
            f"encoder {space.name} ({encoder.runtime}) has the recorded name, but its vectors differ: "
            f"lowest cosine of the probes {lowest:.3f}, expected at least {MIN_COSINE}",
            hint=_REINDEX,
        )
