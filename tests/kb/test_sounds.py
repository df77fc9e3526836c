"""Sounds found by sounds: clips that sound alike, whatever their loudness, file format or second; a CLAP model by its seam."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from mmkg.cli.main import main
from mmkg.encode.sound import LogMelEncoder, load_sound_encoder
from mmkg.errors import (
    EncodeError,
    EncoderMismatchError,
    LoadError,
    MissingDependencyError,
    NotFoundError,
    WeightsError,
)
from mmkg.store.folder.doctor import is_problem
from mmkg.testing.media import RATE, tones, write_sound, write_video

TALK = Path(__file__).resolve().parents[2] / "data" / "demo" / "files" / "radio-talk-1953.mp3"


def noise(seconds: float, seed: int, low: bool = False) -> np.ndarray:
    x = np.random.default_rng(seed).standard_normal(round(seconds * RATE)).astype(np.float32)
    return 0.1 * (np.convolve(x, np.ones(16) / 4, "same") if low else x).astype(np.float32)


def bells(seconds: float, seed: int) -> np.ndarray:
    """Struck tones with their partials, twice a second."""
    rng = np.random.default_rng(seed)
    out = np.zeros(round(seconds * RATE))
    for start in np.arange(0, seconds - 1, 0.5):
        t = np.arange(RATE) / RATE
        base = rng.choice([523.0, 587.0, 659.0, 784.0])
        ring = sum(np.sin(2 * np.pi * base * p * t) * np.exp(-3 * p * t) for p in (1, 2.76, 5.4))
        at = round(start * RATE)
        out[at : at + RATE] += 0.15 * ring
    return out.astype(np.float32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sounds")
    write_sound(folder / "bells.wav", bells(8, 1))
    write_sound(folder / "rain.ogg", noise(8, 2))
    write_sound(folder / "engine.flac", noise(8, 3, low=True))
    write_sound(folder / "silence.wav", tones([(6, 0)]))
    shutil.copy(TALK, folder / "talk.mp3")
    from PIL import Image

    write_video(
        folder / "pulse.mp4", [(6, Image.new("RGB", (64, 48), "blue"))], sound=tones([(0.2, 880), (0.2, 0)] * 15)
    )
    write_video(folder / "mute.mp4", [(3, Image.new("RGB", (64, 48), "red"))])
    (folder / "note.md").write_text("# Bells\n\nThe bells of Harrow Bay.\n")
    return folder


@pytest.fixture
def kb(make_kb, folder):
    kb = make_kb(sound_encoder="default", speech="none", ocr=False)
    kb.add(folder)
    return kb


def test_what_sounds_alike_is_found(kb, folder, tmp_path, capsys):
    asked = {
        "bells.wav": write_sound(tmp_path / "other-bells.mp3", 0.2 * bells(6, 9)),
        "rain.ogg": write_sound(tmp_path / "other-rain.wav", 0.5 * noise(5, 8)),
        "engine.flac": write_sound(tmp_path / "other-engine.m4a", noise(5, 7, low=True)),
        "pulse.mp4": write_sound(tmp_path / "beeps.wav", tones([(0.2, 860), (0.2, 0)] * 10)),
        "talk.mp3": TALK,
    }
    for name, path in asked.items():
        hits = kb.search(sound=path, k=3)
        assert hits[0].document.uri.endswith(f"/{name}"), (name, [(h.document.uri, h.score) for h in hits])
        assert hits[0].channels[0].name == "sound" and hits[0].locator.seconds is not None
        assert hits[0].score >= hits[1].score and 0 < hits[0].score <= 1
    videos = kb.search(sound=asked["bells.wav"], modality="video")
    assert {h.modality for h in videos} == {"video"} and not kb.search(sound=TALK, modality="text")
    assert kb.search(sound=TALK)[0].score > 0.98, "a clip of the recording itself"
    assert [h.document.uri.rpartition("/")[2] for h in kb.search(sound=TALK, where="document=rain.ogg")] == ["rain.ogg"]
    assert not [p for p in kb.doctor() if is_problem(p)]
    with pytest.raises(LoadError, match="no recording"):
        kb.search(sound=folder / "note.md")
    with pytest.raises(LoadError):
        kb.search(sound=folder / "mute.mp4")
    kb.close()
    with pytest.raises(SystemExit) as ended:
        main(["--kb", str(kb.root), "search", "--sound", str(asked["rain.ogg"]), "-k", "1", "--json"])
    assert ended.value.code in (0, None)
    (hit,) = json.loads(capsys.readouterr().out)["hits"]
    assert hit["document"]["uri"].endswith("/rain.ogg")


def test_vectors_come_later_and_survive_a_rebuild(make_kb, folder, kb, tmp_path):
    deaf = make_kb(tmp_path / "deaf", speech="none", ocr=False)
    deaf.add(folder)
    with pytest.raises(MissingDependencyError):
        deaf.search(sound=TALK)
    digest = deaf.digest()
    deaf.close()
    later = make_kb(tmp_path / "deaf", sound_encoder="default", speech="none", ocr=False)
    with pytest.raises(NotFoundError, match="no vectors of sounds"):
        later.search(sound=TALK)
    assert set(later.add(folder).counts) == {"unchanged"}
    assert [h.id for h in later.search(sound=TALK)] == [h.id for h in kb.search(sound=TALK)]
    assert later.digest() == digest == kb.digest(), "vectors are no part of it"
    assert later.digest(deep=True) == kb.digest(deep=True)
    before = [(h.id, round(h.score, 5)) for h in kb.search(sound=TALK)]
    kb.rebuild()
    assert [(h.id, round(h.score, 5)) for h in kb.search(sound=TALK)] == before


class Other(LogMelEncoder):
    """Says that it is the same, and is not."""

    def encode_document(self, items, *, batch_size=64):
        return super().encode_document([x[::-1] * np.linspace(0, 1, len(x), dtype=np.float32) for x in items])[:, ::-1]


def test_another_space_is_refused(kb, folder):
    from mmkg.kb import KnowledgeBase

    kb.close()
    with (
        KnowledgeBase(kb.root, settings=kb.settings, sound_encoder=Other()) as other,
        pytest.raises(EncoderMismatchError),
    ):
        other.search(sound=TALK)


def test_the_encoder_keeps_its_contract():
    encoder = LogMelEncoder()
    sounds = [bells(3, 1), 0.1 * bells(3, 1), np.zeros(RATE, np.float32), np.zeros(0, np.float32), noise(40, 1)]
    x = encoder.encode_document(sounds)
    assert x.shape == (5, encoder.space.dim) and x.dtype == np.float32
    assert np.allclose(np.linalg.norm(x, axis=1), 1, atol=1e-5)
    assert x[0] @ x[1] > 0.99, "loudness does not matter"
    assert np.array_equal(x[2], x[3])
    assert np.array_equal(x, np.concatenate([encoder.encode_document([s]) for s in sounds])), "whatever is beside it"
    for bad in (np.full(RATE, np.nan, np.float32), np.zeros((2, RATE), np.float32)):
        with pytest.raises(EncodeError):
            encoder.encode_document([bad])
    assert load_sound_encoder("none") is None
    with pytest.raises(NotFoundError):
        load_sound_encoder("/nowhere/clap")


@pytest.mark.full
def test_a_clap_model_from_a_folder(tmp_path, make_kb, folder):
    """Wiring only: the model is tiny and its weights are random."""
    torch = pytest.importorskip("torch")
    from transformers import ClapAudioConfig, ClapConfig, ClapFeatureExtractor, ClapModel, ClapTextConfig

    torch.manual_seed(5)
    audio = ClapAudioConfig(
        spec_size=64, num_mel_bins=16, window_size=4, patch_size=4, patch_stride=[4, 4], patch_embeds_hidden_size=16, hidden_size=32,
        depths=[1, 1], num_attention_heads=[2, 2], projection_dim=24, num_classes=4, enable_fusion=False,
    )  # fmt: skip
    text = ClapTextConfig(vocab_size=50, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, projection_dim=24)  # fmt: skip
    model = ClapModel(ClapConfig(text_config=text.to_dict(), audio_config=audio.to_dict(), projection_dim=24))
    place = tmp_path / "tiny-clap"
    model.save_pretrained(place)
    ClapFeatureExtractor(
        feature_size=16, sampling_rate=16_000, hop_length=160, fft_window_size=400, max_length_s=2, truncation="fusion"
    ).save_pretrained(place)
    encoder = load_sound_encoder(str(place), device="cpu")
    x = encoder.encode_document([bells(5, 1), noise(1, 2), np.zeros(0, np.float32)])
    assert x.shape == (3, 24) and np.allclose(np.linalg.norm(x, axis=1), 1, atol=1e-5)
    assert np.allclose(x, load_sound_encoder(str(place), device="cpu").encode_document([bells(5, 1), noise(1, 2), np.zeros(0, np.float32)]), atol=1e-5)  # fmt: skip
    kb = make_kb(tmp_path / "clap", sound_encoder=str(place), speech="none", ocr=False, device="cpu")
    kb.add(folder / "bells.wav", folder / "rain.ogg")
    assert kb.search(sound=folder / "rain.ogg")[0].score > 0.99
    assert not any(c.name == "sound" for h in kb.search("drums", modality="audio") for c in h.channels)
    kb.close()
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    raw = Tokenizer(models.WordLevel({"<s>": 0, "<pad>": 1, "<unk>": 2, "drums": 3, "heavy": 4}, unk_token="<unk>"))
    raw.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=raw, pad_token="<pad>", unk_token="<unk>").save_pretrained(place)
    hearing = make_kb(tmp_path / "clap", sound_encoder=str(place), speech="none", ocr=False, device="cpu")
    words = hearing.sound_encoder.encode_text(["drums", "heavy drums " * 400])
    assert words.shape == (2, 24) and np.allclose(np.linalg.norm(words, axis=1), 1, atol=1e-5)
    found = hearing.search("drums", modality="audio")
    assert {h.document.name for h in found} == {"bells.wav", "rain.ogg"}  # neither name nor words bring them
    assert all(any(c.name == "sound" for c in h.channels) for h in found)
    cosines = [next(c.score for c in h.channels if c.name == "sound") for h in found]
    assert cosines == sorted(cosines, reverse=True)
    hearing.close()
    again = make_kb(tmp_path / "clap", sound_encoder="default", speech="none", ocr=False)
    with pytest.raises(EncoderMismatchError):
        again.add(folder / "bells.wav")
    for file in place.glob("*.safetensors"):
        file.rename(place / "pytorch_model.bin")
    with pytest.raises(WeightsError, match="safetensors"):
        load_sound_encoder(str(place))
