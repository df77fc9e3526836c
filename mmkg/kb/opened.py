"""What every part of a KnowledgeBase stands on: where the base lies, its models, and what is open for reading and for writing."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Self, TypeVar

from mmkg.config import Settings
from mmkg.display import enable_notebook_views
from mmkg.errors import ConfigError, NotFoundError, StoreDamagedError
from mmkg.models import Models

if TYPE_CHECKING:
    from mmkg.adding import Adder, Writer
    from mmkg.encode.sound import SoundEncoder
    from mmkg.filtering import Filters
    from mmkg.indexed import IndexedRetriever
    from mmkg.protocols import Encoder, Extractor, PageEncoder, ProgressCallback, Reranker
    from mmkg.retrieve.retriever import HybridRetriever
    from mmkg.showing import Reader
    from mmkg.store.folder.writer import FolderWriter
    from mmkg.store.neo4j.place import ServerPlace

_S = TypeVar("_S", bound="OpenBase")
_P = ParamSpec("_P")
_R = TypeVar("_R")


def reads(method: Callable[Concatenate[_S, _P], _R]) -> Callable[Concatenate[_S, _P], _R]:
    """Marks a call that reads: the generation it began with stays open until it returns, also if another thread's call
    moves on to a newer one meanwhile. If a file of it is gone because a writer has deleted what it replaced, it begins again."""

    @functools.wraps(method)
    def call(self: _S, /, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        with self._lock:
            self._calls += 1
        try:
            if self._server is not None:
                with self._server.whole():
                    return method(self, *args, **kwargs)
            try:
                return method(self, *args, **kwargs)
            except StoreDamagedError:
                if not self._overtaken():
                    raise
                return method(self, *args, **kwargs)
        finally:
            with self._lock:
                self._calls -= 1
                self._close_retired()

    return call


class OpenBase:
    """A base that is open: see KnowledgeBase. Subclasses add what can be done with one."""

    def __init__(
        self,
        path: str | FilePath,
        *,
        settings: Settings | None = None,
        text_encoder: Encoder | None = None,
        image_encoder: Encoder | Sequence[Encoder] | None = None,
        extractor: Extractor | None = None,
        sound_encoder: SoundEncoder | None = None,
        page_encoder: PageEncoder | None = None,
        reranker: Reranker | None = None,
    ) -> None:
        enable_notebook_views()
        self._server, self.root = _place_of(str(path))
        self.settings = settings or Settings.load()
        self._models = Models(self.settings, text_encoder, image_encoder, extractor, sound_encoder, page_encoder)
        self._reranker = reranker
        self._reader: Reader | None = None
        self._retriever: tuple[int, HybridRetriever] | None = None
        self._filters: tuple[HybridRetriever, Filters] | None = None
        self._indexed: tuple[int, IndexedRetriever | None] | None = None
        self._lock = threading.RLock()
        self._turn = threading.RLock()
        """Held by one writing call at a time; reading goes on beside it."""
        self._calls = 0
        self._retired: list[Reader] = []

    @classmethod
    def open(cls, path: str | FilePath, *, create: bool = True, **options: Any) -> Self:
        """Open the base in a folder; it is made by the first `add` if create is True.

        Raises NotFoundError if there is none and create is False, FormatVersionError, StoreDamagedError.
        """
        kb = cls(path, **options)
        if kb.exists():
            kb._read()
        elif not create:
            raise NotFoundError(f"no knowledge base in {path}", hint="`mmkg add PATH` makes one")
        return kb

    def exists(self) -> bool:
        """Whether a base lies in the folder, sound or not."""
        from mmkg.store.manifest import is_base

        return is_base(self.root) if self._server is None else self._server.exists()

    def close(self) -> None:
        with self._lock:
            self._retriever = self._filters = self._indexed = None
            if self._reader is not None:
                self._reader.close()
                self._reader = None
            while self._retired:
                self._retired.pop().close()
            if self._server is not None:
                self._server.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"KnowledgeBase({str(self._server or self.root)!r})"

    @property
    def text_encoder(self) -> Encoder | None:
        """The encoder of words, or None if its weights are not installed (search is then lexical and over the graph)."""
        return self._models.text_encoder

    @property
    def image_encoder(self) -> Encoder | None:
        """The encoder of pixels, or None if it is not there."""
        return self._models.image_encoder

    @property
    def sound_encoder(self) -> SoundEncoder | None:
        """The encoder of sounds, or None if it is switched off or recordings cannot be opened here."""
        return self._models.sound_encoder

    @property
    def extractor(self) -> Extractor:
        """What finds names in text."""
        return self._models.extractor

    def _read(self) -> Reader:
        """The reader of the newest generation."""
        with self._lock:
            if self._reader is not None and self._reader.stale():
                fresh = self._open_reader()
                self._retired.append(self._reader)
                self._reader = fresh
                self._close_retired()
            elif self._reader is None:
                self._reader = self._open_reader()
            return self._reader

    def _open_reader(self) -> Reader:
        from mmkg.store.folder.reader import FolderReader

        if self._server is not None:
            return self._server.reader()
        cache = self._reader.segment_cache if isinstance(self._reader, FolderReader) else None
        return FolderReader(self.root, cache=cache, query_memory_bytes=self.settings.query_memory_bytes)

    def _overtaken(self) -> bool:
        """Whether there is a newer generation than the one that is open."""
        with self._lock:
            return self._reader is not None and self._reader.stale()

    def _let_go(self) -> None:
        """Close what is open for reading, as soon as no call uses it: what is read next is what a writing call leaves."""
        with self._lock:
            if self._reader is not None:
                self._retired.append(self._reader)
            self._reader = self._retriever = self._filters = self._indexed = None
            self._close_retired()

    def _close_retired(self) -> None:
        """Close readers of older generations once no call that may hold one is under way."""
        if self._calls == 0:
            while self._retired:
                self._retired.pop().close()

    def _writer(self, *, create: bool = False, wait_s: float = 0.5) -> Writer:
        """What writes; on a server it takes turns with other writers by itself."""
        from mmkg.extract.derive import EntityDeriver

        if self._server is not None:
            return self._server.writer(EntityDeriver(), create=create, settings=self.settings)
        return self._folder_writer(create=create, wait_s=wait_s)

    def _folder_writer(self, *, create: bool = False, wait_s: float = 0.5, sweep: bool = True) -> FolderWriter:
        """Raises ConfigError for a base on a server."""
        from mmkg.extract.derive import EntityDeriver
        from mmkg.store.folder.writer import FolderWriter

        self._only_in_a_folder()
        return FolderWriter(self.root, EntityDeriver(), create=create, wait_s=wait_s, sweep=sweep)

    def _adder(
        self,
        writer: Writer,
        *,
        progress: ProgressCallback | None = None,
        uris: Mapping[FilePath, str] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> Adder:
        """One run of `add` with the models of this base. Raises EncoderMismatchError, ConfigError."""
        from mmkg.adding import Adder, Readers

        self.settings = self._models.agree(writer, self.settings)
        readers = Readers(
            extractor=self.extractor,
            text=self.text_encoder,
            images=tuple(self._models.seeing(writer.manifest)),
            speech=self._models.speech,
            sounds=self.sound_encoder,
            pixels=self.settings.limits.pixels,
            pages=self._models.page_encoder,
            describer=self._models.describer,
        )
        return Adder(writer, self.settings, readers, progress=progress, uris=uris, tags=tags)

    def _only_in_a_folder(self) -> None:
        if self._server is not None:
            raise ConfigError("only a base in a folder can do that", hint="the server has tools of its own for it")


def _place_of(address: str) -> tuple[ServerPlace | None, FilePath]:
    """The server that an address names, if it does, and a folder: of the base, or of what this machine keeps of one."""
    scheme, separator, _ = address.partition("://")
    if not separator:
        return None, FilePath(address)
    if scheme == "file":
        return None, _folder_of(address)
    from mmkg.store.neo4j.address import is_server

    if not is_server(address):  # the rest of the address is not repeated: a password may be in it
        raise ConfigError(
            f"{scheme}://... cannot hold a base", hint="give a folder, or neo4j://HOST:PORT/DATABASE?media=URL"
        )
    from mmkg.store.neo4j.place import ServerPlace

    server = ServerPlace(address)
    return server, server.folder


def _folder_of(uri: str) -> FilePath:
    from urllib.parse import urlsplit
    from urllib.request import url2pathname  # half of what `import mmkg.kb` would cost

    return FilePath(url2pathname(urlsplit(uri).path))
