"""Shared fixtures: small bases made by the real parts, with an encoder and an extractor that need no weights."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import sys
from pathlib import Path

import pytest

from mmkg.config import Settings

sys.path.insert(0, str(Path(__file__).parent / "plugins"))
pytest_plugins = ["running"]


@pytest.fixture
def make_kb(tmp_path):
    """A function that opens a base in a folder, with light parts: hashing encoder, names by capitals."""
    from mmkg.extract.names import NameExtractor
    from mmkg.kb import KnowledgeBase
    from mmkg.testing.encoders import HashingEncoder

    opened = []

    def make(path: Path | None = None, **settings) -> KnowledgeBase:
        kb = KnowledgeBase(
            path or tmp_path / "kb",
            settings=Settings(**{"workers": 1, "image_encoder": "none", "sound_encoder": "none", **settings}),
            text_encoder=HashingEncoder(),
            extractor=NameExtractor(),
        )
        opened.append(kb)
        return kb

    yield make
    for kb in opened:
        kb.close()


@pytest.fixture
def open_kb(make_kb, neo4j_url, tmp_path, monkeypatch):
    """A function that opens a base with light parts in a folder, or without one the base on the server."""
    monkeypatch.setenv("MMKG_CACHE", str(tmp_path / "cache"))

    def make(folder=None, *, media="media", search="", **settings):
        options = "&".join([f"media={(tmp_path / media).as_uri()}"] * bool(media) + [f"search={search}"] * bool(search))
        return make_kb(folder or f"{neo4j_url}?{options}", **settings)

    return make


@pytest.fixture
def write(tmp_path):
    """A function that writes files below a folder: write("a.md", "text") -> path."""

    def put(name: str, content: str | bytes, folder: str = "files") -> Path:
        path = tmp_path / folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return put


@pytest.fixture(scope="session")
def neo4j_script():
    """scripts/neo4j_server.py as a module."""
    place = Path(__file__).resolve().parent.parent / "scripts" / "neo4j_server.py"
    spec = importlib.util.spec_from_file_location("neo4j_server", place)
    module = importlib.util.module_from_spec(spec)
    sys.modules["neo4j_server"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def neo4j_served(neo4j_script, tmp_path_factory):
    """A context manager: neo4j_served(name, **options of start) runs a server of its own; user and password in the environment."""

    @contextlib.contextmanager
    def served(name, **options):
        try:
            server = neo4j_script.start(tmp_path_factory.mktemp(name), tied=True, **options)
        except neo4j_script.NotHere as e:
            pytest.skip(str(e))
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("NEO4J_USER", server.user)
            patch.setenv("NEO4J_PASSWORD", server.password)
            yield server.uri
        neo4j_script.stop(server)

    return served


@pytest.fixture(scope="session")
def neo4j_server(neo4j_served):
    """Address of a real server, started once a run; user and password are in the environment. NEO4J_URI set: that one."""
    if given := os.environ.get("NEO4J_URI"):
        if left := _count(given):
            pytest.fail(
                f"{given} holds {left} nodes, and the tests empty it: give an empty database, or unset NEO4J_URI"
            )
        yield given
        _empty(given)
        return
    with neo4j_served("neo4j") as uri:
        yield uri


@pytest.fixture
def neo4j_url(neo4j_server):
    """Address of an empty database on the server. mmkg's own constraints and indexes stay: making them takes seconds."""
    _empty(neo4j_server)
    return f"{neo4j_server}/neo4j"


def _empty(uri):
    _run(uri, "MATCH (n) CALL (n) { DETACH DELETE n } IN TRANSACTIONS OF 5000 ROWS")


def _count(uri):
    return _run(uri, "MATCH (n) RETURN count(n)")[0]


def _run(uri, text):
    """The first row of a statement on the server, or None."""
    from neo4j import GraphDatabase

    auth = (os.environ.get("NEO4J_USER", "neo4j"), os.environ["NEO4J_PASSWORD"])
    with GraphDatabase.driver(uri, auth=auth) as driver, driver.session(database="neo4j") as session:
        result = session.run(text)
        rows = list(result)
        return rows[0] if rows else None
