"""Personalised PageRank on the bipartite graph of units and entities: the walk that carries a question over several hops."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

Float64Array = npt.NDArray[np.float64]

TITLE_BONUS = 2.0
"""A title edge of one unit alone weighs three times a mention; shared by n units, 1 + 2 / n times.

The factor is 3 for n = 1 and sinks towards 1: under a title shared by a whole book, each chunk keeps the weight of a plain
mention, so that the title stays a way in without becoming a hub that outweighs what the chunks themselves say.
"""
HUB_SHARE = 0.02
"""Entities in more than this share of the units (but at least HUB_FLOOR units) carry no walk."""
HUB_FLOOR = 5
PUSH_SHARE = 5
"""From a fifth of all entries on, one product with the whole matrix costs less than picking them out."""


@dataclass(frozen=True, slots=True)
class Walk:
    """What a walk gave: x of the units (n_units, c) and of the entities (n_entities, c), c restart columns."""

    units: Float64Array
    entities: Float64Array


class WalkGraph:
    """The incidence of units and entities, prepared once for all walks on it.

    Weight of an edge: w(p, e) = (1 + ln tf) x (1 + 2 / n), where tf is the number of mentions (at least 1) and n the number of
    units that share the title or heading that names e; without such a title the second factor is 1.
    idf(e) = ln((N + 1) / df(e)), df counted over the N units (for documents cut into many chunks: over chunks, not documents).
    From units to entities the walk follows w x idf, rows normalised, and only to entities with 2 <= df <= max(5, 0.02 N):
    a name seen once leads nowhere, a name seen everywhere leads anywhere. Both may still be where a walk starts. From entities
    to units it follows w, columns normalised.

    titled: (n_entities,) in 0..1, how much an entity is the title of single units: 1 / n for its least shared title.

    mentions: (n_units, n_entities) counts. title_share: the same shape, 0 or n; an entity may be there without a mention.
    whole: of a base of which the matrices are a part, its number of units N and (n_entities,) df; idf, hubs and shares are then its.
    Costs O(edges) to build and holds about 50 bytes an edge. Raises ValueError if the shapes differ.
    Method: personalised PageRank of Haveliwala (WWW 2002), over the passage-entity graph of Gutierrez et al. (HippoRAG, 2024).
    """

    def __init__(
        self,
        mentions: sp.csr_matrix,
        title_share: sp.csr_matrix,
        *,
        whole: tuple[int, npt.NDArray[np.integer]] | None = None,
    ) -> None:
        if mentions.shape != title_share.shape:
            raise ValueError(f"mentions is {mentions.shape} but title_share is {title_share.shape}")
        self.n_units, self.n_entities = (int(n) for n in mentions.shape)
        weights = _edge_weights(mentions, title_share)
        here: npt.NDArray[np.int64] = np.bincount(weights.indices, minlength=self.n_entities).astype(np.int64)
        n_units, self.df = self.n_units, here
        if whole is not None:
            n_units, self.df = whole[0], np.maximum(np.asarray(whole[1], dtype=np.int64), here)
        with np.errstate(divide="ignore"):
            self.idf: Float64Array = np.where(self.df > 0, np.log((n_units + 1) / np.maximum(self.df, 1)), 0.0)
        self.titled: Float64Array = _titled(title_share)
        self.carries: npt.NDArray[np.bool_] = (self.df >= 2) & (self.df <= max(HUB_FLOOR, HUB_SHARE * n_units))
        column_sums = np.bincount(weights.indices, weights=weights.data, minlength=self.n_entities)
        # What an entity gives to units outside of a part is lost to them, as in the whole.
        outside: Float64Array = self.df / np.maximum(here, 1)
        self._to_units = weights.copy()
        self._to_units.data = weights.data / (column_sums * outside)[weights.indices]
        self._to_units_by_entity: sp.csc_matrix = self._to_units.tocsc()

        # Only entities that carry the walk ever change after the first step, so the loop runs on their columns alone.
        self.carriers: npt.NDArray[np.int64] = np.flatnonzero(self.carries)
        self._carrier_of = np.full(self.n_entities, -1, dtype=np.int64)
        self._carrier_of[self.carriers] = np.arange(len(self.carriers))
        self._inner = self._to_units_by_entity[:, self.carriers].tocsr()
        back = weights.tocsc()[:, self.carriers].tocsr()
        back.data = back.data * self.idf[self.carriers][back.indices]
        row_sums = np.asarray(back.sum(axis=1)).ravel()
        back.data = back.data / np.repeat(np.where(row_sums > 0, row_sums, 1.0), np.diff(back.indptr))
        self._to_carriers: sp.csr_matrix = back.T.tocsr()
        self._from_unit: sp.csr_matrix = back

    def run(self, restart: Float64Array, *, damping: float = 0.5, iterations: int = 12) -> Walk:
        """Walk from the restart weights of the entities: (n_entities,) or (n_entities, c) for c walks at once.

        x_e = (1 - damping) r + damping P x_p ; x_p = damping E x_e, started at P x_p = 0. Restart at entities only. Columns are
        not normalised here: the walk is linear in r, so a weighted sum of seeds gives the weighted sum of walks.
        O(iterations x edges of carrying entities x c). The products run on one thread in a fixed order, so the same input
        gives the same bits whatever the number of threads. Raises ValueError if the shape does not fit.
        """
        r = np.asarray(restart, dtype=np.float64)
        if r.ndim == 1:
            r = r[:, None]
        if r.ndim != 2 or r.shape[0] != self.n_entities:
            raise ValueError(f"expected restart weights ({self.n_entities}, c), got {np.shape(restart)}")
        seeds = np.flatnonzero(r.any(axis=1))
        entities = np.zeros_like(r)
        entities[seeds] = (1.0 - damping) * r[seeds]
        inner_restart = entities[self.carriers]
        from_outer = self._spread_outer(entities, seeds)
        inner = inner_restart
        units: Float64Array = damping * (self._inner @ inner + from_outer)
        for _ in range(iterations - 1):
            inner = inner_restart + damping * (self._to_carriers @ units)
            units = damping * (self._inner @ inner + from_outer)
        entities[self.carriers] = inner_restart + damping * (self._to_carriers @ units)
        return Walk(units=units, entities=entities)

    def push(
        self, restart: Float64Array, *, damping: float = 0.5, iterations: int = 12, tolerance: float = 1e-6
    ) -> Float64Array:
        """(n_units,) the x_p of `run` for one restart vector (n_entities,), within a tolerance, at the cost of what it reaches.

        Only the change of a step is carried on, and of it only what lies above the tolerance (weights of the restart sum to 1). Since a step
        keeps a quarter of the mass (damping 0.5), at most 1 / (4 tolerance) units are ever live, whatever the size of the base: O(that x mentions
        a unit x iterations), and never more than `run` by much, for a step that reaches a large part of the graph is one product
        of matrices. What is left out lies below 1e-3 of the largest mass (measured: 1e-4 at 100,000 units), where no order is told.
        One thread, fixed order: the same input gives the same bits. Raises ValueError if the shape does not fit.
        Method: the forward push of Andersen, Chung and Lang (FOCS 2006), step by step instead of from a queue.
        """
        r = np.asarray(restart, dtype=np.float64)
        if r.shape != (self.n_entities,):
            raise ValueError(f"expected restart weights ({self.n_entities},), got {r.shape}")
        many = self._inner.nnz // PUSH_SHARE
        seeds = np.flatnonzero(r)
        step = _from_columns(self._to_units_by_entity, seeds, (1.0 - damping) * damping * r[seeds], self.n_units)
        mass: Float64Array = step.copy()
        for _ in range(iterations - 1):
            live = np.flatnonzero(step > tolerance)
            if not len(live):
                break
            held = damping * step[live]
            if _entries(self._from_unit, live) < many:
                inner = _from_columns(self._from_unit, live, held, len(self.carriers))
            else:
                inner = self._to_carriers @ _only(live, held, self.n_units)
            live = np.flatnonzero(inner > tolerance)
            held = damping * inner[live]
            if _entries(self._to_units_by_entity, self.carriers[live]) < many:
                step = _from_columns(self._to_units_by_entity, self.carriers[live], held, self.n_units)
            else:
                step = self._inner @ _only(live, held, len(self.carriers))
            mass += step
        return mass

    def spread(self, entities: Float64Array) -> Float64Array:
        """One step from entities (n_entities,) to units (n_units,), without damping."""
        outer = self._spread_outer(entities[:, None], np.flatnonzero(entities))[:, 0]
        out: Float64Array = self._inner @ entities[self.carriers] + outer
        return out

    def _spread_outer(self, entities: Float64Array, held: npt.NDArray[np.int64]) -> Float64Array:
        """(n_units, c) the step from those of the held entities that carry no walk."""
        outer = held[~self.carries[held]]
        out: Float64Array = self._to_units_by_entity[:, outer] @ entities[outer]
        return out

    def gather(self, units: Float64Array) -> Float64Array:
        """One step from units (n_units,) to the entities that carry the walk (n_entities,), without damping."""
        out = np.zeros(self.n_entities)
        out[self.carriers] = self._to_carriers @ units
        return out

    def entities_of(self, unit: int) -> tuple[npt.NDArray[np.int64], Float64Array]:
        """Entities of a unit, ascending, and the share of each entity's mass that goes to the unit."""
        a, b = self._to_units.indptr[unit], self._to_units.indptr[unit + 1]
        return self._to_units.indices[a:b].astype(np.int64), self._to_units.data[a:b]

    def units_of(self, entity: int) -> tuple[npt.NDArray[np.int64], Float64Array]:
        """Units of an entity, ascending, and the share of each unit's mass that goes to it (0 if it carries no walk)."""
        carrier = self._carrier_of[entity]
        if carrier < 0:
            a, b = self._to_units_by_entity.indptr[entity], self._to_units_by_entity.indptr[entity + 1]
            return self._to_units_by_entity.indices[a:b].astype(np.int64), np.zeros(b - a)
        a, b = self._to_carriers.indptr[carrier], self._to_carriers.indptr[carrier + 1]
        return self._to_carriers.indices[a:b].astype(np.int64), self._to_carriers.data[a:b]


def _entries(matrix: sp.csr_matrix | sp.csc_matrix, vectors: npt.NDArray[np.int64]) -> int:
    """How many entries these rows of a CSR matrix, or columns of a CSC one, hold."""
    return int((matrix.indptr[vectors + 1] - matrix.indptr[vectors]).sum())


def _from_columns(
    matrix: sp.csr_matrix | sp.csc_matrix, vectors: npt.NDArray[np.int64], weights: Float64Array, n: int
) -> Float64Array:
    """(n,) the weighted sum of these rows of a CSR matrix, or columns of a CSC one; reads no others."""
    starts = matrix.indptr[vectors].astype(np.int64)
    counts = matrix.indptr[vectors + 1] - starts
    own = np.repeat(np.arange(len(vectors)), counts)
    at = np.arange(len(own)) + (starts - (np.cumsum(counts) - counts))[own]
    return np.bincount(matrix.indices[at], weights=matrix.data[at] * weights[own], minlength=n).astype(np.float64)


def _only(live: npt.NDArray[np.int64], values: Float64Array, n: int) -> Float64Array:
    out = np.zeros(n)
    out[live] = values
    return out


def _edge_weights(mentions: sp.csr_matrix, title_share: sp.csr_matrix) -> sp.csr_matrix:
    """(n_units, n_entities) float64: w of every pair that has a mention or a title, indices sorted, no explicit zeros."""
    counts, shares = _clean(mentions), _clean(title_share)
    counts.data = 1.0 + np.log(counts.data)
    only_titled = shares.astype(bool).astype(np.float64) - shares.astype(bool).multiply(counts.astype(bool)).astype(
        np.float64
    )
    base = (counts + only_titled).tocsr()
    shares.data = TITLE_BONUS / shares.data
    weights = (base + base.multiply(shares)).tocsr()
    weights.eliminate_zeros()
    weights.sort_indices()
    return weights


def _titled(title_share: sp.csr_matrix) -> Float64Array:
    """(n_entities,) 1 / n of the title that names the entity and is shared by the fewest units, 0 where none names it."""
    shares = _clean(title_share)
    out = np.zeros(shares.shape[1])
    np.maximum.at(out, shares.indices, 1.0 / shares.data)
    return out


def _clean(matrix: sp.csr_matrix) -> sp.csr_matrix:
    out = sp.csr_matrix(matrix, dtype=np.float64, copy=True)
    out.sum_duplicates()
    out.eliminate_zeros()
    return out
