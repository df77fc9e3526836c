"""search, ask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mmkg.cli.filters import read_where, where_option
from mmkg.cli.main import json_option, open_kb
from mmkg.cli.output import answer_json, emit_json, evidence_json, place, plain, print_answer, shorten, table

if TYPE_CHECKING:
    from mmkg.retrieve.explain import Explanation
    from mmkg.types import Evidence

effort_option = click.option(
    "--effort",
    type=click.IntRange(0, 3),
    help="0 (the walk alone) to 3; more finds more in long chains (default: the setting, 1).",
)


@click.command()
@click.argument("query", required=False)
@click.option("--image", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Search by a picture.")
@click.option(
    "--sound",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Search clips that sound like a recording.",
)
@click.option("--clip", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Search by a film.")
@click.option("--text", help='Words beside a picture, a sound or a film: --image street.jpg --text "at night".')
@click.option("--weight", type=click.FloatRange(0, 1), help="Share of the words beside an example (default 0.5).")
@click.option("-k", type=click.IntRange(min=1), default=10, show_default=True, help="How many units.")
@click.option(
    "--modality", type=click.Choice(["text", "image", "audio", "video"]), multiple=True, help="Only units of this kind."
)
@where_option
@effort_option
@click.option(
    "--mode",
    type=click.Choice(["hybrid", "lexical", "dense", "graph", "global"]),
    multiple=True,
    help="hybrid (default), or lists of one kind alone; several are joined. global: what the base is about as a whole.",
)
@click.option(
    "--explain",
    is_flag=True,
    help="Also every list with its places, the features that decided, and the seconds by step.",
)
@json_option
@click.pass_obj
def search(
    kb: str,
    query: str | None,
    image: Path | None,
    sound: Path | None,
    clip: Path | None,
    text: str | None,
    weight: float | None,
    k: int,
    modality: tuple[str, ...],
    where: tuple[str, ...],
    effort: int | None,
    mode: tuple[str, ...],
    explain: bool,
    as_json: bool,
) -> None:
    """mmkg search "bridge over the river" --modality image

    The best units for a text, a picture or a recording, each with why it was found and where it lies.
    """
    by_example = any(given is not None for given in (image, sound, clip))
    if query is not None and text is not None:
        raise click.UsageError("give the words once: as QUERY or with --text")
    query = text if query is None else query
    if not by_example and not (query or "").strip():
        raise click.UsageError("give a text, a picture with --image, a recording with --sound, or a film with --clip")
    if weight is not None and not by_example:
        raise click.UsageError("--weight is for words beside --image, --sound or --clip")
    if {"hybrid", "global"} & set(mode) and len(set(mode)) > 1:
        raise click.UsageError("--mode hybrid and --mode global stand alone")
    if "global" in mode and (explain or by_example):
        raise click.UsageError("--mode global takes a text; each hit says for which theme it stands")
    if explain and by_example:
        raise click.UsageError("--explain is for a text; other hits have their channels anyway")
    conditions = read_where(where)
    told: Explanation | None = None
    with open_kb(kb) as base:
        if explain:
            assert query is not None
            told = base.search(
                query,
                k=k,
                modality=modality or None,
                where=conditions,
                effort=effort,
                mode=mode or "hybrid",
                explain=True,
            )
            hits = list(told.hits)
        else:
            hits = base.search(
                query,
                image=image,
                sound=sound,
                clip=clip,
                weight=weight,
                k=k,
                modality=modality or None,
                where=conditions,
                effort=effort,
                mode=mode or "hybrid",
            )
    if as_json:
        found = {"hits": [evidence_json(h) for h in hits]}
        emit_json(found if told is None else {**found, "explanation": told.to_json()})
        return
    _print_hits(hits)
    if told is not None:
        _print_explanation(told)


def _print_hits(hits: Sequence[Evidence]) -> None:
    for n, hit in enumerate(hits, 1):
        where = ", ".join(p for p in (plain(hit.document.name), plain(hit.heading), place(hit.locator)) if p)
        click.echo(f"{n:>2}. {where}  ({hit.kind}, {hit.score:.3f})")
        if hit.text.strip():
            click.echo(f"    {shorten(hit.text, 200)}")
        why = ", ".join(f"{c.name} #{c.rank}" for c in hit.channels)
        click.echo(f"    {why}{'; ' + shorten(str(hit.path), 140) if hit.path else ''}")
    if not hits:
        click.echo("nothing found")


def _print_explanation(told: Explanation) -> None:
    """The lists side by side with where each place of them came out, then features and seconds."""
    out = {hit.id: n for n, hit in enumerate(told.hits, 1)} | {
        s: n for n, h in enumerate(told.hits, 1) for s in h.similar
    }
    click.echo()
    click.echo(f"searched as: {plain(told.question)}")
    click.echo(f"units searched: {told.searched} of {told.units}; passes: {told.effort}; last order: {told.order}")
    named = ", ".join(f"{plain(text)} ({plain(i)})" for i, text in told.entities)
    click.echo(f"names in the question: {named or 'none that the base knows'}")
    table(
        ["list", "place", "score", "hit", "unit"],
        [
            (name, c.rank, f"{c.score:.4f}", out.get(c.name, ""), c.name)
            for name, held in told.lists.items()
            for c in held
        ],
    )
    if told.features:
        table(
            ["hit", "feature", "value", "adds to the score"],
            [(out[unit], w.name, w.value, w.adds) for unit, weighed in told.features.items() for w in weighed],
        )
    table(["step", "ms"], [(step, f"{1000 * s:.1f}") for step, s in told.timings.items()])


@click.command()
@click.argument("question")
@click.option("-k", type=click.IntRange(min=1), default=8, show_default=True, help="Units of evidence to look at.")
@click.option("--model", "url", metavar="URL", help="An OpenAI-compatible endpoint (key from MMKG_API_KEY).")
@click.option("--model-name", default="default", show_default=True, help="Name of the model at that endpoint.")
@where_option
@effort_option
@click.option(
    "--mode",
    type=click.Choice(["hybrid", "lexical", "dense", "graph", "global"]),
    default="hybrid",
    show_default=True,
    help="As for search; global for questions about the whole base.",
)
@json_option
@click.pass_obj
def ask(
    kb: str,
    question: str,
    k: int,
    url: str | None,
    model_name: str,
    where: tuple[str, ...],
    effort: int | None,
    mode: str,
    as_json: bool,
) -> None:
    """mmkg ask "who designed the ship that found the wreck?"

    A short answer with its sources, or "not found in the base". Without --model no model writes it.
    """
    if not question.strip():
        raise click.UsageError("ask something")
    generator = None
    if url:
        from mmkg.generate.chat import ChatGenerator
        from mmkg.secret import Secret

        generator = ChatGenerator(url, model=model_name, api_key=Secret.from_environment("MMKG_API_KEY"))
    conditions = read_where(where)
    with open_kb(kb) as base:
        answer = base.ask(question, k=k, generator=generator, where=conditions, effort=effort, mode=mode)
    if as_json:
        emit_json(answer_json(answer))
    elif answer.model == "overview":
        for sentence in answer.sentences:
            click.echo(plain(sentence.text))
        print_answer(replace(answer, text="" if answer.found else answer.text))
    else:
        print_answer(answer)


@click.command()
@click.option("-n", type=click.IntRange(min=1), default=20, show_default=True, help="How many themes.")
@json_option
@click.pass_obj
def communities(kb: str, n: int, as_json: bool) -> None:
    """mmkg communities

    What the base is about: groups of things that are named together, the largest first. `mmkg ask --mode global` quotes them.
    """
    with open_kb(kb) as base:
        found = base.communities()
    if as_json:
        emit_json({"communities": [c.to_json() for c in found[:n]], "n": len(found)})
        return
    rows = [
        (c.number, c.n_units, c.n_documents, c.n_entities, ", ".join(name for _, name in c.entities[:6]))
        for c in found[:n]
    ]
    table(["theme", "units", "documents", "names", "most central"], rows)
    if not found:
        click.echo("the base does not name enough things to tell themes apart")


@click.command("why-not")
@click.argument("question")
@click.argument("unit")
@click.option("-k", type=click.IntRange(min=1), default=10, show_default=True, help="How many units the search shows.")
@effort_option
@json_option
@click.pass_obj
def why_not(kb: str, question: str, unit: str, k: int, effort: int | None, as_json: bool) -> None:
    """mmkg why-not "who designed the ship?" 3f2a...e1/c0-512

    At which place of which list a unit stands for a question, and why it was passed over.
    """
    if not question.strip():
        raise click.UsageError("ask something")
    with open_kb(kb) as base:
        found = base.why_not(question, unit, k=k, effort=effort)
    if as_json:
        emit_json(asdict(found))
        return
    click.echo(found.reason)
    table(["list", "place"], sorted(found.lists.items(), key=lambda item: (item[1], item[0])))
    weighed = found.behind or found.features
    if weighed:
        head = "against the last unit shown" if found.behind else "adds to the score"
        table(["feature", "value", head], [(w.name, w.value, w.adds) for w in weighed])
