"""The index of a folder base as retrieval sees it: one generation, assembled from segments."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np

from mmkg.algorithms.keys import entity_key, term_key
from mmkg.protocols import FloatArray, IntArray
from mmkg.store.folder.assemble import Int32, assemble_incidence, assemble_units
from mmkg.store.folder.damage import check_file
from mmkg.store.folder.ledger import FileRef
from mmkg.store.folder.merge import SegmentInfo
from mmkg.store.folder.segment import INCIDENCE, TEXT, IncidenceSegment, TextSegment, indptr_of
from mmkg.store.folder.vectors import Part, gather, places, search, warm

SegmentName = tuple[str, str]
"""File name of a segment, and its sha256."""

_S = TypeVar("_S", TextSegment, IncidenceSegment)


class EntityLookup(Protocol):
    """What the index needs from the ledger of the same generation, since segments hold no strings but unit ids."""

    def names(self, keys: Sequence[int]) -> list[str]:
        """Display names of entities, by key, in this order."""
        ...

    def ids(self, keys: Sequence[int]) -> list[str]:
        """Ids (canonical forms) of entities, by key, in this order."""
        ...

    def is_title(self, canonical: Sequence[str]) -> list[bool]:
        """Whether each canonical form is a title form of a visible document or heading."""
        ...

    def filename_documents(self, words: Sequence[str]) -> Mapping[str, Sequence[int]]:
        """For each word, the numbers of the documents one of whose file names has it; missing words are absent."""
        ...


class SegmentCache:
    """Opened segments, shared by the views of successive generations. Safe to use from several threads.

    verify: read each file once and compare its sha256 when it is first opened.
    """

    def __init__(self, *, verify: bool = True) -> None:
        self._verify = verify
        self._lock = threading.Lock()
        self._text: dict[Path, TextSegment] = {}
        self._incidence: dict[Path, IncidenceSegment] = {}
        self._checked: set[tuple[Path, str]] = set()

    def open(
        self, directory: Path, text: Sequence[SegmentName], incidence: Sequence[SegmentName]
    ) -> tuple[list[TextSegment], list[IncidenceSegment]]:
        """The segments of these names. Raises StoreDamagedError, which names the file, for the first that cannot be trusted."""
        with self._lock, ThreadPoolExecutor(min(2, os.cpu_count() or 1), thread_name_prefix="mmkg-segments") as pool:
            # Hashing releases the interpreter lock, so two files are read at a time.
            return (
                self._load(pool, self._text, TextSegment, directory, text),
                self._load(pool, self._incidence, IncidenceSegment, directory, incidence),
            )

    def check(self, root: Path, ref: FileRef) -> None:
        """Hash a file of the graph once, however many generations name it. Raises StoreDamagedError."""
        if not self._verify:
            return
        with self._lock:
            known = (root / ref.name, ref.sha256) in self._checked
        if not known:
            check_file(root, ref)
            with self._lock:
                self._checked.add((root / ref.name, ref.sha256))

    def retain(self, directory: Path, names: Iterable[str]) -> None:
        """Forget all segments but these; views that hold others keep them."""
        wanted = {directory / name for name in names}
        with self._lock:
            self._text = {path: segment for path, segment in self._text.items() if path in wanted}
            self._incidence = {path: segment for path, segment in self._incidence.items() if path in wanted}

    def _load(
        self,
        pool: ThreadPoolExecutor,
        known: dict[Path, _S],
        kind: type[_S],
        directory: Path,
        wanted: Sequence[SegmentName],
    ) -> list[_S]:
        missing = [(directory / name, sha256) for name, sha256 in wanted if directory / name not in known]

        def load(item: tuple[Path, str]) -> _S:
            return kind(item[0], sha256=item[1] if self._verify else None)

        for (path, _), segment in zip(missing, pool.map(load, missing), strict=True):
            known[path] = segment
        return [known[directory / name] for name, _ in wanted]


class FolderIndex:
    """mmkg.protocols.IndexView over segments. Unit order: by id; entity order: by key; neither depends on the order of ingest.

    directory: of the segments. text_segments, incidence_segments: (name, sha256), oldest first. dead_units: numbers of removed units.
    cache: of the generation before, so that only new files are opened. `mentions` and `title_share` have one common sparsity: an entry
    for each mention, also where its value is 0. Raises StoreDamagedError.
    """

    def __init__(
        self,
        directory: Path,
        text_segments: Sequence[SegmentName],
        incidence_segments: Sequence[SegmentName],
        *,
        generation: int,
        lookup: EntityLookup,
        dead_units: IntArray | Iterable[int] = (),
        cache: SegmentCache | None = None,
        verify: bool = True,
    ) -> None:
        self.cache = cache or SegmentCache(verify=verify)
        self._text, self._incidence = self.cache.open(directory, text_segments, incidence_segments)
        dead = np.asarray(dead_units if isinstance(dead_units, np.ndarray) else list(dead_units), dtype=np.int64)
        units = assemble_units(self._text, dead)
        incidence = assemble_incidence(self._incidence, units)
        self._units, self._keys, self._incidence_rows = units, incidence.keys, incidence.rows
        self._lookup = lookup
        self._lock = threading.Lock()
        self._parts: dict[tuple[str, bool], list[Part]] = {}
        self._places: dict[tuple[str, bool], IntArray] = {}
        self._units_of_document: tuple[IntArray, IntArray] | None = None
        self.generation = generation
        self.n_units = len(units.ids)
        self.n_documents = len(units.documents)
        self.n_entities = len(incidence.keys)
        self.unit_document = units.document
        self.unit_modality = units.modality
        self.unit_length = units.length
        self.sentence_unit: Int32 = np.repeat(np.arange(self.n_units, dtype=np.int32), np.diff(units.sentence_start))
        self.mentions = incidence.mentions
        self.title_share = incidence.title_share
        self.sentence_entities = incidence.sentence_entities
        self.entity_df = incidence.entity_df
        self.entity_unit_df = incidence.entity_unit_df

    @property
    def unit_numbers(self) -> IntArray:
        """(n_units,) the ledger's number of each unit."""
        return self._units.no

    @property
    def document_numbers(self) -> IntArray:
        """(n_documents,) the ledger's number of each document."""
        return self._units.documents

    @property
    def entity_keys(self) -> IntArray:
        """(n_entities,) key of each entity, ascending."""
        return self._keys

    def postings(self, term: str) -> tuple[Int32, Int32]:
        """Units that hold the index term, ascending, and how often."""
        units, counts = [np.empty(0, dtype=np.int32)], [np.empty(0, dtype=np.int32)]
        key = term_key(term)
        for segment, view in zip(self._text, self._units.rows, strict=True):
            rows, tf = segment.postings(key)
            mapped = view[rows]
            live = mapped >= 0
            units.append(mapped[live])
            counts.append(tf[live])
        joined = np.concatenate(units)
        order = np.argsort(joined, kind="stable")  # ascending runs, one a segment: only merged
        return joined[order], np.concatenate(counts)[order]

    def frequencies(self, terms: Sequence[str]) -> list[int]:
        """How many units hold each index term, removed ones that are not merged away yet included. O(log terms) each."""
        keys = np.array([term_key(t) for t in terms], dtype=np.uint64)
        out = np.zeros(len(keys), dtype=np.int64)
        for segment in self._text:
            out += segment.frequencies(keys)
        found: list[int] = out.tolist()
        return found

    def search_units(self, space: str, query: FloatArray, k: int) -> tuple[IntArray, FloatArray]:
        """Exact top k units by inner product with query (dim,), best first, ties by unit id; none for an unknown space."""
        return search(self._parts_of(space, sentences=False), query, k)

    def search_sentences(self, space: str, query: FloatArray, k: int) -> tuple[IntArray, FloatArray]:
        """Exact top k sentences by inner product with query (dim,), best first, ties by (unit id, ordinal)."""
        return search(self._parts_of(space, sentences=True), query, k)

    def unit_vectors(self, space: str, units: IntArray) -> FloatArray:
        """(n, dim) float32 vectors of these units; rows of zeros where there is none, (n, 0) for an unknown space."""
        return self._rows_of(space, units, sentences=False)

    def sentence_vectors(self, space: str, sentences: IntArray) -> FloatArray:
        """(n, dim) float32 vectors of these sentences, as for units."""
        return self._rows_of(space, sentences, sentences=True)

    def spaces(self) -> tuple[str, ...]:
        """Keys of the spaces in which a unit of the view has a vector, sorted."""
        return tuple(
            sorted(
                {
                    space
                    for segment, view in zip(self._text, self._units.rows, strict=True)
                    for space in segment.spaces
                    if _lives(segment, view, space)
                }
            )
        )

    def entities(self, canonical: Sequence[str]) -> list[int]:
        """Index of each canonical form, -1 where no unit mentions it."""
        wanted = np.array([entity_key(form) for form in canonical], dtype=np.int64)
        at = np.searchsorted(self._keys, wanted)
        return [
            int(i) if i < self.n_entities and self._keys[i] == key else -1 for i, key in zip(at, wanted, strict=True)
        ]

    def entity_ids(self, entities: Sequence[int]) -> list[str]:
        """Ids of entities."""
        return self._lookup.ids([int(self._keys[e]) for e in entities])

    def entity_names(self, entities: Sequence[int]) -> list[str]:
        """Display names."""
        return self._lookup.names([int(self._keys[e]) for e in entities])

    def is_title(self, canonical: Sequence[str]) -> list[bool]:
        """Whether each canonical form is a title form of a visible document or heading."""
        return self._lookup.is_title(canonical)

    def unit_ids(self, units: Sequence[int]) -> list[str]:
        """Ids of units."""
        return [self._units.ids[u].decode() for u in units]

    def units_by_id(self, ids: Sequence[str]) -> list[int]:
        """Index of each unit id, -1 where the view has no such unit."""
        wanted = [one.encode() for one in ids]
        at: Sequence[int] = (
            np.searchsorted(self._units.ids, np.array(wanted, dtype=np.bytes_)).tolist() if wanted else []
        )
        return [
            int(i) if i < self.n_units and self._units.ids[i] == one else -1 for i, one in zip(at, wanted, strict=True)
        ]

    def filename_units(self, words: Sequence[str]) -> dict[str, IntArray]:
        """For each word, the units, ascending, of the documents one of whose file names has it; missing words are absent."""
        out = {}
        for word, numbers in self._lookup.filename_documents(words).items():
            units = self._units_in(np.asarray(numbers, dtype=np.int64))
            if len(units):
                out[word] = units
        return out

    def segment_infos(self) -> list[SegmentInfo]:
        """The segments of this view and how many of their rows are dead, for merge_plan."""
        text = zip(self._text, self._units.rows, strict=True)
        incidence = zip(self._incidence, self._incidence_rows, strict=True)
        return [
            SegmentInfo(name=segment.name, kind=kind, rows=len(segment), dead=int(np.count_nonzero(rows < 0)))
            for kind, pairs in ((TEXT, text), (INCIDENCE, incidence))
            for segment, rows in pairs
        ]

    def warm(self) -> None:
        """Build what the first search of each space would build."""
        for space in self.spaces():
            for sentences in (False, True):
                warm(self._parts_of(space, sentences=sentences))

    def _parts_of(self, space: str, *, sentences: bool) -> list[Part]:
        with self._lock:
            if (space, sentences) not in self._parts:
                self._parts[space, sentences] = [
                    self._part(segment, view, space, sentences)
                    for segment, view in zip(self._text, self._units.rows, strict=True)
                    if _lives(segment, view, space)
                ]
            return self._parts[space, sentences]

    def _rows_of(self, space: str, numbers: IntArray, *, sentences: bool) -> FloatArray:
        parts = self._parts_of(space, sentences=sentences)
        with self._lock:
            if (space, sentences) not in self._places:
                self._places[space, sentences] = places(parts, len(self.sentence_unit) if sentences else self.n_units)
        return gather(parts, self._places[space, sentences], numbers)

    def _part(self, segment: TextSegment, view: Int32, space: str, sentences: bool) -> Part:
        rows = segment.spaces[space]
        if not sentences:
            return Part(rows.unit_vectors, view[rows.unit])
        unit = view[rows.sentence_unit]
        numbers = self._units.sentence_start[unit] + rows.ordinal  # of a dead unit: of no meaning, replaced below
        return Part(rows.sentence_vectors, np.where(unit >= 0, numbers, -1).astype(np.int32))

    def _units_in(self, documents: IntArray) -> IntArray:
        with self._lock:
            if self._units_of_document is None:
                order = np.argsort(self.unit_document, kind="stable").astype(np.int64)
                counts = np.bincount(self.unit_document, minlength=self.n_documents)
                self._units_of_document = order, indptr_of(counts)
            order, starts = self._units_of_document
        found = np.flatnonzero(np.isin(self._units.documents, documents))
        parts = [order[starts[d] : starts[d + 1]] for d in found]
        return np.sort(np.concatenate(parts)) if parts else np.empty(0, dtype=np.int64)


def _lives(segment: TextSegment, view: Int32, space: str) -> bool:
    """Whether a unit that the view still has (view: number of each row, or -1) has a vector in the space."""
    return space in segment.spaces and bool(np.any(view[segment.spaces[space].unit] >= 0))
