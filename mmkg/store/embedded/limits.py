"""Limits of the operating system around a process that runs users' Cypher. What a system lacks is reported, not assumed.

No descriptor can be opened any more (so no file is read and no socket made, whatever the engine's code does), no byte written to
a file, no process started; the address space may grow by a set amount during a query; a timer of the kernel ends the process
if its parent is gone. On Linux the fences of mmkg.sandbox stand around it as well: a network of its own, Landlock, a filter of
system calls; the process that holds the graph, which reads files that a stranger may have made, has those that allow it to write.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any

from mmkg.sandbox import Policy, enter

MEMORY_EXIT = 86
"""Exit status of a query process that its own memory watch ended."""

_AUDITED = (
    "open",
    "socket.",
    "subprocess.",
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.fork",
    "ctypes.dlopen",
    "import",
)
_PR_SET_DUMPABLE = 4
_fences: dict[str, Any] = {}


def prepare() -> None:
    """For every engine process: Ctrl-C belongs to the parent, a crash leaves no core file with users' text, no network, no programs."""
    _fences.update(enter(Policy(changes=True)))
    with contextlib.suppress(ValueError):
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def limit_memory(memory: int) -> bool:
    """Let the address space grow by no more than `memory` bytes from here on (Linux)."""
    if sys.platform != "linux":
        return False
    import resource

    limit = _memory()[0] + memory
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    return True


def lock(guard: str = "auto") -> dict[str, Any]:
    """Close the process in, for good. Returns which limits are in force.

    guard: watch (a thread looks at the memory in use), rlimit (of address space), auto (the watch, and the limit on Linux). The
    watch is the finer one: kglite's allocator reserves a gigabyte of addresses at once. The limit stops what is too quick for it.
    """
    facts: dict[str, Any] = {"network": False, "files": False, "writes": False, "processes": False}
    facts["timer"] = hasattr(signal, "setitimer")
    with contextlib.suppress(OSError):
        os.chdir("/" if sys.platform != "win32" else os.environ.get("SYSTEMROOT", "C:\\"))
    import zoneinfo  # noqa: F401  (dates with a zone need it, and nothing can be imported later)

    _memory()  # opens what it reads from
    fences = _fence()  # before the count of descriptors is closed: Landlock needs one for a moment
    try:
        import resource
    except ImportError:  # Windows
        facts["memory"] = "none"
    else:
        both = "rlimit+watch" if sys.platform == "linux" else "watch"
        facts["memory"] = both if guard == "auto" else guard
        rebase()
        for name, limit in (("writes", resource.RLIMIT_FSIZE), ("processes", getattr(resource, "RLIMIT_NPROC", None))):
            with contextlib.suppress(ValueError, OSError, TypeError):
                resource.setrlimit(limit, (0, 0))  # type: ignore[arg-type]
                facts[name] = True
        # Root is not bound by the process count; a fork needs no file, but no engine code forks.
        facts["processes"] = facts["processes"] and os.getuid() != 0
        with contextlib.suppress(ValueError, OSError):
            lowest = os.dup(0)  # the lowest number that is free
            os.close(lowest)
            resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, lowest))
            facts["files"] = True
    facts |= fences
    facts["processes"] = facts["processes"] or facts["seccomp"]
    sys.addaudithook(_refuse)
    return facts


def _fence() -> dict[str, Any]:
    """No file is opened, changed or removed any more; threads of the engine that run already are bound too."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    found = enter(Policy(opens=False), all_threads=True)
    found["namespace"] = found["namespace"] or _fences.get("namespace", False)
    found["network"] = bool(found["namespace"] or found["seccomp"])
    return found


def _refuse(event: str, args: tuple[Any, ...]) -> None:
    if event.startswith(_AUDITED):
        if event == "import" and args[0] in sys.modules:
            return
        raise PermissionError(f"{event} is not allowed in a query process")


_statm: int | None = None
_base = (0, 0)


def rebase() -> None:
    """Take the present size as the one above which a query's memory counts: what a query leaves behind does not raise it."""
    global _base
    _base = _memory()


@contextlib.contextmanager
def during_query(facts: dict[str, Any], timeout_s: float, memory: int) -> Iterator[None]:
    """The limits of one query: `memory` bytes above the base, and a kernel timer a second past the time-out."""
    if facts.get("timer"):
        signal.setitimer(signal.ITIMER_REAL, timeout_s + 1.0)
    done = threading.Event()
    ways = str(facts.get("memory", "")).split("+")
    before = (-1, -1)
    if "rlimit" in ways:
        import resource

        before = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (_base[0] + memory, before[1]))
    if "watch" in ways:
        threading.Thread(target=_watch, args=(_base[1] + memory, done), daemon=True).start()
    try:
        yield
    finally:
        done.set()
        if "rlimit" in ways:
            resource.setrlimit(resource.RLIMIT_AS, before)
        if facts.get("timer"):
            signal.setitimer(signal.ITIMER_REAL, 0)


def _watch(limit: int, done: threading.Event) -> None:
    while not done.wait(0.005):
        if _memory()[1] > limit:
            os._exit(MEMORY_EXIT)


def _memory() -> tuple[int, int]:
    """(address space, memory of its own) in bytes; a mapped snapshot is not its own. Elsewhere than on Linux: (0, peak size)."""
    global _statm
    if sys.platform == "linux":
        if _statm is None:  # stays open: later nothing can be opened
            _statm = os.open("/proc/self/statm", os.O_RDONLY)
        size, resident, shared = map(int, os.pread(_statm, 200, 0).split()[:3])
        page = os.sysconf("SC_PAGE_SIZE")
        return size * page, (resident - shared) * page
    else:
        import resource

        return 0, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
