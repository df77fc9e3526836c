"""Vectors of sounds: how a stretch of a recording sounds, not what is said in it.

The offline default is no learned model and says so in its name: statistics of the log-mel spectrum, good for finding recordings
of the same source, voice or kind of noise, and knowing nothing of meaning. A CLAP model from a folder is better where the user has one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from mmkg.encode import weights
from mmkg.encode.text import check_texts, unit_rows
from mmkg.encode.text_named import offline
from mmkg.encode.text_torch import INSTALL_TORCH, resolve_device
from mmkg.errors import EncodeError, MissingDependencyError, NotFoundError, WeightsError
from mmkg.protocols import Encoder, FloatArray, Space
from mmkg.types import Modality

Samples = npt.NDArray[np.float32]
"""(n,) mono, -1 to 1, at the encoder's sample_rate."""

LONGEST_S = 30.0
"""Seconds of a clip, from its start, that its vector is made of."""


class SoundEncoder(Encoder, Protocol):
    """An encoder of modality AUDIO: items are Samples."""

    sample_rate: int
    """In hertz."""


# ---- Statistics of the log-mel spectrum ----

_RATE = 16_000
_WINDOW, _HOP, _FFT = 400, 160, 512
_BANDS, _COEFFICIENTS = 64, 24
_LOWEST, _HIGHEST = 60.0, 7_600.0
_FLOOR = 1e-6
"""Of a band, as a share of a loud window's energy."""
_SILENT = 1e-7
_SPREAD = (6.0, 2.0, 0.7)
"""Typical size of the three parts of the vector (mean, deviation, change), so that each has its say."""


class LogMelEncoder:
    """Means, deviations and changes over time of the mel cepstrum, without its level: loudness does not matter.

    64 bands of 60 to 7,600 Hz, windows of 25 ms every 10 ms, coefficients 1 to 24 of the cosine transform. Method: Davis and
    Mermelstein, IEEE TASSP 1980; means and deviations over a stretch as in Tzanetakis and Cook, IEEE TSAP 2002.
    """

    sample_rate = _RATE
    runtime = "numpy"
    modalities = frozenset({Modality.AUDIO})
    space = Space(name="mmkg-logmel-statistics", revision="1", dim=3 * _COEFFICIENTS + 1, pooling="none", max_tokens=0)

    def encode_document(self, items: Sequence[Any], *, batch_size: int = 64) -> FloatArray:
        """(n, 73) float32, unit rows. Silence, or less than a window, gives the same vector whatever it was.

        Raises EncodeError for samples that are not finite numbers in one row.
        """
        rows = [self._one(check_samples(x)) for x in items]
        return unit_rows(np.array(rows, dtype=np.float32).reshape(len(rows), self.space.dim), what="sounds")

    def encode_query(self, items: Sequence[Any]) -> FloatArray:
        """As encode_document."""
        return self.encode_document(items)

    def _one(self, x: Samples) -> npt.NDArray[np.float64]:
        out = np.zeros(self.space.dim)
        out[-1] = 0.05  # so that silence has a direction
        if len(x) < _WINDOW:
            return out
        energies = [
            _band_energies(x[a : a + _HOP * 1000 + _WINDOW - _HOP]) for a in range(0, len(x) - _WINDOW + 1, _HOP * 1000)
        ]
        energy = np.concatenate(energies)
        level = energy.sum(axis=1)
        loud = float(np.percentile(level, 95))
        heard = energy[level > 1e-3 * loud] if loud > _SILENT else energy[:0]
        if len(heard) < 3:
            return out
        # Against the loud parts, so that neither the volume nor the noise under them counts.
        cepstrum = (np.log(heard / loud + _FLOOR) @ _cosines().T).astype(np.float64)
        parts = (cepstrum.mean(axis=0), cepstrum.std(axis=0), np.abs(np.diff(cepstrum, axis=0)).mean(axis=0))
        for k, (part, spread) in enumerate(zip(parts, _SPREAD, strict=True)):
            centred = part if k == 0 else part - _typical(k)
            out[k * _COEFFICIENTS : (k + 1) * _COEFFICIENTS] = centred / spread
        return out


def _typical(part: int) -> npt.NDArray[np.float64]:
    """Deviation and change of an ordinary sound, which fall with the order of the coefficient: what differs from it counts."""
    order = np.arange(1, _COEFFICIENTS + 1)
    scale = (8.0, 3.0)[part - 1]
    out: npt.NDArray[np.float64] = scale / np.sqrt(order)
    return out


def _band_energies(x: Samples) -> npt.NDArray[np.float32]:
    """(frames, bands) of a piece of sound."""
    n = (len(x) - _WINDOW) // _HOP + 1
    if n < 1:
        return np.zeros((0, _BANDS), dtype=np.float32)
    frames = np.lib.stride_tricks.sliding_window_view(x, _WINDOW)[::_HOP][:n] * np.hanning(_WINDOW).astype(np.float32)
    power = np.abs(np.fft.rfft(frames, _FFT, axis=1)) ** 2
    return (power @ _filters().T).astype(np.float32)


@cache
def _filters() -> npt.NDArray[np.float64]:
    """(bands, bins) triangles, evenly spaced on the mel scale, of area 1."""

    def mel(hertz: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        out: npt.NDArray[np.float64] = 2595.0 * np.log10(1.0 + hertz / 700.0)
        return out

    lowest, highest = mel(np.array([_LOWEST, _HIGHEST])).tolist()
    edges = np.linspace(lowest, highest, _BANDS + 2)
    bins = mel(np.arange(_FFT // 2 + 1, dtype=np.float64) * (_RATE / _FFT))
    left, middle, right = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    triangles = np.minimum((bins - left) / (middle - left), (right - bins) / (right - middle)).clip(0)
    sums = triangles.sum(axis=1, keepdims=True)
    # The lowest bands are narrower than a bin: they take the nearest one.
    empty = np.flatnonzero(sums[:, 0] < 1e-3)
    triangles[empty, np.abs(bins[None, :] - middle[empty]).argmin(axis=1)] = 1.0
    out: npt.NDArray[np.float64] = triangles / triangles.sum(axis=1, keepdims=True)
    return out


@cache
def _cosines() -> npt.NDArray[np.float64]:
    """(coefficients, bands) of the cosine transform, orthonormal, without the first: that is the level."""
    k = np.arange(1, _COEFFICIENTS + 1)[:, None]
    out: npt.NDArray[np.float64] = np.sqrt(2.0 / _BANDS) * np.cos(np.pi * k * (np.arange(_BANDS) + 0.5) / _BANDS)
    return out


def check_samples(x: Any) -> Samples:
    """Raises EncodeError for what is no row of finite samples."""
    found = np.asarray(x, dtype=np.float32)
    if found.ndim != 1 or not np.isfinite(found).all():
        raise EncodeError(f"expected sound as (n,) finite float32, got {found.shape} {found.dtype}")
    return found


# ---- CLAP ----


class ClapEncoder:
    """A CLAP model (transformers) from a folder: config.json, preprocessor_config.json, *.safetensors. Runs nothing of the folder's.

    Raises NotFoundError, WeightsError for a folder that holds no such model, MissingDependencyError without torch.
    """

    modalities = frozenset({Modality.AUDIO})

    def __init__(self, folder: Path, *, device: str = "auto") -> None:
        tensors = sorted(folder.glob("*.safetensors"))
        if not tensors:
            raise WeightsError(
                f"sound encoder {folder.name}: no *.safetensors in the folder",
                hint="other weight formats can hold code and are not read",
            )
        if (kind := _config(folder / "config.json").get("model_type")) != "clap":
            raise WeightsError(f"sound encoder {folder.name}: a model of type {kind!r}, expected clap")
        if not weights.installed("torch") or not weights.installed("transformers"):
            raise MissingDependencyError("a CLAP model needs torch and transformers", hint=INSTALL_TORCH)
        import torch
        from transformers import ClapFeatureExtractor, ClapModel

        self._torch, (self._device, _) = torch, resolve_device(device)
        given = _config(folder / "preprocessor_config.json")
        # A random cut would give another vector each time; the whole of a clip is squeezed into one window instead.
        given |= {"truncation": "rand_trunc", "padding": "repeatpad"}
        known = {k: v for k, v in given.items() if k not in ("feature_extractor_type", "processor_class")}
        self._features = ClapFeatureExtractor(**known)
        model: Any = ClapModel.from_pretrained(
            str(folder), use_safetensors=True, local_files_only=True, trust_remote_code=False, dtype=torch.float32
        )
        self._model = model.to(self._device).eval()
        self.sample_rate = int(self._features.sampling_rate)
        self._window = int(self._features.nb_max_samples)
        total = hashlib.sha256()
        for file in tensors:
            total.update(weights.read_bytes(file))
        self.space = Space(
            name=folder.resolve().name,
            revision=total.hexdigest()[:12],
            dim=int(model.config.projection_dim),
            pooling="none",
            max_tokens=0,
        )

    @property
    def runtime(self) -> str:
        """What computes it."""
        return f"torch-fp32-{self._device}"

    def encode_document(self, items: Sequence[Any], *, batch_size: int = 8) -> FloatArray:
        """(n, dim) float32, unit rows: the mean of the vectors of a clip's windows, at most three, spread over it.

        Raises EncodeError for samples that are not finite numbers in one row.
        """
        rows = [self._one(check_samples(x)) for x in items]
        return unit_rows(np.array(rows, dtype=np.float32).reshape(len(rows), self.space.dim), what="sounds")

    def encode_query(self, items: Sequence[Any]) -> FloatArray:
        """As encode_document."""
        return self.encode_document(items)

    def _one(self, x: Samples) -> npt.NDArray[np.float32]:
        if not len(x):
            x = np.zeros(self.sample_rate, dtype=np.float32)
        spare = len(x) - self._window
        starts = [0] if spare <= 0 else sorted({0, spare // 2, spare})
        windows = [x[a : a + self._window] for a in starts]
        inputs = self._features(windows, sampling_rate=self.sample_rate, return_tensors="pt")
        with self._torch.inference_mode():
            found = self._model.get_audio_features(**{k: v.to(self._device) for k, v in inputs.items()})
        if not isinstance(found, self._torch.Tensor):
            found = found.pooler_output
        rows = unit_rows(found.float().cpu().numpy(), what="sounds")
        out: npt.NDArray[np.float32] = rows.mean(axis=0)
        return out


class ClapTextEncoder(ClapEncoder):
    """A CLAP model whose folder has its tokenizer (tokenizer.json), too: a JointEncoder, so words find sounds.

    Raises as ClapEncoder does, and WeightsError for a tokenizer that cannot be read.
    """

    def __init__(self, folder: Path, *, device: str = "auto") -> None:
        super().__init__(folder, device=device)
        from transformers import AutoTokenizer

        try:
            with offline():
                self._tokenizer = AutoTokenizer.from_pretrained(
                    str(folder), local_files_only=True, trust_remote_code=False
                )
        except (OSError, ValueError, KeyError, TypeError) as e:
            raise WeightsError(
                f"sound encoder {folder.name}: its tokenizer cannot be read: {str(e).splitlines()[0]}"
            ) from e
        # Its positions begin behind the padding's own.
        self._longest = int(self._model.config.text_config.max_position_embeddings) - 2

    def encode_text(self, texts: Sequence[str]) -> FloatArray:
        """(n, dim) float32, unit rows: words that look for sounds. Raises ValueError for an empty text."""
        check_texts(texts)
        if not texts:
            return np.zeros((0, self.space.dim), dtype=np.float32)
        tokens = self._tokenizer(
            list(texts), padding=True, truncation=True, max_length=self._longest, return_tensors="pt"
        )
        inputs = {k: tokens[k].to(self._device) for k in ("input_ids", "attention_mask")}
        with self._torch.inference_mode():
            found = self._model.get_text_features(**inputs)
        if not isinstance(found, self._torch.Tensor):
            found = found.pooler_output
        return unit_rows(found.float().cpu().numpy(), what="words for sounds")


def _config(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as e:
        raise WeightsError(f"cannot read {path.name} of a sound encoder: {e}") from e
    if not isinstance(data, dict):
        raise WeightsError(f"{path.name} of a sound encoder: expected an object")
    return data


def load_sound_encoder(name: str, *, device: str = "auto") -> SoundEncoder | None:
    """The encoder that the setting sound_encoder means: default (statistics), none, or the folder of a CLAP model.

    Raises NotFoundError, WeightsError, MissingDependencyError.
    """
    if name == "none":
        return None
    if name == "default":
        return LogMelEncoder()
    folder = Path(name).expanduser()
    if not folder.is_dir():
        raise NotFoundError(
            f"sound encoder {name}: no such folder", hint="default, none, or the folder of a CLAP model"
        )
    return (ClapTextEncoder if (folder / "tokenizer.json").is_file() else ClapEncoder)(folder, device=device)


def probe_sound(rate: int) -> Samples:
    """Two seconds drawn by rule, the same everywhere: a rising tone, then beats. Of modality AUDIO what a probe sentence is to text."""
    t = np.arange(rate) / rate
    rising = np.sin(2 * np.pi * (200 * t + 400 * t**2))
    beats = np.sin(2 * np.pi * 900 * t) * (np.sin(2 * np.pi * 6 * t) > 0)
    return (0.4 * np.concatenate([rising, beats])).astype(np.float32)
