"""The graph on both engines, one run: bulk load, upserts, hops, export to a sparse matrix, vector search, whole questions.

    python scripts/bench_graph.py --scale 0.02                       # the embedded engine alone
    eval "$(python scripts/neo4j_server.py start --export)"
    python scripts/bench_graph.py --scale 0.02 --neo4j               # both; the database must be empty, and is emptied

Scale 1 is 50,000 units, 300,000 entities, 750,000 MENTIONS and 500,000 CO_OCCURS, drawn with a long tail as real texts have it. The
graph is the same for every engine and run; it is drawn before the load is timed. It is loaded twice, into an empty store each time: the second
figure is that of a server that is warm.
Vectors: two sentences a unit (100,000 at scale 1) and one a unit, of 384 numbers;
a question is ranked by words, vectors and the walk, on the server with Neo4j's own indexes. Prints one JSON object; steps on stderr.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp
from bench_graph_search import Corpus, measure_search

from mmkg.protocols import GraphStore
from mmkg.store.embedded.graph import KGLiteStore
from mmkg.store.neo4j.address import Neo4jAddress
from mmkg.store.neo4j.connection import Connection, server_version
from mmkg.store.neo4j.graph import Neo4jGraph
from mmkg.types import Edge, GraphDelta, Node

UNITS, ENTITIES, MENTIONS, CO_OCCURS = 50_000, 300_000, 750_000, 500_000

TWO_HOPS = (
    "MATCH (e:Entity {id: $id})<-[:MENTIONS]-(u:Chunk)-[m:MENTIONS]->(f:Entity) "
    "WITH f.id AS id, count(*) AS n RETURN id, n ORDER BY n DESC, id LIMIT 20"
)
THREE_HOPS = (
    "MATCH (e:Entity {id: $id})-[r:CO_OCCURS]-(f:Entity) WITH f, r.count AS n, f.id AS fid ORDER BY n DESC, fid LIMIT 20 "
    "MATCH (f)<-[:MENTIONS]-(u:Chunk) WITH u, sum(n) AS s, u.id AS uid ORDER BY s DESC, uid LIMIT 50 "
    "MATCH (u)-[:MENTIONS]->(g:Entity) WITH g.id AS id, sum(s) AS t RETURN id, t ORDER BY t DESC, id LIMIT 20"
)


def nodes(scale: float) -> Iterator[Node]:
    for i in range(int(UNITS * scale)):
        yield Node(id=f"c{i}", label="Chunk", properties={"kind": "text", "order": i, "text": f"Passage {i}. " * 20})
    for i in range(int(ENTITIES * scale)):
        yield Node(id=f"e{i}", label="Entity", properties={"name": f"Name {i}", "kind": "", "df": 1})


def edges(scale: float) -> Iterator[Edge]:
    """Distinct pairs; a few entities are named everywhere, most once or twice."""
    rng = np.random.default_rng(7)
    units, entities = int(UNITS * scale), int(ENTITIES * scale)

    def tail(n: int) -> Any:
        return np.minimum((entities * rng.random(n) ** 3).astype(np.int64), entities - 1)

    n = int(MENTIONS * scale)
    pairs = np.unique(rng.integers(0, units, n) * entities + tail(n))
    for unit, entity in zip((pairs // entities).tolist(), (pairs % entities).tolist(), strict=True):
        yield _edge("MENTIONS", f"c{unit}", "Chunk", f"e{entity}", count=1, title=0)
    n = int(CO_OCCURS * scale)
    a, b = tail(n), tail(n)
    pairs = np.unique((np.minimum(a, b) * entities + np.maximum(a, b))[a != b])
    for one, other in zip((pairs // entities).tolist(), (pairs % entities).tolist(), strict=True):
        yield _edge("CO_OCCURS", f"e{one}", "Entity", f"e{other}", count=1)


def _edge(kind: str, source: str, label: str, target: str, **properties: int) -> Edge:
    return Edge(
        type=kind, source=source, target=target, source_label=label, target_label="Entity", properties=properties
    )


def measure(graph: GraphStore, scale: float, queries: int) -> dict[str, Any]:
    out: dict[str, Any] = {}
    rows, links = list(nodes(scale)), list(edges(scale))
    for name in ("first_load", "load"):  # a server just started compiles its code during the first
        seconds, n_edges = loaded(graph, rows, links)
        out[f"{name}_s"], out[f"{name}_edges_per_s"] = round(seconds, 2), round(n_edges / seconds)
        print(f"{name}: {out[f'{name}_edges_per_s']} edges/s", file=sys.stderr, flush=True)
    del rows, links
    entities = int(ENTITIES * scale)
    new = [Node(id=f"x{i}", label="Entity", properties={"name": f"New {i}", "df": 1}) for i in range(1000)]
    more = [
        _edge("MENTIONS", f"c{i % int(UNITS * scale)}", "Chunk", f"x{(i * 7) % 1000}", count=2, title=0)
        for i in range(10_000)
    ]
    seconds, _ = timed(
        lambda: graph.apply(GraphDelta(nodes=tuple(new), edges=tuple({(e.source, e.target): e for e in more}.values())))
    )
    out["upsert_1k_nodes_10k_edges_s"] = round(seconds, 2)
    rng = random.Random(3)
    seeds = [f"e{int(entities * rng.random() ** 2)}" for _ in range(queries)]
    for name, text in (("two_hops", TWO_HOPS), ("three_hops", THREE_HOPS)):
        graph.query(text, {"id": seeds[0]}, timeout_s=60)  # planned, and in memory
        times = [timed(lambda s=s, text=text: graph.query(text, {"id": s}, timeout_s=60))[0] for s in seeds]
        out[f"{name}_p50_ms"], out[f"{name}_p95_ms"] = (
            round(1000 * float(q), 1) for q in np.percentile(times, [50, 95])
        )
    seconds, matrix = timed(lambda: to_csr(graph))
    out["export_s"], out["export_edges"] = round(seconds, 2), int(matrix.nnz)
    print(json.dumps(out), file=sys.stderr, flush=True)
    units = int(UNITS * scale)
    pairs = [(int(e.source[1:]), int(e.target[1:])) for e in edges(scale) if e.type == "MENTIONS"]
    corpus = Corpus(units, entities, pairs)
    return out | measure_search(corpus, graph, queries, getattr(graph, "connection", None))


def loaded(graph: GraphStore, rows: Sequence[Node], links: Sequence[Edge]) -> tuple[float, int]:
    """Seconds, and how many edges."""
    graph.load([], [])
    gc.collect()
    gc.freeze()  # a million objects in lists would be looked at again and again
    seconds, _ = timed(lambda: graph.load(rows, links))
    gc.unfreeze()
    return seconds, len(links)


def to_csr(graph: GraphStore) -> sp.csr_matrix:
    """MENTIONS as units x entities."""
    units: dict[str, int] = {}
    names: dict[str, int] = {}
    rows, columns, counts = [], [], []
    for edge in graph.edges():
        if edge.type == "MENTIONS":
            rows.append(units.setdefault(edge.source, len(units)))
            columns.append(names.setdefault(edge.target, len(names)))
            counts.append(edge.properties["count"])
    return sp.csr_matrix((counts, (rows, columns)), shape=(len(units), len(names)))


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    started = time.perf_counter()
    result = work()
    return time.perf_counter() - started, result


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=0.02)
    parser.add_argument("--queries", type=int, default=50)
    parser.add_argument("--neo4j", action="store_true", help="also on the server of NEO4J_URI")
    given = parser.parse_args()
    report: dict[str, Any] = {"scale": given.scale, "units": int(UNITS * given.scale)}
    with KGLiteStore(spare=False) as embedded:
        report["embedded"] = measure(embedded, given.scale, given.queries)
    if given.neo4j:
        if "NEO4J_URI" not in os.environ:
            print('set NEO4J_URI: eval "$(python scripts/neo4j_server.py start --export)"', file=sys.stderr)
            return 2
        with Neo4jGraph(Connection(Neo4jAddress.parse(os.environ["NEO4J_URI"]))) as server:
            if server.connection.rows("MATCH (n) RETURN 1 AS x LIMIT 1"):
                print("the database is not empty; nothing was changed", file=sys.stderr)
                return 1
            report["server"] = server_version(server.connection)
            try:
                report["neo4j"] = measure(server, given.scale, given.queries)
            finally:
                server.clear()
                for label in ("_Unit", "_Sentence", "_Store"):
                    server.connection.execute(f"MATCH (n:{label}) CALL (n) {{ DELETE n }} IN TRANSACTIONS OF 5000 ROWS")
    print(json.dumps(report, indent=1))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
