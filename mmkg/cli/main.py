"""mmkg: the command line. One file a command group; errors become one line with the fix in it."""

from __future__ import annotations

import importlib
import logging
import sys
from typing import TYPE_CHECKING, Any

import click

from mmkg import __version__
from mmkg.cli.output import plain
from mmkg.errors import MMKGError

if TYPE_CHECKING:
    from mmkg.kb import KnowledgeBase

# name -> module; loaded when it is called, so that `mmkg --help` and completion stay quick.
_COMMANDS = {
    "add": "documents",
    "list": "documents",
    "remove": "documents",
    "tag": "documents",
    "show": "documents",
    "search": "searching",
    "ask": "searching",
    "why-not": "searching",
    "communities": "searching",
    "cypher": "graph",
    "path": "graph",
    "export": "graph",
    "stats": "upkeep",
    "digest": "upkeep",
    "rebuild": "upkeep",
    "doctor": "upkeep",
    "reindex": "reindexing",
    "compact": "keeping",
    "backup": "keeping",
    "restore": "keeping",
    "salvage": "keeping",
    "copy": "moving",
    "eval": "evaluating",
    "demo": "demo",
    "train": "training",
    "export-encoder": "encoders",
    "completion": "completion",
}


class _Commands(click.Group):
    """Commands loaded on use; our errors as one line on stderr with exit code 1."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in _COMMANDS:
            return None
        module = importlib.import_module(f"mmkg.cli.{_COMMANDS[name]}")
        command: click.Command = getattr(module, {"list": "list_", "eval": "eval_"}.get(name, name.replace("-", "_")))
        return command

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except MMKGError as e:
            if ctx.params.get("debug"):
                raise
            _say(str(e))
            ctx.exit(1)
        except KeyboardInterrupt:
            click.echo("mmkg: stopped; what was committed stays, and the next run goes on from there", err=True)
            ctx.exit(130)
        except BrokenPipeError:
            # The reader (`head`) has enough; nothing more can be written, not even at exit.
            sys.stdout = None
            ctx.exit(0)
        except OSError as e:
            # A full disk, a folder that may not be written: the user's to mend, so one line is enough.
            if ctx.params.get("debug"):
                raise
            _say(f"{e.filename}: {e.strerror}" if e.filename and e.strerror else str(e))
            ctx.exit(1)


def _say(message: str) -> None:
    """An error, in one line that no file name or document in it can colour or break."""
    click.echo(f"mmkg: {plain(message)}", err=True)


@click.command(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--kb",
    "path",
    type=click.Path(),
    envvar="MMKG_KB",
    default="kb",
    show_default="MMKG_KB, or ./kb",
    help="Folder of the base.",
)
@click.option("--debug", is_flag=True, help="Show the trace of an error, and what happens on the way.")
@click.version_option(__version__, prog_name="mmkg")
@click.pass_context
def main(ctx: click.Context, path: str, debug: bool) -> None:
    """mmkg --kb ./kb add ~/Documents && mmkg --kb ./kb ask "who signed the treaty?"

    A knowledge base of files: text, tables and pictures in one graph, searched, walked with Cypher, and asked
    questions whose answers cite the page and the box.
    """
    logging.basicConfig(level=logging.DEBUG if debug else logging.ERROR, format="%(name)s: %(message)s")
    # The driver of the server logs every message it sends, and errors that are told anyway.
    logging.getLogger("neo4j").setLevel(logging.INFO if debug else logging.CRITICAL)
    ctx.obj = path


def open_kb(path: str, *, create: bool = False) -> KnowledgeBase:
    """The base that --kb names. Raises NotFoundError if there is none and create is False."""
    from mmkg.kb import KnowledgeBase

    return KnowledgeBase.open(path, create=create)


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON (docs/json.md).")
