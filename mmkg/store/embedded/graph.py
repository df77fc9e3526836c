"""The embedded graph store: kglite behind protocols.GraphStore, in processes of its own (`worker` says why).

One process holds the graph and does what mmkg asks. Users' Cypher runs in others, opened from the same snapshot and
deltas, that can be killed; one is kept warm with a spare. When a process dies, the next call starts another from the last
snapshot and the deltas since.
"""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import tempfile
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

from mmkg.cypher.gate import prepare
from mmkg.cypher.portable import warnings
from mmkg.cypher.statements import PRIMARY_LABELS
from mmkg.errors import StoreError, StoreUnavailableError
from mmkg.store.delta_rows import (
    Batches,
    FirstRows,
    check_delta,
    check_types,
    checked_parameters,
    pages,
    present,
    to_edge,
    to_node,
)
from mmkg.store.embedded.pool import Lineage, QueryPool, limit_error, not_opened, send_open, send_step, unavailable
from mmkg.store.embedded.process import EngineProcess, ProcessDied
from mmkg.types import Edge, GraphDelta, Node, QueryResult

GRACE_S = 0.2
"""The engine ends a late query itself; this much later its process is killed."""
_LOG_ROWS = 200_000
"""Rows of deltas kept in memory for restarts; past it a private snapshot takes their place."""


class KGLiteStore:
    """A graph in embedded kglite processes. Safe to use from several threads.

    snapshot, deltas: where the graph comes from; both are read at the first call. memory_bytes: None, or how much the
    graph's own process may hold. query_memory_bytes: how much a user's query may take above the size of its process.
    query_workers: queries that run at the same time. timeout_s: for mmkg's own operations.
    Raises StoreUnavailableError when a process dies or hangs, StoreDamagedError for an unreadable snapshot or delta.
    """

    def __init__(
        self,
        snapshot: Path | None = None,
        deltas: Sequence[Path] = (),
        *,
        memory_bytes: int | None = None,
        query_memory_bytes: int = 2 * 2**30,
        query_workers: int = 2,
        spare: bool = True,
        timeout_s: float = 600.0,
    ) -> None:
        self._state = Lineage(snapshot=snapshot, log=tuple(deltas))
        self._unsaved = False
        """The graph was loaded in bulk and lies in no snapshot yet."""
        self._memory_bytes = memory_bytes
        self._query_memory = query_memory_bytes
        self._timeout_s = timeout_s
        self._lock = threading.RLock()
        self._parts = _Parts(lambda: QueryPool(size=query_workers, spare=spare, timeout_s=timeout_s))
        self._finalizer = weakref.finalize(self, _Parts.close, self._parts)

    # ---- protocols.GraphStore: writing ----

    def load(self, nodes: Iterable[Node], edges: Iterable[Edge], *, distinct: bool = False) -> None:
        """Replace everything by these rows. A row that comes twice counts as an upsert: the last one stays.

        distinct: no edge comes twice, so none needs to be remembered.
        """
        with self._lock:
            engine = self._engine(empty=True)
            first = FirstRows(distinct=distinct)
            self._ask(engine, "load_begin")
            out = Batches(lambda key, text: self._ask(engine, f"load_{key[0]}", key=key[1:], text=text))
            for node in first.nodes(nodes):
                named = "named" if node.properties.get("name") is not None else "nameless"
                out.add(("nodes", node.label, named), {**present(node.properties), "id": node.id})
            out.flush()
            for edge in first.edges(edges):
                key = ("edges", edge.type, edge.source_label, edge.target_label)
                out.add(key, {"a": edge.source, "b": edge.target, "props": present(edge.properties)})
            out.flush()
            again = first.again()
            self._ask(engine, "load_end")
            self._unsaved = True
            self._state = Lineage(epoch=self._state.epoch + 1)
            engine.position = self._state.position
            if again is not None:
                self.apply(again)

    def apply(self, delta: GraphDelta) -> None:
        """Delete and upsert. If it fails, the graph is as before; raises StoreError for an edge whose end does not exist."""
        check_delta(delta)
        self._apply(delta)

    def apply_file(self, path: Path) -> None:
        """Apply a delta file; it must stay as long as this store is open, or until the next `save`."""
        self._apply(Path(path).absolute())

    def _apply(self, step: GraphDelta | Path) -> None:
        with self._lock:
            if self._unsaved:
                self._checkpoint()
            engine = self._engine()
            try:
                send_step(engine, step, timeout_s=self._timeout_s)
                engine.receive()
            except ProcessDied as e:
                raise unavailable(e) from e
            except StoreError:
                # Some of its statements may have run: the process is dropped, and the next one opens the state before.
                engine.kill()
                raise
            self._state = replace(self._state, log=(*self._state.log, step))
            engine.position = self._state.position
            if sum(len(d.nodes) + len(d.edges) for d in self._state.log if isinstance(d, GraphDelta)) > _LOG_ROWS:
                self._checkpoint()

    def save(self, path: Path) -> None:
        """Write a snapshot, synced and renamed into place; later restarts open it."""
        with self._lock:
            path = Path(path).absolute()
            self._ask(self._engine(), "save", path=str(path))
            state = self._state
            self._state = Lineage(snapshot=path, base=state.base + len(state.log), epoch=state.epoch)
            self._unsaved = False

    def open(self, path: Path) -> None:
        """Replace everything by a snapshot. Raises StoreDamagedError, and then the graph is as it was before."""
        with self._lock:
            before, unsaved = self._state, self._unsaved
            if unsaved:
                self._checkpoint()
                before = self._state
            self._state = Lineage(snapshot=Path(path).absolute(), epoch=before.epoch + 1)
            try:
                self._engine()
            except StoreError:
                self._state = replace(before, epoch=before.epoch + 2)
                raise

    # ---- protocols.GraphStore: reading ----

    def get(self, ids: Sequence[str]) -> list[Node]:
        """The nodes that exist, in the order of ids."""
        return [to_node(row) for part in pages(ids) for row in self._read("get", ids=part)]

    def neighbors(
        self, ids: Sequence[str], *, types: Sequence[str] = (), direction: str = "both", limit: int = 1000
    ) -> list[Edge]:
        """Edges at these nodes, each once, ordered by (type, source, target); direction: out, in or both."""
        if direction not in ("out", "in", "both"):
            raise ValueError(f"direction must be out, in or both, got {direction!r}")
        check_types(types)
        rows = self._read("neighbors", ids=list(ids), types=list(types), direction=direction, limit=limit)
        return [to_edge(row) for row in rows]

    def nodes(self) -> Iterator[Node]:
        """Every node, by label and id. The graph should not change meanwhile."""
        for label in PRIMARY_LABELS:
            for part in pages(self._read("ids", label=label)):
                yield from map(to_node, self._read("nodes", label=label, ids=part))

    def edges(self) -> Iterator[Edge]:
        """Every edge, by label and id of its source. The graph should not change meanwhile."""
        for label in PRIMARY_LABELS:
            for part in pages(self._read("ids", label=label)):
                yield from map(to_edge, self._read("edges", label=label, ids=part))

    def shortest_path(self, source: str, target: str, *, max_hops: int = 6) -> list[tuple[str, str]] | None:
        """[(node id, edge type that led to it), ...] over edges of any type and direction, or None. Ties by id.

        Breadth-first search from both ends, O(V + E) at worst.
        """
        if max_hops < 0:
            raise ValueError(f"max_hops must not be negative, got {max_hops}")
        path = self._read("path", source=source, target=target, max_hops=max_hops)
        return None if path is None else [(str(id_), str(type_)) for id_, type_ in path]

    def counts(self) -> dict[str, int]:
        """Number of nodes by primary label and of edges by type."""
        return dict(self._read("counts"))

    def query(
        self,
        cypher: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        timeout_s: float = 10.0,
        max_rows: int = 10_000,
        max_bytes: int = 64 * 2**20,
    ) -> QueryResult:
        """Run a user's read-only query in a process that is killed when it is late.

        Nodes, relationships and paths come as maps, dates as ISO text. truncated says that there were more than max_rows
        rows. Raises WriteRefusedError, CypherError; QueryLimitError with limit time, memory or bytes.
        """
        if not (math.isfinite(timeout_s) and timeout_s > 0 and max_rows > 0 and max_bytes > 0):
            raise ValueError("timeout_s, max_rows and max_bytes must be above 0")
        began = time.monotonic()
        text = prepare(cypher)
        values = checked_parameters(parameters or {})
        with self._pool().process(self._durable_state(), wait_s=timeout_s) as worker:
            # Who waited for a process, or for its start, has that much less left: the limit is of the whole call.
            left = max(0.05, timeout_s - (time.monotonic() - began))
            try:
                reply = worker.call(
                    "query",
                    timeout_s=left + GRACE_S,
                    reply_bytes=max_bytes + 2**20,
                    cypher=text,
                    parameters=values,
                    seconds=left,
                    rows=max_rows,
                    size=max_bytes,
                    memory=self._query_memory,
                )
            except ProcessDied as e:
                raise limit_error(e, timeout_s) from e
        try:
            return QueryResult(
                warnings=warnings(text),
                columns=tuple(map(str, reply["columns"])),
                rows=tuple(tuple(row) for row in reply["rows"][:max_rows]),
                truncated=bool(reply["truncated"]) or len(reply["rows"]) > max_rows,
            )
        except (KeyError, TypeError) as e:
            raise StoreUnavailableError("the engine process answers in another language") from e

    def doctor_facts(self) -> dict[str, Any]:
        """The engine and its version, and which limits of the operating system hold around users' queries here."""
        with self._pool().process(self._durable_state(), wait_s=self._timeout_s) as worker:
            try:
                facts = dict(worker.call("hello", timeout_s=self._timeout_s))
            except ProcessDied as e:
                raise unavailable(e) from e
        facts.pop("pid", None)
        return facts

    def close(self) -> None:
        """End the processes. The store can be used again; what came by `load` and was not saved is gone."""
        with self._lock:
            self._parts.close()

    def interrupt(self) -> None:
        """End the process that holds the graph, from another thread than the one that waits for it: its call then fails."""
        self._parts.interrupt()

    # ---- processes ----

    def _engine(self, *, empty: bool = False) -> EngineProcess:
        """The process that holds the graph, started and opened if need be. empty: what it holds does not matter."""
        engine = self._parts.engine()
        if engine is not None and engine.alive and (empty or engine.position == self._state.position):
            return engine
        if engine is not None:
            engine.kill()
        if self._unsaved and not empty:
            self._unsaved = False
            self._state = Lineage(epoch=self._state.epoch + 1)
            raise StoreUnavailableError(
                "the graph engine's process ended before its load was saved", hint="load it again"
            )
        engine = EngineProcess()
        self._parts.engine(engine)
        try:
            if self._memory_bytes is not None:
                engine.send("limit", timeout_s=self._timeout_s, memory=self._memory_bytes)
            if not empty:
                send_open(engine, self._state, timeout_s=self._timeout_s)
            engine.settle()
        except ProcessDied as e:
            raise not_opened(e, Lineage() if empty else self._state) from e
        except StoreError:
            engine.kill()
            raise
        return engine

    def _ask(self, engine: EngineProcess, op: str, **arguments: Any) -> Any:
        try:
            return engine.call(op, timeout_s=self._timeout_s, **arguments)
        except ProcessDied as e:
            raise unavailable(e) from e

    def _read(self, op: str, **arguments: Any) -> Any:
        with self._lock:
            try:
                return self._engine().call(op, timeout_s=self._timeout_s, **arguments)
            except ProcessDied as e:
                if e.late:
                    raise unavailable(e) from e
            # It may have died long ago (killed for the system's memory): a read can be asked again, of a new process.
            return self._ask(self._engine(), op, **arguments)

    def _pool(self) -> QueryPool:
        with self._lock:
            return self._parts.pool()

    def _durable_state(self) -> Lineage:
        """The state, in a form from which another process can be opened."""
        with self._lock:
            if self._unsaved:
                self._checkpoint()
            return self._state

    def _checkpoint(self) -> None:
        """Write a private snapshot, so that other processes can open what lies in memory only."""
        self.save(self._parts.folder() / f"{self._state.epoch}-{self._state.position[1]}.kgl")

    def __enter__(self) -> KGLiteStore:
        return self

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


class _Parts:
    """What a store must give back: processes and private files. Apart from the store, so that a finalizer can hold it."""

    def __init__(self, pool: Callable[[], QueryPool]) -> None:
        self._make_pool = pool
        self._owner = os.getpid()
        self._engine: EngineProcess | None = None
        self._queries: QueryPool | None = None
        self._folder: Path | None = None

    def _check_owner(self) -> None:
        """After a fork the processes are the parent's: leave them, and start others."""
        if self._owner != os.getpid():
            self._owner = os.getpid()
            if self._engine is not None:
                self._engine.forget()
            if self._queries is not None:
                self._queries.forget()
            self._engine = self._queries = None

    def engine(self, new: EngineProcess | None = None) -> EngineProcess | None:
        self._check_owner()
        self._engine = new or self._engine
        return self._engine

    def interrupt(self) -> None:
        if self._engine is not None and self._owner == os.getpid():
            with contextlib.suppress(OSError):
                self._engine.process.kill()

    def pool(self) -> QueryPool:
        self._check_owner()
        self._queries = self._queries or self._make_pool()
        return self._queries

    def folder(self) -> Path:
        self._folder = self._folder or Path(tempfile.mkdtemp(prefix="mmkg-graph-"))
        return self._folder

    def close(self) -> None:
        self._check_owner()
        if self._engine is not None:
            self._engine.kill()
        if self._queries is not None:
            self._queries.close()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
        self._engine = self._queries = self._folder = None
