from __future__ import annotations

import numpy as np
import pytest

from mmkg.config import Settings
from mmkg.encode import spaces, weights
from mmkg.encode.registry import load_text_encoder
from mmkg.encode.text import MINILM
from mmkg.encode.text_onnx import load_minilm_onnx
from mmkg.encode.text_torch import TorchTextEncoder, cpu_has_bf16, load_minilm_torch, precision_for, resolve_device
from mmkg.errors import ConfigError, EncodeError, WeightsError

TEXTS = ["The eagle has landed.", "short", "Annual rainfall was 512 mm in 2019. " * 12, "one two three " * 90]


def lowest_cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.min(np.sum(a * b, axis=1)))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("processor : 0\nflags\t\t: fpu avx512f avx512_bf16\n", True),
        ("flags : fpu amx_bf16 amx_tile", True),
        ("Features : asimd bf16", True),
        ("flags : fpu avx512f avx512_vnni", False),
        ("model name : bf16 avx512_bf16", False),
        ("", False),
    ],
    ids=["avx512", "amx", "arm", "without", "only in a name", "no file"],
)
def test_bf16_is_read_from_the_flags(text: str, expected: bool) -> None:
    assert cpu_has_bf16(text) is expected


def test_gpus_compute_in_half_precision() -> None:
    assert (precision_for("cuda"), precision_for("mps")) == ("fp16", "fp16")
    assert precision_for("cpu") in ("bf16", "fp32")


@pytest.fixture(scope="module")
def encoder() -> TorchTextEncoder:
    return load_minilm_torch(device="cpu", precision="fp32")


@pytest.mark.full
class TestTorch:
    def test_equals_the_reference_implementation(self, encoder: TorchTextEncoder) -> None:
        from sentence_transformers import SentenceTransformer

        path = weights.locate(weights.MINILM_TORCH)
        assert path is not None
        model = SentenceTransformer(str(path.parent), device="cpu", local_files_only=True)
        assert lowest_cosine(encoder.encode_document(TEXTS), model.encode(TEXTS, normalize_embeddings=True)) > 0.99999

    def test_runtimes_of_one_space_agree(self, encoder: TorchTextEncoder) -> None:
        onnx = load_minilm_onnx(threads=1)
        half = load_minilm_torch(device="cpu", precision="bf16")
        assert onnx.space == encoder.space == half.space
        assert (encoder.runtime, half.runtime) == ("torch-fp32", "torch-bf16")
        exact = encoder.encode_document(TEXTS)
        # Passages stay above 0.998; the same words over and over, as in two of these texts, are the worst case.
        assert lowest_cosine(onnx.encode_document(TEXTS), exact) > 0.996
        assert lowest_cosine(half.encode_document(TEXTS), exact) > 0.9995
        recorded = spaces.record(onnx)
        for other in (encoder, half):
            spaces.check(other, recorded)

    def test_a_vector_depends_on_its_own_text_only(self, encoder: TorchTextEncoder) -> None:
        alone = np.concatenate([encoder.encode_document([t]) for t in TEXTS])
        assert np.abs(encoder.encode_document(TEXTS, batch_size=3) - alone).max() < 1e-5
        assert np.abs(encoder.encode_document(TEXTS[::-1])[::-1] - alone).max() < 1e-5

    def test_weights_that_are_not_finite_are_found_out(self) -> None:
        from safetensors.torch import load, save

        state = load(weights.read(weights.MINILM_TORCH))
        state["encoder.layer.5.output.dense.bias"][7] = float("nan")
        broken = TorchTextEncoder(MINILM, save(state), weights.read(weights.MINILM_TOKENIZER), device="cpu")
        with pytest.raises(EncodeError, match="not finite"):
            broken.encode_document(["a"])

    def test_other_weights_under_the_same_name_are_refused(self, encoder: TorchTextEncoder) -> None:
        import torch
        from safetensors.torch import load, save

        state = load(weights.read(weights.MINILM_TORCH))
        noise = torch.Generator().manual_seed(1)
        for name, t in state.items():
            if name.endswith("dense.weight"):
                t += 0.03 * torch.randn(t.shape, generator=noise)
        other = TorchTextEncoder(MINILM, save(state), weights.read(weights.MINILM_TOKENIZER), device="cpu")
        with pytest.raises(EncodeError, match="vectors differ"):
            spaces.check(other, spaces.record(encoder))

    def test_bytes_that_are_no_weights(self) -> None:
        from safetensors.torch import save

        tokenizer = weights.read(weights.MINILM_TOKENIZER)
        import torch

        for state in (b"junk", save({"other": torch.zeros(2)})):
            with pytest.raises(WeightsError):
                TorchTextEncoder(MINILM, state, tokenizer, device="cpu")

    def test_devices(self) -> None:
        import torch

        assert resolve_device("cpu")[0] == "cpu"
        with pytest.raises(ConfigError, match="tpu"):
            resolve_device("tpu")
        if not torch.cuda.is_available():
            with pytest.raises(ConfigError, match="no cuda"):
                load_text_encoder(Settings(device="cuda"))

    def test_torch_on_request(self) -> None:
        assert load_text_encoder(Settings(device="cpu"), runtime="torch").runtime.startswith("torch-")


@pytest.mark.full
@pytest.mark.gpu
def test_gpu_agrees_with_cpu() -> None:
    encoder = load_minilm_torch(device="cuda")
    assert encoder.runtime == "torch-fp16-cuda"
    exact = load_minilm_torch(device="cpu", precision="fp32").encode_document(TEXTS)
    assert lowest_cosine(encoder.encode_document(TEXTS), exact) > 0.999
