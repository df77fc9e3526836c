"""A base brought over to another encoder: the old space serves until the commit, a stop loses nothing, and the result is a fresh base's."""

from __future__ import annotations

import io
import os
import signal
import sqlite3
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from mmkg import reindexing
from mmkg.config import Settings
from mmkg.encode.bridge import BridgeEncoder, bridge_space
from mmkg.encode.onnx_format import Graph
from mmkg.errors import EncodeError, EncoderMismatchError
from mmkg.extract.names import NameExtractor
from mmkg.kb import KnowledgeBase
from mmkg.store.folder.coming import FolderComing
from mmkg.store.folder.doctor import is_problem
from mmkg.testing.encoders import HashingEncoder
from mmkg.types import Modality

FILES = {
    "tower.md": "# Tamar Light\n\nTamar Light was designed by Elias Crane in 1871. It stands on Penrock Head.\n",
    "crane.md": "# Elias Crane\n\nElias Crane was born in Port Ferren. He built three lighthouses.\n",
    "ferren.md": "# Port Ferren\n\nPort Ferren lies on the river Aune.\n\n## Harbour\n\nIt has a long quay.\n",
}
QUESTIONS = ("Who designed Tamar Light?", "long quay", "river")


def other(**options):
    return HashingEncoder(**{"name": "other", "dim": 32, **options})


def impostor():
    """Other vectors under the same name and revision."""
    return other(seed=9)


def coming(kb):
    """Rows of a reindex that has not changed over."""
    with sqlite3.connect(kb.root / "ledger.sqlite") as db:
        there = db.execute("SELECT 1 FROM sqlite_master WHERE name = 'coming'").fetchone()
        return db.execute("SELECT count(*) FROM coming").fetchone()[0] if there else 0


def opened(place, encoder):
    return KnowledgeBase(
        place,
        settings=Settings(workers=1, image_encoder="none", batch_units=2),
        text_encoder=encoder,
        extractor=NameExtractor(),
    )


@pytest.fixture
def files(write, tmp_path):
    for name, text in FILES.items():
        write(name, text)
    return tmp_path / "files"


def problems(kb):
    """What doctor finds, but for replaced files: whether they are old enough to be swept hangs on the machine's pace."""
    return [p for p in kb.doctor() if is_problem(p)]


def spaces(kb):
    """Of words: the space of sounds hangs on no text encoder and stays."""
    return [key for key in kb.stats()["spaces"] if "logmel" not in key]


def found(kb):
    return [e for q in QUESTIONS for e in kb.search(q, k=5)]


def as_fresh(kb, files, fresh_place):
    """Digest, spaces, evidence and doctor are those of a base made with the new encoder."""
    with opened(fresh_place, other()) as fresh:
        fresh.add(files)
        assert kb.digest() == fresh.digest()
        assert kb.stats()["spaces"] == fresh.stats()["spaces"]
        assert spaces(kb) == ["other@1"]
        assert found(kb) == found(fresh)
        assert kb.index().spaces() == ("other@1",)
    assert not problems(kb)


def test_the_result_is_that_of_a_fresh_base(files, tmp_path) -> None:
    encoder = other()
    with opened(tmp_path / "kb", HashingEncoder()) as kb:
        kb.add(files)
        before = kb.digest()
        planned = kb.reindex(encoder, dry_run=True)
        assert spaces(kb) == ["hashing@1"] and kb.digest() == before, "a dry run writes nothing"
        assert planned.dry_run and planned.texts > planned.units > 0 and planned.n_bytes == 4 * 32 * planned.texts
        done = kb.reindex(encoder)
        assert (done.texts, done.units, done.n_bytes) == (planned.texts, planned.units, planned.n_bytes)
        assert set(done.before) - set(done.after) == {"hashing@1"} and set(done.after) - set(done.before) == {"other@1"}
        as_fresh(kb, files, tmp_path / "fresh")
        assert not {s for (s,) in kb._read().rows("SELECT DISTINCT space FROM output")} - {"other@1"}
        n = encoder.n_encoded
        again = kb.reindex(encoder)
        assert again.texts == 0 and encoder.n_encoded <= n + 4, "only the probes, to see that it is the same space"
        kb.add_text("# New\n\nA new note on Tamar Light.\n", name="new")
        assert not problems(kb)
    with opened(tmp_path / "kb", HashingEncoder()) as kb, pytest.raises(EncoderMismatchError, match="mmkg reindex"):
        kb.search("light")


def test_the_old_space_serves_until_the_end(files, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(reindexing, "BATCH", 1)
    with opened(tmp_path / "kb", HashingEncoder()) as kb, opened(tmp_path / "kb", HashingEncoder()) as reader:
        kb.add(files)
        want = found(reader)
        seen = []
        kb.reindex(other(), progress=lambda p: seen.append(found(reader) == want and reader.index().spaces()))
        assert len(seen) >= len(FILES)
        assert set(seen) == {("hashing@1",)}


def test_a_failing_encoder_leaves_a_base_that_serves(files, tmp_path, monkeypatch) -> None:
    """And what `add` and `rebuild` do in between does not mix the spaces."""
    monkeypatch.setattr(reindexing, "BATCH", 1)
    encoder = other()
    with opened(tmp_path / "kb", HashingEncoder()) as kb:
        kb.add(files)
        encode, left = encoder.encode_document, [2]

        def failing(items, **options):
            if len(items) != 4:  # not the probes
                left[0] -= 1
            if left[0] < 0:
                raise EncodeError("out of memory")
            return encode(items, **options)

        monkeypatch.setattr(encoder, "encode_document", failing)
        with pytest.raises(EncodeError, match="out of memory"):
            kb.reindex(encoder)
        assert kb.index().spaces() == ("hashing@1",)
        (files / "more.md").write_text("# More\n\nMore words on the quay.\n")
        kb.add(files)
        kb.rebuild()
        assert kb.index().spaces() == ("hashing@1",)
        assert not problems(kb), "an unfinished reindex is no damage"
        monkeypatch.setattr(encoder, "encode_document", encode)
        assert kb.reindex(encoder).held > 0
        as_fresh(kb, files, tmp_path / "fresh")


def test_going_back_forgets_what_a_stopped_run_left(files, tmp_path, monkeypatch) -> None:
    own, encoder = HashingEncoder(), other()
    with opened(tmp_path / "kb", own) as kb:
        kb.add(files)
        change_over = FolderComing.change_over

        def stopped(*_, **__):
            raise KeyboardInterrupt

        monkeypatch.setattr(FolderComing, "change_over", stopped)
        with pytest.raises(KeyboardInterrupt):
            kb.reindex(encoder)
        monkeypatch.setattr(FolderComing, "change_over", change_over)
        assert coming(kb) > 0
        assert kb.index().spaces() == ("hashing@1",)
        assert kb.reindex(own).texts == 0
        assert spaces(kb) == ["hashing@1"]
        assert not {s for (s,) in kb._read().rows("SELECT DISTINCT space FROM output")} - {"hashing@1"}
        assert not coming(kb)
        assert not problems(kb)


def test_what_is_removed_meanwhile_leaves_no_vector(files, tmp_path, monkeypatch) -> None:
    with opened(tmp_path / "kb", HashingEncoder()) as kb:
        kb.add(files)
        with monkeypatch.context() as patch:
            patch.setattr(FolderComing, "change_over", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt()))
            with pytest.raises(KeyboardInterrupt):
                kb.reindex(other())
        held = coming(kb)
        (files / "crane.md").unlink()
        kb.remove(files / "crane.md", purge=True)
        assert 0 < coming(kb) < held
        kb.reindex(other())
        as_fresh(kb, files, tmp_path / "fresh")


def test_another_model_of_the_same_name_does_not_go_on(files, tmp_path, monkeypatch) -> None:
    """Two models that call their space alike: the vectors of one are not joined with those of the other."""
    with opened(tmp_path / "kb", HashingEncoder()) as kb:
        kb.add(files)
        with monkeypatch.context() as patch:
            patch.setattr(FolderComing, "change_over", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt()))
            with pytest.raises(KeyboardInterrupt):
                kb.reindex(impostor())
        assert kb.reindex(other()).held == 0
        as_fresh(kb, files, tmp_path / "fresh")


class Eyes(HashingEncoder):
    """An encoder of pictures with a space of its own."""

    def __init__(self):
        super().__init__(name="eyes", dim=16, modalities=frozenset({Modality.IMAGE}))


def bridge_to(text):
    """A label bridge into the space of a text encoder, with a network of a few numbers."""
    graph, rng = Graph(), np.random.default_rng(0)
    mean = graph.node("Flatten", graph.node("GlobalAveragePool", "pixels"))
    outs = [
        graph.node(
            "Gemm",
            mean,
            graph.constant(rng.standard_normal((n, 3)).astype(np.float32)),
            graph.constant(np.ones(n, dtype=np.float32)),
            transB=1,
        )
        for n in (1000, 1280)
    ]
    network = graph.model(
        "tiny", inputs={"pixels": ("n", 3, 224, 224)}, outputs={outs[0]: ("n", 1000), outs[1]: ("n", 1280)}
    )
    labels = text.encode_document([f"label {i}" for i in range(1000)])
    return BridgeEncoder(bridge_space(text.space), network, labels, threads=1)


def test_pictures_follow_the_words_and_others_stay(files, tmp_path, monkeypatch) -> None:
    """The label bridge lies in the space of the words; prints, and spaces of pictures with an encoder of their own, do not."""
    for i, colour in enumerate([(200, 10, 10), (10, 200, 10), (10, 10, 200), (200, 10, 12)]):
        info, out = PngImagePlugin.PngInfo(), io.BytesIO()
        info.add_itxt("Description", f"picture {i} of Tamar Light")
        Image.new("RGB", (32, 32), colour).save(out, "PNG", pnginfo=info)
        (files / f"p{i}.png").write_bytes(out.getvalue())

    def made(place, text):
        settings = Settings(workers=1, ocr=False, speech="none", sound_encoder="none", image_encoder="default,eyes")
        return KnowledgeBase(place, settings=settings, text_encoder=text, extractor=NameExtractor())

    def by_setting(settings, text):
        return (bridge_to(text), Eyes())

    def rows(kb, sql):
        return sorted(map(tuple, kb._read().rows(sql)))

    monkeypatch.setattr("mmkg.seeing.load_image_encoders", by_setting)
    new = other(dim=64, revision="2", seed=3)
    stay = "SELECT key, space, data FROM output WHERE space LIKE 'mmkg-print%' OR space LIKE 'eyes%'"
    edges = "MATCH (a:Image)-[r:SIMILAR|DEPICTS]->(b) RETURN a.id AS a, b.id AS b, r.score AS score ORDER BY a, b"
    with made(tmp_path / "kb", HashingEncoder(dim=64)) as kb, made(tmp_path / "fresh", new) as fresh:
        kb.add(files)
        kept = rows(kb, stay)
        assert len(kept) >= 8
        planned = kb.reindex(new, dry_run=True)
        done = kb.reindex(new)
        assert planned.pictures == done.pictures == 4
        assert rows(kb, stay) == kept
        fresh.add(files)
        assert kb.digest() == fresh.digest()
        assert kb.stats()["spaces"] == fresh.stats()["spaces"]
        everything = "SELECT key, space, n, data FROM output"
        assert rows(kb, everything) == rows(fresh, everything), "the prompts too"
        assert kb.cypher(edges).rows == fresh.cypher(edges).rows
        assert not problems(kb)


KILLED = """
import sys
from mmkg import reindexing
sys.path.insert(0, sys.argv[2])
from test_reindex import HashingEncoder, opened, other
reindexing.BATCH = 1
with opened(sys.argv[1], HashingEncoder()) as kb:
    kb.reindex(other())
"""


@pytest.mark.parametrize("point", ["coming-begun", "coming-kept:3", "rebuild-committed"])
def test_killed_and_run_again(files, tmp_path, point) -> None:
    with opened(tmp_path / "kb", HashingEncoder()) as kb:
        kb.add(files)
    here = os.path.dirname(__file__)
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path / "kb"), here],
        env={**os.environ, "MMKG_FAILPOINT": point},
        capture_output=True,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    encoder = HashingEncoder() if point.startswith("coming") else other()
    with opened(tmp_path / "kb", encoder) as kb:
        assert found(kb)
        assert {p.kind for p in problems(kb)} <= {"manifest-differs"}, "a copy for people, which the next writer mends"
        done = kb.reindex(other())
        assert (done.held > 0) == (point != "coming-begun")
        as_fresh(kb, files, tmp_path / "fresh")


@pytest.mark.neo4j
def test_on_a_server(files, tmp_path, neo4j_url, monkeypatch) -> None:
    monkeypatch.setenv("MMKG_CACHE", str(tmp_path / "cache"))
    place = f"{neo4j_url}?media={(tmp_path / 'media').as_uri()}"
    with opened(place, HashingEncoder()) as kb:
        kb.add(files)
        before = kb.digest()
        assert "other@1" in kb.reindex(other()).after
        assert kb.digest() == before
        assert not problems(kb)
        with opened(tmp_path / "fresh", other()) as fresh:
            fresh.add(files)
            assert [e.id for e in found(kb)] == [e.id for e in found(fresh)]
            assert kb.stats()["spaces"] == fresh.stats()["spaces"]
        left = kb._read().connection.rows("MATCH (o:_Output) RETURN DISTINCT o._space AS space")
        assert [row["space"] for row in left] == ["other@1"]
