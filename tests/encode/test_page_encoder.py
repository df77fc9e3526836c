"""Wiring only: a tiny ColPali with random weights, made here. It says nothing of what a trained model finds."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmkg.algorithms.maxsim import maxsim
from mmkg.encode.pages import TransformersPageEncoder
from mmkg.errors import ConfigError, EncodeError, NotFoundError, WeightsError

WORDS = ["Question", ":", "Describe", "the", "image", ".", "a", "red", "boat", "table"]
SIDE, PATCH, DIM = 32, 8, 16
N_PATCHES = (SIDE // PATCH) ** 2


def drawing(seed: int, size: tuple[int, int] = (60, 90)) -> bytes:
    rng = np.random.default_rng(seed)
    out = io.BytesIO()
    Image.fromarray(rng.integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)).save(out, format="PNG")
    return out.getvalue()


def colpali_folder(folder: Path, seed: int = 0) -> Path:
    import torch
    import transformers as t
    from tokenizers import Tokenizer, models, pre_tokenizers

    torch.manual_seed(seed)
    vocabulary = {w: i for i, w in enumerate(["<pad>", "<bos>", "<eos>", "<unk>", "<image>", *WORDS])}
    raw = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    raw.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = t.PreTrainedTokenizerFast(
        tokenizer_object=raw, pad_token="<pad>", bos_token="<bos>", eos_token="<eos>", unk_token="<unk>"
    )
    prepare = t.SiglipImageProcessor(size={"height": SIDE, "width": SIDE})
    prepare.image_seq_length = N_PATCHES
    processor = t.ColPaliProcessor(image_processor=prepare, tokenizer=tokenizer)
    text = {
        "model_type": "gemma", "hidden_size": 24, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
        "num_key_value_heads": 1, "head_dim": 12, "vocab_size": len(processor.tokenizer), "pad_token_id": 0,
    }  # fmt: skip
    vision = {
        "model_type": "siglip_vision_model", "hidden_size": 24, "intermediate_size": 32, "num_hidden_layers": 1,
        "num_attention_heads": 2, "image_size": SIDE, "patch_size": PATCH, "projection_dim": 24,
    }  # fmt: skip
    vlm = t.PaliGemmaConfig(
        text_config=text, vision_config=vision, projection_dim=24, hidden_size=24,
        image_token_id=processor.image_token_id, pad_token_id=0,
    )  # fmt: skip
    model = t.ColPaliForRetrieval(t.ColPaliConfig(vlm_config=vlm, embedding_dim=DIM)).eval()
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("transformers")
    return colpali_folder(tmp_path_factory.mktemp("pages") / "tiny-colpali")


pytestmark = pytest.mark.full


def test_pages_and_questions_become_unit_rows(folder: Path) -> None:
    encoder = TransformersPageEncoder(folder, device="cpu")
    assert encoder.space.name == "tiny-colpali" and encoder.space.dim == DIM and len(encoder.space.revision) == 12
    pages = encoder.encode_pages([drawing(i) for i in range(6)])  # more than one batch
    question = encoder.encode_question("a red boat")
    for rows in (*pages, question):
        assert rows.dtype == np.float32 and rows.shape[1] == DIM
        np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1.0, atol=1e-5)
    assert {len(p) for p in pages} == {len(pages[0])} and len(pages[0]) > N_PATCHES
    assert len(encoder.encode_question("boat")) < len(question)  # no padding among the rows


def test_a_page_does_not_depend_on_its_batch_and_scores_are_the_libraries(folder: Path) -> None:
    import torch

    encoder = TransformersPageEncoder(folder, device="cpu")
    together = encoder.encode_pages([drawing(i) for i in range(3)])
    for i, rows in enumerate(together):
        np.testing.assert_allclose(rows, encoder.encode_pages([drawing(i)])[0], atol=3e-2)
    question = encoder.encode_question("a red boat")
    theirs = encoder._processor.score_retrieval([torch.from_numpy(question)], [torch.from_numpy(x) for x in together])
    np.testing.assert_allclose([maxsim(question, x) for x in together], theirs[0].numpy(), atol=1e-4)


def test_the_same_folder_is_the_same_space_and_other_weights_are_another(folder: Path, tmp_path: Path) -> None:
    first, again = TransformersPageEncoder(folder, device="cpu"), TransformersPageEncoder(folder, device="cpu")
    assert first.space == again.space
    other = TransformersPageEncoder(colpali_folder(tmp_path / "tiny-colpali", seed=1), device="cpu")
    assert other.space.name == first.space.name and other.space.key != first.space.key


def test_what_cannot_be_used_is_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no such folder"):
        TransformersPageEncoder(tmp_path / "none")
    (tmp_path / "clip").mkdir()
    (tmp_path / "clip" / "config.json").write_text(json.dumps({"model_type": "clip"}))
    with pytest.raises(ConfigError, match="type clip"):
        TransformersPageEncoder(tmp_path / "clip")
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "config.json").write_text(json.dumps({"model_type": "colpali"}))
    (tmp_path / "bare" / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    with pytest.raises(WeightsError, match="pytorch_model"):
        TransformersPageEncoder(tmp_path / "bare")
    encoder = TransformersPageEncoder(folder, device="cpu", max_pixels=10_000)
    with pytest.raises(EncodeError, match="item 1"):
        encoder.encode_pages([drawing(0), b"no picture"])
    with pytest.raises(EncodeError, match="more than the limit"):
        encoder.encode_pages([drawing(0, (200, 200))])
    with pytest.raises(ValueError, match="empty"):
        encoder.encode_question(" ")
