"""Which encoder a setting means on this machine.

Order: what the user names (a folder, then a model in the local cache), else the packaged weights. Nothing is downloaded
unless a caller passes allow_download=True.
"""

from __future__ import annotations

from typing import Any

from mmkg.config import Settings
from mmkg.encode import weights
from mmkg.encode.text import MINILM, SplitEncoder
from mmkg.encode.text_torch import (
    DEVICES,
    accelerator_visible,
    cpu_has_bf16,
    load_minilm_torch,
    resolve_device,
)
from mmkg.errors import ConfigError, MissingDependencyError
from mmkg.protocols import Encoder

DEFAULT_NAMES = ("default", MINILM.name, f"sentence-transformers/{MINILM.name}")


def load_text_encoder(
    settings: Settings,
    *,
    name: str | None = None,
    runtime: str | None = None,
    threads: int | None = None,
    allow_download: bool = False,
) -> Encoder:
    """The text encoder that settings.encoder (or `name`) means.

    name: "default", a folder (sentence-transformers layout, or model.onnx + tokenizer.json), a model's name, or a service and
    its model ("http://localhost:8080/v1#bge-small", see mmkg.encode.service).
    runtime: None chooses, "onnx" or "torch" insists. threads: default one a processor.
    Raises MissingDependencyError, WeightsError, ConfigError, NotFoundError; each says what to do.
    """
    name = name or settings.encoder
    if runtime not in (None, "onnx", "torch"):
        raise ConfigError(f"runtime: expected onnx or torch, got {runtime!r}")
    if settings.device not in DEVICES:
        raise ConfigError(f"setting device: expected one of {', '.join(DEVICES)}, got {settings.device!r}")
    if name in DEFAULT_NAMES:
        return _minilm(settings.device, runtime, threads)
    if name.startswith(("http://", "https://")):
        from mmkg.encode.service import load_service

        return load_service(name)
    from mmkg.encode.text_named import load_named

    return load_named(name, device=settings.device, runtime=runtime, threads=threads, allow_download=allow_download)


def _minilm(device: str, runtime: str | None, threads: int | None) -> Encoder:
    """The packaged MiniLM on what is here.

    Measured on a core without bf16, 100-word texts, per second of processor time: onnx int8 21 texts, torch fp32 23; a
    question 10 ms against 15 to 20, the start 0.6 s against 4 s; and torch's threads wait on each other where other work
    shares the cores. So torch is used only where it computes in half precision, then for many texts at a time, and
    questions stay on onnx.
    """
    from mmkg.encode.text_onnx import load_minilm_onnx

    has_onnx, has_torch = onnx_ready(), torch_ready()
    wants_gpu = device in ("cuda", "mps")
    if not has_onnx and not has_torch and runtime is None:
        raise MissingDependencyError(
            "no text model is installed", hint=f"{weights.INSTALL_MODELS} (without torch: {weights.INSTALL_LIGHT})"
        )
    if runtime == "onnx":
        return load_minilm_onnx(threads=threads)
    if runtime == "torch" or not has_onnx or (wants_gpu and not has_torch):
        return load_minilm_torch(device=device, threads=threads)
    if wants_gpu:
        resolve_device(device)  # a device that is not there is said at once, not at the first large batch
    half = cpu_has_bf16() or (device != "cpu" and accelerator_visible())
    quick = load_minilm_onnx(threads=threads)
    if not has_torch or not (wants_gpu or half):
        return quick

    def fast() -> Encoder:
        loaded = load_minilm_torch(device=device, threads=threads)
        # The guess at a GPU may be wrong; plain torch is the slower one then.
        return quick if loaded.runtime == "torch-fp32" else loaded

    return SplitEncoder(quick, fast)


def onnx_ready() -> bool:
    """Whether the packaged text model can run on onnxruntime; imports nothing."""
    files = (weights.MINILM_ONNX, weights.MINILM_TOKENIZER)
    return weights.installed("onnxruntime") and all(weights.locate(f) for f in files)


def torch_ready() -> bool:
    """Whether the packaged text model can run on torch; imports nothing."""
    files = (weights.MINILM_TORCH, weights.MINILM_TOKENIZER)
    return weights.installed("torch") and all(weights.locate(f) for f in files)


def load_image_encoder(settings: Settings, *, text: Encoder | None = None, threads: int | None = None) -> Encoder:
    """The encoder of pictures into the text space: the label bridge (see mmkg.encode.bridge; bridge_available asks first).

    text: the base's text encoder, whose space the pictures go into; default the packaged MiniLM.
    Where torch is installed and the bridge was never used, it is exported first (some seconds).
    Raises MissingDependencyError, WeightsError.
    """
    from mmkg.encode.bridge import load_bridge

    return load_bridge(
        lambda: text or _minilm("cpu", None, threads),
        text=text.space if text else MINILM,
        max_pixels=settings.limits.pixels,
        threads=threads,
    )


def load_named_image_encoder(settings: Settings, name: str, *, threads: int | None = None) -> Encoder:
    """A CLIP or SigLIP model that the user names (mmkg.encode.clip says what can be named).

    Raises NotFoundError, ConfigError, WeightsError, MissingDependencyError.
    """
    from mmkg.encode.clip import load_clip

    return load_clip(name, device=settings.device, max_pixels=settings.limits.pixels, threads=threads)


def environment() -> list[dict[str, Any]]:
    """One row a model or extra for `mmkg doctor`; see mmkg.encode.environment."""
    from mmkg.encode import environment as module

    return module.environment()
