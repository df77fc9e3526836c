"""add, list, remove, tag, show."""

from __future__ import annotations

from pathlib import Path

import click

from mmkg.cli.main import json_option, open_kb
from mmkg.cli.output import emit_json, note, plain, report_counts, source_name, table
from mmkg.cli.progress import progress_bar
from mmkg.schema import STATUSES


@click.command()
@click.argument("paths", nargs=-1, required=True)
@click.option("--ignore", multiple=True, metavar="PATTERN", help="Leave out names like this (*.tmp, drafts/*).")
@click.option(
    "--tag", "tags", multiple=True, metavar="NAME=VALUE", help="Tag every document of this call (repeatable)."
)
@click.option("--prune", is_flag=True, help="Drop sources under the given folders whose file is gone.")
@click.option(
    "--wait", "wait_s", type=click.FloatRange(min=0), default=0.5, metavar="SECONDS", help="Wait for another writer."
)
@click.option("--quiet", is_flag=True, help="No progress.")
@json_option
@click.pass_obj
def add(
    kb: str,
    paths: tuple[str, ...],
    ignore: tuple[str, ...],
    tags: tuple[str, ...],
    prune: bool,
    wait_s: float,
    quiet: bool,
    as_json: bool,
) -> None:
    """mmkg add ~/Documents "reports/*.pdf"

    Bring files, folders and patterns in. A file that changed is updated; the same bytes again change nothing.
    """
    from mmkg.adding import report_json
    from mmkg.cli.filters import read_tags

    with open_kb(kb, create=True) as base, progress_bar(quiet) as progress:
        report = base.add(*paths, ignore=ignore, prune=prune, tags=read_tags(tags), wait_s=wait_s, progress=progress)
    if as_json:
        emit_json(report_json(report))
        return
    for d in report.documents:
        if d.status not in ("added", "unchanged") or d.reason:
            click.echo(f"{d.status:<9} {source_name(d.uri)}{'  ' + plain(d.reason) if d.reason else ''}")
    click.echo(f"committed: {report_counts(report.counts)} ({report.seconds:.1f} s)")


@click.command("list")
@click.option("--status", type=click.Choice([*STATUSES, "pending"]), help="Only sources of this status.")
@json_option
@click.pass_obj
def list_(kb: str, status: str | None, as_json: bool) -> None:
    """mmkg list --status rejected

    Every file that `add` has seen: its document, status and reason.
    """
    with open_kb(kb) as base:
        documents = base.documents()
        sources = [s for s in base.sources() if status in (None, s["status"])]
    if as_json:
        emit_json({"documents": documents, "sources": sources})
        return
    by_id = {d["id"]: d for d in documents}
    table(
        ["file", "title", "type", "units", "status", "reason"],
        [
            (
                source_name(s["uri"]).rsplit("/", 1)[-1],
                by_id.get(s["id"], {}).get("name", ""),
                by_id.get(s["id"], {}).get("media_type", ""),
                by_id.get(s["id"], {}).get("n_units", ""),
                s["status"],
                s["reason"],
            )
            for s in sources
        ],
    )
    note(f"{len(documents)} documents, {len(sources)} sources")


@click.command()
@click.argument("names", nargs=-1, required=True)
@click.option("--purge", is_flag=True, help="Also `compact`: no file of the base holds their bytes any more.")
@json_option
@click.pass_obj
@click.pass_context
def remove(ctx: click.Context, kb: str, names: tuple[str, ...], purge: bool, as_json: bool) -> None:
    """mmkg remove old/report.pdf

    Take documents out by path, folder, URI or id. Afterwards the base is as if it had never seen them.
    """
    from mmkg.cli.keeping import compaction_json, say_held

    with open_kb(kb) as base, progress_bar(not purge) as progress:
        reports = base.remove(*names)
        done = base.compact(progress=progress) if purge else None
    if as_json:
        removed = [{"uri": r.uri, "id": r.id} for r in reports]
        emit_json({"removed": removed, "purged": None if done is None else compaction_json(done)})
    else:
        for r in reports:
            click.echo(f"removed   {source_name(r.uri)}")
    if done is not None and done.held:
        say_held(done)
        ctx.exit(1)


@click.command()
@click.argument("names", nargs=-1, required=True)
@click.option(
    "--put", multiple=True, metavar="NAME=VALUE", help="Set a tag; one of that name is replaced (repeatable)."
)
@click.option("--drop", multiple=True, metavar="NAME", help="Take a tag off (repeatable).")
@json_option
@click.pass_obj
def tag(kb: str, names: tuple[str, ...], put: tuple[str, ...], drop: tuple[str, ...], as_json: bool) -> None:
    """mmkg tag reports/2024.pdf --put project=apollo --drop draft

    Change what you say of documents, by path, folder, URI or id; without --put and --drop, show it. Nothing is read or
    encoded again. `mmkg search --where tag:project=apollo` finds them.
    """
    from mmkg.cli.filters import read_tags

    with open_kb(kb) as base:
        tags = base.tag(*names, put=read_tags(put), drop=drop)
        titles = {d["id"]: d for d in base.documents() if d["id"] in tags}
    if as_json:
        emit_json({"documents": [{"id": i, "tags": tags[i]} for i in sorted(tags)]})
        return
    table(
        ["document", "file", "tags"],
        [
            (
                titles[i]["name"] if i in titles else i,
                source_name(titles[i]["uris"][0]).rsplit("/", 1)[-1] if i in titles and titles[i]["uris"] else "",
                ", ".join(f"{k}={v}" for k, v in tags[i].items()),
            )
            for i in sorted(tags)
        ],
    )


@click.command()
@click.argument("name")
@click.option(
    "--media", type=click.Path(path_type=Path, dir_okay=False), help="Write a unit's picture, frame or clip here."
)
@click.option("--original", type=click.Path(path_type=Path, dir_okay=False), help="Write the original file here.")
@json_option
@click.pass_obj
def show(kb: str, name: str, media: Path | None, original: Path | None, as_json: bool) -> None:
    """mmkg show "Ada Lovelace"

    A document, a unit or an entity: by id or its beginning, file name, title, or name. With --media the clip of a
    recording is cut out, coded as it was.
    """
    with open_kb(kb) as base:
        found = base.show(name)
        if media is not None:
            if found["kind"] != "unit":
                raise click.UsageError(f"{plain(name)} is no unit; --media is for pictures, frames and clips")
            note(f"wrote {base.write_media(found['id'], media)}")
        if original is not None:
            if found["kind"] == "entity":
                raise click.UsageError(f"{plain(name)} is an entity; --original is for documents and their units")
            document = found["id"] if found["kind"] == "document" else found["id"].split("/")[0]
            original.write_bytes(base.original(document))
            note(f"wrote {original}")
    if as_json:
        emit_json(found)
        return
    for key, value in found.items():
        if isinstance(value, list):
            click.echo(f"{key}:")
            for item in value:
                click.echo("  " + plain("  ".join(f"{k}={v}" for k, v in item.items() if v not in ("", None))))
        elif isinstance(value, dict):
            click.echo(f"{key}: {plain(', '.join(f'{k}={v}' for k, v in value.items()))}")
        else:
            click.echo(f"{key}: {plain(value)}")
