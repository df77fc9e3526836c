"""One writer, many readers, and one space of vectors: what several users of a base may rely on."""

from __future__ import annotations

import threading

import pytest

from mmkg.config import Settings
from mmkg.errors import EncoderMismatchError, StoreLockedError
from mmkg.extract.names import NameExtractor
from mmkg.kb import KnowledgeBase
from mmkg.testing.encoders import HashingEncoder

SETTINGS = {"workers": 1, "image_encoder": "none"}


def opened(path, encoder=None):
    """The base by another name: with this encoder, or without one."""
    return KnowledgeBase(
        path,
        settings=Settings(**SETTINGS, encoder="none" if encoder is None else "default"),
        text_encoder=encoder,
        extractor=NameExtractor(),
    )


@pytest.fixture
def page(write):
    return write("a.md", "# Tamar Light\n\nTamar Light was designed by Elias Crane in 1871.\n")


def _adding(kb, path):
    """A thread in the middle of an `add`: (thread, its report, event that lets it go on)."""
    inside, go_on, reports = threading.Event(), threading.Event(), []

    def hold(_):
        inside.set()
        assert go_on.wait(120)

    thread = threading.Thread(target=lambda: reports.append(kb.add(path, progress=hold)))
    thread.start()
    assert inside.wait(120)
    return thread, reports, go_on


def test_a_second_writer_is_refused_or_waits(make_kb, page, write, tmp_path):
    kb = make_kb()
    kb.add(page)
    thread, reports, go_on = _adding(kb, write("b.md", "# Second\n\nWords of the second page.\n"))
    other = make_kb(tmp_path / "kb")
    third = write("c.md", "# Third\n\nWords of the third page.\n")
    try:
        with pytest.raises(StoreLockedError, match="another process is writing") as error:
            other.add(third)
        assert error.value.retryable
        with pytest.raises(StoreLockedError):
            other.remove(page)
        # Readers are not held up: not in another object, and not in the one that writes.
        assert other.search("Tamar Light") and kb.search("Tamar Light")
    finally:
        threading.Timer(0.3, go_on.set).start()
    assert other.add(third, wait_s=60).counts == {"added": 1}
    thread.join()
    assert reports[0].counts == {"added": 1}
    assert len(other.documents()) == len(kb.documents()) == 3


def test_readers_see_whole_generations_while_a_writer_goes_on(make_kb, write, tmp_path):
    """Each generation adds, or takes away, a pair of pages that name each other: never one without the other."""
    kb = make_kb()
    kb.add(write("base.md", "# Mount Orrin\n\nMount Orrin is a mountain.\n"))
    pair = [write(f"pair/{n}.md", f"# Twin {n}\n\nTwin {n} looks at Mount Orrin.\n") for n in "ab"]
    stop, errors, seen = threading.Event(), [], set()

    def look(reader):
        try:
            while not stop.is_set():
                twins = {h.document.name for h in reader.search("Twin looks at Mount Orrin", k=10)} - {"Mount Orrin"}
                assert twins in (set(), {"Twin a", "Twin b"}), twins
                seen.add(len(twins))
                names = {d["name"] for d in reader.documents()} - {"Mount Orrin"}
                assert names in (set(), {"Twin a", "Twin b"}), names
                answer = reader.ask("Who looks at Mount Orrin?", k=4)
                assert all(c.locator.chars for c in answer.citations)
        except BaseException as e:
            errors.append(e)

    # Two threads share the object that writes; one has its own.
    readers = [threading.Thread(target=look, args=(r,)) for r in (kb, kb, make_kb(tmp_path / "kb"))]
    for t in readers:
        t.start()
    try:
        for _ in range(4):
            kb.add(pair[0].parent)
            kb.remove(pair[0].parent)
    finally:
        stop.set()
        for t in readers:
            t.join()
    assert not errors, errors
    assert seen


def test_a_graph_being_walked_stays_while_another_thread_moves_on(make_kb, page, write):
    kb = make_kb()
    kb.add(page)
    before = kb.to_networkx().number_of_nodes()
    errors = []

    def walk():
        try:
            for _ in range(15):
                assert kb.to_networkx().number_of_nodes() >= before
        except BaseException as e:
            errors.append(e)

    threads = [threading.Thread(target=walk) for _ in range(2)]
    for t in threads:
        t.start()
    for i in range(3):
        kb.add(write(f"more{i}.md", f"# More {i}\n\nMore words {i}.\n"))
        kb.cypher("RETURN 1")
    for t in threads:
        t.join()
    assert not errors, errors


# ---- one space ----


OTHERS = {
    "another name": {"name": "other"},
    "another revision": {"revision": "2"},
    "another dimension": {"dim": 32},
    "another model under the same name": {"seed": 1},
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
def test_another_space_is_refused_before_the_first_write_and_the_first_search(page, write, tmp_path, other):
    with opened(tmp_path / "kb", HashingEncoder()) as kb:
        kb.add(page)
        digest, generation = kb.digest(deep=True), kb.stats()["generation"]
    with opened(tmp_path / "kb", HashingEncoder(**other)) as kb:
        with pytest.raises(EncoderMismatchError):
            kb.add(write("b.md", "# B\n\nOther words.\n"))
        for ask in (kb.search, kb.ask):
            with pytest.raises(EncoderMismatchError):
                ask("Tamar Light")
        assert (kb.digest(deep=True), kb.stats()["generation"]) == (digest, generation)
    with opened(tmp_path / "kb", HashingEncoder()) as kb:
        assert kb.search("Tamar Light")


def test_a_base_made_without_an_encoder_gets_vectors_when_one_is_there(page, write, tmp_path):
    with opened(tmp_path / "kb") as kb:
        kb.add(page)
        assert not [s for s in kb.stats()["spaces"] if s.startswith("hashing")]
        assert {c.name for h in kb.search("Elias Crane") for c in h.channels} == {"bm25"} or kb.search("Elias Crane")
        digest = kb.digest(deep=True)
    encoder = HashingEncoder()
    with opened(tmp_path / "kb", encoder) as kb:
        assert kb.search("Elias Crane"), "before it has vectors, words and graph do"
        kb.add(write("b.md", "# Elias Crane\n\nElias Crane built bridges.\n"))
        assert encoder.space.key in kb.stats()["spaces"]
        missing = [p for p in kb.doctor() if p.kind == "output-missing"]
        fixed = kb.doctor(fix=True)
        assert all(p.fixed for p in fixed if p.kind == "output-missing")
        assert kb.doctor() == [], f"mended: {missing}"
        index = kb.index()
        _, scores = index.search_units(encoder.space.key, encoder.encode_query(["Tamar Light"])[0], 10)
        assert len(scores) == index.n_units == 2, "every unit has its vector"
        kb.remove(write("b.md", "# Elias Crane\n\nElias Crane built bridges.\n"))
        assert kb.digest(deep=True) == digest, "vectors are no part of it"
    with opened(tmp_path / "kb") as kb:
        assert kb.search("Elias Crane"), "and it still opens without one"
