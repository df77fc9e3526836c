"""What scripts/compare_engines.py counts."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "compare_engines.py"


@pytest.fixture
def compare_engines(monkeypatch):
    spec = importlib.util.spec_from_file_location("compare_engines", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "compare_engines", module)
    spec.loader.exec_module(module)
    return module


def test_recall_counts_what_is_missing(compare_engines) -> None:
    asked = [compare_engines.Question("q", frozenset({"a", "b"})), compare_engines.Question("r")]
    want = compare_engines.Found([[("1", "a.md"), ("2", "b.md")], [("3", "c.md")]], [0.1, 0.3])
    got = compare_engines.Found([[("1", "a.md"), ("4", "d.md")], [("3", "c.md")]], [0.1, 0.3])
    found = compare_engines.compared(want, got, asked)
    assert (found["same_10"], found["same_order"], found["gold_10"], found["p50_ms"]) == (0.75, 1, 0.5, 200)
    assert found["differing"] == [
        {"question": "q", "missing": ["2. b.md"], "instead": ["2. d.md"], "first_other_place": 2}
    ]
