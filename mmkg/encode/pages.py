"""Models that see a page as a picture and give it many vectors: ColPali, ColQwen2 and ColModernVBERT folders of transformers.

The folder holds config.json, *.safetensors, the tokenizer and the preparation of pictures, as `save_pretrained` of model and
processor writes them. Nothing is downloaded and no code of the folder runs.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mmkg.encode.clip import tensor_files
from mmkg.encode.text import unit_rows
from mmkg.encode.text_named import offline
from mmkg.encode.text_torch import INSTALL_TORCH, resolve_device
from mmkg.encode.weights import read_json
from mmkg.errors import ConfigError, EncodeError, MissingDependencyError, NotFoundError, WeightsError
from mmkg.protocols import FloatArray, Space

KINDS = {"colpali": "ColPali", "colqwen2": "ColQwen2", "colmodernvbert": "ColModernVBert"}
"""model_type of config.json -> how the classes of transformers begin."""
_BATCH = 4
_PARTS = ("config.json", "preprocessor_config.json", "processor_config.json", "tokenizer.json", "tokenizer_config.json")


class TransformersPageEncoder:
    """A PageEncoder on torch; half precision by autocast where the device is quick in it.

    device: auto, cpu, cuda, mps. max_pixels: of a picture, checked before it is decoded.
    Raises NotFoundError, ConfigError, WeightsError, MissingDependencyError.
    """

    def __init__(self, folder: Path, *, device: str = "auto", max_pixels: int = 100_000_000) -> None:
        folder = folder.expanduser()
        if not folder.is_dir():
            raise NotFoundError(f"page encoder {folder}: no such folder")
        kind = str(read_json(folder / "config.json").get("model_type"))
        if kind not in KINDS:
            raise ConfigError(f"{folder.name} is a model of type {kind}", hint=f"as page encoder: {', '.join(KINDS)}")
        files = tensor_files(folder)
        self._device, self._precision = resolve_device(device)
        self._max_pixels = max_pixels
        self._model, self._processor = _loaded(folder, KINDS[kind])
        self._model.to(self._device)
        self.space = Space(
            name=folder.resolve().name,
            revision=_revision([*files, *(folder / part for part in _PARTS)]),
            dim=int(getattr(self._model, "embedding_dim", 0) or self._model.config.embedding_dim),
            pooling="none",
            max_tokens=512,
        )

    @property
    def runtime(self) -> str:
        """torch-fp32, torch-bf16, torch-fp16-cuda, ..."""
        return f"torch-{self._precision}" + ("" if self._device == "cpu" else f"-{self._device}")

    def encode_pages(self, items: Sequence[bytes]) -> list[FloatArray]:
        """For each picture file (n, dim) float32, unit rows. Raises EncodeError that names the item that cannot be decoded."""
        out: list[FloatArray] = []
        for start in range(0, len(items), _BATCH):
            pictures = [self._decoded(start + i, item) for i, item in enumerate(items[start : start + _BATCH])]
            out += self._computed(self._processor.process_images(images=pictures))
        return out

    def encode_question(self, text: str) -> FloatArray:
        """(m, dim) float32, unit rows. Raises ValueError for an empty text."""
        if not text.strip():
            raise ValueError("the text is empty")
        return self._computed(self._processor.process_queries(text=[text]))[0]

    def _decoded(self, i: int, item: bytes) -> Any:
        from PIL import Image

        try:
            with Image.open(io.BytesIO(item)) as picture:
                if picture.width * picture.height > self._max_pixels:
                    raise EncodeError(f"item {i}: {picture.width} x {picture.height} pixels, more than the limit")
                return picture.convert("RGB")
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as e:
            raise EncodeError(f"item {i} is no picture that can be decoded: {e}") from e

    def _computed(self, batch: Any) -> list[FloatArray]:
        """The rows of each item, without those that only fill the batch up."""
        import torch

        batch = {k: v.to(self._device) for k, v in batch.items() if k != "labels"}
        half = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(self._precision)
        with torch.inference_mode(), torch.autocast(self._device, dtype=half, enabled=half is not None):
            rows = self._model(**batch).embeddings.float().cpu().numpy()
        held = batch["attention_mask"].cpu().numpy().astype(bool)
        if rows.shape[:2] != held.shape or rows.shape[2] != self.space.dim:
            raise EncodeError(f"{self.space.name} gave {rows.shape}, expected {held.shape} rows of {self.space.dim}")
        what = f"{self.space.name} ({self.runtime})"
        return [unit_rows(np.ascontiguousarray(x[m]), what=what) for x, m in zip(rows, held, strict=True)]


def _revision(files: Sequence[Path]) -> str:
    """12 hex digits that stand for the files that are there. Raises WeightsError."""
    total = hashlib.sha256()
    for file in files:
        if not file.is_file():
            continue
        try:
            with file.open("rb") as f:
                total.update(file.name.encode() + b"\0" + hashlib.file_digest(f, "sha256").digest())
        except OSError as e:
            raise WeightsError(f"cannot read {file}: {e.strerror or e}") from e
    return total.hexdigest()[:12]


def _loaded(folder: Path, name: str) -> tuple[Any, Any]:
    """Network and processor. Raises WeightsError, MissingDependencyError."""
    from safetensors import SafetensorError

    try:
        import transformers

        network, processor = getattr(transformers, f"{name}ForRetrieval"), getattr(transformers, f"{name}Processor")
    except (ImportError, AttributeError) as e:
        raise MissingDependencyError(f"transformers has no {name}: {e}", hint=INSTALL_TORCH) from e
    try:
        with offline():
            model = network.from_pretrained(
                str(folder), local_files_only=True, use_safetensors=True, trust_remote_code=False
            )
            model.eval()
            return model, processor.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
    except (SafetensorError, OSError, ValueError, KeyError, RuntimeError, TypeError) as e:
        raise WeightsError(f"{folder.name} cannot be loaded: {str(e).splitlines()[0]}") from e
