"""What a base is made of. It lies in the ledger; manifest.json is a copy that people and other programs can read.

The ledger's copy counts: a lost or damaged manifest.json is written anew from it. Bases of format 1 have only the file.
"""

from __future__ import annotations

import json
import logging
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from mmkg.errors import FormatVersionError, NotFoundError, StoreDamagedError
from mmkg.schema import FORMAT_VERSION
from mmkg.store.durable import write_atomic
from mmkg.store.folder.ledger import Ledger, newer_format

NAME = "manifest.json"
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """The profile of a base: whatever gives other facts when it changes. It can name no URL, path or command.

    extractor: name of the name extractor. deriver: version of the derivation rules. chunk_characters: chunk target.
    speech: key of the recogniser that heard its recordings, "" before the first. describer: likewise of its pictures.
    spaces: key -> {"space": ..., "probes": rows} as recorded when the space came in.
    """

    format_version: int = FORMAT_VERSION
    extractor: str = ""
    deriver: str = ""
    chunk_characters: int = 0
    speech: str = ""
    describer: str = ""
    spaces: dict[str, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def parse(cls, data: bytes | str, name: str) -> Manifest:
        """name: what is read, for messages. Raises FormatVersionError for a newer one, StoreDamagedError if it is none."""
        try:
            values = json.loads(data)
        except (ValueError, RecursionError) as e:
            raise StoreDamagedError(f"{name} cannot be read: {e}", hint=_MEND) from e
        version = values.get("format_version") if isinstance(values, dict) else None
        if not isinstance(version, int):
            raise StoreDamagedError(f"{name} is not a manifest", hint=_MEND)
        if version > FORMAT_VERSION:
            raise newer_format(version)
        found = cls(**{k: v for k, v in values.items() if k in cls.__slots__})
        if not (
            isinstance(found.extractor, str)
            and isinstance(found.deriver, str)
            and isinstance(found.speech, str)
            and isinstance(found.describer, str)
            and isinstance(found.chunk_characters, int)
            and isinstance(found.spaces, dict)
            and all(isinstance(entry, dict) for entry in found.spaces.values())
        ):
            raise StoreDamagedError(f"{name} is not a manifest", hint=_MEND)
        return found

    @classmethod
    def read(cls, root: Path) -> Manifest:
        """The copy in manifest.json. Raises NotFoundError if there is none, FormatVersionError, StoreDamagedError."""
        path = root / NAME
        try:
            data = path.read_bytes()
        except FileNotFoundError as e:
            raise NotFoundError(f"no knowledge base in {root}", hint="`mmkg add PATH` makes one") from e
        except OSError as e:
            raise StoreDamagedError(f"{path} cannot be read: {e}", hint=_MEND) from e
        return cls.parse(data, str(path))

    def text(self) -> str:
        return json.dumps(asdict(self), indent=1, sort_keys=True)

    def write_copy(self, root: Path) -> None:
        """Replace manifest.json atomically."""
        write_atomic(root / NAME, self.text().encode(), point="manifest")


_MEND = "run `mmkg doctor --fix`"


def load(root: Path, ledger: Ledger) -> Manifest:
    """The manifest of a base: the ledger's, else (format 1) the file's.

    A copy that is lost or damaged is only logged; a copy of a newer format is believed, and refused with FormatVersionError.
    """
    text = ledger.meta("manifest")
    try:
        copy = Manifest.read(root)
    except FormatVersionError:
        raise
    except (NotFoundError, StoreDamagedError) as e:
        if text is None:
            raise StoreDamagedError(
                f"{root / NAME} is missing or damaged, and this base of format {ledger.format()} has no other copy of it",
                hint="put back manifest.json from a copy of the base",
            ) from e
        log.warning("%s: %s", root / NAME, "it is missing" if isinstance(e, NotFoundError) else e)
        return Manifest.parse(text, "the ledger's manifest")
    return copy if text is None else Manifest.parse(text, "the ledger's manifest")


def save(root: Path, ledger: Ledger, manifest: Manifest) -> None:
    """Keep it in the ledger, then in the copy. Call outside a transaction."""
    manifest = replace(manifest, format_version=FORMAT_VERSION)
    with ledger.transaction("manifest-kept"):
        ledger.put_meta("manifest", manifest.text())
    manifest.write_copy(root)


def mend_copy(root: Path, ledger: Ledger) -> bool:
    """Write manifest.json anew if it is not the ledger's; returns whether it was."""
    text = ledger.meta("manifest")
    if text is None:
        return False
    try:
        if (root / NAME).read_text(encoding="utf-8") == text:
            return False
    except (OSError, ValueError):
        pass
    Manifest.parse(text, "the ledger's manifest").write_copy(root)
    return True


def refuse_newer(root: Path) -> None:
    """Raises FormatVersionError if manifest.json says that a later mmkg wrote the base."""
    with suppress(NotFoundError, StoreDamagedError):
        Manifest.read(root)


def is_base(root: Path) -> bool:
    """Whether a base lies in the folder, sound or not."""
    return (root / NAME).exists() or Ledger.there(root)
