from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmkg.config import Settings
from mmkg.encode import registry, weights
from mmkg.encode.registry import environment, load_text_encoder
from mmkg.encode.text import SplitEncoder
from mmkg.errors import ConfigError, MissingDependencyError, NotFoundError, WeightsError

CPU = Settings(device="cpu")


@pytest.fixture
def onnx_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "my-model"
    folder.mkdir()
    for file, name in ((weights.MINILM_ONNX, "model.onnx"), (weights.MINILM_TOKENIZER, "tokenizer.json")):
        source = weights.locate(file)
        assert source is not None
        shutil.copyfile(source, folder / name)
    (folder / "encoder.json").write_text(json.dumps({"dim": 384, "max_tokens": 256}))
    return folder


class TestDefault:
    @pytest.mark.models
    @pytest.mark.parametrize("name", registry.DEFAULT_NAMES)
    def test_its_names(self, name: str) -> None:
        assert load_text_encoder(CPU, name=name, runtime="onnx").space.key == "all-MiniLM-L6-v2@53aa51172d14"

    @pytest.mark.parametrize(
        ("settings", "options"),
        [(Settings(device="tpu"), {}), (CPU, {"runtime": "jax"})],
        ids=["device", "runtime"],
    )
    def test_values_out_of_range(self, settings: Settings, options: dict[str, Any]) -> None:
        with pytest.raises(ConfigError):
            load_text_encoder(settings, **options)

    def test_nothing_installed_says_what_to_install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(weights, "locate", lambda file: None)
        with pytest.raises(MissingDependencyError, match="no text model") as e:
            load_text_encoder(Settings())
        assert weights.INSTALL_MODELS in e.value.hint
        assert weights.INSTALL_LIGHT in e.value.hint

    @pytest.mark.models
    def test_torch_only_where_it_computes_in_half_precision(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(registry, "torch_ready", lambda: True)
        for bf16, kind in ((True, SplitEncoder), (False, object)):
            monkeypatch.setattr(registry, "cpu_has_bf16", lambda bf16=bf16: bf16)
            encoder = load_text_encoder(CPU)
            assert isinstance(encoder, kind)
            assert encoder.runtime == ("onnx-int8+torch" if bf16 else "onnx-int8")


@pytest.mark.models
class TestFolder:
    def test_onnx_and_tokenizer_are_enough(self, onnx_folder: Path) -> None:
        named = load_text_encoder(CPU, name=str(onnx_folder), runtime="onnx")
        assert (named.space.name, named.space.dim, named.runtime) == ("my-model", 384, "onnx-fp32")
        default = load_text_encoder(CPU, runtime="onnx")
        texts = ["one small step", "another text"]
        assert np.allclose(named.encode_document(texts), default.encode_document(texts), atol=1e-6)

    def test_prefixes_and_pooling_from_its_own_files(self, onnx_folder: Path) -> None:
        (onnx_folder / "1_Pooling").mkdir()
        (onnx_folder / "1_Pooling" / "config.json").write_text('{"pooling_mode_cls_token": true}')
        prompts = {"prompts": {"query": "query: ", "passage": "passage: "}}
        (onnx_folder / "config_sentence_transformers.json").write_text(json.dumps(prompts))
        encoder = load_text_encoder(CPU, name=str(onnx_folder), runtime="onnx")
        space = encoder.space
        assert (space.pooling, space.query_prefix, space.document_prefix) == ("cls", "query: ", "passage: ")
        (a,) = encoder.encode_query(["x y"])
        (b,) = encoder.encode_document(["x y"])
        assert a @ b < 0.99
        (onnx_folder / "encoder.json").write_text(json.dumps({"dim": 384, "query_prefix": "passage: "}))
        (c,) = load_text_encoder(CPU, name=str(onnx_folder), runtime="onnx").encode_query(["x y"])
        assert c @ b > 0.9999

    @pytest.mark.parametrize(
        "own",
        ['{"pooling": "max", "dim": 384}', '{"dim": "384"}', '{"dims": 384}', "{}"],
        ids=["pooling", "type", "unknown key", "no dimension"],
    )
    def test_what_encoder_json_may_not_say(self, onnx_folder: Path, own: str) -> None:
        (onnx_folder / "encoder.json").write_text(own)
        with pytest.raises(ConfigError):
            load_text_encoder(CPU, name=str(onnx_folder), runtime="onnx")

    def test_broken_json_is_named(self, onnx_folder: Path) -> None:
        (onnx_folder / "config.json").write_text("{")
        with pytest.raises(WeightsError, match=r"config\.json"):
            load_text_encoder(CPU, name=str(onnx_folder), runtime="onnx")


class TestRefused:
    def test_no_such_folder(self, tmp_path: Path) -> None:
        with pytest.raises(NotFoundError, match="no such folder"):
            load_text_encoder(CPU, name=str(tmp_path / "absent"))

    def test_pickled_weights_are_not_read(self, tmp_path: Path) -> None:
        (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x04.")
        with pytest.raises(WeightsError, match="safetensors") as e:
            load_text_encoder(CPU, name=str(tmp_path))
        assert "code" in e.value.hint

    def test_a_model_that_is_not_in_the_cache_is_not_fetched(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        import socket

        def fail(*args: object, **options: object) -> None:
            raise AssertionError("opened a socket")

        monkeypatch.setattr(socket.socket, "connect", fail)
        monkeypatch.setattr(socket, "getaddrinfo", fail)
        for name in ("no-such-model-of-a-test", "nobody/no-such-model", "not a/model/name"):
            with pytest.raises(NotFoundError, match=r"cache|neither"):
                load_text_encoder(CPU, name=name)


@pytest.mark.full
class TestSentenceTransformers:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        source = weights.locate(weights.MINILM_TORCH)
        assert source is not None
        return Path(shutil.copytree(source.parent, tmp_path / "minilm"))

    def test_a_folder_gives_the_vectors_of_the_packaged_model(self, folder: Path) -> None:
        named = load_text_encoder(CPU, name=str(folder))
        default = load_text_encoder(CPU, runtime="torch")
        assert (named.space.dim, named.space.max_tokens, named.runtime) == (384, 256, default.runtime)
        texts = ["one small step", "another text " * 150]
        assert np.min(np.sum(named.encode_document(texts) * default.encode_document(texts), axis=1)) > 0.999
        with pytest.raises(ValueError, match="item 0"):
            named.encode_query([" "])

    @pytest.mark.parametrize(
        "part",
        [
            {"type": "os.path.join", "path": ""},
            {"type": "sentence_transformers.models.Elsewhere", "path": ""},
            {"type": "sentence_transformers.models.Pooling", "path": "../other"},
            {"type": "sentence_transformers.models.Dense", "path": "2_Normalize"},
        ],
        ids=["foreign", "unknown part", "outside", "pickled"],
    )
    def test_parts_that_could_run_code_are_refused(self, folder: Path, part: dict[str, str]) -> None:
        (folder / "modules.json").write_text(json.dumps([{"idx": 0, "name": "0"} | part]))
        with pytest.raises(WeightsError):
            load_text_encoder(CPU, name=str(folder))

    def test_loading_leaves_the_environment_as_it_was(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        import os

        import huggingface_hub.constants as constants

        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        before = constants.HF_HUB_OFFLINE
        load_text_encoder(CPU, name=str(folder))
        assert "HF_HUB_OFFLINE" not in os.environ
        assert before == constants.HF_HUB_OFFLINE


def test_environment_says_what_mends_each_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = environment()
    assert len({(r["name"], r["runtime"]) for r in rows}) == len(rows)
    for row in rows:
        assert set(row) == {"name", "kind", "found", "version", "runtime", "detail", "mend"}
        assert row["found"] != bool(row["mend"])
    text = json.dumps(rows)
    assert str(Path.home()) not in text
    assert "site-packages" not in text
    monkeypatch.setattr(weights, "locate", lambda file: None)
    missing = [r for r in environment() if r["name"].startswith("text")]
    assert len(missing) == 2
    assert all(not r["found"] and weights.INSTALL_MODELS in r["mend"] for r in missing)


def test_environment_names_damaged_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    damaged = tmp_path / "model.onnx"
    damaged.write_bytes(b"x")
    monkeypatch.setattr(weights, "locate", lambda file: damaged)
    row = next(r for r in environment() if r["runtime"] == "onnx-int8")
    assert not row["found"]
    assert "sha256" in row["detail"]
    assert "--force-reinstall" in row["mend"]
