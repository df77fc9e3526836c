"""One generation of a base, read-only: its rows, its index, its graph. It stays what it is while a writer goes on.

The ledger connection keeps a read transaction open, so all rows are those of the generation that was current when it
began; index files are read at opening. `stale()` says whether a newer generation is there.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import numpy as np

from mmkg.algorithms.keys import entity_key
from mmkg.algorithms.names import fold
from mmkg.errors import NotFoundError, StoreDamagedError
from mmkg.reasons import code_of
from mmkg.schema import PROMPTS_KEY
from mmkg.store.blobs import Blobs
from mmkg.store.embedded.graph import KGLiteStore
from mmkg.store.folder.details import FolderDetails
from mmkg.store.folder.facts import outputs, pages, read, unpack_spans, unpack_times, whole_text
from mmkg.store.folder.index import FolderIndex, SegmentCache
from mmkg.store.folder.ledger import Ledger, readable
from mmkg.store.folder.projection import box_to_points
from mmkg.store.manifest import is_base, load
from mmkg.types import DocumentFacts, DocumentRef, Evidence, Locator, Modality

MODALITIES = {
    "image": Modality.IMAGE,
    "figure": Modality.IMAGE,
    "page": Modality.IMAGE,
    "frame": Modality.IMAGE,
    "audio": Modality.AUDIO,
    "video": Modality.VIDEO,
}


class FolderReader(FolderDetails):
    """Everything that search, ask and Cypher read. Safe to use from several threads."""

    def __init__(self, root: Path, *, cache: SegmentCache | None = None, query_memory_bytes: int = 2 * 2**30) -> None:
        """query_memory_bytes: see KGLiteStore. Raises NotFoundError if there is no base, StoreDamagedError if a file of it is missing or altered."""
        self.root = root
        if not is_base(root):
            raise NotFoundError(f"no knowledge base in {root}", hint="`mmkg add PATH` makes one")
        self.blobs = Blobs(root / "blobs")
        self._cache = cache if cache is not None else SegmentCache()
        self._query_memory = query_memory_bytes
        self._lock = threading.RLock()
        self._ledger = Ledger.open(root)
        try:
            self._ledger.db.execute("BEGIN")
            self.generation = self._ledger.current()
            self.manifest = load(root, self._ledger)
            self._watch = Ledger.open(root)
        except BaseException:
            self._ledger.close()
            raise
        self._index: FolderIndex | None = None
        self._graph: KGLiteStore | None = None

    def close(self) -> None:
        with self._lock:
            if self._graph is not None:
                self._graph.close()
                self._graph = None
            self._ledger.close()
            self._watch.close()

    def stale(self) -> bool:
        """True if a newer generation has been published."""
        with self._lock:
            return self._watch.current().no != self.generation.no

    @property
    def segment_cache(self) -> SegmentCache:
        return self._cache

    # ---- index ----

    @property
    def index(self) -> FolderIndex:
        """The arrays of this generation; opened at first use."""
        with self._lock:
            if self._index is None:
                dead = [u for (u,) in self.rows("SELECT unit FROM dead ORDER BY unit")]
                g = self.generation
                self._index = FolderIndex(
                    self.root / "index",
                    [(r.name.removeprefix("index/"), r.sha256) for r in g.text_segments],
                    [(r.name.removeprefix("index/"), r.sha256) for r in g.incidence_segments],
                    dead_units=dead,
                    generation=g.no,
                    lookup=self,
                    cache=self._cache,
                )
            return self._index

    @property
    def graph(self) -> KGLiteStore:
        """The graph of this generation; its process starts at first use. Its files are hashed before an engine sees them."""
        with self._lock:
            if self._graph is None:
                g = self.generation
                for ref in (*g.graph_deltas, *([g.graph_snapshot] if g.graph_snapshot else [])):
                    self._cache.check(self.root, ref)
                self._graph = KGLiteStore(
                    self.root / g.graph_snapshot.name if g.graph_snapshot else None,
                    [self.root / r.name for r in g.graph_deltas],
                    query_memory_bytes=self._query_memory,
                )
            return self._graph

    # ---- EntityLookup of the index ----

    def names(self, keys: Sequence[int]) -> list[str]:
        """Display names of entities by key, "" for unknown ones."""
        found = dict(self.rows_in("SELECT key, name FROM entity WHERE key IN {in}", [int(k) for k in keys]))
        return [found.get(int(k), "") for k in keys]

    def ids(self, keys: Sequence[int]) -> list[str]:
        found = dict(self.rows_in("SELECT key, id FROM entity WHERE key IN {in}", [int(k) for k in keys]))
        return [found.get(int(k), "") for k in keys]

    def is_title(self, canonical: Sequence[str]) -> list[bool]:
        found = {f for (f,) in self.rows_in("SELECT form FROM title_form WHERE form IN {in}", sorted(set(canonical)))}
        return [c in found for c in canonical]

    def filename_documents(self, words: Sequence[str]) -> dict[str, list[int]]:
        """For each word, numbers of the documents one of whose file names has it."""
        out: dict[str, list[int]] = {}
        for word, no in self.rows_in(
            "SELECT DISTINCT w.word, d.no FROM source_word w JOIN source s ON s.uri = w.uri "
            "JOIN document d ON d.id = s.document WHERE d.state = 'visible' AND w.word IN {in} ORDER BY d.id",
            sorted({fold(w) for w in words}),
        ):
            out.setdefault(word, []).append(no)
        return out

    # ---- units and documents ----

    def read(self, unit_ids: Sequence[str]) -> list[Evidence]:
        """The units as evidence without scores, in the order asked; ids that do not exist are left out."""
        found = {}
        for row in self.rows_in(
            "SELECT u.id, u.kind, u.pieces, u.page, u.box, u.media, u.sentences, u.start, u.end, u.titles, "
            "d.id, d.name, d.no, u.cap_start, u.cap_end, u.start_ms, u.end_ms, u.said_start, u.said_end "
            "FROM unit u JOIN document d ON d.no = u.document WHERE d.state = 'visible' AND u.id IN {in}",
            unit_ids,
        ):
            with readable(f"unit {row[0]}"):
                found[row[0]] = self._evidence(row)
        return [found[i] for i in unit_ids if i in found]

    def _evidence(self, row: Sequence[Any]) -> Evidence:
        (
            id_,
            kind,
            pieces,
            page,
            box,
            media,
            sentences,
            start,
            end,
            titles,
            document,
            name,
            _,
            cap_start,
            cap_end,
            *ms,
            said_start,
            said_end,
        ) = row
        described = None if said_start is None else (said_start, said_end)
        chars = (start, end) if end > start else (cap_start, cap_end) if cap_start is not None else described
        headings = [t for t, _ in json.loads(titles) if t != name]
        return Evidence(
            id=id_,
            kind=kind,
            score=0.0,
            text="\n".join(w for _, w in json.loads(pieces)),
            document=self.document_ref(document, name),
            locator=Locator(
                chars=chars, page=page, bbox=box_to_points(box), seconds=None if ms[0] is None else _seconds(*ms)
            ),
            modality=MODALITIES.get(kind, Modality.TEXT),
            heading=headings[0] if headings else "",
            media=media,
            spans=tuple((a, a + len(words)) for a, words in json.loads(pieces)),
            sentences=unpack_spans(sentences),
            described=described,
        )

    def document_ref(self, document: str, name: str | None = None) -> DocumentRef:
        """A document as results name it. Raises NotFoundError."""
        if name is None:
            row = self.one("SELECT name FROM document WHERE id = ? AND state = 'visible'", (document,))
            if row is None:
                raise NotFoundError(f"no document {document}")
            name = row[0]
        source = self.one("SELECT min(uri) FROM source WHERE document = ?", (document,))
        uri = source[0] if source and source[0] else ""
        return DocumentRef(id=document, name=name or unquote(uri.rsplit("/", 1)[-1]), uri=uri)

    def original(self, document: str) -> bytes:
        """The file of a document; of a recording with subtitles beside it the recording. Raises StoreDamagedError."""
        row = self.one(
            "SELECT u.media FROM unit u JOIN document d ON d.no = u.document "
            "WHERE d.id = ? AND u.label = 'Clip' AND u.media IS NOT NULL LIMIT 1",
            (document,),
        )
        return self.blobs.read(row[0] if row else document)

    def document_text(self, document: str) -> str:
        """The whole text that spans point into. Raises NotFoundError."""
        row = self.one("SELECT no, text FROM document WHERE id = ? AND state = 'visible'", (document,))
        if row is None:
            raise NotFoundError(f"no document {document}")
        with readable(f"the text of {document[:12]}"):
            return whole_text(self._ledger, *row)

    def locate(self, document: str, start: int, end: int) -> Locator:
        """The page and box of a span of a document's text (the union of the lines it touches on its first page), or in
        a recording the seconds in which its words are said."""
        row = self.one("SELECT no FROM document WHERE id = ? AND state = 'visible'", (document,))
        if row is None:
            raise NotFoundError(f"no document {document}")
        with readable(f"the pages of {document[:12]}"):
            return self._place(row[0], start, end)

    def _place(self, no: int, start: int, end: int) -> Locator:
        place = self._on_page(no, start, end)
        timed = self.one(
            "SELECT start_ms, end_ms, times FROM unit WHERE document = ? AND start_ms IS NOT NULL "
            "AND start < ? AND end > ? ORDER BY ord LIMIT 1",
            (no, end, start),
        )
        if timed is None:
            return place
        said = [t for t in unpack_times(timed[2]) if t.start < end and t.end > start]
        spoken = (min(t.start_ms for t in said), max(t.end_ms for t in said)) if said else timed[:2]
        return replace(place, seconds=_seconds(*spoken))

    def _on_page(self, no: int, start: int, end: int) -> Locator:
        hit = self.one(
            "SELECT number FROM page WHERE document = ? AND start < ? AND end > ? ORDER BY number LIMIT 1",
            (no, end, start),
        )
        if hit is None:
            return Locator(chars=(start, end))
        with self._lock:
            page = next(pages(self._ledger, no, hit[0]))
        boxes = [line.box for line in page.lines if line.start < end and line.end > start]
        bbox = None
        if boxes:
            x0, y0 = min(b[0] for b in boxes), min(b[1] for b in boxes)
            x1, y1 = max(b[2] for b in boxes), max(b[3] for b in boxes)
            bbox = (x0 / 100, y0 / 100, x1 / 100, y1 / 100)
        return Locator(chars=(start, end), page=page.number, bbox=bbox)

    def documents(self) -> Iterator[dict[str, Any]]:
        """Visible documents: id, name, media_type, n_units, n_bytes, sources; by first source."""
        for no, id_, name, media_type, n_bytes in self.rows(
            "SELECT no, id, name, media_type, n_bytes FROM document WHERE state = 'visible' ORDER BY id"
        ):
            count = self.one("SELECT count(*) FROM unit WHERE document = ?", (no,))
            uris = [u for (u,) in self.rows("SELECT uri FROM source WHERE document = ? ORDER BY uri", (id_,))]
            yield {
                "id": id_,
                "name": name,
                "media_type": media_type,
                "n_units": count[0] if count else 0,
                "n_bytes": n_bytes,
                "uris": uris,
            }

    def sources(self) -> list[dict[str, Any]]:
        """Every source that `add` has seen, with its status and reason, and the reason's code ("" without one)."""
        keys = ("uri", "id", "status", "reason", "size")
        return [
            dict(zip(keys, row, strict=True)) | {"reason_code": code_of(row[3])}
            for row in self.rows("SELECT uri, coalesce(document, ''), status, reason, size FROM source ORDER BY uri")
        ]

    def unit_ids_of(self, document: str) -> list[str]:
        return [
            i
            for (i,) in self.rows(
                "SELECT u.id FROM unit u JOIN document d ON d.no = u.document "
                "WHERE d.id = ? AND d.state = 'visible' ORDER BY u.ord",
                (document,),
            )
        ]

    def resolve(self, text: str) -> tuple[str, str]:
        """(kind, id) of what a user named: a document, unit or section id or a unique prefix of one, a source, an entity.

        Raises NotFoundError, with the candidates if the prefix is not unique.
        """
        if not text.strip():  # the name of every picture without a title
            raise NotFoundError("give a name or an id", hint="`mmkg list` shows the documents")
        for kind, table in (("document", "document"), ("unit", "unit")):
            extra = " AND state = 'visible'" if table == "document" else ""
            rows = self.rows(
                f"SELECT id FROM {table} WHERE id >= ? AND id < ?{extra} ORDER BY id LIMIT 3",
                (text, text + "\U0010ffff"),
            )
            if rows and (rows[0][0] == text or (len(rows) == 1 and len(text) >= 6)):
                return kind, rows[0][0]
            if rows and len(text) >= 6:
                raise NotFoundError(f"{text} is the beginning of several {kind}s", hint="give more of the id")
        row = self.one(
            "SELECT document FROM source WHERE (uri = ? OR substr(uri, -length(?)) = ?) AND document IS NOT NULL "
            "ORDER BY uri",
            (text, f"/{quote(text)}", f"/{quote(text)}"),
        )
        if row is not None:
            return "document", row[0]
        document, _, order = text.rpartition("/s")
        if order.isdecimal() and self.one(
            "SELECT 1 FROM section s JOIN document d ON d.no = s.document "
            "WHERE d.id = ? AND s.ord = ? AND d.state = 'visible'",
            (document, int(order)),
        ):
            return "section", text
        for id_ in (text, fold(text)):
            if self.one("SELECT 1 FROM entity WHERE key = ?", (entity_key(id_),)):
                return "entity", id_
        row = self.one("SELECT id FROM document WHERE name = ? AND state = 'visible' ORDER BY id", (text,))
        if row is not None:
            return "document", row[0]
        raise NotFoundError(f"nothing here is called {text!r}", hint="`mmkg list` shows the documents")

    def counts(self) -> dict[str, int]:
        """Numbers of rows by kind."""
        sql = {
            "documents": "SELECT count(*) FROM document WHERE state = 'visible'",
            "sections": "SELECT count(*) FROM section s JOIN document d ON d.no = s.document WHERE d.state = 'visible'",
            "entities": "SELECT count(*) FROM entity",
            "co_occurrences": "SELECT count(*) FROM cooccur",
            "sources": "SELECT count(*) FROM source",
        }
        out = {name: self._count(query) for name, query in sql.items()}
        for label, n in self.rows(
            "SELECT label, count(*) FROM unit u JOIN document d ON d.no = u.document WHERE d.state = 'visible' "
            "GROUP BY label ORDER BY label"
        ):
            out[f"{label.lower()}s"] = n
        return out

    def _count(self, sql: str) -> int:
        row = self.one(sql)
        if row is None:
            raise StoreDamagedError("the ledger gave no count")
        return int(row[0])

    # ---- for `copy` ----

    def facts(self, document: str) -> DocumentFacts:
        """The facts of a visible document. Raises NotFoundError."""
        row = self.one("SELECT no FROM document WHERE id = ? AND state = 'visible'", (document,))
        if row is None:
            raise NotFoundError(f"no document {document}")
        with self._lock:
            return read(self._ledger, row[0])

    def outputs(self, document: str) -> dict[tuple[bytes, str], np.ndarray[Any, Any]]:
        """All model output of a document: (content key, space) -> (n, dim) float16."""
        sql = "SELECT u.key, u.media FROM unit u JOIN document d ON d.no = u.document WHERE d.id = ?"
        units = self.rows(sql, (document,))
        keys = [k for key, media in units for k in (key, bytes.fromhex(media) if media else None) if k]
        keys += [PROMPTS_KEY] if any(media for _, media in units) else []
        with self._lock:
            return outputs(self._ledger, [*keys, bytes.fromhex(document)], pages=True)

    def unit_pages(self) -> list[tuple[str, int]]:
        """(id, page) of the visible units that lie on one; key frames, which are numbered too, do not. O(units)."""
        sql = "SELECT u.id, u.page FROM unit u JOIN document d ON d.no = u.document WHERE d.state = 'visible' AND u.page IS NOT NULL AND u.kind <> 'frame'"
        return [(id_, page) for id_, page in self.rows(sql)]

    def page_vectors(self, wanted: Sequence[tuple[str, str]]) -> dict[tuple[str, str], np.ndarray[Any, Any]]:
        """Kept rows of pages: (document or picture, schema.page_space) -> (n, dim) float16; those that are missing are absent.

        Cost: an indexed lookup and the bytes of each.
        """
        found = {}
        for key, space in wanted:
            row = self.one("SELECT n, data FROM output WHERE key = ? AND space = ?", (bytes.fromhex(key), space))
            if row is not None and row[0] > 0 and len(row[1]) % (2 * row[0]) == 0:
                found[key, space] = np.frombuffer(row[1], dtype="<f2").reshape(row[0], -1)
        return found

    # ---- rows, under the lock ----

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with self._lock:
            return self._ledger.rows(sql, parameters)

    def one(self, sql: str, parameters: Sequence[Any] = ()) -> tuple[Any, ...] | None:
        with self._lock:
            return self._ledger.one(sql, parameters)

    def rows_in(self, sql: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        with self._lock:
            return list(self._ledger.rows_in(sql, values))


def _seconds(start_ms: int, end_ms: int) -> tuple[float, float]:
    return start_ms / 1000, end_ms / 1000
