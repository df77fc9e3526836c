"""The fitted bridge: the label bridge and a linear map from picture features into the text space, fitted on a base's own
captioned pictures.

A picture's vector is unit(unit(map(features)) + BRIDGE_WEIGHT x label bridge), where map(f) = unit(f - mean) @ weights: so with few
captions, or for a picture unlike all of them, the labels still speak. The map is a matrix of rank RANK at most, kept in the
manifest of its base as half-precision numbers; its hash is the revision of the space. `mmkg.seeing` says when it is used.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mmkg.encode.bridge import BridgeEncoder
from mmkg.encode.efficientnet import HEAD
from mmkg.encode.text import unit_rows
from mmkg.encode.weights import sha256
from mmkg.errors import StoreDamagedError
from mmkg.protocols import FloatArray, Space
from mmkg.types import Modality

NAME = "fitted-bridge"
BRIDGE_WEIGHT = 2.0
"""Of the label bridge against the map. COCO dev by cross-validation, R@1/10 with 50 and with 190 captions: weight 1 14.0 / 62.8 and 13.2 /
68.5, weight 2 17.1 / 66.0 and 17.7 / 68.9, weight 3 and more the same or less."""
RANK = 96


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearMap:
    """(unit(features - mean)) @ left @ right. mean: (1280,); left: (1280, rank); right: (rank, dim). All float32, of half precision."""

    mean: FloatArray
    left: FloatArray
    right: FloatArray

    @classmethod
    def of(cls, mean: FloatArray, weights: FloatArray, *, rank: int = RANK) -> LinearMap:
        """The best map of this rank (truncated singular values). weights: (1280, dim)."""
        u, s, v = np.linalg.svd(np.asarray(weights, dtype=np.float64), full_matrices=False)
        root = np.sqrt(s[:rank])
        return cls(mean=_half(mean), left=_half(u[:, :rank] * root), right=_half(root[:, None] * v[:rank]))

    def __call__(self, features: FloatArray) -> FloatArray:
        """(n, dim) rows of length 1 (or 0) of features (n, 1280)."""
        return _scaled(_scaled(features - self.mean) @ self.left @ self.right)

    def to_bytes(self) -> bytes:
        parts = (self.mean, self.left, self.right)
        return b"".join(np.ascontiguousarray(x, dtype="<f2").tobytes() for x in parts)

    def to_json(self) -> dict[str, Any]:
        return {
            "rank": self.left.shape[1],
            "dim": self.right.shape[1],
            "data": base64.b64encode(self.to_bytes()).decode("ascii"),
        }

    @classmethod
    def from_json(cls, data: Any) -> LinearMap:
        """Raises StoreDamagedError for what is no map."""
        try:
            rank, dim = int(data["rank"]), int(data["dim"])
            flat = np.frombuffer(base64.b64decode(data["data"], validate=True), dtype="<f2").astype(np.float32)
        except (KeyError, TypeError, ValueError, binascii.Error) as e:
            raise StoreDamagedError(f"the fitted map cannot be read: {e}", hint=FORGET) from e
        sizes = (HEAD, HEAD * rank, rank * dim)
        if min(rank, dim) < 1 or flat.size != sum(sizes) or not np.isfinite(flat).all():
            raise StoreDamagedError(f"the fitted map has {flat.size} numbers, expected {sum(sizes)}", hint=FORGET)
        mean, left, right = np.split(flat, np.cumsum(sizes)[:2])
        return cls(mean=mean, left=left.reshape(HEAD, rank), right=right.reshape(rank, dim))


FORGET = "take it out with `mmkg train bridge --undo`"


class FittedEncoder:
    """Encoder of pictures by a label bridge and a fitted map."""

    modalities = frozenset({Modality.IMAGE})

    def __init__(self, bridge: BridgeEncoder, map_: LinearMap) -> None:
        self.bridge, self.map = bridge, map_
        self.space = fitted_space(bridge.space, map_)

    @property
    def runtime(self) -> str:
        """As the bridge."""
        return self.bridge.runtime

    def encode_document(self, items: Sequence[Any], *, batch_size: int = 64) -> FloatArray:
        """(n, dim) float32, unit rows, of the bytes of picture files. Raises as BridgeEncoder does."""
        return self.vectors(*self.bridge.look(items))

    def encode_query(self, items: Sequence[Any]) -> FloatArray:
        """As encode_document: pictures that look for pictures."""
        return self.encode_document(items)

    def vectors(self, logits: FloatArray, features: FloatArray) -> FloatArray:
        """(n, dim) float32, unit rows, of pictures in which the network saw this (BridgeEncoder.look)."""
        if not len(logits):
            return np.zeros((0, self.space.dim), dtype=np.float32)
        return unit_rows(self.map(features) + BRIDGE_WEIGHT * self.bridge.vectors(logits), what=self.space.name)


def fitted_space(bridge: Space, map_: LinearMap) -> Space:
    """The space of pictures by a map on top of a bridge."""
    return Space(
        name=NAME, revision=f"{sha256(map_.to_bytes())[:12]}-{bridge.revision}", dim=bridge.dim, pooling="none"
    )


def fitted_entries(spaces: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Keys of the fitted spaces that a manifest records."""
    return sorted(key for key, entry in spaces.items() if key.startswith(NAME + "@") and "map" in entry)


def _scaled(rows: Any) -> FloatArray:
    """Rows of length 1; a row of zeros (what is just like the mean) stays one, and the bridge alone speaks."""
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9), dtype=np.float32)


def _half(values: Any) -> FloatArray:
    return np.asarray(np.asarray(values, dtype=np.float16), dtype=np.float32)
