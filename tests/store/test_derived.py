"""The derived layer kept up step by step equals deriving from scratch, table by table."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmkg.extract.derive import EntityDeriver
from mmkg.store.folder import derived
from mmkg.store.folder.digest import digest
from mmkg.store.folder.facts import read, stage
from mmkg.store.folder.ledger import DERIVED_TABLES, Ledger
from mmkg.testing.facts import facts_of, id_of

_names = st.sampled_from(
    ["Ada Lovelace", "Lovelace", "Ada", "Mercury", "Mercury (planet)", "Paris, Texas", "Paris", "The Beatles", "1969"]
)
_texts = st.lists(
    st.sampled_from(
        [
            "Ada Lovelace wrote to Charles Babbage in 1843.",
            "The probe passed Mercury and then Venus.",
            "Lovelace lived in London; Paris was far.",
            "The National Space Board (NSB) bought Mercury.",
            "NSB and The Beatles met in Paris, Texas in 1969.",
            "Nothing here has a name.",
        ]
    ),
    min_size=1,
    max_size=4,
).map(" ".join)
_documents = st.builds(facts_of, st.one_of(st.just(""), _names), _texts, headings=st.lists(_names, max_size=2))


@pytest.fixture
def ledgers(tmp_path):
    numbers = itertools.count()

    def make() -> Ledger:
        root = tmp_path / str(next(numbers))
        root.mkdir()
        return Ledger.create(Path(root), "{}")

    return make


def apply(ledger, deriver, **changes):
    """One step: none of these documents is long."""
    (step,) = derived.steps(ledger, deriver, **changes)
    return step.change


def _stage(ledger, facts):
    return stage(ledger, id_of(facts), facts, n_bytes=len(facts.text))


def _tables(ledger):
    out = {table: ledger.rows(f"SELECT * FROM {table} ORDER BY 1, 2") for table in DERIVED_TABLES if table != "anchor"}
    out["anchor"] = ledger.rows("SELECT a.key, u.id FROM anchor a JOIN unit u ON u.no = a.unit ORDER BY 1, 2")
    out["unit"] = ledger.rows("SELECT id, derived FROM unit ORDER BY id")
    return out


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.tuples(st.booleans(), st.lists(_documents, min_size=1, max_size=3)), min_size=1, max_size=6))
def test_incremental_equals_from_scratch(ledgers, steps):
    ledger, deriver = ledgers(), EntityDeriver()
    present: dict[str, int] = {}
    for add, documents in steps:
        with ledger.transaction():
            if add:
                new = {id_of(f): f for f in documents if id_of(f) not in present}
                numbers = {id_: _stage(ledger, f) for id_, f in new.items()}
                apply(ledger, deriver, added=sorted(numbers.values()), removed=[])
                for no in numbers.values():
                    ledger.db.execute("UPDATE document SET state = 'visible' WHERE no = ?", (no,))
                present |= numbers
            elif present:
                gone = sorted(present)[: len(documents)]
                numbers = [present.pop(id_) for id_ in gone]
                apply(ledger, deriver, added=[], removed=numbers)
                for no in numbers:
                    for table in ("unit", "section", "page"):
                        ledger.db.execute(f"DELETE FROM {table} WHERE document = ?", (no,))
                    ledger.db.execute("DELETE FROM document WHERE no = ?", (no,))
    kept, kept_digest = _tables(ledger), digest(ledger, deep=True)
    with ledger.transaction():
        list(derived.derive_from_scratch(ledger, deriver))
    assert kept == _tables(ledger)
    # A base that never saw what was removed, in another order, says the same.
    other = ledgers()
    with other.transaction():
        for id_ in sorted(present, reverse=True):
            no = _stage(other, read(ledger, present[id_]))
            apply(other, deriver, added=[no], removed=[])
            other.db.execute("UPDATE document SET state = 'visible' WHERE no = ?", (no,))
    assert digest(other, deep=True) == kept_digest
    for one in (ledger, other):
        one.close()


def test_a_new_title_is_found_in_old_text(ledgers):
    ledger, deriver = ledgers(), EntityDeriver()
    with ledger.transaction():
        old = _stage(ledger, facts_of("", "We went to see Blue Lagoon station at dawn."))
        apply(ledger, deriver, added=[old], removed=[])
        new = _stage(ledger, facts_of("Blue Lagoon station", "It was built by hand."))
        change = apply(ledger, deriver, added=[new], removed=[])
    touched = {no for (no,) in ledger.rows("SELECT no FROM unit WHERE document = ?", (old,))}
    assert touched & change.units.keys()
    assert ledger.one("SELECT units FROM entity WHERE id = 'blue lagoon station'") == (2,)


def test_only_units_that_hold_the_title_are_touched(ledgers):
    ledger, deriver = ledgers(), EntityDeriver()
    with ledger.transaction():
        old = [_stage(ledger, facts_of("", f"The harbour of Town Number{i} was full.")) for i in range(20)]
        apply(ledger, deriver, added=old, removed=[])
        new = _stage(ledger, facts_of("Number7", "A title."))
        change = apply(ledger, deriver, added=[new], removed=[])
    assert len(change.units) <= 2


def test_facts_come_back_equal(ledgers):
    ledger = ledgers()
    facts = facts_of(
        "Ada Lovelace", "She wrote to Charles Babbage in 1843. Then “she” waited. Ünïcode too.", headings=["A"]
    )
    with ledger.transaction():
        no = _stage(ledger, facts)
    assert read(ledger, no) == facts
