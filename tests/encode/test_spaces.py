from __future__ import annotations

import copy
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmkg.encode import spaces
from mmkg.errors import EncoderMismatchError, StoreDamagedError
from mmkg.protocols import Space
from mmkg.testing.encoders import HashingEncoder
from mmkg.types import Modality

words = st.text(max_size=20)


@given(
    st.builds(
        Space,
        name=words,
        revision=words,
        dim=st.integers(1, 4096),
        pooling=st.sampled_from(["mean", "cls", "none"]),
        normalise=st.booleans(),
        query_prefix=words,
        document_prefix=words,
        max_tokens=st.integers(1, 8192),
    )
)
def test_json_round_trip(space: Space) -> None:
    assert spaces.space_from_json(json.loads(json.dumps(spaces.space_to_json(space)))) == space


@pytest.mark.parametrize(
    "change",
    [{"dim": "64"}, {"dim": True}, {"name": None}, {"extra": 1}, {"normalise": 1}],
    ids=["dim is text", "dim is a bool", "no name", "unknown field", "normalise is an int"],
)
def test_a_damaged_space_is_named(change: dict[str, Any]) -> None:
    data = spaces.space_to_json(HashingEncoder().space) | change
    with pytest.raises(StoreDamagedError, match=next(iter(change))):
        spaces.space_from_json(data)


def test_the_same_encoder_passes_through_json() -> None:
    recorded = json.loads(json.dumps(spaces.record(HashingEncoder())))
    spaces.check(HashingEncoder(), recorded)


@pytest.mark.parametrize(
    "field, value",
    [
        ("name", "other"),
        ("revision", "2"),
        ("dim", 32),
        ("pooling", "cls"),
        ("normalise", False),
        ("query_prefix", "query: "),
        ("document_prefix", "passage: "),
        ("max_tokens", 128),
    ],
)
def test_any_difference_of_the_space_is_refused_and_named(field: str, value: Any) -> None:
    encoder = HashingEncoder()
    encoder.space = replace(encoder.space, **{field: value})
    with pytest.raises(EncoderMismatchError, match=field) as e:
        spaces.check(encoder, spaces.record(HashingEncoder()))
    assert e.value.hint


def test_another_model_under_the_same_name_is_refused() -> None:
    with pytest.raises(EncoderMismatchError, match="vectors differ"):
        spaces.check(HashingEncoder(seed=1), spaces.record(HashingEncoder()))


def test_one_strange_probe_is_enough() -> None:
    class Nearly(HashingEncoder):
        def _vector(self, index: int, item: Any) -> Any:
            return super()._vector(index, "something else" if index == 2 else item)

    with pytest.raises(EncoderMismatchError, match="vectors differ"):
        spaces.check(Nearly(), spaces.record(HashingEncoder()))


@pytest.mark.parametrize(
    "probes", [None, 7, "", "!!!", "AAAA", "/////w=="], ids=["absent", "number", "empty", "junk", "too few", "nan"]
)
def test_damaged_probes_are_named(probes: Any) -> None:
    recorded = copy.deepcopy(spaces.record(HashingEncoder(dim=2)))
    recorded["probes"] = probes
    with pytest.raises(StoreDamagedError, match="hashing"):
        spaces.check(HashingEncoder(dim=2), recorded)


def test_fewer_probes_are_no_match() -> None:
    recorded = spaces.record(HashingEncoder(dim=2))
    recorded["probes"] = "ADwAPA=="  # one row of two ones
    with pytest.raises(EncoderMismatchError, match="probe vectors"):
        spaces.check(HashingEncoder(dim=2), recorded)


def test_images_are_probed_with_a_picture() -> None:
    from io import BytesIO

    from PIL import Image

    encoder = HashingEncoder(modalities=frozenset({Modality.IMAGE}))
    assert spaces.probe(encoder).shape == (1, 64)
    with Image.open(BytesIO(spaces.probe_image())) as picture:
        assert (picture.size, picture.mode, picture.format) == ((96, 96), "RGB", "PNG")
        assert picture.getpixel((34, 40)) == (230, 120, 20)
