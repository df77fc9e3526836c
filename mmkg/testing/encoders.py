"""An encoder for tests: no weights, deterministic, and near vectors for texts that share words."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from mmkg.protocols import FloatArray, Space
from mmkg.types import Modality

_WORD = re.compile(r"[^\W_]+")


class HashingEncoder:
    """Each word is a fixed random direction; a text is the sum over its words, scaled to length 1.

    Texts without a common word are nearly orthogonal (about 1 / sqrt(dim)). An image's "words" are chunks of its bytes,
    so only equal images are near. Raises ValueError for an empty text, as real encoders do.
    name, revision: of its space, so that a test can make two spaces; seed: other directions under the same name.
    """

    def __init__(
        self,
        *,
        dim: int = 64,
        name: str = "hashing",
        revision: str = "1",
        seed: int = 0,
        modalities: frozenset[Modality] = frozenset({Modality.TEXT}),
    ) -> None:
        self.space = Space(name=name, revision=revision, dim=dim, pooling="none")
        self.runtime = "numpy"
        self.modalities = modalities
        self.n_encoded = 0
        """Items encoded so far: a test that says "no model call" reads it."""
        self._seed = seed
        self._directions: dict[str, FloatArray] = {}

    def encode_document(self, items: Sequence[Any], *, batch_size: int = 64) -> FloatArray:
        """(n, dim) float32, unit rows. batch_size changes nothing."""
        rows = [self._vector(i, item) for i, item in enumerate(items)]
        self.n_encoded += len(rows)
        return np.stack(rows) if rows else np.zeros((0, self.space.dim), dtype=np.float32)

    def encode_query(self, items: Sequence[Any]) -> FloatArray:
        """As encode_document."""
        return self.encode_document(items)

    def _vector(self, index: int, item: Any) -> FloatArray:
        if isinstance(item, bytes):
            words = [item[i : i + 64].hex() for i in range(0, len(item), 64)]
        elif isinstance(item, str):
            words = [w.casefold() for w in _WORD.findall(item)] or ([item] if item.strip() else [])
        else:
            raise ValueError(f"item {index}: expected str or bytes, got {type(item).__name__}")
        if not words:
            raise ValueError(f"item {index}: the text is empty")
        # Sorted, so that the sum does not depend on word order in its last bit.
        total = np.sum([self._direction(w) for w in sorted(words)], axis=0)
        return np.asarray(total / np.linalg.norm(total), dtype=np.float32)

    def _direction(self, word: str) -> FloatArray:
        if word not in self._directions:
            digest = hashlib.sha256(f"{self._seed}:{word}".encode()).digest()
            rng = np.random.default_rng(int.from_bytes(digest[:8], "little"))
            self._directions[word] = rng.standard_normal(self.space.dim).astype(np.float32)
        return self._directions[word]
