"""Model output of spaces that a base on a server is being brought to: under a label of its own, where nothing that serves looks.

The change over is a rebuild that first lets this output take its place. What is to leave is written at the base's row together
with the new manifest, so that whoever finishes an interrupted one (a reindex, or `mmkg rebuild`) knows what there is to do.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mmkg.schema import FORMAT_VERSION, PROBES_KEY, PROMPTS_KEY
from mmkg.store.manifest import Manifest
from mmkg.store.neo4j import base
from mmkg.store.neo4j.commit import output_rows
from mmkg.store.neo4j.connection import Connection, Runner
from mmkg.store.neo4j.ddl import hidden_schema
from mmkg.store.neo4j.graph import make_schema
from mmkg.store.neo4j.searchrows import SearchRows
from mmkg.types import DocumentFacts

if TYPE_CHECKING:
    from mmkg.store.neo4j.writer import ServerWriter

_ROWS = 200
"""Rows a transaction."""
_KEYS = 1000


class ServerComing:
    """What a reindex needs of a base on a server, beside its writer."""

    def __init__(self, writer: ServerWriter) -> None:
        self._writer, self._connection = writer, writer.connection

    def begin(self) -> None:
        """Make room for rows."""
        make_schema(self._connection, hidden_schema())

    def put(self, rows: Mapping[tuple[bytes, str], npt.NDArray[Any]]) -> None:
        """Keep (content key, space) -> (n, dim) vectors, as half precision; what is there stays."""
        text = "UNWIND $rows AS r MERGE (o:_Coming {_id: r._id}) ON CREATE SET o = r"
        found = output_rows(rows)
        for i in range(0, len(found), _ROWS):
            part = found[i : i + _ROWS]
            self._connection.write(lambda tx, part=part: tx.run(text, rows=part).consume())  # type: ignore[misc]

    def get(self, key: bytes, space: str) -> npt.NDArray[np.float32] | None:
        """(n, dim) of one row, or None."""
        text = "MATCH (o:_Coming {_id: $id}) RETURN o._n AS n, o._data AS data"
        rows = self._connection.rows(text, id=f"{key.hex()} {space}")
        return (
            np.frombuffer(rows[0]["data"], dtype="<f2").reshape(rows[0]["n"], -1).astype(np.float32) if rows else None
        )

    def keys(self, keys: Collection[bytes], space: str) -> set[bytes]:
        """Those of these keys that have output in a space, kept or coming."""
        wanted = sorted({k.hex() for k in keys})
        found = set()
        for label in ("_Output", "_Coming"):
            text = f"UNWIND $keys AS k MATCH (o:{label} {{_key: k}}) WHERE o._space = $space RETURN k"
            for i in range(0, len(wanted), _KEYS):
                rows = self._connection.rows(text, keys=wanted[i : i + _KEYS], space=space)
                found |= {bytes.fromhex(row["k"]) for row in rows}
        return found

    def count(self, space: str) -> int:
        """How many units and pictures have output in a space, kept or coming."""
        n, none = 0, [PROBES_KEY.hex(), PROMPTS_KEY.hex()]
        for label in ("_Output", "_Coming"):
            text = f"MATCH (o:{label}) WHERE o._space = $space AND NOT o._key IN $none RETURN count(o) AS n"
            n += int(self._connection.rows(text, space=space, none=none)[0]["n"])
        return n

    def spaces(self) -> set[str]:
        """Spaces that a reindex was bringing in."""
        return {row["s"] for row in self._connection.rows("MATCH (o:_Coming) RETURN DISTINCT o._space AS s")}

    def forget(self, spaces: Collection[str]) -> None:
        """Delete the rows of these spaces."""
        text = "MATCH (o:_Coming) WHERE o._space IN $spaces CALL (o) { DELETE o } IN TRANSACTIONS OF 2000 ROWS"
        if spaces:
            self._connection.execute(text, spaces=sorted(spaces))

    def lacking(self, space: str) -> list[str]:
        """Documents, visible or to come, with a unit that has words but no output in a space, kept or coming; a list of all."""
        text = (
            "MATCH (u:_Unit) WHERE u._key IS NOT NULL "
            "AND NOT EXISTS { MATCH (o:_Output {_key: u._key}) WHERE o._space = $space } "
            "AND NOT EXISTS { MATCH (o:_Coming {_key: u._key}) WHERE o._space = $space } "
            "WITH DISTINCT u._document AS id MATCH (d:_Document {_id: id}) WHERE d._state IN ['visible', 'staged'] "
            "RETURN id ORDER BY id"
        )
        return [row["id"] for row in self._connection.rows(text, space=space)]

    def pictures_lacking(self, space: str) -> list[str]:
        """sha256 of the visible pictures without output in a space, kept or coming."""
        wanted = dict.fromkeys(media for _, media in self._writer.images_without(space))
        there = self.keys([bytes.fromhex(m) for m in wanted], space)
        return [m for m in wanted if bytes.fromhex(m) not in there]

    def facts(self, document: str) -> Iterator[DocumentFacts]:
        """The facts of a document, in one."""
        yield self._writer.facts(document)

    def change_over(self, manifest: Manifest, *, leaving: Sequence[str]) -> None:
        """The base has this manifest and the output that was coming; that of spaces in `leaving` is gone. O(base), without a model.

        A rebuild in bounded transactions: meanwhile reads and commits are refused by name.
        """
        text = replace(manifest, format_version=FORMAT_VERSION).text()

        def mark(tx: Runner) -> None:
            base.lock(tx)
            tx.run(
                "MATCH (s:_Store {_name: 'base'}) SET s._manifest = $text, s._leaving = $leaving, s._rebuilding = true",
                text=text,
                leaving=list(leaving),
            ).consume()

        self._connection.write(mark)
        self._writer.rebuild()


def settle(connection: Connection, search: SearchRows, spaces: Collection[str]) -> None:
    """Finish a change over that was begun: see ServerComing.change_over. Part of every rebuild; nothing where none was begun.

    spaces: those of the manifest.
    """
    rows = connection.rows("MATCH (s:_Store {_name: 'base'}) RETURN s._leaving AS leaving")
    if not rows or rows[0]["leaving"] is None:
        return
    leaving = list(rows[0]["leaving"])
    parts = "CALL (o) {{ {} }} IN TRANSACTIONS OF 2000 ROWS"
    connection.execute(f"MATCH (o:_Output) WHERE o._space IN $spaces {parts.format('DELETE o')}", spaces=leaving)
    connection.execute(
        "MATCH (o:_Coming) WHERE NOT o._space IN $spaces OR (o._key <> $prompts "
        "AND NOT EXISTS { MATCH (u:_Unit {_key: o._key}) } AND NOT EXISTS { MATCH (u:_Unit {_media: o._key}) }) "
        + parts.format("DELETE o"),
        spaces=sorted(spaces),
        prompts=PROMPTS_KEY.hex(),
    )
    # One that another writer of the new space has made meanwhile is the same: the label would collide.
    connection.execute(
        f"MATCH (o:_Coming) MATCH (p:_Output {{_id: o._id}}) {parts.format('DELETE o')}",
    )
    connection.execute(f"MATCH (o:_Coming) {parts.format('SET o:_Output REMOVE o:_Coming')}")
    documents = [
        row["id"]
        for row in connection.rows("MATCH (d:_Document) WHERE d._state IN ['visible', 'staged'] RETURN d._id AS id")
    ]
    search.index(sorted(documents))
    for space in leaving:
        search.forget(space)

    def done(tx: Runner) -> None:
        tx.run(
            "MATCH (s:_Store {_name: 'base'}) REMOVE s._leaving WITH s "
            "MATCH (d:_Document {_state: 'visible'}) SET d._published = s._generation + 1"
        ).consume()

    connection.write(done)
