"""Communities of a weighted graph: groups with more weight inside than chance would put there."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

MOST_EDGES = 300_000
"""Edges that are looked at, the heaviest: what bounds time and memory on a large graph."""


def louvain(weights: sp.csr_matrix, *, resolution: float = 1.0, seed: int = 0) -> list[npt.NDArray[np.int64]]:
    """Groups of nodes by greedy modularity, the Louvain method; nodes without an edge are in none.

    weights: (n, n) symmetric, not negative; the diagonal is ignored. Returns ascending node indices, the groups by size, ties by
    their first node. The same weights and seed give the same groups. O(edges) a sweep, a few sweeps; networkx computes it.
    Reference: Blondel, Guillaume, Lambiotte and Lefebvre, J. Stat. Mech. 2008, P10008.

    >>> two = sp.block_diag([np.ones((3, 3)), np.ones((2, 2))]).tocsr()
    >>> [g.tolist() for g in louvain(two)]
    [[0, 1, 2], [3, 4]]
    """
    import networkx as nx

    upper = sp.triu(weights, k=1).tocoo()
    keep = np.flatnonzero(upper.data > 0)
    if len(keep) > MOST_EDGES:
        order = np.lexsort((upper.col[keep], upper.row[keep], -upper.data[keep]))
        keep = np.sort(keep[order[:MOST_EDGES]])
    graph: nx.Graph[int] = nx.Graph()
    rows, columns = upper.row[keep].tolist(), upper.col[keep].tolist()
    graph.add_nodes_from(sorted({*rows, *columns}))
    graph.add_weighted_edges_from(zip(rows, columns, upper.data[keep].tolist(), strict=True))
    if not graph:
        return []
    found = nx.community.louvain_communities(graph, weight="weight", resolution=resolution, seed=seed)
    groups = [np.array(sorted(group), dtype=np.int64) for group in found]
    return sorted(groups, key=lambda g: (-len(g), int(g[0])))
