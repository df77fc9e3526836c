"""From one format of a folder to the next. Run by the first writer that opens an older base, each step in one transaction.

Formats: 1, the manifest lies in manifest.json only; 2, the ledger has a table `meta` with the manifest and the base's own id,
and writes its format down; 3, units have times, and there is a table `heard`; 4, long texts lie in a table `text_part`; 5, there
are tables for the edges of pictures, empty until the next `add` derives the base anew; 6, a picture may have words that a model
wrote of it. A step may run again after a crash: the
ledger's own version says what is done.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable
from pathlib import Path

from mmkg.errors import FormatVersionError
from mmkg.schema import FORMAT_VERSION
from mmkg.store.folder.ledger import (
    DESCRIBED_COLUMNS,
    HEARD_DDL,
    META_DDL,
    PART_DDL,
    PICTURE_DDL,
    TIME_COLUMNS,
    Ledger,
)
from mmkg.store.manifest import Manifest, mend_copy

log = logging.getLogger(__name__)


def migrate(root: Path, ledger: Ledger) -> bool:
    """Bring a writable ledger to the current format; returns whether it was older.

    Raises FormatVersionError for a format that no step begins with.
    """
    found = version = ledger.format()
    while version < FORMAT_VERSION:
        step = _STEPS.get(version)
        if step is None:
            raise FormatVersionError(f"the base has format {version}, which this mmkg cannot bring to {FORMAT_VERSION}")
        with ledger.transaction("migrated"):
            step(root, ledger)
            version += 1
            ledger.db.execute(f"PRAGMA user_version = {version}")
    if found < FORMAT_VERSION:
        mend_copy(root, ledger)
        log.info("%s: format %s is now %s", root, found, FORMAT_VERSION)
    return found < FORMAT_VERSION


def _from_1(root: Path, ledger: Ledger) -> None:
    """The manifest moves into the ledger, and the base gets an id that its backups share."""
    manifest = Manifest.read(root)
    for statement in META_DDL.split(";"):
        if statement.strip():
            ledger.db.execute(statement)
    ledger.put_meta("base", uuid.uuid4().hex)
    ledger.put_meta(
        "manifest",
        Manifest(
            extractor=manifest.extractor,
            deriver=manifest.deriver,
            chunk_characters=manifest.chunk_characters,
            spaces=manifest.spaces,
        ).text(),
    )


def _from_2(root: Path, ledger: Ledger) -> None:
    """Units get times, and there is a place for what a recogniser heard."""
    _add_columns(ledger, TIME_COLUMNS)
    for statement in HEARD_DDL.replace("CREATE TABLE", "CREATE TABLE IF NOT EXISTS").split(";"):
        if statement.strip():
            ledger.db.execute(statement.replace("CREATE INDEX", "CREATE INDEX IF NOT EXISTS"))


def _from_3(root: Path, ledger: Ledger) -> None:
    """There is a place for long texts."""
    ledger.db.execute(PART_DDL.replace("CREATE TABLE", "CREATE TABLE IF NOT EXISTS").replace(";", ""))


def _from_4(root: Path, ledger: Ledger) -> None:
    """There are tables for the edges of pictures; the deriver's new version has them filled."""
    for statement in PICTURE_DDL.replace("CREATE TABLE", "CREATE TABLE IF NOT EXISTS").split(";"):
        if statement.strip():
            ledger.db.execute(statement.replace("CREATE INDEX", "CREATE INDEX IF NOT EXISTS"))


def _from_5(root: Path, ledger: Ledger) -> None:
    """There is a place for what a model wrote of a picture."""
    _add_columns(ledger, DESCRIBED_COLUMNS)


def _add_columns(ledger: Ledger, columns: tuple[str, ...]) -> None:
    """Columns of the table unit, where they are not there yet."""
    there = {name for _, name, *_ in ledger.rows("PRAGMA table_info(unit)")}
    for column in columns:
        if column.split()[0] not in there:
            ledger.db.execute(f"ALTER TABLE unit ADD COLUMN {column}")


_STEPS: dict[int, Callable[[Path, Ledger], None]] = {1: _from_1, 2: _from_2, 3: _from_3, 4: _from_4, 5: _from_5}
