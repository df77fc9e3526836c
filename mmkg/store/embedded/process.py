"""A handle on one engine process: start, call with a deadline, kill. A call never hangs, whatever the process does."""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from mmkg.errors import (
    CypherError,
    QueryLimitError,
    StoreDamagedError,
    StoreError,
    StoreUnavailableError,
    WriteRefusedError,
)
from mmkg.store.delta_wire import MAX_MESSAGE, encode, read_message
from mmkg.store.embedded.limits import MEMORY_EXIT

_KEPT = (
    "PATH",
    "LANG",
    "LC_ALL",
    "TMPDIR",
    "TEMP",
    "TMP",
    "SYSTEMROOT",
    "LD_LIBRARY_PATH",
    "DYLD_LIBRARY_PATH",
    "PYTHONPATH",
)
"""Variables that the process may see: what it needs to start, no keys."""


class ProcessDied(Exception):
    """The process ended, or was killed because it was late. late: the latter. status: its exit status, if known."""

    def __init__(self, late: bool, status: int | None, stderr: str) -> None:
        super().__init__("late" if late else f"exit status {status}")
        self.late = late
        self.status = status
        self.stderr = stderr

    @property
    def out_of_memory(self) -> bool:
        return self.status == MEMORY_EXIT or "memory allocation of" in self.stderr or "MemoryError" in self.stderr


class EngineProcess:
    """One engine process. Not thread-safe: one caller at a time."""

    def __init__(self) -> None:
        """Start it; this returns at once, and the first answer waits for the start.

        Raises StoreUnavailableError if the system starts no process.
        """
        if not sys.executable:
            raise StoreUnavailableError(
                "this Python does not know its own executable, so no engine process can be started"
            )
        # -P: the current folder, which may be a stranger's, is no place to import from.
        # Not -m: a main module is compiled anew at each start.
        code = "from mmkg.store.embedded.worker import main; main()"
        command = [sys.executable, "-P", "-X", "utf8", "-c", code, str(os.getpid())]
        try:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=_environment(),
                bufsize=0,
                start_new_session=sys.platform != "win32",
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            )
        except OSError as e:
            raise StoreUnavailableError(f"the engine process does not start: {e}") from e
        self.pending: list[float] = []
        """Deadlines of requests that were sent and not yet answered."""
        self.position = (-1, -1)
        """(epoch, number of deltas) of the state that it holds; kept by the store."""
        assert self.process.stdin and self.process.stdout
        self._in = self.process.stdin.fileno()
        self._out = self.process.stdout.fileno()
        if sys.platform != "win32":
            os.set_blocking(self._in, False)
            os.set_blocking(self._out, False)

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def call(self, op: str, *, timeout_s: float, reply_bytes: int = MAX_MESSAGE, **arguments: Any) -> Any:
        """Send a request and wait for its answer. Raises ProcessDied, or the named error that the process answered."""
        self.settle()
        self.send(op, timeout_s=timeout_s, **arguments)
        return self.receive(reply_bytes=reply_bytes)

    def send(self, op: str, *, timeout_s: float, **arguments: Any) -> None:
        """Send a request without waiting for the answer."""
        deadline = time.monotonic() + timeout_s
        try:
            data = encode({"op": op, **arguments})
        except (ValueError, TypeError, RecursionError) as e:
            raise StoreError(f"a value that the graph engine does not take: {e}") from e
        with self._watched(deadline):
            self._write(data, deadline)
        self.pending.append(deadline)

    def receive(self, *, reply_bytes: int = MAX_MESSAGE) -> Any:
        """The answer to the oldest request that has none."""
        deadline = self.pending.pop(0)
        try:
            with self._watched(deadline):
                reply = read_message(lambda n: self._read(n, deadline), limit=reply_bytes)
            if not isinstance(reply, dict):
                raise ValueError("not a reply")
        except ValueError as e:
            # The stream is out of step: nothing that follows can be trusted.
            self.kill()
            raise StoreUnavailableError(f"the engine process answers in another language: {e}") from e
        if reply.get("error") == "nomemory":
            self.kill()  # its heap is in pieces at best
        if "error" in reply:
            raise named_error(str(reply["error"]), str(reply.get("message", "")))
        return reply.get("ok")

    def settle(self) -> None:
        """Take the answers to all requests that were sent before."""
        while self.pending:
            self.receive()

    def settle_by(self, deadline: float) -> bool:
        """As settle, but give up at a time of the monotonic clock: False, and the process goes on with what it was asked."""
        while self.pending:
            if hasattr(select, "poll"):
                poll = select.poll()
                poll.register(self._out, select.POLLIN)
                if not poll.poll(max(0.0, (deadline - time.monotonic()) * 1000)):
                    return False
            self.receive()
        return True

    def kill(self) -> None:
        """End the process now, and reap it."""
        with contextlib.suppress(OSError):
            self.process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout=5)
        self.pending.clear()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()

    def forget(self) -> None:
        """Drop the handle without ending the process: it belongs to the process that this one was forked from."""
        self.process.returncode = 0  # keeps Popen from warning about, or waiting for, a child that is not ours
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()

    def _died(self, *, late: bool) -> ProcessDied:
        stderr = ""
        with contextlib.suppress(OSError):
            self.process.kill() if late else None
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout=5)
        status = self.process.returncode
        if self.process.stderr is not None:
            with contextlib.suppress(OSError, ValueError):
                if sys.platform != "win32":
                    os.set_blocking(self.process.stderr.fileno(), False)
                stderr = (self.process.stderr.read(4096) or b"").decode("utf-8", "replace")
        self.kill()
        return ProcessDied(late, status, stderr)

    def _read(self, n: int, deadline: float) -> bytes:
        parts = bytearray()
        while len(parts) < n:
            self._wait(self._out, select.POLLIN if hasattr(select, "poll") else 0, deadline)
            try:
                data = os.read(self._out, min(n - len(parts), 2**20))
            except BlockingIOError:
                continue
            except OSError:
                data = b""
            if not data:
                raise self._died(late=time.monotonic() >= deadline)
            parts += data
        return bytes(parts)

    def _write(self, data: bytes, deadline: float) -> None:
        view = memoryview(data)
        while view:
            self._wait(self._in, select.POLLOUT if hasattr(select, "poll") else 0, deadline)
            try:
                view = view[os.write(self._in, view[: 2**16]) :]
            except BlockingIOError:
                continue
            except OSError as e:
                raise self._died(late=time.monotonic() >= deadline) from e

    def _wait(self, fd: int, event: int, deadline: float) -> None:
        """Wait until fd is ready (POSIX). On Windows the calls block, and `_watched` ends the process at the deadline."""
        if not hasattr(select, "poll"):
            return
        poll = select.poll()
        poll.register(fd, event)
        if not poll.poll(max(0.0, (deadline - time.monotonic()) * 1000)):
            raise self._died(late=True)

    @contextlib.contextmanager
    def _watched(self, deadline: float) -> Any:
        if hasattr(select, "poll"):
            yield
            return
        timer = threading.Timer(max(0.0, deadline - time.monotonic()), self.process.kill)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()


def named_error(kind: str, message: str) -> Exception:
    """The exception for an error that an engine process answered with."""
    if kind == "cypher":
        return CypherError(f"the engine refuses the query: {message}")
    if kind == "write":
        return WriteRefusedError("the query would write", hint="only reading queries run here")
    if kind == "time":
        return QueryLimitError(
            "time", "the query passed its time limit and was ended", hint="ask for less, or raise the limit"
        )
    if kind in ("memory", "nomemory"):
        return QueryLimitError(
            "memory", f"the query passed its memory limit and was ended: {message}", hint="ask for less"
        )
    if kind == "bytes":
        return QueryLimitError("bytes", message, hint="return fewer or shorter columns")
    if kind == "damaged":
        return StoreDamagedError(message, hint="run `mmkg doctor --fix`")
    if kind == "dangling":
        return StoreError(message)
    if kind == "io":
        return StoreError(
            f"the graph engine cannot use a file: {message}",
            hint="check the disk and its space, then run the command again",
        )
    return StoreError(f"the graph engine failed: {message}", hint="run the command again; if it stays, `mmkg rebuild`")


def _environment() -> dict[str, str]:
    """Where Python finds mmkg and kglite, and nothing that is secret."""
    kept = {k: v for k, v in os.environ.items() if k in _KEPT}
    paths = [str(Path(__file__).resolve().parents[3])]
    paths += [p for p in kept.pop("PYTHONPATH", "").split(os.pathsep) if p and Path(p).is_absolute()]
    return {**kept, "PYTHONPATH": os.pathsep.join(paths), "KGLITE_QUERY_THREADS": "1"}
