"""A server that goes away in the middle of the work: a named error, then the run goes on where it was."""

from __future__ import annotations

import functools
import os
import shutil
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mmkg.errors import ConfigError, StoreError, StoreLockedError, StoreUnavailableError
from mmkg.store.folder.doctor import is_problem

pytestmark = [pytest.mark.neo4j, pytest.mark.slow]


@pytest.fixture
def own_server(neo4j_script, tmp_path, monkeypatch):
    """A server of the test's own, started and killed at will on one port."""
    running = []

    def start(**settings):
        port = int(running[-1].uri.rsplit(":", 1)[1]) if running else 0
        try:
            with pytest.MonkeyPatch.context() as patch:
                for name, value in settings.items():
                    patch.setitem(neo4j_script._SETTINGS, name.replace("__", "."), value)
                running.append(neo4j_script.start(tmp_path / "home", port=port, tied=True))
        except neo4j_script.NotHere as e:
            pytest.skip(str(e))
        monkeypatch.setenv("NEO4J_USER", running[-1].user)
        monkeypatch.setenv("NEO4J_PASSWORD", running[-1].password)
        return running[-1]

    start.stop = lambda **options: neo4j_script.stop(running[-1], **options)
    yield start
    if running:
        start.stop()


def _runs(pid, wait_s=30.0):
    """Whether a process still runs after a while; one that has ended and that nobody has collected does not."""
    end = time.monotonic() + wait_s
    while time.monotonic() < end:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return False
        except OSError:
            return False
        time.sleep(0.1)
    return True


@pytest.fixture
def small_disk(tmp_path):
    """tmp_path/home as a disk of 200 MB of its own, in memory."""
    home = tmp_path / "home"
    home.mkdir()
    if shutil.which("mount") is None or not hasattr(os, "geteuid") or os.geteuid() != 0:
        pytest.skip("a small disk needs root and mount")
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200m", "tmpfs", home], capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {done.stderr.decode().strip()}")
    yield home
    subprocess.run(["umount", "-l", home], check=True)


@pytest.fixture
def open_kb(make_kb, tmp_path, monkeypatch):
    """A commit for each document."""
    monkeypatch.setenv("MMKG_CACHE", str(tmp_path / "cache"))
    return functools.partial(make_kb, batch_units=1)


def test_a_killed_server_costs_no_document(own_server, open_kb, write, tmp_path, monkeypatch) -> None:
    for i in range(8):
        write(f"{i}.md", f"# Person Number{i}\n\nPerson Number{i} met Person Number{(i + 3) % 8} in 19{i}0.\n")
    server = own_server()
    place = f"{server.uri}/neo4j?media={(tmp_path / 'media').as_uri()}"

    def pull_the_plug(progress) -> None:
        if progress.done == 4:
            os.kill(server.pid, signal.SIGKILL)

    with pytest.raises(StoreUnavailableError, match="start it"), open_kb(place) as kb:
        kb.add(tmp_path / "files", progress=pull_the_plug)
    own_server()
    with open_kb(place) as kb, open_kb(tmp_path / "kb") as folder:
        before = {d["id"] for d in kb.documents()}
        assert len(before) >= 4  # what was reported as added survives the kill
        assert kb.add(tmp_path / "files").counts == {"added": 8 - len(before), "unchanged": len(before)}
        folder.add(tmp_path / "files")
        assert kb.digest() == folder.digest()
        assert kb.doctor() == []

    monkeypatch.setenv("NEO4J_PASSWORD", "changed-meanwhile")
    with pytest.raises(ConfigError, match="set NEO4J_USER and NEO4J_PASSWORD"), open_kb(place) as kb:
        kb.add(tmp_path / "files")
    monkeypatch.setenv("NEO4J_PASSWORD", server.password)


def test_nobody_reads_a_part_while_the_base_is_rebuilt(own_server, open_kb, write, tmp_path) -> None:
    """While a rebuild runs, or after one was killed, reads and commits are refused by name; afterwards all is as it was."""
    write("a.md", "# Ada Lovelace\n\nAda Lovelace met Charles Babbage.\n")
    place = f"{own_server().uri}/neo4j?media={(tmp_path / 'media').as_uri()}"
    with open_kb(place) as kb, open_kb(place) as reader:
        kb.add(tmp_path / "files")
        want = kb.digest(), [e.id for e in reader.search("Ada Lovelace")]
        seen = []

        def look(done: int, total: int) -> None:
            for read in (lambda: reader.search("Ada"), lambda: reader.cypher("RETURN 1"), reader.digest, reader.stats):
                with pytest.raises(StoreLockedError, match="mmkg rebuild"):
                    read()
            seen.append(done)
            if len(seen) == 1:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            kb.rebuild(progress=look)
        with pytest.raises(StoreLockedError, match="run it again"):
            reader.documents()
        kb.rebuild(progress=look)
        assert seen == [1, 1]
        assert (kb.digest(), [e.id for e in reader.search("Ada Lovelace")]) == want
        # A call that a rebuild ran through is not answered either.
        with pytest.raises(StoreLockedError, match="meanwhile"), reader._server.whole():
            kb.rebuild()


def test_a_batch_beyond_the_servers_memory_comes_in_by_halves(
    own_server, open_kb, write, tmp_path, monkeypatch
) -> None:
    """Several documents that are too much together are several commits; one that is too much alone is named with the cure."""
    place = f"{own_server(db__memory__transaction__max='6m').uri}/neo4j?media={(tmp_path / 'media').as_uri()}"
    for i in range(6):
        people = "\n\n".join(f"Person Number{i}x{j} of Town{i}x{j} met Keeper{i}x{j}." for j in range(150))
        write(f"{i}.md", f"# Book {i}\n\n{people}\n")
    with open_kb(place, batch_units=10_000) as kb, open_kb(tmp_path / "kb") as folder:
        report = kb.add(tmp_path / "files")
        folder.add(tmp_path / "files")
        assert report.counts == {"added": 6}
        assert kb.digest() == folder.digest()
        long = write("long.md", "\n\n".join(f"Person Name{j}z of Village{j}z met Smith{j}z." for j in range(6000)))
        last = write("zz.md", "# Last\n\nPerson Last met Keeper Last.\n")
        report = kb.add(tmp_path / "files")
        assert report.counts == {"unchanged": 6, "added": 1, "failed": 1}
        (failed,) = [d for d in report.documents if d.status == "failed"]
        assert failed.uri == long.as_uri() and failed.reason.startswith("server-memory: ")
        assert "db.memory.transaction.max" in failed.reason
        folder.add(last)
        assert kb.digest() == folder.digest()
        assert [s["status"] for s in kb.sources() if s["uri"] == long.as_uri()] == ["failed"]
        long.write_text("# Short\n\nPerson Short met nobody.\n")
        assert kb.add(tmp_path / "files").counts == {"unchanged": 7, "added": 1}
        folder.add(long)
        assert kb.digest() == folder.digest() and not [p for p in kb.doctor() if is_problem(p)]


def test_a_full_disk_is_named_and_the_run_goes_on_with_room(small_disk, own_server, open_kb, write, tmp_path) -> None:
    """The server's disk fills up in the middle of an ingest: stopped, given room and started, it has what was reported as added.

    The order matters. A server that is ended in order when it has room again writes the rest of a torn record into its
    log, and then refuses to start.
    """
    for i in range(8):
        write(f"{i}.md", f"# Person Number{i}\n\nPerson Number{i} met Person Number{(i + 3) % 8} in 19{i}0.\n")
    ballast = small_disk / "ballast"
    server = own_server()
    place = f"{server.uri}/neo4j?media={(tmp_path / 'media').as_uri()}"

    def fill(progress) -> None:
        if progress.done == 4:
            with pytest.raises(OSError, match="No space left"), ballast.open("wb") as f:
                while f.write(bytes(4096)):
                    f.flush()

    for callback in (fill, None):  # the first failure, and what the server says from then on
        with pytest.raises(StoreError, match=r"cannot write.*stop the server.*room.*start it"), open_kb(place) as kb:
            kb.add(tmp_path / "files", progress=callback)
    own_server.stop(wait_s=5)
    assert not _runs(server.pid)
    ballast.unlink()
    own_server()
    with open_kb(place) as kb, open_kb(tmp_path / "kb") as folder:
        before = {d["id"] for d in kb.documents()}
        assert len(before) >= 4
        assert kb.add(tmp_path / "files").counts == {"added": 8 - len(before), "unchanged": len(before)}
        folder.add(tmp_path / "files")
        assert kb.digest() == folder.digest()
        assert kb.doctor() == []


def test_fifty_callers_share_a_pool_of_two(own_server, open_kb, write, tmp_path) -> None:
    """All are answered, in turn; none waits for ever, and the pool holds no connection afterwards."""
    write("a.md", "# Ada Lovelace\n\nAda Lovelace met Charles Babbage.\n")
    place = f"{own_server().uri}/neo4j?media={(tmp_path / 'media').as_uri()}"
    with open_kb(place) as kb:
        kb.add(tmp_path / "files")
        kb._server.connection.close()
        kb._server.connection._pool = 2
        count = "MATCH (e:Entity) RETURN count(e) AS n"
        want = kb.cypher(count).rows
        with ThreadPoolExecutor(50) as callers:
            work = [callers.submit(kb.cypher, count) if i % 2 else callers.submit(kb.search, "Ada") for i in range(100)]
            found = [w.result(timeout=300) for w in work]
        assert all(r.rows == want for r in found[1::2])
        assert len({tuple(e.id for e in hits) for hits in found[::2]}) == 1
        held = kb._server.connection.driver()._pool.in_use_connection_count
        assert all(held(address) == 0 for address in kb._server.connection.driver()._pool.connections)
