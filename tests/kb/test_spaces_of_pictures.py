"""Several encoders of pictures in one base, searching by example, and the bridge fitted on a base's own captions.

The networks are tiny and made here: they show the wiring, and that a map learns what there is to learn, not what a model finds.
"""

from __future__ import annotations

import hashlib
import io

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from mmkg import KnowledgeBase
from mmkg.config import Settings
from mmkg.encode.bridge import BridgeEncoder, bridge_space
from mmkg.encode.fitted import FittedEncoder, LinearMap
from mmkg.encode.onnx_format import Graph
from mmkg.errors import ConfigError, EncoderMismatchError, NotFoundError, StoreDamagedError
from mmkg.protocols import Space
from mmkg.testing.encoders import HashingEncoder
from mmkg.types import Modality

COLOURS = {"red": (220, 30, 30), "green": (30, 200, 40), "blue": (30, 40, 220), "yellow": (230, 220, 40)}
TEXT = HashingEncoder(dim=64)


class ColourEncoder:
    """A joint encoder: the colours of a picture, and of the words that name one."""

    runtime = "test"
    modalities = frozenset({Modality.IMAGE})

    def __init__(self, name="colours", turned=False):
        self.space = Space(name=name, revision="1", dim=4, pooling="none")
        self._sign = -1.0 if turned else 1.0

    def encode_document(self, items, *, batch_size=64):
        rows = [np.asarray(Image.open(io.BytesIO(i)).convert("RGB").resize((1, 1)), dtype=float).ravel() for i in items]
        return self._rows(rows)

    encode_query = encode_document

    def encode_text(self, texts):
        return self._rows([np.sum([COLOURS.get(w, (9, 9, 9)) for w in t.lower().split()], axis=0) for t in texts])

    def _rows(self, rows):
        table = np.array([[*(self._sign * (np.asarray(r) - 100.0)), 20.0] for r in rows], dtype=np.float32)
        return table / np.linalg.norm(table, axis=1, keepdims=True)


def picture(colour, shade=0, caption=""):
    out, info = io.BytesIO(), PngImagePlugin.PngInfo()
    if caption:
        info.add_itxt("Description", caption)
    values = np.clip(np.array(COLOURS[colour]) + shade, 0, 255).astype(np.uint8)
    Image.fromarray(np.full((24, 24, 3), values, dtype=np.uint8)).save(out, "PNG", pnginfo=info)
    return out.getvalue()


def blind_bridge():
    """A label bridge whose labels say nothing of colour, over features that do."""
    graph = Graph()
    mean = graph.node("Flatten", graph.node("GlobalAveragePool", "pixels"))
    rng = np.random.default_rng(0)

    def layer(rows):
        weight = graph.constant(rng.standard_normal((rows, 3)).astype(np.float32))
        return graph.node("Gemm", mean, weight, graph.constant(np.ones(rows, dtype=np.float32)), transB=1)

    logits, features = layer(1000), layer(1280)
    network = graph.model(
        "tiny",
        inputs={"pixels": ("n", 3, 224, 224)},
        outputs={logits: ("n", 1000), features: ("n", 1280)},
    )
    labels = TEXT.encode_document([f"label {i}" for i in range(1000)])
    return BridgeEncoder(bridge_space(TEXT.space), network, labels, threads=1)


@pytest.fixture
def base(tmp_path):
    def open_(*encoders, name="kb", **options):
        settings = Settings(workers=1, ocr=False, speech="none", sound_encoder="none")
        return KnowledgeBase(tmp_path / name, settings=settings, text_encoder=TEXT, image_encoder=encoders, **options)

    return open_


@pytest.fixture
def album(tmp_path):
    folder = tmp_path / "album"
    folder.mkdir()
    for colour in COLOURS:
        (folder / f"p{colour[0]}.png").write_bytes(picture(colour))
    (folder / "note.md").write_text("# Paint\n\nThe red paint dries in an hour.\n")
    return folder


def shown(hits):
    return [h.document.uri.rsplit("/", 1)[-1] for h in hits if h.modality is Modality.IMAGE]


def test_a_question_goes_to_every_space_and_its_own_text_tower(base, album):
    with base(ColourEncoder("a"), ColourEncoder("b", turned=True)) as kb:
        kb.add(album)
        assert [k for k in kb.stats()["spaces"] if k in ("a@1", "b@1")] == ["a@1", "b@1"]
        hits = kb.search("blue", modality="image")
        assert shown(hits)[0] == "pb.png"
        assert "pixels" in {c.name for c in hits[0].channels}
        assert not [p for p in kb.doctor() if p.kind == "pictures-without-vector"]


def test_an_encoder_that_comes_later_sees_the_old_pictures(base, album):
    one, two = ColourEncoder("a"), ColourEncoder("b", turned=True)
    with base(one) as kb:
        kb.add(album)
        digest = kb.digest()
    with base(one, two) as kb:
        kb.add(album)
        view = kb.index()
        rows = view.unit_vectors("b@1", np.flatnonzero(view.unit_modality == 1))
        assert np.allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-2)
        assert kb.digest() == digest
    with base(one, two, name="fresh") as fresh:
        fresh.add(album)
        assert fresh.digest() == digest
    with base(two) as kb, pytest.raises(EncoderMismatchError, match=r"encoded by a@1; here is b@1"):
        kb.add(album)


def test_by_picture_and_by_picture_with_words(base, album):
    with base(ColourEncoder()) as kb:
        kb.add(album)
        near_red = picture("red", shade=12)
        assert shown(kb.search(image=near_red, modality="image"))[0] == "pr.png"
        assert shown(kb.search("blue", image=near_red, modality="image", weight=0.9))[0] == "pb.png"
        alone, none = (
            [h.id for h in kb.search("blue", image=near_red, modality="image", weight=w)] for w in (1.0, 0.0)
        )
        assert alone == [h.id for h in kb.search("blue", modality="image")]
        assert none == [h.id for h in kb.search(image=near_red, modality="image")]
        both = kb.search(text="green", image=near_red, modality="image")
        assert {"composed", "pixels", "words"} <= {c.name for h in both for c in h.channels}
        (album / "q.png").write_bytes(near_red)
        assert shown(kb.search(image=album / "q.png", k=1, modality="image")) == ["pr.png"]


def test_what_cannot_be_searched_by(base, album):
    with base(ColourEncoder()) as kb:
        kb.add(album)
        with pytest.raises(NotFoundError, match="no such file"):
            kb.search(image=album / "none.png")
        with pytest.raises(ValueError, match="weight must be in"):
            kb.search("x", image=picture("red"), weight=1.5)
        with pytest.raises(ValueError, match="weight is for words beside"):
            kb.search("x", weight=0.5)
        with pytest.raises(ValueError, match="give the words once"):
            kb.search("x", text="y")


def captioned(folder, n):
    """Pictures of four colours in many shades, with captions that no label knows."""
    folder.mkdir()
    rng = np.random.default_rng(5)
    for i in range(n):
        colour = list(COLOURS)[i % 4]
        shade = int(rng.integers(-25, 25))
        (folder / f"{i:03}.png").write_bytes(picture(colour, shade, f"something {colour} number{i}"))
    return folder


@pytest.mark.parametrize("method", ["ridge", pytest.param("contrastive", marks=pytest.mark.full)])
def test_a_fitted_bridge_learns_is_kept_and_taken_out_again(base, tmp_path, method):
    folder = captioned(tmp_path / "c", 40)
    with base(blind_bridge()) as kb:
        kb.add(folder)
        before, digest = kb.stats()["spaces"], kb.digest()
        report = kb.train_bridge(method=method, force=True)
        assert report.pictures == 40
        assert report.after[2] > report.before[2] + 0.1
        assert report.space in kb.stats()["spaces"]
        view = kb.index()
        images = np.flatnonzero(view.unit_modality == 1)
        assert np.linalg.norm(view.unit_vectors(report.space, images), axis=1).min() > 0.9
        (found,) = kb.retriever().fields.all
        assert found.space == report.space
        assert kb.digest() == digest
        assert not kb.doctor()
    with base(blind_bridge()) as again:  # the map is in the base, and new pictures go through it
        (folder / "new.png").write_bytes(picture("red", 3))
        again.add(folder)
        view = again.index()
        rows = view.unit_vectors(report.space, np.flatnonzero(view.unit_modality == 1))
        assert (np.linalg.norm(rows, axis=1) > 0.9).sum() == 41
        assert again.train_bridge(method=method, force=True).space in again.stats()["spaces"]
        assert len([k for k in again.stats()["spaces"] if k.startswith("fitted")]) == 1
        assert again.forget_bridge()
        assert not again.forget_bridge()
        assert again.stats()["spaces"] == before
        assert [f.space for f in again.retriever().fields.all] == [bridge_space(TEXT.space).key]
        assert not again.doctor()


def test_what_is_not_better_is_not_kept(base, tmp_path):
    folder = tmp_path / "c"
    folder.mkdir()
    for i in range(24):  # captions that have nothing to do with the pictures
        words = "a thing called " + hashlib.sha256(str(i).encode()).hexdigest()[:12]
        (folder / f"{i}.png").write_bytes(picture("green", -3 * i, words))
    with base(blind_bridge()) as kb:
        kb.add(folder)
        report = kb.train_bridge()
        kept = [k for k in kb.stats()["spaces"] if k.startswith("fitted")]
        assert bool(kept) == (report.space is not None) == (report.after[:0:-1] > report.before[:0:-1])


def test_too_few_captions(base, album):
    with base(blind_bridge()) as kb:
        kb.add(album)
        with pytest.raises(ConfigError, match="0 pictures with captions"):
            kb.train_bridge()
        with pytest.raises(ConfigError, match="unknown method"):
            kb.train_bridge(method="magic")


def test_an_older_label_bridge_gives_way(base, album):
    new = blind_bridge()
    old = blind_bridge()
    old.space = Space(name=old.space.name, revision="1" + old.space.revision[1:], dim=64, pooling="none")
    with base(old) as kb:
        kb.add(album)
        assert [f.space for f in kb.retriever().fields.all] == [old.space.key]
    with base(new) as kb:
        assert [f.space for f in kb.retriever().fields.all] == [
            old.space.key
        ]  # still searched until something is added
        kb.add(album)
        assert new.space.key in kb.stats()["spaces"]
        assert old.space.key not in kb.stats()["spaces"]
        assert [f.space for f in kb.retriever().fields.all] == [new.space.key]
        assert not kb.doctor()


def test_a_map_survives_json_and_damage_is_named():
    rng = np.random.default_rng(0)
    made = LinearMap.of(rng.standard_normal(1280), rng.standard_normal((1280, 64)), rank=8)
    again = LinearMap.from_json(made.to_json())
    features = rng.standard_normal((3, 1280)).astype(np.float32)
    assert np.array_equal(made(features), again(features))
    assert FittedEncoder(blind_bridge(), made).space == FittedEncoder(blind_bridge(), again).space
    for wrong in ({}, {"rank": 8, "dim": 64, "data": "AAAA"}, {"rank": 8, "dim": 64, "data": "?"}, None):
        with pytest.raises(StoreDamagedError, match="fitted map"):
            LinearMap.from_json(wrong)
