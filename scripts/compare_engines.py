"""The same questions on a base in a folder and on its copy on a server: which evidence differs, and how long they take.

    eval "$(python scripts/neo4j_server.py start --export)"          # the database must be empty, and is emptied
    python scripts/compare_engines.py                                # data/demo/files and data/demo/searches.txt
    python scripts/compare_engines.py --kb BASE --questions FILE --walk-units 200 500 1000 2000

The base in the folder is copied (`mmkg copy`) and asked in turn: in the folder, with exported arrays, with the server's own indexes and
an exported walk, and with the indexes and a frontier of at most so many units. FILE has a question a line, or JSON objects with
"question" and, for recall of what is needed, "supporting_ids" (file names without their ending). --server ADDRESS: a copy that
lies there already; nothing is copied or emptied. Prints one JSON object, progress on stderr.

same_10, same_5: share of the folder's first ten (five) that is among the other's first ten (five), mean over questions.
same_order: questions with the same ten in the same order. gold_10, gold_5: share of the needed documents among the first.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

import numpy as np

from mmkg.config import Settings
from mmkg.kb import KnowledgeBase
from mmkg.store.neo4j.address import Neo4jAddress
from mmkg.store.neo4j.connection import Connection, server_version

ROOT = Path(__file__).resolve().parent.parent
DEMO, SEARCHES = ROOT / "data" / "demo" / "files", ROOT / "data" / "demo" / "searches.txt"
K = 10


@dataclass(frozen=True, slots=True)
class Question:
    """needs: names of the files that are needed, without their ending; empty where nobody has said."""

    text: str
    needs: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Found:
    """One way of asking. hits: for each question (unit id, file name), best first. seconds: of each question."""

    hits: list[list[tuple[str, str]]]
    seconds: list[float]


def read_questions(path: Path) -> list[Question]:
    """A question a line, as text or as a JSON object."""
    out = []
    for line in filter(None, map(str.strip, path.read_text(encoding="utf-8").splitlines())):
        row = json.loads(line) if line.startswith("{") else {"question": line}
        out.append(Question(row["question"], frozenset(map(str, row.get("supporting_ids", ())))))
    return out


def ask(kb: KnowledgeBase, questions: Sequence[Question], effort: int) -> Found:
    kb.search(questions[0].text, k=3, effort=effort)  # models loaded, arrays fetched
    hits, seconds = [], []
    for question in questions:
        started = time.perf_counter()
        evidence = kb.search(question.text, k=K, effort=effort)
        seconds.append(time.perf_counter() - started)
        hits.append([(e.id, PurePosixPath(unquote(urlsplit(e.document.uri).path)).name) for e in evidence])
    return Found(hits, seconds)


def compared(want: Found, got: Found, questions: Sequence[Question]) -> dict[str, Any]:
    pairs = list(zip(want.hits, got.hits, strict=True))

    def same(n: int) -> float:
        return float(np.mean([len({*a[:n]} & {*b[:n]}) / max(len(a[:n]), 1) for a, b in pairs]))

    def gold(n: int) -> float | None:
        asked = [
            len(q.needs & {PurePosixPath(name).stem for _, name in hits[:n]}) / len(q.needs)
            for q, hits in zip(questions, got.hits, strict=True)
            if q.needs
        ]
        return round(float(np.mean(asked)), 4) if asked else None

    p50, p95 = (round(1000 * float(q)) for q in np.percentile(got.seconds, [50, 95]))
    differing = [
        {
            "question": q.text,
            "missing": [f"{i + 1}. {hit[1]}" for i, hit in enumerate(a) if hit not in b],
            "instead": [f"{i + 1}. {hit[1]}" for i, hit in enumerate(b) if hit not in a],
            "first_other_place": next(
                (i + 1 for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), len(b) + 1
            ),
        }
        for q, (a, b) in zip(questions, pairs, strict=True)
        if a != b
    ]
    return {
        "same_10": round(same(10), 4), "same_5": round(same(5), 4),
        "same_order": sum(a == b for a, b in pairs), "gold_10": gold(10), "gold_5": gold(5),
        "p50_ms": p50, "p95_ms": p95, "differing": differing,
    }  # fmt: skip


@contextmanager
def copied(here: KnowledgeBase, server: str, scratch: Path) -> Iterator[str]:
    """The address of a copy on the server, emptied at the end. Raises SystemExit for a database that holds something."""
    address = Neo4jAddress.parse(server)
    with Connection(address) as connection:
        if connection.rows("MATCH (n) RETURN 1 AS x LIMIT 1"):
            raise SystemExit("the database is not empty; nothing was changed")
        print(server_version(connection), file=sys.stderr)
        place = f"{address.uri}/{address.database}?media={(scratch / 'media').as_uri()}"
        try:
            with KnowledgeBase(f"{place}&search=indexes") as there:
                started = time.perf_counter()
                here.copy_to(there, progress=lambda n, total: _tell(n, total))
                print(f"copied in {time.perf_counter() - started:.0f} s", file=sys.stderr, flush=True)
            yield place
        finally:
            connection.execute("MATCH (n) CALL (n) { DETACH DELETE n } IN TRANSACTIONS OF 5000 ROWS")


def _tell(n: int, total: int) -> None:
    if n == total or n % 500 == 0:
        print(f"{n} of {total} documents copied", file=sys.stderr, flush=True)


def compare(
    here: KnowledgeBase, place: str, questions: Sequence[Question], budgets: Sequence[int], effort: int
) -> dict[str, Any]:
    shared = {"text_encoder": here.text_encoder, "extractor": here.extractor}
    want = ask(here, questions, effort)
    out: dict[str, Any] = {"folder": compared(want, want, questions)}
    settings = here.settings
    ways: list[tuple[str, str, Settings]] = [("arrays", "arrays", settings), ("indexes", "indexes", settings)]
    for n in budgets or [settings.walk_units]:
        ways.append((f"frontier of {n}", "indexes", replace(settings, walk_mentions=1, walk_units=n)))
    for name, search, given in ways:
        with KnowledgeBase(f"{place}&search={search}", settings=given, **shared) as there:  # type: ignore[arg-type]
            if name == "arrays" and there.digest() != here.digest():
                raise SystemExit("the base on the server has another digest: it is no copy of this one")
            out[name] = compared(want, ask(there, questions, effort), questions)
        told = {k: v for k, v in out[name].items() if k != "differing"}
        print(name, json.dumps(told), file=sys.stderr, flush=True)
    return out


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kb", type=Path, help="a base in a folder; without it one of data/demo/files is made")
    parser.add_argument("--questions", type=Path, default=SEARCHES)
    parser.add_argument("--limit", type=int, help="only the first so many questions")
    parser.add_argument("--effort", type=int, default=1)
    parser.add_argument(
        "--walk-units", type=int, nargs="*", default=[], help="budgets of the frontier; default: the setting"
    )
    parser.add_argument("--server", help="address of a base that is a copy already, with its media=")
    given = parser.parse_args()
    if not given.server and "NEO4J_URI" not in os.environ:
        print('set NEO4J_URI: eval "$(python scripts/neo4j_server.py start --export)"', file=sys.stderr)
        return 2
    questions = read_questions(given.questions)[: given.limit]
    with tempfile.TemporaryDirectory(prefix="mmkg-compare-") as folder:
        scratch = Path(folder)
        os.environ.setdefault("MMKG_CACHE", str(scratch / "cache"))
        with KnowledgeBase(given.kb or scratch / "kb") as here:
            if given.kb is None:
                here.add(DEMO)
            report: dict[str, Any] = {"questions": len(questions), "effort": given.effort, "digest": here.digest()}
            stats = here.stats()
            report |= {"documents": stats["documents"], "units": here.index().n_units}
            if given.server:
                report |= compare(here, given.server, questions, given.walk_units, given.effort)
            else:
                with copied(here, os.environ["NEO4J_URI"], scratch) as place:
                    report |= compare(here, place, questions, given.walk_units, given.effort)
    print(json.dumps(report, indent=1, ensure_ascii=False))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
