"""Settings: argument before variable before file before default; slips are errors with a suggestion."""

from __future__ import annotations

import pytest

from mmkg.config import Limits, Settings
from mmkg.errors import ConfigError


@pytest.fixture
def load(tmp_path, monkeypatch):
    """load(toml, variables, **arguments) in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def call(toml="", environ=None, **arguments):
        file = tmp_path / "mmkg.toml"
        file.write_text(toml, encoding="utf-8")
        return Settings.load(environ={"XDG_CONFIG_HOME": str(tmp_path / "config"), **(environ or {})}, **arguments)

    return call


def test_defaults(load):
    assert load() == Settings()


def test_who_wins(load):
    toml = "workers = 3\nencoder = 'file'\nquery_rows = 5\n[limits]\npages = 3\nseconds = 3.0\nbytes = 3\n"
    variables = {"MMKG_ENCODER": "variable", "MMKG_QUERY_ROWS": "6", "MMKG_LIMIT_PAGES": "4", "MMKG_LIMIT_BYTES": "4"}
    got = load(toml, variables, query_rows=7, limits={"bytes": 5})
    assert (got.workers, got.encoder, got.query_rows) == (3, "variable", 7)
    assert (got.limits.seconds, got.limits.pages, got.limits.bytes) == (3.0, 4, 5)
    assert load(toml, variables, limits=Limits(pages=9)).limits == Limits(pages=9)
    assert load(toml, query_rows=None).query_rows == 5, "None is no argument"


def test_the_user_folder_is_read_where_the_working_folder_has_no_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    home = tmp_path / "config" / "mmkg"
    home.mkdir(parents=True)
    (home / "mmkg.toml").write_text("workers = 7")
    environ = {"XDG_CONFIG_HOME": str(tmp_path / "config")}
    assert Settings.load(environ=environ).workers == 7
    (tmp_path / "mmkg.toml").write_text("workers = 8")
    assert Settings.load(environ=environ).workers == 8
    # A folder with a manifest is a base, and what lies in a base sets nothing.
    (tmp_path / "manifest.json").write_text("{}")
    assert Settings.load(environ=environ).workers == 7


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        ("worker = 2", "did you mean workers"),
        ("colour = 2", "known: "),
        ("[limits]\npage = 2", "did you mean limits.pages"),
        ("limits = 3", r"\[limits\]"),
        ("workers = 'two'", "expected int"),
        ("workers = 0", "above 0"),
        ("workers = 2.5", "expected int"),
        ("workers = true", "expected int"),
        ("batch_seconds = nan", "above 0"),
        ("batch_units = inf", "expected int"),
        ("ocr = 5", "expected bool"),
        ("ocr = 'perhaps'", "expected bool"),
        ("device = 3 = 4", "cannot read settings"),
    ],
)
def test_slips_are_named(load, toml, words):
    with pytest.raises(ConfigError, match=words):
        load(toml)


@pytest.mark.parametrize(("text", "value"), [("1", True), ("yes", True), ("TRUE", True), ("0", False), ("no", False)])
def test_flags_from_variables(load, text, value):
    assert load(environ={"MMKG_OCR": text}).ocr is value


def test_a_whole_number_may_be_written_with_a_point(load):
    assert load("workers = 2.0").workers == 2
    assert load("query_timeout_s = 3").query_timeout_s == 3.0
