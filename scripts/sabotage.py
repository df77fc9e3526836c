"""How many bugs the suite catches: each of a list of seeded bugs is put into a copy of the package, and its tests are run.

    python scripts/sabotage.py                  all of them, after the same tests passed on an untouched copy
    python scripts/sabotage.py --only lock      those whose name contains the word
    python scripts/sabotage.py --list           names and what they break

A bug is a replacement of an exact piece of source; if that piece is no longer there, or there twice, the script stops, and the list
must be brought up to date. Exit code 1 if fewer than --least bugs were caught.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
STORE = "mmkg/store/folder/"
STATES = "tests/reliability/test_states.py"
ORDER = "tests/reliability/test_write_order.py"
KILL = "tests/reliability/test_kill.py"
ALGEBRA = "tests/reliability/test_algebra.py"
DIGEST = "tests/store/test_digest.py"


@dataclass(frozen=True)
class Bug:
    """name; what is broken; file; old and new text; tests that should notice (paths as pytest takes them)."""

    name: str
    what: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


BUGS = (
    Bug("skipped-fsync", "a file gets its name before its bytes are on disk", "mmkg/store/durable.py",
        "    os.fsync(file.fileno())\n", "", (ORDER,)),
    Bug("skipped-folder-sync", "a name is not on disk when the commit uses it", "mmkg/store/durable.py",
        "    sync_folder(path.parent)\n", "", (ORDER,)),
    Bug("lazy-ledger", "a commit returns before it is on disk", STORE + "ledger.py",
        '"PRAGMA synchronous = FULL"', '"PRAGMA synchronous = NORMAL"', (ORDER,)),
    Bug("early-acknowledgement", "a file is reported before its batch is committed", "mmkg/adding/decisions.py",
        "            with Timer(self.report.timings, \"publish\"):\n                published",
        "            for early, place in reports:\n                self._tick(early, place)\n            with Timer(self.report.timings, \"publish\"):\n                published",
        (KILL + "::test_killed_at",)),
    Bug("visible-when-staged", "a document is visible before its index and graph are written", STORE + "facts.py",
        'state="staged"', 'state="visible"', (STATES, KILL)),
    Bug("files-deleted-too-soon", "originals go before the commit that drops them", STORE + "writer.py",
        "            orphans = delete_documents(ledger, [*gone, *dropped])\n",
        "            orphans = delete_documents(ledger, [*gone, *dropped])\n            self.blobs.delete(orphans)\n", (ORDER,)),
    Bug("originals-kept", "the original of a removed document stays", STORE + "writer.py",
        "        self.blobs.delete(orphans)\n", "", (STATES, ALGEBRA)),
    Bug("no-tidying-after-a-kill", "what a killed writer left stays for ever", STORE + "writer.py",
        "                if self._lock.unclean:\n", "                if False:\n", (KILL + "::test_what_a_killed_removal_left_goes_with_the_next_writer",)),
    Bug("dropped-last-chunk", "the end of a long text is not indexed", "mmkg/ingest/chunk.py",
        "        self._flush()\n        if len(self.done) > 1:\n", "        if len(self.done) > 1:\n",
        ("tests/ingest/test_assemble.py", "tests/ingest/test_text_loaders.py")),
    Bug("forgotten-vector", "words and vectors of a removed unit stay in the index", STORE + "writer.py",
        "[(u,) for u in sorted(units_gone)]", "[(u,) for u in sorted(units_gone)[1:]]", (STATES, DIGEST)),
    Bug("ignored-tombstone", "a reader does not leave out removed units", STORE + "assemble.py",
        "    kept = kept[~np.isin(no[kept], dead)]\n", "    kept = kept[~np.isin(no[kept], dead[:0])]\n", (STATES, "tests/store/test_index.py")),
    Bug("shared-entity-deleted", "an entity goes with the first document that named it", STORE + "derived.py",
        "            if units == 0:\n", "            if sums.units[e] < 0:\n", (DIGEST, "tests/store/test_derived.py")),
    Bug("wrong-df", "document frequencies are not lowered", "mmkg/store/derivation.py",
        "        sums.df.subtract(had - has)\n", "", (DIGEST, "tests/store/test_derived.py")),
    Bug("stale-alias", "an alias stays when its definition is gone", "mmkg/store/derivation.py",
        "    rows.change_same_as(sorted(present - wanted), sorted(wanted - present))\n",
        "    rows.change_same_as([], sorted(wanted - present))\n", ("tests/store/test_derived.py", DIGEST)),
    Bug("graph-not-told", "removed documents stay in the graph", "mmkg/store/graph_rows.py",
        "delete_nodes=(*deleted, *", "delete_nodes=(*deleted[:0], *", (KILL + "::test_killed_at", "tests/reliability/test_divergence.py")),
    Bug("cached-failure", "what a failing model did not give is kept as if it had", "mmkg/adding/reading.py",
        '                    failed[arrivals[0].document] = reason("model", f"encoding failed: {e}")\n',
        "                    pass\n", ("tests/reliability/test_failing_encoder.py",)),
    Bug("keyword-filter", "queries are judged by words in the text, not by tokens", "mmkg/cypher/gate.py",
        "    _Gate(cypher, tokens).run()\n",
        "    if any(w in cypher.upper() for w in (\"DELETE\", \"CREATE\", \"MERGE\", \"LOAD CSV\")):\n        raise WriteRefusedError(\"refused\")\n",
        ("tests/cypher/test_gate.py",)),
    Bug("unescaped-output", "text of documents is markup in the page", "mmkg/display.py",
        "    return html.escape(_clean(text), quote=True)\n", "    return _clean(text)\n", ("tests/test_display.py",)),
    Bug("terminal-escapes", "text of documents moves the cursor", "mmkg/cli/output.py",
        '    return "".join(c for c in text if unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Zl", "Zp"))\n',
        "    return text\n", ("tests/cli/test_commands.py::test_words_of_documents_are_inert",)),
    Bug("pixel-limit", "pictures of any size are decoded", "mmkg/ingest/pictures.py",
        "    if width * height > max_pixels:\n", "    if False:\n", ("tests/ingest/test_image.py",)),
    Bug("parser-may-do-anything", "a parser may open sockets and write files", "mmkg/ingest/guard.py",
        "    sys.addaudithook(_hook)\n", "    return\n", ("tests/ingest/test_pool.py", "tests/reliability/test_outside_references.py")),
    Bug("query-limit", "a user's query may run ten minutes", "mmkg/store/embedded/graph.py",
        "                    timeout_s=left + GRACE_S,\n", "                    timeout_s=600,\n",
        ("tests/store/test_embedded_engine.py",)),
    Bug("lock-not-taken", "two processes write at once", STORE + "lock.py",
        "            self._lock.acquire(timeout=wait_s)\n", "            pass\n", ("tests/reliability/test_processes.py",)),
    Bug("reader-moves", "a reader does not stay on its generation", STORE + "reader.py",
        '            self._ledger.db.execute("BEGIN")\n', "            pass\n", ("tests/reliability/test_processes.py", STATES)),
    Bug("unchecked-segment", "altered index files are believed", STORE + "index.py",
        "sha256=item[1] if self._verify else None", "sha256=None", ("tests/store/test_index.py", "tests/store/test_doctor.py")),
    Bug("another-space", "vectors of another model are searched", "mmkg/encode/spaces.py",
        "    if not math.isfinite(lowest) or lowest < MIN_COSINE:\n", "    if False:\n", ("tests/encode/test_spaces.py",)),
    Bug("doctor-blind", "doctor does not see a missing edge", STORE + "comparing.py",
        '            yield Problem(kind="graph-edge-missing", id=id_, detail="")\n', "            pass\n", ("tests/store/test_doctor.py",)),
    Bug("purge-without-vacuum", "freed pages of the ledger keep removed words", STORE + "compact.py",
        "    writer.ledger.vacuum()\n", "", (ALGEBRA, "tests/store/test_compact.py")),
    Bug("purge-leaves-files", "files of earlier generations keep removed words", STORE + "compact.py",
        "    _delete_leftovers(writer)\n    tell.done()\n", "    tell.done()\n", (ALGEBRA, "tests/store/test_compact.py")),
    Bug("parts-seen-early", "a long text of which parts are missing counts as staged", STORE + "parts.py",
        'ARRIVING = "arriving"', 'ARRIVING = "staged"', ("tests/store/test_parts.py",)),
    Bug("df-per-part", "an entity counts once for each part of a long text", "mmkg/store/derivation.py",
        "    for entity in here - seen:\n", "    for entity in here:\n", ("tests/store/test_parts.py",)),
    Bug("order-in-the-digest", "the digest depends on the order of additions", STORE + "digest.py",
        "WHERE state = 'visible' ORDER BY id", "WHERE state = 'visible' ORDER BY no", (ALGEBRA, DIGEST)),
)  # fmt: skip


@contextmanager
def copy() -> Iterator[Path]:
    """A copy of what the tests need."""
    with tempfile.TemporaryDirectory(prefix="mmkg-sabotage-") as folder:
        for name in ("mmkg", "tests", "scripts", "data", "docs"):
            shutil.copytree(ROOT / name, Path(folder) / name, ignore=shutil.ignore_patterns("__pycache__"))
        for path in ROOT.iterdir():
            if path.is_file():
                shutil.copy(path, folder)
        yield Path(folder)


def put_in(bug: Bug, root: Path) -> None:
    """Raises SystemExit if the source is no longer what the bug was written for."""
    path = root / bug.file
    text = path.read_text(encoding="utf-8")
    if text.count(bug.old) != 1:
        raise SystemExit(f"{bug.name}: expected its text once in {bug.file}, found it {text.count(bug.old)} times")
    changed = text.replace(bug.old, bug.new)
    compile(changed, bug.file, "exec")  # a slip in the list must not count as caught
    path.write_text(changed, encoding="utf-8")


def run(root: Path, tests: list[str], timeout_s: float) -> tuple[bool, str]:
    """(passed, the first test that failed) of the tests that exist; (True, why) if they did not end."""
    tests = [t for t in tests if (root / t.partition("::")[0]).exists()]
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-x",
        "-p",
        "no:cacheprovider",
        "-m",
        "not slow and not gpu",
        *tests,
    ]
    env = {**os.environ, "PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1", "MMKG_HASHING": "1", "MMKG_SEED": "1"}
    try:
        done = subprocess.run(command, cwd=root, env=env, capture_output=True, text=True, timeout=timeout_s)
    except subprocess.TimeoutExpired:
        return True, f"not decided: the tests did not end within {timeout_s:g} s"
    found = re.search(r"^(?:FAILED|ERROR) (\S+)", done.stdout, re.MULTILINE)
    if done.returncode not in (0, 1) and not found:
        raise SystemExit(f"pytest did not run:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.returncode == 0, found.group(1) if found else ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="names that contain this")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--least", type=float, default=0.9, help="share that must be caught")
    parser.add_argument("--no-baseline", action="store_true", help="do not run the tests on an untouched copy first")
    parser.add_argument("--timeout", type=float, default=900.0, help="seconds for the tests of one bug")
    given = parser.parse_args()
    bugs = [b for b in BUGS if given.only in b.name]
    if given.list:
        for bug in bugs:
            print(f"{bug.name:26} {bug.what}")
        return
    for bug in bugs:  # all anchors first: a stale list should not show after an hour
        text = (ROOT / bug.file).read_text(encoding="utf-8")
        if text.count(bug.old) != 1:
            raise SystemExit(f"{bug.name}: expected its text once in {bug.file}, found it {text.count(bug.old)} times")
    if not given.no_baseline:
        with copy() as root:
            passed, failed = run(root, sorted({t for b in bugs for t in b.tests}), 4 * given.timeout)
        if not passed:
            raise SystemExit(f"{failed} fails without any bug: nothing can be learnt")
    caught = 0
    print("| bug | what it breaks | caught by | s |\n| --- | --- | --- | --- |", flush=True)
    for bug in bugs:
        begun = time.monotonic()
        with copy() as root:
            put_in(bug, root)
            passed, failed = run(root, list(bug.tests), given.timeout)
        caught += not passed
        name = failed.removeprefix("tests/") or "**nothing**"
        print(f"| {bug.name} | {bug.what} | {name} | {time.monotonic() - begun:.0f} |", flush=True)
    print(f"\n{caught} of {len(bugs)} caught")
    sys.exit(caught < given.least * len(bugs))


if __name__ == "__main__":
    main()
