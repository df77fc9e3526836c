"""Whatever bytes lie in a base: opening and using it ends no process, every error has a name and says what mends it, one command does."""

from __future__ import annotations

import gzip
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys

import pytest

from mmkg.config import Settings
from mmkg.errors import StoreDamagedError
from mmkg.extract.names import NameExtractor
from mmkg.kb import KnowledgeBase
from mmkg.store.durable import MENDING_FAILPOINTS
from mmkg.store.folder.doctor import is_problem
from mmkg.testing.encoders import HashingEncoder

OPTIONS = {"workers": 1, "image_encoder": "none", "batch_units": 4}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    for n in range(6):
        (folder / f"{n}.md").write_text(f"# Page {n}\n\nPage {n} tells of Ada Lovelace and Town{n % 3} in 18{n}4.\n")
    return folder


@pytest.fixture(scope="module")
def made(files, tmp_path_factory):
    """A base of several generations: segments, a snapshot of the graph, and changes after it."""
    root = tmp_path_factory.mktemp("made") / "kb"
    with _open(root) as kb:
        kb.add(*(files / f"{n}.md" for n in range(3)))
        with kb._writer() as writer:
            writer.snapshot()
        kb.add(files)
    for path in (root / "graph").iterdir():
        if path.name in ("delta-1.jsonl.gz",):
            path.unlink()
    with _open(root) as kb:
        kb.compact()
        kb.remove(files / "5.md")
        kb.add(files)
    return root


def _open(root):
    return KnowledgeBase(root, settings=Settings(**OPTIONS), text_encoder=HashingEncoder(), extractor=NameExtractor())


@pytest.fixture
def kb(made, tmp_path):
    shutil.copytree(made, tmp_path / "kb")
    with _open(tmp_path / "kb") as kb:
        yield kb


def _flip(path, at=None):
    data = bytearray(path.read_bytes())
    data[len(data) // 2 if at is None else at] ^= 0x10
    path.write_bytes(data)


def _one(kb, pattern):
    return max(kb.root.glob(pattern), key=lambda p: p.stat().st_size)


PROJECTIONS = ["index/text-*.seg", "index/inc-*.seg", "graph/gen-*.kgl", "graph/delta-*.gz"]


_QUICK = {("flipped", p) for p in PROJECTIONS} | {("cut", PROJECTIONS[0]), ("gone", PROJECTIONS[2])}


@pytest.mark.parametrize(
    ("how", "pattern"),
    [
        pytest.param(how, pattern, marks=[] if (how, pattern) in _QUICK else pytest.mark.slow)
        for how in ("flipped", "cut", "gone")
        for pattern in PROJECTIONS
    ],
)
def test_readers_name_the_damage_and_the_cure_and_the_next_writer_mends_it(kb, files, pattern, how):
    digest, found = kb.digest(), [e.id for e in kb.search("Ada Lovelace")]
    kb.close()
    path = _one(kb, pattern)
    if how == "flipped":
        _flip(path)
    elif how == "cut":
        os.truncate(path, path.stat().st_size - 7)
    else:
        path.unlink()
    damaged = path.read_bytes() if path.exists() else None
    reading = kb.cypher if "graph" in pattern else kb.search
    with pytest.raises(StoreDamagedError, match=rf"{path.name}.*run `mmkg doctor --fix`"):
        reading("MATCH (n) RETURN n.id")
    assert kb.documents() and kb.digest() == digest, "what needs it not goes on"
    kb.close()
    if how == "flipped":
        # Its size is right, so a writer meets it only where it reads it.
        with kb._writer() as writer:
            writer.snapshot() if "graph" in pattern else writer.mending(lambda: _fold(writer))
    else:
        assert kb.add(files).counts == {"unchanged": 6}
    assert kb.digest(deep=True) == digest and [e.id for e in kb.search("Ada Lovelace")] == found
    kept = list((kb.root / "damaged").glob("*")) if damaged is not None else []
    assert [p.read_bytes() for p in kept] == ([damaged] if damaged is not None else [])
    problems = kb.doctor()
    assert not [p for p in problems if is_problem(p)]
    assert [p.kind for p in problems] == ["file-set-aside"] * len(kept)
    assert kb.compact() and not kb.doctor()


def _fold(writer):
    from mmkg.store.folder.projection import SegmentWriter

    with writer.ledger.transaction():
        now = writer.ledger.current()
        SegmentWriter(writer.root, writer.ledger, now.no + 1).folded(now.text_segments, now.incidence_segments)


@pytest.mark.parametrize(
    "point", [MENDING_FAILPOINTS[0], *(pytest.param(p, marks=pytest.mark.slow) for p in MENDING_FAILPOINTS[1:])]
)
def test_killed_while_mending_the_next_run_goes_on(kb, point):
    digest = kb.digest(deep=True)
    kb.close()
    if point == "rows-mended":
        db = sqlite3.connect(kb.root / "ledger.sqlite")
        db.execute("INSERT INTO output SELECT x'ab', space, n, data FROM output LIMIT 1")
        db.commit()
        db.close()
    else:
        for pattern in PROJECTIONS:
            os.truncate(_one(kb, pattern), 10)
    code = "import sys; from mmkg.kb import KnowledgeBase as K; K(sys.argv[1]).doctor(fix=True)"
    env = {**os.environ, "MMKG_FAILPOINT": point, "MMKG_ENCODER": "none"}
    done = subprocess.run([sys.executable, "-c", code, kb.root], env=env, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    kb.doctor(fix=True)
    assert not [p for p in kb.doctor() if is_problem(p)]
    assert kb.digest(deep=True) == digest and kb.search("Ada Lovelace")


def test_an_engine_that_dies_on_a_file_is_damage_not_bad_luck(kb, monkeypatch):
    """The recorded hash is right, so the engine gets to see it; a crash there must not be tried again for ever."""
    from mmkg.store.embedded import process

    class Dies(process.EngineProcess):
        def send(self, op, **arguments):
            super().send(op, **arguments)
            if op == "open":
                os.kill(self.process.pid, 11)

    monkeypatch.setattr("mmkg.store.embedded.graph.EngineProcess", Dies)
    monkeypatch.setattr("mmkg.store.embedded.pool.EngineProcess", Dies)
    for call in (lambda: kb.cypher("RETURN 1"), lambda: kb.path("Ada Lovelace", "Town1")):
        with pytest.raises(StoreDamagedError, match=r"ended \(exit status -11\).*run `mmkg doctor --fix`"):
            call()
    kb.close()
    assert "graph-unreadable" in {p.kind for p in kb.doctor()}
    monkeypatch.undo()
    assert not [p for p in kb.doctor(fix=True) if is_problem(p)]


def test_files_of_a_lost_future_are_told_of_and_kept(kb, made):
    """The ledger alone was put back from an older copy: its files are older than those beside it."""
    kb.remove(kb.documents()[0]["id"])
    for _ in range(2):
        kb.add_text("# Later\n\nLater words.\n", name="later")
        kb.remove("text:later")
    kb.close()
    for name in ("ledger.sqlite", "ledger.sqlite-wal", "ledger.sqlite-shm"):
        (kb.root / name).unlink(missing_ok=True)
    shutil.copy(made / "ledger.sqlite", kb.root)
    later = sorted(p.name for p in kb.root.glob("*/*-*") if p.parent.name in ("index", "graph"))
    kinds = {p.kind for p in kb.doctor()}
    assert "generations-disagree" in kinds
    assert not [p for p in kb.doctor(fix=True) if is_problem(p) and not p.fixed]
    assert not [p for p in kb.doctor() if is_problem(p)]
    assert {p.name for p in (kb.root / "damaged").iterdir()} <= set(later)


def test_a_base_whose_files_lead_outside_is_refused(kb, tmp_path):
    """A stranger's ledger names its files; none may lie outside the base."""
    kb.close()
    (tmp_path / "secret.kgl").write_bytes(b"x")
    db = sqlite3.connect(kb.root / "ledger.sqlite")
    db.execute("UPDATE generation SET graph_snapshot = ?", (json.dumps(["../secret.kgl", "0" * 64, 0]),))
    db.commit()
    db.close()
    with pytest.raises(StoreDamagedError, match="not a file of a generation"):
        kb.documents()


# ---- any file, any damage ----

_DRIVER = """
import json, sys
from pathlib import Path
from mmkg.config import Settings
from mmkg.errors import MMKGError
from mmkg.extract.names import NameExtractor
from mmkg.kb import KnowledgeBase
from mmkg.testing.encoders import HashingEncoder

settings = Settings(workers=1, image_encoder="none")
for root in sys.argv[2:]:
    kb = KnowledgeBase(root, settings=settings, text_encoder=HashingEncoder(), extractor=NameExtractor())
    errors = []
    def tried(name, call):
        try:
            return call()
        except MMKGError as e:
            errors.append([name, type(e).__name__, str(e)])
    tried("documents", kb.documents)
    tried("show", lambda: [kb.show(d["id"]) for d in kb.documents()])
    tried("search", lambda: kb.search("Ada Lovelace"))
    tried("ask", lambda: kb.ask("Who tells of Town1?"))
    tried("cypher", lambda: kb.cypher("MATCH (n)-[r]->(m) RETURN count(r)"))
    tried("text", lambda: [kb.document_text(d["id"]) for d in kb.documents()])
    tried("original", lambda: [kb.original(d["id"]) for d in kb.documents()])
    reading = len(errors)
    before = tried("doctor", kb.doctor) or []
    tried("fix", lambda: kb.doctor(fix=True))
    after = tried("doctor again", kb.doctor) or []
    digest = tried("digest", lambda: kb.digest(deep=True))
    tried("add", lambda: kb.add(sys.argv[1]))
    tried("search again", lambda: kb.search("Ada Lovelace"))
    kb.close()
    print(json.dumps({"reading": errors[:reading], "rest": errors[reading:], "digest": digest,
                      "before": [p.kind for p in before], "after": [p.kind for p in after]}), flush=True)
"""


def _harm(path, chance):
    """One of the ways in which files break; says which."""
    size = path.stat().st_size
    data = bytearray(path.read_bytes())
    how = chance.choice(["bit", "bits", "cut", "noise", "zeros", "longer", "empty", "gone"])
    if how == "gone":
        path.unlink()
        return how
    if how in ("bit", "bits"):
        for _ in range(1 if how == "bit" else 20):
            data[chance.randrange(size)] ^= 1 << chance.randrange(8)
    elif how == "cut":
        data = data[: chance.randrange(size)]
    elif how == "longer":
        data += chance.randbytes(50)
    elif how == "empty":
        data = bytearray()
    else:
        at, n = chance.randrange(size), chance.randrange(1, 3000)
        data[at : at + n] = (bytes(n) if how == "zeros" else chance.randbytes(n))[: size - at]
    path.write_bytes(data)
    return how


@pytest.mark.parametrize(
    ("seed", "rounds"),
    [(1, 1), *(pytest.param(s, 2, marks=[pytest.mark.slow, pytest.mark.timeout(1800)]) for s in range(2, 6))],
)
def test_any_damage_to_any_file(made, files, tmp_path, seed, rounds):
    with _open(made) as kb:
        digest = kb.digest(deep=True)
    chance = random.Random(seed)
    kinds = ["ledger.sqlite", "manifest.json", "blobs/*/*", *PROJECTIONS]
    cases = []
    for pattern in [k for k in kinds for _ in range(rounds)] + ["ledger.sqlite"] * rounds:
        root = tmp_path / str(len(cases))
        shutil.copytree(made, root)
        path = chance.choice(sorted(root.glob(pattern)))
        cases.append((root, pattern, f"{path.relative_to(root)} {_harm(path, chance)}"))
    command = [sys.executable, "-c", _DRIVER, files, *(str(root) for root, *_ in cases)]
    done = subprocess.run(command, capture_output=True, text=True)
    said = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, (
        f"at {cases[len(said)][2] if len(said) < len(cases) else 'the end'}: {done.stderr[-2000:]}"
    )
    for (_, pattern, what), case in zip(cases, said, strict=True):
        assert all("run `mmkg" in text or "mmkg salvage" in text for _, _, text in case["reading"]), (what, case)
        left = [k for k in case["after"] if k not in ("file-set-aside", "source-gone")]
        if pattern == "ledger.sqlite":
            assert left or case["digest"] == digest or case["rest"], (what, case)
        else:
            assert not left and not case["rest"] and case["digest"] == digest, (what, case)


def test_the_delta_reader_takes_any_bytes(tmp_path):
    from mmkg.store.delta_wire import read_delta

    path = tmp_path / "delta-1.jsonl.gz"
    for data in (
        b"",
        b"\x1f\x8b",
        gzip.compress(b""),
        gzip.compress(b'{"mmkg_delta":1}\n["n"]\n{"end":1}\n'),
        os.urandom(99),
    ):
        path.write_bytes(data)
        with pytest.raises(StoreDamagedError, match="doctor --fix"):
            read_delta(path)
