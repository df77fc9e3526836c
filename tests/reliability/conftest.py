"""Fixtures of the reliability tests."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    """A short history, with vectors and names by the packaged models, computed once; with MMKG_HASHING by those of tests."""
    from relkit.world import World

    return World(tmp_path_factory.mktemp("world"), "small", real=not os.environ.get("MMKG_HASHING"))


@pytest.fixture(scope="session")
def forks(world):
    """Children of the history."""
    from relkit.launch import Forks

    with Forks(world.kept_path) as server:
        yield server


@pytest.fixture(scope="session")
def large_world(tmp_path_factory):
    """The same history with long texts and pictures."""
    from relkit.world import World

    return World(tmp_path_factory.mktemp("large"), "large")


@pytest.fixture(scope="session")
def large_forks(large_world):
    from relkit.launch import Forks

    with Forks(large_world.kept_path) as server:
        yield server


@pytest.fixture(scope="session")
def tiny_world(tmp_path_factory):
    """The same history with a few sentences a file and no models, for tests of every single system call."""
    from relkit.world import World

    return World(tmp_path_factory.mktemp("tiny"), "tiny", real=False)


@pytest.fixture(scope="session")
def live():
    """Parts for files that a test makes up as it goes; `live.kb(path)` is a base with them."""
    from relkit.kept import Live

    return Live()


@pytest.fixture
def parse_here(live):
    """Parse in this process: no parser is started for each of many small additions."""
    live.install()
    yield
    live.uninstall()


@pytest.fixture(scope="session")
def live_forks():
    from relkit.launch import Forks

    with Forks("live") as server:
        yield server


@pytest.fixture(scope="session")
def faulty(tiny_world, tmp_path_factory):
    """(children whose system calls can fail, the file that says what failed)."""
    from relkit import faults
    from relkit.launch import Forks

    folder = tmp_path_factory.mktemp("faults")
    library = faults.build(folder)
    if library is None or not sys.platform.startswith("linux"):
        pytest.skip("needs a C compiler (cc) and LD_PRELOAD")
    state = folder / "state"
    with Forks(tiny_world.kept_path, environment=faults.environment(library, state)) as server:
        yield server, state


@pytest.fixture(scope="session")
def seed(request):
    """An integer; the same one repeats a run. Given by --seed or MMKG_SEED, else by the clock in long runs, else 1."""
    return int(request.config.getoption("--seed"))


class Sizes:
    """How many cases the long tests run; MMKG_KILLS and so on change one of them."""

    kills = int(os.environ.get("MMKG_KILLS", "1000"))
    state_runs = int(os.environ.get("MMKG_STATE_RUNS", "150"))


@pytest.fixture(scope="session")
def sizes():
    return Sizes


@pytest.fixture
def count(request):
    """count(seconds=None): one more case of this test; the longest time is shown in the table."""
    cases = request.node.stash.setdefault(_CASES, [])

    def one(seconds=0.0):
        cases.append(seconds)

    return one


_CASES = pytest.StashKey()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """Cases travel with the report: with several workers the table is made by the process that started them."""
    report = (yield).get_result()
    if call.when == "call" or (call.when == "setup" and report.outcome != "passed"):
        told = dict(item.user_properties).get("cases", 0)
        report.user_properties.append(("reliability", item.stash.get(_CASES, None) or [0.0] * told))
