"""The parser pool: limits, deaths, odd files, and neighbours that notice nothing. Real processes, real bytes."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from mmkg.config import Limits, Settings
from mmkg.ingest.pool import Outcome, ParserPool
from mmkg.ingest.source import DescriptorPath, UnreadableError, open_source

LIMITS = Limits(bytes=20 * 2**20, seconds=30.0, memory_bytes=768 * 2**20)


@pytest.fixture(scope="module")
def pool() -> Iterator[ParserPool]:
    with ParserPool(Settings(workers=2, limits=LIMITS)) as pool:
        yield pool


def good(folder: Path, n: int = 10) -> list[Path]:
    paths = []
    for i in range(n):
        path = folder / f"good{i}.txt"
        path.write_text(f"Station {i} is a base in the north. It has {i + 2} rooms.\n")
        paths.append(path)
    return paths


def children_of_this_process() -> set[int]:
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                if int(fields[1]) == os.getpid() and fields[0] != "Z":
                    found.add(int(entry.name))
    return found


def test_a_good_file(pool: ParserPool, tmp_path: Path) -> None:
    (path,) = good(tmp_path, 1)
    outcome = pool.parse(path)
    assert (outcome.status, outcome.reason, outcome.media_type) == ("ok", "", "text/plain")
    assert outcome.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert outcome.parsed is not None
    facts = outcome.parsed.facts
    assert facts.text == "Station 0 is a base in the north. It has 2 rooms."
    assert facts.name == "Station 0"
    assert [facts.text[a:b] for a, b in facts.units[0].sentences] == facts.text.replace("north. ", "north.\n").split(
        "\n"
    )


def test_the_same_bytes_under_other_names_give_the_same_facts(pool: ParserPool, tmp_path: Path) -> None:
    outcomes = []
    for name in (
        "a.txt",
        "b.md",
        "c",
        "d.html",
        "a name with spaces.csv",
        "new\nline.txt",
        "-rf.txt",
        "ünïcödé 字.txt",
    ):
        path = tmp_path / name
        path.write_text("# Notes\n\nThe station is cold. The lamp is lit.\n")
        outcomes.append(pool.parse(path))
    path = os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe.txt")  # not UTF-8
    Path(path).write_text("# Notes\n\nThe station is cold. The lamp is lit.\n")
    outcomes.append(pool.parse(path))
    assert [o.status for o in outcomes] == ["ok"] * len(outcomes)
    assert all(o.parsed == outcomes[0].parsed for o in outcomes)


HOSTILE = {
    "empty.txt": (b"", "empty", "no bytes"),
    "blank.txt": (b" \n\t\n ", "empty", "no words"),
    "marks.txt": (b"--- *** ... ---", "empty", "no words"),
    "nuls.txt": (b"\x00hello\x00" * 400, "rejected", "named .txt but the content is of no known format"),
    "nuls": (b"\x00hello\x00" * 400, "rejected", "NUL bytes"),
    "random": (random.Random(1).randbytes(5000), "rejected", "control bytes"),
    "lying.pdf": (b"\x89PNG\r\n\x1a\n" + b"\0" * 100, "rejected", "named .pdf but the content is image/png"),
    "lying.png": (b"%PDF-1.7\n1 0 obj\n", "rejected", "named .png but the content is application/pdf"),
    "song.mp3": (b"ID3\x04\0\0\0\0\0\0" + b"\0" * 50, "rejected", "damaged"),
    "film.mp4": (b"\0\0\0\x18ftypisom" + b"\0" * 50, "rejected", "damaged"),
    "archive.gz": (b"\x1f\x8b\x08" + b"\0" * 50, "skipped", "no loader for application/gzip yet"),
    "cut.docx": (b"PK\x03\x04" + b"\x14\0" * 40, "rejected", "damaged or cut short"),
    "deep.json": (b"[" * 300_000, "rejected", "nested too deeply"),
    "deep.html": (b"<html><body>" + b"<ul><li>" * 20_000 + b"x", "rejected", "nested too deeply"),
    "broken16.txt": (b"\xff\xfe\x00\xd8\x00\xd8" * 20, "rejected", "named .txt but"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_bad_file_has_a_status_and_a_reason(pool: ParserPool, tmp_path: Path, name: str) -> None:
    data, status, reason = HOSTILE[name]
    (tmp_path / name).write_bytes(data)
    outcome = pool.parse(tmp_path / name)
    assert (outcome.status, outcome.parsed) == (status, None)
    assert reason in outcome.reason
    assert outcome.sha256 == hashlib.sha256(data).hexdigest()
    assert "/proc" not in outcome.reason


def test_good_neighbours_of_bad_files_are_untouched(pool: ParserPool, tmp_path: Path) -> None:
    paths = good(tmp_path)
    for i, (name, (data, _, _)) in enumerate(HOSTILE.items()):
        (tmp_path / name).write_bytes(data)
        paths.insert(2 * i % len(paths), tmp_path / name)
    outcomes = list(pool.map(paths))
    assert [o.path for o in outcomes] == paths
    assert sum(o.status == "ok" for o in outcomes) == 10
    assert all(o.status == "ok" for o in outcomes if o.path.name.startswith("good"))


def test_what_is_no_regular_file_is_named_and_nothing_waits(pool: ParserPool, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.txt")
    (tmp_path / "dir.txt").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "nowhere").symlink_to("gone")
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as server:
        folder = os.getcwd()
        os.chdir(tmp_path)  # the name of a socket must be short
        server.bind("sock")
        os.chdir(folder)
        cases = {"pipe.txt": "a named pipe", "dir.txt": "a folder", "sock": "a socket"}
        for name, kind in cases.items():
            outcome = pool.parse(tmp_path / name)
            assert outcome.status == "rejected" and kind in outcome.reason, outcome
    for name, reason in {"loop": "cannot be opened", "nowhere": "no such file", "gone": "no such file"}.items():
        outcome = pool.parse(tmp_path / name)
        assert outcome.status == "failed" and reason in outcome.reason, outcome
    outcome = pool.parse("/dev/zero")
    assert outcome.status == "rejected" and "a device" in outcome.reason


def test_a_file_that_cannot_be_opened(pool: ParserPool, tmp_path: Path) -> None:
    (path,) = good(tmp_path, 1)
    for name in (path / "below", tmp_path / ("x" * 300)):
        outcome = pool.parse(name)
        assert outcome.status == "failed" and "cannot be opened" in outcome.reason
    if os.geteuid():  # root may read everything
        path.chmod(0)
        assert "Permission denied" in pool.parse(path).reason


def limited(**limits: float) -> ParserPool:
    return ParserPool(Settings(workers=1, limits=dataclasses.replace(LIMITS, **limits)))


def test_the_limit_on_bytes(tmp_path: Path) -> None:
    (tmp_path / "big.txt").write_bytes(b"word " * 1000)
    with limited(bytes=4999) as pool:
        outcome = pool.parse(tmp_path / "big.txt")
        assert outcome.status == "rejected" and outcome.reason.startswith("bytes: ")
        assert pool.parse(good(tmp_path, 1)[0]).status == "ok"


def test_the_limit_on_characters(tmp_path: Path) -> None:
    (tmp_path / "long.txt").write_text("word " * 1000)
    with limited(characters=4000) as pool:
        outcome = pool.parse(tmp_path / "long.txt")
        assert outcome.status == "rejected" and outcome.reason.startswith("characters: ")


def test_the_limit_on_seconds(tmp_path: Path) -> None:
    slow = tmp_path / "slow.md"  # 8 MB of Markdown take many seconds
    slow.write_text("# A\n\n*a* [b](c) `d` **e**\n\n" * 300_000)
    paths = good(tmp_path)
    with limited(seconds=1.0) as pool:
        outcomes = list(pool.map([*paths[:5], slow, *paths[5:]]))
    assert outcomes[5].status == "rejected"
    assert outcomes[5].reason == "seconds: parsing took longer than 1 s"
    assert sum(o.status == "ok" for o in outcomes) >= 9  # a busy machine may cost a neighbour its second


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_AS holds on Linux")
def test_the_limit_on_memory(tmp_path: Path) -> None:
    hungry = tmp_path / "hungry.json"
    hungry.write_text("[" + ",".join("[{}]" for _ in range(3_000_000)) + "]")
    with limited(memory_bytes=200 * 2**20) as pool:
        outcome = pool.parse(hungry)
        assert outcome.status == "rejected" and outcome.reason.startswith("memory: "), outcome
        assert pool.parse(good(tmp_path, 1)[0]).status == "ok"


def test_a_parser_that_dies_of_memory_says_so_under_a_large_parent(tmp_path: Path) -> None:
    """The system's record of a child's most memory begins at the parent's size, and hides what the child took."""
    from mmkg.testing.hostile_files import BOMBS

    bomb = tmp_path / "forms.pdf"
    bomb.write_bytes(dict(BOMBS)["forms.pdf"]())
    ballast = bytearray(os.urandom(4096)) * (1200 * 2**20 // 4096)
    with limited(memory_bytes=2**30) as pool:
        outcome = pool.parse(bomb)
    assert ballast and outcome.reason.startswith("memory: "), outcome


def slow_file(folder: Path) -> Path:
    path = folder / "slow.md"
    path.write_text("# A\n\n*a* [b](c) `d` **e**\n\n" * 300_000)
    return path


def is_dead(child: int) -> bool:
    """Whether a child of ours has ended; its first thread may be dead before those that still hold its pipes."""
    state = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[0]
    return state == "Z" and len(os.listdir(f"/proc/{child}/task")) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="finds children in /proc")
@pytest.mark.parametrize(
    ("number", "reason"), [(signal.SIGSEGV, "crash: signal 11 (SIGSEGV)"), (signal.SIGKILL, "memory: the system ended")]
)
def test_a_child_that_dies_is_replaced(tmp_path: Path, number: int, reason: str) -> None:
    bytearray(600 * 2**20)  # our own peak must not be taken for the child's, though Linux hands it down
    before = children_of_this_process()
    with limited() as pool:
        assert pool.parse(good(tmp_path, 1)[0]).status == "ok"
        (child,) = children_of_this_process() - before
        future = pool.submit(slow_file(tmp_path))
        time.sleep(0.5)
        os.kill(child, number)
        outcome = future.result(timeout=60)
        assert outcome.status == "rejected" and outcome.reason.startswith(reason)
        assert all(o.status == "ok" for o in pool.map(good(tmp_path)))
        (other,) = children_of_this_process() - before
        assert other != child
        os.kill(other, signal.SIGKILL)  # one that dies idle costs nobody anything
        # Until all its threads are dead: one that dies while it takes a file cannot be told from one that the file killed.
        while not is_dead(other):
            time.sleep(0.01)
        assert all(o.status == "ok" for o in pool.map(good(tmp_path)))
    assert children_of_this_process() <= before


@pytest.mark.skipif(sys.platform != "linux", reason="finds children in /proc")
def test_an_error_of_ours_ends_the_children_at_once(tmp_path: Path) -> None:
    before = children_of_this_process()
    with pytest.raises(KeyboardInterrupt), limited() as pool:
        pool.submit(slow_file(tmp_path))
        time.sleep(1.0)
        raise KeyboardInterrupt
    assert children_of_this_process() <= before


def test_map_looks_only_a_little_ahead(pool: ParserPool, tmp_path: Path) -> None:
    taken = 0

    def paths() -> Iterator[Path]:
        nonlocal taken
        for path in good(tmp_path) * 4:
            taken += 1
            yield path

    outcomes = pool.map(paths())
    assert next(outcomes).status == "ok"
    assert taken <= 4
    assert sum(1 for _ in outcomes) == 39


def test_many_threads_share_a_pool(pool: ParserPool, tmp_path: Path) -> None:
    paths = good(tmp_path)
    results: list[Outcome] = []
    threads = [threading.Thread(target=lambda: results.extend(pool.map(paths))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 40 and all(o.status == "ok" for o in results)


def test_chunk_length_comes_from_the_settings(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("The lamp is lit again tonight. " * 40)
    with ParserPool(Settings(workers=1, chunk_characters=200, limits=LIMITS)) as pool:
        parsed = pool.parse(path).parsed
    assert parsed is not None and len(parsed.facts.units) >= 6


def in_child(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run code behind the guard of a parser process, in a process of its own."""
    start = "from mmkg.ingest import guard\nguard.limit_resources(1 << 30, 1 << 20)\nguard.forbid_effects()\n"
    env = {**os.environ, **environment, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    return subprocess.run([sys.executable, "-c", start + code], capture_output=True, text=True, env=env, check=False)


@pytest.mark.parametrize(
    "code",
    [
        "import socket; socket.socket()",
        "import socket; socket.create_connection(('127.0.0.1', 9))",
        "import socket; socket.getaddrinfo('localhost', 80)",
        "import urllib.request; urllib.request.urlopen('http://127.0.0.1:9/')",
        "import subprocess; subprocess.run(['true'])",
        "import os; os.system('true')",
        "import os; os.execv('/bin/true', ['true'])",
        "import os; os.fork()",
        "open('made-by-a-parser', 'w')",
        "import os; os.open('made-by-a-parser', os.O_CREAT | os.O_WRONLY)",
        "import os; os.remove('/nonexistent')",
        "import pickle; pickle.loads(b'cos\\nsystem\\n(S\"true\"\\ntR.')",
    ],
)
def test_the_guard_refuses(code: str) -> None:
    done = in_child(code)
    assert done.returncode == 1
    assert "PermissionError: a parser may not" in done.stderr


def test_the_child_sees_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not Path("/proc").is_dir():
        pytest.skip("no /proc")
    monkeypatch.setenv("SOME_API_KEY", "canary-3141")
    before = children_of_this_process()
    with limited() as pool:
        assert pool.parse(good(tmp_path, 1)[0]).status == "ok"
        (child,) = children_of_this_process() - before
        assert b"canary-3141" not in Path(f"/proc/{child}/environ").read_bytes()


@pytest.mark.parametrize("in_memory", [False, True], ids=["in place", "copy"])
def test_a_source_is_its_bytes(tmp_path: Path, in_memory: bool) -> None:
    (path,) = good(tmp_path, 1)
    with open_source(path, most=1000, in_memory=in_memory) as source:
        assert source.path.read_bytes() == path.read_bytes() == source.file.read()
        assert source.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
        if isinstance(source.path, DescriptorPath):
            assert path.name not in str(source.path.resolve())


def test_a_large_file_that_changes_meanwhile_is_noticed(tmp_path: Path) -> None:
    (path,) = good(tmp_path, 1)
    with pytest.raises(UnreadableError, match="changed"), open_source(path, most=1000, in_memory=False):
        path.write_text("other words")


def test_a_small_file_that_changes_meanwhile_does_not_matter(tmp_path: Path) -> None:
    (path,) = good(tmp_path, 1)
    before = path.read_bytes()
    with open_source(path, most=1000) as source:
        path.write_text("other words")
        assert source.path.read_bytes() == before


def test_a_huge_single_line(pool: ParserPool, tmp_path: Path) -> None:
    path = tmp_path / "line.txt"
    path.write_text("lorem ipsum dolor " * 60_000 + "x" * 500_000)
    outcome = pool.parse(path)
    assert outcome.parsed is not None
    assert max(u.end - u.start for u in outcome.parsed.facts.units) <= 1250


def test_a_zip_that_is_no_document(pool: ParserPool, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.docx", "w") as archive:
        archive.writestr("a.txt", "x")
    outcome = pool.parse(tmp_path / "a.docx")
    assert (outcome.status, outcome.reason) == ("rejected", "name: named .docx but the content is application/zip")
