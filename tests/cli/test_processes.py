"""What only real processes show: Ctrl-C, a closed pipe, another writer, a terminal."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
import time

import pytest

_HOLDS_THE_LOCK = """
import sys, time
from mmkg.config import Settings
from mmkg.kb import KnowledgeBase

def hold(progress):
    print("held", flush=True)
    time.sleep(300)

kb = KnowledgeBase(sys.argv[1], settings=Settings(workers=1, encoder="none", image_encoder="none"))
kb.add(sys.argv[2], progress=hold)
"""


@pytest.fixture
def many(tmp_path):
    folder = tmp_path / "many"
    folder.mkdir()
    for i in range(120):
        (folder / f"{i:03}.md").write_text(
            f"# Station {i}\n\n"
            + f"Station {i} lies beyond Mount Orrin, as Hilde Brandt wrote in 19{i % 100:02}. " * 20
        )
    return folder


def test_ctrl_c_ends_at_the_last_commit_and_the_next_run_goes_on(process, run, as_json, many, environment, tmp_path):
    kb = tmp_path / "kb"
    settings = {"MMKG_BATCH_UNITS": "4", "MMKG_WORKERS": "2"}
    adding = process("add", many, kb=kb, cwd=tmp_path, env=environment | settings)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and adding.poll() is None:
        # The second generation is being written, so the first is committed.
        if (kb / "manifest.json").exists() and any(kb.glob("index/text-[2-9]*.seg")):
            break
        time.sleep(0.02)
    # As a terminal does it: to the whole group, so also to the parsers and the engine.
    os.killpg(adding.pid, signal.SIGINT)
    out, err = adding.communicate(timeout=60)
    assert adding.returncode == 130, err.decode()
    said = [line for line in err.decode().splitlines() if not re.match(r"\d+ of \d+ files", line)]
    assert len(said) == 1 and said[0].startswith("mmkg: stopped; what was committed stays"), err.decode()
    assert out == b""

    committed = as_json("list", kb=kb)["documents"]
    assert 0 < len(committed) < 120, "the signal came in the middle"
    assert as_json("search", "Mount Orrin", "-k", 1, kb=kb)["hits"]
    again = as_json("add", many, kb=kb)
    assert sum(again["counts"].values()) == 120
    assert again["counts"]["unchanged"] >= len(committed)
    assert as_json("doctor", kb=kb)["problems"] == []
    as_json("add", many, kb=tmp_path / "at once")
    assert as_json("digest", "--deep", kb=kb) == as_json("digest", kb=tmp_path / "at once")


def test_another_writer_is_named_and_can_be_waited_for(run, as_json, many, environment, tmp_path):
    kb, one = tmp_path / "kb", many / "000.md"
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLDS_THE_LOCK, kb, one], stdout=subprocess.PIPE, env=environment, cwd=tmp_path
    )
    try:
        assert holder.stdout.readline() == b"held\n"
        for command in (("add", many), ("remove", one), ("rebuild",), ("doctor",)):
            result = run(*command, kb=kb)
            assert result.exit_code == 1
            line = result.stderr.strip()
            assert line.startswith("mmkg: another process is writing") and f"process {holder.pid}" in line
            assert "\n" not in line
        assert run("list", kb=kb).exit_code == 0, "reading is not held up"
    finally:
        holder.kill()
        holder.communicate()
    # The kernel frees the lock of the dead process.
    assert as_json("add", one, "--wait", 5, kb=kb)["counts"] in ({"added": 1}, {"unchanged": 1})


def test_a_reader_that_has_enough_ends_it_silently(process, base, tmp_path):
    query = "UNWIND range(1, 20000) AS n RETURN n, 'words that fill the pipe' AS words"
    command = process("cypher", query, "--rows", "20000", kb=base, cwd=tmp_path)
    assert command.stdout.readline() == b"n\twords\n"
    command.stdout.close()
    err = command.stderr.read()
    assert command.wait(timeout=60) == 0
    assert err == b""


def test_a_table_on_a_real_terminal(base, environment, tmp_path):
    main, side = pty.openpty()
    env = environment | {"TERM": "xterm-256color", "COLUMNS": "120", "LINES": "40"}
    command = [sys.executable, "-m", "mmkg", "--kb", str(base), "list"]
    drawn = {}
    for name, extra in (("colour", {}), ("plain", {"NO_COLOR": "1"})):
        with subprocess.Popen(command, stdout=side, stderr=subprocess.PIPE, env=env | extra, cwd=tmp_path) as shown:
            shown.stderr.read()
        drawn[name] = os.read(main, 1 << 16).decode()
    os.close(main)
    os.close(side)
    for text in drawn.values():
        assert "tamar light.md" in text and "rejected" in text
        assert "┃" in text or "|" in text, "a table"
    assert not re.search("\x1b\\[[0-9;]*3[0-9]", drawn["plain"]), "NO_COLOR"
