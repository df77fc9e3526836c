"""CLIP and SigLIP: encoders whose space holds pictures and words, from a folder, a checkpoint or the local model cache.

What a user can name: a folder of transformers (config.json) or open_clip (open_clip_config.json), a folder that
`mmkg export-encoder` wrote (runs without torch), ARCHITECTURE#FILE for a checkpoint of open_clip, a model of the local
cache by name ("openai/clip-vit-base-patch32"), or ARCHITECTURE/TAG of open_clip's list ("ViT-B-32/laion2b_s34b_b79k").
Weights are read from safetensors or ONNX only, nothing is downloaded, and no code that comes with a model is run. The hash of the
weights and of the preparation of pictures is in the space's key, so two checkpoints of one name are two spaces.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from mmkg.encode import weights
from mmkg.encode.pictures import Preparation, prepared
from mmkg.encode.text import check_texts, unit_rows
from mmkg.encode.text_named import cached_model
from mmkg.encode.text_onnx import default_threads
from mmkg.encode.text_torch import resolve_device
from mmkg.errors import ConfigError, EncodeError, NotFoundError, WeightsError
from mmkg.protocols import FloatArray, JointEncoder, Space
from mmkg.types import Modality

SAFE_ONLY = "other weight formats can hold code and are not read; save the model as safetensors first"


class Towers(Protocol):
    """The two networks of a model, in torch: rows that are not scaled yet."""

    preparation: Preparation
    dim: int
    max_tokens: int

    def images(self, pixels: Any) -> Any:
        """(n, dim) tensor of (n, 3, size, size) float32 pixels on the model's device."""
        ...

    def texts(self, texts: Sequence[str], device: str) -> Any:
        """(n, dim) tensor."""
        ...

    def to(self, device: str) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """A model that a user named, found: its name in the space, its files, and what kind of folder or file it is.

    kind: transformers, open_clip, checkpoint (then `architecture` is set) or exported.
    """

    kind: str
    name: str
    path: Path
    architecture: str = ""


class TorchClipEncoder:
    """A JointEncoder on torch; half precision by autocast where the device is quick in it.

    device: auto, cpu, cuda, mps. precision: fp32, bf16 or fp16; default that of the device. threads: pictures decoded at a time.
    Raises ConfigError for a device that is not here.
    """

    modalities = frozenset({Modality.IMAGE})

    def __init__(
        self,
        space: Space,
        towers: Towers,
        *,
        device: str = "auto",
        precision: str | None = None,
        max_pixels: int = 100_000_000,
        threads: int | None = None,
    ) -> None:
        self._device, usual = resolve_device(device)
        self._precision = precision or usual
        if self._precision not in ("fp32", "bf16", "fp16"):
            raise ConfigError(f"precision: expected fp32, bf16 or fp16, got {self._precision!r}")
        towers.to(self._device)
        self.space, self.towers = space, towers
        self._max_pixels, self._threads = max_pixels, threads or default_threads()

    @property
    def runtime(self) -> str:
        """torch-fp32, torch-bf16, torch-fp16-cuda, ..."""
        return f"torch-{self._precision}" + ("" if self._device == "cpu" else f"-{self._device}")

    def encode_document(self, items: Sequence[Any], *, batch_size: int = 64) -> FloatArray:
        """(n, dim) float32, unit rows, of the bytes of picture files. The next batch is decoded while one is computed.

        Raises EncodeError that names the first item that cannot be decoded, ValueError for an item that is not bytes.
        """
        import torch

        checked_pictures(items, batch_size)
        if not items:
            return np.zeros((0, self.space.dim), dtype=np.float32)
        rows = []
        with ThreadPoolExecutor(self._threads, thread_name_prefix="mmkg-picture") as pool:
            starts = range(0, len(items), batch_size)
            decode = self._decoder(items)
            waiting = [pool.submit(decode, i) for i in range(min(batch_size, len(items)))]
            for start in starts:
                pixels = torch.from_numpy(np.stack([job.result() for job in waiting]))
                after = range(start + batch_size, min(start + 2 * batch_size, len(items)))
                waiting = [pool.submit(decode, i) for i in after]
                rows.append(self._computed(lambda p=pixels: self.towers.images(self._moved(p))))
        return unit_rows(np.concatenate(rows), what=f"{self.space.name} ({self.runtime})")

    def encode_query(self, items: Sequence[Any]) -> FloatArray:
        """As encode_document: pictures that look for pictures."""
        return self.encode_document(items)

    def encode_text(self, texts: Sequence[str]) -> FloatArray:
        """(n, dim) float32, unit rows: words that look for pictures. Raises ValueError for an empty text."""
        check_texts(texts)
        if not texts:
            return np.zeros((0, self.space.dim), dtype=np.float32)
        rows = [
            self._computed(lambda some=texts[i : i + 64]: self.towers.texts(list(some), self._device))
            for i in range(0, len(texts), 64)
        ]
        return unit_rows(np.concatenate(rows), what=f"{self.space.name} ({self.runtime})")

    def _decoder(self, items: Sequence[Any]) -> Any:
        def decode(i: int) -> FloatArray:
            try:
                return prepared(bytes(items[i]), self.towers.preparation, max_pixels=self._max_pixels)
            except EncodeError as e:
                raise EncodeError(f"item {i}: {e}") from e

        return decode

    def _moved(self, pixels: Any) -> Any:
        # Page-locked memory goes over to a GPU while the processor decodes the next batch.
        if self._device == "cuda":
            return pixels.pin_memory().to(self._device, non_blocking=True)
        return pixels.to(self._device)

    def _computed(self, step: Any) -> FloatArray:
        import torch

        half = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(self._precision)
        with torch.inference_mode(), torch.autocast(self._device, dtype=half, enabled=half is not None):
            rows: FloatArray = step().float().cpu().numpy()
        if rows.shape[1] != self.space.dim:
            raise EncodeError(f"{self.space.name} gave {rows.shape}, expected {self.space.dim} columns")
        return rows


def checked_pictures(items: Sequence[Any], batch_size: int) -> None:
    """Raises ValueError for an item that is not bytes, or a batch size under 1."""
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    for i, item in enumerate(items):
        if not isinstance(item, (bytes, bytearray, memoryview)):
            raise ValueError(f"item {i}: expected the bytes of a picture, got {type(item).__name__}")


def load_clip(
    name: str,
    *,
    device: str = "auto",
    precision: str | None = None,
    max_pixels: int = 100_000_000,
    threads: int | None = None,
) -> JointEncoder:
    """The JointEncoder that `name` means (see the module). Opens no connection.

    Raises NotFoundError, ConfigError, WeightsError, MissingDependencyError; each says what to do.
    """
    found = find_model(name)
    if found.kind == "exported":
        from mmkg.encode.clip_onnx import OnnxClipEncoder

        return OnnxClipEncoder(found.path, max_pixels=max_pixels, threads=threads)
    space, towers = load_towers(found)
    return TorchClipEncoder(space, towers, device=device, precision=precision, max_pixels=max_pixels, threads=threads)


def load_towers(found: Named) -> tuple[Space, Towers]:
    """Space and networks of a model in torch. Raises ConfigError, WeightsError, MissingDependencyError."""
    towers: Towers
    if found.kind == "transformers":
        from mmkg.encode.clip_transformers import TransformersTowers

        files = tensor_files(found.path)
        towers = TransformersTowers(found.path)
    else:
        from mmkg.encode.clip_open import OpenClipTowers

        files = [found.path] if found.kind == "checkpoint" else tensor_files(found.path)
        towers = OpenClipTowers(found, files)
    revision = revision_of(files, towers.preparation)
    return Space(
        name=found.name, revision=revision, dim=towers.dim, pooling="none", max_tokens=towers.max_tokens
    ), towers


def find_model(name: str) -> Named:
    """Which files a name means. Raises NotFoundError, WeightsError for weights that are no safetensors, ConfigError."""
    architecture, mark, file = name.partition("#")
    if mark:
        path = Path(file).expanduser()
        if not path.is_file():
            raise NotFoundError(f"image encoder {name}: no such file: {path}")
        if path.suffix != ".safetensors":
            raise WeightsError(f"{path.name} is not a safetensors file", hint=SAFE_ONLY)
        return Named(kind="checkpoint", name=f"{architecture}--{path.stem}", path=path, architecture=architecture)
    folder = Path(name).expanduser()
    if folder.is_file():
        raise ConfigError(
            f"{name} is a file, and nothing says which network it is of",
            hint="write ARCHITECTURE#FILE, as in ViT-B-32#weights.safetensors, or name a folder with its configuration",
        )
    if folder.is_dir():
        return _in_folder(folder, folder.resolve().name)
    if folder.is_absolute() or name.startswith((".", "~")):
        raise NotFoundError(f"image encoder {name}: no such folder")
    return _in_folder(cached_model(_repository(name)), name.replace("/", "--"))


def _repository(name: str) -> str:
    """The cached repository of a name: of ARCHITECTURE/TAG what open_clip's list says, else the name itself."""
    architecture, _, tag = name.partition("/")
    if tag and weights.installed("open_clip"):
        from open_clip import get_pretrained_cfg

        entry = get_pretrained_cfg(architecture, tag) or {}
        if hub := str(entry.get("hf_hub") or "").strip("/"):
            return hub
    return name


def _in_folder(folder: Path, name: str) -> Named:
    from mmkg.encode.clip_onnx import META

    for kind, file in (("exported", META), ("open_clip", "open_clip_config.json"), ("transformers", "config.json")):
        if (folder / file).is_file():
            return Named(kind=kind, name=name, path=folder)
    raise NotFoundError(
        f"image encoder {name}: the folder has neither config.json nor open_clip_config.json nor {META}",
        hint="name the folder of a CLIP or SigLIP model of transformers or open_clip",
    )


def tensor_files(folder: Path) -> list[Path]:
    """The safetensors files of a folder. Raises WeightsError where there are none, which names what is there instead."""
    found = sorted(folder.glob("*.safetensors"))
    if found:
        return found
    others = sorted(p.name for p in folder.iterdir() if p.suffix in (".bin", ".pt", ".pth", ".ckpt", ".npz"))
    there = f"only {', '.join(others)}" if others else "no weights"
    raise WeightsError(f"{folder.name} holds no *.safetensors, {there}", hint=SAFE_ONLY)


def revision_of(files: Sequence[Path], preparation: Preparation) -> str:
    """12 hex digits that stand for weights and preparation. Raises WeightsError."""
    total = hashlib.sha256(json.dumps(preparation.to_json(), sort_keys=True).encode())
    for file in files:
        try:
            with file.open("rb") as f:
                total.update(hashlib.file_digest(f, "sha256").digest())
        except OSError as e:
            raise WeightsError(f"cannot read {file}: {e.strerror or e}") from e
    return total.hexdigest()[:12]
