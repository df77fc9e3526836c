"""T1: kill -9 at random moments and at every fail point, during each operation, with real vectors.

After each kill: the base opens, every document is whole or absent in ledger, words, vectors and graph, what was said to be in is in,
and one further run gives the digest of an undisturbed one.
"""

from __future__ import annotations

import random
import time

import pytest
from relkit import record
from relkit.oracle import between, blobs_without_a_document, inspect, torn

from mmkg.store.durable import FAILPOINTS
from mmkg.store.folder.doctor import is_problem

pytestmark = pytest.mark.models


@pytest.fixture(scope="session")
def reached(world, forks, tmp_path_factory):
    return _reached(world, forks, tmp_path_factory.mktemp("reached"))


@pytest.fixture(scope="session")
def large_reached(large_world, large_forks, tmp_path_factory):
    return _reached(large_world, large_forks, tmp_path_factory.mktemp("large_reached"))


def _reached(world, forks, folder):
    """point -> [(step number, how often it is passed there), ...]; and fills in how long each step takes."""
    out = {}
    for i in range(len(world.steps)):
        step = world.stage(i, folder / "kb")
        log = folder / f"{i}.log"
        done = forks.run(folder / "kb", *world.script(step), record=str(log))
        assert done.code == 0, done.said
        step.seconds = done.seconds
        counts = {}
        for kind, what in record.read(log):
            if kind == "point":
                counts[what] = counts.get(what, 0) + 1
        for point, n in counts.items():
            out.setdefault(point, []).append((i, n))
    return out


def after_the_kill(world, i, base, said, *, doctor=True):
    """What must hold now, and after one further run. Returns seconds from opening to the next committed run."""
    step = world.steps[i]
    begun = time.monotonic()
    with world.kept.kb(base) as kb:
        if kb.exists():
            state = inspect(kb)
            assert not torn(state, world.whole, world.with_vector)
            assert not between(state["sources"], world.before(i)["sources"], step.state["sources"], said)
            assert kb.search("the book of the station", k=3) or not state["documents"]
        else:
            assert i == 0 and not said, "a base that was there is gone"
        world.kept.install()
        try:
            kb.add(world.files, prune=True)
            seconds = time.monotonic() - begun
            if step.name in ("fill", "doctor"):
                kb.doctor(fix=True)
        finally:
            world.kept.uninstall()
        assert kb.digest(deep=True) == step.digest
        assert not blobs_without_a_document(base)
        if doctor:
            problems = [p for p in kb.doctor() if is_problem(p)]
            assert not problems
        assert inspect(kb, graph=False)["sources"] == step.state["sources"]
    return seconds


def kill_at_point(world, forks, base, i, point):
    step = world.stage(i, base)
    done = forks.run(base, *world.script(step), env={"MMKG_FAILPOINT": point})
    assert done.code == -9, f"{point} was not reached in {step.name}: {done.said}"
    return done


def kill_at_random(world, forks, base, i, chance):
    """Kill step i at a moment between its beginning and shortly after its end. Returns what the child had said."""
    step = world.stage(i, base)
    done = forks.run(base, *world.script(step), kill_after=chance.uniform(0.0, 1.1 * step.seconds))
    assert done.code in (0, -9), done.said
    # A step that was said to be done is done: all its files count as said.
    return done.code, set(step.state["sources"]) if done.steps() else done.files()


@pytest.mark.parametrize("point", FAILPOINTS)
def test_killed_at(point, world, forks, reached, tmp_path, seed):
    chance = random.Random(f"{seed}{point}")
    i, n = chance.choice(reached[point])
    done = kill_at_point(world, forks, tmp_path / "kb", i, f"{point}:{chance.randint(1, n)}")
    after_the_kill(world, i, tmp_path / "kb", done.files(), doctor=False)


def test_what_a_killed_removal_left_goes_with_the_next_writer(world, forks, reached, tmp_path):
    """The originals of removed documents are deleted after the commit: a kill between must not keep them for ever."""
    i = next(i for i, step in enumerate(world.steps) if step.name == "remove")
    done = kill_at_point(world, forks, tmp_path / "kb", i, "publish-committed")
    assert blobs_without_a_document(tmp_path / "kb")
    after_the_kill(world, i, tmp_path / "kb", done.files())


def test_killed_at_random(world, forks, reached, tmp_path, seed, count):
    chance = random.Random(seed)
    for i in range(len(world.steps)):
        _, said = kill_at_random(world, forks, tmp_path / "kb", i, chance)
        count(after_the_kill(world, i, tmp_path / "kb", said, doctor=i % 4 == 0))
    assert reached


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("time", range(3))
def test_killed_at_each_point_three_times(time, large_world, large_forks, large_reached, tmp_path, seed, count):
    assert set(large_reached) == set(FAILPOINTS)
    for point in FAILPOINTS:
        chance = random.Random(f"{seed}{point}{time}")
        i, n = chance.choice(large_reached[point])
        done = kill_at_point(large_world, large_forks, tmp_path / "kb", i, f"{point}:{chance.randint(1, n)}")
        count(after_the_kill(large_world, i, tmp_path / "kb", done.files()))


PARTS = 20
"""The thousand kills are this many tests: whichever worker is free takes the next."""


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("part", range(PARTS))
def test_killed_at_a_thousand_moments(part, large_world, large_forks, large_reached, tmp_path, seed, count, sizes):
    chance = random.Random(f"{seed}{part}")
    killed = 0
    while killed < sizes.kills // PARTS:
        i = chance.randrange(len(large_world.steps))
        code, said = kill_at_random(large_world, large_forks, tmp_path / "kb", i, chance)
        if code == -9:
            killed += 1
            count(after_the_kill(large_world, i, tmp_path / "kb", said, doctor=chance.random() < 0.1))
