"""The graph's snapshot at the end of a long run: taken by the engine that followed it, loaded from the ledger, or replayed."""

from __future__ import annotations

import os
import signal

import pytest

from mmkg.errors import StoreError
from mmkg.store.embedded.graph import KGLiteStore
from mmkg.store.folder import follower, snapshots, writer
from mmkg.store.folder.doctor import is_problem


@pytest.fixture
def pages(write):
    return [write(f"{n}.md", f"# Page {n}\n\nPage {n} tells of Ada Lovelace and Town{n % 3}.\n") for n in range(8)]


def _after(kb, pages, make_kb, tmp_path):
    """The snapshot holds all of the graph, and the base is what it would be without one."""
    generation = kb._read().generation
    assert generation.graph_snapshot is not None and not generation.graph_deltas
    assert not [p for p in kb.doctor() if is_problem(p)]
    plain = make_kb(tmp_path / "plain")
    plain.add(*pages)
    query = "MATCH (a)-[r]->(b) RETURN type(r) AS t, count(*) AS n ORDER BY t"
    assert kb.cypher(query).rows == plain.cypher(query).rows
    assert kb.digest(deep=True) == plain.digest(deep=True)


def test_an_engine_follows_a_long_run_and_only_saves_at_its_end(make_kb, pages, tmp_path, monkeypatch):
    kb = make_kb(batch_units=1)
    taken = []
    real = follower.GraphFollower.store

    def store(self, tell):
        taken.append(len(self._deltas))
        return real(self, tell)

    with monkeypatch.context() as patch:
        patch.setattr(writer, "SNAPSHOT_ROWS", 20)
        patch.setattr(follower.GraphFollower, "store", store)
        patch.setattr(KGLiteStore, "load", lambda *_: pytest.fail("it followed; nothing is loaded"))
        kb.add(*pages)
        assert len(taken) == 1 and taken[0] >= 3, "it took in the deltas of several batches"
    _after(kb, pages, make_kb, tmp_path)


@pytest.mark.parametrize("how", ["killed", "interrupted"])
def test_a_follower_that_dies_costs_time_and_nothing_else(make_kb, pages, tmp_path, monkeypatch, how):
    kb = make_kb(batch_units=1)
    real = follower.GraphFollower.store

    def store(self, tell):
        real(self, tell)
        if how == "killed":
            os.kill(self._store._parts.engine().process.pid, signal.SIGKILL)
            self._store._parts.engine().process.wait()
            self._jobs.append(self._pool.submit(self._store.apply_file, tmp_path / "nothing.gz"))
            return real(self, tell)
        raise StoreError("stopped")

    with monkeypatch.context() as patch:
        patch.setattr(writer, "SNAPSHOT_ROWS", 20)
        patch.setattr(follower.GraphFollower, "store", store)
        kb.add(*pages)
    _after(kb, pages, make_kb, tmp_path)


def test_one_large_batch_is_loaded_from_the_ledger_with_progress(make_kb, pages, tmp_path, monkeypatch):
    kb = make_kb()
    told = []
    with monkeypatch.context() as patch:
        patch.setattr(writer, "SNAPSHOT_ROWS", 20)
        patch.setattr(snapshots, "_TICK", 20)
        patch.setattr(writer.FolderWriter, "_follow", lambda self: None)
        kb.add(*pages, progress=told.append)
    steps = [p for p in told if p.stage == "graph"]
    assert len(steps) > 3 and all(p.done <= p.total for p in steps)
    _after(kb, pages, make_kb, tmp_path)


def test_a_failed_run_ends_its_follower(make_kb, pages, monkeypatch):
    started = []
    real = follower.GraphFollower.__init__

    def init(self, *arguments):
        real(self, *arguments)
        started.append(self)

    kb = make_kb(batch_units=1)
    with monkeypatch.context() as patch:
        patch.setattr(writer, "SNAPSHOT_ROWS", 20)
        patch.setattr(follower.GraphFollower, "__init__", init)

        def stop(progress):
            if started:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            kb.add(*pages, progress=stop)
    (one,) = started
    assert one._store._parts.engine() is None
    kb.add(*pages)
    assert not [p for p in kb.doctor() if is_problem(p)]
