"""train ranker, train bridge."""

from __future__ import annotations

from pathlib import Path

import click

from mmkg.cli.main import json_option, open_kb
from mmkg.cli.output import emit_json, plain


@click.command()
@click.argument("what", type=click.Choice(["ranker", "bridge"]))
@click.option(
    "--questions",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help='JSON Lines: {"question": "...", "supporting_ids": [document or unit id, path, or title, ...]}.',
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write to this file instead of the base (then name it in the setting `ranker`).",
)
@click.option("--force", is_flag=True, help="Keep the result also where it is not better.")
@click.option("--undo", is_flag=True, help="Take out what was fitted on this base.")
@click.option("--method", type=click.Choice(["ridge", "contrastive"]), help="Of the bridge (default ridge).")
@json_option
@click.pass_obj
def train(
    kb: str,
    what: str,
    questions: Path | None,
    out: Path | None,
    force: bool,
    undo: bool,
    method: str | None,
    as_json: bool,
) -> None:
    """mmkg train ranker --questions questions.jsonl

    Fits the weights of every pass, starting from those in use, and keeps them if recall@5 rises on questions that were
    left out while fitting. From then on every search of this base uses them; --undo takes them out again.

    `mmkg train bridge` fits how pictures are brought into the space of words, on the captioned pictures of the base itself.
    """
    if what == "bridge":
        if questions is not None or out is not None:
            raise click.UsageError("train bridge takes its captions from the base: no --questions, no --out")
        _train_bridge(kb, method or "ridge", force=force, undo=undo, as_json=as_json)
        return
    if method is not None:
        raise click.UsageError("--method is for train bridge")
    if undo == (questions is not None):
        raise click.UsageError("give --questions FILE, or --undo")
    with open_kb(kb) as base:
        if undo:
            removed = base.forget_ranker()
            if as_json:
                emit_json({"removed": removed})
            else:
                click.echo("the packaged ranker is in use again" if removed else "this base has no ranker of its own")
            return
        assert questions is not None
        report = base.train_ranker(questions, out=out, force=force, progress=_progress)
    if as_json:
        emit_json(
            {
                "questions": report.questions,
                "before": list(report.before),
                "after": list(report.after),
                "written": None if report.written is None else str(report.written),
            }
        )
        return
    for number, (before, after) in enumerate(zip(report.before, report.after, strict=True), 1):
        click.echo(
            f"effort {number}: recall@5 {before:.3f} before, {after:.3f} after (questions left out while fitting)"
        )
    if report.written is None:
        click.echo("not better, so nothing was changed (--force keeps it)")
    else:
        click.echo(f"written to {plain(str(report.written))}")


def _train_bridge(kb: str, method: str, *, force: bool, undo: bool, as_json: bool) -> None:
    with open_kb(kb) as base:
        if undo:
            removed = base.forget_bridge()
            if as_json:
                emit_json({"removed": removed})
            else:
                click.echo("the label bridge is in use again" if removed else "this base has no fitted bridge")
            return
        report = base.train_bridge(method=method, force=force, progress=_looked)
    if as_json:
        emit_json(
            {
                "method": report.method,
                "pictures": report.pictures,
                "before": list(report.before),
                "after": list(report.after),
                "space": report.space,
            }
        )
        return
    shown = [" / ".join(f"{100 * x:.1f}" for x in values) for values in (report.before, report.after)]
    click.echo(
        f"{report.pictures} captioned pictures; caption to picture, recall@1/5/10, on pictures left out while fitting:"
    )
    click.echo(f"{shown[0]} before, {shown[1]} after")
    if report.space is None:
        click.echo("not better, so nothing was changed (--force keeps it)")
    else:
        click.echo(f"kept in the base as {plain(report.space)}; --undo takes it out")


def _looked(what: str, done: int, total: int) -> None:
    if done % 100 == 0 or done == total:
        click.echo(f"{what}: {done} of {total}", err=True)


def _progress(_: str, number: int, done: int, total: int) -> None:
    if done % 25 == 0 or done == total:
        click.echo(f"pass {number}: {done} of {total} questions", err=True)
