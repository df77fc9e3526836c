"""Every durable step of every operation is followed by a fail point, and every point is reached by some operation."""

from __future__ import annotations

import pytest
from relkit import record

from mmkg.store.durable import FAILPOINTS

pytestmark = pytest.mark.models


@pytest.fixture(scope="session")
def recorded(world, forks, tmp_path_factory):
    """step name -> what happened, in order."""
    folder = tmp_path_factory.mktemp("recorded")
    out = {}
    for i in range(len(world.steps)):
        step = world.stage(i, folder / "kb")
        log = folder / f"{i}.log"
        done = forks.run(folder / "kb", *world.script(step), record=str(log))
        assert done.code == 0, done.said
        out[step.name] = record.read(log)
    return out


def test_each_durable_step_has_a_point_after_it(recorded):
    for name, events in recorded.items():
        assert any(kind != "point" for kind, _ in events), name
        for (kind, what), (then, _) in zip(events, [*events[1:], ("end", "")], strict=True):
            assert kind == "point" or then == "point", f"{name}: nothing stops between {kind} {what} and {then}"


def test_each_point_is_known_and_reached(recorded):
    points = {what for events in recorded.values() for kind, what in events if kind == "point"}
    assert points == set(FAILPOINTS)
