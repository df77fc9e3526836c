"""Vectors of pages in a base: made, found by, kept exact. The encoder here sees colours; real ones are wired in tests/encode."""

from __future__ import annotations

import io
import re
import sqlite3

import numpy as np
import pytest
from PIL import Image

from mmkg import KnowledgeBase
from mmkg.config import Settings
from mmkg.errors import EncodeError, EncoderMismatchError
from mmkg.protocols import Space
from mmkg.retrieve.pages import PageReranker
from mmkg.schema import PAGE_MARK, page_space
from mmkg.store.folder.doctor import is_problem
from mmkg.testing.encoders import HashingEncoder
from mmkg.testing.pdf_files import pages_pdf

COLOURS = {"red": (1.0, 0.0, 0.0), "green": (0.0, 1.0, 0.0), "blue": (0.0, 0.0, 1.0)}


class Colours:
    """A PageEncoder: a vector for each patch of a page, its colour; a vector for each colour that a question names."""

    runtime = "test"

    def __init__(self, name: str = "colours", turned: bool = False) -> None:
        self.space = Space(name=name, revision="1", dim=4, pooling="none")
        self.n_pages, self._turned = 0, turned

    def encode_pages(self, items):
        self.n_pages += len(items)
        return [self._rows(np.asarray(self._small(i), dtype=float).reshape(-1, 3) / 255) for i in items]

    def encode_question(self, text):
        named = [COLOURS[w] for w in re.findall(r"\w+", text.lower()) if w in COLOURS]
        return self._rows(np.array(named or [(0.0, 0.0, 0.0)]))

    def _small(self, data):
        try:
            return Image.open(io.BytesIO(data)).convert("RGB").resize((6, 6))
        except OSError as e:
            raise EncodeError(f"item 0: {e}") from e

    def _rows(self, rows):
        rows = np.concatenate([rows, np.full((len(rows), 1), 0.1)], axis=1)
        rows = rows[:, ::-1] * [1, 1, -1, 1] if self._turned else rows
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def report(*pages: tuple[str, str]) -> bytes:
    """A PDF with a line of words and a painted square on each page."""
    return pages_pdf(
        "{:g} {:g} {:g} rg 60 200 480 400 re f 0 g BT /F1 16 Tf 40 740 Td ({}) Tj ET".format(
            *COLOURS[c], words
        ).encode()
        for words, c in pages
    )


LAMPS = "The lamps of the harbour are painted in the spring by the keepers of the tower."
SIGNS = "Keepers of a tower at the harbour mend nets in spring, and their lamps burn low."
STEPS = "A harbour has its lamps, a tower its keepers; in the spring the steps are swept."
THREE = report((LAMPS, "red"), (SIGNS, "green"), (STEPS, "blue"))


def photo(colour: str) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (40, 30), tuple(int(255 * v) for v in COLOURS[colour])).save(out, "PNG")
    return out.getvalue()


@pytest.fixture
def base(tmp_path):
    opened = []

    def open_(encoder=None, name="kb") -> KnowledgeBase:
        settings = Settings(workers=1, ocr=False, speech="none", sound_encoder="none", image_encoder="none")
        kb = KnowledgeBase(tmp_path / name, settings=settings, text_encoder=HashingEncoder(), page_encoder=encoder)
        opened.append(kb)
        return kb

    yield open_
    for kb in opened:
        kb.close()


def kept(kb: KnowledgeBase) -> dict[tuple[str, str], bytes]:
    """Every row of pages in the ledger."""
    with sqlite3.connect(kb.root / "ledger.sqlite") as db:
        rows = db.execute("SELECT hex(key), space, data FROM output WHERE instr(space, ?)", (PAGE_MARK,)).fetchall()
    db.close()
    return {(k.lower(), s): d for k, s, d in rows}


def faults(kb: KnowledgeBase) -> list:
    return [p for p in kb.doctor() if is_problem(p)]


def page_of(kb: KnowledgeBase, question: str) -> int | None:
    return kb.search(question, k=1)[0].locator.page


@pytest.mark.parametrize(("colour", "page"), [("red", 1), ("green", 2), ("blue", 3)])
def test_a_question_finds_the_page_that_shows_it(base, write, colour, page) -> None:
    kb = base(Colours())
    kb.add(write("report.pdf", THREE))
    hits = kb.search(f"harbour lamps tower keepers spring {colour}", k=3)
    assert hits[0].locator.page == page
    (channel,) = [c for c in hits[0].channels if c.name == "pages"]
    assert channel.rank == 1 and 0.9 < channel.score <= 1.0001
    assert [h.score for h in hits] == sorted((h.score for h in hits), reverse=True) and hits[0].score == 1.0


def test_off_by_default_and_without_the_encoder_the_order_is_the_first_ones(base, write) -> None:
    plain, seeing = base(name="plain"), base(Colours(), name="seeing")
    for kb in (plain, seeing):
        kb.add(write("report.pdf", THREE))
    assert kept(plain) == {} and len(kept(seeing)) == 3
    assert plain.digest() == seeing.digest()
    question = "harbour lamps tower keepers spring blue"
    want = [(h.id, h.score) for h in plain.search(question, k=3)]
    assert [(h.id, h.score) for h in base(name="seeing").search(question, k=3)] == want
    assert page_of(seeing, question) == 3


def test_pages_come_and_go_with_their_documents(base, write) -> None:
    kb, encoder = base(Colours()), Colours()
    report_path, photo_path = write("report.pdf", THREE), write("red.png", photo("red"))
    kb.add(report_path, photo_path)
    document = next(d["id"] for d in kb.documents() if d["media_type"] == "application/pdf")
    held = kept(kb)
    assert {k for k in held if k[0] == document} == {(document, page_space("colours@1", n)) for n in (1, 2, 3)}
    assert len(held) == 4
    two = report((LAMPS, "green"), (SIGNS, "green"))
    write("report.pdf", two)
    kb.add(report_path)
    fresh = base(encoder, name="fresh")
    fresh.add(report_path, photo_path)
    assert kept(kb) == kept(fresh) and len(kept(kb)) == 3 and kb.digest() == fresh.digest()
    kb.remove(report_path, purge=True)
    only = base(Colours(), name="only")
    only.add(photo_path)
    assert kept(kb) == kept(only) and kb.digest() == only.digest() and faults(kb) == []
    kb.remove(photo_path)
    assert kept(kb) == {}


def test_nothing_is_encoded_twice_and_a_rebuild_calls_no_model(base, write) -> None:
    first, again, third = Colours(), Colours(), Colours()
    kb = base(first)
    path = write("report.pdf", THREE)
    kb.add(path)
    kb.close()
    kb = base(again)
    made = first.n_pages
    kb.add(path)
    assert first.n_pages == made and again.n_pages == 1  # the probe that spaces are held against
    held = kept(kb)
    kb.rebuild()
    kb.compact()
    assert kept(kb) == held and faults(kb) == [] and again.n_pages == 1
    assert page_of(base(third), "harbour lamps tower keepers spring green") == 2 and third.n_pages == 0


def test_pages_that_came_before_the_encoder_are_seen_by_the_next_add(base, write) -> None:
    path = write("report.pdf", THREE)
    base().add(path)
    kb = base(Colours())
    question = "harbour lamps tower keepers spring blue"
    page_of(kb, question)  # a reader of the state before is open
    kb.add(path)
    assert len(kept(kb)) == 3 and page_of(kb, question) == 3


def test_another_encoder_takes_the_place_and_a_false_one_is_refused(base, write) -> None:
    path = write("report.pdf", THREE)
    base(Colours()).add(path)
    with pytest.raises(EncoderMismatchError, match="vectors differ"):
        base(Colours(turned=True)).add(path)
    kb = base(Colours(name="other", turned=True))
    kb.add(path)
    assert {s.partition(PAGE_MARK)[0] for _, s in kept(kb)} == {"other@1"} and faults(kb) == []
    assert page_of(kb, "harbour lamps tower keepers spring green") == 2


def test_a_page_that_cannot_be_rendered_stands_in_the_way_of_none(base, write, caplog) -> None:
    kb = base(Colours())
    good, bad = write("good.pdf", THREE), write("bad.pdf", report((LAMPS, "red")))
    base().add(good, bad)
    bad_id = next(s["id"] for s in kb.sources() if s["uri"].endswith("bad.pdf"))
    (kb.root / "blobs" / bad_id[:2] / bad_id).chmod(0o644)
    (kb.root / "blobs" / bad_id[:2] / bad_id).write_bytes(b"%PDF-1.7 and then nothing")
    kb.add(good)
    assert len(kept(kb)) == 3 and "cannot be rendered" in caplog.text


def test_doctor_sees_vectors_of_no_document_and_of_another_size(base, write) -> None:
    kb = base(Colours())
    kb.add(write("report.pdf", THREE))
    kb.close()
    with sqlite3.connect(kb.root / "ledger.sqlite") as db:
        db.execute(
            "INSERT INTO output SELECT zeroblob(32), space, n, data FROM output WHERE instr(space, ?) LIMIT 1",
            (PAGE_MARK,),
        )
        db.execute("UPDATE output SET data = substr(data, 3) WHERE space = ?", (page_space("colours@1", 2),))
    db.close()
    kinds = {p.kind for p in kb.doctor()}
    assert {"output-unclaimed", "space-differs"} <= kinds
    assert len(kb.search("harbour lamps tower keepers spring blue", k=3)) == 3  # what is whole still counts
    kb.doctor(fix=True)
    kb.add(write("report.pdf", THREE))
    assert faults(kb) == [] and len(kept(kb)) == 3


def test_a_copy_takes_them_along(base, write) -> None:
    kb, target = base(Colours()), base(Colours(), name="copy")
    kb.add(write("report.pdf", THREE), write("red.png", photo("red")))
    kb.copy_to(target)
    assert kept(target) == kept(kb) and faults(target) == []


def test_what_has_no_page_keeps_its_place() -> None:
    from mmkg.types import DocumentRef, Evidence, Locator

    def at(i: int, page: int | None) -> Evidence:
        ref = DocumentRef(id="ab" * 32, name="d", uri="file:///d")
        return Evidence(id=str(i), kind="text", score=1 - i / 10, text="x", document=ref, locator=Locator(page=page))

    encoder = Colours()
    rows = {("ab" * 32, page_space("colours@1", 9)): np.array([[1, 0, 0, 0]], dtype=np.float16)}
    reranker = PageReranker(encoder, lambda wanted: {w: rows[w] for w in wanted if w in rows})
    evidence = [at(0, None), at(1, 5), at(2, None), at(3, 9)]
    assert [e.id for e in reranker.rerank("red", evidence)] == ["0", "3", "1", "2"]
    assert reranker.rerank(" ", evidence) == evidence and reranker.rerank("red", []) == []


@pytest.mark.neo4j
def test_on_a_server(neo4j_url, base, write, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("MMKG_CACHE", str(tmp_path / "cache"))
    folder = base(Colours())
    files = [write("report.pdf", THREE), write("red.png", photo("red"))]
    folder.add(*files)
    with KnowledgeBase(
        f"{neo4j_url}?media={(tmp_path / 'media').as_uri()}",
        settings=folder.settings,
        text_encoder=HashingEncoder(),
        page_encoder=Colours(),
    ) as kb:
        kb.add(*files)
        assert kb.digest() == folder.digest() and faults(kb) == []
        question = "harbour lamps tower keepers spring blue"
        assert page_of(kb, question) == 3
        assert [h.id for h in kb.search(question, k=3)] == [h.id for h in folder.search(question, k=3)]
        reader = kb._read()
        held = {at: x for d in (d["id"] for d in kb.documents()) for at, x in reader.outputs(d).items()}
        pages = {(k.hex(), s): x.tobytes() for (k, s), x in held.items() if PAGE_MARK in s}
        assert pages == kept(folder)
        kb.remove(files[0])
        count = "MATCH (o:_Output) WHERE o._page_of IS NOT NULL RETURN count(o) AS n"
        assert kb._read().connection.rows(count)[0]["n"] == 1
        other = Colours(name="other")
        kb.close()
        again = KnowledgeBase(
            f"{neo4j_url}?media={(tmp_path / 'media').as_uri()}",
            settings=folder.settings,
            text_encoder=HashingEncoder(),
            page_encoder=other,
        )
        with again:
            again.add(files[1])
            rows = again._read().connection.rows("MATCH (o:_Output) WHERE o._page_of IS NOT NULL RETURN o._space AS s")
            assert [r["s"] for r in rows] == [page_space("other@1", 0)]


def test_words_of_whole_pages_are_asked_of_documents_with_pages_only(base, write) -> None:
    kb = base()
    kb.add(write("report.pdf", THREE), write("red.png", photo("red")))
    found = kb.search("lamps and nets of the harbour in spring", k=3, explain=True)
    assert "page words" in found.lists
    placed = kb._read().unit_pages()
    assert {page for _, page in placed} == {1, 2, 3}
    other = base(name="other")
    other.add(write("a.md", "# Harbour\n\n" + LAMPS + "\n"), write("red.png", photo("red")))
    assert "page words" not in other.search("lamps", k=3, explain=True).lists
