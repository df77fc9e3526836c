"""The label bridge: pictures as vectors of the text space, without a model that was trained on pictures and text.

EfficientNet-Lite0 gives probabilities of the 1000 ImageNet labels, at temperature 2; the picture's vector is the mean of
the text vectors of the labels under these probabilities, less the mean of all labels, scaled to length 1. A label's text is its
name and what photographs with it show (bridge_export.label_vectors). That is no CLIP: it knows a thousand things and no
relations. Measured on 944 COCO captions against 488 pictures, pixels only: R@1 16.9, R@5 45.4, R@10 63.8 (chance 0.2, 1.0,
2.0; revision 1, names alone: 14.7, 41.1, 56.8). Five crops instead of one gain 0.7 at R@10 and cost five times as much.

The network is written once, where torch can read the published checkpoint, to ONNX in the user's cache, with the label
vectors beside it; from then on onnxruntime is enough.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from mmkg.encode import weights
from mmkg.encode.efficientnet import HEAD, N_CLASSES, SIZE
from mmkg.encode.pictures import center_crop, load_rgb
from mmkg.encode.text import MINILM, unit_rows
from mmkg.encode.text_onnx import default_threads, session
from mmkg.errors import EncodeError, MissingDependencyError, WeightsError
from mmkg.protocols import Encoder, FloatArray, Space
from mmkg.types import Modality

log = logging.getLogger(__name__)

NAME = "label-bridge"
TEMPERATURE = 2.0
MARGIN = 32
NETWORK_SHA256 = "c08b23ca647677cd580b70ed52839a6cb8db5833de7ecbe24227292a19829263"
"""Hash of the exported network: it depends on the pinned checkpoint and on this package alone."""
INSTALL_BRIDGE = 'pip install "mmkg[torch,models]"'

NETWORK, LABELS, META = "efficientnet-lite0.onnx", "labels.safetensors", "bridge.json"


def bridge_space(text: Space = MINILM) -> Space:
    """The space of pictures that goes with a text space; same dimension, so that the two can be compared."""
    return Space(name=NAME, revision=f"2-{weights.LITE0.sha256[:8]}-{text.revision}", dim=text.dim, pooling="none")


def bridge_query(text_vectors: FloatArray) -> FloatArray:
    """Vectors that find pictures for questions, from the questions' vectors (n, dim) in the text space: the same ones.

    Measured on the COCO captions (revision 1): subtracting the label mean from the question too changes nothing (R@1/5/10
    14.6, 40.8, 56.2 with it; 14.6, 40.9, 56.7 without), so one vector of a question serves both spaces.
    Cosines of the two spaces have different scales all the same: join their rankings, not their scores.
    """
    return text_vectors


class BridgeEncoder:
    """Encoder of pictures; see the module. network: ONNX bytes; labels: (1000, dim) float32 text vectors of the names.

    max_pixels: larger pictures are refused before they are decoded. threads: pictures at a time.
    """

    modalities = frozenset({Modality.IMAGE})
    runtime = "onnx-fp32"

    def __init__(
        self,
        space: Space,
        network: bytes,
        labels: FloatArray,
        *,
        max_pixels: int = 100_000_000,
        threads: int | None = None,
    ) -> None:
        if labels.shape != (N_CLASSES, space.dim):
            raise WeightsError(f"label vectors: expected ({N_CLASSES}, {space.dim}) float32, got {labels.shape}")
        self.space = space
        self._session = session(network, name=space.name)
        # Probabilities sum to 1, so subtracting the mean of the labels once here is subtracting it from each picture.
        self._labels = labels - labels.mean(axis=0)
        self._max_pixels = max_pixels
        self._threads = threads or default_threads()

    def encode_document(self, items: Sequence[Any], *, batch_size: int = 64) -> FloatArray:
        """(n, dim) float32, unit rows, in the order of items (bytes of picture files).

        batch_size changes nothing: as many pictures are decoded at a time as there are threads. Raises EncodeError that
        names the first item that cannot be decoded, ValueError for an item that is not bytes.
        """
        return self.vectors(self.look(items)[0])

    def look(self, items: Sequence[Any]) -> tuple[FloatArray, FloatArray]:
        """What the network sees in pictures: (n, 1000) logits and (n, 1280) features, float32. Raises as encode_document does."""
        for i, item in enumerate(items):
            if not isinstance(item, (bytes, bytearray, memoryview)):
                raise ValueError(f"item {i}: expected the bytes of a picture, got {type(item).__name__}")
        if not items:
            return np.zeros((0, N_CLASSES), dtype=np.float32), np.zeros((0, HEAD), dtype=np.float32)
        with ThreadPoolExecutor(min(self._threads, len(items)), thread_name_prefix="mmkg-picture") as pool:
            seen = list(pool.map(self._seen, range(len(items)), items))
        return np.stack([logits for logits, _ in seen]), np.stack([features for _, features in seen])

    def vectors(self, logits: FloatArray) -> FloatArray:
        """(n, dim) float32, unit rows: the vectors of pictures in which the network saw these logits (n, 1000)."""
        if not len(logits):
            return np.zeros((0, self.space.dim), dtype=np.float32)
        return unit_rows(probabilities(logits) @ self._labels, what=self.space.name)

    def encode_query(self, items: Sequence[Any]) -> FloatArray:
        """As encode_document: pictures that look for pictures, or for text. For questions see bridge_query."""
        return self.encode_document(items)

    def classify(self, item: bytes) -> FloatArray:
        """(1000,) float32: the probability of each ImageNet label, in the usual order, at temperature 2."""
        return np.asarray(probabilities(self._seen(0, item)[0][None])[0], dtype=np.float32)

    def _seen(self, index: int, item: Any) -> tuple[FloatArray, FloatArray]:
        try:
            picture = load_rgb(bytes(item), max_pixels=self._max_pixels, at_least=SIZE + MARGIN)
            pixels = (center_crop(picture, size=SIZE, margin=MARGIN) - 127.0) / 128.0
        except EncodeError as e:
            raise EncodeError(f"item {index}: {e}") from e
        # One picture a call: its vector cannot depend on its neighbours, and threads run the calls side by side.
        logits, features = self._session.run(None, {"pixels": pixels[None].astype(np.float32)})
        return logits[0], features[0]


def probabilities(logits: FloatArray) -> FloatArray:
    """(n, 1000) softmax at TEMPERATURE."""
    scaled = logits / TEMPERATURE
    powers = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), dtype=np.float32)


def bridge_folder(text: Space = MINILM, *, cache: Path | None = None) -> Path:
    """Where the export for a text space lies, whether it is there or not."""
    return (cache or weights.cache_dir()) / "bridge" / bridge_space(text).revision


def bridge_available(text: Space = MINILM, *, cache: Path | None = None) -> tuple[bool, str]:
    """(True, what will run) or (False, what is missing and what mends it). Loads no model."""
    if (bridge_folder(text, cache=cache) / META).is_file():
        return True, "exported, runs on onnxruntime"
    missing = [m for m in ("torch", "torchvision") if not weights.installed(m)]
    if weights.locate(weights.LITE0) is None:
        missing.append(weights.LITE0.requirement)
    if missing:
        return False, f"not exported yet, and this needs {', '.join(missing)} once: {INSTALL_BRIDGE}"
    return True, "will be exported at first use"


def load_bridge(
    load_text: Callable[[], Encoder],
    *,
    text: Space = MINILM,
    cache: Path | None = None,
    max_pixels: int = 100_000_000,
    threads: int | None = None,
) -> BridgeEncoder:
    """The bridge to a text space, exported first where that has not been done.

    load_text: gives the encoder of `text`; called only for an export. cache: default weights.cache_dir().
    Raises MissingDependencyError where the export is absent and cannot be made; WeightsError where it is damaged and
    cannot be made again.
    """
    folder = bridge_folder(text, cache=cache)
    can_export = weights.installed("torch") and weights.locate(weights.LITE0) is not None
    if not (folder / META).is_file():
        ready, reason = bridge_available(text, cache=cache)
        if not ready:
            raise MissingDependencyError(f"the label bridge is {reason.split(':')[0]}", hint=INSTALL_BRIDGE)
        _export(load_text, folder)
    try:
        network, labels = read_export(folder)
    except WeightsError as e:
        if not can_export:
            raise
        log.warning("the exported label bridge is damaged (%s) and is made again", e)
        _export(load_text, folder)
        network, labels = read_export(folder)
    return BridgeEncoder(bridge_space(text), network, labels, max_pixels=max_pixels, threads=threads)


def _export(load_text: Callable[[], Encoder], folder: Path) -> None:
    from mmkg.encode.bridge_export import export_bridge

    export_bridge(load_text(), folder)


def read_export(folder: Path) -> tuple[bytes, FloatArray]:
    """Network and label vectors of an export, checked by their hashes. Raises WeightsError."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        recorded = json.loads(weights.read_bytes(folder / META))["labels_sha256"]
    except (ValueError, KeyError, TypeError) as e:
        raise WeightsError(f"{META} of the label bridge cannot be read: {e}", hint=_HINT) from e
    network, data = weights.read_bytes(folder / NETWORK), weights.read_bytes(folder / LABELS)
    for name, content, expected in ((NETWORK, network, NETWORK_SHA256), (LABELS, data, recorded)):
        if weights.sha256(content) != expected:
            raise WeightsError(f"{name} of the label bridge has another hash than recorded", hint=_HINT)
    try:
        labels = load(data)["labels"]
    except (SafetensorError, KeyError) as e:
        raise WeightsError(f"{LABELS} of the label bridge cannot be read: {e}", hint=_HINT) from e
    return network, np.asarray(labels, dtype=np.float32)


_HINT = f"to make it again: {INSTALL_BRIDGE}"
