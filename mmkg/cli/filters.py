"""Options that several commands share: filters and tags. What cannot be read is wrong usage (exit code 2)."""

from __future__ import annotations

from collections.abc import Sequence

import click

from mmkg.errors import FilterError

where_option = click.option(
    "--where",
    multiple=True,
    metavar="FIELD=VALUE",
    help="Only what passes: kind=pdf, 'date>=2020', author~ada, tag:project=x, lang=de (repeatable: all must hold).",
)


def read_where(given: Sequence[str]) -> list[str] | None:
    """The conditions as they were written, read once to see that they can be."""
    from mmkg.where import parse

    try:
        parse(given)
    except FilterError as e:
        raise click.UsageError(str(e)) from e
    return list(given) or None


def read_tags(given: Sequence[str]) -> dict[str, str]:
    """Tags by name."""
    from mmkg.tags import parse_tags

    try:
        return parse_tags(given)
    except FilterError as e:
        raise click.UsageError(str(e)) from e
