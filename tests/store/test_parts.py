"""Long texts come in and go out in parts, and nothing but memory shows it: facts, derived layer, graph and index are the same."""

from __future__ import annotations

import io
import json
import random
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmkg.config import Limits
from mmkg.ingest import longtext, worker
from mmkg.ingest.pool import _outcome
from mmkg.ingest.spool import Spool
from mmkg.longfacts import joined
from mmkg.store.folder.doctor import is_problem
from mmkg.store.folder.facts import facts_hash, read
from mmkg.store.folder.ledger import Ledger
from mmkg.store.folder.parts import is_long, parts, stored_hash

NAMES = ["Ada Lovelace", "Charles Babbage", "Port Ferren", "Grey Bay", "Tamar Light"]


def text_of(chance: random.Random, paragraphs: int) -> str:
    out = ["The Book of Grey Bay\n"]
    for i in range(paragraphs):
        if chance.random() < 0.15:
            out.append(f"{chance.randint(1, 3)}.{i} On {chance.choice(NAMES)}\n")
        out.append(
            " ".join(
                f"In {1800 + chance.randrange(99)} {chance.choice(NAMES)} came to {chance.choice(NAMES)}."
                for _ in range(chance.randint(1, 6))
            )
            + "\n"
        )
    return "\n".join(out)


@pytest.fixture
def small_parts(monkeypatch):
    """Texts are long from 2,000 bytes on, and a part has at most 1,500 characters; parsed in this process."""
    import mmkg.adding.run

    monkeypatch.setattr(longtext, "LONG_BYTES", 2_000)
    monkeypatch.setattr(longtext, "PART", 1_500)

    class PoolHere:
        as_parts = True

        def __init__(self, settings):
            self.settings = settings

        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

        def map(self, paths, **options):
            for path in paths:
                yield parsed(Path(path), as_parts=PoolHere.as_parts)

    monkeypatch.setattr(mmkg.adding.run, "ParserPool", PoolHere)
    return PoolHere


def parsed(path: Path, *, as_parts: bool = True):
    spool = Spool()
    emit = (lambda part: spool.add(json.loads(json.dumps(part)))) if as_parts else None
    header, blobs = worker.parse(path, Limits(), 300, False, emit=emit)
    return _outcome(path, json.loads(json.dumps(header)), blobs, spool if "parts" in header else None)


def test_parts_are_the_text(small_parts, write):
    outcome = parsed(write("a.txt", text_of(random.Random(1), 60)))
    found = list(outcome.long.parts())
    assert len(found) > 3
    whole = joined(outcome.long)
    assert whole == parsed(write("b.txt", text_of(random.Random(1), 60)), as_parts=False).parsed.facts
    assert whole.name == "The Book of Grey Bay" and len(whole.sections) > 3
    assert outcome.long.length == len(whole.text) and outcome.long.n_units == len(whole.units)
    for part in found:
        for unit in part.units:
            assert part.words(unit) == whole.words(unit)
            assert part.text[unit.start : unit.end].strip() == part.text[unit.start : unit.end]
    covered = "".join(whole.text[u.start : u.end] for u in whole.units)
    headings = "".join(whole.text[s.start : s.end] for s in whole.sections)
    assert all(c.isspace() or c in covered or c in headings for c in whole.text)
    with pytest.raises(IndexError):
        found[1].text[0:4]


@given(
    st.text(alphabet="aé \n\r\t.漢", max_size=400), st.integers(1, 7), st.sampled_from(["utf-8", "utf-16", "cp1252"])
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_blocks_and_parts_leave_no_trace_in_the_words(monkeypatch, text, block, encoding):
    """The windows joined are the text that a short file gives, whatever the blocks in which it is read."""
    monkeypatch.setattr(longtext, "_BLOCK", block)
    monkeypatch.setattr(longtext, "PART", 50)
    monkeypatch.setattr(longtext, "encoding_of", lambda sample: (encoding, 0, "strict"))
    from mmkg.ingest.decode import normalise

    data = text.encode(encoding, errors="ignore")
    windows = list(longtext._windows(io.BytesIO(data)))
    assert "".join(windows) == normalise(data.decode(encoding))
    assert all(len(w) <= 50 for w in windows)


@pytest.mark.parametrize(
    ("beginning", "rest", "name"),
    [
        (b"\xef\xbb\xbf" + b"a" * 99, "é".encode(), "utf-8"),
        (b"\xff\xfe" + "a".encode("utf-16-le") * 99, "é".encode("utf-16-le"), "utf-16-le"),
        (b"plain words " * 99, "café ".encode(), "utf-8"),
        (b"plain words " * 99, "the café at the corner ".encode("cp1252") * 9, "cp1252"),
    ],
    ids=["mark", "wide", "utf-8", "cp1252"],
)
def test_the_encoding_is_found_wherever_it_shows(monkeypatch, beginning, rest, name):
    monkeypatch.setattr(longtext, "_BLOCK", 512)
    assert longtext.encoding_of(longtext._sample(io.BytesIO(beginning + rest)))[0] == name


def test_the_base_is_the_same_as_from_the_whole(small_parts, make_kb, write, tmp_path):
    chance = random.Random(3)
    for name in ("long.txt", "other.txt"):
        write(name, text_of(chance, 60))
    write("short.md", "# Ada Lovelace\n\nAda Lovelace wrote to Charles Babbage about Port Ferren.\n")
    kbs = {}
    for as_parts in (True, False):
        small_parts.as_parts = as_parts
        kbs[as_parts] = make_kb(tmp_path / f"kb{as_parts}", chunk_characters=300)
        assert kbs[as_parts].add(tmp_path / "files").counts == {"added": 3}
    one, two = kbs[True], kbs[False]
    assert one.digest(deep=True) == two.digest(deep=True)
    assert not [p for p in one.doctor() if is_problem(p)]
    ids = [d["id"] for d in one.documents()]
    assert [one.document_text(i) for i in ids] == [two.document_text(i) for i in ids]
    for statement in (
        "MATCH (a)-[r]->(b) RETURN a.id AS a, type(r) AS t, b.id AS b",
        "MATCH (n) RETURN n.id AS id, n.text AS text, n.name AS name, n.heading AS heading, n.df AS df",
    ):
        assert sorted(one.cypher(statement).rows) == sorted(two.cypher(statement).rows)
    for question in ("Ada Lovelace", "who came to Grey Bay in 1850"):
        assert [h.id for h in one.search(question, k=20)] == [h.id for h in two.search(question, k=20)]
    one.rebuild()
    assert one.digest(deep=True) == two.digest(deep=True)
    one.remove(tmp_path / "files/long.txt", purge=True)
    two.remove(tmp_path / "files/long.txt")
    assert one.digest(deep=True) == two.digest(deep=True)
    write("other.txt", text_of(chance, 60))
    one.add(tmp_path / "files/other.txt")
    two.add(tmp_path / "files/other.txt")
    assert one.digest(deep=True) == two.digest(deep=True)
    assert not [p for p in one.doctor() if is_problem(p)]


def test_kept_and_read_part_by_part(small_parts, make_kb, write):
    kb = make_kb(chunk_characters=300)
    kb.add(write("long.txt", text_of(random.Random(4), 80)))
    kb.close()
    ledger = Ledger.open(kb.root)
    (no,) = ledger.one("SELECT no FROM document")
    assert is_long(ledger, no)
    facts = read(ledger, no)
    found = list(parts(ledger, no))
    assert len(found) > 3
    assert tuple(u for p in found for u in p.facts.units) == facts.units
    assert stored_hash(ledger, no) == facts_hash(facts)
    ledger.close()


def test_a_stop_between_parts_leaves_nothing_half(small_parts, make_kb, write, monkeypatch):
    """What came before the stop is seen by nobody, costs no second model call, and is forgotten if the file does not come again."""
    path = write("long.txt", text_of(random.Random(5), 80))
    other = write("other.md", "# Grey Bay\n\nGrey Bay is small.\n")
    kb = make_kb(chunk_characters=300)
    kb.add(other)
    empty = kb.digest(deep=True)
    encode = kb.text_encoder.encode_document
    asked = []

    def stopping(items, **options):
        if not any("came to" in item for item in items):  # the probes of the space
            return encode(items, **options)
        asked.append(list(items))
        if len(asked) == 3:
            raise KeyboardInterrupt
        return encode(items, **options)

    monkeypatch.setattr(kb.text_encoder, "encode_document", stopping)
    with pytest.raises(KeyboardInterrupt):
        kb.add(path)
    assert kb.digest(deep=True) == empty and len(kb.documents()) == 1
    assert {p.kind for p in kb.doctor() if is_problem(p)} == {"batch-interrupted"}
    kb.add(path)
    again = [text for items in asked[3:] for text in items]
    assert not set(asked[0]) & set(again), "the first part's vectors were kept"
    whole = kb.digest(deep=True)
    fresh = make_kb(kb.root.parent / "fresh", chunk_characters=300)
    fresh.add(other, path)
    assert fresh.digest(deep=True) == whole
    kb.remove(path)
    asked.clear()
    with pytest.raises(KeyboardInterrupt):
        kb.add(path)
    kb.add(other)
    assert kb.digest(deep=True) == empty
    assert not [p for p in kb.doctor() if is_problem(p)]


def test_a_broken_part_is_the_parsers_fault(small_parts, write):
    """A parser has read a stranger's file: what it sends is checked."""
    path = write("a.txt", text_of(random.Random(1), 60))
    sent = []
    header, _ = worker.parse(path, Limits(), 300, False, emit=sent.append)
    for wrong in (
        {"start": 1},
        {"part": 2},
        {"facts": {**sent[0]["facts"], "units": [{**sent[0]["facts"]["units"][0], "end": 10**9}]}},
        {"facts": {**sent[0]["facts"], "units": [{**sent[0]["facts"]["units"][0], "ordinal": 7}]}},
    ):
        with pytest.raises(ValueError, match=r"part|unit"):
            Spool().add(sent[0] | wrong)
    spool = Spool()
    for part in sent[:-1]:
        spool.add(part)
    with pytest.raises(ValueError, match="missing"):
        spool.finish(header)


_UNDER_A_LIMIT = """
import resource, subprocess, sys
from pathlib import Path
from mmkg.config import Settings
from mmkg.extract.names import NameExtractor
from mmkg.kb import KnowledgeBase
from mmkg.testing.encoders import HashingEncoder
folder, megabytes = Path(sys.argv[1]), int(sys.argv[2])
kb = KnowledgeBase(folder / "kb", settings=Settings(image_encoder="none"), text_encoder=HashingEncoder(), extractor=NameExtractor())
kb.add(folder / "first.txt")  # loads what is loaded once
now = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmData:")) * 1024
free = resource.getrlimit(resource.RLIMIT_DATA)
resource.setrlimit(resource.RLIMIT_DATA, (now + megabytes * 2**20, free[1]))
popen = subprocess.Popen  # the limit is this process's: parser and engine have their own
subprocess.Popen = lambda *a, **k: popen(*a, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, free), **k)
print(kb.add(folder / "long.txt").counts)
"""


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.skipif(sys.platform != "linux", reason="a limit of Linux")
def test_a_text_of_many_parts_fits_into_little_memory(tmp_path):
    """40 MB under a limit of the kernel on all that the process may add: 300 MB, threads and page cache of the ledger included."""
    chance = random.Random(6)
    (tmp_path / "first.txt").write_text("Tamar Light stands on Penrock Head.\n")
    with (tmp_path / "long.txt").open("w") as file:
        while file.tell() < 40 * 2**20:
            file.write(text_of(chance, 200))
    command = [sys.executable, "-c", _UNDER_A_LIMIT, str(tmp_path), "300"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=3000)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.startswith("{'added': 1}")
