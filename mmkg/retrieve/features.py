"""What is known of each unit of a pool, as numbers that mean the same in every base: cosines, ratios, places, shares.

One column a feature, zero where a question or a unit has nothing to say. The ranker weighs them; their names are its contract.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mmkg.algorithms.pagerank import Float64Array
from mmkg.algorithms.terms import stem
from mmkg.protocols import FloatArray, IntArray
from mmkg.retrieve.bridges import BeamUnit
from mmkg.retrieve.inquiry import Inquiry, cosines
from mmkg.retrieve.substitute import Gated

Columns = dict[str, Float64Array]

FLOOR = 1e-4
"""Share of the largest mass below which a walk says nothing."""
ABSENT = 0.3
"""How far below the best a unit is taken to lie that no changed question was compared with."""
MOST_BRIDGES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """The candidates of a pass. units: ascending. vectors: (n, dim). sentences, rows: all sentences and the place of the unit of each.

    sentence_vectors: (n_sentences, dim). entity_rows, entities: all (unit place, entity) pairs.
    """

    units: IntArray
    vectors: FloatArray
    sentences: IntArray
    rows: IntArray
    sentence_vectors: FloatArray
    entity_rows: IntArray
    entities: IntArray

    def __len__(self) -> int:
        return len(self.units)

    def best(self, values: Float64Array) -> Float64Array:
        """(n,) the largest value of a unit's sentences, 0 without sentences. values: (n_sentences,)."""
        out = np.full(len(self.units), -np.inf)
        np.maximum.at(out, self.rows, values)
        return np.where(np.isfinite(out), out, 0.0)

    def over_entities(self, values: Float64Array) -> Float64Array:
        """(n,) sum over a unit's entities. values: one for each pair."""
        return np.bincount(self.entity_rows, weights=values, minlength=len(self.units)).astype(np.float64)

    def largest_entity(self, values: Float64Array) -> Float64Array:
        """(n,) the largest value of a unit's entities, at least 0."""
        out = np.zeros(len(self.units))
        np.maximum.at(out, self.entity_rows, values)
        return out


def read_pool(inquiry: Inquiry, units: IntArray) -> Pool:
    """The pool of these units (ascending, each once)."""
    sentences, rows = inquiry.links.sentences_of(units)
    held = [inquiry.graph.entities_of(u)[0] for u in units.tolist()]
    return Pool(
        units=units,
        vectors=inquiry.view.unit_vectors(inquiry.space, units),
        sentences=sentences,
        rows=rows,
        sentence_vectors=inquiry.view.sentence_vectors(inquiry.space, sentences),
        entity_rows=np.repeat(np.arange(len(units), dtype=np.int64), [len(h) for h in held]),
        entities=np.concatenate(held) if held else np.zeros(0, dtype=np.int64),
    )


def places(values: Float64Array, present: npt.NDArray[np.bool_] | None = None) -> Float64Array:
    """10 / (10 + place from 1) by value, largest first, equal values in one place; 0 where not present (default: above 0).

    >>> places(np.array([0.5, 0.9, 0.0, 0.5])).round(3).tolist()
    [0.833, 0.909, 0.0, 0.833]
    """
    held = values > 0 if present is None else present
    out = np.zeros(len(values))
    ascending = np.sort(values[held])
    above = len(ascending) - np.searchsorted(ascending, values[held], side="right")
    out[held] = 10.0 / (11.0 + above)
    return out


def below_best(values: Float64Array) -> Float64Array:
    """Each value minus the largest; 0 for an empty pool."""
    return values - values.max() if len(values) else values


def log_share(values: Float64Array, largest: float) -> Float64Array:
    """ln(value / largest + FLOOR) scaled to -1..0; all -1 if the largest is 0."""
    share = values / largest if largest > 0 else np.zeros(len(values))
    scaled: Float64Array = np.log(share + FLOOR) / -np.log(FLOOR)
    return scaled


def word_columns(inquiry: Inquiry, pool: Pool, held: npt.NDArray[np.bool_]) -> Columns:
    """BM25, and which of the question's words a unit and its title hold. held: (n_terms, n) of `Words.held`."""
    bm25 = inquiry.bm25[pool.units]
    total = float(inquiry.words.idf.sum()) or 1.0
    named, covered = _title_words(inquiry, pool, total)
    return {
        "bm25": bm25 / (bm25.max() or 1.0) if len(bm25) else bm25,
        "bm25_place": places(bm25),
        "cover": inquiry.words.idf @ held / total,
        "title_words": named,
        "title_cover": covered,
        "length": np.log1p(inquiry.view.unit_length[pool.units]) / 5.0,
    }


def vector_columns(inquiry: Inquiry, pool: Pool) -> Columns:
    """Cosines of the question with units and their sentences."""
    unit = cosines(pool.vectors, inquiry.query[None])[:, 0]
    each = cosines(pool.sentence_vectors, inquiry.query[None])[:, 0]
    best, second = two_best(pool, each)
    return {
        "dense": unit,
        "dense_gap": below_best(unit),
        "dense_place": places(unit),
        "sentence": best,
        "sentence_gap": below_best(best),
        "sentence_place": places(best),
        "two_sentences": (best + second) / 2.0,
    }


def two_best(pool: Pool, values: Float64Array) -> tuple[Float64Array, Float64Array]:
    """(n,) each: the largest and the second largest value of a unit's sentences; with one sentence both are its value."""
    best = np.zeros(len(pool))
    order = np.lexsort((-values, pool.rows))
    rows, ordered = pool.rows[order], values[order]
    first = np.flatnonzero(np.append(True, rows[1:] != rows[:-1])) if len(rows) else order
    best[rows[first]] = ordered[first]
    second = best.copy()
    after = first[first + 1 < len(rows)] + 1
    after = after[rows[after] == rows[after - 1]]
    second[rows[after]] = ordered[after]
    return best, second


def walk_columns(inquiry: Inquiry, pool: Pool, bridged: Float64Array, weight: float) -> Columns:
    """The walks: from the question's names (asked), from near sentences (near), from both, and from bridge entities too.

    weight: of the sentences in the walk from both.
    """
    out: Columns = {}
    walks = {
        "asked": inquiry.asked,
        "near": inquiry.near,
        "walk": inquiry.asked + weight * inquiry.near,
        "bridge": bridged,
    }
    for name, mass in walks.items():
        values = mass[pool.units]
        out[name] = log_share(values, float(mass.max()) if len(mass) else 0.0)
        out[f"{name}_place"] = places(values)
    return out


def name_columns(inquiry: Inquiry, pool: Pool) -> Columns:
    """Which of the question's names a unit mentions or is about."""
    seeds = inquiry.seeds
    asked = np.array([e.entity for e in inquiry.entities], dtype=np.int64)
    held = np.isin(pool.entities, asked)
    about = np.zeros(len(pool))
    if len(asked):
        titles = inquiry.links.titles[pool.units][:, asked]
        about = np.asarray(titles.max(axis=1).todense()).ravel()
    return {
        "is_asked": about,
        "names": pool.over_entities(np.where(held, seeds[pool.entities], 0.0)),
        "names_count": pool.over_entities(held.astype(np.float64)) / max(1, len(asked)),
        "entities": np.log1p(np.bincount(pool.entity_rows, minlength=len(pool))) / 3.0,
    }


def beam_columns(
    inquiry: Inquiry, pool: Pool, beam: Sequence[BeamUnit], held: npt.NDArray[np.bool_]
) -> tuple[Columns, list[Float64Array]]:
    """How a unit hangs together with the beam, and for each unit of the beam whether a bridge leads from it (0 or more).

    about: the unit is what a sentence of the beam names; reverse: it names what a unit of the beam is about; shared: they name
    the same rare things; residual: it holds the question's words that a unit of the beam lacks.
    """
    graph, n = inquiry.graph, len(pool)
    idf = graph.idf[pool.entities]
    most = float(np.log(graph.n_units + 1)) or 1.0
    share = (
        np.asarray(inquiry.links.titles[pool.units].tocsr()[pool.entity_rows, pool.entities]).ravel()
        if len(pool.entities)
        else np.zeros(0)
    )
    carries = graph.carries[pool.entities]
    out: Columns = {
        name: np.zeros(n)
        for name in (
            "about",
            "about_near",
            "about_count",
            "about_idf",
            "reverse",
            "reverse_count",
            "shared",
            "in_beam",
            "residual",
            "residual_linked",
        )
    }
    total = float(inquiry.words.idf.sum()) or 1.0
    links: list[Float64Array] = []
    for one in beam:
        decay = 1.0 / (1.0 + 0.3 * one.rank)
        others = pool.units != one.unit
        near = np.zeros(len(pool.entities))
        at = np.searchsorted(one.entities, pool.entities)
        if len(one.entities):
            at = np.minimum(at, len(one.entities) - 1)
            hit = one.entities[at] == pool.entities
            near = np.where(hit, np.maximum(one.best[at], 0.0), 0.0)
        linked = near > 0
        about = pool.largest_entity(share * linked) * others
        out["about"] = np.maximum(out["about"], decay * about)
        out["about_near"] = np.maximum(out["about_near"], pool.largest_entity(share * near) * others)
        out["about_count"] += about > 0
        out["about_idf"] = np.maximum(
            out["about_idf"], pool.largest_entity(np.where(linked, share * idf / most, 0.0)) * others
        )
        back = pool.over_entities((np.isin(pool.entities, one.titles) & (share == 0)).astype(np.float64)) * others
        out["reverse"] = np.maximum(out["reverse"], decay * np.minimum(back, 1.0))
        out["reverse_count"] += back > 0
        shared = pool.over_entities(np.where(carries, idf / most * near, 0.0)) * others
        out["shared"] = np.maximum(out["shared"], decay * np.log1p(shared))
        out["in_beam"] += np.where(others, 0.0, 10.0 / (11.0 + one.rank))
        lacking = ~inquiry.words.held(np.array([one.unit], dtype=np.int64))[:, 0]
        rest = (inquiry.words.idf * lacking) @ held / total * others
        link = np.maximum(pool.largest_entity(share * near), np.minimum(back, 1.0)) * others
        if one.rank < 3:
            out["residual"] = np.maximum(out["residual"], rest)
        out["residual_linked"] = np.maximum(out["residual_linked"], np.where((link > 0) | (shared > 0), rest, 0.0))
        links.append(np.maximum(link, np.minimum(shared, 1.0)))
    out["about_count"] = np.minimum(out["about_count"], MOST_BRIDGES) / MOST_BRIDGES
    out["reverse_count"] = np.minimum(out["reverse_count"], MOST_BRIDGES) / MOST_BRIDGES
    return out, links


def bare_columns(pool: Pool, vector: FloatArray, links: Sequence[Float64Array]) -> Columns:
    """The question without what it starts from (dim,): its cosines, and the best of what the beam leads on to."""
    unit = cosines(pool.vectors, vector[None])[:, 0]
    sentence = pool.best(cosines(pool.sentence_vectors, vector[None])[:, 0])
    linked = np.zeros(len(pool))
    for link in links:
        linked = np.maximum(linked, np.minimum(link, 1.0) * np.maximum(sentence, 0.0))
    return {
        "bare_unit": unit,
        "bare_unit_gap": below_best(unit),
        "bare_sentence": sentence,
        "bare_sentence_gap": below_best(sentence),
        "bare_linked": linked,
        "bare_linked_place": places(linked),
    }


def variant_columns(
    prefix: str, inquiry: Inquiry, pool: Pool, gated: Gated, plain: Mapping[str, Float64Array], beam: Sequence[BeamUnit]
) -> Columns:
    """What changed questions say. plain: columns of `vector_columns`, for the gain over the question itself."""
    n = len(pool)
    names = (
        "unit",
        "unit_gap",
        "unit_place",
        "unit_gain",
        "sentence",
        "sentence_gap",
        "sentence_place",
        "sentence_gain",
        "joint",
        "joint_gap",
        "joint_place",
        "source",
        "near",
        "about",
        "bridges",
    )
    out = {f"{prefix}_{name}": np.zeros(n) for name in names}
    for name in ("unit_gap", "sentence_gap", "joint_gap"):
        out[f"{prefix}_{name}"] -= ABSENT
    if not len(gated.units) or not n:
        return out
    at = np.minimum(np.searchsorted(gated.units, pool.units), len(gated.units) - 1)
    present = gated.units[at] == pool.units
    for name, values, own in (
        ("unit", gated.unit, plain["dense"]),
        ("sentence", gated.sentence, plain["sentence"]),
        ("joint", gated.joint, None),
    ):
        said = present & (values[at] > -1.0)
        mine = np.where(said, values[at], 0.0)
        largest = float(values.max())
        out[f"{prefix}_{name}"] = mine
        out[f"{prefix}_{name}_gap"] = np.where(said, np.maximum(mine - largest, -ABSENT), -ABSENT)
        out[f"{prefix}_{name}_place"] = places(mine, said)
        if own is not None:
            out[f"{prefix}_{name}_gain"] = np.where(said, mine - own, 0.0)
    rank = np.array([10.0 / (11.0 + b.rank) for b in beam])
    out[f"{prefix}_source"] = np.where(present, rank[gated.source[at]], 0.0)
    out[f"{prefix}_near"] = np.where(present, gated.near[at], 0.0)
    out[f"{prefix}_about"] = np.where(present, gated.about[at], 0.0)
    out[f"{prefix}_bridges"] = np.where(present, np.minimum(gated.bridges[at], MOST_BRIDGES) / MOST_BRIDGES, 0.0)
    return out


def order_columns(name: str, pool: Pool, units: IntArray, scores: Float64Array | None = None) -> Columns:
    """The places of an order so far; with scores also how far each lies below the best."""
    place = {int(u): i for i, u in enumerate(units.tolist())}
    at = np.array([place.get(u, -1) for u in pool.units.tolist()], dtype=np.int64)
    out = {f"{name}_place": np.where(at >= 0, 10.0 / (11.0 + at), 0.0)}
    if scores is not None:
        lowest = float(scores.min() - scores.max()) if len(scores) else 0.0
        gap = np.where(at >= 0, scores[at] - scores.max(), lowest) if len(scores) else np.zeros(len(pool))
        out[f"{name}_gap"] = np.maximum(gap, -10.0) / 10.0
    return out


def _title_words(inquiry: Inquiry, pool: Pool, total: float) -> tuple[Float64Array, Float64Array]:
    """(n,) each: the largest share of a title's words that the question has, and of the question's weight that a title has."""
    asked = dict(zip(inquiry.words.terms, inquiry.words.idf.tolist(), strict=True))
    titles = inquiry.links.titles
    named, covered = np.zeros(len(pool)), np.zeros(len(pool))
    spans = [titles.indices[titles.indptr[u] : titles.indptr[u + 1]].tolist() for u in pool.units.tolist()]
    words = inquiry.links.words([e for span in spans for e in span])
    initials = {term[0] for term in asked}
    at = 0
    for i, span in enumerate(spans):
        for _ in span:
            # Stemming costs more than all else here, and a word of another first letter is another term unstemmed.
            held = {stem(w) if w[0] in initials else w for w in words[at]}
            at += 1
            both = [w for w in held if w in asked]
            if both:
                named[i] = max(named[i], len(both) / len(held))
                covered[i] = max(covered[i], sum(asked[w] for w in sorted(both)) / total)
    return named, covered
