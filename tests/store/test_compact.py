"""remove --purge and compact: what was removed is in no file of the base any more, in no form, and the base is what it was."""

from __future__ import annotations

import gzip
import subprocess
import sys
import zlib
from contextlib import closing

import numpy as np
import pytest

from mmkg.algorithms.keys import entity_key, term_key
from mmkg.errors import StoreLockedError
from mmkg.store.embedded.graph import KGLiteStore
from mmkg.store.folder.compact import STEPS, compact
from mmkg.store.folder.doctor import is_problem
from mmkg.store.folder.ledger import Ledger
from mmkg.store.folder.reader import FolderReader
from mmkg.store.folder.segment import IncidenceSegment, TextSegment
from mmkg.store.folder.tensors import TensorFile

SECRET = "Zanthoxylum Quibberdy"
PLAIN = [
    ("a.md", "# Ada Lovelace\n\nAda Lovelace wrote to Charles Babbage in 1843 from London.\n"),
    ("b.md", "# Charles Babbage\n\nHe built the Difference Engine in London.\n"),
    ("c.md", "# London\n\nLondon holds the Difference Engine. Ada Lovelace saw it.\n"),
]


def _secret_page(i=0):
    lines = [
        f"{SECRET} hid the vermilion casket number {i}{n} beneath Grozzlewick Abbey in 18{n:02}." for n in range(12)
    ]
    return f"# {SECRET}\n\n" + "\n\n".join(lines) + "\n"


def _picture():
    import io

    from PIL import Image, PngImagePlugin

    info = PngImagePlugin.PngInfo()
    info.add_text("Title", f"Portrait of {SECRET}")
    data = io.BytesIO()
    Image.new("RGB", (80, 60), (200, 30, 30)).save(data, "PNG", pnginfo=info)
    return data.getvalue()


@pytest.fixture
def base(make_kb, write):
    """A base with a past: secrets came, changed, went and came again, in several generations, deltas and segments."""
    kb = make_kb(batch_units=4)
    folder = write(*PLAIN[0]).parent
    kb.add(folder)
    write("secret page.md", _secret_page())
    kb.add(folder)
    with kb._writer() as writer:
        writer.snapshot()
    write("secret page.md", _secret_page(7))
    write("portrait of quibberdy.png", _picture())
    for name, text in PLAIN[1:]:
        write(name, text)
    kb.add(folder)
    return kb


def _needles(kb):
    """Everything by which the secret could be found in raw bytes: words, names, ids, compressed text, vectors."""
    out = {
        "Quibberdy": b"Quibberdy",
        "quibberdy": b"quibberdy",
        "vermilion": b"vermilion",
        "Grozzlewick": b"rozzlewick",
    }
    out["utf-16"] = "vermilion".encode("utf-16-le")
    ledger = Ledger.open(kb.root)
    try:
        for no, id_, text in ledger.rows("SELECT no, id, text FROM document"):
            if b"Quibberdy" not in zlib.decompress(text):
                continue
            out[f"id {no}"] = id_.encode()
            out[f"text {no}"] = text[len(text) // 2 :][:40]
            for unit, key in ledger.rows("SELECT no, key FROM unit WHERE document = ? AND key IS NOT NULL", (no,)):
                n, data = ledger.one("SELECT n, data FROM output WHERE key = ?", (key,))
                out[f"key {unit}"] = key
                for row in np.frombuffer(data, dtype="<f2").reshape(n, -1):
                    out[f"vector {unit}"] = row.tobytes()[:96]
    finally:
        ledger.close()
    return out


def _found(root, needles):
    """(file, needle) for each needle that a file holds: as it lies there, unzipped, as graph rows, as hashed terms."""
    out = []
    terms = [term_key(w) for w in ("quibberdi", "quibberdy", "vermilion", "casket", "zanthoxylum")]
    entity = entity_key("zanthoxylum quibberdy")
    for path in sorted(p for p in root.rglob("*") if p.is_file()):
        name = path.relative_to(root).as_posix()
        forms = [path.read_bytes(), name.encode()]
        if path.suffix == ".gz":
            forms.append(gzip.decompress(forms[0]))
        if path.suffix == ".kgl":
            with closing(KGLiteStore(path)) as graph:
                forms.append(repr([*graph.nodes(), *graph.edges()]).encode())
        if path.suffix == ".seg":
            forms += [a.tobytes() for a in TensorFile(path).arrays.values()]
            if name.startswith("index/text"):
                out += [(name, t) for t in terms if t in TextSegment(path).term_hash.tolist()]
            elif entity in IncidenceSegment(path).keys.tolist():
                out.append((name, "entity key"))
        out += [(name, what) for what, needle in needles.items() for form in forms if needle in form]
    return out


def test_the_search_finds_what_is_there(base):
    """The test below would pass for a search that finds nothing."""
    needles = _needles(base)
    assert {k.split()[0] for k in needles} >= {"id", "text", "key", "vector"}
    where = {name.split("/")[0].split("-")[0] for name, _ in _found(base.root, needles)}
    assert {"ledger.sqlite", "index", "graph", "blobs"} <= {w.partition("-")[0] for w in where}
    assert {what.split()[0] for _, what in _found(base.root, needles) if isinstance(what, str)} >= {"vector", "text"}


def test_after_remove_purge_no_file_holds_a_byte_of_it(base, make_kb, tmp_path, write):
    needles = _needles(base)
    base.search(SECRET)  # a reader of this base is open, and lets go
    secret = [d["id"] for d in base.documents() if any("secret" in u or "portrait" in u for u in d["uris"])]
    assert len(secret) == 2
    # What kills and interrupted copies leave also holds words.
    (base.root / "blobs" / f".{'ab' * 32}.123.tmp").write_bytes(_secret_page().encode())
    (base.root / "graph" / ".gen-9.kgl.77.tmp").write_bytes(_secret_page().encode())
    (base.root / "damaged").mkdir()
    (base.root / "damaged" / "delta-3.jsonl.gz").write_bytes(gzip.compress(_secret_page().encode()))
    removed = base.remove(*secret, purge=True)
    assert {r.id for r in removed} == set(secret)
    assert _found(base.root, needles) == []
    assert not [p for p in base.doctor() if is_problem(p)]
    fresh = make_kb(tmp_path / "fresh")
    fresh.add(*(write(name, text) for name, text in PLAIN))
    assert base.digest(deep=True) == fresh.digest(deep=True)
    assert [e.id for e in base.search("Ada Lovelace")] == [e.id for e in fresh.search("Ada Lovelace")]


def test_what_an_update_replaced_goes_with_compact(make_kb, write):
    kb = make_kb()
    page = write("p.md", _secret_page())
    kb.add(page)
    needles = _needles(kb)
    write("p.md", "# Plain\n\nNothing of it is left in these words.\n")
    kb.add(page)
    assert _found(kb.root, needles)
    done = kb.compact()
    assert not done.held and done.holders == ()
    assert _found(kb.root, needles) == []
    assert not [p for p in kb.doctor() if is_problem(p)]


def test_compact_without_a_removal_saves_space_and_changes_nothing(base):
    digest, found = base.digest(deep=True), [e.id for e in base.search("Difference Engine")]
    told = []
    done = base.compact(progress=told.append)
    assert sum(done.after.values()) < sum(done.before.values())
    assert [p.done for p in told] == sorted(p.done for p in told) and told[-1].done == len(STEPS)
    assert base.digest(deep=True) == digest
    assert [e.id for e in base.search("Difference Engine")] == found
    assert not [p for p in base.doctor() if is_problem(p)]
    assert len(list((base.root / "index").iterdir())) == 2 and len(list((base.root / "graph").iterdir())) == 1
    again = base.compact()
    assert again.after["index"] == done.after["index"] and again.after["ledger"] <= done.after["ledger"]


_READS = """
import sys
from pathlib import Path
from mmkg.store.folder.reader import FolderReader
reader = FolderReader(Path(sys.argv[1]))
print("reading", flush=True)
sys.stdin.readline()
reader.close()
"""


def test_a_reader_of_an_older_state_is_named_and_keeps_reading(base):
    needles = _needles(base)
    other = subprocess.Popen([sys.executable, "-c", _READS, base.root], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    older = FolderReader(base.root)
    try:
        assert other.stdout.readline() == b"reading\n"
        assert older.index.n_units and len(older.graph.get(["zanthoxylum quibberdy"])) == 1
        secret = [d["id"] for d in older.documents() if any("secret" in u or "portrait" in u for u in d["uris"])]
        with pytest.raises(StoreLockedError, match=r"ledger.sqlite.*close it and run `mmkg compact`"):
            # The wait for the readers is not what is tested.
            _remove_and_purge(base, secret)
        assert {name for name, _ in _found(base.root, needles)} <= {"ledger.sqlite", "ledger.sqlite-wal"}
        # The older state is still whole where it was opened.
        assert SECRET in "".join(e.text for e in older.read(older.unit_ids_of(secret[0])))
        if sys.platform == "linux":
            assert other.pid in base.compact(wait_s=0.2).holders
    finally:
        older.close()
        other.communicate(b"\n")
    assert not base.compact().held
    assert _found(base.root, needles) == []


def _remove_and_purge(kb, names):
    compacted = kb.compact
    kb.compact = lambda wait_s: compacted(wait_s=0.2)
    try:
        kb.remove(*names, purge=True)
    finally:
        del kb.compact


def test_a_call_that_began_before_a_purge_goes_on_in_the_new_state(base, make_kb):
    """Its reader has read the old generation's number but not yet its files, which are gone now."""
    other = make_kb(base.root)
    other.documents()
    with base._writer() as writer:
        compact(writer, wait_s=0.0)
    reader = other._reader
    stale, reader.stale = reader.stale, lambda: False  # as if the compaction came after the look
    try:
        with pytest.raises(Exception, match="cannot be read"):
            _ = reader.index
    finally:
        reader.stale = stale
    assert other.search("Difference Engine")
