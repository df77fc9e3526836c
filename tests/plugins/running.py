"""How a run goes: its seed, how tests are spread over workers (`pytest -n 2 --dist loadgroup`), which skips fail it, and its table.

A plugin and not a conftest, because the process that starts the workers collects no tests and so reads no conftest of a folder.
"""

from __future__ import annotations

import os
import time

import pytest
from reliability_table import Table

EXPECTED_SKIPS = ("gpu",)
"""Words in a skip's reason that the gate expects; any other skip is a failure there."""

DEAR = ("neo4j_served", "world")
"""Session fixtures that cost more than a minute, or a server: short tests that use one of them go to one worker."""

FIRST = (
    "neo4j_served",
    "world",
    "tests/test_demo.py",
    "tests/store/test_recordings.py",
    "tests/kb/test_hearing.py",
    "tests/store/test_damage.py",
    "tests/cli/test_processes.py",
    "tests/reliability/test_faults.py",
)
"""Groups that take longest: begun first, so that no worker is left with one at the end."""

_TABLE = pytest.StashKey[Table]()


def pytest_addoption(parser):
    parser.addoption(
        "--seed", default=os.environ.get("MMKG_SEED"), help="of every random choice of the reliability tests"
    )


def pytest_configure(config):
    """The seed is chosen here, once: workers get the options of the process that starts them."""
    if config.option.seed is None:
        config.option.seed = str(int(time.time()) if _long(config) else 1)
    config.stash[_TABLE] = Table()
    config.pluginmanager.register(_Reports(config.stash[_TABLE]))


def _long(config):
    return config.option.markexpr == "slow"


# ---- Workers ----


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    """What runs in one worker, and in which order groups are handed out."""
    if not config.getoption("loadgroup", False):
        return
    long = _long(config)
    for item in items:
        item.add_marker(pytest.mark.xdist_group(_group(item, long)))
    items.sort(key=_minutes if long else _place)


def _group(item, long):
    """A file, or everything that shares a dear fixture. In a long run each test by itself: sharing costs less there than waiting."""
    shared = next((name for name in DEAR if name in item.fixturenames), None)
    if shared and (not long or shared == "neo4j_served"):
        return shared
    return item.nodeid if long else item.nodeid.partition("::")[0]


def _minutes(item):
    """The group that only one worker can take first, then those with the longest limit."""
    limit = item.get_closest_marker("timeout")
    group = item.get_closest_marker("xdist_group").args[0]
    return group not in DEAR, -(limit.args[0] if limit else 0), item.nodeid.partition("[")[0]


def _place(item):
    group = item.get_closest_marker("xdist_group").args[0]
    return FIRST.index(group) if group in FIRST else len(FIRST)


# ---- Skips ----


def pytest_sessionfinish(session, exitstatus):
    """With MMKG_STRICT_SKIPS, an unexpected skip fails the run: it would hide a missing install step."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if not os.environ.get("MMKG_STRICT_SKIPS") or reporter is None or hasattr(session.config, "workerinput"):
        return
    reasons = [str(r.longrepr[2]) for r in reporter.stats.get("skipped", []) if isinstance(r.longrepr, tuple | list)]
    odd = [r for r in reasons if not any(word in r for word in EXPECTED_SKIPS)]
    if odd:
        reporter.write_line(f"unexpected skips: {sorted(set(odd))}", red=True)
        session.exitstatus = 1


# ---- The table of the reliability tests ----


class _Reports:
    """Listens to the reports of all workers."""

    def __init__(self, table):
        self.table = table

    def pytest_runtest_logreport(self, report):
        for name, cases in report.user_properties:
            if name == "reliability" and (report.when == "call" or report.outcome != "passed"):
                nodeid = report.nodeid.rpartition("@")[0] if "@" in report.nodeid else report.nodeid
                self.table.add(nodeid, outcome=report.outcome, seconds=report.duration, cases=cases)


def pytest_terminal_summary(terminalreporter, config):
    """After a run with the long tests, the table; after the short ones nothing."""
    if _long(config) and config.stash[_TABLE].rows:
        terminalreporter.section("reliability")
        for line in config.stash[_TABLE].lines(config.option.seed):
            terminalreporter.write_line(line)
