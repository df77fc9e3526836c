"""The table at the end of `make test-slow`: for each test its cases, failures, seconds and the seed."""

from __future__ import annotations

from dataclasses import dataclass

PARTS = {
    "test_failpoints": "T1",
    "test_kill": "T1",
    "test_faults": "T2",
    "test_divergence": "T3",
    "test_states": "T4",
    "test_algebra": "T5",
    "cypher": "T6",
    "test_hostile_files": "T7",
    "test_outside_references": "T8",
    "test_failing_encoder": "T9",
    "model": "T9",
    "output": "T10",
    "test_processes": "P11",
}
"""Part of a file's name -> the test of the specification that it holds."""


@dataclass
class Row:
    cases: int = 0
    failures: int = 0
    skipped: int = 0
    seconds: float = 0.0
    longest: float = 0.0


def part_of(nodeid: str) -> str:
    name = nodeid.partition("::")[0].rsplit("/", 1)[-1]
    return next((part for key, part in PARTS.items() if key in name), "")


class Table:
    """Collects; one row a test function, its parameters together."""

    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}

    def add(self, nodeid: str, *, outcome: str, seconds: float, cases: list[float]) -> None:
        row = self.rows.setdefault(nodeid.partition("[")[0], Row())
        row.cases += len(cases) or 1
        row.failures += outcome == "failed"
        row.skipped += outcome == "skipped"
        row.seconds += seconds
        row.longest = max([row.longest, *cases])

    def lines(self, seed: object) -> list[str]:
        rows = sorted(self.rows.items(), key=lambda item: (_order(part_of(item[0])), item[0]))
        out = ["| test | cases | failures | seconds | slowest recovery, s |", "| --- | --- | --- | --- | --- |"]
        for nodeid, row in rows:
            name = nodeid.rsplit("/", 1)[-1].removeprefix("test_").replace(".py::test_", ": ").replace("_", " ")
            slowest = f"{row.longest:.1f}" if row.longest else ""
            cases = "skipped" if row.skipped and not row.cases - row.skipped else row.cases
            out.append(f"| {part_of(nodeid)} {name} | {cases} | {row.failures} | {row.seconds:.0f} | {slowest} |")
        total = sum(row.cases for row in self.rows.values())
        failures = sum(row.failures for row in self.rows.values())
        out.append(f"| all, seed {seed} | {total} | {failures} | {sum(r.seconds for r in self.rows.values()):.0f} | |")
        return out


def _order(part: str) -> tuple[str, int]:
    return (part[:1], int(part[1:])) if part[1:].isdigit() else ("Z", 0)
