"""The package from outside: what an import costs, what is public, and that the wheel is whole."""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
import sys
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

import mmkg

ROOT = Path(__file__).resolve().parents[1]

# What `import mmkg` may load besides the standard library.
LIGHT = {"mmkg"}
# Together with the classes of the public names, before a base is opened.
PUBLIC = {
    "mmkg", "mmkg.config", "mmkg.display", "mmkg.displaystyle", "mmkg.errors", "mmkg.kb", "mmkg.kb.asking",
    "mmkg.kb.changing", "mmkg.kb.opened", "mmkg.kb.telling", "mmkg.kb.upkeep", "mmkg.models", "mmkg.reasons", "mmkg.types",
}  # fmt: skip
# `mmkg --help` and completion.
HELP = PUBLIC | {"mmkg.schema", "mmkg.cli"}


def _loaded(code, tmp_path):
    """Modules outside the standard library that a fresh interpreter has after the code, and what the code printed."""
    script = (
        "import sys; before = set(sys.modules)\n"
        + code
        + "\nprint(); print(*sorted(m for m in set(sys.modules) - before "
        "if m.split('.')[0] not in sys.stdlib_module_names))"
    )
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path, env=env)
    assert done.returncode == 0, done.stderr
    assert done.stderr == "", "an import warns of nothing"
    return set(done.stdout.splitlines()[-1].split())


ADD = """
from pathlib import Path
from mmkg.config import Settings
from mmkg.extract.names import NameExtractor
from mmkg.kb import KnowledgeBase
from mmkg.testing.encoders import HashingEncoder
Path("page.md").write_text("# Tamar Light\\n\\nTamar Light was built in 1871 by the men of Port Ferren, and it still stands.\\n")
parts = {"text_encoder": HashingEncoder(), "extractor": NameExtractor()}
with KnowledgeBase("kb", settings=Settings(workers=1, image_encoder="none"), **parts) as kb:
    assert kb.add("page.md").counts == {"added": 1}
"""


def test_adding_loads_no_library_of_models_by_itself(tmp_path):
    """spaCy and torch come with the parts that run models; the rest of `add` took five seconds of work to import them once."""
    heavy = {"spacy", "thinc", "torch", "transformers", "onnxruntime", "faiss", "neo4j"}
    assert not {m.split(".")[0] for m in _loaded(ADD, tmp_path)} & heavy


def test_import_loads_nothing_but_itself(tmp_path):
    assert _loaded("import mmkg", tmp_path) == LIGHT


def test_public_names_load_no_engine(tmp_path):
    assert _loaded("import mmkg\nfor name in mmkg.__all__: getattr(mmkg, name)", tmp_path) == PUBLIC


@pytest.mark.parametrize(
    "arguments", [["--help"], ["add", "--help"], ["--version"], []], ids=["help", "add", "version", "completion"]
)
def test_help_and_completion_load_no_engine(tmp_path, arguments):
    code = f"""
import os
if not {arguments}:
    os.environ |= {{"_MMKG_COMPLETE": "bash_complete", "COMP_WORDS": "mmkg ", "COMP_CWORD": "1"}}
from mmkg.cli.main import main
try:
    main({arguments}, prog_name="mmkg")
except SystemExit as e:
    assert e.code in (0, None), e.code
"""
    loaded = {m for m in _loaded(code, tmp_path) if not m.startswith("mmkg.cli.")}
    assert {m.split(".")[0] for m in loaded} <= {"mmkg", "click", "colorama"}
    assert {m for m in loaded if m.startswith("mmkg")} <= HELP


def test_import_reads_no_environment_and_changes_no_global(tmp_path):
    code = """
import logging, os, sys, warnings
class Watched(type(os.environ)):
    def __getitem__(self, key):
        raise AssertionError(f"read {key}")
    def get(self, key, default=None):
        raise AssertionError(f"read {key}")
    def __contains__(self, key):
        raise AssertionError(f"read {key}")
filters, level, handlers = list(warnings.filters), logging.root.level, list(logging.root.handlers)
variables = dict(os.environ)
os.environ.__class__ = Watched
import mmkg
for name in mmkg.__all__:
    getattr(mmkg, name)
os.environ.__class__ = Watched.__bases__[0]
assert dict(os.environ) == variables
assert (list(warnings.filters), logging.root.level, list(logging.root.handlers)) == (filters, level, handlers)
"""
    _loaded(code, tmp_path)


def test_public_names():
    assert mmkg.__all__ == sorted(mmkg.__all__)
    assert set(dir(mmkg)) == {*mmkg.__all__, "__version__"}
    for name in mmkg.__all__:
        assert getattr(mmkg, name).__name__ == name
        assert getattr(mmkg, name).__doc__, name
    with pytest.raises(AttributeError, match="nonsense"):
        _ = mmkg.nonsense


def test_version_and_typing_marker():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert mmkg.__version__ == project["version"]
    assert (ROOT / "mmkg" / "py.typed").is_file()


def test_every_module_can_be_imported_where_only_the_core_is_installed(tmp_path):
    """Optional libraries are imported at use, so that their absence is one line and not a broken module."""
    names = [
        ".".join(p.relative_to(ROOT).with_suffix("").parts)
        for p in sorted((ROOT / "mmkg").rglob("*.py"))
        if p.name not in ("__init__.py", "__main__.py") and p.parent.name != "testing"
    ]
    optional = (
        "torch",
        "transformers",
        "sentence_transformers",
        "open_clip",
        "rapidocr",
        "docx",
        "pyarrow",
        "av",
        "mcp",
    )
    optional += ("starlette", "uvicorn", "faster_whisper", "pytest", "hypothesis")
    engines = {"faiss", "spacy", "onnxruntime", "kglite", "neo4j", "cv2"}
    code = f"""
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {optional}:
            raise ImportError(f"{{name}} is not installed")
sys.meta_path.insert(0, Absent())
import importlib
for name in {names}:
    importlib.import_module(name)
"""
    assert not {m.split(".")[0] for m in _loaded(code, tmp_path)} & engines, "engines are imported at use"


def test_package_data_is_there():
    common = importlib.import_module("mmkg.algorithms.words")
    assert common.__doc__
    assert list((ROOT / "mmkg").rglob("common_words.txt"))


@pytest.mark.slow
@pytest.mark.models
@pytest.mark.timeout(900)
def test_the_wheel_alone_runs_the_demo(tmp_path):
    """Built, put into a new environment outside the clone, and run in an empty folder."""
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path / "dist")]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    inside = set(zipfile.ZipFile(wheel).namelist())
    demo = {p.relative_to(ROOT / "data/demo").as_posix() for p in (ROOT / "data/demo").rglob("*") if p.is_file()}
    assert {f"mmkg/_demo/{name}" for name in demo} <= inside
    assert any(n.endswith("common_words.txt") for n in inside) and "mmkg/py.typed" in inside
    modules = {p.relative_to(ROOT).as_posix() for p in (ROOT / "mmkg").rglob("*.py")}
    assert modules <= inside
    assert not [n for n in inside if n.startswith(("tests/", "scripts/"))]

    home = tmp_path / "venv"
    venv.create(home, with_pip=False)
    python = home / "bin" / "python"
    site = next((home / "lib").glob("python*/site-packages"))
    # What pip would install: the wheel's files. Its dependencies come from the running environment, so nothing is fetched.
    zipfile.ZipFile(wheel).extractall(site)
    (site / "dependencies.pth").write_text("\n".join(p for p in sys.path if p.endswith("site-packages")) + "\n")
    empty = tmp_path / "empty"
    empty.mkdir()
    env = {k: v for k, v in os.environ.items() if not k.startswith(("MMKG_", "PYTHONPATH"))}
    env["XDG_CONFIG_HOME"] = str(tmp_path / "config")

    def run(*words):
        return subprocess.run([python, *words], cwd=empty, env=env, capture_output=True, text=True)

    where = run("-c", "import mmkg; print(mmkg.__file__)")
    assert where.stdout.strip().startswith(str(site)), where.stdout + where.stderr
    done = run("-m", "mmkg", "demo", "--json")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    script = json.loads((site / "mmkg/_demo/questions.json").read_text(encoding="utf-8"))
    assert said["counts"] == {"added": len(list((site / "mmkg/_demo/files").iterdir()))}
    missed = []
    for question, answer in zip(script["questions"], said["answers"], strict=True):
        words = f"{answer['answer']} {answer['short']}".casefold()
        right = (
            any(a.casefold() in words for a in question["answers"]) if question["answerable"] else not answer["found"]
        )
        if not right:
            missed.append((question["question"], answer["answer"]))
    assert not missed, missed
    report = (empty / said["report"]).read_text(encoding="utf-8")
    outside = [x for x in re.findall(r"(?:src|href)\s*=\s*[\"']([^\"']*)", report) if not x.startswith(("data:", "#"))]
    assert "<html" in report and not outside, "self-contained"
    assert sorted(p.name for p in empty.iterdir()) == ["demo-kb", "demo-report.html"]
