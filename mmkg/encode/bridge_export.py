"""Makes the label bridge's two files from the published checkpoint. The one step that needs torch and torchvision."""

from __future__ import annotations

import importlib
import io
import json
import logging
import os
import pickle
from pathlib import Path

import numpy as np

from mmkg.encode import weights
from mmkg.encode.bridge import INSTALL_BRIDGE, LABELS, META, NETWORK, NETWORK_SHA256
from mmkg.encode.efficientnet import N_CLASSES, State, lite0_onnx
from mmkg.errors import MissingDependencyError, WeightsError
from mmkg.protocols import Encoder

log = logging.getLogger(__name__)


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
    labels = save({"labels": np.ascontiguousarray(text.encode_document(label_names()))})
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
