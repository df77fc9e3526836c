"""One parser process: its start, its pipes, its time and memory, its end. ParserPool keeps several of them warm."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from mmkg.config import Settings
from mmkg.errors import MMKGError
from mmkg.ingest import wire

_START_SECONDS = 60.0
# What the child sees of our environment: nothing that could be a secret.
_ENVIRONMENT = ("PATH", "HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT", "TEMP", "TMP")


class Child:
    """One parser process and its pipes. module: what it runs."""

    def __init__(self, settings: Settings, module: str = "mmkg.ingest.worker") -> None:
        self.settings = settings
        self.expired = False
        self.resident = 0
        self.n_files = 0
        self.first_peak = 0
        """Peak memory on the child's record when it was ready; see guard.peak_bytes."""
        self.seen_peak = 0
        """Most memory seen by `watched`."""
        self.fences: dict[str, Any] = {}
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (lives as long as the child)
        # Requests go through a socket where open files can travel with them.
        theirs: socket.socket | None = None
        self._link: socket.socket | None = None
        if wire.PASSES_DESCRIPTORS:
            self._link, theirs = socket.socketpair()
        self.process = subprocess.Popen(
            # -P: the working folder is no place to import from; -B: no byte code written.
            [sys.executable, "-P", "-s", "-B", "-m", module, str(os.getpid())],
            stdin=theirs.fileno() if theirs is not None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=_child_environment(),
            cwd=os.path.abspath(os.sep),
            close_fds=True,
            start_new_session=True,  # Ctrl-C is for us: we end the batch in order
        )
        if theirs is not None:
            theirs.close()

    def start(self) -> None:
        """Send the settings and wait until the child is ready."""
        from mmkg.ingest.worker import settings_message

        with self.deadline(_START_SECONDS):
            s = self.settings
            try:
                self.request(settings_message(asdict(s.limits), s.chunk_characters, s.ocr, s.sandbox))
                ready = self.answer()
            except (OSError, wire.WireError) as e:
                raise MMKGError(f"a parser process did not start: {self._last_words() or e}") from e
        if ready is None:
            raise MMKGError(f"a parser process did not start: {self._last_words() or 'it ended at once'}")
        self.first_peak = int(ready[0].get("peak", 0))
        self.fences = dict(ready[0].get("fences", {}))

    def request(self, message: dict[str, Any], fd: int | None = None, blobs: Sequence[bytes] = ()) -> None:
        if self._link is not None:
            wire.send_with(self._link, message, fd, blobs)
            return
        assert self.process.stdin is not None
        wire.send(self.process.stdin, message, blobs)  # type: ignore[arg-type]

    def answer(self) -> tuple[dict[str, Any], list[bytes]] | None:
        assert self.process.stdout is not None
        limits = self.settings.limits
        # Text as UTF-8 in JSON, lines and sentences beside it, and the pictures inside a container.
        most = 16 * limits.characters + limits.expanded_bytes + limits.bytes + (1 << 20)
        return wire.receive(self.process.stdout, most=min(most, limits.memory_bytes + (1 << 20)))

    @contextlib.contextmanager
    def deadline(self, seconds: float) -> Iterator[Callable[[], None]]:
        """Kill the child if the block takes longer; `expired` says that this happened. What it gives begins the time anew.

        A child that is kept from its work by a busy machine gets up to wire.STARVED times as long: what one file may cost is
        meant as work, and a verdict should not depend on who else is running. A child that waits or hangs gets nothing.
        """
        begun, used_before = time.monotonic(), _cpu_seconds(self.process.pid)
        timer: threading.Timer | None = None

        def arm(delay: float) -> None:
            nonlocal timer
            timer = threading.Timer(delay, expire)
            timer.daemon = True
            timer.start()

        def expire() -> None:
            waited, used = time.monotonic() - begun, _cpu_seconds(self.process.pid) - used_before
            if waited / wire.STARVED < used < seconds and waited < wire.STARVED * seconds:
                arm(min(seconds - used, wire.STARVED * seconds - waited) + 0.01)
                return
            self.expired = True
            self.kill()

        def again() -> None:
            nonlocal begun, used_before
            begun, used_before = time.monotonic(), _cpu_seconds(self.process.pid)
            assert timer is not None
            timer.cancel()
            arm(seconds)

        arm(seconds)
        try:
            yield again
        finally:
            assert timer is not None
            timer.cancel()

    @contextlib.contextmanager
    def watched(self, n_bytes: int) -> Iterator[None]:
        """Look at the child's memory while the block runs, if the system's own record hides a use of n_bytes.

        That record begins at the size of the process that started the child: a large one of ours (models are loaded) hides
        what the child took before it died.
        """
        if self.first_peak <= n_bytes or not _peak_of(self.process.pid):
            yield
            return
        done = threading.Event()

        def look() -> None:
            while not done.wait(0.01):
                self.seen_peak = max(self.seen_peak, _peak_of(self.process.pid))

        thread = threading.Thread(target=look, daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def kill(self) -> None:
        with contextlib.suppress(OSError):
            self.process.kill()

    def end(self) -> int:
        """Close the pipes, end the process, collect it. Returns its peak memory in bytes, 0 if unknown."""
        for stream in (self._link, self.process.stdin, self.process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        peak = 0
        if self.process.returncode is None:
            # It may have died by itself a moment ago: its own exit status says why, so look before killing.
            peak = _collect(self.process, 0.5)
            if self.process.returncode is None:
                self.kill()
                peak = _collect(self.process, 30.0)
        self._errors.close()
        return peak

    def _last_words(self) -> str:
        self._errors.seek(0)
        lines = self._errors.read()[-2000:].decode("utf-8", errors="replace").strip().split("\n")
        return lines[-1] if lines else ""


def _peak_of(pid: int) -> int:
    """Most resident memory of a running process since its program began, in bytes; 0 where the system does not say."""
    try:
        with open(f"/proc/{pid}/status", "rb") as file:
            for line in file:
                if line.startswith(b"VmHWM:"):
                    return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    return 0


def _cpu_seconds(pid: int) -> float:
    """Processor time a process has used, in seconds; 0 where the system does not tell (then the clock alone counts)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError, AttributeError):
        return 0.0


def _collect(process: subprocess.Popen[bytes], seconds: float) -> int:
    """Wait for a process, at most `seconds`; sets returncode and returns its peak memory in bytes where known."""
    if not hasattr(os, "wait4"):
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
        return 0
    end = time.monotonic() + seconds
    pause = 0.0005
    while True:
        try:
            pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        except ChildProcessError:
            process.poll()
            return 0
        if pid:
            process.returncode = os.waitstatus_to_exitcode(status)
            return usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        if time.monotonic() > end:
            return 0
        time.sleep(pause)
        pause = min(2 * pause, 0.02)


def _child_environment() -> dict[str, str]:
    environment = {key: os.environ[key] for key in _ENVIRONMENT if key in os.environ}
    # The child imports from where we do, wherever we were found; not from the working folder.
    environment["PYTHONPATH"] = os.pathsep.join(p for p in sys.path if p and os.path.isabs(p))
    # One thread each: the pool is the parallelism, and results must not hang on the number of threads.
    environment |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    environment |= {"PYTHONHASHSEED": "0", "PYTHONUTF8": "1"}
    return environment
