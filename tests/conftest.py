"""Shared fixtures: small bases made by the real parts, with an encoder and an extractor that need no weights."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mmkg.config import Settings


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
            settings=Settings(**{"workers": 1, "image_encoder": "none", **settings}),
            text_encoder=HashingEncoder(),
            extractor=NameExtractor(),
        )
        opened.append(kb)
        return kb

    yield make
    for kb in opened:
        kb.close()


@pytest.fixture
def write(tmp_path):
    """A function that writes files below a folder: write("a.md", "text") -> path."""

    def put(name: str, content: str | bytes, folder: str = "files") -> Path:
        path = tmp_path / folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return put


EXPECTED_SKIPS = ("gpu",)
"""Words in a skip's reason that the gate expects; any other skip is a failure there."""


def pytest_sessionfinish(session, exitstatus):
    """With MMKG_STRICT_SKIPS, an unexpected skip fails the run: it would hide a missing install step."""
    if not os.environ.get("MMKG_STRICT_SKIPS"):
        return
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    reasons = [str(r.longrepr[2]) for r in reporter.stats.get("skipped", []) if isinstance(r.longrepr, tuple)]
    odd = [r for r in reasons if not any(word in r for word in EXPECTED_SKIPS)]
    if odd:
        reporter.write_line(f"unexpected skips: {sorted(set(odd))}", red=True)
        session.exitstatus = 1
