"""reindex."""

from __future__ import annotations

from dataclasses import asdict

import click

from mmkg.cli.main import json_option, open_kb
from mmkg.cli.output import emit_json, note, table
from mmkg.cli.progress import progress_bar


@click.command()
@click.option(
    "--encoder",
    required=True,
    metavar="NAME|FOLDER",
    help="As the setting encoder takes it: default, a model's name, a folder, a service.",
)
@click.option(
    "--dry-run",
    is_flag=True,
    help="Only tell what is to encode, how long it would take (measured on a sample), and its bytes.",
)
@click.option("--quiet", is_flag=True, help="No progress.")
@json_option
@click.pass_obj
def reindex(kb: str, encoder: str, dry_run: bool, quiet: bool, as_json: bool) -> None:
    """mmkg reindex --encoder ./bge-small --dry-run

    Give every unit vectors of another encoder, in place. Searches go on with the old ones until the last commit; a run that was
    stopped goes on where it was. Afterwards set `encoder` (mmkg.toml or MMKG_ENCODER) to the same.
    """
    with open_kb(kb) as base, progress_bar(quiet) as progress:
        done = base.reindex(encoder, dry_run=dry_run, progress=progress)
    if as_json:
        emit_json({**asdict(done), "seconds": round(done.seconds, 3), "texts_per_s": round(done.texts_per_s, 1)})
        return
    rows = [
        ("spaces before", ", ".join(done.before)),
        ("spaces after", ", ".join(done.after)),
        ("units to encode" if dry_run else "units encoded", done.units),
        ("texts", done.texts),
        ("pictures", done.pictures),
        ("units that have their vectors already", done.held),
        ("bytes of new vectors (ledger and index)", done.n_bytes),
        ("texts a second", f"{done.texts_per_s:.1f}"),
        ("seconds, estimated" if dry_run else "seconds", f"{done.seconds:.1f}"),
    ]
    table(["what", "value"], rows)
    if not dry_run:
        note(f"from now on this base needs the setting encoder = {encoder!r}")
