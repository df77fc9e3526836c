"""What `add` did: each file's status, and where the time went."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mmkg.schema import STATUSES
from mmkg.types import FileReport


@dataclass(slots=True)
class AddReport:
    """What `add` did, file by file in the order they were finished."""

    documents: list[FileReport] = field(default_factory=list)
    seconds: float = 0.0
    timings: dict[str, float] = field(default_factory=dict)

    @property
    def counts(self) -> dict[str, int]:
        """Status -> number of files, in the order of schema.STATUSES, without zeros."""
        found = Counter(d.status for d in self.documents)
        return {s: found[s] for s in (*STATUSES, "removed") if found[s]}


class Timer:
    """Adds the seconds of its body to a table of timings."""

    def __init__(self, timings: dict[str, float], name: str) -> None:
        self._timings, self._name = timings, name

    def __enter__(self) -> None:
        self._start = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self._timings[self._name] = self._timings.get(self._name, 0.0) + time.perf_counter() - self._start


def report_json(report: AddReport) -> Mapping[str, Any]:
    """The JSON of `mmkg add --json`."""
    return {
        "documents": [
            {"uri": d.uri, "id": d.id, "status": d.status, "reason": d.reason, "reason_code": d.reason_code}
            for d in report.documents
        ],
        "counts": report.counts,
        "seconds": round(report.seconds, 3),
    }
