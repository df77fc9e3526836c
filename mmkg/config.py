"""Settings, and where they come from: an argument, then MMKG_* variables, then the user's mmkg.toml, then the defaults here."""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from mmkg.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one file may cost its parser process. Passing one gives the status `rejected: <name>`."""

    bytes: int = 512 * 2**20
    """Size of the file."""
    pages: int = 5_000
    pixels: int = 100_000_000
    """Width x height of one picture, checked before it is decoded."""
    expanded_bytes: int = 1 * 2**30
    """Decompressed size of a container (DOCX), of one PDF stream, or of all that lies in an archive."""
    members: int = 10_000
    """Files in an archive, with those in archives inside it."""
    characters: int = 50_000_000
    media_seconds: float = 14_400.0
    """Length of a recording, as decoded; four hours."""
    seconds: float = 120.0
    """Of work, for a recording anew with every half hour of it; a parser that a busy machine keeps from working gets up to four
    times as long on the clock."""
    memory_bytes: int = 3 * 2**30
    """Most that a parser process may take above what it has after start. A small file gets less: see memory_for."""

    def memory_for(self, size: int) -> int:
        """Bytes of memory that the parser of a file of `size` bytes may take: 768 MiB and 24 for each byte, up to memory_bytes.

        Reading pictures takes 450 MiB whatever they are, and an ordinary file unpacks a few-fold; a bomb is small.

        >>> Limits().memory_for(2**20) >> 20, Limits().memory_for(2**30) >> 20
        (792, 3072)
        """
        return min(self.memory_bytes, 768 * 2**20 + 24 * size)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything a user can set. Unknown keys are errors."""

    chunk_characters: int = 1_000
    """Target length of a chunk; it ends at a sentence where it can."""
    batch_units: int = 256
    """A commit happens after this many new units ..."""
    batch_seconds: float = 20.0
    """... or after this many seconds of work, whichever is first."""
    workers: int = 2
    """Parser processes."""
    encoder: str = "default"
    """Of words: default, none, a model's name, a folder, or a service and its model: http://localhost:8080/v1#name."""
    image_encoder: str = "default"
    """Of pixels: default (the label bridge), none, a CLIP or SigLIP model (mmkg.encode.clip), or several with commas."""
    sound_encoder: str = "default"
    """Of sounds: default (statistics of the log-mel spectrum, no learned model), none, or the folder of a CLAP model."""
    page_encoder: str = "none"
    """Of pages as pictures, for a second look at what was found: none, or the folder of a ColPali, ColQwen2 or ColModernVBERT model."""
    effort: int = 1
    """How much a question may cost: 0 the walk alone, 1 a ranked pass, 2 and 3 further passes with changed questions."""
    ranker: str = "default"
    """default: fitted on the base if it has one (`mmkg train ranker`), else the packaged one; packaged; or a file."""
    device: str = "auto"
    """auto, cpu, cuda, mps."""
    ocr: bool = True
    speech: str = "default"
    """Recogniser of speech: default, none, or the folder of a Whisper model in CTranslate2's form."""
    describer: str = "none"
    """Of pictures, in words: none, or a vision language model behind a chat endpoint: http://localhost:8080/v1#name."""
    sandbox: bool = True
    """Fences of the kernel around parser processes, where it has them; false if a library cannot be loaded inside them."""
    walk_mentions: int = 5_000_000
    """Of a base on a server: with more mentions than this nothing is exported to search it, the walk asks the server."""
    walk_units: int = 1_500
    """Most units that such a walk looks at for a question."""
    query_timeout_s: float = 10.0
    query_rows: int = 10_000
    query_memory_bytes: int = 2 * 2**30
    limits: Limits = Limits()

    @classmethod
    def load(cls, path: Path | None = None, *, environ: Mapping[str, str] | None = None, **overrides: Any) -> Settings:
        """Settings from the defaults, then a TOML file, then MMKG_* variables, then keyword arguments.

        path: the user's file; default ./mmkg.toml if it exists, then the one in the user's configuration folder.
        A base's own folder is never read for settings. Raises ConfigError for an unknown key or a wrong type.
        """
        environ = os.environ if environ is None else environ
        values: dict[str, Any] = {}
        file = path or next((p for p in _default_files(environ) if p.is_file()), None)
        if file is not None:
            try:
                values.update(tomllib.loads(file.read_text(encoding="utf-8")))
            except (OSError, tomllib.TOMLDecodeError) as e:
                raise ConfigError(f"cannot read settings from {file}: {e}") from e
        names = {f.name for f in fields(cls)} - {"limits"}
        for name in sorted(names):
            if (text := environ.get(f"MMKG_{name.upper()}")) is not None:
                values[name] = text
        limits = values.pop("limits", {})
        if not isinstance(limits, Mapping):
            raise ConfigError(
                f"setting limits: expected a table, got {limits!r}", hint="write [limits] and keys under it"
            )
        limits = dict(limits)
        for f in fields(Limits):
            if (text := environ.get(f"MMKG_LIMIT_{f.name.upper()}")) is not None:
                limits[f.name] = text
        given = overrides.pop("limits", None)
        values.update({k: v for k, v in overrides.items() if v is not None})
        # An argument wins over variables and file, as for every other setting: as a whole if it is a Limits.
        limits.update(given if isinstance(given, Mapping) else {})
        return replace(
            cls(),
            **_checked(cls, values),
            limits=given
            if isinstance(given, Limits)
            else replace(Limits(), **_checked(Limits, limits, prefix="limits.")),
        )


def _default_files(environ: Mapping[str, str]) -> list[Path]:
    home = Path(environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    # A base may come from a stranger, and a user may stand in its folder: a file there is not the user's.
    here = [] if Path("manifest.json").exists() or Path("ledger.sqlite").exists() else [Path("mmkg.toml")]
    return [*here, home / "mmkg" / "mmkg.toml"]


def _checked(cls: type[Any], values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    known = {f.name: f for f in fields(cls) if f.name != "limits"}
    out: dict[str, Any] = {}
    for key, value in values.items():
        if key not in known:
            close = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean {prefix}{close[0]}?" if close else f"known: {', '.join(sorted(known))}"
            raise ConfigError(f"unknown setting {prefix}{key}", hint=hint)
        out[key] = _cast(prefix + key, value, type(known[key].default))
    return out


def _cast(key: str, value: Any, kind: type[Any]) -> Any:
    try:
        if kind is bool and isinstance(value, str):
            return {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}[value.lower()]
        # A file has types: `workers = "2"`, `ocr = 5` or `pages = 2.5` there are slips, not other spellings.
        if isinstance(value, bool) != (kind is bool) and not isinstance(value, str):
            raise TypeError
        cast = kind(value)
        if kind is int and isinstance(value, float) and cast != value:
            raise TypeError
    except (TypeError, ValueError, OverflowError, KeyError) as e:
        raise ConfigError(f"setting {key}: expected {kind.__name__}, got {value!r}") from e
    if key == "effort":
        if cast not in range(4):
            raise ConfigError(f"setting effort: expected 0, 1, 2 or 3, got {value!r}")
    elif kind in (int, float) and not cast > 0:  # "not": NaN compares false
        raise ConfigError(f"setting {key}: must be above 0, got {value!r}")
    return cast
