"""MiniLM on torch: half precision where the hardware has it. The network is written out here, since importing a model
library costs more seconds than encoding a few hundred texts."""

from __future__ import annotations

import platform
import sys
from pathlib import Path
from typing import Any

from mmkg.encode import weights
from mmkg.encode.text import MINILM, TextEncoder, Tokenizer, Tokens
from mmkg.errors import ConfigError, MissingDependencyError, WeightsError
from mmkg.protocols import FloatArray, Space

DEVICES = ("auto", "cpu", "cuda", "mps")
INSTALL_TORCH = 'pip install "mmkg[torch]"'


def cpu_has_bf16(cpuinfo: str | None = None) -> bool:
    """Whether the processor multiplies bf16 natively (AVX512-BF16, AMX, or Arm BF16). cpuinfo: text of /proc/cpuinfo.

    Without it bf16 is emulated and slower than fp32 (measured: less than half the rate), so this is asked of the
    flags, not of torch, which would have to be imported first.

    >>> cpu_has_bf16("flags : fpu avx512f avx512_bf16 amx_tile"), cpu_has_bf16("flags : avx512f")
    (True, False)
    """
    if cpuinfo is None:
        try:
            cpuinfo = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return False
    for line in cpuinfo.splitlines():
        key, _, values = line.partition(":")
        if key.strip() in ("flags", "Features"):
            return bool({"avx512_bf16", "amx_bf16", "bf16"} & set(values.split()))
    return False


def accelerator_visible() -> bool:
    """Whether this machine seems to have a GPU that torch could use; a cheap guess that imports nothing."""
    if sys.platform == "darwin":
        return platform.machine() == "arm64"
    return any(Path(p).exists() for p in ("/dev/nvidia0", "/dev/nvidiactl", "/dev/dxg", "/dev/kfd"))


def resolve_device(device: str) -> tuple[str, str]:
    """(torch device, precision) for a device setting: half precision on GPUs, bf16 on processors that have it.

    Raises ConfigError for an unknown device or one this machine lacks, MissingDependencyError without torch.
    """
    if device not in DEVICES:
        raise ConfigError(f"setting device: expected one of {', '.join(DEVICES)}, got {device!r}")
    torch = _torch()
    has = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if device == "auto":
        device = next(d for d in ("cuda", "mps", "cpu") if has[d])
    if not has[device]:
        raise ConfigError(f"setting device: torch sees no {device} device here", hint="use device = auto or cpu")
    return device, precision_for(device)


def precision_for(device: str) -> str:
    """fp16 on GPUs (closer to fp32 than bf16 at the same rate); on CPUs bf16 if native, else fp32."""
    if device in ("cuda", "mps"):
        return "fp16"
    return "bf16" if cpu_has_bf16() else "fp32"


def _torch() -> Any:
    try:
        import torch
    except ImportError as e:
        raise MissingDependencyError(f"torch cannot be imported: {e}", hint=INSTALL_TORCH) from e
    return torch


class TorchTextEncoder(TextEncoder):
    """The six-layer BERT of all-MiniLM-L6-v2 on torch.

    state: bytes of its safetensors file; tokenizer: bytes of tokenizer.json. device: auto, cpu, cuda or mps.
    precision: fp32, bf16 or fp16; default what precision_for says. threads: if given, torch's own number of threads is
    set (it is global to the process).
    Batches are padded to multiples of 32 tokens and of 8 rows (1, 2, 4 where they are few): bf16 kernels are prepared per shape, and
    ever-changing shapes ran at a tenth of the rate.
    """

    def __init__(
        self,
        space: Space,
        state: bytes,
        tokenizer: bytes,
        *,
        device: str = "auto",
        precision: str | None = None,
        threads: int | None = None,
    ) -> None:
        torch = _torch()
        self._device, default = resolve_device(device)
        self._precision = precision or default
        dtypes = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
        if self._precision not in dtypes:
            raise ConfigError(f"precision: expected fp32, bf16 or fp16, got {self._precision!r}")
        if threads is not None and self._device == "cpu":
            torch.set_num_threads(threads)
        super().__init__(
            space,
            Tokenizer(tokenizer, max_tokens=space.max_tokens),
            threads=1,
            multiple=32,
            max_tokens=8192 if self._device == "cpu" else 1 << 17,
            row_step=8,
        )
        self._model = _Bert(torch, state, device=self._device, dtype=dtypes[self._precision])

    @property
    def runtime(self) -> str:
        """torch-fp32, torch-bf16, torch-fp16-cuda, ..."""
        return f"torch-{self._precision}" + ("" if self._device == "cpu" else f"-{self._device}")

    def _pooled(self, ids: Tokens, mask: Tokens) -> FloatArray:
        return self._model.pooled(ids, mask, self.space.pooling)


class _Bert:
    """Forward pass of a BERT encoder with absolute positions, post-layer norm and exact gelu (Devlin et al. 2019)."""

    EPS = 1e-12

    def __init__(self, torch: Any, state: bytes, *, device: str, dtype: Any, head_dim: int = 32) -> None:
        from safetensors import SafetensorError
        from safetensors.torch import load

        try:
            tensors = load(state)
        except SafetensorError as e:
            raise WeightsError(f"not a safetensors file: {e}") from e
        self._torch = torch
        self._device = device
        try:
            self._table = {
                name: t.to(device=device, dtype=dtype) for name, t in tensors.items() if t.is_floating_point()
            }
            self._dim = self._table["embeddings.word_embeddings.weight"].shape[1]
            self._heads = self._dim // head_dim
            # One matrix for query, key and value saves two kernel starts a layer.
            self._qkv: list[tuple[Any, Any]] = []
            while (p := f"encoder.layer.{len(self._qkv)}.attention.self.") + "query.weight" in self._table:
                parts = [
                    (self._table[p + n + ".weight"], self._table[p + n + ".bias"]) for n in ("query", "key", "value")
                ]
                self._qkv.append((torch.cat([w for w, _ in parts]), torch.cat([b for _, b in parts])))
        except KeyError as e:
            raise WeightsError(f"the weights have no tensor {e}; is this a BERT model?") from e

    def pooled(self, ids: Tokens, mask: Tokens, pooling: str) -> FloatArray:
        torch = self._torch
        with torch.inference_mode():
            x = self._hidden(torch.from_numpy(ids).to(self._device), torch.from_numpy(mask).to(self._device)).float()
            if pooling == "cls":
                out = x[:, 0]
            else:
                m = torch.from_numpy(mask).to(self._device).unsqueeze(-1).float()
                out = (x * m).sum(1) / m.sum(1)
            vectors: FloatArray = out.cpu().numpy()
            return vectors

    def _hidden(self, ids: Any, mask: Any) -> Any:
        f = self._torch.nn.functional
        t = self._table
        b, n = ids.shape

        def norm(x: Any, name: str) -> Any:
            return f.layer_norm(x, (self._dim,), t[name + ".LayerNorm.weight"], t[name + ".LayerNorm.bias"], self.EPS)

        def dense(x: Any, name: str) -> Any:
            return f.linear(x, t[name + ".dense.weight"], t[name + ".dense.bias"])

        e = "embeddings"
        x = t[e + ".word_embeddings.weight"][ids] + t[e + ".position_embeddings.weight"][:n]
        x = norm(x + t[e + ".token_type_embeddings.weight"][0], e)
        allowed = mask[:, None, None, :].bool()
        for layer, (weight, bias) in enumerate(self._qkv):
            p = f"encoder.layer.{layer}"
            q, k, v = f.linear(x, weight, bias).view(b, n, 3, self._heads, -1).permute(2, 0, 3, 1, 4)
            a = f.scaled_dot_product_attention(q, k, v, attn_mask=allowed)
            x = norm(
                x + dense(a.transpose(1, 2).reshape(b, n, self._dim), p + ".attention.output"), p + ".attention.output"
            )
            x = norm(x + dense(f.gelu(dense(x, p + ".intermediate")), p + ".output"), p + ".output")
        return x


def load_minilm_torch(
    *, device: str = "auto", precision: str | None = None, threads: int | None = None
) -> TorchTextEncoder:
    """The packaged all-MiniLM-L6-v2, fp32 weights, cast to the precision of the device.

    Raises MissingDependencyError, WeightsError, ConfigError.
    """
    return TorchTextEncoder(
        MINILM,
        weights.read(weights.MINILM_TORCH),
        weights.read(weights.MINILM_TOKENIZER),
        device=device,
        precision=precision,
        threads=threads,
    )
