"""Puts segments together into the arrays of one view: rows that count, in an order that no ingest order can change.

Units are ordered by id, documents by their first unit, entities by key; so equal bases give equal arrays, and equal floating sums.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from mmkg.errors import StoreDamagedError
from mmkg.protocols import IntArray
from mmkg.store.folder.merge import newest, ranges
from mmkg.store.folder.segment import IncidenceSegment, TextSegment, distinct, indptr_of

Int32 = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Units:
    """The units of a view in its order. See IndexView; rows[i]: view unit of each row of text segment i, or -1.

    documents: (n_documents,) the ledger's number of each document. sentence_start: (n_units + 1,) first sentence of each unit.
    """

    ids: npt.NDArray[np.bytes_]
    no: IntArray
    document: Int32
    documents: IntArray
    modality: npt.NDArray[np.int8]
    length: Int32
    sentence_start: IntArray
    rows: list[Int32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Incidence:
    """Entities of a view: their keys, ascending, and the matrices of IndexView. rows[i]: as in Units, of incidence segment i."""

    keys: IntArray
    mentions: sp.csr_matrix
    title_share: sp.csr_matrix
    sentence_entities: sp.csr_matrix
    entity_df: Int32
    entity_unit_df: Int32
    rows: list[Int32]


def assemble_units(segments: Sequence[TextSegment], dead: IntArray) -> Units:
    """The live units of the segments (oldest first). dead: numbers of removed units, any order.

    Raises StoreDamagedError if two live units have one id.
    """
    width = max((segment.ids.dtype.itemsize for segment in segments), default=1)

    def column(name: str, dtype: npt.DTypeLike) -> npt.NDArray[np.int64]:
        parts = [getattr(segment, name) for segment in segments]
        return np.concatenate(parts) if parts else np.empty(0, dtype=dtype)

    no = column("no", np.int64)
    kept = newest(no, column("generation", np.int64))
    kept = kept[~np.isin(no[kept], dead)]
    all_ids = np.concatenate([np.empty(0, f"S{width}"), *(segment.ids.astype(f"S{width}") for segment in segments)])
    # Each segment is sorted already: a stable sort merges the runs.
    kept = kept[np.argsort(all_ids[kept], kind="stable")]
    ids = all_ids[kept]
    if np.any(ids[1:] == ids[:-1]):
        twice = ids[1:][ids[1:] == ids[:-1]][0].decode()
        raise StoreDamagedError(f"unit {twice} lies twice in the index", hint="run `mmkg doctor --fix`")
    row_of = np.full(len(no), -1, dtype=np.int32)
    row_of[kept] = np.arange(len(kept), dtype=np.int32)
    places = indptr_of([len(segment) for segment in segments])
    numbers, first, inverse = np.unique(column("document", np.int64)[kept], return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty(len(order), dtype=np.int32)
    rank[order] = np.arange(len(order), dtype=np.int32)
    return Units(
        ids=ids,
        no=no[kept],
        document=rank[inverse],
        documents=numbers[order],
        modality=column("modality", np.int8)[kept].astype(np.int8),
        length=column("length", np.int32)[kept].astype(np.int32),
        sentence_start=indptr_of(column("n_sentences", np.int32)[kept]),
        rows=[row_of[a:b] for a, b in pairwise(places)],
    )


def assemble_incidence(segments: Sequence[IncidenceSegment], units: Units) -> Incidence:
    """What the units mention, by the newest row of each. Units without a row mention nothing.

    `mentions` and `title_share` have the same sparsity (and share its arrays): an entry for each mention, also where its value is 0.
    Raises StoreDamagedError if a row and its unit have different numbers of sentences.
    """
    rows = _view_rows(segments, units)
    used = []
    for segment, view in zip(segments, rows, strict=True):
        mark = np.zeros(len(segment.keys), dtype=bool)
        mark[segment.entity[np.repeat(view >= 0, np.diff(segment.indptr))]] = True
        used.append(mark)
    keys = distinct(np.concatenate([np.empty(0, np.int64), *(s.keys[m] for s, m in zip(segments, used, strict=True))]))
    n_units, n_sentences = len(units.ids), int(units.sentence_start[-1])
    entry_unit, entry_entity, counts, shares, named_by, named = [], [], [], [], [], []
    for segment, view in zip(segments, rows, strict=True):
        column = np.searchsorted(keys, segment.keys).astype(np.int32)
        live = np.repeat(view >= 0, np.diff(segment.indptr))
        entry_unit.append(np.repeat(view, np.diff(segment.indptr))[live])
        entry_entity.append(column[segment.entity[live]])
        counts.append(segment.count[live])
        shares.append(segment.title_share[live])
        sentence = _sentences(segment, view, units)
        sizes = np.diff(segment.sentence_indptr)
        live = np.repeat(sentence >= 0, sizes)
        named_by.append(np.repeat(sentence, sizes)[live])
        named.append(column[segment.sentence_entity[live]])
    shape = (n_units, len(keys))
    # Counting sort by unit: within a unit the keys ascend already, as all its entries come from one row.
    order = _csr(_cat(entry_unit), _cat(entry_entity), np.arange(sum(map(len, entry_unit)), dtype=np.int32), shape)
    mentions = sp.csr_matrix((_cat(counts)[order.data], order.indices, order.indptr), shape=shape)
    title_share = sp.csr_matrix((_cat(shares)[order.data], order.indices, order.indptr), shape=shape)
    sentence_entities = _csr(
        _cat(named_by), _cat(named), np.ones(sum(map(len, named)), dtype=np.int8), (n_sentences, len(keys))
    )
    for matrix in (mentions, title_share, sentence_entities):
        matrix.has_sorted_indices = True
        matrix.has_canonical_format = True
    document_of = np.repeat(units.document, np.diff(mentions.indptr))
    by_document = sp.csr_matrix(
        (np.ones(mentions.nnz, dtype=np.int32), (document_of, mentions.indices)),
        shape=(len(units.documents), len(keys)),
    )  # from coordinates: repeated pairs become one entry
    return Incidence(
        keys=keys,
        mentions=mentions,
        title_share=title_share,
        sentence_entities=sentence_entities,
        entity_df=np.bincount(by_document.indices, minlength=len(keys)).astype(np.int32),
        entity_unit_df=np.bincount(mentions.indices, minlength=len(keys)).astype(np.int32),
        rows=rows,
    )


def _view_rows(segments: Sequence[IncidenceSegment], units: Units) -> list[Int32]:
    """View unit of each incidence row, -1 where the unit is gone or a later row replaces this one."""
    if not segments:
        return []
    no = np.concatenate([segment.no for segment in segments])
    kept = newest(no, np.concatenate([segment.generation for segment in segments]))
    by_number = np.argsort(units.no)
    at = np.minimum(np.searchsorted(units.no[by_number], no[kept]), max(len(by_number) - 1, 0))
    unit = by_number[at] if len(by_number) else np.empty(0, dtype=np.int64)
    view = np.full(len(no), -1, dtype=np.int32)
    if len(unit):
        found = units.no[unit] == no[kept]
        view[kept[found]] = unit[found]
    places = indptr_of([len(segment) for segment in segments])
    return [view[a:b] for a, b in pairwise(places)]


def _sentences(segment: IncidenceSegment, view: Int32, units: Units) -> Int32:
    """View sentence of each sentence of the segment, or -1."""
    live = view >= 0
    expected = np.diff(units.sentence_start)[view[live]]
    if np.any(expected != segment.n_sentences[live]):
        raise StoreDamagedError(
            f"{segment.name} has another number of sentences for a unit than the unit has",
            hint="run `mmkg doctor --fix`",
        )
    out = np.full(len(segment.sentence_indptr) - 1, -1, dtype=np.int32)
    first = np.cumsum(segment.n_sentences) - segment.n_sentences
    out[ranges(first[live], expected)] = ranges(units.sentence_start[:-1][view[live]], expected)
    return out


def _csr(rows: Int32, columns: Int32, data: npt.NDArray[np.integer], shape: tuple[int, int]) -> sp.csr_matrix:
    return sp.coo_matrix((data, (rows, columns)), shape=shape).tocsr()


def _cat(parts: Sequence[Int32]) -> Int32:
    return np.concatenate(parts) if parts else np.empty(0, dtype=np.int32)
