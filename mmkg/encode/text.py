"""What the runtimes of a text encoder share: tokens, batches of equal shape, pooling, checks, and the split of work."""

from __future__ import annotations

import logging
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt

from mmkg.errors import EncodeError, EncoderMismatchError, WeightsError
from mmkg.protocols import Encoder, FloatArray, Space
from mmkg.types import Modality

log = logging.getLogger(__name__)

MINILM = Space(name="all-MiniLM-L6-v2", revision="53aa51172d14", dim=384, pooling="mean", max_tokens=256)
"""The default text space; its revision is the hash of the fp32 weights. All runtimes of it share this value."""

Tokens = npt.NDArray[np.int64]


class Tokenizer:
    """A `tokenizer.json`, cut at max_tokens and without padding."""

    def __init__(self, data: bytes, *, max_tokens: int) -> None:
        import tokenizers

        try:
            self._tokenizer = tokenizers.Tokenizer.from_buffer(data)
        except Exception as e:  # the library raises bare Exception
            raise WeightsError(f"tokenizer.json cannot be read: {e}") from e
        # The file carries the settings of its training (128 tokens, fixed padding).
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(max_tokens)

    def __call__(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text."""
        if len(texts) == 1:  # encode_batch would wake a pool of threads
            return [self._tokenizer.encode(texts[0]).ids]
        return [e.ids for e in self._tokenizer.encode_batch(list(texts))]


def plan(
    lengths: Sequence[int], *, batch_size: int, max_tokens: int, multiple: int, row_step: int = 1
) -> list[list[int]]:
    """Batches of indices, longest first, so that texts of like length share a batch and little is padded.

    A batch holds at most batch_size texts, and at most max_tokens tokens after padding to a multiple of `multiple`
    (but at least one text); where that allows more than row_step texts, a multiple of it. Raises ValueError if
    batch_size < 1.

    >>> plan([3, 40, 5, 38], batch_size=8, max_tokens=80, multiple=8)
    [[1, 3], [2, 0]]
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    order = sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))
    batches: list[list[int]] = []
    room = 0
    for i in order:
        if room == 0:
            batches.append([])
            room = max(1, min(batch_size, max_tokens // round_up(lengths[i], multiple)))
            room -= room % row_step if room > row_step else 0
        batches[-1].append(i)
        room -= 1
    return batches


def round_up(n: int, multiple: int) -> int:
    """The smallest multiple that is at least n (and at least one multiple)."""
    return max(1, -(-n // multiple)) * multiple


def few_shapes(n: int, step: int) -> int:
    """n rounded up to a power of two below `step`, to a multiple of it above.

    >>> [few_shapes(n, 8) for n in (1, 3, 8, 9, 30)]
    [1, 4, 8, 16, 32]
    """
    return round_up(n, step) if n > step else 1 << (n - 1).bit_length()


def pack(rows: Sequence[Sequence[int]], *, multiple: int, n_rows: int | None = None) -> tuple[Tokens, Tokens]:
    """Token ids and mask, each (n_rows, width) int64; further rows repeat the first, so that shapes stay few."""
    width = round_up(max(len(r) for r in rows), multiple)
    n = max(n_rows or 0, len(rows))
    ids = np.zeros((n, width), dtype=np.int64)
    mask = np.zeros((n, width), dtype=np.int64)
    for i in range(n):
        row = rows[i] if i < len(rows) else rows[0]
        ids[i, : len(row)] = row
        mask[i, : len(row)] = 1
    return ids, mask


def pool(hidden: FloatArray, mask: Tokens, pooling: str) -> FloatArray:
    """(b, n, dim) token vectors to (b, dim): the mean over unmasked tokens, or the first token for "cls"."""
    if pooling == "cls":
        return np.ascontiguousarray(hidden[:, 0], dtype=np.float32)
    weights = mask.astype(np.float32)
    sums = np.matmul(weights[:, None, :], hidden.astype(np.float32, copy=False))[:, 0]
    return np.asarray(sums / weights.sum(axis=1, keepdims=True), dtype=np.float32)


def unit_rows(vectors: FloatArray, *, what: str) -> FloatArray:
    """The rows scaled to length 1. Raises EncodeError that names the first row that is not finite or is all zero."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    bad = np.flatnonzero(~np.isfinite(norms[:, 0]) | (norms[:, 0] == 0))
    if bad.size:
        raise EncodeError(f"{what} gave a vector that is not finite for item {int(bad[0])} of {len(vectors)}")
    return np.asarray(vectors / norms, dtype=np.float32)


class TextEncoder(ABC):
    """An Encoder of texts. A runtime gives `_pooled`; the rest is here.

    A vector depends on its own text only: batches are an affair of speed (checked to 1e-5 by the tests).
    """

    modalities = frozenset({Modality.TEXT})

    def __init__(
        self, space: Space, tokenizer: Tokenizer, *, threads: int, multiple: int, max_tokens: int, row_step: int = 1
    ) -> None:
        self.space = space
        self._tokenize = tokenizer
        self._threads = threads
        self._multiple = multiple
        self._max_tokens = max_tokens
        self._row_step = row_step

    @property
    @abstractmethod
    def runtime(self) -> str:
        """What computes the vectors."""

    @abstractmethod
    def _pooled(self, ids: Tokens, mask: Tokens) -> FloatArray:
        """(b, n) token ids and mask to (b, dim) float32, not yet of unit length."""

    def encode_document(self, items: Sequence[Any], *, batch_size: int = 64) -> FloatArray:
        """(n, dim) float32, unit rows, in the order of items.

        Raises ValueError for a text that is empty or only white space (it names the index), EncodeError on a vector
        that is not finite.
        """
        return self._encode(items, self.space.document_prefix, batch_size)

    def encode_query(self, items: Sequence[Any]) -> FloatArray:
        """(n, dim) float32, unit rows; as encode_document, with the query prefix of the space."""
        return self._encode(items, self.space.query_prefix, 64)

    def _encode(self, texts: Sequence[Any], prefix: str, batch_size: int) -> FloatArray:
        check_texts(texts)
        if not texts:
            return np.zeros((0, self.space.dim), dtype=np.float32)
        tokens = self._tokenize([prefix + t for t in texts] if prefix else list(texts))
        batches = plan(
            [len(t) for t in tokens],
            batch_size=batch_size,
            max_tokens=self._max_tokens,
            multiple=self._multiple,
            row_step=self._row_step,
        )

        def run(batch: list[int]) -> FloatArray:
            n_rows = few_shapes(len(batch), self._row_step)
            ids, mask = pack([tokens[i] for i in batch], multiple=self._multiple, n_rows=n_rows)
            return self._pooled(ids, mask)[: len(batch)]

        out = np.empty((len(texts), self.space.dim), dtype=np.float32)
        if self._threads > 1 and len(batches) > 1:
            with ThreadPoolExecutor(self._threads, thread_name_prefix="mmkg-encode") as threads:
                results = list(threads.map(run, batches))
        else:
            results = [run(batch) for batch in batches]
        for batch, vectors in zip(batches, results, strict=True):
            if vectors.shape[1] != self.space.dim:
                raise EncodeError(f"{self.space.name} gave vectors of {vectors.shape[1]}, expected {self.space.dim}")
            out[batch] = vectors
        return unit_rows(out, what=f"{self.space.name} ({self.runtime})")


def check_texts(texts: Sequence[Any]) -> None:
    """Raises ValueError that names the first item that is no text, or holds nothing but white space."""
    if isinstance(texts, (str, bytes)):
        raise ValueError("expected a sequence of texts, got one text")
    for i, text in enumerate(texts):
        if not isinstance(text, str):
            raise ValueError(f"item {i}: expected str, got {type(text).__name__}")
        if not text or text.isspace():
            raise ValueError(f"item {i}: the text is empty")


class SplitEncoder:
    """Two runtimes of one space: one that starts at once, for questions and few texts, and a fast one for many.

    The fast one (torch, seconds to import) is loaded when a call first brings `bulk` texts or more, so that asking, or
    adding a page, never waits for it. Which runtime a call uses depends on its number of texts alone.
    """

    modalities = frozenset({Modality.TEXT})

    def __init__(self, quick: Encoder, load_fast: Callable[[], Encoder], *, bulk: int = 128) -> None:
        self.space = quick.space
        self._quick = quick
        self._load_fast = load_fast
        self._fast: Encoder | None = None
        self._lock = threading.Lock()
        self._bulk = bulk

    @property
    def runtime(self) -> str:
        """Both runtimes; the fast one by name once it is loaded."""
        return f"{self._quick.runtime}+{self._fast.runtime if self._fast else 'torch'}"

    def encode_document(self, items: Sequence[Any], *, batch_size: int = 64) -> FloatArray:
        """As TextEncoder.encode_document."""
        if len(items) < self._bulk:
            return self._quick.encode_document(items, batch_size=batch_size)
        with self._lock:
            if self._fast is None:
                fast = self._load_fast()
                if fast.space != self.space:
                    raise EncoderMismatchError(f"the two runtimes differ: {fast.space} and {self.space}")
                self._fast = fast
                log.info("%s runs on %s for large batches", self.space.name, fast.runtime)
        return self._fast.encode_document(items, batch_size=batch_size)

    def encode_query(self, items: Sequence[Any]) -> FloatArray:
        """As TextEncoder.encode_query; always the quick runtime, so that an order never hangs on what ran before."""
        return self._quick.encode_query(items)
