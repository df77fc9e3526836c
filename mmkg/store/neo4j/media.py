"""Originals and pictures of a base on a server: a folder (file:///...), or anything that fsspec reads (s3://, gs://, ...)."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from mmkg.errors import ConfigError, MissingDependencyError, StoreDamagedError, StoreError
from mmkg.store.blobs import Blobs


class Media:
    """Blobs named by the sha256 of their bytes, under one URL. Reading checks the bytes against the name.

    Nothing is looked at before the first call: a base can be searched without its media.
    Raises ConfigError where the address has no media URL, StoreError where it cannot be reached.
    """

    def __init__(self, url: str) -> None:
        self.url = url

    def check(self) -> None:
        """Raises ConfigError where the address names no media, StoreError for a place that cannot hold them."""
        if self._folder is None:
            self._remote()
        elif self._folder.exists() and not self._folder.is_dir():
            raise StoreError(
                f"the media at {self.url} cannot be used: it is no folder", hint="correct media= in the address"
            )

    def put_file(self, source: Path, sha256: str) -> None:
        """Copy a file in. Raises StoreDamagedError if it changed since it was hashed."""
        if self._folder is not None:
            with self._reaching():
                self._folder_ready().put_file(source, sha256)
        else:
            self.put_bytes(source.read_bytes(), sha256)

    def put(self, data: Path | bytes, sha256: str) -> None:
        """Keep a file, or bytes."""
        if isinstance(data, Path):
            self.put_file(data, sha256)
        else:
            self.put_bytes(data, sha256)

    def put_bytes(self, data: bytes, sha256: str) -> None:
        if self._folder is not None:
            with self._reaching():
                self._folder_ready().put_bytes(data, sha256)
            return
        if hashlib.sha256(data).hexdigest() != sha256:
            raise StoreDamagedError(
                f"the bytes of {sha256[:12]} changed while they were copied", hint="run `mmkg add` again"
            )
        fs, root = self._remote()
        path = f"{root}/{sha256[:2]}/{sha256}"
        with self._reaching():
            if not fs.exists(path):
                fs.pipe_file(path, data)  # object stores show an object when it is whole

    def read(self, sha256: str) -> bytes:
        """The bytes. Raises StoreDamagedError if they are missing or others."""
        data = self._read(sha256)
        if hashlib.sha256(data).hexdigest() != sha256:
            raise StoreDamagedError(
                f"the bytes of {sha256[:12]} at {self.url} do not match their name",
                hint="is it the media of another base? add the document again otherwise",
            )
        return data

    def _read(self, sha256: str) -> bytes:
        missing = StoreDamagedError(
            f"{sha256[:12]} is not at {self.url}",
            hint="is it the media of another base? add the document again otherwise",
        )
        if self._folder is not None:
            path = self._folder / sha256[:2] / sha256
            if not self._folder.is_dir():
                raise StoreError(
                    f"no media at {self.url}", hint="correct media= in the address of the base, or mount it"
                )
            try:
                return path.read_bytes()
            except FileNotFoundError as e:
                raise missing from e
        fs, root = self._remote()
        with self._reaching():
            try:
                data: bytes = fs.cat_file(f"{root}/{sha256[:2]}/{sha256}")
                return data
            except FileNotFoundError as e:
                raise missing from e

    @contextmanager
    def local(self, sha256: str) -> Iterator[Path]:
        """The blob as a file of this machine, for as long as the body runs. Raises StoreDamagedError as `read` does."""
        if self._folder is not None and (path := self._folder / sha256[:2] / sha256).exists():
            yield path
            return
        with tempfile.TemporaryDirectory(prefix="mmkg-media-") as folder:
            path = Path(folder) / "blob"
            path.write_bytes(self.read(sha256))
            yield path

    def intact(self, sha256: str) -> bool | None:
        """True if the bytes match their name, False if not, None if they are missing."""
        try:
            return hashlib.sha256(self._read(sha256)).hexdigest() == sha256
        except StoreDamagedError:
            return None

    def delete(self, hashes: Iterable[str]) -> None:
        wanted = list(hashes)
        if self._folder is not None:
            Blobs(self._folder).delete(wanted)
        elif wanted:
            fs, root = self._remote()
            with self._reaching():
                for sha256 in wanted:
                    if fs.exists(path := f"{root}/{sha256[:2]}/{sha256}"):
                        fs.rm_file(path)

    def all(self) -> Iterator[str]:
        """Every hash that is there, sorted."""
        if self._folder is not None:
            yield from Blobs(self._folder).all()
            return
        fs, root = self._remote()
        with self._reaching():
            yield from sorted(path.rsplit("/", 1)[-1] for path in fs.find(root)) if fs.exists(root) else ()

    # ---- where ----

    @property
    def _folder(self) -> Path | None:
        if not self.url:
            raise ConfigError(
                "the address of the base names no media",
                hint="write neo4j://HOST:PORT/DATABASE?media=file:///FOLDER (or s3://BUCKET/FOLDER)",
            )
        parts = urlsplit(self.url)
        return Path(url2pathname(parts.path)) if parts.scheme == "file" else None

    def _folder_ready(self) -> Blobs:
        assert self._folder is not None
        self._folder.mkdir(parents=True, exist_ok=True)
        return Blobs(self._folder)

    def _remote(self) -> tuple[Any, str]:
        try:
            import fsspec
        except ImportError as e:
            raise MissingDependencyError(f"media at {self.url} needs fsspec", hint="pip install fsspec") from e
        with self._reaching():
            fs, root = fsspec.core.url_to_fs(self.url)
            return fs, str(root).rstrip("/")

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        """Whatever a file system says when it cannot be reached, as ours."""
        try:
            yield
        except FileNotFoundError:
            raise
        except (OSError, ValueError, ImportError) as e:
            raise StoreError(
                f"the media at {self.url} cannot be used: {e}",
                hint="correct media= in the address of the base, or give it room and access",
            ) from e
