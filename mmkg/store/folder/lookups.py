"""What a writer looks up in the ledger: documents, sources, and what still lacks model output."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from mmkg.errors import NotFoundError
from mmkg.listing import INSIDE, ending, source_uri
from mmkg.store.folder.facts import read
from mmkg.store.folder.ledger import Ledger
from mmkg.types import Cue, DocumentFacts

# Both conditions: only the second lets SQLite use the small index of documents that are not visible; without it, it
# reads every document of the base.
STAGED = "d.state = 'staged' AND d.state <> 'visible'"
PARTLY = "d.state = 'arriving' AND d.state <> 'visible'"
"""Long texts of which some parts are here: they are coming in now, or a run was stopped."""


def all_blobs(ledger: Ledger) -> set[str]:
    """Hashes of the originals and pictures that documents have, staged ones too. O(base)."""
    ids = {h for (h,) in ledger.rows("SELECT id FROM document")}
    return ids | {h for (h,) in ledger.rows("SELECT DISTINCT media FROM unit WHERE media IS NOT NULL")}


def speaks(meta: Mapping[str, str]) -> bool:
    """Whether a recording, by its properties, has sound whose words only a recogniser can tell."""
    return "audio" in meta and "subtitles" not in meta


class LedgerLookups:
    """Read-only questions to a ledger; each by an index but for those that say they list."""

    ledger: Ledger

    def state(self, document: str) -> str | None:
        """staged, visible, or None; None too for a document that is here in part only."""
        row = self.ledger.one("SELECT state FROM document WHERE id = ?", (document,))
        return row[0] if row and row[0] != "arriving" else None

    def media_type(self, document: str) -> str:
        """Media type of a document, "" if there is none of that id."""
        row = self.ledger.one("SELECT media_type FROM document WHERE id = ?", (document,))
        return str(row[0]) if row else ""

    def meta(self, document: str) -> dict[str, str]:
        """Properties and tags of a document, {} if there is none of that id."""
        row = self.ledger.one("SELECT meta FROM document WHERE id = ?", (document,))
        return dict(json.loads(row[0])) if row else {}

    def source(self, uri: str) -> tuple[str | None, str, str] | None:
        """(document id or None, status, reason) of a source."""
        row = self.ledger.one("SELECT document, status, reason FROM source WHERE uri = ?", (uri,))
        return (row[0], row[1], row[2]) if row else None

    def sources_of(self, document: str) -> list[str]:
        return [u for (u,) in self.ledger.rows("SELECT uri FROM source WHERE document = ? ORDER BY uri", (document,))]

    def sources_showing(self, recording: str) -> list[str]:
        """Sources of the documents whose clips are cut from a recording (its sha256)."""
        return [
            u
            for (u,) in self.ledger.rows(
                "SELECT DISTINCT s.uri FROM unit u JOIN document d ON d.no = u.document JOIN source s ON s.document = d.id "
                "WHERE u.media = ? AND u.label = 'Clip' ORDER BY s.uri",
                (recording,),
            )
        ]

    def all_sources(self) -> list[str]:
        return [u for (u,) in self.ledger.rows("SELECT uri FROM source ORDER BY uri")]

    def sources_inside(self, uri: str) -> dict[str, str]:
        """uri -> document id ("" if none) of the sources that lie in an archive, at any depth."""
        inside = uri + INSIDE
        return dict(
            self.ledger.rows(
                "SELECT uri, coalesce(document, '') FROM source WHERE uri >= ? AND uri < ?",
                (inside, inside + "\U0010ffff"),
            )
        )

    def match_sources(self, name: str) -> dict[str, str]:
        """uri -> document id ("" if none) of the sources that a user's word means.

        It may be a URI, a path, a folder, a document id (or a prefix of at least 6 digits), or the end of a path. What lies in
        an archive is meant with it.
        """
        uri = source_uri(name)
        sql = "SELECT uri, coalesce(document, '') FROM source WHERE "
        below = uri.rstrip("/") + "/"
        rows = self.ledger.rows(f"{sql} uri = ? OR (uri >= ? AND uri < ?)", (uri, below, below + "\U0010ffff"))
        if not rows and re.fullmatch("[0-9a-f]{6,64}", name):
            rows = self.ledger.rows(f"{sql} document >= ? AND document <= ?", (name, name + "g"))
            if len({d for _, d in rows}) > 1:
                raise NotFoundError(f"{name} is the beginning of several documents", hint="give more of the id")
        if not rows:
            rows = self.ledger.rows(f"{sql} substr(uri, -length(?)) = ?", (f"/{ending(name)}", f"/{ending(name)}"))
        found = dict(rows)
        for archive in list(found):
            found |= self.sources_inside(archive)
        return found

    def images_without(self, space: str) -> list[tuple[str, str]]:
        """(document id, sha256 of the picture) of visible images that have no vector in this space."""
        return [
            (document, media)
            for document, media in self.ledger.rows(
                "SELECT d.id, u.media FROM unit u JOIN document d ON d.no = u.document "
                "WHERE u.media IS NOT NULL AND u.label = 'Image' AND d.state = 'visible' ORDER BY d.id, u.ord"
            )
            if not self.ledger.one("SELECT 1 FROM output WHERE key = ? AND space = ?", (bytes.fromhex(media), space))
        ]

    def documents_of_type(self, media_type: str) -> list[str]:
        """Visible documents of a media type; a list of all."""
        sql = "SELECT id FROM document WHERE state = 'visible' AND media_type = ? ORDER BY id"
        return [id_ for (id_,) in self.ledger.rows(sql, (media_type,))]

    def sounds_without(self, space: str) -> list[tuple[str, str]]:
        """(document id, sha256 of the recording) of visible recordings with sound whose clips have no vectors in this space."""
        return [
            (document, media)
            for document, media, meta in self.ledger.rows(
                "SELECT DISTINCT d.id, u.media, d.meta FROM unit u JOIN document d ON d.no = u.document "
                "WHERE u.media IS NOT NULL AND u.label = 'Clip' AND d.state = 'visible' ORDER BY d.id"
            )
            if "audio" in json.loads(meta)
            and not self.ledger.one("SELECT 1 FROM output WHERE key = ? AND space = ?", (bytes.fromhex(media), space))
        ]

    def has_output(self, key: bytes, space: str) -> bool:
        """Whether model output is kept under this key for a space."""
        return self.ledger.one("SELECT 1 FROM output WHERE key = ? AND space = ?", (key, space)) is not None

    def documents_with_pictures(self) -> list[str]:
        """Visible documents with a picture; a list of all."""
        return [
            id_
            for (id_,) in self.ledger.rows(
                "SELECT DISTINCT d.id FROM unit u JOIN document d ON d.no = u.document "
                "WHERE u.media IS NOT NULL AND u.label = 'Image' AND d.state = 'visible' ORDER BY d.id"
            )
        ]

    def documents_without(self, space: str) -> list[str]:
        """Visible documents with a unit that has words but no model output in this space."""
        return [
            id_
            for (id_,) in self.ledger.rows(
                "SELECT DISTINCT d.id FROM unit u JOIN document d ON d.no = u.document WHERE d.state = 'visible' "
                "AND u.key IS NOT NULL AND NOT EXISTS (SELECT 1 FROM output o WHERE o.key = u.key AND o.space = ?) "
                "ORDER BY d.id",
                (space,),
            )
        ]

    def unheard(self, model: str) -> list[str]:
        """Visible recordings with sound and without subtitles in which a clip was not heard by this model, or whose words
        are not in the facts yet (a run was stopped between the two)."""
        return [
            id_
            for id_, meta in self.ledger.rows(
                "SELECT DISTINCT d.id, d.meta FROM unit u JOIN document d ON d.no = u.document "
                "WHERE u.label = 'Clip' AND d.state = 'visible' AND u.end = u.start AND NOT EXISTS ("
                "SELECT 1 FROM heard h WHERE h.recording = u.media AND h.model = ? AND h.start_ms = u.start_ms "
                "AND h.end_ms = u.end_ms AND h.words = '[]') ORDER BY d.id",
                (model,),
            )
            if speaks(json.loads(meta))
        ]

    def undescribed(self, model: str) -> list[str]:
        """Visible documents with a picture of which no model has written, and this one has not said that there is nothing to say."""
        return [
            id_
            for (id_,) in self.ledger.rows(
                "SELECT DISTINCT d.id FROM unit u JOIN document d ON d.no = u.document "
                "WHERE u.media IS NOT NULL AND u.label = 'Image' AND u.kind IN ('image', 'figure', 'page') "
                "AND coalesce(min(u.width, u.height), 64) >= 64 AND d.state = 'visible' AND u.said_start IS NULL "
                "AND NOT EXISTS (SELECT 1 FROM heard h WHERE h.recording = u.media AND h.model = ? AND h.words = '[]') "
                "ORDER BY d.id",
                (model,),
            )
        ]

    def heard(self, recording: str, model: str) -> dict[tuple[int, int], list[Cue]]:
        """What this model heard in a recording (its sha256): span in milliseconds -> words."""
        return {
            (a, b): [Cue(start_ms=s, end_ms=e, text=w) for s, e, w in json.loads(words)]
            for a, b, words in self.ledger.rows(
                "SELECT start_ms, end_ms, words FROM heard WHERE recording = ? AND model = ?", (recording, model)
            )
        }

    def facts(self, document: str) -> DocumentFacts:
        """The facts of a document, staged or visible. Raises NotFoundError."""
        row = self.ledger.one("SELECT no FROM document WHERE id = ?", (document,))
        if row is None:
            raise NotFoundError(f"no document {document}")
        return read(self.ledger, row[0])

    def pending(self) -> list[tuple[str, str]]:
        """(document id, uri) of staged documents that wait for publication."""
        return self.ledger.rows(
            f"SELECT d.id, s.uri FROM document d JOIN source s ON s.pending = d.id WHERE {STAGED} ORDER BY d.id, s.uri"
        )
