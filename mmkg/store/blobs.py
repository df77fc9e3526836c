"""Originals and derived media, each a file named by the sha256 of its bytes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from mmkg.errors import StoreDamagedError
from mmkg.store.durable import failpoint, put_in_place, sync_file, sync_folder


class Blobs:
    """blobs/ab/abcd...: write once, never changed; equal bytes are one file."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, sha256: str) -> Path:
        return self.root / sha256[:2] / sha256

    @contextmanager
    def local(self, sha256: str) -> Iterator[Path]:
        """The blob as a file of this machine, for as long as the body runs."""
        yield self.path(sha256)

    def put_file(self, source: Path, sha256: str) -> None:
        """Copy a file in. Raises StoreDamagedError if it no longer has the expected hash (it changed meanwhile)."""
        if self.path(sha256).exists():
            return
        with source.open("rb") as f:
            self._put(iter(lambda: f.read(1 << 20), b""), sha256)

    def put(self, data: Path | bytes, sha256: str) -> None:
        """Keep a file, or bytes."""
        if isinstance(data, Path):
            self.put_file(data, sha256)
        else:
            self.put_bytes(data, sha256)

    def put_bytes(self, data: bytes, sha256: str) -> None:
        """Keep bytes under their hash."""
        if not self.path(sha256).exists():
            self._put(iter((data,)), sha256)

    def _put(self, parts: Iterator[bytes], sha256: str) -> None:
        target = self.path(sha256)
        if not target.parent.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            sync_folder(self.root)
            failpoint("blob-folder-made")
        # Beside the folders, not in one of them: so a sweep need not list every blob of the base.
        aside = self.root / f".{sha256}.{os.getpid()}.tmp"
        digest = hashlib.sha256()
        try:
            with aside.open("wb") as out:
                for part in parts:
                    digest.update(part)
                    out.write(part)
                sync_file(out, "blob")
            if digest.hexdigest() != sha256:
                raise StoreDamagedError(
                    f"the bytes of {sha256[:12]} changed while they were copied", hint="run `mmkg add` again"
                )
            put_in_place(aside, target, "blob")
        except BaseException:
            aside.unlink(missing_ok=True)
            raise

    def read(self, sha256: str) -> bytes:
        """The bytes. Raises StoreDamagedError if they are missing."""
        try:
            return self.path(sha256).read_bytes()
        except OSError as e:
            raise StoreDamagedError(f"blob {sha256[:12]} is missing", hint="run `mmkg doctor --fix`") from e

    def intact(self, sha256: str) -> bool | None:
        """True if the bytes match their name, False if not, None if the blob is missing."""
        digest = hashlib.sha256()
        try:
            with self.path(sha256).open("rb") as f:
                while part := f.read(1 << 20):
                    digest.update(part)
        except OSError:
            return None
        return digest.hexdigest() == sha256

    def all(self) -> Iterator[str]:
        """Every hash that has a file, sorted."""
        if self.root.is_dir():
            for folder in sorted(self.root.iterdir()):
                if folder.is_dir():
                    yield from sorted(p.name for p in folder.iterdir() if not p.name.startswith("."))

    def delete(self, hashes: Iterable[str]) -> None:
        for sha256 in hashes:
            self.path(sha256).unlink(missing_ok=True)
            failpoint("blob-deleted")

    def sweep(self) -> None:
        """Remove what an interrupted copy left behind."""
        if self.root.is_dir():
            for aside in self.root.glob(".*.tmp"):
                aside.unlink(missing_ok=True)
