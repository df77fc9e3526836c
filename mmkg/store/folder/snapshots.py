"""A new snapshot of the graph, in the cheapest of three ways."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from typing import TYPE_CHECKING, TypeVar

from mmkg.errors import StoreDamagedError, StoreError
from mmkg.protocols import ProgressCallback
from mmkg.store.embedded.graph import KGLiteStore
from mmkg.store.folder import graphrows
from mmkg.store.folder.follower import GraphFollower
from mmkg.types import Edge, Node, Progress

if TYPE_CHECKING:
    from mmkg.store.folder.writer import FolderWriter

_TICK = 20_000

_T = TypeVar("_T")
log = logging.getLogger(__name__)


def take(writer: FolderWriter, follower: GraphFollower | None, progress: ProgressCallback | None) -> None:
    """Write the graph of the writer's current generation as one file and commit it in the deltas' place.

    The engine that followed the run has most of it already. Without one, the engine takes in the deltas, or, where they are
    most of the graph, loads it from the ledger, which is quicker. If it cannot open what is there, graph and index are made anew.
    """
    old = writer.ledger.current()

    def tell(done: int, total: int) -> None:
        if progress:
            progress(Progress(stage="graph", done=done, total=max(total, done), item="taking the changes in"))

    if follower is not None:
        with closing(follower):
            try:
                if follower.follow(old):
                    writer.commit_snapshot(follower.store(tell), old)
                    return
            except StoreError as e:  # its process was killed, say: the slow way does without it
                log.warning("the graph engine that followed the run failed: %s", e)
    rows, total = sum(r.rows for r in old.graph_deltas), graphrows.count(writer.ledger)
    if 2 * rows > total:
        with closing(KGLiteStore(None)) as graph:
            nodes, edges = graphrows.all_nodes(writer.ledger), graphrows.all_edges(writer.ledger)
            graph.load(*_counted(nodes, edges, total, tell), distinct=True)
            writer.commit_snapshot(graph, old)
        return
    snapshot = writer.root / old.graph_snapshot.name if old.graph_snapshot else None
    with closing(KGLiteStore(snapshot, [writer.root / r.name for r in old.graph_deltas])) as graph:
        tell(0, 1)
        try:
            writer.commit_snapshot(graph, old)
        except StoreDamagedError as e:
            log.warning("%s; graph and index are made anew", e)
            writer.rebuild(unreadable_graph=True)


def _counted(
    nodes: Iterable[Node], edges: Iterable[Edge], total: int, tell: Callable[[int, int], None]
) -> tuple[Iterator[Node], Iterator[Edge]]:
    """The same rows; tell(done, total) now and then while they are taken."""
    done = 0

    def count(rows: Iterable[_T]) -> Iterator[_T]:
        nonlocal done
        for row in rows:
            if done % _TICK == 0:
                tell(done, total)
            done += 1
            yield row

    return count(nodes), count(edges)
