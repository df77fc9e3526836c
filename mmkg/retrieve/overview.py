"""What a base is about as a whole: communities of its entities, each with the units and sentences at its centre.

Entities that share sentences belong together. A sentence of k entities gives each pair 1 / (k - 1), a unit half of that (Newman's
weights: a long list ties its members weakly); names that stand in most units tie everything and are left out. Louvain groups the
rest. Nothing here needs vectors or a model; all of it follows from one generation's arrays.

References: Newman, Phys. Rev. E 64, 016132 (2001), for the weights; Blondel et al. (mmkg.algorithms.communities), for the groups.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from mmkg.algorithms.communities import louvain
from mmkg.algorithms.pagerank import Float64Array
from mmkg.protocols import IndexView, IntArray

VERSION = 1
"""Of the rules here: what another version found is made anew."""
HUB_SHARE, HUB_LEAST = 0.2, 8
"""An entity in more than this share of the units, and in more than this many, ties everything to everything."""
UNIT_WEIGHT = 0.5
LONGEST_LIST = 60
"""Entities of a sentence or unit beyond which it is a register, not a statement."""
NAMES, UNITS = 12, 8
"""Names and units that are kept of a community."""
LEAST = 3
"""Entities and units of a community worth telling; in a base where none has as many, two."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Community:
    """A theme of the base. number: from 1, by the number of units that are mostly about it.

    entities: (id, name) of the most central ones. units: ids of the most central units, best first; sentences: for each of them the
    ordinal of its most central sentence, -1 for one without.
    """

    number: int
    entities: tuple[tuple[str, str], ...]
    n_entities: int
    n_units: int
    n_documents: int
    units: tuple[str, ...]
    sentences: tuple[int, ...]

    @property
    def name(self) -> str:
        """Its three most central names, none of which says another again."""
        chosen: list[str] = []
        for _, name in self.entities:
            if not any(name.casefold() in c.casefold() or c.casefold() in name.casefold() for c in chosen):
                chosen.append(name)
        return ", ".join(chosen[:3])

    def to_json(self) -> dict[str, Any]:
        return {
            "number": self.number,
            "name": self.name,
            "entities": [{"id": i, "name": n} for i, n in self.entities],
            "n_entities": self.n_entities,
            "n_units": self.n_units,
            "n_documents": self.n_documents,
            "units": list(self.units),
            "sentences": list(self.sentences),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Community:
        """The inverse of to_json. Raises KeyError, TypeError or ValueError for another form."""
        return cls(
            number=int(value["number"]),
            entities=tuple((str(e["id"]), str(e["name"])) for e in value["entities"]),
            n_entities=int(value["n_entities"]),
            n_units=int(value["n_units"]),
            n_documents=int(value["n_documents"]),
            units=tuple(map(str, value["units"])),
            sentences=tuple(map(int, value["sentences"])),
        )


def fingerprint(view: IndexView) -> str:
    """Of all that communities follow from: equal for two generations, on any store, only if their communities are. O(index)."""
    total = hashlib.sha256(f"{VERSION} {view.n_units} {view.n_entities}".encode())
    total.update("\n".join(view.unit_ids(range(view.n_units))).encode())
    for matrix in (view.mentions, view.sentence_entities):
        total.update(np.ascontiguousarray(matrix.indptr, dtype="<i8").tobytes())
        total.update(np.ascontiguousarray(matrix.indices, dtype="<i8").tobytes())
    return total.hexdigest()


def communities(view: IndexView, *, seed: int = 0) -> list[Community]:
    """The themes of a generation, the largest first. Time: a sparse product over the sentences, and Louvain over the heaviest edges."""
    weights, members = entity_weights(view)
    groups = louvain(weights, seed=seed)
    if not groups:
        return []
    label = np.full(view.n_entities, -1, dtype=np.int64)
    for g, group in enumerate(groups):
        label[members[group]] = g
    inside = _strengths(weights, members, label, view.n_entities)
    held = sp.csr_matrix(view.mentions, dtype=np.float64, copy=True)
    held.data = np.ones(len(held.data))
    by_group = _group_matrix(label, inside, len(groups))
    shares = np.asarray((held @ by_group).todense()) if len(groups) <= 64 else held @ by_group
    theme = _theme_of(shares, view.n_units)
    counts = np.bincount(theme[theme >= 0], minlength=len(groups))
    least = LEAST if any(len(g) >= LEAST and counts[i] >= LEAST for i, g in enumerate(groups)) else 2
    chosen = [i for i, g in enumerate(groups) if len(g) >= least and counts[i] >= least]
    chosen.sort(key=lambda i: (-int(counts[i]), int(members[groups[i][0]])))
    found = []
    for number, g in enumerate(chosen, 1):
        entities = members[groups[g]]
        order = entities[np.lexsort((entities, -inside[entities]))][:NAMES]
        units = np.flatnonzero(theme == g)
        central = _central(view, shares, units, g)
        found.append(
            Community(
                number=number,
                entities=tuple(zip(view.entity_ids(order.tolist()), view.entity_names(order.tolist()), strict=True)),
                n_entities=len(entities),
                n_units=len(units),
                n_documents=len(np.unique(view.unit_document[units])),
                units=tuple(view.unit_ids(central.tolist())),
                sentences=tuple(_best_sentence(view, int(u), label, inside, g) for u in central),
            )
        )
    return found


def entity_weights(view: IndexView) -> tuple[sp.csr_matrix, IntArray]:
    """((m, m) weights between entities, (m,) which entities of the view they are)."""
    df = np.asarray(view.entity_unit_df)
    hubs = df > max(HUB_LEAST, HUB_SHARE * view.n_units)
    members = np.flatnonzero((df >= 2) & ~hubs)
    # Years and numbers stand beside everything and name no theme.
    worded = [any(c.isalpha() for c in i) for i in view.entity_ids(members.tolist())]
    members = members[np.array(worded, dtype=bool)]
    total = sp.csr_matrix((len(members), len(members)), dtype=np.float64)
    for matrix, weight in ((view.sentence_entities, 1.0), (view.mentions, UNIT_WEIGHT)):
        part = sp.csr_matrix(matrix[:, members], dtype=np.float64)
        part.data = np.ones(len(part.data))
        per_row = np.diff(part.indptr)
        rows = np.flatnonzero((per_row >= 2) & (per_row <= LONGEST_LIST))
        part = part[rows]
        total = total + weight * (part.T @ sp.diags(1.0 / (per_row[rows] - 1.0)) @ part)
    total.setdiag(0.0)
    total.eliminate_zeros()
    return total.tocsr(), members.astype(np.int64)


def _strengths(weights: sp.csr_matrix, members: IntArray, label: IntArray, n: int) -> Float64Array:
    """(n,) weight of each entity towards its own community."""
    own = label[members]
    edges = weights.tocoo()
    same = own[edges.row] == own[edges.col]
    out = np.zeros(n)
    out[members] = np.bincount(edges.row[same], weights=edges.data[same], minlength=len(members))
    return out


def _group_matrix(label: IntArray, inside: Float64Array, n_groups: int) -> sp.csr_matrix:
    """(n_entities, n_groups): ln(1 + strength) of each entity in its community."""
    held = np.flatnonzero(label >= 0)
    return sp.csr_matrix((np.log1p(inside[held]), (held, label[held])), shape=(len(label), n_groups))


def _theme_of(shares: Any, n_units: int) -> npt.NDArray[np.int64]:
    """(n_units,) the community that most of a unit's entities belong to, by strength; -1 for none. Ties to the larger community."""
    if not sp.issparse(shares):
        best = np.asarray(np.asarray(shares).argmax(axis=1), dtype=np.int64)
        best[np.asarray(shares).max(axis=1) <= 0] = -1
        return best
    out = np.full(n_units, -1, dtype=np.int64)
    rows = shares.tocsr()
    rows.sort_indices()
    for u in range(n_units):
        a, b = rows.indptr[u], rows.indptr[u + 1]
        if b > a:
            out[u] = rows.indices[a + int(rows.data[a:b].argmax())]
    return out


def _column(shares: Any, units: IntArray, g: int) -> tuple[Float64Array, Float64Array]:
    """(of community g, of all communities) for these units."""
    part = shares[units]
    if sp.issparse(part):
        return np.asarray(part[:, [g]].todense()).ravel(), np.asarray(part.sum(axis=1)).ravel()
    return np.asarray(part)[:, g], np.asarray(part).sum(axis=1)


def _central(view: IndexView, shares: Any, units: IntArray, g: int) -> IntArray:
    """Its most central units: much of the community, little else, few words around; one a document while there are others."""
    mine, all_ = _column(shares, units, g)
    score = mine * (mine / np.maximum(all_, 1e-12)) / np.sqrt(20.0 + np.asarray(view.unit_length)[units])
    ranked = units[np.lexsort((units, -np.round(score, 12)))]
    _, first = np.unique(view.unit_document[ranked], return_index=True)
    leading = ranked[np.sort(first)]
    rest = ranked[~np.isin(ranked, leading)]
    return np.concatenate([leading, rest])[:UNITS].astype(np.int64)


def _best_sentence(view: IndexView, unit: int, label: IntArray, inside: Float64Array, g: int) -> int:
    """Ordinal of the unit's sentence that names most of the community, -1 if it has no sentences."""
    start, end = np.searchsorted(view.sentence_unit, [unit, unit + 1])
    best, at = -1.0, -1
    for s in range(int(start), int(end)):
        held = view.sentence_entities.indices[view.sentence_entities.indptr[s] : view.sentence_entities.indptr[s + 1]]
        own = held[label[held] == g]
        score = round(float(np.log1p(inside[own]).sum()), 9)
        if score > best:
            best, at = score, s - int(start)
    return at


def ordered(
    found: Sequence[Community], named: Sequence[str], near: Mapping[int, float] | None = None
) -> list[tuple[Community, float]]:
    """Communities for a question, best first, with a score: those that hold what it names, then those whose centre is near its
    words, larger ones before smaller ones.

    named: ids of entities that the question names. near: community number -> cosine of the question with its nearest central unit.
    """
    asked = set(named)
    level = float(np.median(list(near.values()))) if near else 0.0
    out = []
    for c in found:
        hold = sum(i in asked for i, _ in c.entities)
        above = max(0.0, (near or {}).get(c.number, level) - level)
        out.append((c, float(np.log1p(c.n_units)) * (1.0 + 4.0 * above) + 5.0 * hold))
    return sorted(out, key=lambda pair: (-round(pair[1], 9), pair[0].number))
