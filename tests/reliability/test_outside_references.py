"""T8: documents that point outside are read, and nothing that they point to is.

Three witnesses: an audit hook inside the parser (attempts), a listener on the loopback (connections), and the kernel's record
of who opened the canary file (reads, native code included). The loaders are watched without their fences, which would hide an attempt.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mmkg.testing.listener import Listener
from mmkg.testing.outside_references import carriers

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the kernel's record of opened files is Linux's")
CANARY = "canary-71c2e0"
ROOT = Path(__file__).resolve().parents[2]


class Witness:
    """A canary file, a listener, and what happened to them."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.file = folder / "secret.txt"
        self.file.write_text(f"{CANARY} <x>1</x>")
        self.listener = Listener()
        self.url = f"http://127.0.0.1:{self.listener.port}"
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._notify = self._libc.inotify_init1(os.O_NONBLOCK)
        assert self._libc.inotify_add_watch(self._notify, str(folder).encode(), 0x20 | 0x1) >= 0  # opened, read

    def reads(self) -> int:
        """How often the file was opened or read since the last call."""
        n = 0
        while select.select([self._notify], [], [], 0.05)[0]:
            data = os.read(self._notify, 65536)
            while data:
                length = struct.unpack_from("I", data, 12)[0]
                n += data[16 : 16 + length].startswith(b"secret")
                data = data[16 + length :]
        return n

    def close(self) -> None:
        self.listener.close()
        os.close(self._notify)


@pytest.fixture
def witness(tmp_path: Path) -> Iterator[Witness]:
    witness = Witness(tmp_path / "outside")
    yield witness
    witness.close()


WATCHED = """
import json, sys
from pathlib import Path
from mmkg.config import Limits
from mmkg.ingest.worker import parse
outside, attempts, now = sys.argv[2], [], ""
try:
    import urllib3  # comes with the OCR package, and binds a socket of its own once, to learn whether IPv6 is there
except ImportError:
    pass
def watch(event, arguments):
    if event.startswith(("socket.", "urllib.", "http.", "ftplib.", "subprocess.", "os.system", "os.exec", "os.posix_spawn", "os.fork")):
        if event not in ("socket.gethostname", "socket.__init__"):
            attempts.append((now, event, repr(arguments)[:200]))
    elif event == "open" and str(arguments[0]).startswith(outside):
        attempts.append((now, event, str(arguments[0])))
sys.addaudithook(watch)
found = {}
for path in sorted(Path(sys.argv[1]).iterdir()):
    now = path.name
    header, _ = parse(path, Limits(), 1000, True)
    found[now] = [header["status"], header["reason"], json.dumps(header.get("facts", ""))]
now = ""
EXTRA
print(json.dumps([attempts, found]))
"""


def watched(folder: Path, witness: Witness, extra: str = "") -> tuple[list, dict]:
    out = subprocess.run(
        [sys.executable, "-c", WATCHED.replace("EXTRA", extra), str(folder), str(witness.file.parent)],
        capture_output=True, text=True, timeout=300, env={**os.environ, "PYTHONPATH": str(ROOT)}, cwd=folder,
    )  # fmt: skip
    assert out.returncode == 0, out.stderr
    attempts, found = json.loads(out.stdout)
    return attempts, found


def put(folder: Path, witness: Witness) -> dict[str, bytes]:
    made = carriers(str(witness.file), witness.url)
    folder.mkdir()
    for name, data in made.items():
        (folder / name).write_bytes(data)
    return made


def test_nothing_outside_is_even_tried(tmp_path: Path, witness: Witness, record_property) -> None:
    made = put(tmp_path / "in", witness)
    assert len(made) >= 30
    attempts, found = watched(tmp_path / "in", witness)
    assert attempts == [] and witness.listener.connections == 0 and witness.reads() == 0
    assert found.keys() == made.keys()
    for name, (status, reason, facts) in found.items():
        assert CANARY not in facts, name
        assert status == "ok" or name in SKIPPED, (name, status, reason)
        assert status != "ok" or "Carrier" in facts, name
    record_property("cases", len(made))


SKIPPED = {"picture.svg", "content.pdf"}
"""An SVG has no loader yet; a page whose text lies in another file has none."""


@pytest.mark.parametrize("sandbox", [True, False], ids=["fenced", "bare"])
def test_adding_them_fetches_nothing(tmp_path: Path, witness: Witness, make_kb, sandbox: bool, record_property) -> None:
    made = put(tmp_path / "in", witness)
    kb = make_kb(sandbox=sandbox)
    report = kb.add(tmp_path / "in")
    assert len(report.documents) == len(made) and report.counts["added"] >= len(made) - 3
    for document in kb.documents():
        assert CANARY not in kb.document_text(document["id"])
    assert kb.search(CANARY, k=3) == [] or all(CANARY not in e.text for e in kb.search(CANARY, k=3))
    assert witness.listener.connections == 0 and witness.reads() == 0
    record_property("cases", len(made))


def test_the_witnesses_see_what_there_is_to_see(tmp_path: Path, witness: Witness) -> None:
    """The tests above can fail: a fetch by Python, a read by native code, and a read by Python are all noticed."""
    (tmp_path / "in").mkdir()
    host, port = witness.url.removeprefix("http://").split(":")
    careless = (
        f"import socket; socket.create_connection(({host!r}, {port})).close()\n"
        f"open({str(witness.file)!r}).close()\n"
        "from lxml import etree\n"
        f"etree.fromstring(b'<!DOCTYPE a [<!ENTITY x SYSTEM \"file://{witness.file}\">]><a>&x;</a>', "
        "etree.XMLParser(resolve_entities=True, load_dtd=True))\n"
    )
    attempts, _ = watched(tmp_path / "in", witness, careless)
    assert {event for _, event, _ in attempts} >= {"socket.connect", "open"}
    end = time.monotonic() + 5
    while witness.listener.connections == 0 and time.monotonic() < end:
        time.sleep(0.02)
    assert witness.listener.connections == 1 and witness.reads() >= 2
    with contextlib.suppress(OSError):
        witness.file.read_text()
    assert witness.reads() >= 1
