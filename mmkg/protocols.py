"""The seams: what a part must offer to be put in. Any object with these methods fits; contracts in mmkg.testing check behaviour."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from mmkg.types import (
    Answer,
    Depiction,
    Edge,
    Evidence,
    GraphDelta,
    Hit,
    Modality,
    NameSpan,
    Node,
    Parsed,
    PassedOn,
    Progress,
    QueryResult,
    UnitDerivation,
    UnitInput,
)

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]
ProgressCallback = Callable[[Progress], None]


class Loader(Protocol):
    """Reads one kind of file. Runs inside a limited child process; opens no socket and follows no link."""

    media_types: frozenset[str]

    def load(self, path: Path, media_type: str) -> Parsed:
        """Parse the file. Raises LoadError with a reason that a user can act on."""
        ...


class Extractor(Protocol):
    """Finds raw names in text."""

    name: str
    """Name and version; part of a base's profile, since other models give other facts."""

    def extract(self, texts: Sequence[str]) -> list[list[NameSpan]]:
        """For each text its name spans, offsets relative to that text, sorted by (start, end)."""
        ...


class Deriver(Protocol):
    """The derived layer as pure functions; a store keeps it up incrementally with them.

    Contract: derive(u, known) depends on `known` only through the members of candidates(u); and whenever a form f is in
    candidates(u), form_key(f) is in anchor_keys(u). So a new or vanished title form f can change only units under form_key(f).
    """

    version: str
    """Changes when the rules do; a base derived by another version is derived again."""

    def title_forms(self, title: str) -> tuple[str, ...]:
        """Canonical forms under which a title or heading is known, the full form first; () if it names nothing."""
        ...

    def candidates(self, unit: UnitInput) -> frozenset[str]:
        """Canonical forms in the unit's words that would be mentions if they were title forms."""
        ...

    def anchor_keys(self, unit: UnitInput) -> frozenset[int]:
        """Signed 64-bit keys under which the unit is found again."""
        ...

    def form_key(self, form: str) -> int: ...

    def may_hold(self, unit: UnitInput, forms: Iterable[str]) -> bool:
        """False only if none of the forms is in candidates(unit); quick, as it is asked of every unit under a form's key."""
        ...

    def derive(self, unit: UnitInput, known: Container[str]) -> UnitDerivation:
        """The unit's mentions, given the title forms of the base."""
        ...

    def depict(
        self,
        units: Sequence[tuple[UnitInput, UnitDerivation]],
        standings: Mapping[int, Sequence[float]],
        passed: Mapping[int, Sequence[PassedOn]],
    ) -> dict[int, tuple[Depiction, ...]]:
        """What the pictures of a document show, by ordinal of the unit, best first.

        units: the document's with their mentions, in order. standings: ordinal -> for each prompt, by how many standard
        deviations the picture's vector is nearer to it than to the mean prompt. passed: ordinal -> what near pictures show.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """What must match for vectors to be comparable. Runtimes (torch, ONNX) of one space may differ.

    name: model; revision: hash of its weights' canonical form or a version; dim; pooling: mean, cls or none; normalise;
    query_prefix, document_prefix: what is put before each text.
    """

    name: str
    revision: str
    dim: int
    pooling: str = "mean"
    normalise: bool = True
    query_prefix: str = ""
    document_prefix: str = ""
    max_tokens: int = 256

    @property
    def key(self) -> str:
        """Short stable id of the space, for file and row names."""
        return f"{self.name}@{self.revision}"


class Encoder(Protocol):
    """Turns texts, or images, into unit vectors of one space."""

    @property
    def space(self) -> Space: ...

    @property
    def runtime(self) -> str:
        """What computes it: "torch-bf16", "torch-fp32", "onnx-int8", ..."""
        ...

    @property
    def modalities(self) -> frozenset[Modality]:
        """What encode_document takes: texts (str) for TEXT, image bytes for IMAGE."""
        ...

    def encode_document(self, items: Sequence[Any], *, batch_size: int = 64) -> FloatArray:
        """(n, dim) float32, unit rows, in the order of items. Raises EncodeError on a vector that is not finite."""
        ...

    def encode_query(self, items: Sequence[Any]) -> FloatArray:
        """(n, dim) float32, unit rows."""
        ...


@runtime_checkable
class JointEncoder(Encoder, Protocol):
    """An encoder of pictures or of sound whose space words are encoded into as well, by a tower of its own."""

    def encode_text(self, texts: Sequence[str]) -> FloatArray:
        """(n, dim) float32, unit rows: texts that look for what encode_document encodes."""
        ...


class PageEncoder(Protocol):
    """Turns pictures of pages, and questions, into several unit vectors each of one space (late interaction, mmkg.algorithms.maxsim)."""

    @property
    def space(self) -> Space: ...

    @property
    def runtime(self) -> str: ...

    def encode_pages(self, items: Sequence[bytes]) -> list[FloatArray]:
        """For each picture file (n, dim) float32, unit rows; n may differ. Raises EncodeError for one that cannot be decoded."""
        ...

    def encode_question(self, text: str) -> FloatArray:
        """(m, dim) float32, unit rows. Raises ValueError for an empty text."""
        ...


class IndexView(Protocol):
    """One generation of the index as arrays. Everything is local to the view: unit i, document d, sentence s, entity e.

    A view never changes; a new generation is a new view. Removed units are absent.
    """

    generation: int
    n_units: int
    n_documents: int
    n_entities: int
    unit_document: npt.NDArray[np.int32]
    """(n_units,) document index of each unit."""
    unit_modality: npt.NDArray[np.int8]
    """(n_units,) 0 text, 1 image, 2 audio, 3 video."""
    unit_length: npt.NDArray[np.int32]
    """(n_units,) number of index terms (name + text), for BM25."""
    sentence_unit: npt.NDArray[np.int32]
    """(n_sentences,) unit of each sentence, ascending."""
    mentions: sp.csr_matrix
    """(n_units, n_entities) int32 counts of mentions."""
    title_share: sp.csr_matrix
    """(n_units, n_entities) int32: 0, or the number of units that share the title or heading that names the entity."""
    sentence_entities: sp.csr_matrix
    """(n_sentences, n_entities) int8: 1 where the sentence names the entity."""
    entity_df: npt.NDArray[np.int32]
    """(n_entities,) number of documents that mention the entity."""
    entity_unit_df: npt.NDArray[np.int32]
    """(n_entities,) number of units that mention the entity."""

    def postings(self, term: str) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
        """Units that hold the index term, ascending, and how often."""
        ...

    def frequencies(self, terms: Sequence[str]) -> list[int]:
        """At least how many units hold each index term: many at once, quickly, but removed units may still count."""
        ...

    def search_units(self, space: str, query: FloatArray, k: int) -> tuple[IntArray, FloatArray]:
        """Exact top k units by inner product with query (dim,), best first, ties by unit id. space: Space.key."""
        ...

    def search_sentences(self, space: str, query: FloatArray, k: int) -> tuple[IntArray, FloatArray]:
        """Exact top k sentences by inner product with query (dim,), best first, ties by (unit id, ordinal)."""
        ...

    def unit_vectors(self, space: str, units: IntArray) -> FloatArray:
        """(n, dim) float32 vectors of these units, in this order; a row of zeros where a unit has none in the space.

        (n, 0) for a space without vectors here.
        """
        ...

    def sentence_vectors(self, space: str, sentences: IntArray) -> FloatArray:
        """(n, dim) float32 vectors of these sentences, as for units."""
        ...

    def spaces(self) -> tuple[str, ...]:
        """Keys of the spaces that have vectors here."""
        ...

    def entities(self, canonical: Sequence[str]) -> list[int]:
        """Index of each canonical form, -1 where no unit mentions it."""
        ...

    def entity_ids(self, entities: Sequence[int]) -> list[str]: ...

    def entity_names(self, entities: Sequence[int]) -> list[str]:
        """Display names."""
        ...

    def is_title(self, canonical: Sequence[str]) -> list[bool]:
        """Whether each canonical form is a title form of a visible document or heading."""
        ...

    def unit_ids(self, units: Sequence[int]) -> list[str]: ...

    def units_by_id(self, ids: Sequence[str]) -> list[int]:
        """Index of each unit id, -1 where the view has no such unit."""
        ...

    def filename_units(self, words: Sequence[str]) -> dict[str, IntArray]:
        """For each word, the units of the documents one of whose file names has it (folded; missing words are absent)."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """Counts of a whole base, for a view that holds a part of it (see PartialView).

    n_units; n_worded: units with words; mean_length: index terms of these, on average. frequencies: index term -> units that hold
    it, of the terms that the view was made for.
    """

    n_units: int
    n_worded: int
    mean_length: float
    frequencies: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class PageHit:
    """A page that holds index terms of a question. units: ids of all its units. counts: term -> how often. length: all its terms."""

    units: tuple[str, ...]
    counts: Mapping[str, int]
    length: int


@dataclass(frozen=True, slots=True)
class PageWords:
    """The pages that hold most of a question's index terms, of documents of several pages. statistics: of all such pages, each
    counted as a unit is elsewhere; None where the base has none."""

    hits: Sequence[PageHit] = ()
    statistics: Statistics | None = None


@runtime_checkable
class PartialView(Protocol):
    """An IndexView made for one question of what lies around it: postings, and maybe units, are a part of the base's.

    entity_unit_df and entity_df are those of the whole base, and `statistics` says the rest. page_words: of the question.
    """

    statistics: Statistics
    page_words: PageWords

    def unit_pages(self) -> Sequence[tuple[str, int]]:
        """(id, page) of the units here that lie on a page of a document of several."""
        ...


class QuestionViews(Protocol):
    """Where the index stays on a server: an IndexView (a PartialView) for each question."""

    def lookup(self) -> IndexView:
        """A view without units, to look up words, entities and titles of the whole base."""
        ...

    def around(
        self,
        *,
        terms: Sequence[str] = (),
        entities: Sequence[str] = (),
        vectors: Mapping[str, FloatArray] = ...,
        file_words: Sequence[str] = (),
    ) -> IndexView:
        """The view for a question: its index terms, the canonical forms it names, and its vector by space."""
        ...


class VectorIndex(Protocol):
    """Exact or approximate search over (id, vector) pairs."""

    def add(self, ids: Sequence[str], vectors: FloatArray) -> None: ...
    def search(self, queries: FloatArray, k: int) -> list[list[Hit]]: ...
    def remove(self, ids: Sequence[str]) -> None: ...
    def __len__(self) -> int: ...


@runtime_checkable
class GraphStore(Protocol):
    """A Cypher engine that holds the graph projection. mmkg.testing.graph_store.GraphStoreContract says how it behaves."""

    def load(self, nodes: Iterable[Node], edges: Iterable[Edge]) -> None:
        """Replace everything by these rows (bulk)."""
        ...

    def apply(self, delta: GraphDelta) -> None:
        """Delete and upsert; the same delta twice is the same as once."""
        ...

    def get(self, ids: Sequence[str]) -> list[Node]:
        """The nodes that exist, in the order of ids."""
        ...

    def neighbors(
        self, ids: Sequence[str], *, types: Sequence[str] = (), direction: str = "both", limit: int = 1000
    ) -> list[Edge]:
        """Edges at these nodes; direction: out, in or both. Each edge once; ordered by (type, source, target)."""
        ...

    def nodes(self) -> Iterator[Node]: ...

    def edges(self) -> Iterator[Edge]: ...

    def query(
        self,
        cypher: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        timeout_s: float = 10.0,
        max_rows: int = 10_000,
        max_bytes: int = 64 * 2**20,
    ) -> QueryResult:
        """Run a user's read-only query through the gate. Raises WriteRefusedError, QueryLimitError, CypherError."""
        ...

    def shortest_path(self, source: str, target: str, *, max_hops: int = 6) -> list[tuple[str, str]] | None:
        """[(node id, edge type that led to it), ...] from source (type "") to target, or None. Ties by id."""
        ...

    def save(self, path: Path) -> None:
        """Write a snapshot and fsync it."""
        ...

    def open(self, path: Path) -> None:
        """Replace everything by a snapshot. Raises StoreDamagedError."""
        ...

    def close(self) -> None: ...


class Retriever(Protocol):
    """From a question to ranked units."""

    def retrieve(
        self, question: str, *, k: int = 10, modalities: frozenset[Modality] | None = None
    ) -> list[Evidence]: ...


class Reranker(Protocol):
    """Reorders evidence for a question; may drop none."""

    def rerank(self, question: str, evidence: Sequence[Evidence]) -> list[Evidence]: ...


@runtime_checkable
class DeepReranker(Reranker, Protocol):
    """A reranker that wants to see more candidates than are asked for."""

    depth: int
    """How many, at least, if there are so many."""


class Generator(Protocol):
    """From evidence to an answer with citations."""

    name: str

    def generate(self, question: str, evidence: Sequence[Evidence]) -> Answer: ...
