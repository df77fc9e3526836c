"""Which encoder a setting means on this machine, and what `mmkg doctor` says of models.

Order: what the user names (a folder, then a model in the local cache), else the packaged weights. Nothing is downloaded
unless a caller passes allow_download=True.
"""

from __future__ import annotations

from mmkg.config import Settings
from mmkg.encode import weights
from mmkg.encode.text import MINILM, SplitEncoder
from mmkg.encode.text_torch import DEVICES, INSTALL_TORCH, accelerator_visible, cpu_has_bf16
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

    name: "default", a folder (sentence-transformers layout, or model.onnx + tokenizer.json), or a model's name.
    runtime: None chooses, "onnx" or "torch" insists. threads: default one a processor.
    Raises MissingDependencyError, WeightsError, ConfigError; each says what to do.
    """
    name = name or settings.encoder
    if runtime not in (None, "onnx", "torch"):
        raise ConfigError(f"runtime: expected onnx or torch, got {runtime!r}")
    if settings.device not in DEVICES:
        raise ConfigError(f"setting device: expected one of {', '.join(DEVICES)}, got {settings.device!r}")
    if name not in DEFAULT_NAMES:
        from mmkg.encode.text_named import load_named

        return load_named(name, device=settings.device, runtime=runtime, threads=threads, allow_download=allow_download)
    return _minilm(settings.device, runtime, threads)


def _minilm(device: str, runtime: str | None, threads: int | None) -> Encoder:
    """The packaged MiniLM on what is here.

    Measured on two cores without bf16, 100-word texts: onnx int8 17-24 texts/s, torch fp32 11-14; a question 7.5 ms
    against 23 ms, the start 0.6 s against 4 s. So torch is used only where it computes in half precision, then for many
    texts at a time, and questions stay on onnx.
    """
    from mmkg.encode.text_onnx import OnnxTextEncoder, load_minilm_onnx
    from mmkg.encode.text_torch import TorchTextEncoder, load_minilm_torch

    has_onnx = _onnx_ready()
    has_torch = _torch_ready()
    if runtime == "torch" or (runtime is None and device in ("cuda", "mps") and not has_torch):
        return load_minilm_torch(device=device, threads=threads)
    if runtime == "onnx":
        return load_minilm_onnx(threads=threads)
    if not has_onnx:
        if has_torch:
            return load_minilm_torch(device=device, threads=threads)
        raise MissingDependencyError(
            "no text model is installed", hint=f"{weights.INSTALL_MODELS} (without torch: {weights.INSTALL_LIGHT})"
        )
    quick: OnnxTextEncoder = load_minilm_onnx(threads=threads)
    if not has_torch or device == "cpu" and not cpu_has_bf16():
        return quick
    if device in ("cuda", "mps"):
        from mmkg.encode.text_torch import resolve_device

        resolve_device(device)  # a device that is not there is said at once, not at the first large batch
    elif not cpu_has_bf16() and not accelerator_visible():
        return quick

    def fast() -> TorchTextEncoder | OnnxTextEncoder:
        loaded = load_minilm_torch(device=device, threads=threads)
        return quick if loaded.runtime == "torch-fp32" else loaded

    return SplitEncoder(quick, fast)


def _onnx_ready() -> bool:
    files = (weights.MINILM_ONNX, weights.MINILM_TOKENIZER)
    return weights.installed("onnxruntime") and all(weights.locate(f) for f in files)


def _torch_ready() -> bool:
    files = (weights.MINILM_TORCH, weights.MINILM_TOKENIZER)
    return weights.installed("torch") and all(weights.locate(f) for f in files)
