"""A whole base on a real Neo4j server: the same files give the same digest, evidence and answers as in a folder."""

from __future__ import annotations

import dataclasses
import functools
import shutil
import threading

import pytest

from mmkg.config import Settings
from mmkg.errors import ConfigError, NotFoundError, StoreDamagedError, StoreError
from mmkg.extract.names import NameExtractor
from mmkg.kb import KnowledgeBase
from mmkg.store.neo4j.ddl import HIDDEN
from mmkg.testing.encoders import HashingEncoder

pytestmark = pytest.mark.neo4j

FILES = {
    "ada.md": "# Ada Lovelace\n\nAda Lovelace wrote notes on the Analytical Engine (AE) in London.\n\n"
    "## Letters\n\nShe wrote to Charles Babbage from Ockham Park in 1843.\n",
    "babbage.md": "# Charles Babbage\n\nCharles Babbage designed the Analytical Engine. He lived in London.\n",
    "engine.txt": "The machine that Charles Babbage drew was never finished. Per Scheutz of Stockholm built another in 1843.\n",
    "park.md": "# Ockham Park\n\nOckham Park is a house in Surrey. Ada Lovelace lived there.\n",
}


@pytest.fixture
def open_kb(open_kb):
    """Small batches: several commits for a few files."""
    return functools.partial(open_kb, batch_units=2)


@pytest.fixture
def files(write, tmp_path):
    for name, text in FILES.items():
        write(name, text)
    return tmp_path / "files"


def test_same_files_same_digest_evidence_and_rows(open_kb, files, tmp_path) -> None:
    """Four documents in several commits, so that titles find old text; then an update, a rename and two removals."""
    server, folder = open_kb(), open_kb(tmp_path / "kb")
    assert not server.exists()

    def both(call):
        here, there = call(folder), call(server)
        assert there == here
        return there

    for kb in (folder, server):
        report = kb.add(files)
        assert report.counts == {"added": 4}
    both(lambda kb: kb.digest())
    assert server.digest(deep=True) == server.digest()
    both(lambda kb: [e for q in ("analytical engine", "who lived in Ockham Park") for e in kb.search(q, k=5)])
    both(lambda kb: kb.documents())
    both(lambda kb: kb.sources())
    both(lambda kb: str(kb.path("Ada Lovelace", "Surrey")))
    for name in ("Ada Lovelace", "ada.md", "Charles Babbage"):
        both(lambda kb, name=name: kb.show(name))
    answer = both(lambda kb: kb.ask("Who designed the Analytical Engine?").text)
    assert "Charles Babbage" in answer
    both(
        lambda kb: sorted(
            kb.cypher(
                "MATCH (u:Unit)-[m:MENTIONS]->(e:Entity) RETURN u.id AS u, e.id AS e, m.count AS n, m.title AS t"
            ).rows
        )
    )
    assert both(lambda kb: kb.add(files).counts) == {"unchanged": 4}

    (files / "ada.md").write_text("# Ada King\n\nAda King was Countess of Lovelace.\n")
    (files / "park.md").rename(files / "house.md")
    both(lambda kb: sorted((r.status, r.uri) for r in kb.add(files, prune=True).documents))
    both(lambda kb: kb.digest())
    both(lambda kb: [e.id for e in kb.search("house in Surrey", k=5)])
    both(lambda kb: sorted(r.uri for r in kb.remove("babbage.md", "house.md")))
    both(lambda kb: kb.digest())
    both(lambda kb: [e.id for e in kb.search("house in Surrey", k=5)])
    assert both(lambda kb: kb.stats()["documents"]) == 2

    never = open_kb(tmp_path / "never")
    never.add(files / "ada.md", files / "engine.txt")
    assert server.digest() == never.digest()
    server.rebuild()
    assert server.digest() == never.digest()


def test_tags_and_filters_are_those_of_a_folder(open_kb, files, tmp_path) -> None:
    server, folder = open_kb(), open_kb(tmp_path / "kb")
    for kb in (server, folder):
        kb.add(files, tags=["project=engine"])
        kb.tag("ada.md", put={"author": "me"}, drop=["project"])
        kb.add_text("---\ndate: 2020-05-01\n---\n# A note\n\nOn the Analytical Engine.\n", name="note")
    assert server.digest() == folder.digest() == server.digest(deep=True)
    for where in (
        "tag:project=engine",
        "!tag:project",
        "kind=plain",
        "kind=text",
        ["document=*.md", "tag:author"],
        "date>=2020",
    ):
        found = [[e.id for e in kb.search("Analytical Engine", where=where, k=9)] for kb in (server, folder)]
        assert found[0] == found[1] and found[0], where
    told = [kb.search("Analytical Engine", where="kind=markdown", explain=True) for kb in (server, folder)]
    assert told[0].lists == told[1].lists and told[0].hits == told[1].hits
    server.rebuild()
    assert server.digest() == folder.digest()


def test_rows_of_our_own_stay_out_of_sight(open_kb, files) -> None:
    """Hidden rows have no relationships and no property that the graph's nodes have; nothing of a removed base is left."""
    kb = open_kb()
    kb.add(files)
    reader = kb._read()
    rows = reader.connection.rows
    for label in HIDDEN:
        assert rows(f"MATCH (n:{label})--() RETURN count(*) AS n")[0]["n"] == 0
        keys = rows(f"MATCH (n:{label}) UNWIND keys(n) AS k RETURN DISTINCT k")
        assert all(row["k"].startswith("_") for row in keys), label
    kb.remove(files)
    left = rows("MATCH (n) UNWIND labels(n) AS label RETURN DISTINCT label")
    assert {row["label"] for row in left} == {"_Store"}


def test_another_machine_needs_only_the_address(open_kb, files, tmp_path, monkeypatch) -> None:
    first = open_kb()
    first.add(files)
    monkeypatch.setenv("MMKG_CACHE", str(tmp_path / "cache of another machine"))
    second = open_kb()
    assert [e.id for e in second.search("London", k=4)] == [e.id for e in first.search("London", k=4)]
    first.add_text("Zaharoff came to London.", name="note")
    assert any("Zaharoff" in e.text for e in second.search("Zaharoff", k=3))


def test_damaged_local_arrays_are_fetched_again(open_kb, files, tmp_path) -> None:
    kb = open_kb()
    kb.add(files)
    want = [e.id for e in kb.search("Analytical Engine", k=4)]
    kb.close()
    for segment in (tmp_path / "cache").rglob("*.seg"):
        segment.write_bytes(segment.read_bytes()[:-7] + b"garbage")
    assert [e.id for e in kb.search("Analytical Engine", k=4)] == want


def test_two_writers_at_once(open_kb, files, write, tmp_path) -> None:
    """Each brings its own documents, and both one in common; a title of one is found in the text of the other."""
    for i in range(3):
        write(f"a{i}.md", f"# Person Number{i}\n\nPerson Number{i} met Gazetteer Hill.\n", folder="first")
        write(
            f"b{i}.md", f"# Gazetteer Hill\n\nNo {i}. Person Number{i} was never on Gazetteer Hill.\n", folder="second"
        )
    common = write(
        "common.md", "# Common Ground\n\nPerson Number1 and Ada Lovelace stood on Common Ground.\n", folder="third"
    )
    writers = [open_kb(), open_kb()]
    writers[0].add(files / "ada.md")  # makes the base
    reports = {}

    def run(i: int, place) -> None:
        reports[i] = writers[i].add(place, common)

    threads = [threading.Thread(target=run, args=(i, tmp_path / name)) for i, name in enumerate(("first", "second"))]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    statuses = sorted(d.status for r in reports.values() for d in r.documents)
    assert statuses.count("added") == 7 and statuses.count("unchanged") == 1, statuses
    folder = open_kb(tmp_path / "kb")
    folder.add(files / "ada.md", tmp_path / "first", tmp_path / "second", common)
    assert writers[0].digest() == folder.digest()


# ---- named errors ----


def test_foreign_nodes_are_refused_by_name(open_kb, files, neo4j_url) -> None:
    from mmkg.store.neo4j.address import Neo4jAddress
    from mmkg.store.neo4j.connection import Connection

    with Connection(Neo4jAddress.parse(neo4j_url)) as connection:
        connection.execute("CREATE (:Document {id: 'of someone else'})")
    with pytest.raises(StoreError, match="label Document that mmkg did not make"):
        open_kb().add(files)


def test_no_base_there(open_kb) -> None:
    with pytest.raises(NotFoundError, match="no knowledge base in neo4j://"):
        open_kb().search("x")


def test_media_missing_elsewhere_or_altered(open_kb, files, tmp_path) -> None:
    kb, blind = open_kb(), open_kb(media="")
    with pytest.raises(ConfigError, match="names no media"):
        blind.add(files)
    assert not kb.exists()
    kb.add(files)
    document = kb.documents()[0]["id"]
    assert kb.original(document)
    with pytest.raises(StoreError, match="no media at"):
        open_kb(media="elsewhere").original(document)
    blob = tmp_path / "media" / document[:2] / document
    blob.write_bytes(b"altered")
    with pytest.raises(StoreDamagedError, match="do not match their name"):
        kb.original(document)
    shutil.rmtree(tmp_path / "media")
    (tmp_path / "media").write_text("a file where a folder should be")
    with pytest.raises(StoreError, match="media at"):
        kb.add_text("new", name="new")


def test_without_its_media_nothing_is_written(open_kb, files, write) -> None:
    """An address that names no media reads and tags; what would keep or delete media is refused before the first row changes."""
    kb, blind = open_kb(), open_kb(media="")
    kb.add(files)
    digest = kb.digest()
    write("new.md", "# New\n\nNew York is new.\n")
    (files / "ada.md").write_text("# Ada King\n\nAda King was Countess of Lovelace.\n")
    for change in (lambda: blind.remove("park.md"), lambda: blind.add(files), lambda: blind.add_text("x", name="x")):
        with pytest.raises(ConfigError, match=r"names no media.*media=file"):
            change()
        assert kb.digest() == digest == kb.digest(deep=True)
    rows = kb._read().connection.rows
    assert rows("MATCH (d:_Document) WHERE d._state <> 'visible' RETURN count(*) AS n")[0]["n"] == 0
    assert [e.id for e in blind.search("London")] == [e.id for e in kb.search("London")]
    blind.tag("park.md", put={"seen": "yes"})
    assert [d["name"] for d in kb.documents() if kb.search("Ockham Park", where="tag:seen=yes")]
    assert [r.status for r in kb.remove("park.md")] == ["removed"]
    assert kb.doctor() == []


# ---- copy ----


def test_copy_there_and_back(open_kb, files, tmp_path, monkeypatch) -> None:
    """Folder to server to folder: digest, sources, vectors and originals; a copy that broke off goes on."""
    monkeypatch.setattr("mmkg.copying._UNITS", 1)
    first = open_kb(tmp_path / "kb")
    (files / "empty.md").write_text("")
    first.add(files)
    server, back = open_kb(), open_kb(tmp_path / "back")

    def stop(n: int, total: int) -> None:
        if n == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        first.copy_to(server, progress=stop)
    assert first.copy_to(server).copied == 1
    assert server.copy_to(back).copied == 4
    assert first.copy_to(server).copied == 0
    assert first.digest() == server.digest() == back.digest()
    assert back.sources() == server.sources() == first.sources()
    for query in ("analytical engine", "house in Surrey"):
        assert back.search(query) == server.search(query) == first.search(query)
    document = first.documents()[0]["id"]
    assert back.original(document) == first.original(document)
    assert back.doctor() == []
    other = open_kb(tmp_path / "other")
    other.add_text("Quite another text.", name="other")
    with pytest.raises(StoreError, match="the source does not"):
        other.copy_to(server)


def test_a_base_of_older_rules_is_copied_after_a_rebuild(open_kb, files, tmp_path) -> None:
    old = open_kb(tmp_path / "kb")
    old.add(files)
    with old._writer() as writer:
        writer.set_manifest(dataclasses.replace(writer.manifest, deriver="names-0"))
    with pytest.raises(StoreError, match="run `mmkg rebuild` on it first"):
        old.copy_to(open_kb())
    old.rebuild()
    assert old.copy_to(open_kb()).copied == 4


# ---- doctor ----


def test_doctor_names_and_mends(open_kb, files, tmp_path) -> None:
    kb = open_kb()
    kb.add(files)
    digest = kb.digest()
    assert kb.doctor() == []
    document = kb.documents()[0]["id"]
    connection = kb._read().connection
    for breakage in (
        "MATCH (e:Entity {id: 'charles babbage'}) SET e.df = e.df + 1",
        "MATCH (u:Chunk)-[m:MENTIONS]->(e:Entity {id: 'ada lovelace'}) DELETE m",
        "CREATE (:Entity {id: 'nobody', name: 'Nobody', kind: '', df: 1})",
        "MATCH (t:_Title {_form: 'ockham park'}) SET t._n = 7",
    ):
        connection.execute(breakage)
    (tmp_path / "media" / document[:2] / document).write_bytes(b"altered")
    stray = "ab" * 32
    (tmp_path / "media" / "ab").mkdir(exist_ok=True)
    (tmp_path / "media" / "ab" / stray).write_bytes(b"stray")
    problems = kb.doctor()
    assert {p.kind for p in problems} == {
        "graph-node-differs",
        "graph-edge-missing",
        "graph-node-extra",
        "derived-differs",
        "blob-damaged",
        "blob-unreferenced",
    }
    assert kb.digest() != digest
    assert all(p.fixed for p in kb.doctor(fix=True))
    assert kb.doctor() == []
    assert kb.digest() == digest


def test_spaces_of_pictures_and_a_fitted_bridge(neo4j_url, tmp_path, monkeypatch) -> None:
    """A second encoder of pictures comes in later; a bridge is fitted, found by a second machine, and taken out again."""
    import io

    import numpy as np
    from PIL import Image, PngImagePlugin

    from mmkg.encode.bridge import BridgeEncoder, bridge_space
    from mmkg.encode.onnx_format import Graph
    from mmkg.types import Modality

    monkeypatch.setenv("MMKG_CACHE", str(tmp_path / "cache"))
    graph, rng = Graph(), np.random.default_rng(0)
    mean = graph.node("Flatten", graph.node("GlobalAveragePool", "pixels"))
    outs = [
        graph.node(
            "Gemm",
            mean,
            graph.constant(rng.standard_normal((n, 3)).astype(np.float32)),
            graph.constant(np.zeros(n, dtype=np.float32)),
            transB=1,
        )
        for n in (1000, 1280)
    ]
    network = graph.model(
        "tiny",
        inputs={"pixels": ("n", 3, 224, 224)},
        outputs={outs[0]: ("n", 1000), outs[1]: ("n", 1280)},
    )
    text = HashingEncoder()
    labels = text.encode_document([f"label {i}" for i in range(1000)])
    bridge = BridgeEncoder(bridge_space(text.space), network, labels, threads=1)
    eyes = HashingEncoder(name="eyes", modalities=frozenset({Modality.IMAGE}))
    folder = tmp_path / "pictures"
    folder.mkdir()
    for i in range(22):
        info, colour = PngImagePlugin.PngInfo(), [(200, 10, 10), (10, 10, 200)][i % 2]
        info.add_itxt("Description", f"something {'red' if i % 2 == 0 else 'blue'} called thing{i}")
        out = io.BytesIO()
        Image.new("RGB", (20, 20), tuple(c + i for c in colour)).save(out, "PNG", pnginfo=info)
        (folder / f"{i}.png").write_bytes(out.getvalue())

    def open_(*encoders) -> KnowledgeBase:
        return KnowledgeBase(
            f"{neo4j_url}?media={(tmp_path / 'media').as_uri()}",
            settings=Settings(workers=1, ocr=False, sound_encoder="none", speech="none"),
            text_encoder=text,
            image_encoder=encoders,
            extractor=NameExtractor(),
        )

    with open_(bridge) as kb:
        kb.add(folder)
        digest = kb.digest()
    with open_(bridge, eyes) as kb:
        kb.add(folder)
        images = np.flatnonzero(kb.index().unit_modality == 1)
        assert np.linalg.norm(kb.index().unit_vectors(eyes.space.key, images), axis=1).min() > 0.9
        report = kb.train_bridge(force=True)
        assert (report.pictures, report.space in kb.stats()["spaces"]) == (22, True)
        assert kb.digest() == digest
    with open_(bridge, eyes) as other:
        assert report.space in {f.space for f in other.retriever().fields.all}
        first = (folder / "0.png").read_bytes()
        assert other.search(image=first, k=1)[0].document.uri.endswith("/0.png")
        assert other.forget_bridge()
        assert report.space not in other.stats()["spaces"]
        assert report.space not in other.index().spaces()
        assert bridge.space.key in {f.space for f in other.retriever().fields.all}
        assert other.digest() == digest
