"""T4: any sequence of operations, crashes included, leaves the base equal to a dictionary of file names and contents."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from pathlib import Path

import hypothesis
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from relkit.oracle import blobs_without_a_document, inspect

from mmkg.store.folder.reader import FolderReader

NAMES = [f"{c}.md" for c in "abcde"]
TEXTS = [
    "# Tamar Light\n\nTamar Light was built by Elias Crane in 1871. zqone\n",
    "# Elias Crane\n\nElias Crane was born in Port Ferren. He knew Tamar Light. zqtwo\n",
    "# Port Ferren\n\n" + "Port Ferren lies on Grey Bay, said Ada Mirren in 1902. " * 12 + "zqthree\n",
    "# Grey Bay\n\nNSB, the National Survey Board (NSB), measured Grey Bay. zqfour\n",
    "Nobody has a name here, in 1999. zqfive\n",
    "# Tamar Light\n\nAnother page with the same title. Crane is short for Elias Crane. zqsix\n",
]
WORDS = ["zqone", "zqtwo", "zqthree", "zqfour", "zqfive", "zqsix"]
POINTS = (
    "facts-staged",
    "derived-written",
    "segment-placed",
    "generation-row",
    "publish-committed",
    "blob-deleted",
    "swept",
)
_names, _texts = st.sampled_from(NAMES), st.integers(0, len(TEXTS) - 1)


def machine(live, forks, count):
    """The machine's class, with the parts it works on."""

    class Machine(RuleBasedStateMachine):
        def __init__(self):
            super().__init__()
            self.folder = Path(tempfile.mkdtemp(prefix="mmkg-states-"))
            self.files = self.folder / "files"
            self.files.mkdir()
            self.root = self.folder / "kb"
            self.kb = live.kb(self.root)
            self.model: dict[str, int] = {}
            self.old = None
            count()

        def put(self, name, text):
            (self.files / name).write_text(TEXTS[text])
            self.model[name] = text

        # ---- operations ----

        @rule(name=_names, text=_texts)
        def add_or_update(self, name, text):
            self.put(name, text)
            self.kb.add(self.files / name)

        @rule(names=st.lists(_names, min_size=2, max_size=4, unique=True), text=_texts)
        def add_several(self, names, text):
            for i, name in enumerate(names):
                self.put(name, (text + i) % len(TEXTS))
            self.kb.add(self.files)

        @precondition(lambda self: self.model)
        @rule(data=st.data(), purge=st.booleans())
        def remove(self, data, purge):
            name = data.draw(st.sampled_from(sorted(self.model)))
            self.close_old(purge)
            self.kb.remove(self.files / name, purge=purge)
            (self.files / name).unlink()
            del self.model[name]

        @precondition(lambda self: self.model and len(self.model) < len(NAMES))
        @rule(data=st.data())
        def rename(self, data):
            old = data.draw(st.sampled_from(sorted(self.model)))
            new = data.draw(st.sampled_from(sorted(set(NAMES) - set(self.model))))
            (self.files / old).rename(self.files / new)
            self.model[new] = self.model.pop(old)
            self.kb.add(self.files, prune=True)

        @precondition(lambda self: self.model)
        @rule()
        def rebuild(self):
            self.kb.rebuild()

        @rule()
        def restart(self):
            self.kb.close()
            self.kb = live.kb(self.root)

        @rule(name=_names, text=_texts, point=st.sampled_from(POINTS))
        def crash_while_adding(self, name, text, point):
            before = dict(self.model)
            self.put(name, text)
            done = forks.run(self.root, ["add", self.files / name], env={"MMKG_FAILPOINT": point})
            assert done.code in (0, -9), done.said
            if self.kb.exists():
                now = self.sources()
                assert now in (before, self.model), f"neither before nor after: {now}"
            self.kb.add(self.files / name)

        @precondition(lambda self: self.model)
        @rule(data=st.data(), point=st.sampled_from(POINTS))
        def crash_while_removing(self, data, point):
            name = data.draw(st.sampled_from(sorted(self.model)))
            after = {k: v for k, v in self.model.items() if k != name}
            done = forks.run(self.root, ["remove", self.files / name], env={"MMKG_FAILPOINT": point})
            assert done.code in (0, -9), done.said
            assert self.sources() in (self.model, after)
            (self.files / name).unlink()
            self.kb.add(self.files, prune=True)
            self.model = after

        @precondition(lambda self: self.model)
        @rule()
        def open_a_second_reader(self):
            self.close_old()
            reader = FolderReader(self.root)
            self.old = (reader, self.seen(reader))

        @precondition(lambda self: self.old is not None)
        @rule()
        def ask_the_second_reader(self):
            reader, state = self.old
            assert self.seen(reader) == state, "a reader's generation changed under it"

        # ---- what must hold ----

        def seen(self, reader):
            index = reader.index
            return sorted(d["id"] for d in reader.documents()), sorted(index.unit_ids(range(index.n_units)))

        def sources(self):
            """name -> number of its text, as the base has it."""
            by_id = {hashlib.sha256(t.encode()).hexdigest(): i for i, t in enumerate(TEXTS)}
            return {u.rsplit("/", 1)[-1]: by_id[d["id"]] for d in self.kb.documents() for u in d["uris"]}

        def close_old(self, really=True):
            if really and self.old is not None:
                self.old[0].close()
                self.old = None

        @invariant()
        def base_is_model(self):
            if not self.kb.exists():
                assert not self.model
                return
            assert self.sources() == self.model
            index = self.kb.index()
            held = {t for t in self.model.values()}
            for i, word in enumerate(WORDS):
                units, _ = index.postings(word)
                assert bool(len(units)) == (i in held), word
            state = inspect(self.kb, graph=False)
            units = sorted(u for ids in state["units"].values() for u in ids)
            assert state["index"] == units
            assert all(ids == units for ids in state["vectors"].values())
            assert not blobs_without_a_document(self.root)

        def teardown(self):
            try:
                self.close_old()
                if self.model:
                    with live.kb(self.folder / "fresh") as fresh:
                        for name in sorted(self.model, reverse=True):
                            fresh.add(self.files / name)
                        assert self.kb.digest(deep=True) == fresh.digest(deep=True), "not as if it never saw the rest"
            finally:
                self.kb.close()
                shutil.rmtree(self.folder)

    return Machine


def run(live, live_forks, count, seed, runs, steps):
    run_state_machine_as_test(
        hypothesis.seed(seed)(machine(live, live_forks, count)),
        settings=settings(
            max_examples=runs,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_any_sequence(live, live_forks, parse_here, count, seed):
    run(live, live_forks, count, seed, 5, 10)


PARTS = 10


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("part", range(PARTS))
def test_any_long_sequence(part, live, live_forks, parse_here, count, seed, sizes):
    run(live, live_forks, count, seed + part, sizes.state_runs // PARTS, 30)
