"""Why a file has the status it has: a closed list of codes. A reason reads `<code>: <text>`; the text may change, the code does not.

The ledger keeps the reason as one string, so a code is found again by `code_of`. docs/operations.md lists the same table.
"""

from __future__ import annotations

from typing import NamedTuple

LONGEST = 500
"""Characters of a reason; what is longer is cut. Reasons can quote a stranger's file."""


class Reason(NamedTuple):
    """statuses: with which the code may come. meaning: one line for a reader."""

    statuses: tuple[str, ...]
    meaning: str


_IN = ("added", "updated", "moved")

REASONS: dict[str, Reason] = {
    # came in, with something worth knowing
    "note": Reason(_IN, "the document is in, and something in it was left out or could not be read"),
    "same-bytes": Reason(_IN, "another file with the same bytes is in the base; the document now has both as sources"),
    "tags": Reason(("updated",), "its bytes are the same, its tags changed; the reason gives those of the command"),
    "moved": Reason(("moved",), "the file that these bytes came from is gone; the reason names it"),
    # nothing in it
    "no-bytes": Reason(("empty",), "the file has no bytes"),
    "no-content": Reason(("empty",), "no word and no picture could be found in it"),
    # not for us
    "unsupported": Reason(("skipped",), "no loader for this kind of file"),
    "not-a-file": Reason(("skipped", "rejected"), "a folder, pipe, socket or device where a file is expected"),
    "subtitles": Reason(("skipped",), "the subtitles of a recording beside it: one document with that"),
    "archive": Reason(("skipped",), "an archive: each file in it is a document of its own"),
    # limits: one for each key of [limits]
    "bytes": Reason(("rejected",), "larger than limits.bytes, or its parser wrote as much"),
    "pages": Reason(("rejected",), "more pages than limits.pages"),
    "pixels": Reason(("rejected",), "a picture of more than limits.pixels"),
    "expanded_bytes": Reason(("rejected",), "unpacks to more than limits.expanded_bytes"),
    "members": Reason(("rejected",), "an archive of more files than limits.members"),
    "characters": Reason(("rejected",), "more text than limits.characters"),
    "media_seconds": Reason(("rejected",), "a recording longer than limits.media_seconds"),
    "seconds": Reason(("rejected",), "parsing took longer than limits.seconds"),
    "memory": Reason(("rejected",), "parsing needed more than limits.memory_bytes"),
    "nested": Reason(("rejected",), "its parts are nested too deeply to be parsed"),
    # bad files
    "damaged": Reason(("rejected",), "cut short, or not what its format prescribes"),
    "encrypted": Reason(("rejected",), "needs a password"),
    "name": Reason(("rejected",), "its extension promises another format than its bytes are"),
    "member": Reason(("rejected",), "an entry of an archive whose name leads outside it"),
    "not-text": Reason(("rejected",), "of no known format, and not text either"),
    "encoding": Reason(("rejected",), "text in an encoding that cannot be told with confidence"),
    "crash": Reason(("rejected",), "its parser process died of it"),
    # our side, or the machine's
    "unreadable": Reason(("failed",), "it could not be opened or read now: gone, not permitted, an I/O error"),
    "changed": Reason(("failed",), "its bytes changed while it was being read"),
    "parser": Reason(("failed",), "the loader met what it does not expect; worth a report"),
    "no-parser": Reason(("failed",), "no parser process could be started"),
    "stopped": Reason(("failed",), "the run was stopped before the file was parsed"),
    "dependency": Reason(("failed",), "an optional package that its format needs is not installed"),
    "model": Reason(("failed",), "a model gave no usable vector for its text; nothing of it was kept"),
    "server-memory": Reason(
        ("failed",), "one commit of it needs more than db.memory.transaction.max of the Neo4j server"
    ),
    "gone": Reason(("removed",), "the file is no longer there (`add --prune`), or no longer in its archive"),
}

LIMIT_CODES = (
    "bytes",
    "pages",
    "pixels",
    "expanded_bytes",
    "members",
    "characters",
    "media_seconds",
    "seconds",
    "memory",
)
"""Codes of the limits, in the order of config.Limits."""

KEPT = " (the version read before stays)"
"""Ends the reason of a file that could not be read again, while its earlier document is still in the base."""


def reason(code: str, text: str) -> str:
    """A reason as it is stored and shown, at most LONGEST characters; a text that begins with its code is taken as it is.

    Raises ValueError for a code that is not listed.

    >>> reason("pages", "6000 pages; the limit is 5000")
    'pages: 6000 pages; the limit is 5000'
    """
    if code not in REASONS:
        raise ValueError(f"{code!r} is not a reason code")
    full = text if text.startswith(f"{code}: ") else f"{code}: {text}"
    return full if len(full) <= LONGEST else full[: LONGEST - 1] + "…"


def code_of(text: str) -> str:
    """The code of a reason, "" where it has none.

    >>> code_of("pages: 6000 pages; the limit is 5000"), code_of("")
    ('pages', '')
    """
    code, colon, _ = text.partition(": ")
    return code if colon and code in REASONS else ""


def fits(status: str, text: str) -> bool:
    """Whether a reason may come with a status: its code is listed for it. Only what came in, or is unchanged, needs none.

    >>> fits("rejected", "pages: 6000 pages"), fits("added", ""), fits("failed", "oops"), fits("empty", "pages: 1")
    (True, True, False, False)
    """
    if not text:
        return status in ("added", "updated", "unchanged", "moved", "removed", "ok")
    code = code_of(text)
    return bool(code) and status in REASONS[code].statuses
