"""Filters and tags from Python: nothing outside a filter is found, nothing inside it is lost, and tags are part of a document."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmkg.config import Settings
from mmkg.encode.spaces import PROBE_TEXTS
from mmkg.errors import FilterError, NotFoundError
from mmkg.extract.names import NameExtractor
from mmkg.kb import KnowledgeBase
from mmkg.retrieve import walk
from mmkg.testing.encoders import HashingEncoder
from mmkg.types import DocumentFacts
from mmkg.where import Profile, days_of, parse

NOTES = {
    "tower.md": "---\nauthor: Ada Crane\ndate: 2019-03-02\nkeywords: stone, light\n---\n# Tamar Light\n\nTamar Light stands on a rock.\n",
    "keeper.md": "---\nauthor: Ben Reed\ndate: 2021-07-01\nproject: sea\ntopics:\n  - rock\n  - salt water\n---\n# The keeper\n\nThe keeper of Tamar Light was Elias Crane.\n",
    "log.txt": "The light was lit every night. Elias Crane wrote it down.\n",
    "deep/ships.csv": "ship,home\nGrey Petrel,Port Ferren\nLight Wind,Tamar\n",
    "page.html": "<html lang='en'><head><title>Lamps</title><meta name='author' content='Ada Crane'></head>"
    "<body><p>A lamp gives light.</p></body></html>",
}


def picture(colour):
    from PIL import Image

    image, data = Image.new("RGB", (64, 48), colour), io.BytesIO()
    exif = image.getexif()
    exif[0x010E] = "Tamar Light at dawn, a photograph from the sea"
    exif[0x0132] = "2020:06:01 05:00:00"
    image.save(data, "JPEG", exif=exif)
    return data.getvalue()


def filled(folder):
    for name, text in NOTES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    (folder / "dawn.jpg").write_bytes(picture("orange"))
    return folder


def opened(root, **settings):
    return KnowledgeBase(
        root,
        settings=Settings(workers=1, image_encoder="none", **settings),
        text_encoder=HashingEncoder(),
        extractor=NameExtractor(),
    )


@pytest.fixture(scope="module")
def kb(tmp_path_factory):
    """A base to read from, two of its documents tagged."""
    root = tmp_path_factory.mktemp("filters")
    with opened(root / "kb") as kb:
        files = filled(root / "files")
        kb.add(files)
        kb.tag(files / "tower.md", put=["project=harbour", "year=1871"])
        kb.tag(files / "deep", put={"project": "ships"})
        yield kb


def files_of(hits):
    return sorted({h.document.uri.rsplit("/", 1)[-1] for h in hits})


ALL = ["dawn.jpg", "keeper.md", "log.txt", "page.html", "ships.csv", "tower.md"]


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("kind=markdown", ["keeper.md", "tower.md"]),
        ("kind=markdown|csv", ["keeper.md", "ships.csv", "tower.md"]),
        ("kind!=markdown", ["dawn.jpg", "log.txt", "page.html", "ships.csv"]),
        ("kind=table", ["ships.csv"]),
        ("kind=picture", ["dawn.jpg"]),
        ("kind=image/jpeg", ["dawn.jpg"]),
        ("kind=.txt", ["log.txt"]),
        ("modality=image", ["dawn.jpg"]),
        ("document=tower.md", ["tower.md"]),
        ("document=deep/", ["ships.csv"]),
        ("document=*.md", ["keeper.md", "tower.md"]),
        ("document=Lamps", ["page.html"]),
        ("document!=*.md", ["dawn.jpg", "log.txt", "page.html", "ships.csv"]),
        ("date>=2020", ["dawn.jpg", "keeper.md"]),
        ("date<2020", ["tower.md"]),
        ("date=2020-06", ["dawn.jpg"]),
        ("date=2019..2020", ["dawn.jpg", "tower.md"]),
        ("!date", ["log.txt", "page.html", "ships.csv"]),
        ("author=ada crane", ["page.html", "tower.md"]),
        ("author=ada*", ["page.html", "tower.md"]),
        ("author~REED", ["keeper.md"]),
        ("keywords=light", ["tower.md"]),
        ("project=sea", ["keeper.md"]),
        ("topics=salt water", ["keeper.md"]),
        ("author", ["keeper.md", "page.html", "tower.md"]),
        ("tag:project=harbour", ["tower.md"]),
        ("tag:project=harbour|ships", ["ships.csv", "tower.md"]),
        ("tag:project", ["ships.csv", "tower.md"]),
        ("!tag:project", ["dawn.jpg", "keeper.md", "log.txt", "page.html"]),
        ("tag:year<1900", ["tower.md"]),
        (["author=ada*", "date>2018"], ["tower.md"]),
        ({"kind": ["markdown", "csv"], "date": ">=2020"}, ["keeper.md"]),
        ("tag:project=nothing", []),
    ],
    ids=str,
)
def test_what_a_filter_lets_through(kb, where, expected) -> None:
    assert files_of(kb.search("Tamar light", where=where, k=50)) == expected
    assert files_of(kb.search("zebra unknown words", where=where, k=50, mode="dense")) == [
        f for f in expected if f in ALL
    ], "the filter restricts what is ranked, so nothing inside is lost to what is outside"


@pytest.mark.parametrize("mode", ["hybrid", "lexical", "dense", "graph"])
@pytest.mark.parametrize("effort", [0, 1])
def test_nothing_outside_appears(kb, mode, effort) -> None:
    hits = kb.search("who wrote of Tamar Light?", where="kind=markdown", mode=mode, effort=effort, k=50)
    assert set(files_of(hits)) <= {"keeper.md", "tower.md"}
    assert hits


def test_ask_takes_filters(kb) -> None:
    answer = kb.ask("Who was the keeper of Tamar Light?", where="document=keeper.md")
    assert files_of(answer.evidence) == ["keeper.md"]
    assert "Elias Crane" in answer.text


@settings(max_examples=30, deadline=None)
@given(bits=st.lists(st.booleans(), min_size=1, max_size=40), depth=st.integers(1, 12), few=st.booleans())
def test_flat_lists_are_the_whole_lists_without_what_is_outside(kb, bits, depth, few) -> None:
    """For any mask and depth: filtered = the list of everything, filtered, cut at the depth. Both ways to search."""
    view = kb.index()
    mask = np.resize(np.array(bits), view.n_units)
    query, space = kb.text_encoder.encode_query(["Tamar light on a rock"])[0], kb.text_encoder.space.key
    before, walk.FEW = walk.FEW, 10**9 if few else -1
    try:
        for whole, part in (
            (walk.by_words("Tamar light", view, None, 10**6), walk.by_words("Tamar light", view, mask, depth)),
            (
                walk.by_vector("dense", view, space, query, None, 10**6),
                walk.by_vector("dense", view, space, query, mask, depth),
            ),
        ):
            kept = whole.only(np.flatnonzero(mask[whole.units])[:depth])
            assert part.units.tolist() == kept.units.tolist()
            assert part.scores.tolist() == kept.scores.tolist()
        sentences, scores = walk.nearest_sentences(view, space, query, None, 10**6)
        inside = np.flatnonzero(mask[view.sentence_unit[sentences]])[: 4 * depth]
        found, found_scores = walk.nearest_sentences(view, space, query, mask, depth)
        assert found.tolist() == sentences[inside].tolist()[: len(found)]
        assert len(np.unique(view.sentence_unit[found])) >= min(
            depth, len(np.unique(view.sentence_unit[sentences[inside]]))
        )
        assert found_scores.tolist() == scores[inside].tolist()[: len(found)]
    finally:
        walk.FEW = before


@pytest.mark.parametrize(
    ("where", "told"),
    [
        ("", "cannot read"),
        ("kind=", "no value"),
        ("kind=novel", "novel is no kind"),
        ("modality=smell", "smell is no modality"),
        ("date>soon", "soon is no date"),
        ("date>2019..2020", "no date"),
        ("kind>pdf", "only = and !="),
        ("tag:=x", "names no tag"),
        ("autor=Ada", "did you mean author"),
        ("tag:projekt=x", "did you mean tag:project"),
    ],
)
def test_a_filter_that_cannot_be_is_named(kb, where, told) -> None:
    with pytest.raises(FilterError, match=told):
        kb.search("light", where=where)


@settings(max_examples=60, deadline=None)
@given(field=st.sampled_from(["author", "tag:x", "document", "kind"]), text=st.text(max_size=30))
def test_reading_a_filter_never_fails_otherwise(field, text) -> None:
    try:
        (condition,) = parse(f"{field}={text}")
    except FilterError:
        return
    assert parse(str(condition)) == (condition,) or "'" in text or '"' in text
    condition.holds_for(Profile(id="0" * 64, name="n", media_type="text/plain", uris=("file:///a.txt",), meta={}))


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("2020", "2020-01-01", "2020-12-31"),
        ("2020-02", "2020-02-01", "2020-02-29"),
        ("2019:07:21 10:00:00", "2019-07-21", "2019-07-21"),
        ("Mon, 1 Jan 2024 10:00:00 +0000", "2024-01-01", "2024-01-01"),
        ("17 May 2020", "2020-05-17", "2020-05-17"),
        ("May 17, 2020", "2020-05-17", "2020-05-17"),
        ("July 1969", "1969-07-01", "1969-07-31"),
    ],
)
def test_dates_as_programs_write_them(text, first, last) -> None:
    days = days_of(text)
    assert days is not None
    assert (days[0].isoformat(), days[1].isoformat()) == (first, last)


@pytest.mark.parametrize("text", ["", "soon", "2020-13-40", "99999", "12", "May"])
def test_what_is_no_date(text) -> None:
    assert days_of(text) is None


# ---- tags ----


def encoded(kb):
    """The texts that the base's encoder is asked for from now on."""
    calls = []
    encode = kb.text_encoder.encode_document

    def counting(items, **options):
        calls.extend(items)
        return encode(items, **options)

    kb.text_encoder.encode_document = counting
    return calls


def test_tags_are_part_of_the_document(tmp_path) -> None:
    """Tagged at once, later, or through another file with the same bytes: the same digest, and nothing encoded again."""
    files = filled(tmp_path / "files")
    with opened(tmp_path / "a") as at_once, opened(tmp_path / "b") as later, opened(tmp_path / "c") as again:
        at_once.add(files, tags=["project=x", "draft=no"])
        plain = later.add(files) and later.digest()
        again.add(files)
        calls = encoded(later), encoded(again)
        later.tag(files, put={"draft": "no", "project": "y", "old": "1"})
        later.tag(files, put={"project": "x"}, drop=["old"])
        report = again.add(files, tags=["draft=no", "project=x"])
        assert report.counts == {"updated": len(ALL)}
        assert {d.reason_code for d in report.documents} == {"tags"}
        assert again.add(files, tags=["project=x"]).counts == {"unchanged": len(ALL)}
        assert at_once.digest() == later.digest() == again.digest() != plain
        assert at_once.digest(deep=True) == at_once.digest()
        assert not {*calls[0], *calls[1]} - set(PROBE_TEXTS)
        for kb in (at_once, later, again):
            assert {p.kind for p in kb.doctor()} <= {"pictures-without-vector"}
        later.tag(files, drop=["project", "draft"])
        assert later.digest() == plain
        at_once.rebuild()
        assert at_once.digest() == again.digest()


def test_a_changed_file_hands_its_tags_on(make_kb, write) -> None:
    kb, file = make_kb(), write("a.md", "# One\n\nFirst words.\n")
    kb.add(file, tags=["project=x"])
    write("a.md", "# One\n\nOther words.\n")
    assert kb.add(file, tags=["year=2024"]).counts == {"updated": 1}
    assert kb.tag(file) == {kb.documents()[0]["id"]: {"project": "x", "year": "2024"}}
    assert [h.document.name for h in kb.search("words", where=["tag:project=x", "tag:year=2024"])] == ["One"]


def test_a_reader_that_is_open_sees_new_tags(make_kb, write) -> None:
    kb = make_kb()
    kb.add(write("a.md", "# One\n\nFirst words.\n"), write("b.md", "# Two\n\nSecond words.\n"))
    with pytest.raises(FilterError, match="has the tag project"):
        kb.search("words", where="tag:project=x")
    kb.tag("b.md", put=["project=x"])
    assert [h.document.name for h in kb.search("words", where="tag:project=x")] == ["Two"]
    assert kb.show("b.md")["tags"] == {"project": "x"}
    assert "tag:project" in kb.properties()


def test_no_file_can_tag_itself(make_kb, write) -> None:
    kb = make_kb()
    kb.add(
        write(
            "a.html",
            "<html><head><meta name='tag:project' content='x'><title>A</title></head><body><p>Words.</p></body></html>",
        )
    )
    assert kb.tag("a.html") == {kb.documents()[0]["id"]: {}}


@pytest.mark.parametrize("tag", ["novalue", "=x", "a b=c", "x=", "x=" + "y" * 301, "x=\x1b[31m", "tag:x=1"])
def test_a_tag_that_cannot_be_is_named(make_kb, write, tag) -> None:
    kb = make_kb()
    with pytest.raises(FilterError):
        kb.add(write("a.md", "Words.\n"), tags=[tag])
    assert not kb.exists(), "it is read before anything is made"


def test_tagging_what_is_not_here(make_kb, write) -> None:
    kb = make_kb()
    kb.add(write("a.md", "Words.\n"))
    with pytest.raises(NotFoundError):
        kb.tag("a.md", "zebra.md", put=["x=1"])
    assert list(kb.tag("a.md").values()) == [{}]


def test_facts_tell_tags_from_properties() -> None:
    facts = DocumentFacts(media_type="text/plain", name="", text="", meta={"tag:a": "1", "author": "Ada"})
    assert facts.tags == {"a": "1"}


# ---- explain ----


def test_explain_tells_everything_and_finds_the_same(kb) -> None:
    question = "who was the keeper of Tamar Light?"
    told = kb.search(question, k=3, effort=1, explain=True)
    assert [h.id for h in told.hits] == [h.id for h in kb.search(question, k=3, effort=1)]
    assert told.searched == told.units == kb.index().n_units
    assert {"bm25", "dense", "sentences", "walk"} <= set(told.lists)
    for name, places in told.lists.items():
        assert [c.rank for c in places] == list(range(1, len(places) + 1)), name
        assert [c.score for c in places] == sorted((c.score for c in places), reverse=True), name
    for hit in told.hits:
        for channel in hit.channels:
            if channel.rank <= 3:
                assert told.lists[channel.name][channel.rank - 1].name == hit.id
    assert ("tamar light", "Tamar Light") in told.entities
    assert told.effort == 1 and told.features
    assert {"link", "bm25", "walk", "rank", "read"} <= set(told.timings)
    few = kb.search(question, k=3, where="kind=markdown", explain=True)
    assert few.searched < few.units
