"""Looking at what is there: the graph by Cypher and by steps, documents, originals and media."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any

from mmkg.errors import NotFoundError
from mmkg.kb.opened import OpenBase, reads
from mmkg.types import Edge, Evidence, MediaClip, Path, PathStep, QueryResult

if TYPE_CHECKING:
    import networkx as nx


class Explores(OpenBase):
    """The graph: queries, neighbours, paths, export."""

    @reads
    def cypher(
        self,
        query: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        timeout_s: float | None = None,
        max_rows: int | None = None,
    ) -> QueryResult:
        """Run a read-only Cypher query. Raises WriteRefusedError, QueryLimitError, CypherError."""
        return self._read().graph.query(
            query,
            parameters,
            timeout_s=timeout_s or self.settings.query_timeout_s,
            max_rows=max_rows or self.settings.query_rows,
        )

    @reads
    def neighbors(
        self, node: str, *, types: Sequence[str] = (), direction: str = "both", limit: int = 100
    ) -> list[Edge]:
        """Edges at a document, unit, section or entity (by id, unique prefix, or name)."""
        reader = self._read()
        return reader.graph.neighbors([reader.resolve(node)[1]], types=types, direction=direction, limit=limit)

    @reads
    def path(self, a: str, b: str, *, max_hops: int = 6) -> Path | None:
        """A shortest way between two things in the graph, or None within max_hops."""
        reader = self._read()
        steps = reader.graph.shortest_path(reader.resolve(a)[1], reader.resolve(b)[1], max_hops=max_hops)
        if steps is None:
            return None
        nodes = {n.id: n for n in reader.graph.get([i for i, _ in steps])}
        return Path(
            steps=tuple(
                PathStep(id=i, kind=nodes[i].label.lower(), name=_node_name(nodes[i].properties, i), via=via)
                for i, via in steps
            )
        )

    @reads
    def to_networkx(self) -> nx.MultiDiGraph[str]:
        """The whole graph as a networkx.MultiDiGraph; node and edge properties are attributes."""
        from mmkg.export import to_networkx

        return to_networkx(self._read().graph)

    @reads
    def export(self, target: str | FilePath, *, format: str | None = None) -> FilePath:
        """Write the graph as GraphML, JSON Lines, Parquet or CSV for neo4j-admin; the format follows the name unless given."""
        from mmkg.export import export

        return export(self._read().graph, FilePath(target), format=format)


class Tells(OpenBase):
    """Documents, units, media and counts."""

    @reads
    def show(self, name: str) -> dict[str, Any]:
        """Everything about one document, unit or entity."""
        from mmkg.showing import show

        return show(self._read(), name)

    @reads
    def documents(self) -> list[dict[str, Any]]:
        """Visible documents, ordered by id."""
        return list(self._read().documents())

    @reads
    def sources(self) -> list[dict[str, Any]]:
        """Every file that `add` has seen, with its status and reason."""
        return self._read().sources()

    @reads
    def stats(self) -> dict[str, Any]:
        """Counts, sizes and the models of the base."""
        reader = self._read()
        size = {}
        if self._server is None:  # a server does not tell its size
            size["bytes"] = sum(f.stat().st_size for f in self.root.rglob("*") if f.is_file())
        return {
            **reader.counts(),
            "generation": reader.generation.no,
            **size,
            "spaces": sorted(reader.manifest.spaces),
            "extractor": reader.manifest.extractor,
        }

    @reads
    def evidence(self, units: Sequence[str]) -> list[Evidence]:
        """Units by id, with text and locator but without a score, in the order given; unknown ids are left out."""
        return self._read().read(units)

    @reads
    def media(self, evidence: Evidence) -> bytes | MediaClip | None:
        """The picture that a piece of evidence shows, its clip cut out of the recording, or None. Raises LoadError."""
        from mmkg.clips import media_of

        return media_of(self._read().blobs, self.settings, evidence)

    @reads
    def write_media(self, unit: str, target: str | FilePath) -> FilePath:
        """Write the picture, frame or clip of a unit (its id) to a file; a name without suffix gets the fitting one."""
        from mmkg.clips import write_media

        found = self._read().read([self._read().resolve(unit)[1]])
        if not found:
            raise NotFoundError(f"{unit} is no unit", hint="`mmkg show DOCUMENT` lists the units of a document")
        return write_media(self._read().blobs, self.settings, found[0], FilePath(target))

    @reads
    def document_text(self, document: str) -> str:
        """The text of a document that `Locator.chars` points into. Raises NotFoundError."""
        return self._read().document_text(document)

    @reads
    def original(self, document: str) -> bytes:
        """The bytes of a document as they were added."""
        return self._read().original(document)


def _node_name(properties: Mapping[str, Any], id_: str) -> str:
    for key in ("name", "heading", "caption", "text"):
        if value := str(properties.get(key) or "").strip():
            return value if len(value) <= 60 else value[:59] + "…"
    return id_.rsplit("/", 1)[-1]
