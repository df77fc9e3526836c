"""eval."""

from __future__ import annotations

from pathlib import Path

import click

from mmkg.cli.main import json_option
from mmkg.cli.output import emit_json, note
from mmkg.cli.progress import progress_bar


@click.command(name="eval")
@click.argument("source", metavar="DIR", type=click.Path(path_type=Path))
@click.option(
    "--questions",
    type=click.Path(path_type=Path),
    help="A file of questions on the same corpus (JSON Lines, gzip or not).",
)
@click.option("--rows", default="hybrid", show_default=True, help="What to measure, side by side, separated by commas.")
@click.option("--encoder", metavar="NAME|FOLDER", help="The text encoder, as in the settings.")
@click.option("--effort", type=click.IntRange(min=0), help="Passes of the retriever (default: its own).")
@click.option("--seed", type=int, default=1, show_default=True, help="Of the order in which passages are added.")
@click.option(
    "--protocol",
    help="What may be used: shuffled, ordered, no-titles; pixels, caption1+pixels; within-document, all-pages.",
)
@click.option("--answers", is_flag=True, help="Ask each question too, and compare answers and citations.")
@click.option(
    "--noise", help="Also what noise costs: typo, name-typo, ocr2, ocr5, ocr10, unrelated, copies, unanswerable, ..."
)
@click.option(
    "--unrelated",
    type=click.Path(path_type=Path),
    multiple=True,
    help="Sets whose passages `--noise unrelated` mixes in.",
)
@click.option("--limit", type=click.IntRange(min=1), help="Only the first so many questions.")
@click.option("--against", type=click.Path(path_type=Path), help="A kept result to give paired differences to.")
@click.option(
    "--cache",
    type=click.Path(path_type=Path, file_okay=False),
    envvar="MMKG_EVAL_CACHE",
    help="Where bases, vectors and results are kept (MMKG_EVAL_CACHE, else mmkg/eval in the user's cache folder).",
)
@json_option
def eval_(
    source: Path,
    questions: Path | None,
    rows: str,
    encoder: str | None,
    effort: int | None,
    seed: int,
    protocol: str | None,
    answers: bool,
    noise: str | None,
    unrelated: tuple[Path, ...],
    limit: int | None,
    against: Path | None,
    cache: Path | None,
    as_json: bool,
) -> None:
    """mmkg eval sets/musique --rows bm25,dense,rrf,hybrid

    Retrieval measured on a question set (docs/evaluation.md). The base of its corpus is built once; other questions on it, and
    other rows, then take seconds. With --json, figures are between 0 and 1; the table is in per cent.
    """
    from mmkg.evaluate import report
    from mmkg.evaluate.kept import cache_folder
    from mmkg.evaluate.robust import robustness
    from mmkg.evaluate.run import evaluate

    earlier = None if against is None else report.read_kept(against)
    with progress_bar(False) as progress:
        measured = evaluate(
            source,
            questions=questions,
            rows=[row.strip() for row in rows.split(",") if row.strip()],
            encoder=encoder,
            effort=effort,
            seed=seed,
            protocol=protocol,
            limit=limit,
            answers=answers,
            cache=cache,
            progress=progress,
            say=note,
        )
        damaged = None
        if noise:
            damaged = robustness(
                source,
                [name.strip() for name in noise.split(",") if name.strip()],
                unrelated=unrelated,
                questions=questions,
                encoder=encoder,
                effort=effort,
                seed=seed,
                limit=limit,
                cache=cache,
                progress=progress,
                say=note,
            )
    found = report.to_json(measured, earlier, damaged)
    kept = report.keep(measured, found, cache_folder(cache))
    if as_json:
        emit_json(found)
    else:
        click.echo(report.markdown(found))
        note(f"kept in {kept}")
