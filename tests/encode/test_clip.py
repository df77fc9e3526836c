"""Wiring only: tiny networks with random weights. They say nothing of what a trained model finds."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mmkg.encode import spaces
from mmkg.encode.clip import find_model, load_clip
from mmkg.encode.pictures import Preparation, prepared
from mmkg.errors import ConfigError, EncodeError, NotFoundError, WeightsError
from mmkg.protocols import JointEncoder

SIZE = 32
WORDS = ["a", "red", "blue", "dog", "boat", "on", "the", "water", "house"]
FULL = pytest.mark.full


def drawing(seed: int, size: tuple[int, int] = (90, 60)) -> bytes:
    rng = np.random.default_rng(seed)
    out = io.BytesIO()
    Image.fromarray(rng.integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)).save(out, format="PNG")
    return out.getvalue()


def write_tokenizer(folder: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    vocabulary = {t: i for i, t in enumerate(["<pad>", "<bos>", "<eos>", "<unk>", *WORDS])}
    raw = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    raw.pre_tokenizer = pre_tokenizers.Whitespace()
    raw.post_processor = processors.TemplateProcessing(
        single="<bos> $A <eos>", special_tokens=[("<bos>", 1), ("<eos>", 2)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=raw, pad_token="<pad>", bos_token="<bos>", eos_token="<eos>", unk_token="<unk>"
    ).save_pretrained(folder)


def transformers_folder(folder: Path, kind: str = "clip", seed: int = 0) -> Path:
    import torch
    import transformers as t

    torch.manual_seed(seed)
    text = {
        "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2,
        "vocab_size": 4 + len(WORDS), "max_position_embeddings": 12,
        "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
    }  # fmt: skip
    vision = {
        "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2,
        "image_size": SIZE, "patch_size": 8,
    }  # fmt: skip
    if kind == "clip":
        model = t.CLIPModel(t.CLIPConfig(text_config=text, vision_config=vision, projection_dim=24))
    else:
        model = t.SiglipModel(t.SiglipConfig(text_config=text, vision_config=vision))
    model.save_pretrained(folder, safe_serialization=True)
    write_tokenizer(folder)
    (folder / "preprocessor_config.json").write_text(
        json.dumps(
            {"size": {"shortest_edge": 36}, "crop_size": {"height": SIZE, "width": SIZE}, "do_center_crop": True}
            if kind == "clip"
            else {"size": {"height": SIZE, "width": SIZE}, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
        )
    )
    return folder


NETWORK = {
    "embed_dim": 24,
    "vision_cfg": {"image_size": SIZE, "layers": 2, "width": 64, "patch_size": 8},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2},
}


def open_clip_folder(folder: Path) -> Path:
    import open_clip
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(3)
    folder.mkdir()
    model = open_clip.CLIP(**json.loads(json.dumps(NETWORK)))
    save_file(model.state_dict(), str(folder / "open_clip_model.safetensors"))
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": NETWORK, "preprocess_cfg": {}}))
    return folder


@pytest.fixture(scope="module", params=["clip", "siglip", "open_clip"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny(tmp_path_factory.mktemp("models"), request.param)


def tiny(folder: Path, kind: str) -> Path:
    at = folder / f"tiny-{kind}"
    return open_clip_folder(at) if kind == "open_clip" else transformers_folder(at, kind)


@pytest.fixture(scope="module")
def encoder(folder: Path) -> Any:
    return load_clip(str(folder), device="cpu", precision="fp32", threads=2)


@FULL
class TestEncoder:
    def test_is_a_joint_encoder(self, encoder: Any) -> None:
        assert isinstance(encoder, JointEncoder)
        spaces.check(encoder, spaces.record(encoder))

    def test_pictures_and_words_are_unit_rows_of_one_space(self, encoder: Any) -> None:
        pictures = encoder.encode_document([drawing(i) for i in range(5)])
        words = encoder.encode_text(["a red dog", "the boat on the water"])
        assert (pictures.shape, words.shape) == ((5, encoder.space.dim), (2, encoder.space.dim))
        assert pictures.dtype == words.dtype == np.float32
        assert np.allclose(np.linalg.norm(np.concatenate([pictures, words]), axis=1), 1, atol=1e-5)
        assert encoder.encode_document([]).shape == encoder.encode_text([]).shape == (0, encoder.space.dim)

    def test_a_vector_does_not_depend_on_its_batch(self, encoder: Any) -> None:
        pictures = [drawing(i, (40 + 9 * i, 50)) for i in range(7)]
        alone = np.concatenate([encoder.encode_document([p]) for p in pictures])
        for size in (1, 3, 64):
            assert np.abs(encoder.encode_document(pictures, batch_size=size) - alone).max() < 1e-5
        texts = ["a dog", "the red house on the water", "boat"]
        assert (
            np.abs(encoder.encode_text(texts) - np.concatenate([encoder.encode_text([t]) for t in texts])).max() < 1e-5
        )

    def test_other_pictures_and_words_have_other_vectors(self, encoder: Any) -> None:
        a, b = encoder.encode_document([drawing(1), drawing(2)])
        c, d = encoder.encode_text(["a red dog", "blue house"])
        assert min(np.abs(a - b).max(), np.abs(c - d).max()) > 1e-3

    def test_half_precision_is_near(self, folder: Path, encoder: Any) -> None:
        half = load_clip(str(folder), device="cpu", precision="bf16")
        assert half.runtime == "torch-bf16"
        assert half.space == encoder.space
        same = np.sum(half.encode_document([drawing(1)]) * encoder.encode_document([drawing(1)]))
        assert same > 0.99

    def test_the_same_folder_twice_is_the_same(self, folder: Path, encoder: Any) -> None:
        again = load_clip(str(folder), device="cpu", precision="fp32")
        assert again.space == encoder.space
        assert np.array_equal(again.encode_document([drawing(4)]), encoder.encode_document([drawing(4)]))

    def test_what_cannot_be_decoded_is_named(self, encoder: Any) -> None:
        with pytest.raises(EncodeError, match="item 1: the picture cannot be decoded"):
            encoder.encode_document([drawing(0), b"junk"])
        with pytest.raises(ValueError, match="item 0: expected the bytes"):
            encoder.encode_document(["a path"])
        with pytest.raises(ValueError, match="0"):
            encoder.encode_text([" "])


@FULL
@pytest.mark.parametrize(
    "kind", ["clip", pytest.param("siglip", marks=pytest.mark.slow), pytest.param("open_clip", marks=pytest.mark.slow)]
)
def test_the_export_gives_the_same_vectors(kind: str, tmp_path: Path) -> None:
    from mmkg.encode.clip_onnx import IMAGE, export_clip

    folder = tiny(tmp_path, kind)
    encoder = load_clip(str(folder), device="cpu", precision="fp32")
    space = export_clip(str(folder), tmp_path / "out")
    light = load_clip(str(tmp_path / "out"), threads=2)
    assert light.space.key == space.key == encoder.space.key
    pictures = [drawing(i) for i in range(4)]
    assert np.abs(light.encode_document(pictures) - encoder.encode_document(pictures)).max() < 1e-4
    if kind == "open_clip":
        with pytest.raises(Exception, match="without its text tower"):
            light.encode_text(["a dog"])
    else:
        texts = ["a red dog", "the boat on the water", "house"]
        assert np.abs(light.encode_text(texts) - encoder.encode_text(texts)).max() < 1e-4
    spaces.check(light, spaces.record(encoder))
    (tmp_path / "out" / IMAGE).write_bytes(b"other")
    with pytest.raises(WeightsError, match=r"image\.onnx in out has another hash"):
        load_clip(str(tmp_path / "out"))


@FULL
class TestNames:
    def test_a_checkpoint_with_its_architecture(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        import open_clip

        folder = open_clip_folder(tmp_path / "m")
        monkeypatch.setattr(open_clip, "get_model_config", lambda name: NETWORK if name == "Tiny" else None)
        encoder = load_clip(f"Tiny#{folder / 'open_clip_model.safetensors'}", device="cpu")
        assert encoder.space.name == "Tiny--open_clip_model"
        assert encoder.encode_text(["a dog"]).shape == (1, 24)
        with pytest.raises(ConfigError, match="open_clip knows no network Other"):
            load_clip(f"Other#{folder / 'open_clip_model.safetensors'}", device="cpu")

    def test_other_weights_are_another_space(self, tmp_path: Path) -> None:
        a = load_clip(str(transformers_folder(tmp_path / "a" / "m", seed=1)), device="cpu")
        b = load_clip(str(transformers_folder(tmp_path / "b" / "m", seed=2)), device="cpu")
        assert a.space.name == b.space.name
        assert a.space.key != b.space.key

    def test_pickled_weights_are_refused(self, tmp_path: Path) -> None:
        folder = transformers_folder(tmp_path / "m")
        (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
        with pytest.raises(WeightsError, match=r"only pytorch_model\.bin") as e:
            load_clip(str(folder))
        assert "safetensors" in e.value.hint
        (tmp_path / "w.pt").write_bytes(b"x")
        with pytest.raises(WeightsError, match=r"w\.pt is not a safetensors file"):
            load_clip(f"ViT-B-32#{tmp_path / 'w.pt'}")

    def test_damaged_weights_are_named(self, tmp_path: Path) -> None:
        for folder in (transformers_folder(tmp_path / "a"), open_clip_folder(tmp_path / "b")):
            file = next(folder.glob("*.safetensors"))
            file.write_bytes(file.read_bytes()[:1000])
            with pytest.raises(WeightsError, match=folder.name):
                load_clip(str(folder), device="cpu")

    def test_a_model_of_another_kind(self, tmp_path: Path) -> None:
        (tmp_path / "config.json").write_text('{"model_type": "bert"}')
        (tmp_path / "model.safetensors").write_bytes(b"")
        with pytest.raises(ConfigError, match="type bert"):
            load_clip(str(tmp_path))


def test_what_is_not_there() -> None:
    with pytest.raises(NotFoundError, match="no such folder"):
        find_model("/nowhere/at/all")
    with pytest.raises(NotFoundError, match="no such file"):
        find_model("ViT-B-32#/nowhere.safetensors")


def test_a_bare_file_needs_its_network(tmp_path: Path) -> None:
    (tmp_path / "x.safetensors").write_bytes(b"")
    with pytest.raises(ConfigError, match="nothing says which network"):
        find_model(str(tmp_path / "x.safetensors"))
    with pytest.raises(NotFoundError, match="has neither"):
        find_model(str(tmp_path))


def test_crop_takes_the_middle_and_squeeze_takes_all() -> None:
    picture = np.zeros((30, 90, 3), dtype=np.uint8)
    picture[:, 30:60] = 255
    out = io.BytesIO()
    Image.fromarray(picture).save(out, format="PNG")
    plain = {"size": 30, "mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0), "resample": "nearest"}
    assert prepared(out.getvalue(), Preparation(crop=True, **plain), max_pixels=10**6).min() == 1.0
    squeezed = prepared(out.getvalue(), Preparation(crop=False, **plain), max_pixels=10**6)
    assert squeezed.mean() == pytest.approx(1 / 3, abs=0.02)


@pytest.mark.parametrize(
    "wrong", [{"size": 2}, {"size": 32, "std": [0, 1, 1]}, {"size": 32, "shorter": 16}, {"size": 32, "sizes": 1}]
)
def test_a_preparation_out_of_range(wrong: dict[str, Any]) -> None:
    with pytest.raises(WeightsError, match="preparation of pictures"):
        Preparation.from_json(wrong)
