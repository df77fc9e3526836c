"""What a writer and a reader look up on the server: documents, sources, and what still lacks model output."""

from __future__ import annotations

import json
import re
from typing import Any

from mmkg.errors import NotFoundError
from mmkg.listing import INSIDE, ending, source_uri
from mmkg.store.folder.lookups import speaks
from mmkg.store.neo4j.connection import Connection
from mmkg.store.neo4j.facts import read_facts, unpack
from mmkg.types import Cue, DocumentFacts, Span


class ServerLookups:
    """Read-only questions; each by an index but for those that say they list."""

    connection: Connection

    def state(self, document: str) -> str | None:
        """staged, visible, or None. A document that is just being staged counts as absent."""
        rows = self.connection.rows("MATCH (d:_Document {_id: $id}) RETURN d._state AS state", id=document)
        return rows[0]["state"] if rows and rows[0]["state"] != "staging" else None

    def media_type(self, document: str) -> str:
        """Media type of a document, "" if there is none of that id."""
        rows = self.connection.rows("MATCH (d:_Document {_id: $id}) RETURN d._media_type AS kind", id=document)
        return str(rows[0]["kind"] or "") if rows else ""

    def meta(self, document: str) -> dict[str, str]:
        """Properties and tags of a document, {} if there is none of that id."""
        rows = self.connection.rows("MATCH (d:_Document {_id: $id}) RETURN d._head AS head", id=document)
        return dict(unpack(rows[0]["head"]).get("meta", {})) if rows and rows[0]["head"] else {}

    def source(self, uri: str) -> tuple[str | None, str, str] | None:
        """(document id or None, status, reason) of a source."""
        rows = self.connection.rows(
            "MATCH (s:_Source {_uri: $uri}) RETURN s._document AS id, s._status AS status, s._reason AS reason", uri=uri
        )
        return (rows[0]["id"], rows[0]["status"], rows[0]["reason"]) if rows else None

    def sources_of(self, document: str) -> list[str]:
        text = "MATCH (s:_Source {_document: $id}) RETURN s._uri AS uri ORDER BY uri"
        return [row["uri"] for row in self.connection.rows(text, id=document)]

    def sources_showing(self, recording: str) -> list[str]:
        """Sources of the documents whose clips are cut from a recording (its sha256)."""
        text = (
            "MATCH (u:_Unit {_media: $media}) WHERE u._label = 'Clip' WITH DISTINCT u._document AS id "
            "MATCH (s:_Source {_document: id}) RETURN DISTINCT s._uri AS uri ORDER BY uri"
        )
        return [row["uri"] for row in self.connection.rows(text, media=recording)]

    def all_sources(self) -> list[str]:
        """Every URI; a list of all."""
        return [r["uri"] for r in self.connection.rows("MATCH (s:_Source) RETURN s._uri AS uri ORDER BY uri")]

    def sources_inside(self, uri: str) -> dict[str, str]:
        """uri -> document id ("" if none) of the sources that lie in an archive, at any depth."""
        return self._matching("s._uri STARTS WITH $inside", inside=uri + INSIDE)

    def match_sources(self, name: str) -> dict[str, str]:
        """uri -> document id ("" if none) of the sources that a user's word means.

        It may be a URI, a path, a folder, a document id (or a prefix of at least 6 digits), or the end of a path. What lies in
        an archive is meant with it.
        """
        uri = source_uri(name)
        below = uri.rstrip("/") + "/"
        rows = self._matching("s._uri = $a OR s._uri STARTS WITH $b", a=uri, b=below)
        if not rows and re.fullmatch("[0-9a-f]{6,64}", name):
            rows = self._matching("s._document STARTS WITH $a", a=name)
            if len(set(rows.values())) > 1:
                raise NotFoundError(f"{name} is the beginning of several documents", hint="give more of the id")
        found = rows or self._matching("s._uri ENDS WITH $a OR s._uri ENDS WITH $b", a=f"/{ending(name)}", b=f"/{name}")
        for archive in list(found):
            found |= self.sources_inside(archive)
        return found

    def _matching(self, condition: str, **parameters: Any) -> dict[str, str]:
        text = f"MATCH (s:_Source) WHERE {condition} RETURN s._uri AS uri, coalesce(s._document, '') AS id ORDER BY uri"
        return {row["uri"]: row["id"] for row in self.connection.rows(text, **parameters)}

    def images_without(self, space: str) -> list[tuple[str, str]]:
        """(document id, sha256 of the picture) of visible images that have no vector in this space; a list of all."""
        text = (
            "MATCH (u:_Unit) WHERE u._media IS NOT NULL AND u._label = 'Image' AND u._visible "
            "AND NOT EXISTS { MATCH (o:_Output {_key: u._media}) WHERE o._space = $space } "
            "RETURN u._document AS id, u._media AS media ORDER BY id, u._ord"
        )
        return [(row["id"], row["media"]) for row in self.connection.rows(text, space=space)]

    def documents_of_type(self, media_type: str) -> list[str]:
        """Visible documents of a media type; a list of all."""
        text = "MATCH (d:_Document {_state: 'visible'}) WHERE d._media_type = $type RETURN d._id AS id ORDER BY id"
        return [row["id"] for row in self.connection.rows(text, type=media_type)]

    def sounds_without(self, space: str) -> list[tuple[str, str]]:
        """(document id, sha256 of the recording) of visible recordings with sound whose clips have no vectors in this space."""
        text = (
            "MATCH (u:_Unit) WHERE u._media IS NOT NULL AND u._label = 'Clip' AND u._visible "
            "AND NOT EXISTS { MATCH (o:_Output {_key: u._media}) WHERE o._space = $space } "
            "RETURN DISTINCT u._document AS id, u._media AS media ORDER BY id, media"
        )
        rows = self.connection.rows(text, space=space)
        return [(r["id"], r["media"]) for r in rows if "audio" in self.facts(r["id"]).meta]

    def has_output(self, key: bytes, space: str) -> bool:
        """Whether model output is kept under this key for a space."""
        text = "MATCH (o:_Output {_id: $id}) RETURN 1 AS one"
        return bool(self.connection.rows(text, id=f"{key.hex()} {space}"))

    def documents_with_pictures(self) -> list[str]:
        """Visible documents with a picture; a list of all."""
        text = (
            "MATCH (u:_Unit) WHERE u._media IS NOT NULL AND u._label = 'Image' AND u._visible "
            "RETURN DISTINCT u._document AS id ORDER BY id"
        )
        return [row["id"] for row in self.connection.rows(text)]

    def documents_without(self, space: str) -> list[str]:
        """Visible documents with a unit that has words but no model output in this space; a list of all."""
        text = (
            "MATCH (u:_Unit) WHERE u._key IS NOT NULL AND u._visible "
            "AND NOT EXISTS { MATCH (o:_Output {_key: u._key}) WHERE o._space = $space } "
            "RETURN DISTINCT u._document AS id ORDER BY id"
        )
        return [row["id"] for row in self.connection.rows(text, space=space)]

    def facts(self, document: str) -> DocumentFacts:
        """The facts of a document, staged or visible. Raises NotFoundError."""
        rows = self.connection.rows("MATCH (d:_Document {_id: $id}) RETURN properties(d) AS row", id=document)
        if not rows:
            raise NotFoundError(f"no document {document}")
        units = self.connection.rows(
            "MATCH (u:_Unit {_document: $id}) RETURN u._facts AS facts ORDER BY u._ord", id=document
        )
        return read_facts(rows[0]["row"], [unit["facts"] for unit in units])

    def unheard(self, model: str) -> list[str]:
        """Visible recordings with sound and without subtitles in which a clip was not heard by this model, or whose words
        are not in the facts yet (a run was stopped between the two); looks at every recording."""
        out = []
        text = "MATCH (d:_Document {_timed: true}) WHERE d._state = 'visible' RETURN d._id AS id, d._head AS head ORDER BY id"
        for row in self.connection.rows(text):
            if not speaks(unpack(row["head"]).get("meta", {})):
                continue
            clips = [u for u in self.facts(row["id"]).units if u.label == "Clip" and u.media and u.span_ms]
            heard = self.heard(str(clips[0].media), model) if clips else {}
            if any(u.end == u.start and u.span_ms and heard.get(u.span_ms) != [] for u in clips):
                out.append(row["id"])
        return out

    def undescribed(self, model: str) -> list[str]:
        """Visible documents with a picture of which no model has written, and this one has not said that there is nothing to say;
        looks at every document with pictures."""
        out = []
        for document in self.documents_with_pictures():
            shown = [
                u
                for u in self.facts(document).units
                if u.label == "Image" and u.media is not None and u.kind in ("image", "figure", "page")
                if min(u.width or 64, u.height or 64) >= 64
            ]
            if any(u.described is None and self.heard(str(u.media), model).get((0, 0)) != [] for u in shown):
                out.append(document)
        return out

    def heard(self, recording: str, model: str) -> dict[Span, list[Cue]]:
        """What this model heard in a recording (its sha256): span in milliseconds -> words."""
        text = (
            "MATCH (h:_Heard {_recording: $recording}) WHERE h._model = $model "
            "RETURN h._start AS a, h._end AS b, h._words AS words"
        )
        return {
            (row["a"], row["b"]): [Cue(start_ms=s, end_ms=e, text=w) for s, e, w in json.loads(row["words"])]
            for row in self.connection.rows(text, recording=recording, model=model)
        }

    def pending(self) -> list[tuple[str, str]]:
        """(document id, uri) of staged documents that wait for publication."""
        text = (
            "MATCH (s:_Source) WHERE s._pending IS NOT NULL MATCH (d:_Document {_id: s._pending}) "
            "WHERE d._state = 'staged' RETURN d._id AS id, s._uri AS uri ORDER BY id, uri"
        )
        return [(row["id"], row["uri"]) for row in self.connection.rows(text)]
