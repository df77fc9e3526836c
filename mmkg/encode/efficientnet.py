"""EfficientNet-Lite0 (Tan and Le 2019; the Lite variant drops squeeze-and-excitation and uses relu6) as an ONNX file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mmkg.encode.onnx_format import Graph
from mmkg.errors import WeightsError

SIZE = 224
"""Height and width of the input."""
N_CLASSES = 1000

State = Mapping[str, npt.NDArray[np.float32]]


class Stage(NamedTuple):
    """A run of inverted residual blocks; only the first has the stride."""

    blocks: int
    kernel: int
    stride: int
    expand: int
    channels: int


STAGES = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320),
)
STEM = 32
HEAD = 1280
"""Number of features."""
EPS = 1e-3
"""Of batch normalisation, as the weights were trained."""


class _Writer:
    """Adds layers to a graph, with batch normalisation folded into the convolution before it."""

    def __init__(self, state: State) -> None:
        self.graph = Graph()
        self._state = state
        self._low = self.graph.constant(np.array(0, dtype=np.float32))
        self._six = self.graph.constant(np.array(6, dtype=np.float32))

    def tensor(self, name: str) -> npt.NDArray[np.float64]:
        try:
            return np.asarray(self._state[name], dtype=np.float64)
        except KeyError as e:
            raise WeightsError(f"the weights have no tensor {name}; are these EfficientNet-Lite0's?") from e

    def conv(
        self, x: str, conv: str, norm: str, *, stride: int = 1, depthwise: bool = False, relu6: bool = True
    ) -> str:
        weight = self.tensor(conv + ".weight")
        # float64 until the last step, so that the bytes are the same on every machine.
        scale = self.tensor(norm + ".weight") / np.sqrt(self.tensor(norm + ".running_var") + EPS)
        bias = self.tensor(norm + ".bias") - self.tensor(norm + ".running_mean") * scale
        kernel = weight.shape[-1]
        x = self.graph.node(
            "Conv",
            x,
            self.graph.constant((weight * scale[:, None, None, None]).astype(np.float32)),
            self.graph.constant(bias.astype(np.float32)),
            auto_pad="SAME_UPPER",  # as TensorFlow pads, where these weights come from
            group=weight.shape[0] if depthwise else 1,
            kernel_shape=(kernel, kernel),
            strides=(stride, stride),
        )
        return self.graph.node("Clip", x, self._low, self._six) if relu6 else x


def lite0_onnx(state: State) -> bytes:
    """The network as an ONNX file: `pixels` (n, 3, 224, 224) float32 to logits (n, 1000) and features (n, 1280), in this order.

    The features are what the last layer weighs: the mean over places of the last convolution, not below 0.

    state: tensors by the names of the published PyTorch checkpoint. Raises WeightsError if one is missing.
    """
    w = _Writer(state)
    x = w.conv("pixels", "_conv_stem", "_bn0", stride=2)
    channels, block = STEM, 0
    for stage in STAGES:
        for i in range(stage.blocks):
            p, stride, start = f"_blocks.{block}.", stage.stride if i == 0 else 1, x
            if stage.expand > 1:
                x = w.conv(x, p + "_expand_conv", p + "_bn0")
            x = w.conv(x, p + "_depthwise_conv", p + "_bn1", stride=stride, depthwise=True)
            x = w.conv(x, p + "_project_conv", p + "_bn2", relu6=False)
            if stride == 1 and channels == stage.channels:
                x = w.graph.node("Add", x, start)
            channels, block = stage.channels, block + 1
    x = w.conv(x, "_conv_head", "_bn1")
    x = w.graph.node("Flatten", w.graph.node("GlobalAveragePool", x))
    weight, bias = (w.graph.constant(w.tensor("_fc." + n).astype(np.float32)) for n in ("weight", "bias"))
    features, logits = x, w.graph.node("Gemm", x, weight, bias, transB=1)
    return w.graph.model(
        "efficientnet-lite0",
        inputs={"pixels": ("n", 3, SIZE, SIZE)},
        outputs={logits: ("n", N_CLASSES), features: ("n", HEAD)},
    )
