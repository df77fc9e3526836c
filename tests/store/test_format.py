"""Formats of a base: an older one opens and comes up to date, a newer one is refused, a lost manifest is no loss."""

from __future__ import annotations

import json
import sqlite3

import pytest

from mmkg.errors import FormatVersionError, NotFoundError, StoreDamagedError
from mmkg.schema import FORMAT_VERSION
from mmkg.store.folder.doctor import is_problem
from mmkg.store.folder.ledger import Ledger


@pytest.fixture
def kb(make_kb, write):
    kb = make_kb()
    kb.add(write("a.md", "# Ada Lovelace\n\nAda Lovelace wrote to Charles Babbage in 1843.\n").parent)
    return kb


def _format_1(kb):
    """The base as the first format laid it out: no table meta, no version in the ledger, the manifest in its file only."""
    kb.close()
    db = sqlite3.connect(kb.root / "ledger.sqlite")
    db.executescript("DROP TABLE meta; PRAGMA user_version = 0;")
    _without_times(db)
    db.close()
    path = kb.root / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format_version": 1}))


def _without_times(db):
    """Back to before format 3."""
    db.executescript("DROP TABLE heard; DROP INDEX unit_clip;")
    for column in ("start_ms", "end_ms", "times", "said_start", "said_end"):
        db.execute(f"ALTER TABLE unit DROP COLUMN {column}")


def _manifest(kb):
    return json.loads((kb.root / "manifest.json").read_text())


def _in_ledger(kb):
    ledger = Ledger.open(kb.root)
    try:
        return ledger.format(), json.loads(ledger.meta("manifest") or "null"), ledger.meta("base")
    finally:
        ledger.close()


def test_a_base_of_format_1_is_read_as_it_is_and_migrated_by_the_first_writer(kb, make_kb, write):
    before, digest = _manifest(kb), kb.digest(deep=True)
    found = [e.id for e in kb.search("Charles Babbage")]
    _format_1(kb)
    older = make_kb()
    assert [e.id for e in older.search("Charles Babbage")] == found
    assert older.digest(deep=True) == digest
    assert _in_ledger(older) == (1, None, None), "reading changes nothing"
    assert _manifest(older)["format_version"] == 1
    assert older.add(write("b.md", "# London\n\nLondon is a city.\n")).counts == {"added": 1}
    version, manifest, base = _in_ledger(older)
    assert version == manifest["format_version"] == FORMAT_VERSION
    assert len(base) == 32
    assert _manifest(older) == manifest == before
    assert not [p for p in older.doctor() if is_problem(p)]


def test_doctor_finds_nothing_wrong_with_an_older_base(kb, make_kb):
    digest = kb.digest(deep=True)
    _format_1(kb)
    older = make_kb()
    assert not older.doctor()
    assert older.digest(deep=True) == digest


@pytest.mark.parametrize("where", ["manifest", "ledger"])
def test_a_newer_format_is_refused_by_readers_and_writers(kb, make_kb, write, where):
    kb.close()
    if where == "manifest":
        (kb.root / "manifest.json").write_text(json.dumps({"format_version": 99}))
    else:
        db = sqlite3.connect(kb.root / "ledger.sqlite")
        db.execute("PRAGMA user_version = 99")
        db.close()
    before = (kb.root / "ledger.sqlite").read_bytes()
    newer = make_kb()
    page = write("b.md", "# London\n\nLondon is a city.\n")
    for call in (newer.documents, newer.stats, lambda: newer.add(page), newer.rebuild, newer.doctor, newer.digest):
        with pytest.raises(FormatVersionError, match=f"format 99, this mmkg reads up to {FORMAT_VERSION}; upgrade"):
            call()
    assert (kb.root / "ledger.sqlite").read_bytes() == before


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(None, id="lost"),
        pytest.param(b"{", id="cut"),
        pytest.param(b"[" * 10**5, id="deep"),
        pytest.param(b"", id="empty", marks=pytest.mark.slow),
        pytest.param(b"\xff\xfe", id="bytes", marks=pytest.mark.slow),
        pytest.param(b"[]", id="list", marks=pytest.mark.slow),
        pytest.param(b'{"format_version": "1"}', id="no number", marks=pytest.mark.slow),
        pytest.param(b'{"format_version": 1, "spaces": [1]}', id="no spaces", marks=pytest.mark.slow),
    ],
)
def test_a_lost_or_damaged_manifest_is_no_loss(kb, make_kb, damage):
    whole, digest = (kb.root / "manifest.json").read_text(), kb.digest()
    kb.close()
    if damage is None:
        (kb.root / "manifest.json").unlink()
    else:
        (kb.root / "manifest.json").write_bytes(damage)
    kb = make_kb()
    assert kb.exists() and kb.search("Charles Babbage") and kb.digest() == digest
    (problem,) = [p for p in kb.doctor() if is_problem(p)]
    assert problem.kind == ("manifest-missing" if damage is None else "manifest-damaged")
    assert all(p.fixed for p in kb.doctor(fix=True) if is_problem(p))
    assert (kb.root / "manifest.json").read_text() == whole
    assert not kb.doctor()


def test_a_manifest_that_says_something_else_is_named(kb):
    path = kb.root / "manifest.json"
    path.write_text(path.read_text().replace('"chunk_characters": 1000', '"chunk_characters": 7'))
    assert [p.kind for p in kb.doctor()] == ["manifest-differs"]
    kb.doctor(fix=True)
    assert not kb.doctor()


def test_a_base_of_format_1_without_its_manifest_says_what_it_needs(kb, make_kb):
    _format_1(kb)
    (kb.root / "manifest.json").unlink()
    with pytest.raises(StoreDamagedError, match="format 1 has no other copy"):
        make_kb().documents()
    (problem,) = make_kb().doctor()
    assert problem.kind == "manifest-missing" and "format 1" in problem.detail


def test_a_folder_without_a_base_is_none(make_kb, tmp_path):
    (tmp_path / "kb").mkdir()
    (tmp_path / "kb" / "ledger.sqlite").touch()  # a start that was killed at once
    kb = make_kb()
    assert not kb.exists()
    with pytest.raises(NotFoundError):
        kb.documents()


def test_a_ledger_with_a_trigger_is_not_trusted(make_kb, write):
    """mmkg makes no trigger: one that lies in a stranger's base would run with our statements."""
    import sqlite3

    from mmkg.errors import StoreDamagedError

    kb = make_kb()
    kb.add(write("a.md", "# Ada\n\nAda Lovelace wrote in 1843.\n"))
    kb.close()
    db = sqlite3.connect(kb.root / "ledger.sqlite")
    db.execute("CREATE TRIGGER evil AFTER UPDATE ON entity BEGIN DELETE FROM document; END")
    db.commit()
    db.close()
    with pytest.raises(StoreDamagedError, match="triggers"):
        make_kb(kb.root).documents()
    assert {p.kind for p in make_kb(kb.root).doctor()} == {"ledger-damaged"}
