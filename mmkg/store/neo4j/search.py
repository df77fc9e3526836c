"""Neo4j's own indexes as search reads them: full text for words, vectors for units and sentences, output by unit."""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from mmkg.errors import StoreError
from mmkg.protocols import FloatArray, PageHit, PageWords, Statistics
from mmkg.store.neo4j.connection import Connection
from mmkg.store.neo4j.ddl import vector_index
from mmkg.store.neo4j.searchrows import READY, SearchRows

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

NEAR_UNITS, NEAR_SENTENCES = 100, 200
"""What a question is first searched for; asked for beforehand, beside its words, it waits for the slowest alone."""
_MOST = 2_000
"""Most rows of one search: what would need more (a rare modality in a large base) gets fewer."""
_SPARE = 10
_COUNTED = 24
"""Terms that are counted one by one; of more (the spellings near a word) a lower bound is enough."""
_SAMPLE = 300
_PAGES = 200
"""Pages that full text brings for the words of a question; their order is made by the retriever, from whole counts."""
_UNITS, _OF_PAGES = "mmkg_terms", "mmkg_pages"
_LONGEST_TERM = 200


@dataclass(frozen=True, slots=True)
class Near:
    """A unit, or a sentence of it, near a vector. ordinal: of the sentence, -1 for the unit. cosine: in -1..1."""

    unit: str
    ordinal: int
    cosine: float


class Kept(Generic[K, V]):
    """The values last used, at most `size` of them. Safe to use from several threads."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._rows: OrderedDict[K, V] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, keys: Iterable[K], fetch: Callable[[list[K]], Mapping[K, V]]) -> dict[K, V]:
        """The values of these keys; those not kept are fetched, and what the fetch leaves out is absent."""
        wanted = list(dict.fromkeys(keys))
        with self._lock:
            found = {k: self._rows[k] for k in wanted if k in self._rows}
            for k in found:
                self._rows.move_to_end(k)
        if missing := [k for k in wanted if k not in found]:
            fresh = fetch(missing)
            found.update(fresh)
            with self._lock:
                self._rows.update(fresh)
                self._forget()
        return found

    def put(self, key: K, value: V) -> None:
        """Keep a value in place of the one that is there."""
        with self._lock:
            self._rows[key] = value
            self._rows.move_to_end(key)
            self._forget()

    def _forget(self) -> None:
        while len(self._rows) > self._size:
            self._rows.popitem(last=False)


class SearchIndexes:
    """The indexes of one generation of a base. Safe to use from several threads.

    Raises StoreError where the base does not have them.
    """

    def __init__(self, connection: Connection) -> None:
        if SearchRows(connection).state() != READY:
            raise StoreError(
                f"the base at {connection.address.uri} has no search indexes in the server",
                hint="run `mmkg add` or `mmkg rebuild` once with search=indexes in its address; while one runs, wait for its end",
            )
        self.connection = connection
        rows = connection.rows("SHOW VECTOR INDEXES YIELD name WHERE name STARTS WITH 'mmkg' RETURN name")
        self._indexes = {row["name"] for row in rows}
        self._frequencies: Kept[tuple[str, str], int] = Kept(50_000)
        self._page_totals: tuple[int, int, float] | None = None
        self._found: Kept[tuple[str, bool, bytes], tuple[int, list[Near]]] = Kept(64)
        self._threads = ThreadPoolExecutor(4, thread_name_prefix="mmkg-search")
        self._vectors: Kept[tuple[str, str], npt.NDArray[np.float16]] = Kept(20_000)

    def together(self, *calls: Callable[[], Any]) -> list[Any]:
        """What these calls return, made at the same time. Raises what the first of them that fails does."""
        return [future.result() for future in [self._threads.submit(call) for call in calls]]

    # ---- words ----

    def words(self, terms: Sequence[str], k: int) -> dict[str, dict[str, int]]:
        """The k units that hold most of the index terms (by Lucene's BM25): unit id -> term -> how often."""
        query = _any_of(terms)
        if not query:
            return {}
        ids, held = self.connection.columns(
            "CALL db.index.fulltext.queryNodes('mmkg_terms', $q, {limit: $k}) YIELD node "
            "WITH node WHERE node._visible RETURN collect(node._id), collect(node._terms)",
            q=query,
            k=k,
        )
        wanted = frozenset(terms)
        return {id_: _counts(text, wanted) for id_, text in zip(ids, held, strict=True)}

    def pages(self, terms: Sequence[str]) -> PageWords:
        """The pages that hold most of the index terms (by Lucene's BM25), with counts of all pages."""
        n_pages, worded, mean = self._pages()
        query = _any_of(terms)
        if not n_pages or not query:
            return PageWords()
        found = self.connection.columns(
            f"CALL db.index.fulltext.queryNodes('{_OF_PAGES}', $q, {{limit: $k}}) YIELD node "
            "WITH node WHERE EXISTS { MATCH (:_Document {_id: node._document, _state: 'visible'}) } "
            "RETURN collect(node._units), collect(node._terms), collect(node._n_terms)",
            q=query,
            k=_PAGES,
        )
        wanted = frozenset(terms)
        hits = [PageHit(tuple(units), _counts(text, wanted), n) for units, text, n in zip(*found, strict=True)]
        known = self._frequencies.get([(_OF_PAGES, t) for t in sorted(wanted)], self._counted)
        frequencies = {t: n for (_, t), n in known.items()}
        return PageWords(hits, Statistics(n_units=n_pages, n_worded=worded, mean_length=mean, frequencies=frequencies))

    def unit_pages(self) -> list[tuple[str, int]]:
        """(id, page) of the visible units that lie on a page of a document of several. O(these units)."""
        if not self._pages()[0]:
            return []
        text = "MATCH (u:_Unit) WHERE u._visible AND u._page IS NOT NULL RETURN u._id AS id, u._page AS page"
        return [(row["id"], row["page"]) for row in self.connection.rows(text)]

    def _pages(self) -> tuple[int, int, float]:
        """Visible pages, those with words, and their mean length."""
        if self._page_totals is None:
            row = self.connection.rows(
                "MATCH (p:_Page) WHERE EXISTS { MATCH (:_Document {_id: p._document, _state: 'visible'}) } "
                "RETURN count(*) AS n, sum(p._n_terms) AS total, sum(CASE WHEN p._n_terms > 0 THEN 1 ELSE 0 END) AS worded"
            )[0]
            self._page_totals = row["n"], row["worded"], row["total"] / max(row["worded"], 1)
        return self._page_totals

    def frequencies(self, terms: Sequence[str]) -> list[int]:
        """How many units hold each index term, staged ones included; of many terms at once, at least so many."""
        if len(set(terms)) <= _COUNTED:
            known = self._frequencies.get([(_UNITS, t) for t in terms], self._counted)
            return [known.get((_UNITS, t), 0) for t in terms]
        found = self._sampled(list(terms))
        return [found.get(t, 0) for t in terms]

    def _counted(self, wanted: list[tuple[str, str]]) -> dict[tuple[str, str], int]:
        """(full-text index, term) -> how many rows hold it."""
        text = (
            "UNWIND $terms AS t CALL (t) { CALL db.index.fulltext.queryNodes(t[0], t[2]) YIELD node "
            "RETURN count(*) AS n } RETURN t[0] AS index, t[1] AS term, n"
        )
        asked = [[index, t, q] for index, t in wanted if (q := _any_of([t]))]
        rows = self.connection.rows(text, terms=asked) if asked else []
        found = {(row["index"], row["term"]): row["n"] for row in rows}
        return {key: found.get(key, 0) for key in wanted}

    def _sampled(self, terms: list[str]) -> dict[str, int]:
        out: dict[str, int] = {}
        for i in range(0, len(terms), 900):  # Lucene takes 1,024 clauses
            for held in self.words(terms[i : i + 900], _SAMPLE).values():
                for term in held:
                    out[term] = out.get(term, 0) + 1
        return out

    # ---- vectors ----

    def has(self, space: str) -> bool:
        """Whether vectors of a space can be searched."""
        return vector_index(space, "_Unit") in self._indexes

    def nearest(self, space: str, query: FloatArray, k: int, *, sentences: bool) -> list[Near]:
        """About the k units, or sentences, nearest to a vector, best first, ties by id; none for an unknown space.

        The last searches are kept: for fewer of the same nothing is asked.
        """
        if not self.has(space) or k < 1 or not np.any(query):
            return []
        key, k = (space, sentences, np.asarray(query, dtype=np.float64).tobytes()), min(k, _MOST)
        known = self._found.get([key], lambda _: {}).get(key)
        if known is None or known[0] < k:
            known = k, self._nearest(space, query, k, sentences=sentences)
            self._found.put(key, known)
        return known[1][:k]

    def _nearest(self, space: str, query: FloatArray, k: int, *, sentences: bool) -> list[Near]:
        label = "_Sentence" if sentences else "_Unit"
        unit, ordinal = ("node._unit", "node._ord") if sentences else ("node._id", "-1")
        seen = "EXISTS { MATCH (u:_Unit {_id: node._unit}) WHERE u._visible }" if sentences else "node._visible"
        rows = self.connection.columns(
            f"CALL db.index.vector.queryNodes('{vector_index(space, label)}', $k, $v) YIELD node, score "
            f"WITH node, score WHERE {seen} RETURN collect({unit}), collect({ordinal}), collect(score)",
            k=k + k // 10 + _SPARE,
            v=np.asarray(query, dtype=np.float64).tolist(),
        )
        found = [Near(id_, n, 2.0 * score - 1.0) for id_, n, score in zip(*rows, strict=True)]
        return sorted(found, key=lambda n: (-n.cosine, n.unit, n.ordinal))[:k]

    def vectors(self, space: str, units: Sequence[str]) -> dict[str, npt.NDArray[np.float16]]:
        """unit id -> (1 + its sentences, dim) or (1, dim), as kept; units without vectors in the space are absent."""

        def fetch(keys: list[tuple[str, str]]) -> dict[tuple[str, str], npt.NDArray[np.float16]]:
            text = (
                "UNWIND $ids AS i MATCH (u:_Unit {_id: i}) UNWIND [u._key, u._media] AS k WITH i, k WHERE k IS NOT NULL "
                "MATCH (o:_Output {_key: k}) WHERE o._space = $space RETURN i AS id, o._n AS n, o._data AS data"
            )
            rows = self.connection.rows(text, ids=[id_ for _, id_ in keys], space=space)
            return {(space, r["id"]): np.frombuffer(r["data"], dtype="<f2").reshape(r["n"], -1) for r in rows}

        found = self._vectors.get([(space, id_) for id_ in units], fetch)
        return {id_: x for (_, id_), x in found.items()}

    def dim(self, space: str) -> int:
        """Dimension of a space, 0 if nothing here has a vector in it."""
        rows = self.connection.rows(
            "MATCH (o:_Output) WHERE o._space = $space RETURN o._n AS n, o._data AS data LIMIT 1", space=space
        )
        return len(rows[0]["data"]) // 2 // int(rows[0]["n"]) if rows else 0


def gathered(
    vectors: Mapping[str, npt.NDArray[Any]], wanted: Sequence[tuple[str, int]], dim: int
) -> npt.NDArray[np.float32]:
    """(n, dim) float32 rows of (unit id, row of its vectors); zeros where there is none."""
    out = np.zeros((len(wanted), dim), dtype=np.float32)
    for i, (unit, row) in enumerate(wanted):
        x = vectors.get(unit)
        if x is not None and row < len(x):
            out[i] = x[row]
    return out


def _counts(held: str, wanted: frozenset[str]) -> dict[str, int]:
    """How often each wanted term is among those of a row."""
    words = held.split(" ")
    return {term: words.count(term) for term in wanted.intersection(words)}


def _any_of(terms: Iterable[str]) -> str:
    """A full-text query for any of the terms, each a quoted word. "" without terms."""
    words = sorted({t for t in terms if t and len(t) <= _LONGEST_TERM})
    return " OR ".join('"' + re.sub(r'(["\\])', r"\\\1", t) + '"' for t in words)
