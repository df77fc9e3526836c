from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmkg.encode.text import SplitEncoder, check_texts, pack, plan, pool, round_up, unit_rows
from mmkg.encode.text_onnx import OnnxTextEncoder, load_minilm_onnx
from mmkg.errors import EncodeError, EncoderMismatchError, WeightsError
from mmkg.testing.encoders import HashingEncoder

TEXTS = [
    "Apollo 11 landed on the Moon in July 1969.",
    "Neil Armstrong was the first to walk there.",
    "Butter, sugar and flour make a simple biscuit.",
    "x",
    "The committee " * 120,
    "Regen in München: 12 mm.",
    "表の行",
    "a b c " * 30,
]


@given(
    st.lists(st.integers(1, 256), max_size=60),
    st.integers(1, 20),
    st.integers(1, 2000),
    st.sampled_from([1, 8, 32]),
    st.sampled_from([1, 4, 8]),
)
def test_plan_takes_each_text_once_within_its_limits(
    lengths: list[int], batch_size: int, max_tokens: int, multiple: int, row_step: int
) -> None:
    batches = plan(lengths, batch_size=batch_size, max_tokens=max_tokens, multiple=multiple, row_step=row_step)
    assert all(len(b) <= row_step or len(b) % row_step == 0 for b in batches[:-1])
    assert sorted(i for b in batches for i in b) == list(range(len(lengths)))
    for batch in batches:
        width = round_up(max(lengths[i] for i in batch), multiple)
        assert 1 <= len(batch) <= batch_size
        assert len(batch) == 1 or len(batch) * width <= max_tokens


def test_plan_refuses_an_empty_batch() -> None:
    with pytest.raises(ValueError, match="batch_size"):
        plan([1], batch_size=0, max_tokens=8, multiple=8)


def test_pack_pads_rows_and_width() -> None:
    ids, mask = pack([[5, 6, 7], [8]], multiple=4, n_rows=4)
    assert ids.tolist() == [[5, 6, 7, 0], [8, 0, 0, 0], [5, 6, 7, 0], [5, 6, 7, 0]]
    assert mask.sum(axis=1).tolist() == [3, 1, 3, 3]


def test_pool_ignores_padding() -> None:
    hidden = np.array([[[1, 0], [3, 2], [99, 99]]], dtype=np.float32)
    mask = np.array([[1, 1, 0]])
    assert pool(hidden, mask, "mean").tolist() == [[2, 1]]
    assert pool(hidden, mask, "cls").tolist() == [[1, 0]]


@pytest.mark.parametrize("bad", [np.nan, np.inf, 0.0], ids=["nan", "inf", "zero"])
def test_a_vector_that_is_not_finite_is_named(bad: float) -> None:
    rows = np.ones((3, 4), dtype=np.float32)
    rows[2] = bad
    with pytest.raises(EncodeError, match="item 2 of 3"):
        unit_rows(rows, what="m")


@pytest.mark.parametrize(
    ("texts", "message"),
    [(["a", ""], "item 1"), ([" \n\t"], "item 0"), ([None], "expected str, got NoneType"), ("abc", "sequence")],
    ids=["empty", "white space", "none", "one text"],
)
def test_texts_that_cannot_be_encoded_are_named(texts: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_texts(texts)


class TestSplit:
    def test_few_texts_and_questions_never_load_the_fast_one(self) -> None:
        quick = HashingEncoder()

        def fail() -> HashingEncoder:
            raise AssertionError("loaded")

        encoder = SplitEncoder(quick, fail, bulk=4)
        encoder.encode_document(["a", "b", "c"])
        encoder.encode_query(["a", "b", "c", "d", "e"])
        assert quick.n_encoded == 8

    def test_many_texts_go_to_the_fast_one_loaded_once(self) -> None:
        quick, fast, loads = HashingEncoder(), HashingEncoder(), []

        def load() -> HashingEncoder:
            loads.append(1)
            return fast

        encoder = SplitEncoder(quick, load, bulk=4)
        for _ in range(2):
            vectors = encoder.encode_document(["a", "b", "c", "d"])
        assert (len(loads), fast.n_encoded, quick.n_encoded) == (1, 8, 0)
        assert np.array_equal(vectors, encoder.encode_query(["a", "b", "c", "d"]))

    def test_runtimes_of_two_spaces_are_refused(self) -> None:
        encoder = SplitEncoder(HashingEncoder(), lambda: HashingEncoder(revision="2"), bulk=1)
        with pytest.raises(EncoderMismatchError):
            encoder.encode_document(["a"])


class TestHashing:
    def test_shared_words_are_near(self) -> None:
        v = HashingEncoder(dim=128).encode_document(["red apple pie", "apple pie recipe", "quantum field"])
        assert v[0] @ v[1] > 0.4 > abs(v[0] @ v[2])
        assert np.allclose(np.linalg.norm(v, axis=1), 1)

    def test_word_order_and_batch_change_nothing(self) -> None:
        a = HashingEncoder().encode_document(["one two three", "four"])
        b = HashingEncoder().encode_document(["three one two"])
        assert np.array_equal(a[0], b[0])

    def test_empty_text_is_refused(self) -> None:
        with pytest.raises(ValueError, match="item 1"):
            HashingEncoder().encode_document(["a", ""])


@pytest.fixture(scope="module")
def minilm() -> OnnxTextEncoder:
    return load_minilm_onnx(threads=1)


@pytest.mark.models
class TestMiniLM:
    def test_shape_type_length_and_order(self, minilm: OnnxTextEncoder) -> None:
        v = minilm.encode_document(TEXTS)
        assert (v.shape, v.dtype) == ((len(TEXTS), 384), np.float32)
        assert np.allclose(np.linalg.norm(v, axis=1), 1, atol=1e-5)
        assert np.allclose(v[::-1], minilm.encode_document(TEXTS[::-1]), atol=1e-5)

    def test_meaning_is_near(self, minilm: OnnxTextEncoder) -> None:
        q = minilm.encode_query(["Who walked on the Moon?"])[0]
        v = minilm.encode_document(TEXTS)
        assert int(np.argmax(v @ q)) == 1
        assert v[2] @ q < 0.2

    def test_a_vector_depends_on_its_own_text_only(self, minilm: OnnxTextEncoder) -> None:
        alone = np.concatenate([minilm.encode_document([t]) for t in TEXTS])
        for batch_size in (1, 3, 64):
            assert np.abs(minilm.encode_document(TEXTS, batch_size=batch_size) - alone).max() < 1e-5

    def test_threads_change_no_bit(self, minilm: OnnxTextEncoder) -> None:
        assert np.array_equal(load_minilm_onnx(threads=4).encode_document(TEXTS), minilm.encode_document(TEXTS))

    def test_what_lies_past_256_tokens_does_not_count(self, minilm: OnnxTextEncoder) -> None:
        long = "word " * 300
        a, b = minilm.encode_document([long, long + "and then something else entirely"])
        assert np.abs(a - b).max() < 1e-5

    def test_no_texts(self, minilm: OnnxTextEncoder) -> None:
        assert minilm.encode_document([]).shape == (0, 384)

    def test_empty_text(self, minilm: OnnxTextEncoder) -> None:
        with pytest.raises(ValueError, match="item 1"):
            minilm.encode_document(["a", ""])

    def test_odd_text_still_gives_a_vector(self, minilm: OnnxTextEncoder) -> None:
        # Nothing but control characters tokenises to the two marks alone.
        assert np.isfinite(minilm.encode_document(["\x00\x01", "\ufffd" * 50, "\U0001f600"])).all()

    def test_bytes_that_are_no_model(self) -> None:
        from mmkg.encode import weights

        tokenizer = weights.read(weights.MINILM_TOKENIZER)
        with pytest.raises(WeightsError, match="onnxruntime"):
            OnnxTextEncoder(load_minilm_onnx().space, b"not a model", tokenizer)
        with pytest.raises(WeightsError, match=r"tokenizer\.json"):
            OnnxTextEncoder(load_minilm_onnx().space, weights.read(weights.MINILM_ONNX), b"{}")
