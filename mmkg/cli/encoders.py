"""export-encoder."""

from __future__ import annotations

from pathlib import Path

import click

from mmkg.cli.main import json_option
from mmkg.cli.output import emit_json, plain


@click.command("export-encoder")
@click.argument("model")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Folder to write, made if it is not there.",
)
@json_option
def export_encoder(model: str, out: Path, as_json: bool) -> None:
    """mmkg export-encoder ~/models/clip-vit-base-patch32 --out ~/models/clip-onnx

    Writes a CLIP or SigLIP model as ONNX: from then on `image_encoder = "~/models/clip-onnx"` needs no torch. The space stays the same, so
    a base made with either opens with the other.
    """
    from mmkg.encode.clip_onnx import export_clip

    space = export_clip(model, out)
    files = sorted(f.name for f in out.iterdir() if f.suffix in (".onnx", ".json"))
    if as_json:
        emit_json({"space": space.key, "dim": space.dim, "target": str(out), "files": files})
    else:
        click.echo(f"{plain(space.key)}, {space.dim} dimensions: {', '.join(files)} in {plain(str(out))}")
