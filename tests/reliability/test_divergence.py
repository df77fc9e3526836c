"""T3: doctor on bases of many histories: each kind of divergence, damaged files, planted code, and healthy ones.

What looks at a damaged base runs in a child: its exit status shows that no signal reached it.
"""

from __future__ import annotations

import contextlib
import importlib.util
import pickle
import random
import shutil
import zipfile
from pathlib import Path

import pytest

from mmkg.store.folder.doctor import INFORMATION

_spec = importlib.util.spec_from_file_location("doctor_cases", Path(__file__).parents[1] / "store/test_doctor.py")
_cases = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_cases)
BREAKS = _cases.BREAKS

# The truth itself is damaged: named, and not mended by making graph and index anew.
TRUTH = {"ledger-damaged", "facts-altered", "index-unit-without-row", "vector-without-unit"}
_FIRST = {
    "a.md": "# Ada Lovelace\n\nAda Lovelace wrote to Charles Babbage in 1843.\n",
    "b.md": "# Charles Babbage\n\nHe built the Difference Engine in London.\n",
    "c.md": "# London\n\nLondon holds the Difference Engine.\n",
}


@pytest.fixture
def healthy(live, parse_here, tmp_path):
    return lambda chance: _healthy(live, tmp_path, chance)


def _healthy(live, folder, chance):
    """A sound base with a history of its own: additions in batches, updates, removals, now and then a rebuild or a snapshot."""
    folder = folder / f"{chance.random()}"
    files = folder / "files"
    files.mkdir(parents=True)
    for name, text in _FIRST.items():
        (files / name).write_text(text)
    kb = live.kb(folder / "kb", batch_units=chance.choice([1, 3, 60]))
    kb.add(files)
    for i in range(chance.randint(2, 6)):
        sentences = [
            f"In {1800 + chance.randrange(99)} London saw Number{chance.randrange(9)} Crane." for _ in range(20)
        ]
        (files / f"{i}.md").write_text(f"# Page {i}\n\n" + " ".join(chance.sample(sentences, chance.randint(1, 20))))
    kb.add(files)
    if chance.random() < 0.6:
        (files / "0.md").write_text("# Changed\n\nLondon again, and Ada Lovelace.\n")
        kb.add(files)
    if chance.random() < 0.6:
        kb.remove(files / "1.md")
        (files / "1.md").unlink()
    if chance.random() < 0.3:
        kb.rebuild()
    if chance.random() < 0.3:
        with kb._writer() as writer:
            writer.snapshot()
    if chance.random() < 0.3:
        kb.close()
        kb.compact()
    with kb._writer() as writer:
        writer.sweep(grace_s=0)  # files of earlier generations go at once: what a test damages is then of this one
    return kb


def _problems(forks, root, *words):
    done = forks.run(root, ["doctor", *words], timeout=110)
    assert done.code == 0, f"the process that looked ended with {done.code}: {done.said}"
    return done.tell("problems")


def _real(problems):
    return [p for p in problems if p[0] not in INFORMATION]


def named_and_mended(forks, kb, kind):
    digest = kb.digest(deep=True)
    BREAKS[kind](kb)
    kb.close()
    assert kind in {p[0] for p in _problems(forks, kb.root)}
    if kind in TRUTH:
        return
    _problems(forks, kb.root, "fix")
    assert not _real(_problems(forks, kb.root))
    kb.rebuild()
    assert kb.digest(deep=True) == digest


def damaged_file(forks, kb, chance):
    """Flip, cut or replace bytes of one file of graph or index. Opening, searching, and mending must do."""
    digest = kb.digest(deep=True)
    kb.close()
    path = chance.choice(sorted(p for f in ("graph", "index") for p in (kb.root / f).iterdir()))
    data = bytearray(path.read_bytes())
    how = chance.choice(["bit", "byte", "cut", "noise", "empty", "gone"])
    if how == "bit":
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    elif how == "byte":
        at = chance.randrange(len(data))
        data[at : at + 8] = chance.randbytes(8)
    elif how == "cut":
        del data[chance.randrange(len(data)) :]
    elif how == "noise":
        data = bytearray(chance.randbytes(len(data)))
    elif how == "empty":
        data = bytearray()
    if how == "gone":
        path.unlink()
    else:
        path.write_bytes(data)
    looked = forks.run(kb.root, ["inspect"], timeout=110)
    assert looked.code in (0, 1), f"{path.name}, {how}: opening it ended with {looked.code}: {looked.said}"
    if path.relative_to(kb.root).as_posix() in {r for r in _current_files(kb)} and path.exists():
        found = {p[0] for p in _problems(forks, kb.root)}
        assert found & {"file-damaged", "file-missing"}, f"{path.name}, {how}: {found}"
    _problems(forks, kb.root, "fix")
    assert not _real(_problems(forks, kb.root)), f"{path.name}, {how}"
    assert kb.digest(deep=True) == digest
    kb.rebuild()
    assert kb.digest(deep=True) == digest


def _current_files(kb):
    from mmkg.store.folder.ledger import Ledger

    ledger = Ledger.open(kb.root)
    try:
        return ledger.current().files()
    finally:
        ledger.close()


class _Payload:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return Path.touch, (self.marker,)


def _plant(root, i, marker):
    """Put code where something might run it. Returns what was done."""
    code = f"import pathlib; pathlib.Path({str(marker)!r}).touch()\n"
    pickled = pickle.dumps(_Payload(marker))
    segments = sorted((root / "index").glob("*.seg"))
    graphs = sorted((root / "graph").iterdir())

    def torch_file():
        with zipfile.ZipFile(root / "index/model.pt", "w") as z:
            z.writestr("archive/data.pkl", pickled)
            z.writestr("archive/version", "3")

    header = b'{"__metadata__":{"kind":"' + pickled[:20].hex().encode() + b'"}}'
    places = [
        ("a pickle for a segment", lambda: segments[0].write_bytes(pickled)),
        ("a pickle for the last segment", lambda: segments[-1].write_bytes(pickled)),
        ("a pickle for the graph", lambda: graphs[0].write_bytes(pickled)),
        ("a pickle for every graph file", lambda: [g.write_bytes(pickled) for g in graphs]),
        ("a pickle for manifest.json", lambda: (root / "manifest.json").write_bytes(pickled)),
        ("a pickle beside the index", lambda: (root / "index/extra.pkl").write_bytes(pickled)),
        ("a pickle for a blob", lambda: next((root / "blobs").glob("??/*")).write_bytes(pickled)),
        ("a model file with a pickle", torch_file),
        ("an array of objects", lambda: (root / "index/vectors.npy").write_bytes(_object_array(pickled))),
        ("a header that is not one", lambda: segments[0].write_bytes(len(header).to_bytes(8, "little") + header)),
        (
            "YAML that builds objects",
            lambda: (root / "manifest.json").write_text(f"!!python/object/apply:os.system ['touch {marker}']"),
        ),
        ("settings of the base's own", lambda: (root / "mmkg.toml").write_text('encoder = "/evil"\n')),
        ("sitecustomize.py", lambda: (root / "sitecustomize.py").write_text(code)),
        ("usercustomize.py", lambda: (root / "usercustomize.py").write_text(code)),
        ("a module named as ours", lambda: (root / "mmkg.py").write_text(code)),
        ("a module named as the engine", lambda: (root / "kglite.py").write_text(code)),
        ("a module named as a library", lambda: (root / "numpy.py").write_text(code)),
        ("a .pth file", lambda: (root / "evil.pth").write_text(code)),
        ("conftest.py", lambda: (root / "conftest.py").write_text(code)),
        ("a trigger in the ledger", lambda: _trigger(root, marker)),
    ]
    name, put = places[i]
    put()
    return name


PLANTS = 20


def _object_array(pickled):
    head = b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }"
    head += b" " * (-(len(head) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head + pickled


def _trigger(root, marker):
    import sqlite3

    db = sqlite3.connect(root / "ledger.sqlite")
    db.execute("CREATE TRIGGER evil AFTER UPDATE ON entity BEGIN SELECT writefile('" + str(marker) + "', 'x'); END")
    db.commit()
    db.close()


def planted(forks, kb, i, folder):
    marker = folder / "ran"
    kb.close()
    name = _plant(kb.root, i, marker)
    with contextlib.chdir(kb.root):
        for step in (["inspect"], ["doctor"], ["doctor", "fix"], ["rebuild"], ["inspect"], ["cli", "stats"]):
            done = forks.run(kb.root, step, timeout=110, cwd=str(kb.root))
            assert done.code in (0, 1, 2) and not marker.exists(), f"{name}, {step}: {done.said}"
            assert not any(line.startswith("traceback") for line in done.said), f"{name}, {step}: {done.said}"


@pytest.mark.parametrize("kind", sorted(BREAKS))
@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_each_divergence_in_five_histories(kind, healthy, live_forks, seed, count):
    for k in range(5):
        named_and_mended(live_forks, healthy(random.Random(f"{seed}{kind}{k}")), kind)
        count()


def test_some_divergences_in_other_histories(healthy, live_forks, seed, count):
    chance = random.Random(seed)
    for kind in chance.sample(sorted(BREAKS), 3):
        named_and_mended(live_forks, healthy(chance), kind)
        count()


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("first", range(0, 60, 15))
def test_sixty_damaged_files(first, healthy, live_forks, seed, count):
    for k in range(first, first + 15):
        chance = random.Random(f"{seed}{k}")
        damaged_file(live_forks, healthy(chance), chance)
        count()


def test_damaged_files(healthy, live_forks, seed, count):
    chance = random.Random(seed)
    for _ in range(3):
        damaged_file(live_forks, healthy(chance), chance)
        count()


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("first", range(0, PLANTS, 5))
def test_twenty_planted_files(first, healthy, live_forks, tmp_path, seed, count):
    for i in range(first, first + 5):
        planted(live_forks, healthy(random.Random(f"{seed}{i}")), i, tmp_path)
        count()


def test_planted_files(healthy, live_forks, tmp_path, seed, count):
    chance = random.Random(seed)
    for i in chance.sample(range(PLANTS), 2):
        planted(live_forks, healthy(chance), i, tmp_path)
        count()


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_twenty_healthy_bases_give_no_alarm(healthy, live_forks, seed, count):
    for k in range(20):
        kb = healthy(random.Random(f"{seed}{k}"))
        kb.close()
        assert not _problems(live_forks, kb.root)
        count()
        shutil.rmtree(kb.root)


def test_a_healthy_base_gives_no_alarm(healthy, live_forks, seed, count):
    kb = healthy(random.Random(seed))
    kb.close()
    assert not _problems(live_forks, kb.root)
    count()
