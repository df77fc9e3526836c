"""A view for one question of a base too large to export: units grown from the seeds, a frontier of neighbours at a time.

Start: the units that full text, vectors and file names find, and the entities that the question and its nearest sentences name. Then,
hop by hop, the units around the entities with most mass, until `budget` units are held or three hops are made. Mass flows as in the
walk (restart at entities, damping 0.5): forward push, cut off where little is left. Rows of units and entities are kept between
questions of one generation.
Method: Andersen, Chung and Lang, "Local graph partitioning using PageRank vectors", FOCS 2006.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from mmkg.algorithms.pagerank import HUB_FLOOR, HUB_SHARE
from mmkg.protocols import FloatArray, IndexView, IntArray, PageWords, Statistics
from mmkg.store.derivation import load_derivation, mention_totals
from mmkg.store.neo4j.connection import Connection
from mmkg.store.neo4j.rows import derived_text
from mmkg.store.neo4j.search import Kept, Near, SearchIndexes
from mmkg.store.neo4j.views import ServerSearches, searched

_HOPS = 3
_FANOUT = 60
"""Entities expanded a hop, those with most mass first."""
_HOLDERS = 100
"""Units fetched around one entity: those that have it as a title first, then by count."""
_SEED_SENTENCES = 10
_PAGES = 20
"""Pages whose units are all fetched, those with most of the question's words first."""
_DAMPING, _SENTENCE_WEIGHT = 0.5, 0.3

_UNITS = (
    "UNWIND $ids AS i MATCH (u:_Unit {_id: i}) WHERE u._visible RETURN i AS id, u._document AS document, u._page AS page, "
    "u._modality AS modality, u._n_terms AS terms, u._n_sentences AS sentences, u._derived AS derived"
)
_AROUND = (
    "UNWIND $ids AS i MATCH (e:Entity {id: i}) CALL (e) { MATCH (e)<-[m:MENTIONS]-(u:Unit) "
    "WITH u.id AS unit, m ORDER BY m.title > 0 DESC, m.count DESC, unit LIMIT $limit RETURN collect(unit) AS units } "
    "RETURN i AS id, units"
)


@dataclass(frozen=True, slots=True)
class _Unit:
    """A unit as the frontier knows it. page: where the document has several. mentions: entity -> (count, share of the title that
    names it or 0)."""

    document: str
    page: int | None
    modality: int
    n_terms: int
    n_sentences: int
    mentions: dict[str, tuple[int, int]]
    sentences: tuple[tuple[str, ...], ...]


class FrontierViews:
    """protocols.QuestionViews that hold at most `budget` units each."""

    whole_walk = False

    def __init__(
        self, connection: Connection, indexes: SearchIndexes, spaces: Sequence[str], *, generation: int, budget: int
    ) -> None:
        self._connection, self._indexes, self._spaces = connection, indexes, tuple(spaces)
        self.generation, self._budget = generation, budget
        self._units: Kept[str, _Unit] = Kept(50_000)
        self._entities: Kept[str, tuple[int, int, str]] = Kept(200_000)
        self._around: Kept[str, list[str]] = Kept(20_000)
        self._totals: tuple[int, int, float, int] | None = None

    def lookup(self) -> IndexView:
        """A view without units."""
        return FrontierView(self, {}, {}, self._statistics((), ()), [], {}, PageWords())

    def around(
        self,
        *,
        terms: Sequence[str] = (),
        entities: Sequence[str] = (),
        vectors: Mapping[str, FloatArray] | None = None,
        file_words: Sequence[str] = (),
    ) -> IndexView:
        """The view for a question."""
        asked = sorted(set(terms))
        words, known, pages, nearest = searched(self._indexes, asked, vectors or {})
        files = self._file_units(file_words)
        first: dict[str, None] = dict.fromkeys(list(words)[: self._budget // 3])
        near: list[Near] = []
        for units, sentences in nearest.values():
            near = near or sentences[:_SEED_SENTENCES]
            first.update(dict.fromkeys(n.unit for n in (*units, *sentences)))
        for units_of in (*files.values(), *(hit.units for hit in pages.hits[:_PAGES])):
            first.update(dict.fromkeys(units_of))
        held = self.units(list(first)[: self._budget])
        held = self._grown(held, self._seeds(entities, near, held))
        return FrontierView(self, held, words, self._statistics(asked, known), self._spaces, files, pages)

    # ---- growing ----

    def _seeds(self, entities: Sequence[str], near: Sequence[Near], held: Mapping[str, _Unit]) -> dict[str, float]:
        """Restart mass of entities: those of the question by idf, those of the nearest sentences weighted as in the walk."""
        sentences: dict[str, float] = {}
        weights: dict[str, float] = defaultdict(float)
        for one in near:
            unit = held.get(one.unit)
            if unit is not None and one.ordinal < len(unit.sentences) and one.cosine > 0:
                named = set(unit.sentences[one.ordinal])
                for entity in named:
                    weights[entity] += one.cosine**4 / len(named)
        df = self.entities([*entities, *weights])
        for entity, weight in weights.items():
            sentences[entity] = weight * self._idf(df[entity][0]) if entity in df else 0.0
        asked = {e: self._idf(df[e][0]) for e in entities if e in df}
        out: dict[str, float] = defaultdict(float)
        for part, weight in ((asked, 1.0), (sentences, _SENTENCE_WEIGHT)):
            total = sum(part.values())
            for entity, mass in part.items():
                if total > 0:
                    out[entity] += weight * mass / total
        return dict(out)

    def _grown(self, held: dict[str, _Unit], mass: dict[str, float]) -> dict[str, _Unit]:
        done: set[str] = set()
        n_units = self.totals()[0]
        for _ in range(_HOPS):
            front = sorted((e for e in mass if e not in done), key=lambda e: (-mass[e], e))[:_FANOUT]
            if not front or len(held) >= self._budget:
                break
            around = self._around.get(front, self._fetch_around)
            df = self.entities(front)
            arrived: dict[str, float] = defaultdict(float)
            for entity in front:
                done.add(entity)
                for unit in around.get(entity, ()):
                    arrived[unit] += _DAMPING * mass[entity] / max(df.get(entity, (1, 0, ""))[0], 1)
            room = self._budget - len(held)
            new = sorted((u for u in arrived if u not in held), key=lambda u: (-arrived[u], u))[:room]
            held.update(self.units(new))
            mass = self._passed_on(held, arrived, mass, n_units)
        return held

    def _passed_on(
        self, held: Mapping[str, _Unit], arrived: Mapping[str, float], mass: Mapping[str, float], n_units: int
    ) -> dict[str, float]:
        """The mass of entities after the units handed on what arrived at them, to those that carry the walk."""
        units = {u: m for u, m in arrived.items() if u in held}
        df = self.entities([e for u in units for e in held[u].mentions])
        most = max(HUB_FLOOR, HUB_SHARE * n_units)
        out: dict[str, float] = defaultdict(float, mass)
        for unit, given in units.items():
            weights = {
                e: self._idf(df[e][0]) * (1.0 + math.log(max(count, 1))) * (1.0 + (2.0 / share if share else 0.0))
                for e, (count, share) in held[unit].mentions.items()
                if e in df and 2 <= df[e][0] <= most
            }
            total = sum(weights.values())
            for entity, weight in weights.items():
                out[entity] += _DAMPING * given * weight / total
        return dict(out)

    def _idf(self, df: int) -> float:
        return math.log((self.totals()[0] + 1) / max(df, 1))

    # ---- rows ----

    def units(self, ids: Sequence[str]) -> dict[str, _Unit]:
        """Rows of the visible units among these, in this order."""
        found = self._units.get(ids, self._fetch_units)
        return {i: found[i] for i in ids if i in found}

    def _fetch_units(self, ids: list[str]) -> dict[str, _Unit]:
        out = {}
        for row in self._connection.rows(_UNITS, ids=ids):
            derived = load_derivation(derived_text(row["derived"]))
            mentions = {e: (max(n, 1), share) for e, (n, share) in mention_totals(derived).items()}
            out[row["id"]] = _Unit(
                row["document"],
                row["page"],
                row["modality"] or 0,
                row["terms"] or 0,
                row["sentences"] or 0,
                mentions,
                derived.sentences,
            )
        return out

    def entities(self, ids: Sequence[str]) -> dict[str, tuple[int, int, str]]:
        """id -> (units, documents that mention it, display name)."""
        return self._entities.get(ids, self._fetch_entities)

    def _fetch_entities(self, ids: list[str]) -> dict[str, tuple[int, int, str]]:
        text = "UNWIND $ids AS i MATCH (e:_Entity {_id: i}) RETURN i AS id, e._units AS units, e._df AS df, e._name AS name"
        return {r["id"]: (r["units"], r["df"], r["name"]) for r in self._connection.rows(text, ids=ids)}

    def _fetch_around(self, ids: list[str]) -> dict[str, list[str]]:
        return {r["id"]: r["units"] for r in self._connection.rows(_AROUND, ids=ids, limit=_HOLDERS)}

    def _file_units(self, words: Sequence[str]) -> dict[str, list[str]]:
        """For each word, units of the documents one of whose file names has it."""
        wanted = sorted({w for w in words if w.isalnum()})
        if not wanted:
            return {}
        rows = self._connection.rows(
            "CALL db.index.fulltext.queryNodes('mmkg_words', $query, {limit: 200}) YIELD node "
            "WITH node WHERE node._document IS NOT NULL MATCH (u:_Unit {_document: node._document}) WHERE u._visible "
            "RETURN node._words AS words, collect(u._id)[..50] AS units",
            query=" OR ".join(f'"{w}"' for w in wanted),
        )
        out: dict[str, list[str]] = {}
        for row in rows:
            for word in set(row["words"].split()) & set(wanted):
                out.setdefault(word, []).extend(row["units"])
        return out

    def is_title(self, canonical: Sequence[str]) -> list[bool]:
        """Whether each canonical form is a title form of a visible document or heading."""
        text = "UNWIND $forms AS f MATCH (t:_Title {_form: f}) RETURN f AS form"
        found = {row["form"] for row in self._connection.rows(text, forms=sorted(set(canonical)))}
        return [c in found for c in canonical]

    def totals(self) -> tuple[int, int, float, int]:
        """Units, units with words, their mean length, and documents of the base."""
        if self._totals is None:
            row = self._connection.rows(
                "MATCH (u:_Unit) WHERE u._visible RETURN count(*) AS n, sum(u._n_terms) AS total, "
                "sum(CASE WHEN u._n_terms > 0 THEN 1 ELSE 0 END) AS worded"
            )[0]
            documents = self._connection.rows("MATCH (d:Document) RETURN count(*) AS n")[0]["n"]
            self._totals = row["n"], row["worded"], row["total"] / max(row["worded"], 1), documents
        return self._totals

    def _statistics(self, terms: Sequence[str], frequencies: Sequence[int]) -> Statistics:
        n, worded, mean, _ = self.totals()
        known = dict(zip(terms, frequencies, strict=True))
        return Statistics(n_units=n, n_worded=worded, mean_length=mean, frequencies=known)

    @property
    def indexes(self) -> SearchIndexes:
        return self._indexes


class _Numbers:
    """Units of a view, ordered by id."""

    def __init__(self, units: Mapping[str, _Unit]) -> None:
        self.ids = sorted(units, key=str.encode)
        self.of = {id_: i for i, id_ in enumerate(self.ids)}
        self.n_units = len(self.ids)
        counts = [units[i].n_sentences for i in self.ids]
        self.sentence_unit: npt.NDArray[np.int32] = np.repeat(np.arange(self.n_units, dtype=np.int32), counts)

    def unit_ids(self, units: Sequence[int]) -> list[str]:
        """Ids of units."""
        return [self.ids[u] for u in units]

    def units_by_id(self, ids: Sequence[str]) -> list[int]:
        """Index of each unit id, -1 where the view has no such unit."""
        return [self.of.get(i, -1) for i in ids]


class FrontierView(ServerSearches):
    """One question's IndexView over the units that were grown around it."""

    def __init__(
        self,
        views: FrontierViews,
        units: Mapping[str, _Unit],
        words: Mapping[str, Mapping[str, int]],
        statistics: Statistics,
        spaces: Sequence[str],
        files: Mapping[str, Sequence[str]],
        pages: PageWords,
    ) -> None:
        numbers = _Numbers(units)
        super().__init__(views.indexes, numbers, words, spaces, tuple(statistics.frequencies))
        self._views, self._files, self._table = views, files, numbers
        self.statistics, self.page_words, self.generation = statistics, pages, views.generation
        self._placed = [(id_, row.page) for id_, row in units.items() if row.page is not None]
        self.n_units, self.sentence_unit = numbers.n_units, numbers.sentence_unit
        rows = [units[i] for i in numbers.ids]
        documents = {d: i for i, d in enumerate(dict.fromkeys(row.document for row in rows))}
        self.n_documents = views.totals()[3]
        self.unit_document = np.array([documents[row.document] for row in rows], dtype=np.int32)
        self.unit_modality = np.array([row.modality for row in rows], dtype=np.int8)
        self.unit_length = np.array([row.n_terms for row in rows], dtype=np.int32)
        self._ids = sorted({e for row in rows for e in row.mentions})
        self._index = {e: i for i, e in enumerate(self._ids)}
        self.n_entities = len(self._ids)
        known = views.entities(self._ids)
        self.entity_unit_df = np.array([known.get(e, (1, 1, ""))[0] for e in self._ids], dtype=np.int32)
        self.entity_df = np.array([known.get(e, (1, 1, ""))[1] for e in self._ids], dtype=np.int32)
        self.mentions = self._matrix(rows, 0)
        self.title_share = self._matrix(rows, 1)
        self.sentence_entities = self._sentences(rows)

    def _matrix(self, rows: Sequence[_Unit], part: int) -> sp.csr_matrix:
        entries = [
            (i, self._index[e], values[part])
            for i, row in enumerate(rows)
            for e, values in sorted(row.mentions.items())
        ]
        table = np.array(entries, dtype=np.int64).reshape(-1, 3)
        shape = (self.n_units, self.n_entities)
        return sp.csr_matrix((table[:, 2].astype(np.int32), (table[:, 0], table[:, 1])), shape=shape)

    def _sentences(self, rows: Sequence[_Unit]) -> sp.csr_matrix:
        starts = np.cumsum([0, *(row.n_sentences for row in rows)])
        cells = sorted(
            {
                (int(starts[i]) + s, self._index[e])
                for i, row in enumerate(rows)
                for s, named in enumerate(row.sentences)
                for e in named
                if e in self._index
            }
        )
        table = np.array(cells, dtype=np.int64).reshape(-1, 2)
        shape = (int(starts[-1]), self.n_entities)
        return sp.csr_matrix((np.ones(len(table), dtype=np.int8), (table[:, 0], table[:, 1])), shape=shape)

    def entities(self, canonical: Sequence[str]) -> list[int]:
        """Index of each canonical form, -1 where no unit of the base mentions it. One that no unit here mentions comes last."""
        known = self._views.entities([c for c in canonical if c not in self._index])
        if self.n_units:  # numbers outside of the matrices would be no use to a walk
            return [self._index.get(c, -1) for c in canonical]
        for c in canonical:
            if c in known and c not in self._index:
                self._index[c] = len(self._ids)
                self._ids.append(c)
        return [self._index.get(c, -1) for c in canonical]

    def entity_ids(self, entities: Sequence[int]) -> list[str]:
        """Canonical forms."""
        return [self._ids[e] for e in entities]

    def entity_names(self, entities: Sequence[int]) -> list[str]:
        """Display names."""
        ids = self.entity_ids(entities)
        known = self._views.entities(ids)
        return [known.get(i, (0, 0, ""))[2] for i in ids]

    def is_title(self, canonical: Sequence[str]) -> list[bool]:
        """Whether each canonical form is a title form of a visible document or heading."""
        return self._views.is_title(canonical)

    def unit_pages(self) -> Sequence[tuple[str, int]]:
        """(id, page) of the units here that lie on a page of a document of several."""
        return self._placed

    def unit_ids(self, units: Sequence[int]) -> list[str]:
        """Ids of units."""
        return self._table.unit_ids(units)

    def units_by_id(self, ids: Sequence[str]) -> list[int]:
        """Index of each unit id, -1 where the view has no such unit."""
        return self._table.units_by_id(ids)

    def filename_units(self, words: Sequence[str]) -> dict[str, IntArray]:
        """For each word, the units, ascending, of the documents one of whose file names has it; missing words are absent."""
        out = {}
        for word in words:
            units = sorted({u for u in self._table.units_by_id(list(self._files.get(word, ()))) if u >= 0})
            if units:
                out[word] = np.array(units, dtype=np.int64)
        return out
