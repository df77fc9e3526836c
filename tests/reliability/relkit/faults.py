"""Faults below Python: builds faults.c, and tells it which call shall fail. SQLite and the graph engine meet them too."""

from __future__ import annotations

import errno
import mmap
import os
import shutil
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

_HEAD = struct.Struct("<qqiiiii")
_ROOT, _LOG, _WHAT, _WHERE = 36, 36 + 1024, 36 + 2048, 36 + 2112
_SIZE = 8192
MODES = {"enospc": 1, "eio": 1, "short": 2, "kill": 3, "torn": 4}


def build(folder: Path) -> Path | None:
    """The library, or None where there is no C compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        return None
    target = folder / "faults.so"
    source = Path(__file__).with_name("faults.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-O2", "-o", target, source, "-ldl"], check=True, capture_output=True)
    return target


def environment(library: Path, state: Path) -> dict[str, str]:
    """What a process needs to meet the faults. state: a file that holds the counter."""
    state.write_bytes(bytes(_SIZE))
    return {"LD_PRELOAD": str(library), "MMKG_FAULT_STATE": str(state)}


def arm(root: str, mode: str = "", n: int = 0, log: str = "") -> None:
    """In the child: from here on the n-th call below root does what mode says ("" counts only), in this process and its engines.

    mode: enospc (and the disk stays full), eio (once), short (half a write, once), kill (before the call), torn (after half of it).
    """
    from mmkg.store.embedded import process

    process._KEPT = (*process._KEPT, "LD_PRELOAD", "MMKG_FAULT_STATE")
    with open(os.environ["MMKG_FAULT_STATE"], "r+b") as f:
        state = mmap.mmap(f.fileno(), _SIZE)
    error = errno.ENOSPC if mode == "enospc" else errno.EIO
    for at, text in ((_LOG, log), (_WHAT, ""), (_WHERE, "")):
        state[at : at + len(text.encode()) + 1] = text.encode() + b"\0"
    _HEAD.pack_into(state, 0, 0, n, MODES.get(mode, 0), error, int(mode == "enospc"), 0, os.getpid())
    state[_ROOT : _ROOT + len(root.encode()) + 1] = root.encode() + b"\0"  # last: it switches the counting on


@dataclass
class Met:
    """What the state file says after a run: calls counted, and which one was hit, if any."""

    calls: int
    fired: bool
    what: str
    where: str


def met(state: Path) -> Met:
    data = state.read_bytes()
    calls, _, _, _, _, fired, _ = _HEAD.unpack_from(data)
    what, where = (data[at:].split(b"\0", 1)[0].decode() for at in (_WHAT, _WHERE))
    return Met(calls, bool(fired), what, where)


def disarm(state: Path) -> None:
    """Nothing fails any more, for whoever still runs."""
    with state.open("r+b") as f:
        f.write(bytes(_SIZE))
