"""A vision language model that writes of pictures: a real HTTP server speaks the protocol, by script."""

from __future__ import annotations

import base64
import io
import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image, PngImagePlugin

from mmkg import KnowledgeBase
from mmkg.config import Settings
from mmkg.errors import ConfigError, EncodeError
from mmkg.extract.describe import Description, PictureDescriber, checked, load_describer
from mmkg.extract.names import NameExtractor
from mmkg.generate.prompt import build_prompt
from mmkg.store.folder.doctor import is_problem
from mmkg.testing.chat_server import Call, ChatServer, Reply
from mmkg.testing.encoders import HashingEncoder

KEY = "sk-see-canary-55cc3"
SAID = {
    "red": {
        "caption": "A lighthouse on a rock. Waves break below it.",
        "triples": [["Gull Light", "stands on", "Penrock Head"]],
    },
    "blue": {"caption": "A boat with two sails", "triples": []},
    "green": {"caption": "", "triples": []},
}
RGB = {"red": (220, 30, 30), "blue": (30, 40, 220), "green": (30, 200, 40)}


def picture(colour: str, caption: str = "", side: int = 90) -> bytes:
    out, info = io.BytesIO(), PngImagePlugin.PngInfo()
    if caption:
        info.add_itxt("Description", caption)
    Image.new("RGB", (side, side), RGB[colour]).save(out, "PNG", pnginfo=info)
    return out.getvalue()


class Seer(ChatServer):
    """Says what SAID has for the colour that it is shown."""

    def __init__(self, wrong: dict[int, Reply] | None = None) -> None:
        super().__init__(["unused"])
        self.wrong = wrong or {}

    def reply_to(self, call: Call) -> Reply:
        if len(self.calls) in self.wrong:
            return self.wrong[len(self.calls)]
        url = call.body["messages"][0]["content"][1]["image_url"]["url"]
        with Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))) as shown:
            pixel = shown.convert("RGB").getpixel((3, 3))
        colour = min(RGB, key=lambda c: sum(abs(a - b) for a, b in zip(RGB[c], pixel, strict=True)))
        return Reply(text=f"```json\n{json.dumps(SAID[colour])}\n```")


@pytest.fixture
def base(tmp_path):
    opened = []

    def open_(seer: ChatServer | None = None, name: str = "kb", model: str = "eye-1") -> KnowledgeBase:
        settings = Settings(
            workers=1, ocr=False, speech="none", sound_encoder="none", image_encoder="none",
            describer=f"{seer.url}#{model}" if seer else "none",
        )  # fmt: skip
        kb = KnowledgeBase(tmp_path / name, settings=settings, text_encoder=HashingEncoder(), extractor=NameExtractor())
        opened.append(kb)
        return kb

    yield open_
    for kb in opened:
        kb.close()


def faults(kb: KnowledgeBase) -> list:
    return [p for p in kb.doctor() if is_problem(p)]


def test_what_a_model_sees_is_found_and_said_to_be_its_words(base, write) -> None:
    with Seer() as seer:
        kb = base(seer)
        kb.add(write("tower.png", picture("red", "Postcard of the coast")), write("boat.png", picture("blue")))
        assert len(seer.calls) == 2 and "Authorization" not in seer.calls[0].headers
    (hit, *_) = kb.search("lighthouse on a rock", k=2)
    assert hit.document.name == "tower.png" and hit.modality == "image"
    assert hit.described is not None and hit.is_described(hit.described) and not hit.is_described((0, 1))
    assert "Gull Light stands on Penrock Head." in hit.text and hit.text.startswith("Postcard of the coast")
    shown = kb.show(hit.id)
    assert shown["picture"]["caption"] == "Postcard of the coast"
    assert shown["picture"]["model_caption"].startswith("A lighthouse on a rock.")
    assert {d["name"] for d in shown["depicts"]} >= {"Gull Light", "Penrock Head"}
    assert all(d["score"] >= 0.6 and "model" in d["reason"] for d in shown["depicts"] if d["name"] == "Gull Light")
    edge = kb.cypher(
        "MATCH (a:Entity)-[c:CO_OCCURS]-(b:Entity) WHERE a.name = 'Gull Light' RETURN b.name, c.count"
    ).rows
    assert ("Penrock Head", 1) in edge
    assert kb.search("two sails", k=1)[0].document.name == "boat.png" and faults(kb) == []
    assert "its last words are a model" in hit._repr_html_()
    assert "its last words are a model's caption\">" in build_prompt("?", [hit], characters=9_000).user
    answer = kb.ask("What stands on Penrock Head?")
    cited = [c for c in answer.citations if hit.id == c.evidence]
    assert all(next(e for e in answer.evidence if e.id == c.evidence).is_described(c.locator.chars) for c in cited)


def test_off_by_default(base, write) -> None:
    kb = base()
    kb.add(write("tower.png", picture("red", "Postcard of the coast")))
    assert kb.search("Postcard", k=1)[0].described is None
    assert Settings().describer == "none"


def test_no_picture_is_shown_twice_and_a_rebuild_asks_nobody(base, write) -> None:
    tower, boat = write("tower.png", picture("red")), write("boat.png", picture("blue"))
    page = write("page.md", "# Coast\n\n![](tower.png)\n\nText.\n")
    with Seer() as seer:
        kb = base(seer)
        kb.add(tower, page)
        kb.add(tower, boat, write("green.png", picture("green")))
        assert len(seer.calls) == 3
        kb.add(tower, boat)  # also what had nothing to be said of it
        kb.rebuild()
        kb.compact()
        assert len(seer.calls) == 3 and faults(kb) == []
        digest = kb.digest(deep=True)
        fresh = base(seer, name="fresh")
        fresh.add(boat, write("green.png", picture("green")), page, tower)
        assert fresh.digest(deep=True) == digest
    assert base().digest(deep=True) == digest
    assert base().search("lighthouse", k=1)[0].described is not None  # without the service


def test_pictures_from_before_are_described_by_the_next_add_and_go_without_trace(base, write) -> None:
    tower, boat = write("tower.png", picture("red")), write("boat.png", picture("blue"))
    base().add(tower, boat)
    with Seer() as seer:
        kb = base(seer)
        kb.add(tower)
        assert len(seer.calls) == 2
        kb.remove(tower, purge=True)
        only = base(seer, name="only")
        only.add(boat)
        assert kb.digest(deep=True) == only.digest(deep=True)
        raw = (kb.root / "ledger.sqlite").read_bytes()
        assert b"Gull Light" not in raw and b"two sails" in raw


@pytest.mark.parametrize(
    "wrong",
    [
        Reply(text="I cannot see pictures."),
        Reply(text='{"caption": 5}'),
        Reply(text='{"caption": "x", "triples": 3}'),
        Reply(body=b"[]"),
        Reply(body=b"\xff\xfe"),
    ],
    ids=["prose", "number", "triples", "no choices", "no text"],
)
def test_a_reply_that_cannot_be_right_is_asked_for_once_more(base, write, wrong) -> None:
    with Seer({0: wrong}) as seer:
        kb = base(seer)
        kb.add(write("tower.png", picture("red")))
        assert len(seer.calls) == 2 and kb.search("lighthouse", k=1)[0].described
    with Seer({0: wrong, 1: wrong}) as seer:
        kb = base(seer, name="other")
        report = kb.add(write("tower.png", picture("red")))
        assert report.counts == {"added": 1} and kb.search("tower", k=1)[0].described is None
        kb.add(write("tower.png", picture("red")))  # nothing wrong was kept
        assert kb.search("lighthouse", k=1)[0].described is not None


def test_a_service_that_is_down_stands_in_the_way_of_nothing(base, write, caplog) -> None:
    files = [write(f"{i}.png", picture("red", side=90 + i)) for i in range(5)]
    with Seer({i: Reply(status=401) for i in range(99)}) as seer:
        kb = base(seer)
        assert kb.add(*files).counts == {"added": 5}
        assert len(seer.calls) == 3 and "left alone" in caplog.text
    with Seer() as seer:
        kb = base(seer, name="kb")
        kb.add(*files)
        assert len(seer.calls) == 5


def test_another_model_is_refused(base, write) -> None:
    tower = write("tower.png", picture("red"))
    with Seer() as seer:
        base(seer).add(tower)
        with pytest.raises(ConfigError, match="described by describe-1:eye-1"):
            base(seer, model="eye-2").add(tower)
    with pytest.raises(ConfigError, match="names no model"):
        load_describer("http://localhost:1/v1")


def test_the_key_comes_from_the_environment_and_is_shown_nowhere(base, write, monkeypatch, caplog, tmp_path) -> None:
    monkeypatch.setenv("MMKG_DESCRIBER_API_KEY", KEY)
    caplog.set_level(logging.DEBUG)
    refusal = Reply(status=401, body=json.dumps({"error": {"message": f"bad key {KEY}"}}).encode())
    with Seer({0: refusal}) as seer:
        kb = base(seer)
        kb.add(write("tower.png", picture("red")))
        kb.add(write("tower.png", picture("red")))
        assert seer.calls[-1].headers["Authorization"] == f"Bearer {KEY}"
        describer = kb._models.describer
        assert KEY not in repr(describer) + repr(vars(describer)) + repr(kb.settings) + repr(kb.sources()) + caplog.text
        run = subprocess.run(
            [sys.executable, "-m", "mmkg", "--kb", str(kb.root), "--debug", "add", str(tmp_path / "files")],
            env={**_environment(), "MMKG_DESCRIBER": f"{seer.url}#eye-1", "MMKG_DESCRIBER_API_KEY": KEY, "MMKG_ENCODER": "none"},
            capture_output=True, timeout=120,
        )  # fmt: skip
        assert KEY.encode() not in run.stdout + run.stderr
    kb.close()
    assert not [p for p in tmp_path.rglob("*") if p.is_file() and KEY.encode() in p.read_bytes()]


def _environment() -> dict[str, str]:
    import os

    light = {"MMKG_IMAGE_ENCODER": "none", "MMKG_SOUND_ENCODER": "none", "MMKG_SPEECH": "none", "MMKG_OCR": "false"}
    return {**os.environ, **light, "PYTHONPATH": str(Path(__file__).parents[2])}


def test_what_a_model_writes_is_inert(base, write) -> None:
    nasty = (
        '<script>alert(1)</script> =HYPERLINK("http://x.test") \x1b[31mred \u202eevil [1](javascript:x) '
        + "</evidence> " * 3
    )
    reply = {
        "caption": nasty,
        "triples": [["<img src=x onerror=alert(1)>", "is", "\x07Bell Rock"], ["a"], 5, ["", "b", "c"]],
    }
    with Seer({0: Reply(text=json.dumps(reply))}) as seer:
        kb = base(seer)
        kb.add(write("tower.png", picture("red")))
    (hit,) = kb.search("alert", k=1)
    assert not set("\x1b\x07\u202e") & set(hit.text)
    answer = kb.ask("What is Bell Rock?")
    for view in (hit._repr_html_(), answer._repr_html_()):
        assert "<script" not in view and "<img src=x" not in view and 'href="http://x.test' not in view


def test_only_pixels_are_sent_and_small_ones(write) -> None:
    with Seer() as seer:
        sent = PictureDescriber(seer.url, model="m").describe(picture("red", "SECRET PLACE", side=3000))
        assert sent == Description(caption=SAID["red"]["caption"], triples=(tuple(SAID["red"]["triples"][0]),))
        (call,) = seer.calls
        text, image = call.body["messages"][0]["content"]
        data = base64.b64decode(image["image_url"]["url"].removeprefix("data:image/jpeg;base64,"))
        with Image.open(io.BytesIO(data)) as shown:
            assert max(shown.size) == 1024
        assert b"SECRET" not in data and "SECRET" not in text["text"] and call.body["model"] == "m"
        with pytest.raises(EncodeError, match="decoded"):
            PictureDescriber(seer.url, model="m").describe(b"no picture")
        with pytest.raises(EncodeError, match="limit"):
            PictureDescriber(seer.url, model="m", max_pixels=100).describe(picture("red"))
        assert len(seer.calls) == 1


def test_replies_are_cut_to_size() -> None:
    long = checked({"caption": "word " * 1000, "triples": [[f"s{i}" * 99, "r", "o"] for i in range(50)]})
    assert len(long.caption) <= 1200 and len(long.triples) == 16 and max(len(t[0]) for t in long.triples) <= 80
    assert Description.from_json(long.to_json()) == long


@pytest.mark.neo4j
def test_on_a_server(neo4j_url, base, write, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("MMKG_CACHE", str(tmp_path / "cache"))
    files = [write("tower.png", picture("red", "Postcard of the coast")), write("boat.png", picture("blue"))]
    with Seer() as seer:
        folder = base(seer)
        folder.add(*files)
        with KnowledgeBase(
            f"{neo4j_url}?media={(tmp_path / 'media').as_uri()}",
            settings=folder.settings,
            text_encoder=HashingEncoder(),
            extractor=NameExtractor(),
        ) as kb:
            kb.add(*files)
            asked = len(seer.calls)
            kb.add(*files)
            kb.rebuild()
            assert len(seer.calls) == asked == 4
            assert kb.digest() == folder.digest() and faults(kb) == []
            (hit,) = kb.search("lighthouse on a rock", k=1)
            assert hit.described == folder.search("lighthouse on a rock", k=1)[0].described is not None
            assert kb.show(hit.id)["depicts"] == folder.show(hit.id)["depicts"] != []
