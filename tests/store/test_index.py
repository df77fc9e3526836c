"""The view over segments: any history gives the arrays of a base written at once, and search is exact."""

from __future__ import annotations

import itertools
import os
import random
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mmkg.algorithms.keys import entity_key
from mmkg.errors import StoreDamagedError
from mmkg.store.folder import vectors as vector_module
from mmkg.store.folder.index import FolderIndex, SegmentCache
from mmkg.store.folder.merge import merge_incidence, merge_plan, merge_text
from mmkg.store.folder.segment import IncidenceRow, UnitRow, write_incidence_segment, write_text_segment
from mmkg.store.folder.vectors import Part, VectorRows, exhaustive, peak_of, search

TEXT_SPACE, IMAGE_SPACE = "text@1", "image@1"
DIMS = {TEXT_SPACE: 12, IMAGE_SPACE: 8}
NAMES = [f"e{i}" for i in range(12)]


class Names:
    """A lookup over a fixed set of entities; file names are the document numbers given."""

    def __init__(self, files=None):
        self.files = files or {}
        self.by_key = {entity_key(name): name for name in NAMES}

    def names(self, keys):
        return [self.by_key[key].upper() for key in keys]

    def ids(self, keys):
        return [self.by_key[key] for key in keys]

    def is_title(self, canonical):
        return [form == "e1" for form in canonical]

    def filename_documents(self, words):
        return {word: self.files[word] for word in words if word in self.files}


class Content:
    """What one unit holds, from a seed; `version` changes what can change (vectors, mentions)."""

    def __init__(self, document, place, version=0, n_sentences=None):
        rng = np.random.default_rng([document, place])
        self.id = f"{document:04x}/c{place * 7}-{place * 7 + 5}"
        self.document, self.place, self.version = document, place, version
        self.modality = int(rng.integers(2))
        self.terms = [f"t{i}" for i in rng.integers(9, size=rng.integers(6))]
        self.n_sentences = int(rng.integers(4)) if n_sentences is None else n_sentences
        rng = np.random.default_rng([document, place, version])
        # Few distinct values, so that equal scores happen.
        spaces = {TEXT_SPACE: self.n_sentences} if self.n_sentences else {}
        if self.modality:
            spaces[IMAGE_SPACE] = 0
        self.vectors = {s: rng.integers(-2, 3, size=(1 + n, DIMS[s])).astype(np.float16) / 4 for s, n in spaces.items()}
        self.entities = rng.permutation(len(NAMES))[: rng.integers(5)]
        self.counts = rng.integers(0, 4, size=len(self.entities))
        self.shares = rng.integers(0, 3, size=len(self.entities))
        self.sentences = [rng.permutation(self.entities)[: rng.integers(4)] for _ in range(self.n_sentences)]

    def unit_row(self, no, document):
        return UnitRow(
            no=no,
            id=self.id,
            document=document,
            modality=self.modality,
            terms=self.terms,
            n_sentences=self.n_sentences,
            vectors=self.vectors,
        )

    def incidence_row(self, no):
        keys = [entity_key(NAMES[e]) for e in self.entities]
        return IncidenceRow(
            no=no,
            entities=np.array(keys, dtype=np.int64),
            counts=self.counts,
            title_share=self.shares,
            sentences=[[entity_key(NAMES[e]) for e in sentence] for sentence in self.sentences],
        )


class Store:
    """A ledger in miniature: numbers, segments, tombstones, generations."""

    def __init__(self, folder):
        folder.mkdir()
        self.folder, self.generation, self.files = folder, 0, itertools.count()
        self.text, self.incidence = [], []
        self.dead, self.live, self.numbers = set(), {}, itertools.count(5)
        self.documents, self.document_numbers = {}, itertools.count(100)
        self.cache = SegmentCache()

    def write(self, units, incidence):
        """Rows by (document, place); a new unit gets a number, a known one keeps it and its row is replaced."""
        self.generation += 1
        for content in [*units, *incidence]:
            if content.document not in self.documents:
                self.documents[content.document] = next(self.document_numbers)
            if (key := (content.document, content.place)) not in self.live:
                self.live[key] = next(self.numbers)
        if units:
            rows = [c.unit_row(self.live[c.document, c.place], self.documents[c.document]) for c in units]
            self.text.append(write_text_segment(self.folder, self.name(), rows, generation=self.generation))
        if incidence:
            rows = [c.incidence_row(self.live[c.document, c.place]) for c in incidence]
            self.incidence.append(write_incidence_segment(self.folder, self.name(), rows, generation=self.generation))

    def remove(self, document):
        for key in [key for key in self.live if key[0] == document]:
            self.dead.add(self.live.pop(key))
        self.documents.pop(document, None)

    def merge(self, chosen, which):
        files = self.text if which == "text" else self.incidence
        group = [files[i] for i in sorted({i % len(files) for i in chosen})] if files else []
        if group:
            self.merge_files(which, [file.name for file in group])

    def merge_files(self, which, names):
        files = self.text if which == "text" else self.incidence
        merged = (merge_text if which == "text" else merge_incidence)(self.folder, names, self.dead, self.name())
        at = min(i for i, file in enumerate(files) if file.name in names)
        files[at:] = [merged] * bool(merged.rows) + [file for file in files[at:] if file.name not in names]
        for name in names:
            (self.folder / name).unlink()

    def name(self):
        return f"{next(self.files)}.seg"

    def view(self, **options):
        options = {
            "generation": self.generation,
            "lookup": Names(),
            "dead_units": self.dead,
            "cache": self.cache,
        } | options
        return FolderIndex(self.folder, [f[:2] for f in self.text], [f[:2] for f in self.incidence], **options)


def arrays_of(view):
    """Everything a view shows, as plain values; exact."""
    out = {
        "sizes": (view.n_units, view.n_documents, view.n_entities),
        "ids": view.unit_ids(range(view.n_units)),
        "entities": (view.entity_ids(range(view.n_entities)), view.entities([*NAMES, "none"])),
        "spaces": view.spaces(),
    }
    for name in ("unit_document", "unit_modality", "unit_length", "sentence_unit", "entity_df", "entity_unit_df"):
        out[name] = (getattr(view, name).dtype, getattr(view, name).tolist())
    for name in ("mentions", "title_share", "sentence_entities"):
        m = getattr(view, name)
        out[name] = (m.shape, m.dtype, m.indptr.tolist(), m.indices.tolist(), m.data.tolist())
    for term in [f"t{i}" for i in range(10)]:
        out[term] = [array.tolist() for array in view.postings(term)]
    rng = np.random.default_rng(1)
    for space, dim in DIMS.items():
        for k in (1, 3, 1000):
            query = rng.integers(-2, 3, size=dim).astype(np.float32)
            out[space, k, "units"] = [array.tolist() for array in view.search_units(space, query, k)]
            out[space, "vectors"] = view.unit_vectors(space, np.arange(view.n_units)).tolist()
            out[space, "sentence vectors"] = view.sentence_vectors(space, np.arange(len(view.sentence_unit))).tolist()
            out[space, k, "sentences"] = [array.tolist() for array in view.search_sentences(space, query, k)]
    return out


documents = st.integers(0, 5)
operations = st.one_of(
    st.tuples(st.just("add"), st.lists(documents, min_size=1, max_size=3)),
    st.tuples(st.just("remove"), documents),
    st.tuples(st.just("change mentions"), st.lists(documents, min_size=1, max_size=2)),
    st.tuples(st.just("change vectors"), st.lists(documents, min_size=1, max_size=2)),
    st.tuples(st.just("merge text"), st.lists(st.integers(0, 20), min_size=1, max_size=4)),
    st.tuples(st.just("merge inc"), st.lists(st.integers(0, 20), min_size=1, max_size=4)),
    st.tuples(st.just("plan"), st.none()),
)


@settings(max_examples=80, deadline=None)
@given(history=st.lists(operations, max_size=14), seed=st.integers(0, 99))
@example(history=[("add", [1]), ("remove", 1), ("add", [0])], seed=0)  # the only vectors of a space are gone
def test_any_history_gives_the_view_of_a_base_written_at_once(tmp_path_factory, history, seed):
    folder = tmp_path_factory.mktemp("index")
    store, held = Store(folder / "kb"), {}
    for version, (step, argument) in enumerate(history):
        if step == "add":
            new = [d for d in dict.fromkeys(argument) if d not in held]
            for d in new:
                held[d] = [[Content(d, place, version), Content(d, place, version)] for place in range(1 + d % 3)]
            pairs = [pair for d in new for pair in held[d]]
            store.write([a for a, _ in pairs], [b for _, b in pairs])
        elif step == "remove":
            held.pop(argument, None)
            store.remove(argument)
        elif step.startswith("change"):
            which = step == "change mentions"
            changed = [pair for d in dict.fromkeys(argument) for pair in held.get(d, ())]
            for pair in changed:
                pair[which] = Content(pair[which].document, pair[which].place, version)
            store.write(*([], [p[1] for p in changed]) if which else ([p[0] for p in changed], []))
        elif step == "plan":
            for group in merge_plan(store.view().segment_infos(), fanout=3):
                store.merge_files(group[0].kind, [info.name for info in group])
        else:
            store.merge(argument, step.split()[1])
    once = Store(folder / "once")
    pairs = [pair for document in held.values() for pair in document]
    random.Random(seed).shuffle(pairs)
    if pairs:
        once.write([a for a, _ in pairs], [b for _, b in pairs])
    expected = arrays_of(once.view())
    assert arrays_of(store.view()) == expected
    assert arrays_of(store.view(cache=None)) == expected


def test_the_view_says_what_its_rows_say(tmp_path):
    store = Store(tmp_path / "kb")
    contents = [Content(d, place) for d in (3, 1, 2) for place in range(3)]
    store.write(contents[:4], contents[:4])
    store.write(contents[4:], contents[4:])
    view = store.view()
    ordered = sorted(contents, key=lambda c: c.id)
    assert view.unit_ids(range(9)) == [c.id for c in ordered]
    assert view.unit_document.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert view.unit_length.tolist() == [len(c.terms) for c in ordered]
    assert view.sentence_unit.tolist() == [i for i, c in enumerate(ordered) for _ in range(c.n_sentences)]
    names = view.entity_ids(range(view.n_entities))
    assert view.entity_names(range(view.n_entities)) == [name.upper() for name in names]
    mentioned = {
        (i, NAMES[e]): (n, s)
        for i, c in enumerate(ordered)
        for e, n, s in zip(c.entities, c.counts, c.shares, strict=True)
    }
    coo = view.mentions.tocoo()
    found = {
        (int(i), names[e]): (int(n), int(s))
        for i, e, n, s in zip(coo.row, coo.col, coo.data, view.title_share.data, strict=True)
    }
    assert found == mentioned
    assert view.mentions.nnz == view.title_share.nnz == len(mentioned)
    named = [{names[e] for e in view.sentence_entities[i].indices} for i in range(len(view.sentence_unit))]
    assert named == [{NAMES[e] for e in sentence} for c in ordered for sentence in c.sentences]
    for e, name in enumerate(names):
        of = [c.document for c in ordered if name in {NAMES[x] for x in c.entities}]
        assert (view.entity_df[e], view.entity_unit_df[e]) == (len(set(of)), len(of))
    assert view.entities([names[2], "none", names[0]]) == [2, -1, 0]
    assert view.is_title(["e1", "e2"]) == [True, False]
    for space, dim in DIMS.items():
        own = [c.vectors.get(space, np.zeros((1 + c.n_sentences, dim))) for c in ordered]
        assert np.array_equal(view.unit_vectors(space, np.array([8, 2])), [own[8][0], own[2][0]])
        within = np.concatenate(
            [v[1:] if len(v) > 1 else np.zeros((c.n_sentences, dim)) for c, v in zip(ordered, own, strict=True)]
        )
        assert np.array_equal(view.sentence_vectors(space, np.arange(len(within))), within)
    assert view.unit_vectors("other@1", np.array([0, 1])).shape == (2, 0)
    assert view.units_by_id([ordered[4].id, "none", "~", ordered[0].id + "0"]) == [4, -1, -1, -1]


def test_file_names_lead_to_live_units(tmp_path):
    store = Store(tmp_path / "kb")
    contents = [Content(d, place) for d in (7, 4) for place in range(2)]
    store.write(contents, contents)
    seven, four = store.documents[7], store.documents[4]
    lookup = Names({"report": [seven, four], "old": [seven], "gone": [999]})
    found = store.view(lookup=lookup).filename_units(["report", "old", "gone", "never"])
    assert {word: units.tolist() for word, units in found.items()} == {"report": [0, 1, 2, 3], "old": [2, 3]}
    store.remove(7)
    found = store.view(lookup=lookup).filename_units(["report", "old"])
    assert {word: units.tolist() for word, units in found.items()} == {"report": [0, 1]}


def test_an_empty_base_has_an_empty_view(tmp_path):
    view = Store(tmp_path / "kb").view()
    assert (view.n_units, view.n_documents, view.n_entities, view.spaces()) == (0, 0, 0, ())
    assert view.mentions.shape == (0, 0) and view.sentence_entities.shape == (0, 0)
    assert [len(array) for array in view.search_units(TEXT_SPACE, np.ones(12, np.float32), 5)] == [0, 0]
    assert [len(array) for array in view.postings("t1")] == [0, 0]
    assert view.frequencies(["t1", "no such term"])[1] == 0
    assert view.entities(["e1"]) == [-1] and view.units_by_id(["a"]) == [-1]
    assert view.filename_units(["a"]) == {}


def test_a_new_generation_opens_only_new_files(tmp_path):
    store = Store(tmp_path / "kb")
    store.write([Content(1, 0)], [Content(1, 0)])
    old = store.view()
    (store.folder / store.text[0].name).unlink()
    store.write([Content(2, 0)], [Content(2, 0)])
    assert store.view().n_units == 2 and old.n_units == 1
    store.cache.retain(store.folder, [])
    with pytest.raises(StoreDamagedError, match=store.text[0].name):
        store.view()


def test_damage_is_found_on_opening_unless_told_not_to_look(tmp_path):
    store = Store(tmp_path / "kb")
    store.write([Content(1, 0, n_sentences=2)], [Content(1, 0, n_sentences=2)])
    path = store.folder / store.text[0].name
    whole = bytearray(path.read_bytes())
    whole[-1] ^= 1
    path.write_bytes(whole)
    with pytest.raises(StoreDamagedError, match=path.name):
        store.view(cache=None)
    assert store.view(cache=None, verify=False).n_units == 1


def test_rows_that_contradict_each_other_are_damage(tmp_path):
    store = Store(tmp_path / "kb")
    store.write([Content(1, 0, n_sentences=2)], [Content(1, 0, n_sentences=3)])
    with pytest.raises(StoreDamagedError, match="number of sentences"):
        store.view()
    twice = Store(tmp_path / "twice")
    twice.write([Content(1, 0)], [])
    twice.live.clear()
    twice.write([Content(1, 0)], [])
    with pytest.raises(StoreDamagedError, match="twice"):
        twice.view()


# ---- Search ----------------------------------------------------------------------------------------------------------


def part_of(vectors, numbers=None):
    vectors = vectors.astype(np.float16)
    rows = VectorRows(vectors, peak_of(vectors))
    return Part(rows, np.arange(len(vectors), dtype=np.int32) if numbers is None else numbers.astype(np.int32))


def brute_force(parts, query, k):
    numbers = np.concatenate([part.numbers for part in parts])
    wide = np.concatenate([part.rows.vectors for part in parts]).astype(np.float64)
    scores = (wide * query.astype(np.float64)).sum(axis=1).astype(np.float32)
    live = numbers >= 0
    order = np.lexsort((numbers[live], -scores[live]))[:k]
    return numbers[live][order].tolist(), scores[live][order].tolist()


def assert_exact(parts, query, k):
    numbers, scores = search(parts, query, k)
    assert (numbers.dtype, scores.dtype) == (np.int64, np.float32)
    expected = brute_force(parts, query, k)
    assert (numbers.tolist(), scores.tolist()) == expected
    numbers, scores = exhaustive(parts, query, k)
    assert (numbers.tolist(), scores.tolist()) == expected


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_search_is_exact(data):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    dim = data.draw(st.sampled_from([1, 3, 8, 33]))
    kind = data.draw(st.sampled_from(["normal", "crowded", "few values", "outlier", "zero", "large"]))
    parts, start = [], 0
    for n in data.draw(st.lists(st.integers(1, 400), min_size=1, max_size=4)):
        x = rng.standard_normal((n, dim))
        if kind == "crowded":  # closer together than single precision can tell
            x = np.ones(dim) + 1e-3 * x
        elif kind == "few values":
            x = np.round(x)
        elif kind == "outlier":
            x[0] *= 1000
        elif kind == "zero":
            x *= 0
        elif kind == "large":
            x *= 1e4
        numbers = np.arange(start, start + n)
        numbers[rng.random(n) < data.draw(st.sampled_from([0.0, 0.4, 1.0]))] = -1
        parts.append(part_of(x, numbers))
        start += n
    query = (rng.standard_normal(dim) * data.draw(st.sampled_from([1.0, 1e-6, 1e6]))).astype(np.float32)
    assert_exact(parts, query, data.draw(st.sampled_from([1, 2, 10, 5000])))


def test_search_is_exact_over_many_rows_most_of_them_alike():
    rng = np.random.default_rng(3)
    x = rng.standard_normal((150_000, 8))
    x[1000:60_000] = x[500] + 1e-4 * rng.standard_normal((59_000, 8))
    parts = [part_of(x[:140_000]), part_of(x[140_000:], np.arange(140_000, 150_000))]
    for query in (x[500], rng.standard_normal(8)):
        assert_exact(parts, query.astype(np.float32), 20)


@pytest.mark.parametrize("dim", [16, 32, 48, 64, 100, 128, 256, 384, 512, 768, 1024])
def test_search_trusts_the_scan_at_all_usual_dimensions(dim, caplog):
    # FAISS picks its kernel by dimension and processor; one that rounds more than we allow for is answered without it.
    rng = np.random.default_rng(dim)
    x = rng.standard_normal((3000, dim))
    part = part_of(x / np.linalg.norm(x, axis=1, keepdims=True))
    for query in rng.standard_normal((3, dim)).astype(np.float32):
        assert_exact([part], query / np.linalg.norm(query), 10)
    assert not caplog.records


def test_a_scan_that_is_off_is_not_believed(monkeypatch, caplog):
    rng = np.random.default_rng(0)
    part, query = part_of(rng.standard_normal((3000, 16))), rng.standard_normal(16).astype(np.float32)
    scan = vector_module._Shard.scan

    def rounded(self, query, k):
        return scan(self, np.rint(query), k)

    monkeypatch.setattr(vector_module._Shard, "scan", rounded)
    assert_exact([part], query, 10)
    assert "FAISS scores are off" in caplog.text


def test_equal_vectors_come_in_the_order_of_their_numbers():
    x = np.tile(np.random.default_rng(0).standard_normal((1, 16)), (500, 1))
    numbers = np.random.default_rng(1).permutation(500)
    found, scores = search(
        [part_of(x[:200], numbers[:200]), part_of(x[200:], numbers[200:])], x[0].astype(np.float32), 30
    )
    assert found.tolist() == list(range(30)) and len(set(scores.tolist())) == 1


def test_the_number_of_threads_changes_nothing(monkeypatch):
    rng = np.random.default_rng(0)
    parts = [
        part_of(rng.standard_normal((n, 24)), np.arange(n) + s) for n, s in ((70_000, 0), (300, 70_000), (9, 70_300))
    ]
    queries = rng.standard_normal((5, 24)).astype(np.float32)
    results = []
    for threads in (1, 2, 7):
        pool = ThreadPoolExecutor(threads)
        monkeypatch.setattr(vector_module, "_pool", lambda pool=pool: pool)
        results.append([[array.tolist() for array in search(parts, query, 50)] for query in queries])
        pool.shutdown()
    assert results[0] == results[1] == results[2]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_can_search():
    x = np.random.default_rng(0).standard_normal((100, 8))
    part, query = part_of(x), x[3].astype(np.float32)
    expected = search([part], query, 1)[0].tolist()
    child = os.fork()
    if child == 0:
        os._exit(0 if search([part], query, 1)[0].tolist() == expected else 1)
    deadline = time.monotonic() + 60
    while (done := os.waitpid(child, os.WNOHANG)) == (0, 0) and time.monotonic() < deadline:
        time.sleep(0.01)
    if done == (0, 0):
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert done == (child, 0)


@pytest.mark.parametrize(
    ("query", "k", "message"),
    [
        (np.ones(5, np.float32), 3, "shape"),
        (np.ones((1, 4), np.float32), 3, "shape"),
        (np.array([1, np.nan, 0, 0], np.float32), 3, "finite"),
        (np.ones(4, np.float32), 0, "k must be"),
    ],
    ids=["dimension", "two axes", "not a number", "k"],
)
def test_wrong_queries_are_refused(query, k, message):
    with pytest.raises(ValueError, match=message):
        search([part_of(np.ones((3, 4)))], query, k)
