"""What `mmkg doctor` says of limits and fences: each limit with its value, default and variable; which fences hold here."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from mmkg.config import Limits, Settings
from mmkg.errors import MMKGError

OF_A_FILE = {
    "bytes": "size of one file",
    "pages": "pages of one document",
    "pixels": "width x height of one picture, checked before it is decoded",
    "expanded_bytes": "what a container or PDF stream may unpack to",
    "members": "files of one archive",
    "characters": "text of one document; plain text that is read in parts has no such limit",
    "media_seconds": "length of one recording, as decoded",
    "seconds": "work of the parser on one file, or on half an hour of a recording",
    "memory_bytes": "what the parser process may take above its start",
}
OF_A_QUERY = {
    "query_timeout_s": "seconds of one Cypher query",
    "query_rows": "rows of one answer",
    "query_memory_bytes": "what a query may take above the size of its process",
}


def limits(settings: Settings) -> list[dict[str, Any]]:
    """[{"name", "value", "default", "variable", "meaning"}]; name is the key in mmkg.toml.

    >>> limits(Settings())[0]["variable"]
    'MMKG_LIMIT_BYTES'
    """
    rows = [
        {
            "name": f"limits.{f.name}",
            "value": getattr(settings.limits, f.name),
            "default": f.default,
            "variable": f"MMKG_LIMIT_{f.name.upper()}",
            "meaning": OF_A_FILE[f.name],
        }
        for f in fields(Limits)
    ]
    for name, meaning in OF_A_QUERY.items():
        rows.append(
            {
                "name": name,
                "value": getattr(settings, name),
                "default": getattr(Settings(), name),
                "variable": f"MMKG_{name.upper()}",
                "meaning": meaning,
            }
        )
    return rows


def readable(name: str, value: float) -> str:
    """A limit as a person reads it.

    >>> readable("limits.bytes", 512 * 2**20), readable("limits.pages", 5000), readable("limits.seconds", 120.0)
    ('512 MiB', '5,000', '120')
    """
    if name.endswith("bytes"):
        for unit, size in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
            if value >= size:
                return f"{value / size:,.4g} {unit}"
        return f"{value:,.0f} bytes"
    return f"{value:,.12g}"


FENCES = {
    "namespace": "a network of its own, without interfaces",
    "landlock": "rules for paths: nothing is written or started, and only code and tables are read (Linux 5.13)",
    "seccomp": "a filter of system calls: no sockets, no processes, no change of files",
    "memory": "a limit of memory",
    "writes": "a limit of what may be written to a file",
    "files": "no descriptor can be opened",
    "timer": "a timer of the kernel",
    "python": "Python's own checks of sockets, programs and writes",
}


def fences(settings: Settings) -> list[dict[str, Any]]:
    """[{"process": parser or query, "fence", "holds", "detail", "meaning"}]: what stands around strangers' files and queries here.

    Starts one process of each kind (together about half a second) and asks it.
    """
    from mmkg.ingest.pool import ParserPool
    from mmkg.store.embedded.graph import KGLiteStore

    found: dict[str, dict[str, Any]] = {"parser": {}, "query": {}}
    try:
        with ParserPool(settings) as pool:
            found["parser"] = pool.fences()
        with KGLiteStore(spare=False) as store:
            found["query"] = dict(store.doctor_facts()["limits"])
    except MMKGError:  # a process that does not start is told by the first `add` or query, with its reason
        pass
    return [
        {
            "process": process,
            "fence": name,
            "holds": bool(facts.get(name)) and facts.get(name) != "none",
            "detail": _detail(facts.get(name)),
            "meaning": FENCES[name],
        }
        for process, facts in found.items()
        for name in FENCES
        if name in facts
    ]


def _detail(value: Any) -> str:
    """What is more than yes or no: Landlock's version, the ways in which memory is limited."""
    if isinstance(value, bool) or not value:
        return ""
    return f"version {value}" if isinstance(value, int) else str(value)
