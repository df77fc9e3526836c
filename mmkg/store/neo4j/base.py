"""The one row that makes a database a base: manifest, generation, id, and the locks that writers take in turn."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from mmkg.cypher.statements import PRIMARY_LABELS
from mmkg.errors import NotFoundError, StoreDamagedError, StoreError, StoreLockedError
from mmkg.schema import FORMAT_VERSION
from mmkg.store.manifest import Manifest
from mmkg.store.neo4j.connection import Connection, Runner
from mmkg.store.neo4j.ddl import graph_schema, hidden_schema
from mmkg.store.neo4j.graph import make_schema

log = logging.getLogger(__name__)

_ROW = (
    "MATCH (s:_Store {_name: 'base'}) RETURN s._base AS id, s._generation AS generation, s._manifest AS manifest, "
    "s._removed AS removed, s._batch AS batch, s._rebuilding AS rebuilding"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseRow:
    """id: random, given when the base was made. generation: of the last commit. removed: generation of the last removal.

    batch: id of the last commit, by which a writer that lost its connection learns whether it went through.
    rebuilding: whether the derived layer is being made anew.
    """

    id: str
    generation: int
    manifest: Manifest
    removed: int = 0
    batch: str = ""
    rebuilding: bool = False


def find(connection: Connection) -> BaseRow | None:
    """The base in the database, or None. Raises FormatVersionError, StoreDamagedError."""
    rows = connection.rows(_ROW)
    if not rows:
        return None
    row = rows[0]
    if not isinstance(row["manifest"], str) or not isinstance(row["generation"], int):
        raise StoreDamagedError(f"{connection.address} holds a base without a manifest")
    return BaseRow(
        id=str(row["id"]),
        generation=row["generation"],
        manifest=Manifest.parse(row["manifest"], f"the manifest at {connection.address}"),
        removed=row["removed"] or 0,
        batch=row["batch"] or "",
        rebuilding=bool(row["rebuilding"]),
    )


def need(connection: Connection) -> BaseRow:
    """The base in the database. Raises NotFoundError if there is none."""
    row = find(connection)
    if row is None:
        raise NotFoundError(f"no knowledge base in {connection.address}", hint="`mmkg add PATH` makes one")
    return row


def make(connection: Connection) -> BaseRow:
    """Make an empty base, unless one is there. Raises StoreError if nodes of our labels are there that mmkg did not make."""
    for label in PRIMARY_LABELS:
        if connection.rows(f"MATCH (n:{label}) RETURN 1 AS x LIMIT 1"):
            raise StoreError(
                f"{connection.address} has nodes with the label {label} that mmkg did not make",
                hint="name an empty database: a base needs one of its own",
            )
    make_schema(connection, {**graph_schema(), **hidden_schema()})
    text = Manifest().text()
    connection.write(
        lambda tx: tx.run(
            "MERGE (s:_Store {_name: 'base'}) ON CREATE SET s._base = $id, s._generation = 0, s._removed = 0, "
            "s._manifest = $manifest, s._lock = 0 MERGE (m:_Store {_name: 'media'}) ON CREATE SET m._lock = 0",
            id=uuid.uuid4().hex,
            manifest=text,
        ).consume()
    )
    return need(connection)


def set_manifest(connection: Connection, manifest: Manifest) -> None:
    """Keep it; the same twice is once."""
    text = replace(manifest, format_version=FORMAT_VERSION).text()
    set_it = "MATCH (s:_Store {_name: 'base'}) SET s._manifest = $text"
    connection.write(lambda tx: tx.run(set_it, text=text).consume())


def rebuilds(connection: Connection) -> int:
    """How often the derived layer was made anew. Raises StoreLockedError while it is: what could be read would be a part."""
    rows = connection.rows(
        "MATCH (s:_Store {_name: 'base'}) RETURN coalesce(s._rebuilds, 0) AS n, coalesce(s._rebuilding, false) AS now"
    )
    if rows and rows[0]["now"]:
        raise StoreLockedError(
            "the base is being rebuilt",
            hint="ask again when `mmkg rebuild` is done, or run it again if it was interrupted",
        )
    return int(rows[0]["n"]) if rows else 0


@contextmanager
def whole(connection: Connection) -> Iterator[None]:
    """What is read in the body is one state of the base, or StoreLockedError: no rebuild was under way or began meanwhile."""
    before = rebuilds(connection)
    yield
    if rebuilds(connection) != before:
        raise StoreLockedError("the base was rebuilt meanwhile", hint="ask again")


def lock(tx: Runner) -> int:
    """Take the one lock under which documents become visible, until the transaction ends. Returns the generation."""
    text = "MATCH (s:_Store {_name: 'base'}) SET s._lock = s._lock + 1 RETURN s._generation AS n"
    record = tx.run(text).single()
    if record is None:
        raise StoreDamagedError("the base is gone from the database")
    return int(record["n"])


def lock_media(tx: Runner) -> None:
    """Take the lock under which a document begins to come in, or its media are deleted."""
    tx.run("MATCH (s:_Store {_name: 'media'}) SET s._lock = s._lock + 1").consume()
