"""Which way a walk took to a unit: the strongest chain of entities and units, told from the end backwards."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mmkg.algorithms.pagerank import Float64Array, WalkGraph


@dataclass(frozen=True, slots=True)
class Way:
    """A chain that ends at a unit. entities[i] leads to units[i]; units[-1] is the unit itself, so both have one entry a hop.

    mass: the walk's mass that arrives at the unit with this number of hops, damped as the walk damps it.
    """

    entities: tuple[int, ...]
    units: tuple[int, ...]
    mass: float


class Tracer:
    """Traces walks from one set of restart weights (n_entities,), up to max_hops units deep.

    The mass of each hop is computed once, when a unit needs it (O(edges) a hop); a trace looks only at the rows on its way. Mass leaves the
    walk at each step by the damping factor, so that a longer way must carry more to be the stronger one.
    """

    def __init__(self, graph: WalkGraph, restart: Float64Array, *, max_hops: int = 3, damping: float = 0.5) -> None:
        self._graph, self._max_hops, self._damping = graph, max_hops, damping
        self._entity_mass = [np.asarray(restart, dtype=np.float64)]
        self._unit_mass: list[Float64Array] = []

    def _units(self, hops: int) -> Float64Array:
        """(n_units,) the mass that reaches each unit with exactly this number of hops (from 1)."""
        while len(self._unit_mass) < hops:
            if self._unit_mass:
                self._entity_mass.append(self._damping * self._graph.gather(self._unit_mass[-1]))
            self._unit_mass.append(self._damping * self._graph.spread(self._entity_mass[-1]))
        return self._unit_mass[hops - 1]

    def trace(self, unit: int) -> Way | None:
        """The shortest way to the unit, or None if none is short enough.

        Backwards from the unit, each step takes the neighbour that sends the most mass; ties go to the smaller index, so
        the same base and question give the same way. No unit and no entity comes twice.
        """
        for hops in range(1, self._max_hops + 1):
            mass = float(self._units(hops)[unit])
            if mass > 0 and (way := self._back(unit, hops)) is not None:
                return Way(entities=way[0], units=way[1], mass=mass)
        return None

    def _back(self, unit: int, hops: int) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
        entities: list[int] = []
        units = [unit]
        for hop in range(hops - 1, -1, -1):
            around, share = self._graph.entities_of(units[-1])
            entity = _strongest(around, share * self._entity_mass[hop][around], entities)
            if entity is None:
                return None
            entities.append(entity)
            if hop > 0:
                holders, portion = self._graph.units_of(entity)
                before = _strongest(holders, portion * self._unit_mass[hop - 1][holders], units)
                if before is None:
                    return None
                units.append(before)
        return tuple(reversed(entities)), tuple(reversed(units))


def _strongest(nodes: npt.NDArray[np.int64], mass: Float64Array, taken: list[int]) -> int | None:
    """The node with the most mass, the first of equals, none that is taken; None if all mass is 0."""
    if not len(mass):
        return None
    best = int(mass.argmax())
    if int(nodes[best]) in taken:
        mass = np.where(np.isin(nodes, taken), 0.0, mass)
        best = int(mass.argmax())
    return int(nodes[best]) if mass[best] > 0 else None
