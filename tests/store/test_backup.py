"""backup and restore: one whole state while others write, only what is new is copied, nothing foreign is overwritten."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading

import pytest

from mmkg.errors import NotFoundError, StoreDamagedError, StoreError, StoreLockedError
from mmkg.kb import KnowledgeBase
from mmkg.store.durable import BACKUP_FAILPOINTS
from mmkg.store.folder import backup as module
from mmkg.store.folder.backup import backup, read_mark, restore
from mmkg.store.folder.doctor import is_problem


@pytest.fixture
def kb(make_kb, write):
    kb = make_kb()
    kb.add(*(write(f"{n}.md", f"# Page {n}\n\nPage {n} tells of Ada Lovelace and Town{n}.\n") for n in range(4)))
    return kb


def _same(a, b):
    """Two bases that answer alike, and have no fault."""
    assert a.digest(deep=True) == b.digest(deep=True)
    assert [e.id for e in a.search("Ada Lovelace")] == [e.id for e in b.search("Ada Lovelace")]
    assert a.cypher("MATCH (n) RETURN count(n)").rows == b.cypher("MATCH (n) RETURN count(n)").rows
    assert not [p for p in b.doctor() if is_problem(p)]


def test_a_backup_restores_to_the_same_base(kb, make_kb, tmp_path):
    done = kb.backup(tmp_path / "safe" / "copy")
    assert done.digest == kb.digest() and not done.damaged and done.kept == 0
    assert read_mark(tmp_path / "safe/copy")["digest"] == done.digest
    again = KnowledgeBase.restore(tmp_path / "safe/copy", tmp_path / "again")
    assert again.digest == done.digest
    _same(kb, make_kb(tmp_path / "again"))
    assert not [p.name for p in (tmp_path / "safe").iterdir() if p.name.startswith(".")]


def test_a_backup_can_be_read_where_nothing_can_be_written(kb, make_kb, tmp_path):
    kb.backup(tmp_path / "copy")
    assert not list((tmp_path / "copy").glob("ledger.sqlite-*"))
    with make_kb(tmp_path / "copy") as copy:
        assert [e.id for e in copy.search("Ada Lovelace")] == [e.id for e in kb.search("Ada Lovelace")]
    assert not list((tmp_path / "copy").glob("ledger.sqlite-*")), "its ledger needs no log beside it"


def test_a_second_backup_copies_only_what_is_new(kb, make_kb, write, tmp_path):
    target = tmp_path / "copy"
    first = kb.backup(target)
    same = kb.backup(target)
    assert (same.copied, same.dropped) == (1, 0), "the ledger"
    assert same.kept == first.copied - 1
    kb.remove(tmp_path / "files/0.md")
    kb.add(write("new.md", "# New\n\nA new page about Ada Lovelace.\n"))
    third = kb.backup(target)
    assert third.kept >= 4 and third.dropped >= 1
    assert third.copied < first.copied + 3
    restore(target, tmp_path / "again")
    _same(kb, make_kb(tmp_path / "again"))
    kb.compact()
    kb.backup(target)
    names = {p.relative_to(target).as_posix() for p in target.rglob("*") if p.is_file()}
    mine = {p.relative_to(kb.root).as_posix() for p in kb.root.rglob("*") if p.is_file()}
    assert names - {"backup.json", "writer.lock"} == {n for n in mine if "-wal" not in n and "-shm" not in n} - {
        "writer.lock"
    }


def test_a_damaged_copy_is_found_with_verify(kb, tmp_path):
    target = tmp_path / "copy"
    kb.backup(target)
    blob = next(p for p in (target / "blobs").rglob("*") if p.is_file())
    blob.write_bytes(b"x" * blob.stat().st_size)
    assert kb.backup(target).copied == 1, "without it the size is all that is looked at"
    with pytest.raises(AssertionError):
        assert not restore(target, tmp_path / "broken").damaged
    assert kb.backup(target, verify=True).copied == 2
    assert not restore(target, tmp_path / "whole").damaged


@pytest.mark.parametrize("other", ["files", "another base's", "a base", "inside", "a file"])
def test_nothing_that_is_no_backup_of_this_base_is_overwritten(kb, make_kb, write, tmp_path, other):
    target = tmp_path / "target"
    if other == "files":
        write("letter.txt", "mine", folder="target")
    elif other == "a file":
        target.write_text("mine")
    elif other == "inside":
        target = kb.root / "blobs" / "copy"
    else:
        with make_kb(tmp_path / "other") as made:
            made.add(tmp_path / "files/0.md")
            made.backup(target) if other == "another base's" else made.close()
            if other == "a base":
                shutil.copytree(tmp_path / "other", target)
    before = {p: p.read_bytes() for p in target.rglob("*") if p.is_file()} if target.is_dir() else {}
    with pytest.raises(StoreError, match=r"no backup|another base|one another"):
        kb.backup(target)
    assert all(p.read_bytes() == data for p, data in before.items())


def test_restore_overwrites_only_a_base_and_only_if_told(kb, make_kb, write, tmp_path):
    kb.backup(tmp_path / "copy")
    digest = kb.digest()
    kb.remove(tmp_path / "files/0.md")
    kb.close()
    with pytest.raises(StoreError, match="not empty; name a new folder, or pass --overwrite"):
        restore(tmp_path / "copy", kb.root)
    write("letter.txt", "mine", folder="home")
    with pytest.raises(StoreError, match="no base"):
        restore(tmp_path / "copy", tmp_path / "home", overwrite=True)
    assert (tmp_path / "home/letter.txt").read_text() == "mine"
    with kb._writer(), pytest.raises(StoreLockedError):
        restore(tmp_path / "copy", kb.root, overwrite=True)
    restore(tmp_path / "copy", kb.root, overwrite=True)
    assert make_kb(kb.root).digest(deep=True) == digest
    assert sorted(p.name for p in tmp_path.iterdir()) == ["copy", "files", "home", "kb"]
    with pytest.raises(NotFoundError, match="no backup"):
        restore(tmp_path / "files", tmp_path / "x")


def test_restore_refuses_another_ledger_and_names_damaged_files(kb, make_kb, tmp_path):
    kb.backup(tmp_path / "copy")
    segment = next((tmp_path / "copy/index").glob("text-*"))
    segment.write_bytes(segment.read_bytes()[:-1] + b"\x01")
    done = restore(tmp_path / "copy", tmp_path / "again")
    assert done.damaged == [f"index/{segment.name}"]
    again = make_kb(tmp_path / "again")
    assert all(p.fixed for p in again.doctor(fix=True) if is_problem(p))
    _same(kb, again)
    with make_kb(tmp_path / "copy") as copy:
        copy.remove(tmp_path / "files/1.md")
    with pytest.raises(StoreDamagedError, match="not the one that was backed up"):
        restore(tmp_path / "copy", tmp_path / "third")
    assert not (tmp_path / "third").exists()


def test_a_backup_beside_a_busy_writer_is_one_of_its_states(kb, make_kb, write, tmp_path):
    """Documents come and go while it runs, with their blobs; some states are compacted, so that files vanish at once."""
    pages = [write(f"busy/{n}.md", f"# Busy {n}\n\nBusy {n} met Ada Lovelace in Town{n % 4}.\n") for n in range(6)]
    digests, stop = {kb.digest()}, threading.Event()

    def work():
        with make_kb(kb.root) as writer:
            for n in range(60):
                if stop.is_set():
                    return
                page = pages[n % 6]
                writer.remove(page) if n % 12 >= 6 else writer.add(page)
                digests.add(writer.digest())
                if n % 5 == 4:
                    writer.compact(wait_s=0)

    thread = threading.Thread(target=work)
    thread.start()
    taken = []
    try:
        for i in range(4):
            taken.append(backup(kb.root, tmp_path / f"copy{i % 2}"))
            restore(tmp_path / f"copy{i % 2}", tmp_path / f"again{i}")
    finally:
        stop.set()
        thread.join()
    for i, done in enumerate(taken):
        again = make_kb(tmp_path / f"again{i}")
        assert not done.damaged
        assert done.digest in digests and again.digest(deep=True) == done.digest
        # It may have come between staging and publishing: a state like any other, and the next `add` goes on from there.
        assert {p.kind for p in again.doctor() if is_problem(p)} <= {"batch-interrupted"}


def test_what_a_writer_takes_away_meanwhile_makes_it_begin_with_the_newer_state(kb, tmp_path, monkeypatch):
    """The hard case, made certain: between the look at the ledger and the copy, a document goes with its original."""
    real, once = module._copy_blobs, [True]

    def copy(*arguments):
        if once.pop() if once else False:
            kb.remove(tmp_path / "files/2.md")
        return real(*arguments)

    monkeypatch.setattr(module, "_copy_blobs", copy)
    done = backup(kb.root, tmp_path / "copy")
    assert not once and not done.damaged
    assert done.digest == kb.digest()


_DRIVER = """
import sys
from pathlib import Path
from mmkg.store.folder.backup import backup, restore
{"backup": backup, "restore": restore}[sys.argv[1]](Path(sys.argv[2]), Path(sys.argv[3]))
"""
_QUICK = ("backup-ledger-renamed",)
_POINTS = [p if p in _QUICK else pytest.param(p, marks=pytest.mark.slow) for p in BACKUP_FAILPOINTS]


@pytest.mark.parametrize("point", _POINTS)
def test_killed_at_any_step_the_old_backup_or_the_new_one_is_there(kb, make_kb, write, tmp_path, point):
    def killed(what, *words):
        env = {**os.environ, "MMKG_FAILPOINT": point}
        done = subprocess.run([sys.executable, "-c", _DRIVER, what, *words], env=env, capture_output=True, text=True)
        assert done.returncode == -signal.SIGKILL, done.stderr

    target, before = tmp_path / "copy", kb.digest()
    killed("backup", kb.root, target)
    assert not target.exists()
    kb.backup(target)
    kb.remove(tmp_path / "files/0.md")
    kb.add(write("new.md", "# New\n\nA new page about Ada Lovelace.\n"))
    killed("backup", kb.root, target)
    with make_kb(target) as copy:
        assert copy.digest(deep=True) in (before, kb.digest())
        assert copy.search("Ada Lovelace") and not copy.index().n_units < 4
    kb.backup(target)
    if "mark" not in point:
        killed("restore", target, tmp_path / "again")
        assert not (tmp_path / "again").exists()
    restore(target, tmp_path / "again")
    _same(kb, make_kb(tmp_path / "again"))
    left = [p for p in tmp_path.rglob("*") if p.name.endswith(".tmp")]
    assert not left, left
