"""Segment files: what is written, what is refused, what damage does, and when segments are merged."""

from __future__ import annotations

import hashlib
import json
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

from mmkg.algorithms.keys import entity_key, term_key
from mmkg.errors import StoreDamagedError
from mmkg.store.folder.merge import SegmentInfo, merge_incidence, merge_plan, merge_text
from mmkg.store.folder.segment import (
    IncidenceRow,
    IncidenceSegment,
    TextSegment,
    UnitRow,
    write_incidence_segment,
    write_text_segment,
)
from mmkg.store.folder.tensors import TensorWriter

SPACE = "m@1"


def unit(no, id_=None, *, terms=("a", "b", "a"), n_sentences=2, vectors=True, **other):
    rng = np.random.default_rng(no)
    made = {SPACE: rng.standard_normal((1 + n_sentences, 4)).astype(np.float16)} if vectors is True else vectors or {}
    row = {"no": no, "id": id_ or f"d{no}/c0-9", "document": no, "modality": 0, "terms": terms}
    return UnitRow(**row | {"n_sentences": n_sentences, "vectors": made} | other)


def incidence(no, names=("x", "y"), sentences=(("x",), ("y", "x"))):
    keys = np.array([entity_key(name) for name in names], dtype=np.int64)
    named = [np.array([entity_key(name) for name in sentence], dtype=np.int64) for sentence in sentences]
    ones = np.ones(len(keys), dtype=np.int64)
    return IncidenceRow(no=no, entities=keys, counts=ones, title_share=ones * 0, sentences=named)


def test_a_text_segment_gives_back_its_rows(tmp_path):
    rows = [
        unit(3, "b/c0-5"),
        unit(1, "a/c0-5", terms={"b": 4}, modality=1),
        unit(2, "é/i1p2", vectors=None, n_sentences=0),
    ]
    name, sha256, n = write_text_segment(tmp_path, "t.seg", rows, generation=7)
    assert (name, n, sha256) == ("t.seg", 3, hashlib.sha256((tmp_path / "t.seg").read_bytes()).hexdigest())
    segment = TextSegment(tmp_path / "t.seg", sha256=sha256)
    assert [one.decode() for one in segment.ids] == ["a/c0-5", "b/c0-5", "é/i1p2"]
    assert segment.no.tolist() == [1, 3, 2] and segment.generation.tolist() == [7, 7, 7]
    assert segment.modality.tolist() == [1, 0, 0] and segment.length.tolist() == [4, 3, 3]
    assert [array.tolist() for array in segment.postings(term_key("b"))] == [[0, 1, 2], [4, 1, 1]]
    assert [array.tolist() for array in segment.postings(term_key("none"))] == [[], []]
    space = segment.spaces[SPACE]
    assert space.unit.tolist() == [0, 1] and space.ordinal.tolist() == [0, 1, 0, 1]
    assert np.array_equal(space.sentence_vectors.vectors[2:], rows[0].vectors[SPACE][1:])


def test_an_incidence_segment_gives_back_its_rows(tmp_path):
    file = write_incidence_segment(tmp_path, "i.seg", [incidence(5), incidence(2, ("z",), ())], generation=1)
    segment = IncidenceSegment(tmp_path / "i.seg", sha256=file.sha256)
    assert segment.no.tolist() == [2, 5] and segment.n_sentences.tolist() == [0, 2]
    assert segment.keys[segment.entity[:1]].tolist() == [entity_key("z")]
    assert set(segment.keys[segment.entity[1:]].tolist()) == {entity_key("x"), entity_key("y")}
    assert segment.sentence_indptr.tolist() == [0, 1, 3]


def test_the_bytes_do_not_depend_on_the_order_of_rows(tmp_path):
    units, rows = [unit(i) for i in range(9)], [incidence(i) for i in range(9)]
    a = (
        write_text_segment(tmp_path, "a", units, generation=1),
        write_incidence_segment(tmp_path, "b", rows, generation=1),
    )
    random.Random(1).shuffle(units)
    rows.reverse()
    b = (
        write_text_segment(tmp_path, "c", units, generation=1),
        write_incidence_segment(tmp_path, "d", rows, generation=1),
    )
    assert [file.sha256 for file in a] == [file.sha256 for file in b]


def test_files_open_with_the_safetensors_package(tmp_path):
    write_text_segment(tmp_path, "t.seg", [unit(1), unit(2)], generation=1)
    arrays = load_file(tmp_path / "t.seg")
    mine = TextSegment(tmp_path / "t.seg")
    assert np.array_equal(arrays["no"], mine.no)
    assert np.array_equal(arrays["space0.sentence_vectors"], mine.spaces[SPACE].sentence_vectors.vectors)


@pytest.mark.parametrize(
    "rows",
    [
        [unit(1, "a"), unit(1, "b")],
        [unit(1, "a"), unit(2, "a")],
        [unit(1, vectors={SPACE: np.zeros((2, 4), np.float16)})],
        [unit(1, vectors={SPACE: np.full((3, 4), np.nan, np.float16)})],
        [unit(1, vectors={SPACE: np.full((3, 4), 1e6, np.float32)})],
        [unit(1, vectors={SPACE: np.zeros(4, np.float16)})],
        [unit(1), unit(2, vectors={SPACE: np.zeros((1, 5), np.float16)})],
        [unit(1, "a\0")],
    ],
    ids=["number twice", "id twice", "sentences", "not a number", "overflow", "one axis", "dimensions", "NUL"],
)
def test_wrong_units_are_refused_and_leave_no_file(tmp_path, rows):
    with pytest.raises(ValueError):
        write_text_segment(tmp_path, "t.seg", rows, generation=1)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "rows",
    [[incidence(1), incidence(1)], [incidence(1, ("x", "x"), ())], [incidence(1, ("x",), (("other",),))]],
    ids=["number twice", "entity twice", "sentence names another"],
)
def test_wrong_incidence_is_refused_and_leaves_no_file(tmp_path, rows):
    with pytest.raises(ValueError):
        write_incidence_segment(tmp_path, "i.seg", rows, generation=1)
    assert list(tmp_path.iterdir()) == []


def test_a_file_has_its_name_only_when_it_is_whole(tmp_path):
    with pytest.raises(RuntimeError), TensorWriter(tmp_path / "t", {"a": (np.int64, (4,))}) as writer:
        writer.write("a", np.arange(2))
        assert not (tmp_path / "t").exists()
        raise RuntimeError("stopped")
    with (
        pytest.raises(ValueError, match="expected 32 bytes"),
        TensorWriter(tmp_path / "t", {"a": (np.int64, (4,))}) as writer,
    ):
        writer.write("a", np.arange(2))
        writer.commit()
    with pytest.raises(ValueError, match="expected a"), TensorWriter(tmp_path / "t", {"a": (np.int64, (4,))}) as writer:
        writer.write("b", np.arange(2))
    assert list(tmp_path.iterdir()) == []


# ---- Damage ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["text", "inc"])
def test_any_changed_byte_is_found(tmp_path, kind):
    if kind == "text":
        file, reader = write_text_segment(tmp_path, "s", [unit(1), unit(2)], generation=1), TextSegment
    else:
        file, reader = write_incidence_segment(tmp_path, "s", [incidence(1)], generation=1), IncidenceSegment
    whole = (tmp_path / "s").read_bytes()
    reader(tmp_path / "s", sha256=file.sha256)
    for at in range(len(whole)):
        (tmp_path / "s").write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(StoreDamagedError, match="s has other bytes"):
            reader(tmp_path / "s", sha256=file.sha256)


@given(st.data())
@settings(deadline=None, max_examples=150)
def test_a_damaged_file_without_its_hash_is_read_or_refused_but_never_anything_else(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("damage")
    write_text_segment(folder, "s", [unit(1), unit(2)], generation=1)
    whole = bytearray((folder / "s").read_bytes())
    header = 8 + int.from_bytes(whole[:8], "little")
    for _ in range(data.draw(st.integers(1, 3))):
        whole[data.draw(st.integers(0, header - 1))] = data.draw(st.integers(0, 255))
    (folder / "s").write_bytes(whole[: data.draw(st.sampled_from([len(whole), len(whole) - 1, header, 9, 3, 0]))])
    try:
        TextSegment(folder / "s")
    except StoreDamagedError as e:
        assert str(e).startswith("s ")


def header_of(arrays):
    text = json.dumps({"__metadata__": {"kind": "inc", "format": "1"}} | arrays).encode()
    return len(text).to_bytes(8, "little") + text


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff" * 64,
        (2**62).to_bytes(8, "little") + b"{}",
        header_of({}),
        header_of({"no": {"dtype": "I64", "shape": [2**61], "data_offsets": [0, 2**64]}}),
        header_of({"no": {"dtype": "I64", "shape": [-1, -8], "data_offsets": [0, 64]}}) + b"\0" * 64,
        header_of({"no": {"dtype": "I64", "shape": [1], "data_offsets": [-8, 0]}}),
        header_of({"no": {"dtype": "O", "shape": [1], "data_offsets": [0, 8]}}) + b"\0" * 8,
        header_of({"no": {"dtype": "I64", "shape": [1], "data_offsets": [0, 8]}}) + b"\0" * 9,
        b"\x02\0\0\0\0\0\0\0[]",
        (200_000).to_bytes(8, "little") + b"[" * 200_000,
    ],
    ids=["empty", "noise", "long header", "no arrays", "huge", "negative", "before", "object", "rest", "list", "deep"],
)
def test_hostile_files_are_refused(tmp_path, content):
    (tmp_path / "s").write_bytes(content)
    with pytest.raises(StoreDamagedError):
        IncidenceSegment(tmp_path / "s")


def test_a_missing_file_and_one_of_the_other_kind_are_refused(tmp_path):
    with pytest.raises(StoreDamagedError, match="cannot be read"):
        TextSegment(tmp_path / "s")
    write_incidence_segment(tmp_path, "s", [incidence(1)], generation=1)
    with pytest.raises(StoreDamagedError, match="is not a text segment"):
        TextSegment(tmp_path / "s")


def test_a_merge_does_not_pass_damage_on(tmp_path):
    files = [write_text_segment(tmp_path, f"t{i}", [unit(i)], generation=1) for i in (1, 2)]
    files += [write_incidence_segment(tmp_path, f"i{i}", [incidence(i)], generation=1) for i in (1, 2)]
    checks = {file.name: file.sha256 for file in files}
    for merge, name in ((merge_text, "t"), (merge_incidence, "i")):
        whole = bytearray((tmp_path / f"{name}2").read_bytes())
        whole[-1] ^= 4
        (tmp_path / f"{name}2").write_bytes(whole)
        with pytest.raises(StoreDamagedError, match=f"{name}2 has other bytes"):
            merge(tmp_path, [f"{name}1", f"{name}2"], (), "merged", sha256=checks)
    assert not (tmp_path / "merged").exists()


# ---- Merging ---------------------------------------------------------------------------------------------------------


def test_a_merge_that_leaves_nothing_writes_nothing(tmp_path):
    write_text_segment(tmp_path, "t", [unit(1)], generation=1)
    write_incidence_segment(tmp_path, "i", [incidence(1)], generation=1)
    assert merge_text(tmp_path, ["t"], {1}, "new") == ("", "", 0)
    assert merge_incidence(tmp_path, ["i"], {1}, "new") == ("", "", 0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["i", "t"]


def test_a_merge_of_one_segment_without_dead_rows_gives_its_bytes(tmp_path):
    a = write_text_segment(tmp_path, "t", [unit(i) for i in range(5)], generation=3)
    b = write_incidence_segment(tmp_path, "i", [incidence(i) for i in range(5)], generation=3)
    assert merge_text(tmp_path, ["t"], (), "t2").sha256 == a.sha256
    assert merge_incidence(tmp_path, ["i"], (), "i2").sha256 == b.sha256


def test_the_recorded_peak_covers_all_vectors_also_after_a_merge(tmp_path):
    # Search takes its error bound from the peak.
    small, large = (np.random.default_rng(i).standard_normal((3, 4)) * scale for i, scale in ((1, 0.1), (2, 10.0)))
    write_text_segment(tmp_path, "a", [unit(1, vectors={SPACE: small})], generation=1)
    write_text_segment(tmp_path, "b", [unit(2, vectors={SPACE: large})], generation=1)
    for order in (["a", "b"], ["b", "a"]):
        merge_text(tmp_path, order, (), "c")
        space = TextSegment(tmp_path / "c").spaces[SPACE]
        for rows in (space.unit_vectors, space.sentence_vectors):
            assert np.abs(rows.vectors).max() <= rows.peak == np.abs(large.astype(np.float16)).max()


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 300), min_size=1, max_size=300), st.integers(2, 10))
def test_few_segments_and_few_rewrites(batches, fanout):
    segments, written = [], 0
    for i, rows in enumerate(batches):
        segments.append(SegmentInfo(name=f"s{i}", kind="text", rows=rows))
        written += rows
        groups = merge_plan(segments, fanout=fanout)
        for j, group in enumerate(groups):
            names = {info.name for info in group}
            merged = SegmentInfo(name=f"m{i}-{j}", kind="text", rows=sum(info.rows for info in group))
            segments = [info for info in segments if info.name not in names] + [merged]
            written += merged.rows
        assert merge_plan(segments, fanout=fanout) == []
    total = sum(batches)
    tiers = 1
    while fanout**tiers <= total:
        tiers += 1
    assert sum(info.rows for info in segments) == total
    assert len(segments) <= (fanout - 1) * tiers
    assert written <= total * (1 + tiers)


def test_the_plan_rewrites_what_is_mostly_dead_and_never_mixes_kinds():
    segments = [
        SegmentInfo(name="old", kind="text", rows=100, dead=51),
        SegmentInfo(name="half", kind="text", rows=1000, dead=500),
        *(SegmentInfo(name=f"t{i}", kind="text", rows=2) for i in range(4)),
        *(SegmentInfo(name=f"i{i}", kind="inc", rows=2) for i in range(7)),
    ]
    names = [[info.name for info in group] for group in merge_plan(segments)]
    assert names == [["old"]]
    more = [*segments, *(SegmentInfo(name=f"j{i}", kind="inc", rows=3) for i in range(2))]
    assert [info.name for info in merge_plan(more)[0]] == [*(f"i{i}" for i in range(7)), "j0", "j1"]
    with pytest.raises(ValueError, match="fanout"):
        merge_plan([], fanout=1)
