"""The fences of the kernel, tried from inside through the C library, past Python's own checks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mmkg.sandbox import landlock_version

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="fences of Linux")

TRIES = """
import ctypes, errno, json, os, sys, threading
folder, parent = sys.argv[1], int(sys.argv[2])
libc = ctypes.CDLL(None, use_errno=True)
FENCE
def call(name, *arguments):
    result = getattr(libc, name)(*arguments)
    return 0 if result >= 0 else ctypes.get_errno()
def path(name):
    return os.path.join(folder, name).encode()
def forked():
    pid = libc.fork()
    if pid == 0:
        libc._exit(0)
    return 0 if pid > 0 else ctypes.get_errno()
def started():
    pid = libc.fork()
    if pid > 0:
        return 0
    failed = call("execv", b"/bin/true", (ctypes.c_char_p * 2)(b"true", None))
    if pid == 0:
        libc._exit(1)
    return failed
def thread():
    seen = []
    worker = threading.Thread(target=lambda: seen.append(call("socket", 2, 1, 0)))
    worker.start(); worker.join()
    return seen[0]
tried = {
    "socket": call("socket", 2, 1, 0), "socket-unix": call("socket", 1, 1, 0), "socket-of-a-thread": thread(),
    "read": call("open", path("there"), os.O_RDONLY), "read-passwd": call("open", b"/etc/passwd", os.O_RDONLY),
    "read-library": call("open", os.__file__.encode(), os.O_RDONLY),
    "write": call("open", path("there"), os.O_WRONLY), "make": call("open", path("new"), os.O_CREAT | os.O_RDWR, 0o600),
    "creat": call("creat", path("new2"), 0o600), "truncate": call("truncate", path("there"), 0),
    "unlink": call("unlink", path("goes")), "rename": call("rename", path("there2"), path("there3")),
    "mkdir": call("mkdir", path("folder"), 0o700), "symlink": call("symlink", b"/etc/passwd", path("link")),
    "link": call("link", path("there"), path("hard")), "chmod": call("chmod", path("there"), 0o777),
    "execute": started(), "fork": forked(), "signal": call("kill", parent, 0), "trace": call("ptrace", 16, 2**30, 0, 0),
    "io_uring": call("syscall", 425, 8, ctypes.byref((ctypes.c_char * 120)())),
    "memory": 0 if bytearray(10 << 20) else 1,
}
try:
    import wave
    tried["import"] = 0
except (ImportError, OSError):
    tried["import"] = errno.EACCES
print(json.dumps({"facts": facts, "tried": {k: errno.errorcode.get(v, v) for k, v in tried.items()}}))
"""
NO_EFFECT = {"EACCES", "EPERM", "ENOSYS", "EMFILE", "EAGAIN"}


def attempt(folder: Path, fence: str) -> dict:
    for name in ("there", "there2", "goes"):
        (folder / name).write_text("x")
    out = subprocess.run(
        [sys.executable, "-B", "-c", TRIES.replace("FENCE", fence), str(folder), str(os.getpid())],
        capture_output=True, text=True, timeout=60, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert out.returncode == 0, out.stderr
    return json.loads(out.stdout)


def fence(policy: str) -> str:
    return f"from mmkg.sandbox import *\nfrom mmkg.sandbox import Policy, enter\nfacts = enter({policy})"


def unchanged(folder: Path) -> bool:
    files = {p.name: p.read_text() if p.is_file() else "" for p in folder.iterdir()}
    return files == {"there": "x", "there2": "x", "goes": "x"} and (folder / "there").stat().st_mode & 0o777 != 0o777


def need(facts: dict) -> None:
    """What this kernel lets everyone have; a kernel without it has nothing to show here."""
    if not facts["seccomp"]:
        pytest.skip("this kernel or processor has no filter of system calls")


def test_without_fences_all_of_it_works(tmp_path: Path) -> None:
    """The tests below can fail."""
    tried = attempt(tmp_path, "facts = {}")["tried"]
    assert tried.pop("trace") == "ESRCH"  # there is no such process; one that is there would be stopped
    assert not {k: v for k, v in tried.items() if v and k != "io_uring"}
    assert not unchanged(tmp_path)


# Root without its capabilities is an ordinary user as far as the fences go.
ORDINARY = "libc.capset((ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)())\n"


@pytest.mark.parametrize("first", ["", ORDINARY], ids=["self", "ordinary"])
def test_a_parser_reads_code_and_nothing_else(tmp_path: Path, first: str) -> None:
    found = attempt(tmp_path, first + fence("Policy(read=readable_for_python())"))
    need(found["facts"])
    allowed = {"read-library", "import", "memory"} | (
        {"read", "read-passwd"} if not found["facts"]["landlock"] else set()
    )
    assert {k for k, v in found["tried"].items() if v == 0} == allowed
    assert {v for v in found["tried"].values() if v} <= NO_EFFECT
    assert found["facts"]["landlock"] == landlock_version()
    assert unchanged(tmp_path)


def test_a_query_process_opens_nothing(tmp_path: Path) -> None:
    found = attempt(tmp_path, "import wave\n" + fence("Policy(opens=False), all_threads=True"))
    need(found["facts"])
    assert {k for k, v in found["tried"].items() if v == 0} == {"import", "memory"}
    assert unchanged(tmp_path)


def test_the_filter_binds_threads_that_run_already(tmp_path: Path) -> None:
    early = (
        "go, early = threading.Event(), []\n"
        "def wait():\n    go.wait(); early.append(libc.socket(2, 1, 0)); early.append(libc.unlink(path('goes')))\n"
        "runs = threading.Thread(target=wait); runs.start()\n"
        + fence("Policy(opens=False), all_threads=True")
        + "\ngo.set(); runs.join(); facts['early'] = early\n"
    )
    code = early.replace("path('goes')", "os.path.join(folder, 'goes').encode()")
    found = attempt(tmp_path, code)
    need(found["facts"])
    assert found["facts"]["early"] == [-1, -1] and unchanged(tmp_path)


def test_the_store_may_write_and_still_not_call_or_start(tmp_path: Path) -> None:
    found = attempt(tmp_path, fence("Policy(changes=True)"))
    need(found["facts"])
    stopped = {k for k, v in found["tried"].items() if v}
    assert stopped >= {"socket", "socket-unix", "socket-of-a-thread", "execute", "fork", "signal", "trace", "io_uring"}
    assert not stopped & {"write", "make", "unlink", "rename", "read", "mkdir", "truncate"}


def test_elsewhere_it_says_that_nothing_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    from mmkg import sandbox

    monkeypatch.setattr(sandbox.sys, "platform", "win32")
    assert sandbox.enter(sandbox.Policy()) == {"namespace": False, "landlock": 0, "seccomp": False}
    assert sandbox.landlock_version() == 0


def test_the_parser_process_is_closed_in(tmp_path: Path) -> None:
    """What the pool's children do before their first file, then the same attempts from native code."""
    found = attempt(tmp_path, "from mmkg.ingest import guard\nfacts = guard.close_in(3 << 30, 1 << 20)")
    need(found["facts"])
    readable = {"read", "read-passwd"} if not found["facts"]["landlock"] else set()
    assert {k for k, v in found["tried"].items() if v == 0} == {"read-library", "import", "memory"} | readable
    assert unchanged(tmp_path)


def test_the_query_process_is_closed_in(tmp_path: Path) -> None:
    code = "import mmkg.store.embedded.limits as limits, wave\nlimits.prepare()\nfacts = limits.lock()"
    found = attempt(tmp_path, code)
    need(found["facts"])
    assert {k for k, v in found["tried"].items() if v == 0} == {"import", "memory"}
    assert found["facts"]["landlock"] == landlock_version() and unchanged(tmp_path)


def test_without_the_kernels_fences_pythons_own_still_hold(tmp_path: Path) -> None:
    code = (
        "from mmkg.ingest import guard\nfacts = guard.close_in(3 << 30, 1 << 20, sandbox=False)\n"
        "import socket\n"
        "for act in (socket.socket, lambda: open(path('new'), 'w'), lambda: os.unlink(path('goes'))):\n"
        "    try:\n        act(); facts['failed'] = True\n    except PermissionError:\n        pass\n"
        "print(json.dumps({'facts': facts, 'tried': {}})); sys.exit()\n"
    ).replace("path(", "os.path.join(folder, ")
    found = attempt(tmp_path, code)
    assert found["facts"]["python"] and not found["facts"]["seccomp"] and "failed" not in found["facts"]
    assert unchanged(tmp_path)
