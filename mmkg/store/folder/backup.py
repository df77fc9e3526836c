"""Copies of a base: taken while others read and one writes, brought up to date at little cost, checked, and put back.

A backup is a folder laid out like a base, with backup.json beside. Its ledger is one committed state of the base's. All other
files never change once written, so a copy that is there is not made again; and the new ledger takes the old one's place,
by one rename, only when every file that it names is there. Whatever moment a kill comes at, the folder holds the old
backup or the new one.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from mmkg.errors import NotFoundError, StoreDamagedError, StoreError
from mmkg.protocols import ProgressCallback
from mmkg.store.blobs import Blobs
from mmkg.store.durable import put_in_place, sync_file, sync_folder, write_atomic
from mmkg.store.folder.digest import digest
from mmkg.store.folder.ledger import NAME as LEDGER
from mmkg.store.folder.ledger import Generation, Ledger
from mmkg.store.folder.lock import WriterLock
from mmkg.store.folder.lookups import all_blobs
from mmkg.store.manifest import is_base, load
from mmkg.types import Progress

MARK = "backup.json"
_TRIES = 5
_PAGES = 4096
"""Ledger pages copied at a time."""


@dataclass(slots=True, kw_only=True)
class Copied:
    """What a backup or a restoration did.

    copied, kept, dropped: numbers of files written, found there already, and deleted because they are not needed any more.
    bytes: written. damaged: files of the source that are missing or have other bytes than recorded; they were left out.
    """

    target: Path
    generation: int
    digest: str
    copied: int = 0
    kept: int = 0
    dropped: int = 0
    bytes: int = 0
    damaged: list[str] = field(default_factory=list)
    seconds: float = 0.0


def backup(
    root: Path, target: Path, *, verify: bool = False, wait_s: float = 0.5, progress: ProgressCallback | None = None
) -> Copied:
    """Copy the current state of the base in `root` into `target`, a new or empty folder or an earlier backup of this base.

    verify: also hash the files that an earlier backup left; without it only their size is looked at. Cost: the ledger, and
    the files that are new. Raises NotFoundError, StoreError for a target that is something else, StoreLockedError if
    another backup writes there, StoreDamagedError if the copied ledger has not the digest of the base.
    """
    started = time.monotonic()
    base = _identity(root)
    with _place(root, target, base, wait_s) as folder:
        state = _copy_base(root, folder, target, verify=verify, progress=progress)
        mark = {"mmkg_backup": 1, "base": base, "generation": state.generation, "digest": state.digest}
        write_atomic(folder / MARK, json.dumps(mark, indent=1).encode(), point="backup-mark")
    state.seconds = time.monotonic() - started
    return state


def restore(source: Path, target: Path, *, overwrite: bool = False, progress: ProgressCallback | None = None) -> Copied:
    """Make a base in `target` from a backup. Every file is hashed on the way.

    overwrite: a base that is in `target` is replaced, once the new one is whole. Raises NotFoundError if `source` is no
    backup, StoreError for a target that is not empty, StoreDamagedError if its ledger has not the recorded digest.
    """
    started = time.monotonic()
    mark = read_mark(source)
    if mark is None:
        raise NotFoundError(f"{source} is no backup", hint="`mmkg backup TARGET` makes one")
    apart(source, target)
    _put_back(target)
    used = target.exists() and any(target.iterdir())
    if used and not overwrite:
        raise StoreError(
            f"{target} is not empty", hint="name a new folder, or pass --overwrite to replace the base in it"
        )
    if used and not is_base(target):
        raise StoreError(f"{target} holds something that is no base", hint="name a new or empty folder")
    with ExitStack() as stack:
        if used:
            stack.callback(WriterLock(target).release)
        aside = aside_of(target)
        stack.callback(shutil.rmtree, aside, ignore_errors=True)
        _make(aside)
        state = _copy_base(source, aside, target, verify=True, progress=progress)
        if state.digest != mark["digest"]:
            raise StoreDamagedError(
                f"the ledger of {source} is not the one that was backed up",
                hint="`mmkg salvage` what can still be read",
            )
        Ledger.open(aside, writable=True).close()  # from here on it is a base that is written beside its readers
        if used:
            old = target.with_name(f".{target.name}.{os.getpid()}.old")
            os.replace(target, old)
            stack.callback(shutil.rmtree, old, ignore_errors=True)
        os.replace(aside, target)
        sync_folder(target.parent)
    state.seconds = time.monotonic() - started
    return state


def read_mark(folder: Path) -> dict[str, Any] | None:
    """What backup.json says, or None if there is none that can be read."""
    try:
        mark = json.loads((folder / MARK).read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    wanted = {"mmkg_backup": int, "base": str, "generation": int, "digest": str}
    if not isinstance(mark, dict) or any(not isinstance(mark.get(k), kind) for k, kind in wanted.items()):
        return None
    return mark


# ---- the target ----


def _identity(root: Path) -> str:
    """The base's own id. Raises NotFoundError, StoreError for a base of format 1, which has none."""
    if not is_base(root):
        raise NotFoundError(f"no knowledge base in {root}", hint="`mmkg add PATH` makes one")
    with closing(Ledger.open(root)) as ledger:
        found = ledger.meta("base")
    if found is None:
        raise StoreError(
            f"{root} is of an older format", hint="run a command that writes first, such as `mmkg compact`"
        )
    return found


@contextmanager
def _place(root: Path, target: Path, base: str, wait_s: float) -> Iterator[Path]:
    """The folder to write into: an earlier backup itself, or one aside that becomes the target at the end."""
    apart(root, target)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        mark = read_mark(target)
        if mark is None:
            raise StoreError(f"{target} is not empty and no backup", hint="name a new or empty folder")
        if mark["base"] != base:
            raise StoreError(f"{target} is a backup of another base", hint="name another folder")
        lock = WriterLock(target, wait_s=wait_s)
        try:
            yield target
        finally:
            lock.release()
        return
    aside = aside_of(target)
    _make(aside)
    try:
        yield aside
        os.replace(aside, target)
        sync_folder(target.parent)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def apart(a: Path, b: Path) -> None:
    """Raises StoreError if one folder lies in the other."""
    one, other = a.resolve(), b.resolve()
    if one == other or one in other.parents or other in one.parents:
        raise StoreError(f"{b} and {a} lie in one another", hint="name a folder outside")


def _put_back(target: Path) -> None:
    """A restoration that was killed between its two renames left the base that it was to replace under another name."""
    for old in sorted(target.parent.glob(f".{target.name}.*.old")):
        pid = re.fullmatch(rf"\.{re.escape(target.name)}\.(\d+)\.old", old.name)
        if pid and not _alive(int(pid[1])):
            if target.exists():
                shutil.rmtree(old, ignore_errors=True)
            else:
                os.replace(old, target)


def aside_of(target: Path) -> Path:
    """A folder beside the target for the new copy; those of killed runs go."""
    target.parent.mkdir(parents=True, exist_ok=True)
    for left in target.parent.glob(f".{target.name}.*.tmp"):
        pid = re.fullmatch(rf"\.{re.escape(target.name)}\.(\d+)\.tmp", left.name)
        if pid and not _alive(int(pid[1])):
            shutil.rmtree(left, ignore_errors=True)
    return target.with_name(f".{target.name}.{os.getpid()}.tmp")


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _make(folder: Path) -> None:
    for path in (folder, folder / "blobs", folder / "graph", folder / "index"):
        path.mkdir(parents=True, exist_ok=True)


# ---- copying ----


class _State:
    """One committed state of a base, held: its ledger in a read transaction, the files of its generation open."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.missing: list[str] = []
        with ExitStack() as stack:
            self.ledger = stack.enter_context(closing(Ledger.open(root)))
            self.ledger.db.execute("BEGIN")
            self.generation: Generation = self.ledger.current()
            self.files: dict[str, tuple[IO[bytes], str]] = {}
            g = self.generation
            for ref in (*g.text_segments, *g.incidence_segments, *g.graph_deltas, g.graph_snapshot):
                if ref is not None:
                    try:
                        # Open files outlive a writer that sweeps them away.
                        self.files[ref.name] = stack.enter_context((root / ref.name).open("rb")), ref.sha256
                    except FileNotFoundError:
                        self.missing.append(ref.name)
            self._stack = stack.pop_all()

    def __enter__(self) -> _State:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()


def _copy_base(root: Path, folder: Path, target: Path, *, verify: bool, progress: ProgressCallback | None) -> Copied:
    """Bring the copy in `folder` to one state of the base in `root`: files first, then the ledger that names them."""
    out = Copied(target=target, generation=0, digest="")
    with ExitStack() as stack:
        for last in (*[False] * (_TRIES - 1), True):
            stack.close()
            state = stack.enter_context(_State(root))
            wanted = all_blobs(state.ledger)
            missing = state.missing + _copy_blobs(root, folder, sorted(wanted), out, verify, progress)
            # A writer may have taken a document out meanwhile, its blobs with it: then a newer state does without them.
            if last or not missing:
                break
        out.damaged += missing
        for name, (file, sha256) in state.files.items():
            _copy(file, folder / name, sha256, name, out, verify=True)
        load(root, state.ledger).write_copy(folder)
        out.generation = state.generation.no
        out.digest = _copy_ledger(state, folder, out, progress)
        names = state.generation.files()
    _drop_unwanted(folder, names, wanted, out)
    return out


def _copy_blobs(
    root: Path, folder: Path, hashes: list[str], out: Copied, verify: bool, progress: ProgressCallback | None
) -> list[str]:
    """Returns the names of those that the source has lost. Counts of an earlier try begin anew."""
    source, copy = Blobs(root / "blobs"), Blobs(folder / "blobs")
    out.kept, out.damaged, lost = 0, [], []
    for i, sha256 in enumerate(hashes):
        if progress and i % 500 == 0:
            progress(Progress(stage="backup", done=i, total=len(hashes) + 1, item="originals"))
        name = f"blobs/{sha256[:2]}/{sha256}"
        try:
            with source.path(sha256).open("rb") as file:
                _copy(file, copy.path(sha256), sha256, name, out, verify=verify)
        except FileNotFoundError:
            if copy.intact(sha256):
                out.kept += 1
            else:
                lost.append(name)
    return lost


def _copy(file: IO[bytes], path: Path, sha256: str, name: str, out: Copied, *, verify: bool) -> None:
    """One file that never changes, unless it is there. What has not the recorded hash is named and left out."""
    size = os.fstat(file.fileno()).st_size
    with suppress(FileNotFoundError):
        if path.stat().st_size == size and (not verify or _sha256(path) == sha256):
            out.kept += 1
            return
    path.parent.mkdir(exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    found = hashlib.sha256()
    try:
        with aside.open("wb") as to:
            while part := file.read(1 << 20):
                found.update(part)
                to.write(part)
            sync_file(to, "backup-file")
        if found.hexdigest() != sha256:
            out.damaged.append(name)
            return
        put_in_place(aside, path, "backup-file")
    finally:
        aside.unlink(missing_ok=True)
    out.copied += 1
    out.bytes += size


def _copy_ledger(state: _State, folder: Path, out: Copied, progress: ProgressCallback | None) -> str:
    """The ledger of the state, checked before it takes its place; returns the digest. Its rename is the commit."""
    aside = folder / f".{LEDGER}.{os.getpid()}.tmp"

    def tell(_: int, left: int, total: int) -> None:
        if progress:
            progress(Progress(stage="backup", done=total - left, total=total, item="ledger pages"))

    try:
        with closing(sqlite3.connect(aside)) as copy:
            state.ledger.db.backup(copy, pages=_PAGES, progress=tell)
            copy.execute("PRAGMA journal_mode = DELETE")  # a backup on a medium that cannot be written still opens
        with aside.open("r+b") as file:
            sync_file(file, "backup-ledger")
        with closing(Ledger.open(folder, name=aside.name)) as copied:
            found = digest(copied)
        if found != digest(state.ledger):
            raise StoreDamagedError("the copy of the ledger differs from the ledger", hint="run the command again")
        out.bytes += aside.stat().st_size
        out.copied += 1
        for end in ("-wal", "-shm"):  # of the ledger before: they would be taken for the new one's
            (folder / f"{LEDGER}{end}").unlink(missing_ok=True)
        put_in_place(aside, folder / LEDGER, "backup-ledger")
    except sqlite3.Error as e:
        raise StoreError(
            f"the ledger cannot be copied to {folder}: {e}", hint="free some space and run the command again"
        ) from e
    finally:
        for end in ("", "-wal", "-shm", "-journal"):
            aside.with_name(aside.name + end).unlink(missing_ok=True)
    return found


def _drop_unwanted(folder: Path, names: set[str], blobs: set[str], out: Copied) -> None:
    """Delete what the ledger that is now in place does not name."""
    for part in ("graph", "index"):
        for path in (folder / part).iterdir():
            if f"{part}/{path.name}" not in names:
                path.unlink()
                out.dropped += 1
    copy = Blobs(folder / "blobs")
    gone = [sha256 for sha256 in copy.all() if sha256 not in blobs]
    copy.delete(gone)
    out.dropped += len(gone)
    for place in (folder, folder / "blobs", *(folder / "blobs").glob("??")):
        for left in place.glob(".*.tmp*"):
            left.unlink(missing_ok=True)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
