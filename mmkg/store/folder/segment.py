"""Segments: immutable files of index rows. A text segment holds units, postings and vectors; an incidence segment holds who mentions what.

A later row of the same unit (higher generation) replaces an earlier one, in either kind, wherever the two lie; a removed unit stays
in its segment until a merge, and the view leaves it out.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from mmkg.algorithms.keys import term_key
from mmkg.store.folder.tensors import TensorFile, TensorWriter, damaged
from mmkg.store.folder.vectors import VectorRows, peak_of

TEXT = "text"
INCIDENCE = "inc"
_FORMAT = "1"

_T = TypeVar("_T", bound=np.generic)

_term_key = lru_cache(maxsize=1 << 18)(term_key)


class SegmentFile(NamedTuple):
    """A segment that was written: file name, sha256 (64 hex digits), rows. A merge that left no row wrote no file: ("", "", 0)."""

    name: str
    sha256: str
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitRow:
    """A unit as the index knows it.

    no: the ledger's number of the unit (int64, unique, never reused). id: unit id. document: the ledger's number of its document.
    modality: 0 text, 1 image, 2 audio, 3 video. terms: index terms of name and words, repeats kept, or their counts.
    vectors: Space.key -> (1 + n_sentences, dim) float16, the unit's own vector first, or (1, dim) without sentences.
    """

    no: int
    id: str
    document: int
    modality: int
    terms: Sequence[str] | Mapping[str, int]
    n_sentences: int
    vectors: Mapping[str, npt.NDArray[np.floating[Any]]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidenceRow:
    """What one unit mentions. Entities are keys (mmkg.algorithms.keys.entity_key).

    entities: (m,) int64, distinct. counts: (m,) occurrences in the unit, 0 if only its title names it. title_share: (m,) 0, or the
    number of units that share the title or heading. sentences: for each sentence of the unit, its entities, all in `entities`.
    """

    no: int
    entities: npt.NDArray[np.int64]
    counts: npt.NDArray[np.integer[Any]]
    title_share: npt.NDArray[np.integer[Any]]
    sentences: Sequence[npt.NDArray[np.int64] | Sequence[int]] = ()


def write_text_segment(directory: Path, name: str, rows: Sequence[UnitRow], *, generation: int) -> SegmentFile:
    """Write units as a text segment, durably. The bytes depend on the rows, not on their order.

    Raises ValueError for a repeated number or id, or vectors of another shape than UnitRow says, or not finite.
    """
    rows = sorted(rows, key=lambda row: row.id.encode())
    if len({row.no for row in rows}) != len(rows) or len({row.id for row in rows}) != len(rows):
        raise ValueError(f"a unit number or id is repeated among the {len(rows)} rows of {name}")
    counts = [row.terms if isinstance(row.terms, Mapping) else Counter(row.terms) for row in rows]
    hashes, units, tf = _flatten_terms(counts)
    order = np.lexsort((units, hashes))
    table, starts = np.unique(hashes[order], return_index=True)
    spaces = sorted({space for row in rows for space in row.vectors})
    tensors: dict[str, npt.NDArray[Any]] = {
        "no": np.array([row.no for row in rows], dtype=np.int64),
        "generation": np.full(len(rows), generation, dtype=np.int64),
        "document": np.array([row.document for row in rows], dtype=np.int64),
        "term_hash": table,
        "term_indptr": np.append(starts, len(order)).astype(np.int64),
        "length": np.array([sum(c.values()) for c in counts], dtype=np.int32),
        "n_sentences": np.array([row.n_sentences for row in rows], dtype=np.int32),
        "post_unit": units[order],
        "post_tf": tf[order],
        "modality": np.array([row.modality for row in rows], dtype=np.int8),
        "ids": id_matrix([row.id for row in rows]),
    }
    for i, space in enumerate(spaces):
        tensors |= _vector_tensors(f"space{i}", space, rows)
    return write_tensors(directory / name, tensors, text_metadata(spaces))


def write_incidence_segment(
    directory: Path, name: str, rows: Sequence[IncidenceRow], *, generation: int
) -> SegmentFile:
    """Write incidence rows as a segment, durably. The bytes depend on the rows, not on their order.

    Raises ValueError for a repeated unit number or entity, arrays of unequal length, or a sentence with an entity that the row lacks.
    """
    rows = sorted(rows, key=lambda row: row.no)
    if len({row.no for row in rows}) != len(rows):
        raise ValueError(f"a unit number is repeated among the {len(rows)} rows of {name}")
    entities, counts, shares, lengths = [], [], [], []
    sentences: list[int] = []
    for row in rows:
        keys = np.asarray(row.entities, dtype=np.int64)
        order = np.argsort(keys)
        keys = keys[order]
        if len(row.counts) != len(keys) or len(row.title_share) != len(keys) or np.any(keys[1:] == keys[:-1]):
            raise ValueError(f"unit {row.no}: entities must be distinct, with a count and a title share each")
        entities.append(keys)
        counts.append(np.asarray(row.counts)[order].astype(np.int32))
        shares.append(np.asarray(row.title_share)[order].astype(np.int32))
        held = set(keys.tolist())
        for named in row.sentences:  # a few names each: sets are ten times as fast as arrays here
            own = sorted({int(key) for key in named})
            if not held.issuperset(own):
                raise ValueError(f"unit {row.no}: a sentence names an entity that the unit does not")
            sentences += own
            lengths.append(len(own))
    flat = _joined(entities, np.int64)
    table = distinct(flat)
    tensors = {
        "no": np.array([row.no for row in rows], dtype=np.int64),
        "generation": np.full(len(rows), generation, dtype=np.int64),
        "keys": table,
        "indptr": indptr_of([len(keys) for keys in entities]),
        "sentence_indptr": indptr_of(lengths),
        "n_sentences": np.array([len(row.sentences) for row in rows], dtype=np.int32),
        "entity": np.searchsorted(table, flat).astype(np.int32),
        "count": _joined(counts, np.int32),
        "title_share": _joined(shares, np.int32),
        "sentence_entity": np.searchsorted(table, np.array(sentences, dtype=np.int64)).astype(np.int32),
    }
    return write_tensors(directory / name, tensors, incidence_metadata())


class TextSegment:
    """A text segment, mapped. Rows are sorted by unit id; see UnitRow for what the arrays hold.

    spaces: Space.key -> SpaceRows. Raises StoreDamagedError.
    """

    def __init__(self, path: Path, *, sha256: str | None = None) -> None:
        file = TensorFile(path, sha256=sha256)
        a = file.arrays
        try:
            _check_kind(file, TEXT)
            self.name = path.name
            self.size = file.size
            self.no, self.generation, self.document = a["no"], a["generation"], a["document"]
            self.modality, self.length, self.n_sentences = a["modality"], a["length"], a["n_sentences"]
            self.term_hash, self.term_indptr = a["term_hash"], a["term_indptr"]
            self.post_unit, self.post_tf = a["post_unit"], a["post_tf"]
            width = a["ids"].shape[1]
            self.ids: npt.NDArray[np.bytes_] = a["ids"].reshape(-1).view(f"S{width}")
            self.spaces = {
                space: SpaceRows(a, f"space{i}") for i, space in enumerate(json.loads(file.metadata["spaces"]))
            }
        except (KeyError, ValueError, IndexError, TypeError, RecursionError) as e:
            raise damaged(path, f"is not a text segment: {e}") from e

    def __len__(self) -> int:
        return len(self.no)

    def postings(self, key: int) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
        """Rows that hold the term of this key (term_key), ascending, and how often."""
        wanted = np.uint64(key)
        at = int(np.searchsorted(self.term_hash, wanted))
        if at == len(self.term_hash) or self.term_hash[at] != wanted:
            return self.post_unit[:0], self.post_tf[:0]
        span = slice(int(self.term_indptr[at]), int(self.term_indptr[at + 1]))
        return self.post_unit[span], self.post_tf[span]

    def frequencies(self, keys: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
        """(n,) number of rows that hold the term of each key."""
        at = np.searchsorted(self.term_hash, keys)
        inside = np.flatnonzero(at < len(self.term_hash))
        same = inside[self.term_hash[at[inside]] == keys[inside]]
        out = np.zeros(len(keys), dtype=np.int64)
        out[same] = np.asarray(self.term_indptr[at[same] + 1], dtype=np.int64) - self.term_indptr[at[same]]
        return out


class SpaceRows:
    """The vectors of one space in a text segment. unit, sentence_unit: row of the segment; ordinal: of the sentence in its unit."""

    def __init__(self, arrays: Mapping[str, npt.NDArray[Any]], prefix: str) -> None:
        self.unit: npt.NDArray[np.int32] = arrays[f"{prefix}.unit"]
        self.sentence_unit: npt.NDArray[np.int32] = arrays[f"{prefix}.sentence_unit"]
        self.ordinal: npt.NDArray[np.int32] = arrays[f"{prefix}.ordinal"]
        peak = float(arrays[f"{prefix}.peak"][0])
        self.unit_vectors = VectorRows(arrays[f"{prefix}.unit_vectors"], peak)
        self.sentence_vectors = VectorRows(arrays[f"{prefix}.sentence_vectors"], peak)


class IncidenceSegment:
    """An incidence segment, mapped. Rows are sorted by unit number; `entity` points into `keys`, which is sorted.

    Entries of row i: indptr[i]:indptr[i + 1], keys ascending. Sentences lie row after row. Raises StoreDamagedError.
    """

    def __init__(self, path: Path, *, sha256: str | None = None) -> None:
        file = TensorFile(path, sha256=sha256)
        a = file.arrays
        try:
            _check_kind(file, INCIDENCE)
            self.name = path.name
            self.size = file.size
            self.no, self.generation, self.n_sentences = a["no"], a["generation"], a["n_sentences"]
            self.keys, self.indptr, self.sentence_indptr = a["keys"], a["indptr"], a["sentence_indptr"]
            self.entity, self.count, self.title_share = a["entity"], a["count"], a["title_share"]
            self.sentence_entity = a["sentence_entity"]
        except (KeyError, ValueError) as e:
            raise damaged(path, f"is not an incidence segment: {e}") from e

    def __len__(self) -> int:
        return len(self.no)


# ---- Pieces shared with merging ------------------------------------------------------------------------------------


def text_metadata(spaces: Sequence[str]) -> dict[str, str]:
    """Header fields of a text segment."""
    return {"kind": TEXT, "format": _FORMAT, "spaces": json.dumps(list(spaces))}


def incidence_metadata() -> dict[str, str]:
    """Header fields of an incidence segment."""
    return {"kind": INCIDENCE, "format": _FORMAT}


def id_matrix(ids: Sequence[str]) -> npt.NDArray[np.uint8]:
    """(n, width) uint8: ids in UTF-8, padded with NUL. Raises ValueError for an id that ends in NUL."""
    encoded = [one.encode() for one in ids]
    if any(one.endswith(b"\0") for one in encoded):
        raise ValueError("a unit id may not end in NUL")
    width = max((len(one) for one in encoded), default=1) or 1
    return np.array(encoded, dtype=f"S{width}").view(np.uint8).reshape(len(encoded), width)


def indptr_of(lengths: Sequence[int] | npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Offsets of runs of these lengths, from 0; one more than there are runs."""
    out = np.zeros(len(lengths) + 1, dtype=np.int64)
    np.cumsum(lengths, out=out[1:])
    return out


def distinct(values: npt.NDArray[_T]) -> npt.NDArray[_T]:
    """The distinct values, ascending. numpy.unique hashes integers since 2.3, which is fifty times slower on a million keys."""
    ordered = np.sort(values)
    first = np.ones(len(ordered), dtype=bool)
    first[1:] = ordered[1:] != ordered[:-1]
    return ordered[first]


def write_tensors(path: Path, tensors: Mapping[str, npt.NDArray[Any]], metadata: Mapping[str, str]) -> SegmentFile:
    """Write whole arrays as one file, wider items first (that keeps each aligned)."""
    ordered = dict(sorted(tensors.items(), key=lambda item: -item[1].dtype.itemsize))
    with TensorWriter(path, {name: (array.dtype, array.shape) for name, array in ordered.items()}, metadata) as writer:
        for name, array in ordered.items():
            writer.write(name, array)
        return SegmentFile(path.name, writer.commit(), len(tensors["no"]))


def _check_kind(file: TensorFile, kind: str) -> None:
    if file.metadata.get("kind") != kind or file.metadata.get("format") != _FORMAT:
        raise ValueError(f"kind {file.metadata.get('kind')}, format {file.metadata.get('format')}")


def _flatten_terms(
    counts: Sequence[Mapping[str, int]],
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    n = sum(len(c) for c in counts)
    hashes = np.fromiter((_term_key(term) for c in counts for term in c), dtype=np.uint64, count=n)
    units = np.repeat(np.arange(len(counts), dtype=np.int32), [len(c) for c in counts])
    tf = np.fromiter((times for c in counts for times in c.values()), dtype=np.int32, count=n)
    return hashes, units, tf


def _vector_tensors(prefix: str, space: str, rows: Sequence[UnitRow]) -> dict[str, npt.NDArray[Any]]:
    units: list[int] = []
    sentence_units: list[int] = []
    ordinals: list[int] = []
    own, sentences = [], []
    for i, row in enumerate(rows):
        if space not in row.vectors:
            continue
        with np.errstate(over="ignore"):  # an overflow is reported below, as not finite
            vectors = np.asarray(row.vectors[space]).astype(np.float16)
        n_sentences = len(vectors) - 1 if vectors.ndim == 2 else -1
        if n_sentences not in (0, row.n_sentences) or not np.isfinite(vectors).all():
            raise ValueError(
                f"unit {row.id}: expected finite (1 or {1 + row.n_sentences}, dim) for {space}, got {vectors.shape}"
            )
        units.append(i)
        own.append(vectors[:1])
        sentences.append(vectors[1:])
        sentence_units += [i] * n_sentences
        ordinals += range(n_sentences)
    if len({vectors.shape[1] for vectors in own}) > 1:
        raise ValueError(f"vectors of {space} have several dimensions")
    unit_vectors, sentence_vectors = np.concatenate(own), np.concatenate(sentences)
    peak = max(peak_of(unit_vectors), peak_of(sentence_vectors))
    return {
        f"{prefix}.peak": np.array([peak], dtype=np.float64),
        f"{prefix}.unit": np.array(units, dtype=np.int32),
        f"{prefix}.sentence_unit": np.array(sentence_units, dtype=np.int32),
        f"{prefix}.ordinal": np.array(ordinals, dtype=np.int32),
        f"{prefix}.unit_vectors": unit_vectors,
        f"{prefix}.sentence_vectors": sentence_vectors,
    }


def _joined(parts: Sequence[npt.NDArray[Any]], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    return np.concatenate(parts).astype(dtype) if parts else np.empty(0, dtype=dtype)
