"""Shortest paths by breadth-first search from both ends."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

Step = Callable[[str, Sequence[str]], Iterable[tuple[str, str, str, str]]]
"""step(label, ids) gives (id, edge type, neighbour, label of the neighbour) for each edge at ids, either direction."""


def shortest_path(
    step: Step, labels: Mapping[str, str], source: str, target: str, max_hops: int
) -> list[list[str]] | None:
    """[[id, edge type that led to it], ...] from source to target over edges of any type and direction, or None.

    labels: the primary labels of source and target, as far as they exist. Of several shortest paths the one whose ids come
    first in code point order; of several edges between two nodes the type that comes first. The smaller of the two frontiers
    is expanded, so each edge is looked at no more than twice: O(V + E) time, O(V) ids in memory, and near a hub it is
    the other end that grows.
    """
    if source not in labels or target not in labels:
        return None
    if source == target:
        return [[source, ""]]
    sides = (_Side(source, labels[source]), _Side(target, labels[target]))
    for hops in range(1, max_hops + 1):
        ahead, behind = sides if len(sides[0].frontier) <= len(sides[1].frontier) else (sides[1], sides[0])
        if not ahead.frontier:
            return None
        ahead.expand(step)
        if ahead.frontier.keys() & behind.depth.keys():
            return _smallest(sides, hops)
    return None


class _Side:
    """What is known from one end: the depth of each node, and the edges that led one level on."""

    def __init__(self, start: str, label: str) -> None:
        self.depth = {start: 0}
        self.frontier = {start: label}
        self.links: dict[str, dict[str, str]] = {}
        """node -> {neighbour one level nearer to the start: smallest edge type}"""

    def expand(self, step: Step) -> None:
        level = max(self.depth[n] for n in self.frontier) + 1
        groups: dict[str, list[str]] = {}
        for node, label in self.frontier.items():
            groups.setdefault(label, []).append(node)
        new: dict[str, str] = {}
        for label in sorted(groups):
            for node, type_, other, other_label in step(label, groups[label]):
                if self.depth.setdefault(other, level) != level:
                    continue
                new[other] = other_label
                nearer = self.links.setdefault(other, {})
                nearer[node] = min(type_, nearer.get(node, type_))
        self.frontier = new


def _smallest(sides: tuple[_Side, _Side], hops: int) -> list[list[str]]:
    """The smallest path in code point order among those of `hops` edges, from the two half searches."""
    near, far = sides
    meeting = {n for n, d in near.depth.items() if far.depth.get(n, hops + 1) + d == hops}
    # Forward halves: which nodes of the source's side lie on a shortest path, and what may follow each.
    after: dict[str, dict[str, str]] = {}
    level, seen = set(meeting), set(meeting)
    while level:
        nearer: set[str] = set()
        for node in level:
            for before, type_ in near.links.get(node, {}).items():
                after.setdefault(before, {})[node] = type_
                nearer.add(before)
        level = nearer - seen
        seen |= nearer
    for node, onward in far.links.items():
        if near.depth.get(node, -1) + far.depth[node] == hops or node not in near.depth:
            after.setdefault(node, {}).update(onward)
    node = next(n for n, d in near.depth.items() if d == 0)
    path = [[node, ""]]
    for _ in range(hops):
        following = after[node]
        node = min(following)
        path.append([node, following[node]])
    return path
