"""What the commands do and say: exit codes, one-line errors with the fix, statuses, help, completion."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

import click
import pytest

from mmkg.cli.main import main

COMMANDS = main.list_commands(None)


def says_one_line(result, *words, code=1):
    """The whole error is one line on stderr that begins with the program's name and holds the words."""
    assert result.exit_code == code, result.output
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("mmkg: "), result.stderr
    assert result.stdout == ""
    for word in words:
        assert word in lines[0]


# ---- help ----


@pytest.mark.parametrize("name", COMMANDS)
def test_help_begins_with_an_example_and_every_option_is_explained(run, name):
    text = run(name, "--help").stdout.splitlines()
    example = next(line.strip() for line in text[1:] if line.strip())
    assert "mmkg" in example and name in example
    for parameter in main.get_command(None, name).params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{name} {parameter.opts}"


def test_the_program_itself_has_an_example_and_explains_its_options(run):
    text = run("--help").stdout.splitlines()
    assert text[2].strip().startswith("mmkg --kb")
    assert all(p.help for p in main.params if isinstance(p, click.Option))
    for name in COMMANDS:
        assert any(line.strip().startswith(name + " ") for line in text), name


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_script(run, shell):
    result = run("completion", shell)
    assert result.exit_code == 0
    assert "_MMKG_COMPLETE" in result.stdout and f"{shell}_complete" in result.stdout


def test_completion_knows_commands_and_options(run):
    words = {"_MMKG_COMPLETE": "bash_complete", "COMP_WORDS": "mmkg re", "COMP_CWORD": "1"}
    result = run(env=words)
    assert {line.split(",")[1] for line in result.stdout.split()} == {"remove", "rebuild", "reindex", "restore"}


def test_a_base_by_a_relative_path_is_as_sound_as_by_an_absolute_one(run, base):
    result = run("doctor", kb=base.name, cwd=base.parent)
    assert result.exit_code == 0 and "the base is sound" in result.stdout, result.stdout


# ---- errors ----


@pytest.mark.parametrize(
    "command",
    [
        *(("list",), ("show", "x"), ("search", "x"), ("ask", "x"), ("cypher", "RETURN 1"), ("path", "a", "b")),
        *(
            ("stats",),
            ("digest",),
            ("rebuild",),
            ("compact",),
            ("backup", "copy"),
            ("remove", "x"),
            ("export", "x.jsonl"),
        ),
    ],
    ids=lambda c: c[0],
)
def test_no_base_is_said_with_what_makes_one(run, tmp_path, command):
    says_one_line(run(*command, kb=tmp_path / "none"), "no knowledge base in", "mmkg add")
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("show", "nobody at all"), ["nothing here is called", "mmkg list"]),
        (("path", "nobody at all", "crane.md"), ["nothing here is called"]),
        (("cypher", "CREATE (n:Chunk) RETURN n.id"), ["CREATE"]),
        (("cypher", "MATCH (n RETURN"), []),
        (("cypher", "LOAD CSV FROM 'file:///etc/passwd' AS l RETURN l"), ["LOAD"]),
        (("cypher", "RETURN 1", "-p", "no equals sign"), ["NAME=JSON"]),
        (("export", "graph.docx"), ["docx", "graphml, jsonl, neo4j-admin, parquet"]),
        (("export", "/proc/nowhere/graph.jsonl"), ["/proc/nowhere"]),
        (("search", "--image", __file__), []),
    ],
    ids=["show", "path", "write", "syntax", "read-a-file", "param", "format", "unwritable", "no-image-encoder"],
)
def test_failures_are_one_line(run, base, command, words):
    says_one_line(run(*command, kb=base), *words)


def test_removing_an_unknown_name_removes_nothing(run, as_json, files, tmp_path):
    kb = tmp_path / "kb"
    as_json("add", files / "crane.md", kb=kb)
    says_one_line(
        run("remove", files / "crane.md", "no such document", kb=kb), "nothing here is called no such document"
    )
    assert len(as_json("list", kb=kb)["documents"]) == 1


@pytest.mark.parametrize(
    "command",
    [
        ("search",),
        ("search", "  "),
        ("ask", " "),
        ("search", "x", "--modality", "smell"),
        ("search", "x", "-k", "0"),
        ("list", "--status", "lost"),
        ("add",),
        ("cypher", "RETURN 1", "--rows", "0"),
        ("cypher", "RETURN 1", "--timeout", "0"),
        ("path", "a"),
        ("completion", "tcsh"),
        ("nonsense",),
        ("stats", "--nonsense"),
        ("show", "Port Ferren", "--original", "x"),
    ],
    ids=" ".join,
)
def test_wrong_usage_is_exit_2(run, base, command):
    result = run(*command, kb=base)
    assert result.exit_code == 2, result.output
    assert "Usage: " in result.stderr and "Traceback" not in result.stderr


def test_adding_what_is_not_there_makes_no_base(run, tmp_path):
    says_one_line(run("add", tmp_path / "nothing", kb=tmp_path / "kb"), "does not exist")
    assert not (tmp_path / "kb").exists()


def test_an_address_is_refused_without_repeating_its_password(run):
    says_one_line(run("stats", kb="neo4j://user:hunter2@host:7687/db"), "NEO4J_USER", "NEO4J_PASSWORD")
    assert "hunter2" not in run("--debug", "stats", kb="neo4j://user:hunter2@host:7687/db").output


def test_a_folder_of_other_things_is_not_made_a_base(run, files, tmp_path):
    graph = tmp_path / "graph"
    graph.mkdir()
    (graph / "mine.txt").write_text("kept")
    says_one_line(run("add", files / "crane.md", kb=tmp_path), "holds graph", "empty folder")
    assert (graph / "mine.txt").read_text() == "kept"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["graph"]


def test_unknown_setting_is_named_with_a_suggestion(run, base, tmp_path):
    (tmp_path / "mmkg.toml").write_text("query_row = 5\n")
    says_one_line(run("stats", kb=base, cwd=tmp_path), "unknown setting query_row", "query_rows")
    (tmp_path / "mmkg.toml").write_text("[limits]\npage = 5\n")
    says_one_line(run("stats", kb=base, cwd=tmp_path), "limits.page", "limits.pages")
    (tmp_path / "mmkg.toml").write_text("this is no TOML")
    says_one_line(run("stats", kb=base, cwd=tmp_path), "mmkg.toml")


def test_settings_of_the_working_folder_are_used_and_those_inside_a_base_are_not(run, files, tmp_path):
    (tmp_path / "mmkg.toml").write_text("query_rows = 1\n")
    assert run("add", files / "crane.md", kb=tmp_path / "kb", cwd=tmp_path).exit_code == 0
    query = ("cypher", "MATCH (n) RETURN n.id AS id", "--json")
    assert json.loads(run(*query, kb="kb", cwd=tmp_path).stdout)["truncated"]
    (tmp_path / "mmkg.toml").rename(tmp_path / "kb" / "mmkg.toml")
    assert not json.loads(run(*query, kb=".", cwd=tmp_path / "kb").stdout)["truncated"]


def test_debug_shows_the_trace(run, tmp_path):
    result = run("--debug", "stats", kb=tmp_path / "none")
    assert result.exit_code == 1
    assert type(result.exception).__name__ == "NotFoundError", "raised on, so that Python prints the trace"


def test_an_unwritable_target_and_an_impossible_base_are_one_line(run, files, tmp_path):
    (tmp_path / "file").write_text("x")
    says_one_line(run("add", files / "crane.md", "--quiet", kb=tmp_path / "file"))
    says_one_line(run("add", files / "crane.md", "--quiet", kb=tmp_path / "file" / "kb"))


# ---- adding, listing, removing ----


def test_a_mixed_folder_gives_every_file_a_status_and_a_reason(as_json, base, files):
    by_name = {s["uri"].rsplit("/", 1)[-1]: (s["status"], s["reason"]) for s in as_json("list", kb=base)["sources"]}
    assert {n: s for n, (s, _) in by_name.items()} == {
        "tamar%20light.md": "added",
        "crane.md": "added",
        "ships.csv": "added",
        "sea.png": "added",
        "empty.txt": "empty",
        "broken.pdf": "rejected",
        "lying.png": "rejected",
        "archive.gz": "skipped",
    }
    assert all(reason for status, reason in by_name.values() if status != "added")
    assert not {p.name for p in files.parent.iterdir() if p.name.startswith("kb")}, "nothing is written beside them"


@pytest.mark.parametrize(("status", "n"), [("added", 4), ("rejected", 2), ("skipped", 1), ("failed", 0)])
def test_list_by_status(run, as_json, base, status, n):
    assert len(as_json("list", "--status", status, kb=base)["sources"]) == n
    lines = run("list", "--status", status, kb=base).stdout.splitlines()
    assert len(lines) == n + 1 and lines[0].split("\t")[0] == "file"


def test_add_reports_what_is_not_plainly_added(run, files, tmp_path):
    result = run("add", files, kb=tmp_path / "kb")
    assert result.exit_code == 0, "one bad file is no failure of the batch"
    assert "committed: 5 added, 1 empty, 1 skipped, 2 rejected" in result.stdout
    for line in result.stdout.splitlines()[:-1]:
        assert line.split()[0] in ("empty", "skipped", "rejected", "added") and str(files) in line


def test_remove_by_path_folder_id_prefix_and_pattern_of_names(run, as_json, files, tmp_path):
    kb = tmp_path / "kb"
    as_json("add", files, kb=kb)
    ids = {d["uris"][0].rsplit("/", 1)[-1]: d["id"] for d in as_json("list", kb=kb)["documents"]}

    def left():
        return {d["uris"][0].rsplit("/", 1)[-1] for d in as_json("list", kb=kb)["documents"]}

    assert run("remove", files / "tamar light.md", kb=kb).stdout.strip() == f"removed   {files}/tamar light.md"
    assert left() == {"crane.md", "ships.csv", "sea.png", "notes.tmp"}
    run("remove", files / "sub", kb=kb)
    assert left() == {"crane.md", "sea.png", "notes.tmp"}
    run("remove", ids["crane.md"][:10], kb=kb)
    assert left() == {"sea.png", "notes.tmp"}
    run("remove", "sea.png", kb=kb)
    assert left() == {"notes.tmp"}
    run("remove", files, kb=kb)
    assert left() == set()
    assert as_json("list", kb=kb)["sources"] == []


def test_show_for_a_person(run, base):
    assert "Port Ferren" in run("show", "Port Ferren", kb=base).stdout
    document = run("show", "tamar light.md", kb=base).stdout
    assert document.startswith("kind: document") and "The lens" in document


def test_the_original_comes_back_byte_by_byte(run, base, files, tmp_path):
    target = tmp_path / "again.png"
    assert run("show", "sea.png", "--original", target, kb=base).exit_code == 0
    assert target.read_bytes() == (files / "sea.png").read_bytes()


# ---- Cypher ----


def test_cypher_prints_tab_separated_lines_where_no_terminal_is(run, base):
    result = run("cypher", "MATCH (d:Document) RETURN d.name AS name ORDER BY name", kb=base)
    assert result.stdout.splitlines()[0] == "name" and "Elias Crane" in result.stdout.splitlines()
    assert result.stderr.strip() == "4 rows"


def test_cypher_takes_queries_from_standard_input(run, base):
    stdin = "MATCH (d:Document) RETURN count(*) AS n\n\nRETURN $x AS x\n"
    result = run("cypher", "-p", "x=[1, 2]", kb=base, stdin=stdin)
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines() == ["n", "4", "x", "[1, 2]"]


def test_a_wrong_line_does_not_end_the_session_but_shows_in_the_exit_code(run, base):
    result = run("cypher", kb=base, stdin="MATCH (n) DELETE n\nRETURN 7 AS seven\n")
    assert result.exit_code == 1
    assert result.stdout.splitlines() == ["seven", "7"]
    assert "mmkg: " in result.stderr


def test_parameters_are_json_or_else_text(as_json, base):
    rows = as_json(
        "cypher", "RETURN $a AS a, $b AS b, $c AS c", "-p", "a=7", "-p", 'b=["x"]', "-p", "c=plain words", kb=base
    )["rows"]
    assert rows == [{"a": 7, "b": ["x"], "c": "plain words"}]


def test_the_row_limit_is_said(run, base):
    result = run("cypher", "MATCH (n) RETURN n.id AS id", "--rows", 2, kb=base)
    assert len(result.stdout.splitlines()) == 3 and "cut at the row limit" in result.stderr


# ---- hostile words ----

HOSTILE = "\x1b[31mRed\x1b[0m \x1b]0;title\x07 [red]rich[/red] \u202eesrever\u202c \u2066iso\u2069 \x9b31m \u2028 end"


@pytest.fixture(scope="module")
def hostile(run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "a\x1b[31m\nb\u202ec d é.md").write_text(
        f"# Zeppelin {HOSTILE}\n\nQuillfeather Marlowe met Zeppelin {HOSTILE} in 1931.\n", encoding="utf-8"
    )
    kb = folder / "base"
    result = run("add", folder, kb=kb)
    assert result.exit_code == 0, result.output
    return kb


def _inert(text):
    bad = {"\x1b", "\x07", "\x9b", "\u202e", "\u202c", "\u2066", "\u2069", "\u2028"} & set(text)
    assert not bad, [hex(ord(c)) for c in bad]


@pytest.mark.parametrize(
    "command",
    [
        ("list",),
        ("search", "Quillfeather"),
        ("ask", "Who met Zeppelin?"),
        ("show", "Quillfeather Marlowe"),
        ("cypher", "MATCH (c:Chunk) RETURN c.text AS `a\x1b[31m`, collect(c.text) AS l"),
        ("cypher", "MATCH (d:Document) RETURN d.name, d.uris"),
        ("show", "\x1b[31mnobody\n\u202e"),
        ("path", "Quillfeather Marlowe", "1931"),
    ],
    ids=["list", "search", "ask", "show", "cypher", "uris", "error", "path"],
)
@pytest.mark.parametrize("form", ["text", "json"])
def test_words_of_documents_are_inert(run, hostile, command, form):
    result = run(*command, *(["--json"] if form == "json" else []), kb=hostile)
    _inert(result.stdout)
    _inert(result.stderr)
    if form == "json" and result.exit_code == 0:
        json.loads(result.stdout)


def test_inert_json_means_the_same(as_json, hostile):
    text = as_json("cypher", "MATCH (c:Chunk) RETURN c.text AS text", kb=hostile)["rows"][0]["text"]
    assert "\u202eesrever" in text or "esrever" in text
    assert "[red]rich[/red]" in text


def test_a_table_on_a_terminal_shows_markup_as_it_is(monkeypatch):
    from mmkg.cli.output import table

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    screen = Terminal()
    monkeypatch.setattr("sys.stdout", screen)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "150")
    table(["nodes[x]", "b\x1b[31m"], [[HOSTILE, 1]])
    shown = screen.getvalue()
    assert "nodes[x]" in shown and "[red]rich[/red]" in shown
    # NO_COLOR forbids colour; bold is all that is left.
    assert "\x1b[3" not in shown and "\u202e" not in shown and "\x9b" not in shown and "\x07" not in shown


def test_odd_file_names_are_added_listed_shown_and_removed(run, as_json, tmp_path):
    folder = tmp_path / "files"
    folder.mkdir()
    names = ["with space.md", "été 東京.md", "new\nline.md", "per%20cent.md", "-dash.md", "quote'\".md", "[x] #1?.md"]
    for i, name in enumerate(names):
        (folder / name).write_text(f"# Paper {i}\n\nIt holds the word unique{i}.\n")
    raw = os.fsencode(folder) + b"/bad\xff.md"
    Path(os.fsdecode(raw)).write_text("# Latin name\n\nIts name is no UTF-8.\n")
    kb = tmp_path / "kb"
    assert as_json("add", folder, kb=kb)["counts"] == {"added": len(names) + 1}
    assert as_json("add", folder, kb=kb)["counts"] == {"unchanged": len(names) + 1}
    assert len(run("list", kb=kb).stdout.splitlines()) == len(names) + 2
    for i, name in enumerate(names):
        assert as_json("show", "--", name, kb=kb)["name"] == f"Paper {i}"
    for name in names:
        assert len(as_json("remove", "--", folder / name, kb=kb)["removed"]) == 1
    assert as_json("remove", os.fsdecode(raw), kb=kb)["removed"]
