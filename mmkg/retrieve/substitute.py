"""Substitution: the question with what it describes replaced by what was found, scored only where that is spoken of.

"Who led the country that produced Hong Kong?" becomes, once a unit of the beam names Lichtenstein's home, "Who led the country that
produced X?" with the bridge entity X in place of the anchor, the name in the question that led to the beam.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mmkg.algorithms.pagerank import Float64Array
from mmkg.protocols import IntArray
from mmkg.retrieve.bridges import BeamUnit
from mmkg.retrieve.inquiry import Inquiry, cosines
from mmkg.retrieve.question import QuestionEntity

SOURCES = 4
"""Units of the beam that give bridges."""
BRIDGES = 8
"""Bridges of each."""
COMMON_SHARE, COMMON_FLOOR, COMMON_MOST = 0.03, 20, 300
"""Units that only mention a bridge are scored if they are at most COMMON_SHARE of all (+ COMMON_FLOOR), and at most COMMON_MOST."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """A changed question. source: place in the beam. bridge: the entity put in. near: how near the bridge's sentence is to
    what it replaces (a cosine)."""

    text: str
    source: int
    bridge: int
    near: float


def anchor_of(inquiry: Inquiry, one: BeamUnit, fallback: QuestionEntity | None) -> QuestionEntity | None:
    """The name in the question that led to a unit: its title, else the rarest one that it mentions, else `fallback`."""
    titles = set(one.titles.tolist())
    for entity in inquiry.entities:
        if entity.entity in titles:
            return entity
    held = set(inquiry.graph.entities_of(one.unit)[0].tolist())
    named = [e for e in inquiry.entities if e.entity in held]
    return min(named, key=lambda e: (int(inquiry.graph.df[e.entity]), e.start)) if named else fallback


def anchors_of(inquiry: Inquiry, beam: Sequence[BeamUnit]) -> list[QuestionEntity | None]:
    """The anchor of each unit of the beam. With one name in the question, that one serves for all."""
    only = inquiry.entities[0] if len(inquiry.entities) == 1 else None
    return [anchor_of(inquiry, one, only) for one in beam]


def bridges_of(inquiry: Inquiry, one: BeamUnit, near: Float64Array, k: int) -> list[tuple[int, float]]:
    """The k bridge entities of a unit with the largest `near` (one value for each of its entities), and its own title.

    A bridge is no year, not the unit's title, and named elsewhere or a title itself. The title counts as a bridge if the
    question does not name it; its nearness is the largest of the unit.
    """
    graph, links = inquiry.graph, inquiry.links
    asked = {e.entity for e in inquiry.entities}
    titles = one.titles.tolist()
    known = dict(zip(one.entities.tolist(), links.ids(one.entities.tolist()), strict=True))
    open_ = [
        (entity, float(value))
        for entity, value in zip(one.entities.tolist(), near.tolist(), strict=True)
        if entity not in titles and not known[entity].isdigit() and (graph.df[entity] > 1 or graph.titled[entity] > 0)
    ]
    chosen = sorted(open_, key=lambda item: (-item[1], item[0]))[:k]
    if titles and not asked & set(titles):
        own = max(titles, key=lambda e: (graph.idf[e], -e))
        chosen.append((own, max((v for _, v in open_), default=float(near.max()) if len(near) else 0.0)))
    return chosen


def substitutions(inquiry: Inquiry, beam: Sequence[BeamUnit]) -> list[Variant]:
    """The question with the anchor of each source replaced by each of its bridges; without an anchor the bridge is put before it."""
    out: list[Variant] = []
    for place, (one, anchor) in enumerate(zip(beam, anchors_of(inquiry, beam), strict=True)):
        if place == SOURCES:
            break
        chosen = bridges_of(inquiry, one, one.best, BRIDGES)
        names = inquiry.links.names([e for e, _ in chosen])
        for (entity, near), name in zip(chosen, names, strict=True):
            text = (
                f"{name}: {inquiry.question}" if anchor is None else replaced(inquiry, anchor.start, anchor.end, name)
            )
            out.append(Variant(text=text, source=place, bridge=entity, near=near))
    return out


def replaced(inquiry: Inquiry, start: int, end: int, name: str) -> str:
    """The question with a span replaced by a name."""
    return inquiry.question[:start] + name + inquiry.question[end:]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gated:
    """What variants say of the units that speak of their bridges.

    units: ascending. unit, sentence: (n,) largest cosine of a variant with the unit, and with a sentence of it that names the
    bridge (any, if the unit is about the bridge). joint: the largest of sentence cosine + nearness of the bridge.
    source, near: of the variant with the largest unit cosine. about: 1 / n if that bridge is its title. bridges: how many there are.
    """

    units: IntArray
    unit: Float64Array
    sentence: Float64Array
    joint: Float64Array
    source: IntArray
    near: Float64Array
    about: Float64Array
    bridges: IntArray


def scored(inquiry: Inquiry, variants: Sequence[Variant], own: Sequence[int]) -> Gated:
    """Score the variants where their bridges are spoken of. own: the unit of each source, which its own bridges do not raise."""
    texts = {text: i for i, text in enumerate(dict.fromkeys(v.text for v in variants))}
    bridges = sorted({v.bridge for v in variants})
    gates = _gates(inquiry, bridges)
    # Pairs of a variant and a unit that speaks of its bridge: few beside all variants times all units.
    of_bridge = np.searchsorted(bridges, [v.bridge for v in variants])
    by, pair = _spread(of_bridge, gates.unit_start)
    unit, about = gates.units[pair], gates.about[pair]
    source = np.array([v.source for v in variants], dtype=np.int64)
    open_ = unit != np.array(own, dtype=np.int64)[source[by]] if len(by) else np.zeros(0, dtype=bool)
    by, unit, about = by[open_], unit[open_], about[open_]
    if not len(unit):
        none, empty = np.zeros(0), np.zeros(0, dtype=np.int64)
        return Gated(
            units=empty, unit=none, sentence=none, joint=none, source=empty, near=none, about=none, bridges=empty
        )
    vectors, text = inquiry.vectors(list(texts)), np.array([texts[v.text] for v in variants])
    near = np.array([v.near for v in variants])
    units, row = np.unique(unit, return_inverse=True)
    products = cosines(inquiry.view.unit_vectors(inquiry.space, units), vectors)[row, text[by]]
    # The best variant of each unit, the first of equals.
    order = np.lexsort((by, -products, row))
    best = order[np.append(True, row[order][1:] != row[order][:-1])]
    spoken = np.unique(row * len(bridges) + of_bridge[by]) // len(bridges)

    said_by, pair = _spread(of_bridge, gates.sentence_start)
    sentence = gates.sentences[pair]
    holder = inquiry.view.sentence_unit[sentence].astype(np.int64)
    elsewhere = holder != np.array(own, dtype=np.int64)[source[said_by]]
    said_by, sentence, holder = said_by[elsewhere], sentence[elsewhere], holder[elsewhere]
    read, at = np.unique(sentence, return_inverse=True)
    each = cosines(inquiry.view.sentence_vectors(inquiry.space, read), vectors)[at, text[said_by]]
    best_sentence, best_joint = np.full(len(units), -1.0), np.full(len(units), -1.0)
    into = np.searchsorted(units, holder)
    np.maximum.at(best_sentence, into, each)
    np.maximum.at(best_joint, into, each + near[said_by])
    return Gated(
        units=units,
        unit=products[best],
        sentence=best_sentence,
        joint=best_joint,
        source=source[by[best]],
        near=near[by[best]],
        about=about[best],
        bridges=np.bincount(spoken, minlength=len(units)).astype(np.int64),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Gates:
    """Where bridges are spoken of. units, about: those of bridge j from unit_start[j] to unit_start[j + 1], and 1 / n where it is their
    title, else 0. sentences: the same by sentence_start, of these units alone: those that name it, and all of a unit about it."""

    units: IntArray
    about: Float64Array
    unit_start: IntArray
    sentences: IntArray
    sentence_start: IntArray


def _gates(inquiry: Inquiry, bridges: Sequence[int]) -> _Gates:
    links = inquiry.links
    most = min(COMMON_SHARE * inquiry.view.n_units + COMMON_FLOOR, COMMON_MOST)
    units: list[IntArray] = [np.zeros(0, dtype=np.int64)]
    abouts: list[Float64Array] = [np.zeros(0)]
    sentences: list[IntArray] = [np.zeros(0, dtype=np.int64)]
    for bridge in bridges:
        titled, share = links.units_about(bridge)
        rare = inquiry.graph.df[bridge] <= most
        gate = links.units_naming(bridge) if rare else titled[:COMMON_MOST]
        if inquiry.mask is not None:
            gate = gate[inquiry.mask[gate]]
        about = np.zeros(len(gate))
        naming = links.sentences_naming(bridge)
        if not rare or inquiry.mask is not None:
            naming = naming[_among(gate, inquiry.view.sentence_unit[naming])]
        held = _among(gate, titled)
        if held.any():
            about[np.searchsorted(gate, titled[held])] = share[held]
            naming = np.union1d(naming, links.sentences_of(titled[held])[0])
        units.append(gate)
        abouts.append(about)
        sentences.append(naming)
    return _Gates(
        units=np.concatenate(units),
        about=np.concatenate(abouts),
        unit_start=np.cumsum([len(u) for u in units]),
        sentences=np.concatenate(sentences),
        sentence_start=np.cumsum([len(s) for s in sentences]),
    )


def _spread(of_bridge: IntArray, start: IntArray) -> tuple[IntArray, IntArray]:
    """For each variant, by its bridge, all entries of that bridge: the variants and the places of the entries, pair by pair."""
    first = start[of_bridge]
    counts = start[of_bridge + 1] - first
    by = np.repeat(np.arange(len(of_bridge), dtype=np.int64), counts)
    return by, np.arange(len(by), dtype=np.int64) + (first - (np.cumsum(counts) - counts))[by]


def _among(ascending: IntArray, values: npt.NDArray[np.integer]) -> npt.NDArray[np.bool_]:
    """Which of the values are among some ascending ones."""
    if not len(ascending):
        return np.zeros(len(values), dtype=bool)
    found: npt.NDArray[np.bool_] = (
        ascending[np.minimum(np.searchsorted(ascending, values), len(ascending) - 1)] == values
    )
    return found
