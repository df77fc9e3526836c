"""The processes in which users' queries run: opened from a snapshot and deltas, closed in, kept warm, replaced when killed."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mmkg.errors import QueryLimitError, StoreDamagedError, StoreError, StoreUnavailableError
from mmkg.store.delta_wire import delta_rows, read_delta
from mmkg.store.embedded.process import EngineProcess, ProcessDied
from mmkg.types import GraphDelta

PING_S = 1.0
"""A warm process that does not answer in this time is replaced."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lineage:
    """Where the graph of this moment comes from: a snapshot (or nothing), and the deltas since.

    base: number of deltas that the snapshot already holds. epoch: counts replacements of the whole graph.
    """

    snapshot: Path | None = None
    log: tuple[Path | GraphDelta, ...] = ()
    base: int = 0
    epoch: int = 0

    @property
    def position(self) -> tuple[int, int]:
        return (self.epoch, self.base + len(self.log))


def send_open(process: EngineProcess, lineage: Lineage, *, timeout_s: float) -> None:
    """Ask a fresh process for this state, without waiting for its answers."""
    first = next((i for i, step in enumerate(lineage.log) if isinstance(step, GraphDelta)), len(lineage.log))
    process.send(
        "open",
        timeout_s=timeout_s,
        snapshot=str(lineage.snapshot.absolute()) if lineage.snapshot else None,
        deltas=[str(Path(str(p)).absolute()) for p in lineage.log[:first]],
    )
    for step in lineage.log[first:]:
        send_step(process, step, timeout_s=timeout_s)
    process.position = lineage.position


def send_step(process: EngineProcess, step: Path | GraphDelta, *, timeout_s: float, closed_in: bool = False) -> None:
    """Ask for one more delta, without waiting. closed_in: the process can open no file."""
    if isinstance(step, GraphDelta) or closed_in:
        delta = step if isinstance(step, GraphDelta) else read_delta(step)
        process.send("apply", timeout_s=timeout_s, rows=list(delta_rows(delta)))
    else:
        process.send("apply_file", timeout_s=timeout_s, path=str(step.absolute()))


class QueryPool:
    """Query processes of one store. Safe to use from several threads."""

    def __init__(self, *, size: int, spare: bool, timeout_s: float) -> None:
        """size: queries at the same time; spare: one process more, ready to step in for a killed one."""
        self._size = size
        self._spare = spare
        self._timeout_s = timeout_s
        self._lock = threading.Condition()
        self._idle: list[EngineProcess] = []
        self._busy: set[EngineProcess] = set()
        self._taken = 0
        self._closed = False

    @contextlib.contextmanager
    def process(self, lineage: Lineage, *, wait_s: float) -> Iterator[EngineProcess]:
        """A process that holds this state. Whoever finds it broken kills it; it is then not used again.

        Raises QueryLimitError("time") if none is free, or has opened the graph, within wait_s; it goes on opening meanwhile.
        """
        process = self._take(lineage, wait_s)
        try:
            yield process
        finally:
            with self._lock:
                self._busy.discard(process)
                self._taken -= 1
                if process.alive and not process.pending and not self._closed:
                    self._idle.insert(0, process)
                else:
                    process.kill()
                self._lock.notify()
            self._prestart(lineage)

    def close(self) -> None:
        """End all processes, busy ones too."""
        with self._lock:
            self._closed = True
            processes = [*self._idle, *self._busy]
            self._idle.clear()
            self._lock.notify_all()
        for process in processes:
            process.kill()

    def forget(self) -> None:
        """After a fork: the processes belong to the parent."""
        for process in (*self._idle, *self._busy):
            process.forget()
        self._idle.clear()
        self._busy.clear()
        self._taken = 0
        self._lock = threading.Condition()

    def _take(self, lineage: Lineage, wait_s: float) -> EngineProcess:
        end = time.monotonic() + wait_s
        with self._lock:
            while self._taken >= self._size:
                if not self._lock.wait(max(0.0, end - time.monotonic())) and time.monotonic() >= end:
                    raise QueryLimitError(
                        "time", f"all {self._size} query processes are busy", hint="ask again, or raise query_workers"
                    )
            self._taken += 1
            process = self._idle.pop(0) if self._idle else None
        try:
            if process is None or not self._catch_up(process, lineage, end):
                process = self._start(lineage)
                self._settle(process, lineage, end)
        except BaseException:
            with self._lock:
                self._taken -= 1
                self._lock.notify()
            raise
        with self._lock:
            self._busy.add(process)
        return process

    def _start(self, lineage: Lineage) -> EngineProcess:
        process = EngineProcess()
        try:
            send_open(process, lineage, timeout_s=self._timeout_s)
            process.send("lock", timeout_s=self._timeout_s)
        except ProcessDied as e:
            raise unavailable(e) from e
        return process

    def _settle(self, process: EngineProcess, lineage: Lineage, end: float) -> None:
        try:
            if not process.settle_by(end):
                with self._lock:
                    if not self._closed:
                        self._idle.insert(0, process)
                if process not in self._idle:
                    process.kill()
                raise QueryLimitError("time", "the graph was still being opened", hint="ask again")
        except QueryLimitError:
            raise
        except ProcessDied as e:
            raise not_opened(e, lineage) from e
        except BaseException:
            process.kill()
            raise

    def _catch_up(self, process: EngineProcess, lineage: Lineage, end: float) -> bool:
        """Bring a process to this state by the deltas that it lacks; False (and it is ended) if that does not do."""
        epoch, at = process.position
        if process.alive and epoch == lineage.epoch and lineage.base <= at <= lineage.position[1]:
            try:
                self._settle(process, lineage, end)
                for step in lineage.log[at - lineage.base :]:
                    send_step(process, step, timeout_s=self._timeout_s, closed_in=True)
                    process.receive()
                process.call("ping", timeout_s=PING_S)  # it may have died since it was last used
                process.position = lineage.position
                return True
            except QueryLimitError:  # it is still opening: the next caller finds it further on
                raise
            except (ProcessDied, StoreError):
                pass
        process.kill()
        return False

    def _prestart(self, lineage: Lineage) -> None:
        """Start a spare in the background, so that one waits beside the warm one."""
        with self._lock:
            if self._spare and not self._closed and len(self._idle) < 2:
                with contextlib.suppress(StoreError):
                    self._idle.append(self._start(lineage))


def unavailable(e: ProcessDied) -> StoreUnavailableError:
    """The error for the death of a process during mmkg's own operations."""
    how = "did not answer in time and was ended" if e.late else f"ended (exit status {e.status})"
    why = ": out of memory" if e.out_of_memory else ""
    return StoreUnavailableError(f"the graph engine's process {how}{why}", hint="call again: it is started anew")


def not_opened(e: ProcessDied, lineage: Lineage) -> StoreError:
    """The error for the death of a process while it opened a graph: the engine crashed on the file, unless something else ended it."""
    killed = e.status is not None and e.status in (-9, -15)  # from outside, such as for the system's memory
    if e.late or e.out_of_memory or killed or (lineage.snapshot is None and not lineage.log):
        return unavailable(e)
    name = lineage.snapshot.name if lineage.snapshot else "its changes"
    return StoreDamagedError(
        f"the graph cannot be opened: the engine's process ended (exit status {e.status}) on {name}",
        hint="run `mmkg doctor --fix`",
    )


def limit_error(e: ProcessDied, timeout_s: float) -> Exception:
    """The error for the death of a process during a user's query."""
    if e.late or e.status == -14:  # SIGALRM: the process's own timer
        return QueryLimitError(
            "time",
            f"the query passed its limit of {timeout_s:g} s and was ended",
            hint="ask for less, or raise the limit",
        )
    if e.out_of_memory:
        return QueryLimitError("memory", "the query passed its memory limit and was ended", hint="ask for less")
    return StoreUnavailableError(
        f"the query's process ended (exit status {e.status})", hint="the store answers again; simplify the query"
    )
