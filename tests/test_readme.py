"""What README says is run: its Python, its Cypher, its commands, its settings, its links."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

import pytest

from mmkg.config import Settings

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


@pytest.fixture
def files(tmp_path, monkeypatch):
    """The small folder that the examples speak of, in an empty working folder."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "tamar.md").write_text(
        "# Tamar Light\n\nTamar Light was designed by Elias Crane. It stands on Penrock Head.\n"
    )
    (folder / "crane.md").write_text("# Elias Crane\n\nElias Crane was born in Port Ferren.\n")
    return folder


@pytest.mark.models
def test_python_blocks_run_in_order(files, capsys):
    scope = {}
    for block in blocks("python"):
        exec(compile(block, "README.md", "exec"), scope)
    said = capsys.readouterr().out
    assert "{'added': 2}" in said and "Elias Crane" in said
    assert "1 Tamar Light" in said, "the answer cites its document"


def test_cypher_blocks_run_and_give_the_columns_they_name(files, make_kb):
    kb = make_kb()
    kb.add(files)
    first, second, third = (kb.cypher(block) for block in blocks("cypher"))
    assert ("Elias Crane", 2) in first.rows
    assert second.columns == ("document", "shared") and second.rows[0][0] == "Elias Crane"
    assert third.columns == ("words", "entities")


def test_commands_are_ones_that_mmkg_takes(tmp_path, monkeypatch):
    import click

    from mmkg.cli.main import main

    lines = [line for block in blocks("sh") for line in block.splitlines() if line.startswith("mmkg ")]
    assert len(lines) >= 10
    monkeypatch.chdir(tmp_path)
    (tmp_path / "horn.wav").write_bytes(b"")  # an option that takes a file looks whether it is there
    for line in lines:
        words = shlex.split(line, comments=True)
        if words[1] != "eval":  # it has bases of its own
            assert words[1:3] == ["--kb", "./kb"]
            del words[1:3]
        command = main.get_command(None, words[1])
        assert command is not None, line
        with command.make_context(words[1], words[2:]) as context:
            assert isinstance(context, click.Context)


def test_make_targets_exist():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"^make ([\w-]+)", README, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_settings_example_is_valid(tmp_path):
    (example,) = blocks("toml")
    (tmp_path / "mmkg.toml").write_text(example, encoding="utf-8")
    settings = Settings.load(tmp_path / "mmkg.toml", environ={})
    assert settings.workers == tomllib.loads(example)["workers"]


def test_extras_and_links_exist():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for extras in re.findall(r'pip install "\.\[([\w,]+)\]"', README):
        assert set(extras.split(",")) <= set(project["optional-dependencies"])
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / target).exists(), target
