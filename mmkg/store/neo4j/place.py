"""A base on a server as KnowledgeBase opens it: one connection, and what is made from it."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from mmkg.config import Settings
from mmkg.protocols import Deriver
from mmkg.store.neo4j import base
from mmkg.store.neo4j.address import Neo4jAddress
from mmkg.store.neo4j.cache import cache_folder
from mmkg.store.neo4j.connection import Connection
from mmkg.store.neo4j.digest import digest
from mmkg.store.neo4j.frontier import FrontierViews
from mmkg.store.neo4j.media import Media
from mmkg.store.neo4j.reader import ServerReader
from mmkg.store.neo4j.search import SearchIndexes
from mmkg.store.neo4j.views import IndexedViews
from mmkg.store.neo4j.writer import ServerWriter


class ServerPlace:
    """Where a base on a server is. Nothing is connected to before the first call that needs it."""

    def __init__(self, address: str) -> None:
        """Raises ConfigError for an address that cannot be read."""
        self.address = Neo4jAddress.parse(address)
        self.connection = Connection(self.address)
        self.media = Media(self.address.media)

    def __str__(self) -> str:
        return str(self.address)

    @property
    def folder(self) -> Path:
        """The folder of this machine's copies; it holds nothing that the server has not."""
        return cache_folder()

    def exists(self) -> bool:
        """Whether a base is in the database."""
        return base.find(self.connection) is not None

    def reader(self) -> ServerReader:
        return ServerReader(self.connection, self.media)

    def writer(self, deriver: Deriver, *, create: bool = False, settings: Settings | None = None) -> ServerWriter:
        """Once the server is to search by itself (the address says so, or the base is large), what it searches is kept up."""
        writer = ServerWriter(self.connection, self.media, deriver, create=create)
        if self.address.search == "indexes" or (not self.address.search and self._large(settings or Settings())):
            writer.search.ensure()
        return writer

    def views(self, reader: ServerReader, settings: Settings) -> IndexedViews | FrontierViews | None:
        """Views for searching with the server's own indexes, or None where exported arrays serve.

        Raises StoreError if the base was not written with such indexes.
        """
        large = self._large(settings)
        if self.address.search == "arrays" or (not self.address.search and not large):
            return None
        indexes = SearchIndexes(self.connection)
        spaces = [key for key in reader.manifest.spaces if indexes.has(key)]
        if not large:
            return IndexedViews(reader.walk_arrays, indexes, spaces)
        return FrontierViews(
            self.connection, indexes, spaces, generation=reader.generation.no, budget=settings.walk_units
        )

    def _large(self, settings: Settings) -> bool:
        rows = self.connection.rows("MATCH ()-[m:MENTIONS]->() RETURN count(m) AS n")
        return bool(rows[0]["n"] > settings.walk_mentions)

    def whole(self) -> AbstractContextManager[None]:
        """Around what is read: raises StoreLockedError if the base is, or was meanwhile, being rebuilt."""
        return base.whole(self.connection)

    def digest(self, *, deep: bool = False) -> str:
        with self.whole():
            return digest(self.connection, deep=deep)

    def close(self) -> None:
        self.connection.close()
