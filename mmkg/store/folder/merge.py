"""Merging segments, as log-structured merge trees do: few segments to read, and each row rewritten O(log N) times.

Reference: O'Neil, Cheng, Gawlick and O'Neil, "The log-structured merge-tree", Acta Informatica 1996 (size-tiered variant).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from mmkg.protocols import IntArray
from mmkg.store.folder.segment import (
    IncidenceSegment,
    SegmentFile,
    SpaceRows,
    TextSegment,
    distinct,
    incidence_metadata,
    indptr_of,
    text_metadata,
    write_tensors,
)
from mmkg.store.folder.tensors import TensorWriter
from mmkg.store.folder.vectors import VectorRows

_BLOCK = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentInfo:
    """A segment as the plan sees it. rows: in the file; dead: of them removed, or replaced by a later segment."""

    name: str
    kind: str
    rows: int
    dead: int = 0


MOST_ROWS = 1 << 15
"""No merge makes a segment of more live rows: a merge holds words and numbers of its rows in memory, about 4 kB each."""


def merge_plan(segments: Sequence[SegmentInfo], *, fanout: int = 8, most: int = MOST_ROWS) -> list[list[SegmentInfo]]:
    """Which segments to merge now: groups of one kind, each oldest first, to be replaced by one.

    A segment of n live rows is in tier floor(log_fanout n); as soon as a tier has `fanout` segments they become one, which lies in a
    higher tier and may fill that in turn (then all are merged at once). So there are less than fanout * log_fanout(N) segments, and a
    row is rewritten at most once a tier. Past `most` rows they stay apart: beside those there is one for each `most` / 2 rows at
    the most. A segment with more dead than live rows is rewritten too. segments: oldest first.
    """
    if fanout < 2:
        raise ValueError(f"fanout must be at least 2, got {fanout}")
    groups: list[list[SegmentInfo]] = []
    for kind in sorted({info.kind for info in segments}):
        tiers: dict[int, list[list[SegmentInfo]]] = defaultdict(list)
        for info in segments:
            if info.kind == kind:
                tiers[_tier([info], fanout)].append([info])
        tier = 0
        while tier <= max(tiers, default=-1):
            if len(tiers[tier]) >= fanout:
                group = [info for members in tiers.pop(tier) for info in members]
                tiers[max(tier + 1, _tier(group, fanout))].append(group)
            tier += 1
        groups += [group for _, members in sorted(tiers.items()) for group in members]
    position = {info.name: i for i, info in enumerate(segments)}
    ordered = (sorted(group, key=lambda info: position[info.name]) for group in groups)
    parted = (part for group in ordered for part in _parted(group, most))
    return [group for group in parted if len(group) > 1 or 2 * group[0].dead > group[0].rows]


def _parted(group: Sequence[SegmentInfo], most: int) -> Iterator[list[SegmentInfo]]:
    """The group in runs that have no more than `most` live rows each, or are one segment."""
    run: list[SegmentInfo] = []
    live = 0
    for info in group:
        rows = max(0, info.rows - info.dead)
        if run and live + rows > most:
            yield run
            run, live = [], 0
        run.append(info)
        live += rows
    if run:
        yield run


def _tier(group: Sequence[SegmentInfo], fanout: int) -> int:
    live = sum(max(0, info.rows - info.dead) for info in group)
    tier = 0
    while live >= fanout:
        live //= fanout
        tier += 1
    return tier


def merge_text(
    directory: Path,
    names: Sequence[str],
    dead: Iterable[int] | IntArray,
    new_name: str,
    *,
    sha256: Mapping[str, str] | None = None,
) -> SegmentFile:
    """Write the rows of these text segments (oldest first) that count as one, durably; no file if none does.

    dead: numbers of removed units. sha256: name -> hash, checked first, or damage would pass into the new file under a good
    hash. Vectors are streamed; the rest of the group is held in memory. Raises StoreDamagedError.
    """
    segments = [TextSegment(directory / name, sha256=(sha256 or {}).get(name)) for name in names]
    kept, places = _survivors(segments, dead)
    if not len(kept):
        return SegmentFile("", "", 0)
    width = max(segment.ids.dtype.itemsize for segment in segments)
    ids = np.concatenate([segment.ids.astype(f"S{width}") for segment in segments])[kept]
    order = np.argsort(ids, kind="stable")
    kept, ids = kept[order], ids[order]
    row_of = np.full(places[-1], -1, dtype=np.int32)
    row_of[kept] = np.arange(len(kept), dtype=np.int32)
    maps = [row_of[a:b] for a, b in pairwise(places)]

    def column(name: str) -> npt.NDArray[Any]:
        return np.concatenate([getattr(segment, name) for segment in segments])[kept]

    tensors = {name: column(name) for name in ("no", "generation", "document", "length", "n_sentences", "modality")}
    tensors |= _merged_postings(segments, maps, len(kept))
    tensors["ids"] = ids.view(np.uint8).reshape(len(ids), width)
    spaces = sorted({space for segment in segments for space in segment.spaces})
    blocks = {
        f"space{i}": _MergedSpace(
            [(s.spaces[space], m) for s, m in zip(segments, maps, strict=True) if space in s.spaces]
        )
        for i, space in enumerate(spaces)
    }
    for prefix, merged in blocks.items():
        tensors |= {f"{prefix}.{name}": array for name, array in merged.small.items()}
    streams = {
        f"{prefix}.{name}": stream for prefix, merged in blocks.items() for name, stream in merged.streams.items()
    }
    shapes = {name: (array.dtype, array.shape) for name, array in tensors.items()}
    shapes |= {name: (np.dtype(np.float16), stream.shape) for name, stream in streams.items()}
    shapes = dict(sorted(shapes.items(), key=lambda item: -item[1][0].itemsize))
    with TensorWriter(directory / new_name, shapes, text_metadata(spaces)) as writer:
        for name in shapes:
            for block in streams[name].blocks() if name in streams else [tensors[name]]:
                writer.write(name, block)
        return SegmentFile(new_name, writer.commit(), len(kept))


def merge_incidence(
    directory: Path,
    names: Sequence[str],
    dead: Iterable[int] | IntArray,
    new_name: str,
    *,
    sha256: Mapping[str, str] | None = None,
) -> SegmentFile:
    """Write the rows of these incidence segments (oldest first) that count as one, durably; as merge_text."""
    segments = [IncidenceSegment(directory / name, sha256=(sha256 or {}).get(name)) for name in names]
    kept, _ = _survivors(segments, dead)
    if not len(kept):
        return SegmentFile("", "", 0)
    no = np.concatenate([segment.no for segment in segments])
    kept = kept[np.argsort(no[kept])]
    rows = indptr_of([len(segment.entity) for segment in segments])
    starts = np.concatenate([s.indptr[:-1] + at for s, at in zip(segments, rows, strict=False)])[kept]
    lengths = np.concatenate([np.diff(s.indptr) for s in segments])[kept]
    entries = ranges(starts, lengths)
    n_sentences = np.concatenate([s.n_sentences for s in segments])
    first = (np.cumsum(n_sentences) - n_sentences)[kept]
    sentences = ranges(first, n_sentences[kept])
    at = indptr_of([len(segment.sentence_entity) for segment in segments])
    begin = np.concatenate([s.sentence_indptr[:-1] + a for s, a in zip(segments, at, strict=False)])[sentences]
    sizes = np.concatenate([np.diff(s.sentence_indptr) for s in segments])[sentences]
    named = np.concatenate([s.keys[s.sentence_entity] for s in segments])[ranges(begin, sizes)]
    keys = np.concatenate([s.keys[s.entity] for s in segments])[entries]
    table = distinct(keys)
    tensors = {
        "no": no[kept],
        "generation": np.concatenate([s.generation for s in segments])[kept],
        "keys": table,
        "indptr": indptr_of(lengths),
        "sentence_indptr": indptr_of(sizes),
        "n_sentences": n_sentences[kept],
        "entity": np.searchsorted(table, keys).astype(np.int32),
        "count": np.concatenate([s.count for s in segments])[entries],
        "title_share": np.concatenate([s.title_share for s in segments])[entries],
        "sentence_entity": np.searchsorted(table, named).astype(np.int32),
    }
    return write_tensors(directory / new_name, tensors, incidence_metadata())


def newest(no: IntArray, generation: IntArray) -> IntArray:
    """Positions of the row of each number that counts: of the highest generation, the last of equals; ascending."""
    order = np.lexsort((generation, no))
    last = np.ones(len(no), dtype=bool)
    last[:-1] = no[order[1:]] != no[order[:-1]]
    return np.sort(order[last])


def ranges(starts: IntArray, lengths: npt.NDArray[Any]) -> IntArray:
    """The numbers starts[i] .. starts[i] + lengths[i] - 1 for each i in turn.

    >>> ranges(np.array([5, 0]), np.array([2, 3])).tolist()
    [5, 6, 0, 1, 2]
    """
    ends = np.cumsum(lengths, dtype=np.int64)
    shift = starts - (ends - lengths)
    out: IntArray = np.arange(int(ends[-1]) if len(ends) else 0, dtype=np.int64) + np.repeat(shift, lengths)
    return out


def _survivors(
    segments: Sequence[TextSegment] | Sequence[IncidenceSegment], dead: Iterable[int] | IntArray
) -> tuple[IntArray, IntArray]:
    """Positions of the rows that stay among all rows of the group, and where each segment's rows start."""
    numbers = dead if isinstance(dead, np.ndarray) else np.fromiter(dead, dtype=np.int64)
    no = np.concatenate([segment.no for segment in segments])
    current = newest(no, np.concatenate([segment.generation for segment in segments]))
    return current[~np.isin(no[current], numbers)], indptr_of([len(segment) for segment in segments])


def _merged_postings(
    segments: Sequence[TextSegment], maps: Sequence[npt.NDArray[np.int32]], n_rows: int
) -> dict[str, npt.NDArray[Any]]:
    table = distinct(np.concatenate([segment.term_hash for segment in segments]))
    terms, units, tf = [], [], []
    for segment, new in zip(segments, maps, strict=True):
        unit = new[segment.post_unit]
        term = np.searchsorted(table, segment.term_hash).astype(np.int32)
        keep = unit >= 0
        terms.append(np.repeat(term, np.diff(segment.term_indptr))[keep])
        units.append(unit[keep])
        tf.append(segment.post_tf[keep])
    # A sparse matrix made from coordinates is sorted by (term, unit), and faster than any sort at hand: it counts.
    by_term = sp.csr_matrix(
        (np.concatenate(tf), (np.concatenate(terms), np.concatenate(units))), shape=(len(table), n_rows)
    )
    used = np.diff(by_term.indptr) > 0
    return {
        "term_hash": table[used],
        "term_indptr": np.append(by_term.indptr[:-1][used], by_term.indptr[-1]).astype(np.int64),
        "post_unit": by_term.indices.astype(np.int32),
        "post_tf": by_term.data.astype(np.int32),
    }


class _MergedSpace:
    """The vectors of one space, to be streamed in the order of the new rows."""

    def __init__(self, sources: Sequence[tuple[SpaceRows, npt.NDArray[np.int32]]]) -> None:
        peak = max(rows.unit_vectors.peak for rows, _ in sources)
        unit, unit_from = _gathered([new[rows.unit] for rows, new in sources])
        sentence, sentence_from = _gathered([new[rows.sentence_unit] for rows, new in sources])
        ordinal = np.concatenate([rows.ordinal for rows, _ in sources])
        starts = indptr_of([len(rows.ordinal) for rows, _ in sources])
        self.small = {
            "peak": np.array([peak], dtype=np.float64),
            "unit": unit,
            "sentence_unit": sentence,
            "ordinal": ordinal[starts[sentence_from[:, 0]] + sentence_from[:, 1]],
        }
        self.streams = {
            "unit_vectors": _Stream([rows.unit_vectors for rows, _ in sources], unit_from),
            "sentence_vectors": _Stream([rows.sentence_vectors for rows, _ in sources], sentence_from),
        }


class _Stream:
    """Rows of several blocks in a given order: (n, 2) source and row."""

    def __init__(self, sources: Sequence[VectorRows], rows: IntArray) -> None:
        self.sources, self.rows = sources, rows
        self.shape = (len(rows), sources[0].dim)

    def blocks(self) -> Iterator[npt.NDArray[np.float16]]:
        for i in range(0, len(self.rows), _BLOCK):
            part = self.rows[i : i + _BLOCK]
            out = np.empty((len(part), self.shape[1]), dtype=np.float16)
            for source in np.unique(part[:, 0]):
                here = part[:, 0] == source
                out[here] = self.sources[source].vectors[part[here, 1]]
            yield out


def _gathered(new_units: Sequence[npt.NDArray[np.int32]]) -> tuple[npt.NDArray[np.int32], IntArray]:
    """New unit of each vector row, ascending (rows of one unit in their order), and (source, row) it comes from."""
    units = np.concatenate(new_units)
    origin = np.concatenate(
        [np.stack([np.full(len(u), i), np.arange(len(u))], axis=1).astype(np.int64) for i, u in enumerate(new_units)]
    )
    order = np.argsort(units, kind="stable")
    order = order[int(np.searchsorted(units[order], 0)) :]
    return units[order].astype(np.int32), origin[order]
