"""One generation of a base on a server, as search, ask and show read it. Safe to use from several threads.

Rows come from the server by id; the arrays for search come from mmkg.store.neo4j.cache. A server holds one state, the newest: a
document that a writer removes while a call is under way is missing from that call's results, never half there.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote, unquote

import numpy as np

from mmkg.algorithms.names import fold
from mmkg.errors import NotFoundError
from mmkg.reasons import code_of
from mmkg.schema import PROMPTS_KEY, section_id
from mmkg.store.derivation import load_derivation
from mmkg.store.folder.index import FolderIndex
from mmkg.store.folder.reader import MODALITIES
from mmkg.store.neo4j import base
from mmkg.store.neo4j.cache import ArrayCache
from mmkg.store.neo4j.connection import Connection
from mmkg.store.neo4j.facts import read_pages, unit_input, unpack
from mmkg.store.neo4j.graph import Neo4jGraph
from mmkg.store.neo4j.lookups import ServerLookups
from mmkg.store.neo4j.media import Media
from mmkg.store.neo4j.rows import derived_text
from mmkg.types import DocumentRef, Evidence, Locator, Modality, UnitDerivation

_DOCUMENTS = 32
"""Texts and pages of so many documents are kept: an answer looks at the same few again and again."""


@dataclass(frozen=True, slots=True)
class _No:
    """The number of a generation, where the folder store has its files too."""

    no: int


class ServerReader(ServerLookups):
    """Everything that search, ask, show and Cypher read."""

    def __init__(self, connection: Connection, media: Media) -> None:
        """Raises NotFoundError if there is no base, StoreUnavailableError, FormatVersionError."""
        self.connection, self.blobs = connection, media
        self.row = base.need(connection)
        self.manifest = self.row.manifest
        self.generation = _No(self.row.generation)
        self.graph = Neo4jGraph(connection)
        self._lock = threading.Lock()
        self._cache: ArrayCache | None = None
        self._index: FolderIndex | None = None
        self._walk: FolderIndex | None = None
        self._heads: OrderedDict[str, dict[str, Any]] = OrderedDict()

    def close(self) -> None:
        """Nothing is held; the connection belongs to whoever opened it."""

    def stale(self) -> bool:
        """True if a newer generation has been published."""
        rows = self.connection.rows("MATCH (s:_Store {_name: 'base'}) RETURN s._generation AS n")
        return not rows or rows[0]["n"] != self.generation.no

    @property
    def index(self) -> FolderIndex:
        """The arrays of this generation, fetched (only what is new since the last time on this machine) at first use."""
        with self._lock:
            if self._index is None:
                self._cache = ArrayCache(self.row.id)
                self._index = self._cache.index(self.connection, self.row, self)
            return self._index

    def walk_arrays(self) -> FolderIndex:
        """The arrays of the walk alone: no words, no vectors."""
        with self._lock:
            if self._walk is None:
                self._cache = ArrayCache(self.row.id, walk_only=True)
                self._walk = self._cache.index(self.connection, self.row, self)
            return self._walk

    # ---- EntityLookup of the index ----

    def names(self, keys: Sequence[int]) -> list[str]:
        """Display names of entities by key, "" for unknown ones."""
        found = self._by_key("e._name", keys)
        return [found.get(int(k), "") for k in keys]

    def ids(self, keys: Sequence[int]) -> list[str]:
        """Ids of entities by key, "" for unknown ones."""
        found = self._by_key("e._id", keys)
        return [found.get(int(k), "") for k in keys]

    def _by_key(self, what: str, keys: Sequence[int]) -> dict[int, str]:
        text = f"UNWIND $keys AS k MATCH (e:_Entity {{_key: k}}) RETURN k, {what} AS value"
        return {row["k"]: row["value"] for row in self.connection.rows(text, keys=[int(k) for k in keys])}

    def is_title(self, canonical: Sequence[str]) -> list[bool]:
        """Whether each canonical form is a title form of a visible document or heading."""
        text = "UNWIND $forms AS f MATCH (t:_Title {_form: f}) RETURN f AS form"
        found = {row["form"] for row in self.connection.rows(text, forms=sorted(set(canonical)))}
        return [c in found for c in canonical]

    def filename_documents(self, words: Sequence[str]) -> Mapping[str, Sequence[int]]:
        """For each word, numbers (of the arrays) of the documents one of whose file names has it."""
        wanted = sorted({fold(w) for w in words if fold(w).isalnum()})
        if not wanted or self._cache is None:
            return {}
        rows = self.connection.rows(
            "CALL db.index.fulltext.queryNodes('mmkg_words', $query) YIELD node "
            "WITH node WHERE node._document IS NOT NULL RETURN node._words AS words, node._document AS id ORDER BY id",
            query=" OR ".join(f'"{w}"' for w in wanted),
        )
        found: dict[str, list[str]] = {}
        for row in rows:
            for word in set(row["words"].split()) & set(wanted):
                found.setdefault(word, []).append(row["id"])
        numbers = self._cache.document_numbers({i for ids in found.values() for i in ids})
        return {w: [numbers[i] for i in dict.fromkeys(ids) if i in numbers] for w, ids in found.items()}

    # ---- units and documents ----

    def read(self, unit_ids: Sequence[str]) -> list[Evidence]:
        """The units as evidence without scores, in the order asked; ids that do not exist are left out."""
        text = (
            "UNWIND $ids AS i MATCH (u:_Unit {_id: i}) WHERE u._visible MATCH (d:_Document {_id: u._document}) "
            "RETURN i AS id, u._facts AS facts, d._id AS document, d._title AS name, "
            "COLLECT { MATCH (s:_Source {_document: d._id}) RETURN s._uri ORDER BY s._uri LIMIT 1 } AS uris"
        )
        found = {row["id"]: _evidence(row) for row in self.connection.rows(text, ids=list(dict.fromkeys(unit_ids)))}
        return [found[i] for i in unit_ids if i in found]

    def original(self, document: str) -> bytes:
        """The file of a document; of a recording with subtitles beside it the recording. Raises StoreDamagedError."""
        rows = self.connection.rows(
            "MATCH (u:_Unit {_document: $id}) WHERE u._label = 'Clip' AND u._media IS NOT NULL RETURN u._media AS m LIMIT 1",
            id=document,
        )
        return self.blobs.read(rows[0]["m"] if rows else document)

    def document_ref(self, document: str, name: str | None = None) -> DocumentRef:
        """A document as results name it. Raises NotFoundError."""
        head = self._head(document)
        uris = self.sources_of(document)
        return _ref(document, head["_title"] if name is None else name, uris)

    def document_text(self, document: str) -> str:
        """The whole text that spans point into. Raises NotFoundError."""
        return str(unpack(self._head(document)["_text"]))

    def locate(self, document: str, start: int, end: int) -> Locator:
        """The page and box of a span of a document's text (the union of the lines it touches on its first page), or in
        a recording the seconds in which its words are said."""
        place = self._on_page(document, start, end)
        if not self._head(document).get("_timed"):
            return place
        text = "MATCH (u:_Unit {_document: $id}) WHERE u._label = 'Clip' RETURN u._facts AS facts ORDER BY u._ord"
        for row in self.connection.rows(text, id=document):
            unit = unit_input(row["facts"]).unit
            if unit.span_ms and unit.start < end and unit.end > start:
                said = [t for t in unit.times if t.start < end and t.end > start]
                spoken = (min(t.start_ms for t in said), max(t.end_ms for t in said)) if said else unit.span_ms
                return replace(place, seconds=_seconds(*spoken))
        return place

    def _on_page(self, document: str, start: int, end: int) -> Locator:
        for page in read_pages(self._head(document)):
            if page.start < end and page.end > start:
                lines = [line.box for line in page.lines if line.start < end and line.end > start]
                bbox = None
                if lines:
                    x0, y0 = min(b[0] for b in lines), min(b[1] for b in lines)
                    x1, y1 = max(b[2] for b in lines), max(b[3] for b in lines)
                    bbox = (x0 / 100, y0 / 100, x1 / 100, y1 / 100)
                return Locator(chars=(start, end), page=page.number, bbox=bbox)
        return Locator(chars=(start, end))

    def _head(self, document: str) -> dict[str, Any]:
        """The row of a visible document. Raises NotFoundError."""
        with self._lock:
            if document in self._heads:
                self._heads.move_to_end(document)
                return self._heads[document]
        rows = self.connection.rows(
            "MATCH (d:_Document {_id: $id}) WHERE d._state = 'visible' RETURN properties(d) AS row", id=document
        )
        if not rows:
            raise NotFoundError(f"no document {document}")
        with self._lock:
            self._heads[document] = rows[0]["row"]
            while len(self._heads) > _DOCUMENTS:
                self._heads.popitem(last=False)
        row: dict[str, Any] = rows[0]["row"]
        return row

    def documents(self) -> Iterator[dict[str, Any]]:
        """Visible documents: id, name, media_type, n_units, n_bytes, sources; by id."""
        text = (
            "MATCH (d:_Document {_state: 'visible'}) WHERE d._id > $after WITH d ORDER BY d._id LIMIT 1000 "
            "RETURN d._id AS id, d._title AS name, d._media_type AS media_type, d._n_units AS n_units, "
            "d._n_bytes AS n_bytes, "
            "COLLECT { MATCH (s:_Source {_document: d._id}) RETURN s._uri ORDER BY s._uri } AS uris ORDER BY id"
        )
        after = ""
        while rows := self.connection.rows(text, after=after):
            yield from rows
            after = rows[-1]["id"]

    def sources(self) -> list[dict[str, Any]]:
        """Every source that `add` has seen, with its status and reason."""
        text = (
            "MATCH (s:_Source) RETURN s._uri AS uri, coalesce(s._document, '') AS id, s._status AS status, "
            "s._reason AS reason, s._size AS size ORDER BY uri"
        )
        return [{**row, "reason_code": code_of(row["reason"])} for row in self.connection.rows(text)]

    def unit_ids_of(self, document: str) -> list[str]:
        text = "MATCH (u:_Unit {_document: $id}) WHERE u._visible RETURN u._id AS id ORDER BY u._ord"
        return [row["id"] for row in self.connection.rows(text, id=document)]

    def resolve(self, text: str) -> tuple[str, str]:
        """(kind, id) of what a user named: see FolderReader.resolve. Raises NotFoundError."""
        if not text.strip():
            raise NotFoundError("give a name or an id", hint="`mmkg list` shows the documents")
        for kind, label, condition in (
            ("document", "_Document", "n._state = 'visible'"),
            ("unit", "_Unit", "n._visible"),
        ):
            rows = self.connection.rows(
                f"MATCH (n:{label}) WHERE n._id STARTS WITH $text AND {condition} RETURN n._id AS id ORDER BY id LIMIT 3",
                text=text,
            )
            if rows and (rows[0]["id"] == text or (len(rows) == 1 and len(text) >= 6)):
                return kind, rows[0]["id"]
            if rows and len(text) >= 6:
                raise NotFoundError(f"{text} is the beginning of several {kind}s", hint="give more of the id")
        sources = self._matching(
            "s._document IS NOT NULL AND (s._uri = $a OR s._uri ENDS WITH $b)", a=text, b=f"/{quote(text)}"
        )
        if sources:
            return "document", next(iter(sources.values()))
        document, _, order = text.rpartition("/s")
        if order.isdecimal() and self.connection.rows("MATCH (s:Section {id: $id}) RETURN 1 AS x", id=text):
            return "section", section_id(document, int(order))
        for id_ in (text, fold(text)):
            if self.connection.rows("MATCH (e:_Entity {_id: $id}) RETURN 1 AS x", id=id_):
                return "entity", id_
        rows = self.connection.rows(
            "MATCH (d:_Document) WHERE d._title = $text AND d._state = 'visible' RETURN d._id AS id ORDER BY id LIMIT 1",
            text=text,
        )
        if rows:
            return "document", rows[0]["id"]
        raise NotFoundError(f"nothing here is called {text!r}", hint="`mmkg list` shows the documents")

    def counts(self) -> dict[str, int]:
        """Numbers of rows by kind."""
        graph = self.graph.counts()
        sources = self.connection.rows("MATCH (s:_Source) RETURN count(*) AS n")
        out = {
            "documents": graph.get("Document", 0),
            "sections": graph.get("Section", 0),
            "entities": graph.get("Entity", 0),
            "co_occurrences": graph.get("CO_OCCURS", 0),
            "sources": sources[0]["n"],
        }
        return out | {f"{x.lower()}s": graph[x] for x in ("Chunk", "Clip", "Image") if graph.get(x)}

    # ---- for `copy` ----

    def outputs(self, document: str) -> dict[tuple[bytes, str], np.ndarray[Any, Any]]:
        """All model output of a document: (content key, space) -> (n, dim) float16."""
        text = (
            "MATCH (u:_Unit {_document: $id}) "
            "UNWIND [u._key, u._media, CASE WHEN u._media IS NULL THEN null ELSE $prompts END] AS k "
            "WITH DISTINCT k WHERE k IS NOT NULL "
            "MATCH (o:_Output {_key: k}) RETURN k, o._space AS space, o._n AS n, o._data AS data"
        )
        pages = (
            "MATCH (u:_Unit {_document: $id}) UNWIND [u._media, $id] AS k WITH DISTINCT k WHERE k IS NOT NULL "
            "MATCH (o:_Output {_page_of: k}) RETURN k, o._space AS space, o._n AS n, o._data AS data"
        )
        rows = self.connection.rows(text, id=document, prompts=PROMPTS_KEY.hex())
        rows += self.connection.rows(pages, id=document)
        return {
            (bytes.fromhex(row["k"]), row["space"]): np.frombuffer(row["data"], dtype="<f2").reshape(row["n"], -1)
            for row in rows
        }

    def unit_pages(self) -> list[tuple[str, int]]:
        """(id, page) of the visible units that lie on one; key frames, which are numbered too, do not. O(units)."""
        text = "MATCH (u:Unit) WHERE u.page IS NOT NULL AND u.kind <> 'frame' RETURN u.id AS id, u.page AS page"
        return [(row["id"], row["page"]) for row in self.connection.rows(text)]

    def page_vectors(self, wanted: Sequence[tuple[str, str]]) -> dict[tuple[str, str], np.ndarray[Any, Any]]:
        """Kept rows of pages: (document or picture, schema.page_space) -> (n, dim) float16; those that are missing are absent."""
        text = "UNWIND $ids AS i MATCH (o:_Output {_id: i}) RETURN i AS id, o._n AS n, o._data AS data"
        names = {f"{key} {space}": (key, space) for key, space in wanted}
        return {
            names[row["id"]]: np.frombuffer(row["data"], dtype="<f2").reshape(row["n"], -1)
            for row in self.connection.rows(text, ids=list(names))
            if row["n"] > 0 and len(row["data"]) % (2 * row["n"]) == 0
        }

    def source_rows(self) -> list[dict[str, Any]]:
        """Every source with what a copy needs of it, but those that wait for a publication."""
        text = (
            "MATCH (s:_Source) WHERE s._status <> 'pending' RETURN s._uri AS uri, s._document AS document, "
            "s._status AS status, s._reason AS reason, s._size AS size, s._mtime_ns AS mtime_ns ORDER BY uri"
        )
        return self.connection.rows(text)

    # ---- for filters ----

    def profiles(self) -> Iterator[tuple[str, str, str, Mapping[str, str], Sequence[str]]]:
        """(id, name, media type, properties, URIs) of every visible document."""
        text = (
            "MATCH (d:_Document {_state: 'visible'}) WHERE d._id > $after WITH d ORDER BY d._id LIMIT 500 "
            "RETURN d._id AS id, d._title AS name, d._media_type AS kind, d._head AS head, "
            "COLLECT { MATCH (s:_Source {_document: d._id}) RETURN s._uri ORDER BY s._uri } AS uris ORDER BY id"
        )
        after = ""
        while rows := self.connection.rows(text, after=after):
            for row in rows:
                yield row["id"], row["name"], row["kind"], unpack(row["head"]).get("meta", {}), row["uris"]
            after = rows[-1]["id"]

    def units_of_kinds(self, kinds: Sequence[str]) -> list[str]:
        """Ids of the units of these kinds, from the graph. O(units)."""
        text = "MATCH (u:Chunk|Image|Clip) WHERE u.kind IN $kinds RETURN u.id AS id"
        return [row["id"] for row in self.connection.rows(text, kinds=list(kinds))]

    # ---- for `show` ----

    def document_details(self, document: str) -> dict[str, Any]:
        """name, media_type, n_bytes, meta, sections [(heading, level)] of a visible document. Raises NotFoundError."""
        row = self._head(document)
        head = unpack(row["_head"])
        return {
            "name": row["_title"],
            "media_type": row["_media_type"],
            "n_bytes": row["_n_bytes"],
            "meta": head.get("meta", {}),
            "sections": [(s["heading"], s["level"]) for s in head.get("sections", ())],
        }

    def section_units(self, document: str, order: int) -> list[str]:
        """Ids of the units directly under a section."""
        text = "MATCH (u:_Unit {_document: $id}) WHERE u._section = $order RETURN u._id AS id ORDER BY u._ord"
        return [row["id"] for row in self.connection.rows(text, id=document, order=order)]

    def derivations(self, *, document: str | None = None, unit: str | None = None) -> list[UnitDerivation]:
        """What each unit of a document, or one unit, mentions."""
        key, value = ("_document", document) if document is not None else ("_id", unit)
        rows = self.connection.rows(f"MATCH (u:_Unit {{{key}: $v}}) RETURN u._derived AS x ORDER BY u._ord", v=value)
        return [load_derivation(derived_text(row["x"])) for row in rows]

    def entity_details(self, id_: str, limit: int) -> dict[str, Any]:
        """name, label, df, units, forms [(form, n)], near [(id, name, n)], same_as [(short, long, reason)]."""
        row = self.connection.rows("MATCH (e:_Entity {_id: $id}) RETURN properties(e) AS e", id=id_)[0]["e"]
        near = self.connection.rows(
            "MATCH (:Entity {id: $id})-[r:CO_OCCURS]-(o:Entity) RETURN o.id AS id, o.name AS name, r.count AS n "
            "ORDER BY n DESC, id LIMIT $limit",
            id=id_,
            limit=limit,
        )
        same = self.connection.rows(
            "MATCH (a:Entity)-[r:SAME_AS]->(b:Entity) WHERE a.id = $id OR b.id = $id "
            "RETURN a.id AS short, b.id AS long, r.reason AS reason ORDER BY short, long",
            id=id_,
        )
        forms = sorted(unpack(row["_forms"]).items(), key=lambda item: (-item[1], item[0]))
        return {
            "name": row["_name"],
            "label": row["_label"],
            "df": row["_df"],
            "units": row["_units"],
            "forms": forms[:limit],
            "near": [(r["id"], r["name"], r["n"]) for r in near],
            "same_as": [(r["short"], r["long"], r["reason"]) for r in same],
        }


def _evidence(row: Mapping[str, Any]) -> Evidence:
    given = unit_input(row["facts"])
    unit, name = given.unit, row["name"]
    headings = [title for title, _ in given.titles if title != name]
    return Evidence(
        id=row["id"],
        kind=unit.kind,
        score=0.0,
        text="\n".join(words for _, words in given.pieces),
        document=_ref(row["document"], name, row["uris"]),
        locator=Locator(
            chars=(unit.start, unit.end) if unit.end > unit.start else unit.caption or unit.described,
            page=unit.page,
            bbox=(unit.box[0] / 100, unit.box[1] / 100, unit.box[2] / 100, unit.box[3] / 100) if unit.box else None,
            seconds=_seconds(*unit.span_ms) if unit.span_ms else None,
        ),
        modality=MODALITIES.get(unit.kind, Modality.TEXT),
        heading=headings[0] if headings else "",
        media=unit.media,
        spans=tuple((a, a + len(words)) for a, words in given.pieces),
        sentences=unit.sentences,
        described=unit.described,
    )


def _seconds(start_ms: int, end_ms: int) -> tuple[float, float]:
    return start_ms / 1000, end_ms / 1000


def _ref(document: str, name: str, uris: Sequence[str]) -> DocumentRef:
    uri = min(uris, default="")
    return DocumentRef(id=document, name=name or unquote(uri.rsplit("/", 1)[-1]), uri=uri)
