"""The rows of pictures on a server (mmkg.store.pictures says what they are).

SIMILAR and DEPICTS are kept in the graph alone; beside it lie hidden rows `_Bucket`, one for each picture in a bucket.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from mmkg.schema import PROMPTS_KEY
from mmkg.store.neo4j.connection import Connection
from mmkg.store.neo4j.rows import ServerRows
from mmkg.store.pictures import Depicts, Similar

_KEYS = 500
_OUTPUT = "UNWIND $part AS k MATCH (o:_Output {_key: k}) RETURN k, o._space AS space, o._n AS n, o._data AS data"


class ServerPictures(ServerRows):
    """pictures.PictureRows in one transaction; documents and units by id.

    Edges are read from the graph, as it is before the step's own edges are written, and with those that this step changed.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._similar: tuple[set[Similar], set[Similar]] = (set(), set())
        self._depicts: tuple[set[Depicts], set[Depicts]] = (set(), set())

    def document_id(self, document: str) -> str:
        return document

    def documents_of(self, units: Collection[str]) -> set[str]:
        text = "UNWIND $part AS i MATCH (u:_Unit {_id: i}) RETURN DISTINCT u._document AS id"
        return {row["id"] for row in self._in(text, units)}

    def documents_by_id(self, ids: Collection[str]) -> dict[str, str]:
        text = "UNWIND $part AS i MATCH (d:_Document {_id: i}) WHERE d._state = 'visible' RETURN i AS id"
        return {row["id"]: row["id"] for row in self._in(text, ids)}

    def media_of(self, documents: Collection[str]) -> set[str]:
        text = (
            "UNWIND $part AS i MATCH (u:_Unit {_document: i}) WHERE u._label = 'Image' AND u._media IS NOT NULL "
            "RETURN DISTINCT u._media AS media"
        )
        return {row["media"] for row in self._in(text, documents)}

    def showing(self, media: Collection[str]) -> list[tuple[str, str, str]]:
        text = (
            "UNWIND $part AS m MATCH (u:_Unit {_media: m}) WHERE u._label = 'Image' AND u._visible "
            "RETURN m AS media, u._id AS id, u._document AS document"
        )
        return [(row["media"], row["id"], row["document"]) for row in self._in(text, media)]

    def kept(self, media: Collection[str]) -> dict[str, dict[str, npt.NDArray[Any]]]:
        out: dict[str, dict[str, npt.NDArray[Any]]] = {}
        for key, space, rows in self._outputs(media):
            out.setdefault(key, {})[space] = rows
        return out

    def prompts(self) -> dict[str, npt.NDArray[Any]]:
        return {space: rows for _, space, rows in self._outputs([PROMPTS_KEY.hex()])}

    def _outputs(self, keys: Collection[str]) -> list[tuple[str, str, npt.NDArray[Any]]]:
        found = _rows(self._in(_OUTPUT, keys, size=_KEYS))
        return [(key.hex(), space, rows) for (key, space), rows in found.items()]

    # ---- buckets ----

    def bucket(self, keys: Collection[int], limit: int) -> dict[int, list[str]]:
        text = (
            "UNWIND $part AS k MATCH (b:_Bucket {_key: k[0]}) WITH k, b ORDER BY b._media "
            "WITH k, collect(b._media) AS media RETURN k[0] AS key, media[0..k[1]] AS media"
        )
        return {row["key"]: row["media"] for row in self._in(text, [[key, limit] for key in keys], size=_KEYS)}

    def change_buckets(self, gone: Sequence[tuple[int, str]], new: Sequence[tuple[int, str]]) -> None:
        self._each("UNWIND $part AS i MATCH (b:_Bucket {_id: i}) DELETE b", [f"{k} {m}" for k, m in gone])
        text = "UNWIND $part AS r MERGE (b:_Bucket {_id: r[0]}) SET b._key = r[1], b._media = r[2]"
        self._each(text, [[f"{k} {m}", k, m] for k, m in new])

    # ---- edges ----

    def similar_at(self, units: Collection[str]) -> set[Similar]:
        text = (
            "UNWIND $part AS i MATCH (u:Image {id: i})-[r:SIMILAR]-(:Image) "
            "RETURN DISTINCT startNode(r).id AS a, endNode(r).id AS b, r.score AS score, r.reason AS reason"
        )
        found = {Similar(r["a"], r["b"], r["score"], r["reason"]) for r in self._in(text, units)}
        gone, new = self._similar
        wanted = set(units)
        return (found - gone) | {s for s in new if s.a in wanted or s.b in wanted}

    def change_similar(self, gone: Collection[Similar], new: Collection[Similar]) -> None:
        """The edges are the rows: the graph's delta writes them behind the step."""
        self._similar = (set(gone), set(new))

    def depicts_of(self, units: Collection[str]) -> set[Depicts]:
        text = (
            "UNWIND $part AS i MATCH (u:Image {id: i})-[r:DEPICTS]->(e:Entity) "
            "RETURN i AS image, e.id AS entity, r.score AS score, r.reason AS reason"
        )
        found = {Depicts(r["image"], r["entity"], r["score"], r["reason"]) for r in self._in(text, units)}
        gone, new = self._depicts
        wanted = set(units)
        return (found - gone) | {d for d in new if d.image in wanted}

    def change_depicts(self, gone: Collection[Depicts], new: Collection[Depicts]) -> None:
        """As change_similar."""
        self._depicts = (set(gone), set(new))


def outputs_of_pictures(connection: Connection, keys: Sequence[str]) -> dict[tuple[bytes, str], npt.NDArray[Any]]:
    """Kept output of these pictures (hex): (key, space) -> (n, dim) float16. Damaged rows are left out."""
    return _rows(connection.rows(_OUTPUT, part=list(keys)))


def _rows(found: Iterable[Mapping[str, Any]]) -> dict[tuple[bytes, str], npt.NDArray[Any]]:
    out = {}
    for row in found:
        flat = np.frombuffer(row["data"], dtype="<f2")
        if row["n"] and flat.size % row["n"] == 0:
            out[bytes.fromhex(row["k"]), row["space"]] = flat.reshape(row["n"], -1)
    return out
