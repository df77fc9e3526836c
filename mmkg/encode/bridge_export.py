"""Makes the label bridge's two files from the published checkpoint. The one step that needs torch and torchvision."""

from __future__ import annotations

import importlib
import io
import json
import logging
import os
import pickle
from importlib import resources
from pathlib import Path

import numpy as np

from mmkg.encode import weights
from mmkg.encode.bridge import INSTALL_BRIDGE, LABELS, META, NETWORK, NETWORK_SHA256
from mmkg.encode.efficientnet import N_CLASSES, State, lite0_onnx
from mmkg.encode.text import unit_rows
from mmkg.errors import MissingDependencyError, WeightsError
from mmkg.protocols import Encoder, FloatArray

log = logging.getLogger(__name__)

PHRASE_WEIGHT = 0.5
"""Of the phrases against the name; 0.3 to 1 differ by less than a point."""


def export_bridge(text: Encoder, folder: Path) -> None:
    """Write network, label vectors and their hashes into `folder`.

    text: encoder of the label names. Each file is replaced in one step and the one with the hashes comes last, so a
    reader finds an export that is whole or none; two processes that export at once write the same bytes.
    Raises MissingDependencyError, WeightsError.
    """
    from safetensors.numpy import save

    log.info("exporting the label bridge (once)")
    network = lite0_onnx(checkpoint())
    if weights.sha256(network) != NETWORK_SHA256:
        raise WeightsError("the exported network has not the expected hash; please report this")
    labels = save({"labels": np.ascontiguousarray(label_vectors(text))})
    meta = {"labels_sha256": weights.sha256(labels), "text": text.space.key, "text_runtime": text.runtime}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in ((NETWORK, network), (LABELS, labels), (META, json.dumps(meta, indent=1).encode())):
            temporary = folder / f".{name}.{os.getpid()}"
            temporary.write_bytes(data)
            os.replace(temporary, folder / name)
    except OSError as e:
        raise WeightsError(
            f"cannot write the label bridge to {folder}: {e.strerror or e}", hint="set MMKG_CACHE to a folder of yours"
        ) from e


def label_vectors(text: Encoder) -> FloatArray:
    """(1000, dim) float32, unit rows: for each label "a photo of a NAME", and half as much of what photographs with it show.

    The phrases lie in label_phrases.txt; written by hand, in the words of captions, for what stands around a thing (a toilet seat: a
    bathroom). Measured on COCO captions, pixels only, R@1/5/10: names alone 14.7 / 41.1 / 56.8, "a photo of a" as well 15.3 / 44.1 /
    61.3 (with five crops), with phrases 16.9 / 45.4 / 63.8.
    """
    vectors = text.encode_document([f"a photo of a {name}" for name in label_names()])
    phrases = label_phrases()
    rows = text.encode_document(list(phrases))
    around = np.zeros_like(vectors)
    for row, numbers in zip(rows, phrases.values(), strict=True):
        around[list(numbers)] += row
    lengths = np.linalg.norm(around, axis=1, keepdims=True)
    return unit_rows(vectors + PHRASE_WEIGHT * around / np.maximum(lengths, 1e-6), what="labels")


def label_phrases() -> dict[str, tuple[int, ...]]:
    """Phrase -> numbers of the labels that it is said of."""
    found: dict[str, tuple[int, ...]] = {}
    text = resources.files("mmkg.encode").joinpath("label_phrases.txt").read_text(encoding="utf-8")
    for line in text.splitlines():
        if line and not line.startswith("#"):
            phrase, _, runs = line.rpartition(":")
            ends = [run.partition("-") for run in runs.split()]
            found[phrase] = tuple(i for a, _, b in ends for i in range(int(a), int(b or a) + 1))
    return found


def checkpoint() -> State:
    """The tensors of the packaged EfficientNet-Lite0, checked by hash and read without running any code in them."""
    data = weights.read(weights.LITE0)
    try:
        import torch
    except ImportError as e:
        raise MissingDependencyError(f"torch cannot be imported: {e}", hint=INSTALL_BRIDGE) from e
    try:
        tensors = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except (RuntimeError, pickle.UnpicklingError) as e:
        raise WeightsError(f"{weights.LITE0.name} cannot be read: {e}") from e
    return {name: tensor.numpy() for name, tensor in tensors.items()}


def label_names() -> list[str]:
    """The names of the 1000 ImageNet labels, in the order of the network's outputs."""
    try:
        models = importlib.import_module("torchvision.models")
    except ImportError as e:
        raise MissingDependencyError(f"torchvision cannot be imported: {e}", hint=INSTALL_BRIDGE) from e
    names = [str(n) for n in models.EfficientNet_B0_Weights.IMAGENET1K_V1.meta["categories"]]
    if len(names) != N_CLASSES:
        raise WeightsError(f"torchvision names {len(names)} labels, expected {N_CLASSES}")
    return names
