"""Every query of docs/cypher.md on both engines, over the demo's graph: the same columns and rows, and no warning."""

from __future__ import annotations

import importlib.util
import json
import re
from collections import Counter
from pathlib import Path

import pytest

from mmkg.config import Settings
from mmkg.cypher.portable import warnings
from mmkg.errors import CypherError
from mmkg.extract.names import NameExtractor
from mmkg.kb import KnowledgeBase
from mmkg.store.neo4j.address import Neo4jAddress
from mmkg.store.neo4j.connection import Connection
from mmkg.store.neo4j.graph import Neo4jGraph
from mmkg.testing.encoders import HashingEncoder

pytestmark = pytest.mark.neo4j
ROOT = Path(__file__).resolve().parents[2]
QUERIES = re.findall(
    r"^```cypher\n(.*?)^```", (ROOT / "docs" / "cypher.md").read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
)
EMPTY = ("(c:Clip)", "SAME_AS]->", "SIMILAR]-")
"""What the demo, read without models, may have nothing of."""


def _portable_test():
    spec = importlib.util.spec_from_file_location("portable_cases", ROOT / "tests" / "cypher" / "test_portable.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    kb = KnowledgeBase(
        tmp_path_factory.mktemp("demo") / "kb",
        settings=Settings(workers=1, image_encoder="none", ocr=False, batch_units=10_000),
        text_encoder=HashingEncoder(),
        extractor=NameExtractor(),
    )
    kb.add(ROOT / "data" / "demo" / "files")
    yield kb
    kb.close()


def test_queries_give_the_same_rows_on_both_engines(folder, neo4j_url) -> None:
    assert len(QUERIES) >= 25
    graph = folder._read().graph
    with Neo4jGraph(Connection(Neo4jAddress.parse(neo4j_url))) as server:
        server.load(graph.nodes(), graph.edges())
        odd = []
        for text in QUERIES:
            here, there = folder.cypher(text, timeout_s=60), server.query(text, timeout_s=60)
            same = here.columns == there.columns and _bag(here) == _bag(there)
            ordered = here.rows == there.rows or "ORDER BY" not in text
            found = len(here) > 0 or any(word in text for word in EMPTY)
            if not (same and ordered and found and here.warnings == ()):
                odd.append(f"same={same} ordered={ordered} rows={len(here)} {here.warnings} {text}")
        assert not odd, "\n".join(odd)
        # What is warned of is what the server refuses, and nothing else.
        cases = _portable_test()
        for text in cases.REFUSED:
            assert folder.cypher(text).warnings == warnings(text) != ()
            with pytest.raises(CypherError):
                server.query(text)
        for text in cases.FINE:
            server.query(text)


def _bag(result) -> Counter[str]:
    return Counter(json.dumps(row) for row in result.rows)
