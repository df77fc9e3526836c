"""The same random queries over the same random graphs on two graph stores: where they differ."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import Any

from mmkg.errors import MMKGError
from mmkg.protocols import GraphStore
from mmkg.testing.graph_store import dump
from mmkg.testing.random_cypher import RandomQuery, random_graph, random_query


@dataclass(frozen=True, slots=True)
class Comparison:
    """odd: a text for each query whose answers differ, or that a store refuses. empty: queries that find nothing on both."""

    odd: list[str]
    empty: int


def compare(first: GraphStore, second: GraphStore, *, queries: int = 300, graphs: int = 3) -> Comparison:
    """Load `graphs` random graphs in turn into both stores, and ask each its share of the queries.

    Raises AssertionError if the stores do not hold the same rows after loading.
    """
    odd: list[str] = []
    empty = 0
    for g in range(graphs):
        graph = random_graph(g)
        for store in (first, second):
            store.load(graph.nodes, graph.edges)
        assert dump(first) == dump(second)
        for seed in range(g, queries, graphs):
            query = random_query(seed)
            here, there = _answer(first, query), _answer(second, query)
            empty += here == there and not here[1]
            if here != there or isinstance(here, str):
                odd.append(f"{seed}: {query.text}\n   first:  {here}\n   second: {there}")
    return Comparison(odd, empty)


def _answer(store: GraphStore, query: RandomQuery) -> Any:
    """The rows in one form, or the kind of error."""
    try:
        result = store.query(query.text, query.parameters, timeout_s=30)
    except MMKGError as e:
        return f"{type(e).__name__}: {e}"
    rows = [json.dumps([_rounded(v) for v in row], sort_keys=True) for row in result.rows]
    return result.columns, rows if query.ordered else Counter(rows)


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 9)
    return [_rounded(v) for v in value] if isinstance(value, list) else value
