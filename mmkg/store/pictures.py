"""SIMILAR and DEPICTS, kept up incrementally and at any time equal to making them from scratch; the same for every store.

A picture here is its bytes (the sha256 of them): the units that show the same bytes are tied to the first of them by id, and
only that one is tied to other pictures. Near pictures are found through buckets (mmkg.algorithms.likeness). Of a bucket only the
first BUCKET pictures by hash take part, so that a thousand blank pages cost no more than a hundred; an edge stands where each
of two pictures is among the NEAREST of the other. What a document's pictures show follows from the document, and from what
pictures near to them show by themselves: one step, so that nothing travels.

Cost of a change, for each picture that comes or goes: at most 24 buckets of BUCKET pictures, and the same for its neighbours;
then the documents whose mentions or near pictures changed are looked at again. Never the base, never all pairs.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from mmkg.algorithms.likeness import Features, Link, bucket_keys, features, link, nearest
from mmkg.protocols import Deriver
from mmkg.schema import PRINT_SPACE, unit_id
from mmkg.store.derivation import Key, UnitRow, load_derivation
from mmkg.store.graph_rows import edge
from mmkg.types import Depiction, Edge, GraphDelta, PassedOn

BUCKET = 128
"""Pictures of a bucket that take part: the first ones by hash."""
NEAREST = 8
"""Near pictures that a picture is tied to."""

SAME = "same"
"""Reason of an edge between units that show the same bytes."""


class Similar(NamedTuple):
    """A SIMILAR edge: unit ids, the smaller one first."""

    a: str
    b: str
    score: float
    reason: str


class Depicts(NamedTuple):
    """A DEPICTS edge."""

    image: str
    entity: str
    score: float
    reason: str


class PictureRows(Protocol):
    """What the pictures of one store need, inside an open transaction. Beside it the store is a derivation.DerivedRows."""

    def units_of(self, document: Key) -> list[UnitRow]: ...

    def document_id(self, document: Key) -> str: ...

    def documents_of(self, units: Collection[Key]) -> set[Key]:
        """Documents of these units, as far as the units are there."""
        ...

    def documents_by_id(self, ids: Collection[str]) -> dict[str, Key]:
        """The visible documents of these ids."""
        ...

    def media_of(self, documents: Collection[Key]) -> set[str]:
        """Pictures of the image units of these documents."""
        ...

    def showing(self, media: Collection[str]) -> list[tuple[str, str, Key]]:
        """(picture, unit id, document) of the image units of visible documents that show these pictures."""
        ...

    def kept(self, media: Collection[str]) -> dict[str, dict[str, npt.NDArray[Any]]]:
        """Kept output of pictures: picture -> space -> (n, dim), the print among it. Damaged rows are left out."""
        ...

    def prompts(self) -> dict[str, npt.NDArray[Any]]:
        """Vectors of the prompts: space -> (n, dim)."""
        ...

    def bucket(self, keys: Collection[int], limit: int) -> dict[int, list[str]]:
        """The first pictures by hash under each key; keys without any are absent."""
        ...

    def change_buckets(self, gone: Sequence[tuple[int, str]], new: Sequence[tuple[int, str]]) -> None:
        """Take (key, picture) rows out and put others in; one that is there already stays."""
        ...

    def similar_at(self, units: Collection[str]) -> set[Similar]: ...

    def change_similar(self, gone: Collection[Similar], new: Collection[Similar]) -> None: ...

    def depicts_of(self, units: Collection[str]) -> set[Depicts]: ...

    def change_depicts(self, gone: Collection[Depicts], new: Collection[Depicts]) -> None: ...


@dataclass(slots=True)
class PictureChange:
    """Edges that went and came; of one whose numbers changed, only the new one is listed."""

    gone: list[Edge] = field(default_factory=list)
    new: list[Edge] = field(default_factory=list)

    def delta(self) -> GraphDelta:
        """The change of the graph."""
        return GraphDelta(delete_edges=tuple(self.gone), edges=tuple(self.new))


def apply(
    rows: PictureRows,
    deriver: Deriver,
    *,
    added: Sequence[Key],
    removed: Sequence[Key],
    touched: Sequence[Key] = (),
    changed: Collection[Key] = (),
    gone: Collection[str] = (),
) -> PictureChange:
    """Bring the pictures of documents in and take others out. Call behind derivation.apply, in its transaction.

    touched: visible documents whose pictures have new output. changed: units whose derivation changed. gone: entities that no unit
    mentions any more. The added documents must be visible by now, and the rows of the removed ones still there.
    """
    step = _Step(rows, deriver, frozenset(removed))
    media = rows.media_of([*added, *removed, *touched])
    looked = {*added, *touched, *rows.documents_of(list(changed))} - step.removed
    if media:
        looked |= step.tie(media)
    step.describe(looked)
    return step.edges(added=added, gone=gone)


def similar_edge(row: Similar) -> Edge:
    return edge("SIMILAR", row.a, "Image", row.b, "Image", score=row.score, reason=row.reason)


def depicts_edge(row: Depicts) -> Edge:
    return edge("DEPICTS", row.image, "Image", row.entity, "Entity", score=row.score, reason=row.reason)


class _Step:
    """One change of the pictures of a base."""

    def __init__(self, rows: PictureRows, deriver: Deriver, removed: frozenset[Key]) -> None:
        self.rows, self.deriver, self.removed = rows, deriver, removed
        self._features: dict[str, Features] = {}
        self._keys: dict[str, list[int]] = {}
        self._buckets: dict[int, list[str]] = {}
        self._near: dict[str, dict[str, Link]] = {}
        self._showing: dict[str, list[tuple[str, Key]]] = {}
        self._own: dict[Key, dict[str, tuple[Depiction, ...]]] = {}
        self._documents: dict[Key, list[tuple[str, UnitRow]]] = {}
        self._prompts: dict[str, npt.NDArray[Any]] | None = None
        self._similar: tuple[set[Similar], set[Similar]] = (set(), set())
        self._depicts: tuple[set[Depicts], set[Depicts]] = (set(), set())

    def edges(self, *, added: Collection[Key], gone: Collection[str]) -> PictureChange:
        """What the step changed. gone: entities whose nodes go; edges of nodes that go, go with them.

        All edges of the added documents are new: other facts of one document may have taken its nodes' place.
        """
        units = self._units_of_removed()
        fresh = {unit for document in added for unit, row in self._document(document) if _is_picture(row)}
        out = PictureChange()
        old, new = self._similar
        kept = {(row.a, row.b) for row in new}
        out.gone += [similar_edge(r) for r in sorted(old) if not ({r.a, r.b} & units or (r.a, r.b) in kept)]
        out.new += [similar_edge(r) for r in sorted(new | self.rows.similar_at(fresh))]
        before, after = self._depicts
        here = {(row.image, row.entity) for row in after}
        out.gone += [
            depicts_edge(r)
            for r in sorted(before)
            if not (r.image in units or r.entity in gone or (r.image, r.entity) in here)
        ]
        out.new += [depicts_edge(r) for r in sorted(after | self.rows.depicts_of(fresh))]
        return out

    # ---- SIMILAR ----

    def tie(self, media: Collection[str]) -> set[Key]:
        """Bring the edges between pictures up to date; returns the documents with a picture that may have other neighbours."""
        self._load(media)
        here = {m for m in media if self._shown(m)}
        rows = {m: [(key, m) for key in self._bucket_keys(m)] for m in media}
        keys = {key for m in media for key in self._bucket_keys(m)}
        before = self.rows.bucket(keys, BUCKET)
        self.rows.change_buckets(
            [r for m in sorted(media) if m not in here for r in rows[m]], [r for m in sorted(here) for r in rows[m]]
        )
        after = self.rows.bucket(keys, BUCKET)
        self._buckets = {key: after.get(key, []) for key in keys}
        # Beside those that came and went: who entered or left the part of a full bucket that counts.
        moved = set(media)
        for key in keys:
            moved |= set(before.get(key, ())) ^ set(after.get(key, ()))
        affected = set(moved)
        self._load(moved | {m for part in (before, after) for members in part.values() for m in members})
        for m in moved:
            for key in self._bucket_keys(m):
                others = {*before.get(key, ()), *after.get(key, ())} - affected
                affected |= {o for o in others if link(self._features[m], self._features[o])}
        self._show(affected)
        units = {unit for m in affected for unit, _ in self._showing[m]} | self._units_of_removed()
        old = self.rows.similar_at(units)
        new = {row for m in affected for row in self._edges_of(m)}
        self._similar = (old - new, new - old)
        self.rows.change_similar(*self._similar)
        return {document for m in affected for _, document in self._showing[m]}

    def _units_of_removed(self) -> set[str]:
        return {unit for document in self.removed for unit, row in self._document(document) if _is_picture(row)}

    def _edges_of(self, m: str) -> Iterable[Similar]:
        units = [unit for unit, _ in self._shown(m)]
        if not units:
            return
        for other in units[1:]:
            yield Similar(units[0], other, 1.0, SAME)
        near = self._links(m)
        self._show(near)
        for other, found in near.items():
            if m in self._links(other):
                a, b = sorted((units[0], self._shown(other)[0][0]))
                yield Similar(a, b, found.score, found.reason)

    def _links(self, m: str) -> dict[str, Link]:
        """The nearest pictures of one."""
        if m not in self._near:
            keys = self._bucket_keys(m)
            if missing := [k for k in keys if k not in self._buckets]:
                found = self.rows.bucket(missing, BUCKET)
                self._buckets |= {k: found.get(k, []) for k in missing}
            others = {o for k in keys if m in self._buckets[k] for o in self._buckets[k]} - {m}
            self._load(others)
            links = {o: x for o in others if (x := link(self._features[m], self._features[o]))}
            self._near[m] = {o: links[o] for o in nearest(list(links.items()), NEAREST)}
        return self._near[m]

    def _load(self, media: Collection[str]) -> None:
        if missing := [m for m in media if m not in self._features]:
            kept = self.rows.kept(missing)
            for m in missing:
                self._features[m] = features(kept.get(m, {}), print_space=PRINT_SPACE)

    def _bucket_keys(self, m: str) -> list[int]:
        if m not in self._keys:
            self._load([m])
            self._keys[m] = bucket_keys(self._features[m])
        return self._keys[m]

    def _show(self, media: Iterable[str]) -> None:
        if missing := [m for m in media if m not in self._showing]:
            self._showing |= {m: [] for m in missing}
            for m, unit, document in self.rows.showing(missing):
                if document not in self.removed:
                    self._showing[m].append((unit, document))
            for m in missing:
                self._showing[m].sort(key=lambda pair: pair[0])

    def _shown(self, m: str) -> list[tuple[str, Key]]:
        """Units that show a picture, by id, and their documents."""
        self._show([m])
        return self._showing[m]

    # ---- DEPICTS ----

    def describe(self, documents: Collection[Key]) -> None:
        """Bring up to date what the pictures of these documents show, and those that are near to them."""
        wanted = set(documents)
        units = {unit for d in documents for unit, row in self._document(d) if _is_picture(row)}
        ids = {edge_end for row in self.rows.similar_at(units) for edge_end in (row.a, row.b)} - units
        wanted |= self._holders(ids)
        for document in sorted(wanted):
            self._describe(document)
        gone = self.rows.depicts_of(self._units_of_removed())
        self._depicts = (self._depicts[0] | gone, self._depicts[1])
        self.rows.change_depicts(*self._depicts)

    def _describe(self, document: Key) -> None:
        units = {row.input.unit.ordinal: unit for unit, row in self._document(document) if _is_picture(row)}
        if not units:
            return
        near: dict[str, list[tuple[str, Similar]]] = defaultdict(list)
        for s in sorted(self.rows.similar_at(units.values())):
            near[s.a].append((s.b, s))
            near[s.b].append((s.a, s))
        holders = {u: d for u, d in self._units_to_documents({o for u in units.values() for o, _ in near[u]}).items()}
        passed = {
            ordinal: [
                PassedOn(source=other, score=s.score, reason=s.reason, depiction=d)
                for other, s in near[unit]
                if other in holders
                for d in self._own_of(holders[other]).get(other, ())
            ]
            for ordinal, unit in units.items()
        }
        shown = self._depict(document, {o: p for o, p in passed.items() if p})
        new = {Depicts(units[o], d.entity, d.score, d.reason) for o, found in shown.items() for d in found}
        old = self.rows.depicts_of(units.values())
        self._depicts = (self._depicts[0] | (old - new), self._depicts[1] | (new - old))

    def _own_of(self, document: Key) -> dict[str, tuple[Depiction, ...]]:
        """What the pictures of a document show by themselves: unit -> depictions."""
        if document not in self._own:
            ids = {row.input.unit.ordinal: unit for unit, row in self._document(document)}
            self._own[document] = {ids[o]: found for o, found in self._depict(document, {}).items()}
        return self._own[document]

    def _depict(self, document: Key, passed: Mapping[int, Sequence[PassedOn]]) -> Mapping[int, tuple[Depiction, ...]]:
        rows = [row for _, row in self._document(document)]
        return self.deriver.depict(
            [(row.input, load_derivation(row.derived)) for row in rows], self._standings(rows), passed
        )

    def _standings(self, rows: Sequence[UnitRow]) -> dict[int, list[float]]:
        if self._prompts is None:
            self._prompts = self.rows.prompts()
        if not self._prompts:
            return {}
        pictures = {row.input.unit.ordinal: row.input.unit.media for row in rows if _is_picture(row)}
        self._load({m for m in pictures.values() if m})
        out = {}
        for ordinal, m in pictures.items():
            for space, vector in self._features[m or ""].vectors.items():
                if space in self._prompts and (found := standing(vector, self._prompts[space])):
                    out[ordinal] = found
                    break
        return out

    def _document(self, document: Key) -> list[tuple[str, UnitRow]]:
        """(unit id, row) of a document without pictures: nothing; else of all its units, in order."""
        if document not in self._documents:
            rows = self.rows.units_of(document) if self.rows.media_of([document]) else []
            id_ = self.rows.document_id(document) if rows else ""
            self._documents[document] = [
                (unit_id(id_, u.label, u.start, u.end, u.page, u.ordinal, u.span_ms), row)
                for row in rows
                for u in (row.input.unit,)
            ]
        return self._documents[document]

    def _units_to_documents(self, units: Collection[str]) -> dict[str, Key]:
        found = self.rows.documents_by_id({u.split("/")[0] for u in units})
        found = {id_: document for id_, document in found.items() if document not in self.removed}
        return {u: found[u.split("/")[0]] for u in units if u.split("/")[0] in found}

    def _holders(self, units: Collection[str]) -> set[Key]:
        return set(self._units_to_documents(units).values())


def standing(vector: npt.NDArray[np.int64], prompts: npt.NDArray[Any]) -> list[float]:
    """By how many standard deviations a vector is nearer to each prompt than to the mean one; [] if that says nothing."""
    if prompts.ndim != 2 or prompts.shape[1] != len(vector) or len(prompts) < 2:
        return []
    cosines = prompts.astype(np.float64) @ (vector / max(float(np.linalg.norm(vector)), 1e-12))
    spread = float(cosines.std())
    if not np.isfinite(spread) or spread < 1e-6:
        return []
    return [round(float(x), 3) for x in (cosines - cosines.mean()) / spread]


def _is_picture(row: UnitRow) -> bool:
    return row.input.unit.label == "Image" and row.input.unit.media is not None
