"""Text encoders that the user names: a folder, or a model that lies in the local model cache.

A folder is data and runs nothing: weights are read from safetensors or ONNX only, code that comes with a model is never
loaded, and the parts of a sentence-transformers folder must be that library's own.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mmkg.encode import weights
from mmkg.encode.text import check_texts, unit_rows
from mmkg.encode.text_onnx import OnnxTextEncoder
from mmkg.encode.text_torch import INSTALL_TORCH, resolve_device
from mmkg.errors import ConfigError, EncodeError, MissingDependencyError, NotFoundError, WeightsError
from mmkg.protocols import Encoder, FloatArray, Space
from mmkg.types import Modality

ONNX_PATHS = ("model.onnx", "onnx/model.onnx", "model_quantized.onnx", "onnx/model_quantized.onnx")
OVERRIDES = "encoder.json"
"""Optional file in a folder that says what the model files do not: name, pooling, query_prefix, document_prefix, max_tokens."""

_DOWNLOAD = ["*.json", "*.txt", "*.model", "*.safetensors"]
_PARTS = frozenset({"Transformer", "Pooling", "Normalize", "Dense"})


def load_named(
    name: str,
    *,
    device: str = "auto",
    runtime: str | None = None,
    threads: int | None = None,
    allow_download: bool = False,
) -> Encoder:
    """The encoder in a folder, or a model by name from the local cache (downloaded only if allow_download).

    A folder with ONNX and safetensors runs on torch if it is installed, else on onnxruntime; `runtime` insists.
    Raises NotFoundError, ConfigError, WeightsError, MissingDependencyError.
    """
    folder = Path(name).expanduser()
    if not folder.is_dir():
        if folder.is_absolute() or name.startswith((".", "~")):
            raise NotFoundError(f"encoder {name}: no such folder")
        folder = cached_model(name, allow_download=allow_download)
        name = name.replace("/", "--")
    else:
        name = folder.resolve().name
    onnx = next((folder / p for p in ONNX_PATHS if (folder / p).is_file()), None)
    if onnx is not None and not (folder / "tokenizer.json").is_file():
        onnx = None
    tensors = sorted(folder.glob("*.safetensors"))
    if runtime == "onnx" and onnx is None:
        raise WeightsError(f"encoder {name}: no model.onnx with tokenizer.json in the folder")
    use_torch = (
        runtime == "torch"
        or (onnx is None and runtime is None)
        or (runtime is None and bool(tensors) and weights.installed("sentence_transformers"))
    )
    if use_torch and not tensors:
        raise WeightsError(
            f"encoder {name}: neither *.safetensors nor model.onnx with tokenizer.json in the folder",
            hint="other weight formats can hold code and are not read",
        )
    # Both runtimes of one folder share a space: the fp32 weights name it where they are there.
    files = tensors or [onnx for onnx in (onnx,) if onnx]
    space = _described(folder, Space(name=name, revision=_revision(files), dim=_width(folder)))
    if use_torch:
        return SentenceTransformerEncoder(folder, space, device=device)
    assert onnx is not None
    tokenizer = weights.read_bytes(folder / "tokenizer.json")
    precision = "int8" if "quantized" in onnx.name else "fp32"
    return OnnxTextEncoder(space, weights.read_bytes(onnx), tokenizer, threads=threads, precision=precision)


def _revision(files: Sequence[Path]) -> str:
    total = hashlib.sha256()
    for file in files:
        total.update(weights.read_bytes(file))
    return total.hexdigest()[:12]


def _width(folder: Path) -> int:
    """Dimension of the model's vectors by its configuration, 0 where there is none."""
    width = weights.read_json(folder / "config.json").get("hidden_size", 0)
    return width if isinstance(width, int) else 0


def _described(folder: Path, space: Space) -> Space:
    """The space with pooling, prefixes and length as the folder's own files give them."""
    pooling = weights.read_json(folder / "1_Pooling" / "config.json")
    if pooling.get("pooling_mode_cls_token") or pooling.get("pooling_mode") == "cls":
        space = replace(space, pooling="cls")
    prompts = weights.read_json(folder / "config_sentence_transformers.json").get("prompts") or {}
    space = replace(
        space,
        query_prefix=str(prompts.get("query") or ""),
        document_prefix=str(prompts.get("document") or prompts.get("passage") or ""),
    )
    length = weights.read_json(folder / "sentence_bert_config.json").get("max_seq_length") or weights.read_json(
        folder / "config.json"
    ).get("max_position_embeddings")
    if isinstance(length, int):
        space = replace(space, max_tokens=min(length, 512))
    own = weights.read_json(folder / OVERRIDES)
    known = {"name": str, "pooling": str, "query_prefix": str, "document_prefix": str, "max_tokens": int, "dim": int}
    for key, value in own.items():
        if key not in known or type(value) is not known[key]:
            raise ConfigError(f"{OVERRIDES}: {key} = {value!r}", hint=f"known: {', '.join(sorted(known))}")
    space = replace(space, **own)
    if space.pooling not in ("mean", "cls") or space.max_tokens < 8:
        raise ConfigError(f"{OVERRIDES}: pooling {space.pooling!r}, max_tokens {space.max_tokens}: out of range")
    if space.dim < 1:
        raise ConfigError(
            f"encoder {space.name}: the folder does not say the dimension",
            hint=f'add it to {OVERRIDES}: {{"dim": 384}}',
        )
    return space


def cached_model(name: str, *, allow_download: bool = False) -> Path:
    """The folder of a model in the local cache. Raises NotFoundError, MissingDependencyError."""
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
    except ImportError as e:
        raise MissingDependencyError(f"huggingface_hub cannot be imported: {e}", hint=INSTALL_TORCH) from e
    repo = name if "/" in name else f"sentence-transformers/{name}"
    try:
        return Path(snapshot_download(repo, local_files_only=not allow_download, allow_patterns=_DOWNLOAD))
    except HFValidationError as e:
        raise NotFoundError(f"encoder {name!r}: neither a folder nor the name of a model") from e
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as e:
        hint = "" if allow_download else "download it first, or name a folder that holds it"
        raise NotFoundError(f"encoder {name}: not in the local model cache", hint=hint) from e


@contextmanager
def offline() -> Iterator[None]:
    """The model library looks up a model's page even when it loads a folder; for the time of a load it may not."""
    import huggingface_hub.constants as constants

    was, env = constants.HF_HUB_OFFLINE, os.environ.get("HF_HUB_OFFLINE")
    constants.HF_HUB_OFFLINE = True
    os.environ["HF_HUB_OFFLINE"] = "1"
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = was
        if env is None:
            del os.environ["HF_HUB_OFFLINE"]
        else:
            os.environ["HF_HUB_OFFLINE"] = env


class SentenceTransformerEncoder:
    """A sentence-transformers model in a folder, on torch, in half precision where the hardware has it."""

    modalities = frozenset({Modality.TEXT})

    def __init__(self, folder: Path, space: Space, *, device: str = "auto") -> None:
        _check_parts(folder)
        self._device, self._precision = resolve_device(device)
        try:
            with offline():
                from sentence_transformers import SentenceTransformer

                model = SentenceTransformer(
                    str(folder),
                    device=self._device,
                    trust_remote_code=False,
                    local_files_only=True,
                    model_kwargs={"use_safetensors": True},
                )
        except ImportError as e:
            raise MissingDependencyError(f"sentence-transformers cannot be imported: {e}", hint=INSTALL_TORCH) from e
        except (OSError, ValueError, KeyError, RuntimeError) as e:
            raise WeightsError(f"encoder {space.name} cannot be loaded: {e}") from e
        if self._precision != "fp32":
            model = model.half() if self._precision == "fp16" else model.bfloat16()
        model.max_seq_length = space.max_tokens
        self.space = space
        self._model = model.eval()

    @property
    def runtime(self) -> str:
        """torch-fp32, torch-bf16, torch-fp16-cuda, ..."""
        return f"torch-{self._precision}" + ("" if self._device == "cpu" else f"-{self._device}")

    def encode_document(self, items: Sequence[Any], *, batch_size: int = 64) -> FloatArray:
        """(n, dim) float32, unit rows. Raises ValueError for an empty text, EncodeError on a vector that is not finite."""
        return self._encode(items, self.space.document_prefix, batch_size)

    def encode_query(self, items: Sequence[Any]) -> FloatArray:
        """As encode_document, with the query prefix."""
        return self._encode(items, self.space.query_prefix, 64)

    def _encode(self, texts: Sequence[Any], prefix: str, batch_size: int) -> FloatArray:
        check_texts(texts)
        if not texts:
            return np.zeros((0, self.space.dim), dtype=np.float32)
        vectors = self._model.encode(
            [prefix + t for t in texts],
            prompt="",  # prefixes are of the space; the model's default prompt must not come on top
            batch_size=batch_size,
            convert_to_numpy=True,
            show_progress_bar=False,
        )
        out = np.asarray(vectors, dtype=np.float32)
        if out.shape != (len(texts), self.space.dim):
            raise EncodeError(f"{self.space.name} gave {out.shape}, expected {(len(texts), self.space.dim)}")
        return unit_rows(out, what=f"{self.space.name} ({self.runtime})")


def _check_parts(folder: Path) -> None:
    """Refuse a folder whose list of parts names foreign classes, or leads outside the folder, or has pickled weights."""
    path = folder / "modules.json"
    if not path.is_file():
        return
    try:
        parts = json.loads(path.read_text(encoding="utf-8"))
        named = [(str(p["type"]), str(p["path"])) for p in parts]
    except (OSError, ValueError, KeyError, TypeError) as e:
        raise WeightsError(f"cannot read {path}: {e}") from e
    for kind, place in named:
        library, _, part = kind.rpartition(".")
        if library.split(".")[0] != "sentence_transformers" or part not in _PARTS:
            raise WeightsError(f"modules.json names {kind}, which is not one of {', '.join(sorted(_PARTS))}")
        if not (folder / place).resolve().is_relative_to(folder.resolve()):
            raise WeightsError(f"modules.json leads outside the folder: {place}")
        if part == "Dense" and not (folder / place / "model.safetensors").is_file():
            raise WeightsError(
                f"{place}: no model.safetensors", hint="other weight formats can hold code and are not read"
            )
