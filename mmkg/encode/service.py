"""Vectors of words by a model behind any OpenAI-compatible embedding endpoint; what it sends is checked before it is used."""

from __future__ import annotations

import logging
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from mmkg.encode.text import check_texts, unit_rows
from mmkg.endpoint import NOT_JSON, Address, Endpoint
from mmkg.errors import ConfigError, EncodeError, MMKGError
from mmkg.protocols import FloatArray, Space
from mmkg.secret import Secret
from mmkg.types import Modality

logger = logging.getLogger(__name__)

PATH = "/embeddings"
KEY_VARIABLE = "MMKG_ENCODER_API_KEY"
"""Not the key of the model that answers: the two may be different services, and a key goes only where it belongs."""
BAD_ANSWERS = 1
"""How often a reply that cannot be right is asked for again."""
_MAX_BYTES = 256 * 2**20
_KEPT = 4096
_FIRST = "dimension"


def load_service(name: str, *, key: Secret | None = None) -> ServiceEncoder:
    """The encoder of "http(s)://host/v1#model"; its key from MMKG_ENCODER_API_KEY. Raises ConfigError without a model's name."""
    url, _, model = name.partition("#")
    if not model:
        raise ConfigError(
            "the encoder's URL names no model", hint="write it after a #: http://localhost:8080/v1#bge-small-en-v1.5"
        )
    return ServiceEncoder(url, model=model, api_key=key or Secret.from_environment(KEY_VARIABLE))


class ServiceEncoder:
    """Texts to unit vectors over HTTP. Nothing is called before the first vector, or the dimension, is asked for.

    url: the service, with or without /embeddings at its end. model: its name there, and the name of the space: where the service
    stands is no part of it, and the base's probes tell whether another service has the same model. timeout_s: of one call.
    retries: further calls after a fault that may pass. Rows are placed by their `index`. A reply with rows missing or too many, of
    another dimension, not finite or zero is asked for once more and then refused; nothing of it is kept.
    While a service is down, each call is tried once: a batch of many documents does not wait for each anew.
    Raises EncodeError (retryable if it may work later), ConfigError for a URL or key that cannot be used.
    """

    modalities = frozenset({Modality.TEXT})
    runtime = "service"

    def __init__(
        self,
        url: str,
        *,
        model: str,
        api_key: str | Secret | None = None,
        timeout_s: float = 60.0,
        retries: int = 3,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._model = model
        self._endpoint = Endpoint(
            Address.parse(url, ending=PATH),
            key=api_key,
            timeout_s=timeout_s,
            retries=retries,
            error=EncodeError,
            kind="embedding endpoint",
            variable=KEY_VARIABLE,
            max_bytes=_MAX_BYTES,
            sleep=sleep,
        )
        self._space: Space | None = None
        self._down = False
        # What one failed batch already got, so that looking for the document that fails asks for nothing twice.
        self._kept: OrderedDict[str, FloatArray] = OrderedDict()

    def __repr__(self) -> str:
        return f"ServiceEncoder({self._endpoint.address.shown!r}, model={self._model!r})"

    @property
    def space(self) -> Space:
        """The model and its dimension, which the first call tells."""
        if self._space is None:
            (row,) = self._call([_FIRST], None)
            self._space = Space(name=self._model, revision="service", dim=len(row), pooling="none", max_tokens=512)
        return self._space

    def encode_document(self, items: Sequence[Any], *, batch_size: int = 64) -> FloatArray:
        """(n, dim) float32, unit rows. Raises ValueError for an empty text, EncodeError."""
        check_texts(items)
        dim = self.space.dim
        missing = [text for text in dict.fromkeys(items) if text not in self._kept]
        found: dict[str, FloatArray] = {}
        for at in range(0, len(missing), batch_size):
            part = missing[at : at + batch_size]
            rows = dict(zip(part, self._call(part, dim), strict=True))
            found |= rows
            self._kept.update(rows)
        out = np.stack([found[t] if t in found else self._kept[t] for t in items]) if items else np.zeros((0, dim))
        while len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return out.astype(np.float32)

    def encode_query(self, items: Sequence[Any]) -> FloatArray:
        """As encode_document."""
        return self.encode_document(items)

    def _call(self, texts: Sequence[str], dim: int | None) -> FloatArray:
        """One call, and one more where the reply cannot be right."""
        for attempt in range(BAD_ANSWERS + 1):
            last = attempt == BAD_ANSWERS
            try:
                reply = self._endpoint.post(
                    {"model": self._model, "input": list(texts), "encoding_format": "float"},
                    retries=0 if self._down else None,
                )
            except MMKGError as e:
                self._down = e.retryable
                if not last and NOT_JSON in str(e):
                    continue
                raise
            self._down = False
            try:
                rows = _rows(reply, len(texts), dim)
            except ValueError as e:
                error = EncodeError(
                    f"{self._endpoint.address.shown}: {e}", hint=f"does {self._model} give embeddings there?"
                )
                if last:
                    raise error from None
                logger.info("%s; asking once more", error)
                continue
            return unit_rows(rows, what=self._model)
        raise AssertionError("unreachable")


def _rows(reply: Any, n: int, dim: int | None) -> FloatArray:
    """(n, dim) float32 in the order of the texts. Raises ValueError that says what is wrong with the reply."""
    data = reply.get("data") if isinstance(reply, dict) else None
    if not isinstance(data, list):
        raise ValueError("the reply has no list `data`")
    if len(data) != n:
        raise ValueError(f"the reply has {len(data)} rows for {n} texts")
    rows: dict[int, list[float]] = {}
    for place, item in enumerate(data):
        row = item.get("embedding") if isinstance(item, dict) else None
        index = item.get("index", place) if isinstance(item, dict) else None
        if type(index) is not int or not 0 <= index < n or index in rows:
            raise ValueError("the rows' indexes are not those of the texts")
        if not isinstance(row, list) or not row:
            raise ValueError(f"row {index} is no list of numbers")
        if not all(type(v) in (int, float) and math.isfinite(v) for v in row):
            raise ValueError(f"row {index} holds what is no finite number")
        rows[index] = row
    width = dim or len(rows[0])
    if wrong := sorted({len(row) for row in rows.values()} - {width}):
        raise ValueError(f"a row has {wrong[0]} numbers where {width} are expected")
    out = np.asarray([rows[i] for i in range(n)], dtype=np.float32)
    if not np.isfinite(out).all() or not (np.linalg.norm(out, axis=1) > 0).all():
        raise ValueError("a row is not finite as float32, or zero")
    return out
