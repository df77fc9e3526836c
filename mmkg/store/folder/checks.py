"""Checks of the doctor that look at rows and files which belong to nothing, or to another time; and how each is mended."""

from __future__ import annotations

from collections.abc import Iterator

from mmkg.algorithms.likeness import PRINT_NUMBERS
from mmkg.schema import PAGE_MARK, PRINT_SPACE, PROMPTS_KEY
from mmkg.store.changes import SourceChange
from mmkg.store.folder import leftovers
from mmkg.store.folder.damage import FOLDER, set_aside
from mmkg.store.folder.writer import FolderWriter
from mmkg.types import Problem

_DANGLING = {
    "unit": "SELECT DISTINCT document FROM unit WHERE document NOT IN (SELECT no FROM document)",
    "section": "SELECT DISTINCT document FROM section WHERE document NOT IN (SELECT no FROM document)",
    "page": "SELECT DISTINCT document FROM page WHERE document NOT IN (SELECT no FROM document)",
    "text_part": "SELECT DISTINCT document FROM text_part WHERE document NOT IN (SELECT no FROM document)",
}
_LOST_SOURCE = (
    "SELECT uri, coalesce(document, pending) FROM source s WHERE coalesce(document, pending) IS NOT NULL "
    "AND NOT EXISTS (SELECT 1 FROM document d WHERE d.id = coalesce(s.document, s.pending)) ORDER BY uri"
)
_NO_SOURCE = (
    "SELECT id FROM document d WHERE state = 'visible' "
    "AND NOT EXISTS (SELECT 1 FROM source s WHERE s.document = d.id) ORDER BY id"
)
_UNCLAIMED_OUTPUT = (
    "SELECT hex(key), space FROM output o WHERE NOT EXISTS (SELECT 1 FROM unit u WHERE u.key = o.key) "
    "AND NOT EXISTS (SELECT 1 FROM unit u WHERE u.media = lower(hex(o.key))) "
    f"AND NOT (instr(o.space, '{PAGE_MARK}') AND EXISTS (SELECT 1 FROM document d WHERE d.id = lower(hex(o.key)))) "
    f"AND hex(key) <> '{PROMPTS_KEY.hex().upper()}' ORDER BY 1, 2"
)

_SPACE = f"substr(space, 1, CASE instr(space, '{PAGE_MARK}') WHEN 0 THEN length(space) ELSE instr(space, '{PAGE_MARK}') - 1 END)"
"""The space of a row without the page."""


def check_rows(writer: FolderWriter) -> Iterator[Problem]:
    """Rows that refer to what is not there."""
    ledger = writer.ledger
    for table, sql in _DANGLING.items():
        for (no,) in ledger.rows(sql):
            yield Problem(
                kind="row-dangling", id=f"{table}:{no}", detail=f"{table} rows of a document that is not there"
            )
    for uri, document in ledger.rows(_LOST_SOURCE):
        yield Problem(kind="row-dangling", id=uri, detail=f"its document {document[:12]} is not there; add it again")
    for (id_,) in ledger.rows(_NO_SOURCE):
        yield Problem(kind="document-without-source", id=id_, detail="nothing says where it came from")


def check_outputs(writer: FolderWriter) -> Iterator[Problem]:
    """Model output of no unit, or of a space that the base does not have. O(outputs)."""
    ledger = writer.ledger
    for key, space in ledger.rows(_UNCLAIMED_OUTPUT):
        yield Problem(kind="output-unclaimed", id=key.lower(), detail=f"a vector of {space} that no unit has")
    dims = _dims(writer)
    for space, least, most in ledger.rows(
        f"SELECT {_SPACE} AS s, min(length(data) / (2 * max(n, 1))), max(length(data) / (2 * max(n, 1))) FROM output GROUP BY s"
    ):
        if space not in dims:
            yield Problem(kind="space-differs", id=space, detail="vectors of a space that the manifest does not name")
        elif not least == most == dims[space]:
            detail = f"vectors of {least} to {most} numbers where the manifest says {dims[space]}"
            yield Problem(kind="space-differs", id=space, detail=detail)


def _dims(writer: FolderWriter) -> dict[str, int | None]:
    dims = {key: (entry.get("space") or {}).get("dim") for key, entry in writer.manifest.spaces.items()}
    return {**dims, PRINT_SPACE: PRINT_NUMBERS}


def check_generations(writer: FolderWriter) -> Iterator[Problem]:
    """Files of generations past the ledger's: it was put back alone, or lost its log. And what was moved aside before."""
    for name in leftovers.later_files(writer.root, writer.ledger):
        detail = f"the ledger is at generation {writer.ledger.current().no}: it is older than this file; add again what is missing"
        yield Problem(kind="generations-disagree", id=name, detail=detail)
    folder = writer.root / FOLDER
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        yield Problem(
            kind="file-set-aside", id=f"{FOLDER}/{path.name}", detail="kept for a look; `mmkg compact` deletes it"
        )


def mend_rows(writer: FolderWriter, kinds: set[str]) -> set[str]:
    """Mend what the checks here found; returns the kinds that this settles."""
    ledger = writer.ledger
    settled = kinds & {
        "row-dangling",
        "document-without-source",
        "output-unclaimed",
        "generations-disagree",
        "space-differs",
    }
    if "row-dangling" in kinds:
        with ledger.transaction("rows-mended"):
            for table in _DANGLING:
                ledger.db.execute(f"DELETE FROM {table} WHERE document NOT IN (SELECT no FROM document)")
            ledger.db.executemany(
                "UPDATE source SET document = NULL, pending = NULL, status = 'failed', reason = ? WHERE uri = ?",
                [("failed: its document was lost; add it again", uri) for uri, _ in ledger.rows(_LOST_SOURCE)],
            )
    if "document-without-source" in kinds:
        # A document without a source would go; its content is worth more than where it came from.
        found = [id_ for (id_,) in ledger.rows(_NO_SOURCE)]
        writer.publish([SourceChange(uri=f"text:found/{id_[:12]}", document=id_) for id_ in found])
    if "output-unclaimed" in kinds:
        with ledger.transaction("rows-mended"):
            ledger.db.executemany(
                "DELETE FROM output WHERE key = ? AND space = ?",
                [(bytes.fromhex(key), space) for key, space in ledger.rows(_UNCLAIMED_OUTPUT)],
            )
    if "space-differs" in kinds:
        # What no manifest vouches for is of no use; where words are left without a vector, they are encoded again.
        dims = _dims(writer)
        with ledger.transaction("rows-mended"):
            for space, of in ledger.rows(f"SELECT DISTINCT space, {_SPACE} FROM output"):
                wrong = "" if of not in dims else " AND length(data) <> 2 * n * ?"
                ledger.db.execute(
                    f"DELETE FROM output WHERE space = ?{wrong}", (space, dims[of]) if wrong else (space,)
                )
    if "generations-disagree" in kinds:
        set_aside(writer.root, leftovers.later_files(writer.root, writer.ledger))
    return settled
