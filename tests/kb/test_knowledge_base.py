"""KnowledgeBase from Python: adding, searching, asking, walking; with light parts and the real store."""

from __future__ import annotations

import threading

import pytest

from mmkg.config import Settings
from mmkg.errors import ConfigError, NotFoundError, StoreError, WriteRefusedError
from mmkg.extract.names import NameExtractor
from mmkg.kb import KnowledgeBase
from mmkg.testing.encoders import HashingEncoder
from mmkg.types import Modality


def picture(colour="navy"):
    import io

    from PIL import Image

    data = io.BytesIO()
    Image.new("RGB", (64, 48), colour).save(data, "PNG")
    return data.getvalue()


def fill(folder):
    for name, content in {
        "tamar.md": "# Tamar Light\n\nTamar Light was designed by Elias Crane in 1871. It stands on Penrock Head.\n",
        "crane.md": "# Elias Crane\n\nElias Crane was born in Port Ferren. He built three lighthouses.\n",
        "ferren.md": "# Port Ferren\n\nPort Ferren lies on the river Aune.\n\n## Harbour\n\nIt has a long quay.\n",
        "sub/deep/ships.csv": "ship,home\nGrey Petrel,Port Ferren\n",
        "sea.png": picture(),
    }.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


@pytest.fixture
def folder(tmp_path):
    return fill(tmp_path / "files")


@pytest.fixture
def own(make_kb, folder):
    """A base that the test may change."""
    kb = make_kb()
    kb.add(folder)
    return kb


@pytest.fixture(scope="module")
def kb(tmp_path_factory):
    """A base to read from."""
    root = tmp_path_factory.mktemp("shared")
    settings = Settings(workers=1, image_encoder="none")
    with KnowledgeBase(root / "kb", settings=settings, text_encoder=HashingEncoder(), extractor=NameExtractor()) as kb:
        kb.add(fill(root / "files"))
        yield kb


def names(kb):
    return sorted(u.rsplit("/", 1)[-1] for d in kb.documents() for u in d["uris"])


# ---- opening ----


def test_open_makes_nothing_until_something_is_added(tmp_path):
    settings = Settings(encoder="none", image_encoder="none")
    with KnowledgeBase.open(tmp_path / "kb", settings=settings) as kb:
        assert not kb.exists() and not (tmp_path / "kb").exists()
        for read in (kb.documents, kb.stats, kb.digest, lambda: kb.search("x"), lambda: kb.cypher("RETURN 1")):
            with pytest.raises(NotFoundError, match="mmkg add"):
                read()
    with pytest.raises(NotFoundError):
        KnowledgeBase.open(tmp_path / "kb", create=False, settings=settings)


def test_a_server_address_is_refused_without_its_password():
    with pytest.raises(ConfigError, match="NEO4J_PASSWORD") as error:
        KnowledgeBase("neo4j://user:hunter2@host:7687/db")
    assert "hunter2" not in str(error.value)


def test_a_file_address_is_its_folder(kb):
    with KnowledgeBase.open(kb.root.as_uri(), create=False, settings=kb.settings) as again:
        assert again.root == kb.root and len(again.documents()) == 5


def test_a_folder_of_other_things_is_left_alone(make_kb, write, tmp_path):
    mine = [write("index/page.html", "kept", folder="site"), write("graph/a.txt", "kept", folder="site")]
    with pytest.raises(StoreError, match="no knowledge base and holds graph"):
        make_kb(tmp_path / "site").add(write("a.md", "# A\n\nWords.\n"))
    assert [p.read_text() for p in mine] == ["kept", "kept"]


def test_a_base_that_lost_its_manifest_is_not_overwritten(own, folder):
    manifest, documents = (own.root / "manifest.json").read_text(), own.documents()
    (own.root / "manifest.json").unlink()
    assert own.exists() and own.documents() == documents
    assert own.add(folder).counts == {"unchanged": 5}
    assert (own.root / "manifest.json").read_text() == manifest


# ---- adding ----


def test_files_folders_and_patterns(make_kb, folder):
    kb = make_kb()
    assert kb.add(folder / "tamar.md").counts == {"added": 1}
    assert kb.add(str(folder / "*.md")).counts == {"added": 2, "unchanged": 1}
    assert kb.add(str(folder / "**" / "*.csv")).counts == {"added": 1}
    assert kb.add(folder, folder / "crane.md").counts == {"added": 1, "unchanged": 4}
    with pytest.raises(NotFoundError, match="no file matches"):
        kb.add(str(folder / "*.xyz"))
    with pytest.raises(NotFoundError, match="does not exist"):
        kb.add(folder / "tamar.md", folder / "nothing.md")


@pytest.mark.parametrize(
    ("ignore", "left"),
    [
        (["*.png", "*.csv"], ["crane.md", "ferren.md", "tamar.md"]),
        (["sub"], ["crane.md", "ferren.md", "sea.png", "tamar.md"]),
        (["sub/deep/*"], ["crane.md", "ferren.md", "sea.png", "tamar.md"]),
        (["crane.md", "t*"], ["ferren.md", "sea.png", "ships.csv"]),
    ],
    ids=["names", "folder", "path", "several"],
)
def test_ignore(make_kb, folder, ignore, left):
    kb = make_kb()
    kb.add(folder, ignore=ignore)
    assert names(kb) == left


def test_hidden_files_and_the_base_itself_are_left_out_unless_named(make_kb, write):
    hidden = write(".hidden.md", "# Hidden\n\nNot listed.\n")
    folder = write("a.md", "# A\n\nWords of A.\n").parent
    kb = make_kb(folder / "kb")
    assert kb.add(folder).counts == {"added": 1}
    assert kb.add(folder).counts == {"unchanged": 1}
    assert kb.add(hidden).counts == {"added": 1}


def test_a_picture_that_goes_while_its_batch_is_named_fails_alone(tmp_path, folder):
    class Meanwhile(NameExtractor):
        """Names as ever, but another program deletes the picture just now."""

        def extract(self, texts):
            (folder / "sea.png").unlink(missing_ok=True)
            return super().extract(texts)

    settings = Settings(workers=1, image_encoder="none")
    with KnowledgeBase(tmp_path / "kb", settings=settings, text_encoder=HashingEncoder(), extractor=Meanwhile()) as kb:
        report = kb.add(folder)
        assert report.counts == {"added": 4, "failed": 1}
        (failed,) = [d for d in report.documents if d.status == "failed"]
        assert failed.uri.endswith("sea.png") and failed.reason_code == "unreadable"
        assert len(kb.documents()) == 4 and not kb.doctor()


def test_prune_drops_only_what_is_gone_under_the_folder(own, folder, write):
    outside = write("outside.md", "# Outside\n\nElsewhere.\n", folder="other")
    own.add(outside)
    outside.unlink()
    (folder / "tamar.md").unlink()
    (folder / "sub/deep/ships.csv").unlink()
    own.add(folder)
    assert "tamar.md" in names(own), "without prune, a file that is gone stays"
    report = own.add(folder / "sub", prune=True)
    assert report.counts == {"removed": 1}
    report = own.add(folder, prune=True)
    assert report.counts == {"unchanged": 3, "removed": 1}
    assert names(own) == ["crane.md", "ferren.md", "outside.md", "sea.png"]
    assert not own.cypher("MATCH (d:Document {name: 'Tamar Light'}) RETURN d.id").rows


def test_a_changed_file_is_an_update_and_an_emptied_one_goes(own, folder, write):
    write("tamar.md", "# Tamar Light\n\nTamar Light burned down in 1950.\n")
    assert own.add(folder).counts == {"updated": 1, "unchanged": 4}
    assert "1950" in own.search("Tamar Light burned")[0].text
    assert not any("1871" in h.text for h in own.search("Tamar Light 1871"))
    write("tamar.md", "")
    assert own.add(folder).counts == {"unchanged": 4, "empty": 1}
    assert "tamar.md" not in names(own)


def test_one_bad_file_keeps_what_was_read_before_and_stops_no_other(own, folder, write):
    write("tamar.md", b"\x00\x01\x02\x03" * 500)
    write("new.md", "# New\n\nA new page.\n")
    report = own.add(folder)
    assert report.counts == {"added": 1, "unchanged": 4, "rejected": 1}
    assert "stays" in next(d.reason for d in report.documents if d.status == "rejected")
    assert any("1871" in h.text for h in own.search("Tamar Light"))


def test_progress_counts_every_file_once(make_kb, folder):
    seen = []
    make_kb().add(folder, progress=seen.append)
    assert [p.done for p in seen] == [1, 2, 3, 4, 5]
    assert {p.total for p in seen} == {5}
    assert all(p.eta_s is None or p.eta_s >= 0 for p in seen)


def test_text_that_is_no_file(make_kb):
    kb = make_kb()
    report = kb.add_text("# Note\n\nQuillfeather came by.\n", name="note one")
    assert (report.status, report.uri) == ("added", "text:note one")
    assert kb.add_text("# Note\n\nMarlowe came by.\n", name="note one").status == "updated"
    assert len(kb.documents()) == 1
    assert "Marlowe" in kb.search("came by")[0].text
    kb.remove("text:note one")
    assert kb.documents() == []


# ---- searching ----


def test_search_says_where_and_why(kb):
    hit = kb.search("Who built three lighthouses?", k=3)[0]
    assert hit.document.name == "Elias Crane" and hit.document.uri.endswith("/crane.md")
    assert hit.modality is Modality.TEXT and hit.channels
    original = kb.original(hit.document.id).decode()
    assert all(words in original for words in hit.text.splitlines())
    assert [h.score for h in kb.search("lighthouse", k=5)] == sorted(
        (h.score for h in kb.search("lighthouse", k=5)), reverse=True
    )


@pytest.mark.parametrize("modality", ["image", Modality.IMAGE, ["image"], ["image", "audio"]], ids=str)
def test_modality_filter(kb, modality):
    hits = kb.search("sea", k=10, modality=modality)
    assert [h.modality for h in hits] == [Modality.IMAGE], "found by the name of its file"
    assert kb.media(hits[0]) == picture()
    assert all(h.modality is Modality.TEXT for h in kb.search("sea Port Ferren", modality="text"))
    assert kb.search("sea", modality="audio") == []


def test_k_bounds_the_hits(kb):
    assert len(kb.search("Port Ferren", k=1)) == 1
    assert len(kb.search("Port Ferren", k=1000)) <= 6


def test_what_cannot_be_asked_is_refused(kb):
    for k in (0, -1):
        with pytest.raises(ValueError, match="at least 1"):
            kb.search("x", k=k)
        with pytest.raises(ValueError, match="at least 1"):
            kb.ask("x", k=k)
    for empty in ("", "  \n", None):
        with pytest.raises(ValueError, match="give a text"):
            kb.search(empty)
    with pytest.raises(ValueError, match="smell"):
        kb.search("x", modality="smell")


def test_an_empty_base_finds_nothing(make_kb, write):
    kb = make_kb()
    kb.add(write("empty.txt", ""))
    assert kb.search("anything") == []
    assert not kb.ask("Who was it?").found
    assert kb.cypher("MATCH (n) RETURN count(*) AS n").rows == ((0,),)
    assert kb.to_networkx().number_of_nodes() == 0


QUESTIONS = (
    "Who designed Tamar Light?",
    "Port Ferren",
    "Where was the designer of Tamar Light born?",
    "quay river sea",
)


def test_the_same_question_gives_the_same_order_on_any_number_of_threads(kb, make_kb):
    expected = {q: [(h.id, h.score) for h in kb.search(q, k=10)] for q in QUESTIONS}
    assert all(expected.values())
    other = make_kb(kb.root)
    got, errors = [], []

    def work(n):
        try:
            for i in range(12):
                question = QUESTIONS[(i + n) % len(QUESTIONS)]
                got.append((question, [(h.id, h.score) for h in other.search(question, k=10)]))
        except BaseException as e:
            errors.append(e)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not errors and len(got) == 48
    assert all(ids == expected[question] for question, ids in got)


# ---- asking ----


def test_ask_cites_words_that_are_there(kb):
    answer = kb.ask("Who designed Tamar Light?")
    assert answer.found and "Elias Crane" in answer.text
    evidence = {e.id: e for e in answer.evidence}
    assert answer.citations
    for citation in answer.citations:
        assert citation.quote == evidence[citation.evidence].words(citation.locator.chars)
    assert {"search", "answer"} <= set(answer.timings)


def test_ask_says_when_nothing_supports_an_answer(kb):
    answer = kb.ask("Which zeppelin sang the opera in Vienna?")
    assert not answer.found and not answer.citations


def test_a_generator_can_be_passed_in(kb):
    from mmkg.testing.generators import ScriptedGenerator

    generator = ScriptedGenerator(["It was Elias Crane [1]."])
    answer = kb.ask("Who designed Tamar Light?", generator=generator, k=2)
    assert answer.sentences[0].text.startswith("It was Elias Crane")
    assert [c.marker for c in answer.citations] == [1]
    assert len(answer.evidence) == 2


# ---- the graph ----


def test_neighbors_by_name_type_and_direction(kb):
    edges = kb.neighbors("Port Ferren", types=["MENTIONS"], direction="in")
    assert {e.type for e in edges} == {"MENTIONS"} and {e.target for e in edges} == {"port ferren"}
    assert len(edges) == 4, "two papers, the page of that title, and the table"
    assert kb.neighbors("Port Ferren", types=["MENTIONS"], direction="out") == []
    assert len(kb.neighbors("Port Ferren", limit=2)) == 2
    document = next(d["id"] for d in kb.documents() if d["name"] == "Port Ferren")
    inside = kb.neighbors(document, types=["CONTAINS"])
    assert {e.source for e in inside} == {document}
    section = next(e.target for e in inside if e.target_label == "Section")
    assert kb.neighbors(section, types=["CONTAINS"], direction="out")
    with pytest.raises(NotFoundError):
        kb.neighbors("nobody")


def test_path_between_things_that_no_page_names_together(kb):
    path = kb.path("Penrock Head", "Aune")
    assert path is not None
    assert (path.steps[0].name, path.steps[-1].name) == ("Penrock Head", "Aune")
    graph = kb.to_networkx().to_undirected(as_view=True)
    for a, b in zip(path.steps, path.steps[1:], strict=False):
        assert b.via in graph[a.id][b.id], "each step is an edge of the graph"
    assert kb.path("Penrock Head", "Aune", max_hops=1) is None
    assert [s.name for s in kb.path("Aune", "Aune").steps] == ["Aune"]


def test_networkx_is_the_graph(kb):
    graph = kb.to_networkx()
    assert graph.number_of_nodes() == kb.cypher("MATCH (n) RETURN count(*) AS n").rows[0][0]
    assert graph.number_of_edges() == kb.cypher("MATCH ()-[r]->() RETURN count(*) AS n").rows[0][0]
    assert graph.nodes["elias crane"]["label"] == "Entity"
    stats = kb.stats()
    labels = [d["label"] for _, d in graph.nodes(data=True)]
    assert labels.count("Document") == stats["documents"] == 5
    assert labels.count("Entity") == stats["entities"]
    assert labels.count("Chunk") == stats["chunks"]
    assert labels.count("Image") == stats["images"] == 1
    assert labels.count("Section") == stats["sections"]


def test_cypher_reads_only(kb):
    result = kb.cypher("MATCH (e:Entity) WHERE e.df >= $n RETURN e.name AS name ORDER BY name", {"n": 2})
    assert "Port Ferren" in [r["name"] for r in result.records()]
    before = kb.digest(deep=True)
    with pytest.raises(WriteRefusedError):
        kb.cypher("MATCH (n) DETACH DELETE n")
    assert kb.digest(deep=True) == before
    assert kb.cypher("MATCH (n) RETURN n.id", max_rows=2).truncated


# ---- telling ----


def test_show_names_things_in_every_way(kb):
    document = next(d for d in kb.documents() if d["name"] == "Port Ferren")
    for name in (document["id"], document["id"][:12], document["uris"][0], "ferren.md"):
        assert kb.show(name)["id"] == document["id"], name
    unit = kb.show(document["id"])["units"][0]
    assert kb.show(unit["id"])["kind"] == "unit"
    assert kb.show("Port Ferren")["kind"] == "entity"
    assert kb.show("ships.csv")["media_type"] == "text/csv"
    section = kb.cypher("MATCH (s:Section {heading: 'Harbour'}) RETURN s.id").rows[0][0]
    shown = kb.show(section)
    assert (shown["kind"], shown["heading"], len(shown["units"])) == ("section", "Harbour", 1)
    for name in ("", "f", "nothing.md", "erren.md", "f%n.md", "s_a.png"):
        with pytest.raises(NotFoundError):
            kb.show(name)
