"""Sound and video files: clips that cover them, key frames, subtitles, tags; and what is damaged or lies."""

from __future__ import annotations

import struct
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from mmkg.config import Limits, Settings
from mmkg.factsio import from_json, to_json
from mmkg.ingest import av_sound, patience, recording
from mmkg.ingest.pool import ParserPool
from mmkg.ingest.spoken import with_subtitle_words
from mmkg.ingest.subtitles import looks_like_subtitles, parse_subtitles
from mmkg.schema import document_id, subtitled_blob
from mmkg.testing.media import SOUND_CODECS, tones, write_sound, write_video
from mmkg.types import Cue, DocumentFacts, Unit

SRT = """1
00:00:00,500 --> 00:00:02,000
The lamp of Tamar Light was lit.

2
00:00:02,500 --> 00:00:04,000
Elias Crane held the match.
"""


@pytest.fixture(scope="module")
def pool():
    with ParserPool(Settings(workers=1)) as pool:
        yield pool


def _slide(words: str, colour: tuple[int, int, int]) -> Image.Image:
    picture = Image.new("RGB", (320, 180), colour)
    ImageDraw.Draw(picture).text((20, 60), words, fill="white", font_size=40)
    return picture


def _clips(facts: DocumentFacts) -> list[tuple[int, int]]:
    return [u.span_ms for u in facts.units if u.label == "Clip"]


def _frames(facts: DocumentFacts) -> list[Unit]:
    return [u for u in facts.units if u.kind == "frame"]


def _covers(spans: list[tuple[int, int]], end_ms: int, slack_ms: int = 120) -> bool:
    return spans[0][0] == 0 and all(a[1] == b[0] for a, b in pairwise(spans)) and abs(spans[-1][1] - end_ms) <= slack_ms


# ---- Sound -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", SOUND_CODECS)
def test_every_kind_of_sound_file_is_read(pool, tmp_path, suffix):
    path = write_sound(tmp_path / f"a{suffix}", tones([(3, 440)]), title="A Tone at Tamar", artist="Elias Crane")
    outcome = pool.parse(path)
    assert outcome.status == "ok", outcome.reason
    facts = outcome.parsed.facts
    assert facts.name == "A Tone at Tamar"
    assert facts.meta["audio"].endswith(f"{48_000 if suffix == '.ogg' else 16_000} Hz, 1 channels")
    assert facts.meta["artist"] == "Elias Crane"
    assert _covers(_clips(facts), 3000)
    assert from_json(to_json(facts)) == facts


def test_a_long_recording_is_cut_in_its_pauses(pool, tmp_path):
    pieces = []
    for _ in range(8):
        pieces += [(9.0, 300), (0.6, 0)]
    outcome = pool.parse(write_sound(tmp_path / "talk.wav", tones(pieces)))
    spans = _clips(outcome.parsed.facts)
    assert _covers(spans, 76_800)
    for _, end in spans[:-1]:
        assert (end % 9600) >= 8900 or (end % 9600) < 100, f"cut at {end} ms, where it sounds"
    assert all(b - a <= av_sound.LONGEST_MS for a, b in spans)


def test_a_long_silence_is_a_clip_of_its_own(pool, tmp_path):
    outcome = pool.parse(write_sound(tmp_path / "gap.flac", tones([(6, 300), (15, 0), (6, 300)])))
    spans = _clips(outcome.parsed.facts)
    assert len(spans) == 3
    assert abs(spans[1][0] - 6000) <= 60 and abs(spans[1][1] - 21_000) <= 60


@given(st.lists(st.integers(-90, 0), max_size=4000), st.lists(st.integers(0, 80_000), max_size=10))
@hypothesis_settings(deadline=None, max_examples=60)
def test_clips_cover_any_levels_without_overlap(levels, scenes):
    spans = av_sound.cut(np.array(levels, dtype=np.int16), scenes_ms=scenes)
    assert [a for a, _ in spans[1:]] == [b for _, b in spans[:-1]]
    if levels:
        assert (spans[0][0], spans[-1][1]) == (0, len(levels) * av_sound.STEP_MS)
    quiet = [b - a for a, b in spans if max(levels[a // 20 : b // 20]) > -50]
    assert all(length <= av_sound.LONGEST_MS for length in quiet)


def test_the_envelope_does_not_depend_on_how_frames_are_cut():
    import av

    def levels(sizes):
        x = (tones([(2, 440), (0.3, 0), (1, 200)], rate=44_100) * 32_767).astype(np.int16)
        envelope, at = av_sound.Envelope(44_100), 0
        for size in sizes:
            part = x[at : at + size]
            if len(part):
                frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(part[None]), format="s16", layout="mono")
                envelope.add(frame)
            at += size
        return envelope.levels()

    whole = levels([len(tones([(3.3, 1)], rate=44_100))])
    assert len(whole) == 165
    assert np.array_equal(whole, levels([1152] * 200))
    assert np.array_equal(whole, levels([100, 3, 50_000, 1] + [997] * 200))


# ---- Video -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm", ".mov", ".avi"])
def test_every_kind_of_video_gives_a_key_frame_a_scene(pool, tmp_path, suffix):
    scenes = [
        (3, _slide("TAMAR", (20, 40, 120))),
        (3, _slide("LIGHT", (150, 30, 20))),
        (3, _slide("1958", (20, 110, 40))),
    ]
    outcome = pool.parse(write_video(tmp_path / f"v{suffix}", scenes, sound=tones([(9, 300)])))
    assert outcome.status == "ok", outcome.reason
    facts = outcome.parsed.facts
    frames = _frames(facts)
    assert len(frames) == 3
    for frame, begin in zip(frames, (0, 3000, 6000), strict=True):
        assert begin <= frame.span_ms[0] < begin + 1500
        assert Image.open(__import__("io").BytesIO(outcome.parsed.media[frame.media])).size == (320, 180)
    assert _covers(_clips(facts), 9000, 300)
    assert facts.meta["video"].endswith("320 x 180") and "audio" in facts.meta


def test_a_turned_slide_is_a_scene_and_its_words_are_read(pool, tmp_path):
    ground = (30, 30, 60)
    path = write_video(tmp_path / "talk.mp4", [(3, _slide("Ottoline", ground)), (3, _slide("Gannet Steps", ground))])
    facts = pool.parse(path).parsed.facts
    frames = _frames(facts)
    assert [facts.text[f.start : f.end] for f in frames] == ["Ottoline", "Gannet Steps"]
    assert facts.pages[1].lines[0].box[2] > facts.pages[1].lines[0].box[0]
    assert _covers(_clips(facts), 6000)
    assert len(_clips(facts)) == 2  # without sound clips follow the scenes


def test_a_picture_that_only_moves_is_one_scene(pool, tmp_path):
    scenes = []
    for i in range(30):
        picture = Image.new("RGB", (320, 180), (90, 110, 130))
        ImageDraw.Draw(picture).ellipse((i * 8, 60, i * 8 + 40, 100), fill=(200, 190, 60))
        scenes.append((0.2, picture))
    facts = pool.parse(write_video(tmp_path / "ball.mp4", scenes)).parsed.facts
    assert len(_frames(facts)) == 1


def test_the_same_file_gives_the_same_facts_twice(pool, tmp_path):
    path = write_video(tmp_path / "v.mp4", [(2, _slide("A", (9, 9, 99)))], sound=tones([(2, 300)]))
    assert pool.parse(path) == pool.parse(path)


# ---- Subtitles -------------------------------------------------------------------------------------------------------


def test_subtitles_beside_a_recording_are_its_words_and_part_of_its_identity(pool, tmp_path):
    path = write_sound(tmp_path / "a.wav", tones([(5, 440)]))
    alone = pool.parse(path)
    both = pool.parse(path, beside=SRT.encode())
    assert both.recording == alone.sha256
    assert both.sha256 == document_id(subtitled_blob(alone.sha256, SRT.encode())) != alone.sha256
    facts = both.parsed.facts
    clip = next(u for u in facts.units if u.label == "Clip")
    assert facts.words(clip) == "The lamp of Tamar Light was lit. Elias Crane held the match."
    assert [(facts.text[t.start : t.end], t.start_ms, t.end_ms) for t in clip.times] == [
        ("The lamp of Tamar Light was lit.", 500, 2000),
        ("Elias Crane held the match.", 2500, 4000),
    ]
    assert len(clip.sentences) == 2
    assert facts.meta["subtitles"] == "beside the file"


def test_subtitles_without_a_cue_are_noted_and_the_recording_comes_in(pool, tmp_path):
    path = write_sound(tmp_path / "a.wav", tones([(2, 440)]))
    outcome = pool.parse(path, beside=b"WEBVTT\n\nnothing here\n")
    assert outcome.status == "ok"
    assert "subtitles beside it were not read" in outcome.parsed.notes[0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("WEBVTT\n\nid\n00:01.000 --> 00:02.5 align:start\n<v Ann>Yes &amp; <b>no</b>\n", [(1000, 2500, "Yes & no")], id="vtt"),
        pytest.param("1\r\n00:00:01,5 --> 00:00:02,000\r\n{\\an8}up\r\nthere\r\n", [(1500, 2000, "up there")], id="crlf"),
        pytest.param("1\n0:00:01,000 --> 0:00:02,000\na\n\n2\n0:00:02,100 --> 0:00:03,000\na\n", [(1000, 3000, "a")], id="rolling"),
        pytest.param("2\n00:00:05,000 --> 00:00:04,000\nbackwards\n\n1\n00:00:01,000 --> 00:00:02,000\nok\n", [(1000, 2000, "ok")], id="backwards"),
    ],
)  # fmt: skip
def test_subtitle_files_are_read(text, expected):
    assert [(c.start_ms, c.end_ms, c.text) for c in parse_subtitles(text)] == expected
    assert looks_like_subtitles(text.replace("\r\n", "\n"))


@given(st.lists(st.tuples(st.integers(0, 9_000), st.text(min_size=0, max_size=30)), max_size=12))
@hypothesis_settings(deadline=None, max_examples=60)
def test_words_go_to_their_clip_and_times_point_at_them(said):
    clips = tuple(
        Unit(ordinal=i, label="Clip", kind="audio", start=0, end=0, span_ms=(i * 3000, i * 3000 + 3000))
        for i in range(3)
    )
    facts = DocumentFacts(media_type="audio/wav", name="", text="before", units=clips)
    cues = [Cue(start_ms=at, end_ms=at + 10, text=text) for at, text in said]
    made = with_subtitle_words(facts, cues)
    assert made.text.startswith("before")
    kept = sorted((at, " ".join(text.split())) for at, text in said if text.split())
    found = [(t.start_ms, made.text[t.start : t.end]) for u in made.units for t in u.times]
    assert sorted(found) == kept
    for unit in made.units:
        assert all(unit.span_ms[0] <= t.start_ms + 5 <= max(unit.span_ms[1], 9_100) for t in unit.times)
        assert made.words(unit) == " ".join(made.text[t.start : t.end] for t in unit.times)
    assert with_subtitle_words(made, cues) == made


# ---- Hostile ---------------------------------------------------------------------------------------------------------


def _lying_wav(path: Path) -> Path:
    """A header of ten hours over one second of sound."""
    write_sound(path, tones([(1, 440)]))
    data = bytearray(path.read_bytes())
    at = data.index(b"data")
    struct.pack_into("<I", data, at + 4, 2 * 16_000 * 36_000)
    struct.pack_into("<I", data, 4, 2 * 16_000 * 36_000 + at)
    path.write_bytes(data)
    return path


def test_a_header_of_ten_hours_over_a_second_of_sound_is_a_second(pool, tmp_path):
    outcome = pool.parse(_lying_wav(tmp_path / "long.wav"))
    assert outcome.status == "ok"
    assert _covers(_clips(outcome.parsed.facts), 1000)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm", ".avi", ".mp3", ".flac", ".ogg", ".m4a", ".wav"])
def test_a_truncated_recording_is_refused_or_as_long_as_it_is(suffix, tmp_path):
    whole = tmp_path / f"whole{suffix}"
    if suffix in SOUND_CODECS:
        write_sound(whole, tones([(6, 300)]))
    else:
        write_video(whole, [(3, _slide("A", (9, 9, 99))), (3, _slide("B", (99, 9, 9)))], sound=tones([(6, 300)]))
    data = whole.read_bytes()
    with ParserPool(Settings(workers=1, ocr=False)) as pool:
        for part in (0.02, 0.3, 0.6, 0.9):
            path = tmp_path / f"cut{part}{suffix}"
            path.write_bytes(data[: int(part * len(data))])
            outcome = pool.parse(path)
            assert outcome.status in ("ok", "rejected"), outcome.reason
            if outcome.status == "ok":
                assert _clips(outcome.parsed.facts)[-1][1] <= 6300
            else:
                assert outcome.reason.startswith(("damaged: ", "name: ", "not-text: ")), outcome.reason


def test_a_recording_over_the_limit_is_refused_by_name(tmp_path):
    path = write_sound(tmp_path / "a.wav", tones([(5, 300)]))
    with ParserPool(Settings(workers=1, limits=Limits(media_seconds=3))) as pool:
        outcome = pool.parse(path)
    assert outcome.status == "rejected"
    assert outcome.reason.startswith("media_seconds: ")


PLAYLISTS = {
    "hls.mp4": b"#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:0\n#EXTINF:10.0,\nfile:///etc/hostname\n#EXT-X-ENDLIST\n",
    "concat.mp4": b"ffconcat version 1.0\nfile /etc/hostname\n",
    "hls.mp3": b"ID3\x03\x00\x00\x00\x00\x00\x00#EXTM3U\n#EXTINF:10.0,\nhttp://127.0.0.1:9/a.mp3\n",
    "dash.webm": b'<?xml version="1.0"?><MPD><BaseURL>http://127.0.0.1:9/</BaseURL></MPD>',
    "hls.avi": b"RIFF\x00\x00\x00\x00AVI #EXTM3U\n#EXTINF:10.0,\nfile:///etc/hostname\n",
    "hls.mkv": b"\x1aE\xdf\xa3#EXTM3U\n#EXTINF:10.0,\nfile:///etc/hostname\n",
}


@pytest.mark.parametrize("name", sorted(PLAYLISTS))
def test_a_playlist_in_disguise_is_refused(pool, tmp_path, name):
    (tmp_path / name).write_bytes(PLAYLISTS[name])
    outcome = pool.parse(tmp_path / name)
    assert (outcome.status, outcome.parsed) == ("rejected", None)


def test_a_playlist_opened_by_the_loader_itself_reaches_nothing(tmp_path):
    """Past sniffing and names: every demuxer that we use, given a playlist, opens no file and no socket."""
    program = """
import sys
from pathlib import Path
from mmkg.errors import LoadError
from mmkg.ingest.av_open import DEMUXERS, open_media, decoded
seen = []
sys.addaudithook(lambda e, a: seen.append((e, a)) if e.startswith("socket.") else None)
for path in map(Path, sys.argv[1:]):
    for kind in DEMUXERS:
        with path.open("rb") as file:
            try:
                with open_media(file, kind) as container:
                    n = sum(1 for _ in decoded(container, [s for s in container.streams if s.type in ("audio", "video")]))
            except LoadError:
                pass
assert not seen, seen
"""
    secret = write_sound(tmp_path / "secret.wav", tones([(1, 440)]))
    paths = []
    for name, data in PLAYLISTS.items():
        paths.append(tmp_path / name)
        paths[-1].write_bytes(data.replace(b"/etc/hostname", str(secret).encode()))
    traced = subprocess.run(
        [sys.executable, "-c", program, *map(str, paths)], capture_output=True, text=True, timeout=120, check=False
    )
    assert traced.returncode == 0, traced.stderr


@pytest.mark.parametrize("name", ["a.mp3", "a.wav", "a.mp4", "a.mkv", "a.avi", "a.ogg"])
def test_an_empty_file_is_empty(pool, tmp_path, name):
    (tmp_path / name).write_bytes(b"")
    assert pool.parse(tmp_path / name).status == "empty"


@pytest.mark.parametrize("name", ["sound.png", "sound.pdf", "sound.txt"])
def test_a_renamed_recording_is_refused_by_name(pool, tmp_path, name):
    write_sound(tmp_path / "a.flac", tones([(1, 440)])).rename(tmp_path / name)
    outcome = pool.parse(tmp_path / name)
    assert (outcome.status, outcome.reason.split(":")[0]) == ("rejected", "name")


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the peak of a process is read from /proc")
def test_two_hours_stream_through_little_memory(tmp_path):
    import wave

    minute = (np.concatenate([tones([(4.2, 300), (0.8, 0)])] * 12) * 32_767).astype("<i2").tobytes()
    with wave.open(str(tmp_path / "long.wav"), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(16_000)
        for _ in range(120):
            out.writeframes(minute)
    with ParserPool(Settings(workers=1)) as pool:
        outcome = pool.parse(tmp_path / "long.wav")
        assert outcome.status == "ok", outcome.reason
        spans = _clips(outcome.parsed.facts)
        assert _covers(spans, 7_200_000) and len(spans) > 288
        (child,) = pool._live
        record = Path(f"/proc/{child.process.pid}/status").read_text()
        peak_kb = int(next(line for line in record.splitlines() if line.startswith("VmHWM")).split()[1])
        assert peak_kb < 500_000


def test_a_recording_gets_more_time_for_every_stretch_of_it(tmp_path, monkeypatch):
    """Stretches of one second instead of half an hour: as many times anew as were decoded, and for the words of each."""
    monkeypatch.setattr(patience, "STRETCH_S", 1)
    path = tmp_path / "talk.mp4"
    write_video(path, [(2.0, _slide("ONE", (0, 0, 90))), (2.3, _slide("TWO", (90, 0, 0)))])
    renewed = []
    with patience.renewing(lambda: renewed.append(1)):
        parsed = recording.load_recording(path, "video/mp4", Limits(seconds=1.0), True)
    assert patience.stretches(4.3) == 5
    assert 4 + 1 <= len(renewed) <= 4 + 5, "four were read to their end, and then words in at most five parts"
    assert len(parsed.pages) == 2


def test_a_parser_that_asks_for_time_without_end_is_ended(tmp_path, monkeypatch):
    """A parser has read a stranger's file: what it asks for is counted."""
    path = tmp_path / "long.wav"
    write_sound(path, tones([(1.0, 440.0)]))
    monkeypatch.setattr("mmkg.ingest.child.Child.answer", lambda child: ({"renew": True}, []))
    with ParserPool(Settings(workers=1)) as pool:
        outcome = pool.parse(path)
    assert outcome.status == "rejected"
    assert outcome.reason.startswith("crash")
