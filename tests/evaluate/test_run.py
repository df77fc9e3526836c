"""Whole measurements on tiny sets: real files, loaders, base and retriever."""

import gzip
import io
import json

import pytest
from PIL import Image

from mmkg.config import Settings
from mmkg.errors import ConfigError, NotFoundError
from mmkg.evaluate import report
from mmkg.evaluate.corpus import captioned, catalogue
from mmkg.evaluate.datasets import Dataset, Passage, Picture, load
from mmkg.evaluate.run import evaluate
from mmkg.testing.encoders import HashingEncoder
from mmkg.testing.pdf_files import written_pdf

CORPUS = [
    {"id": "p1", "title": "Zed", "text": "Zed is a boat built by Ona Mole."},
    {"id": "p2", "title": "Ona Mole", "text": "Ona Mole was born in Tern in 1871."},
    {"id": "p3", "title": "Tern", "text": "Tern is a town of nets and rope."},
    {"id": "p4", "title": "Tern", "text": "Tern is a town of nets and rope."},  # the same bytes as p3
    {"id": "p5", "title": "", "text": "A passage without a title names nothing."},
]
QUESTIONS = [
    {"id": "q1", "question": "Where was the builder of Zed born?", "answers": ["Tern"], "supporting_ids": ["p1", "p2"]},
    {"id": "q2", "question": "What is Tern a town of?", "supporting_ids": ["p4"], "hops": 1, "type": "single"},
]


def write(path, rows):
    text = "".join(json.dumps(row) + "\n" for row in rows).encode()
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "boats"
    folder.mkdir()
    write(folder / "corpus.jsonl.gz", CORPUS)
    write(folder / "questions_dev.jsonl", QUESTIONS)
    return folder


@pytest.fixture(scope="module")
def encoder():
    return HashingEncoder()


@pytest.fixture
def measure(tmp_path, encoder):
    def call(source, **options):
        settings = Settings.load(workers=1, image_encoder="none", ocr=False)
        options.setdefault("text_encoder", encoder)
        return evaluate(source, cache=tmp_path / "cache", settings=settings, **options)

    return call


def test_a_set_is_measured_and_its_base_kept(folder, measure, encoder, tmp_path):
    rows = ("bm25", "dense", "rrf", "graph", "hybrid", "oracle")
    first = measure(folder, rows=rows)
    found = report.to_json(first)
    assert set(found["rows"]) == set(rows)
    assert found["rows"]["hybrid"]["recall@5"] == 1.0
    assert found["counts"]["by_hops"] == {"1": 1, "2": 1}, "hops that are not given are the number of gold ids"
    assert first.index["documents"] == 4, "equal passages are one document"
    encoded = encoder.n_encoded
    other = tmp_path / "elsewhere.jsonl.gz"
    asked = {"question": "Who built Zed?", "supporting_ids": ["p1", "gone"]}
    write(other, [asked, {"id": "x", "question": "unanswerable?", "supporting_ids": []}])
    second = measure(folder, questions=other)
    assert encoder.n_encoded < encoded + 12, "only questions and probes are encoded: the base and its vectors are kept"
    assert second.index == first.index
    assert [q.id for q in second.questions] == ["1"]
    assert second.notes == {"unknown_gold": 1, "without_gold": 1}
    assert second.values["hybrid"]["recall@5"] == [0.5], "a gold id that the corpus lacks counts as missed"
    assert report.to_json(second)["rows"].keys() == {"hybrid"}


def test_the_seed_and_the_order_do_not_change_what_is_found(folder, measure):
    one = measure(folder, rows=("bm25", "hybrid"))
    for options in ({"seed": 7}, {"protocol": "ordered"}):
        other = measure(folder, rows=("bm25", "hybrid"), **options)
        assert other.values == one.values, options
        assert other.settings["fingerprint"] != one.settings["fingerprint"]
        assert other.settings["index"] != one.settings["index"]


def test_without_titles_only_the_text_of_a_passage_comes_in(folder):
    dataset = load(folder)
    _, files = catalogue(dataset, "no-titles", 1)
    _, titled = catalogue(dataset, "shuffled", 1)
    assert [s.ids for _, s in files] == [s.ids for _, s in titled], "the same order as with them"
    texts = {p.id: p.text for p in dataset.passages}
    assert [s.data.decode() for _, s in files] == [f"{texts[s.ids[0]]}\n" for _, s in files]


def test_a_stopped_build_goes_on(folder, measure, monkeypatch):
    seen = []

    def stop(progress):
        seen.append(progress)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure(folder, progress=stop)
    assert seen
    assert measure(folder).values["hybrid"]["recall@5"] == [1.0, 1.0]
    monkeypatch.setattr("mmkg.kb.KnowledgeBase.add", None)  # a base that is there is never built again
    assert measure(folder).values["hybrid"]["recall@5"] == [1.0, 1.0]


def test_answers_and_comparison(folder, measure, tmp_path):
    measured = measure(folder, answers=True, rows=("bm25", "hybrid"))
    assert set(measured.answers) >= {"exact_match", "f1", "rouge_l", "bleu", "citation_precision", "found"}
    assert len(measured.answers["f1"]) == 1, "only questions with reference answers are asked"
    found = report.to_json(measured)
    path = report.keep(measured, found, tmp_path)
    kept = report.read_kept(path)
    assert kept["per_question"]["rows"]["bm25"]["mrr"] == measured.values["bm25"]["mrr"]
    against = report.compared(measured, kept)
    assert against["questions"] == 2 and against["rows"]["hybrid"]["recall@5"]["mean"] == 0.0
    text = report.markdown(found)
    assert "| row | recall@2 |" in text and "| hybrid - bm25 |" in text and "citation_precision" in text


def test_pictures_by_pixels_and_by_their_first_caption(tmp_path, measure):
    folder = tmp_path / "pictures"
    (folder / "images").mkdir(parents=True)
    entries = []
    for n, (colour, words) in enumerate(
        [((250, 10, 10), "A red kite over hills"), ((10, 10, 250), "Boats in a blue bay")]
    ):
        Image.new("RGB", (64, 48), colour).save(folder / "images" / f"{n}.jpg")
        entries.append({"id": f"i{n}", "file": f"images/{n}.jpg", "captions": [words, "never indexed heron"]})
    write(folder / "images.jsonl", entries)
    asked = [("blue bay with boats", "i1"), ("a kite", "i0"), ("heron", "i0")]
    write(folder / "questions.jsonl", [{"question": q, "supporting_ids": [g]} for q, g in asked])
    with_words = measure(folder, protocol="captions", rows=("bm25", "hybrid"))
    assert with_words.settings["protocol"] == "caption1+pixels"
    assert with_words.values["bm25"]["recall@1"] == [1.0, 1.0, 0.0]
    assert with_words.values["hybrid"]["recall@1"][:2] == [1.0, 1.0]
    pixels = measure(folder, rows=("bm25",))
    assert pixels.settings["protocol"] == "pixels"
    assert pixels.values["bm25"]["recall@5"] == [0.0, 0.0, 0.0], "no words of any caption are indexed"


def test_a_caption_in_the_file_leaves_the_pixels(tmp_path):
    out = io.BytesIO()
    Image.effect_noise((40, 30), 50).convert("RGB").save(out, "JPEG")
    jpeg, words = out.getvalue(), "Zwölf Boote “am Kai”"
    name, data = captioned(Picture(id="x", file=tmp_path / "x.jpg", data=jpeg), words)
    with Image.open(io.BytesIO(data)) as after, Image.open(io.BytesIO(jpeg)) as before:
        assert name == "x.jpg" and after.tobytes() == before.tobytes()
    gif = io.BytesIO()
    Image.new("P", (9, 9), 3).save(gif, "GIF")
    name, data = captioned(Picture(id="y", file=tmp_path / "y.gif", data=gif.getvalue()), words)
    with Image.open(io.BytesIO(data)) as image:
        assert (name, image.format, image.text["Description"]) == ("y.png", "PNG", words)


def test_pages_of_files(tmp_path, measure):
    folder = tmp_path / "reports"
    (folder / "pdf").mkdir(parents=True)
    (folder / "pdf" / "a.pdf").write_bytes(written_pdf([["Harbour dues rose in Tern."], ["The lamp was lit at dusk."]]))
    (folder / "pdf" / "b.pdf").write_bytes(
        written_pdf([["Nets are mended in winter."], ["The lamp was sold in spring."]])
    )
    write(folder / "documents.jsonl", [{"id": n, "file": f"pdf/{n}.pdf", "pages": 2} for n in "ab"])
    pages = [{"id": f"{n}-p{i:03d}", "title": "", "text": "", "doc_id": n, "page": i} for n in "ab" for i in (0, 1)]
    write(folder / "corpus.jsonl.gz", pages)
    asked = [
        {"question": "When was the lamp lit or sold?", "supporting_ids": ["b-p001"], "doc_id": "b"},
        {"question": "What happened to harbour dues?", "supporting_ids": ["a-p000"]},  # its file follows from the page
    ]
    write(folder / "questions_dev.jsonl", asked)
    within = measure(folder, rows=("bm25", "hybrid"))
    assert within.settings["protocol"] == "within-document"
    assert within.values["bm25"]["recall@1"] == within.values["hybrid"]["recall@1"] == [1.0, 1.0]
    assert [q.document for q in within.questions] == ["b", "a"]
    everywhere = measure(folder, protocol="all_pages", rows=("bm25",))
    assert everywhere.index["key"] == within.index["key"], "both protocols share one base"
    assert everywhere.values["bm25"]["recall@2"] == [1.0, 1.0]


def test_only_known_rows_and_protocols(folder, measure, tmp_path):
    with pytest.raises(ConfigError, match="known: bm25, dense"):
        measure(folder, rows=("bm52",))
    with pytest.raises(ConfigError, match="shuffled, ordered"):
        measure(folder, protocol="pixels")
    with pytest.raises(NotFoundError, match="--questions"):
        (folder / "questions_dev.jsonl").unlink()
        load(folder)


def test_a_list_of_one_json_document_and_odd_fields_are_read(folder, tmp_path):
    path = tmp_path / "asked.json"
    odd = [{"question": "a?", "answers": 7, "supporting_ids": "p1", "hops": None, "type": None}, {"question": "b?"}]
    path.write_text(json.dumps(odd), encoding="utf-8-sig")
    first, second = load(folder, questions=path).questions
    assert (first.id, first.gold, first.answers, first.hops, first.type) == ("1", ("p1",), ("7",), 1, "unknown")
    assert second.gold == ()


def test_a_picture_outside_the_folder_is_refused(tmp_path):
    write(tmp_path / "images.jsonl", [{"id": "x", "file": "../secret.png"}])
    with pytest.raises(Exception, match="outside the folder"):
        load(tmp_path)


def test_equal_passages_are_one_item():
    twice = Dataset(name="x", passages=tuple(Passage(id=i, title="T", text="same") for i in "ab"))
    listed, _ = catalogue(twice, "shuffled", 1)
    assert listed.gold(["a", "b", "nowhere"]) == ([0, -4], 1)
