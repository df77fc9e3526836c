"""What a publication is asked for, and what it did: the same for a base in a folder and on a server."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceChange:
    """A source that now has this document (id), or, with document None, has none any more.

    drop: the source itself leaves the list. status, reason, size, mtime_ns: as `list` shows them.
    """

    uri: str
    document: str | None
    status: str = "added"
    reason: str = ""
    size: int = 0
    mtime_ns: int = 0
    drop: bool = False


@dataclass(slots=True)
class Published:
    """What one publication did: document ids that came and went.

    unchanged: URIs that another writer had pointed at the same document meanwhile. lost: URIs whose document did not come in, and why:
    another writer had removed it meanwhile, or it is too much for one commit. In a folder both are empty.
    """

    generation: int
    added: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    unchanged: set[str] = field(default_factory=set)
    lost: dict[str, str] = field(default_factory=dict)
