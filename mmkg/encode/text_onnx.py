"""Text encoders on onnxruntime: no torch, ready in about half a second."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from mmkg.encode import weights
from mmkg.encode.text import MINILM, TextEncoder, Tokenizer, Tokens, pool
from mmkg.errors import MissingDependencyError, WeightsError
from mmkg.protocols import FloatArray, Space

# Measured for MiniLM on two cores: batches of about 4 x 130 tokens are fastest; from 16 texts on, the activations no
# longer fit into the cache and the rate falls by a third.
BATCH_TOKENS = 512


def default_threads() -> int:
    """Number of processors this process may use, at most 8."""
    try:
        n = len(os.sched_getaffinity(0))
    except AttributeError:  # not Linux
        n = os.cpu_count() or 1
    return max(1, min(n, 8))


def session(model: bytes, *, name: str) -> Any:
    """An onnxruntime session on the CPU. Raises MissingDependencyError or WeightsError.

    One thread a call: many texts run as parallel calls instead. That scales better than threads inside an operator
    when other work shares the machine, and a vector comes out the same for any number of threads.
    """
    try:
        import onnxruntime
    except ImportError as e:
        raise MissingDependencyError(f"onnxruntime cannot be imported: {e}", hint="pip install onnxruntime") from e
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as e:  # onnxruntime has a family of exceptions without a common public base
        raise WeightsError(f"{name} is not a model that onnxruntime can load: {e}") from e


class OnnxTextEncoder(TextEncoder):
    """A BERT-like model in ONNX with inputs input_ids, attention_mask and maybe token_type_ids.

    model, tokenizer: bytes of the .onnx file and of tokenizer.json. threads: parallel calls, default one a processor.
    precision: of the weights, for `runtime`.
    The packaged MiniLM keeps int8 weights and computes in fp32, so no scale is shared between the texts of a batch.
    """

    def __init__(
        self, space: Space, model: bytes, tokenizer: bytes, *, threads: int | None = None, precision: str = "fp32"
    ) -> None:
        super().__init__(
            space,
            Tokenizer(tokenizer, max_tokens=space.max_tokens),
            threads=threads or default_threads(),
            multiple=8,
            max_tokens=BATCH_TOKENS,
        )
        self._precision = precision
        self._session = session(model, name=space.name)
        self._inputs = {i.name for i in self._session.get_inputs()}
        outputs = [o.name for o in self._session.get_outputs() if len(o.shape) == 3]
        unknown = self._inputs - {"input_ids", "attention_mask", "token_type_ids"}
        if unknown or not outputs:
            raise WeightsError(
                f"{space.name}: expected inputs input_ids, attention_mask, token_type_ids and an output of shape "
                f"(batch, sequence, dim), got inputs {sorted(self._inputs)}"
            )
        self._output = outputs[0]

    @property
    def runtime(self) -> str:
        """onnx-int8, onnx-fp32."""
        return f"onnx-{self._precision}"

    def _pooled(self, ids: Tokens, mask: Tokens) -> FloatArray:
        feeds = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        hidden = self._session.run([self._output], {k: v for k, v in feeds.items() if k in self._inputs})[0]
        return pool(hidden, mask, self.space.pooling)


def load_minilm_onnx(*, threads: int | None = None) -> OnnxTextEncoder:
    """The packaged all-MiniLM-L6-v2 with int8 weights. Raises MissingDependencyError, WeightsError."""
    return OnnxTextEncoder(
        MINILM,
        weights.read(weights.MINILM_ONNX),
        weights.read(weights.MINILM_TOKENIZER),
        threads=threads,
        precision="int8",
    )
