"""What Neo4j's own indexes search: index terms and vectors at the units, and at hidden rows, one a sentence and one a page.

Kept for a base once somebody has opened it for writing with `search=indexes` in its address, or it has outgrown exported arrays.
The rows of a document are written before its commit, so that with the commit it is found by them too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mmkg.algorithms.terms import terms
from mmkg.store.folder.projection import modality_of
from mmkg.store.neo4j.connection import Connection, Runner
from mmkg.store.neo4j.ddl import hidden_schema, make_vector_index, vector_index, vector_property, vector_schema
from mmkg.store.neo4j.facts import clean, read_facts
from mmkg.store.neo4j.graph import make_schema
from mmkg.texts import index_text
from mmkg.types import DocumentFacts, Unit

OFF, FILLING, READY = "off", "filling", "ready 2"
_VERSION = 2
"""Of the rows of a document. 1 had no pages."""
_VECTORS = 500
"""Vectors a statement: two megabytes as Bolt carries them."""
_UNITS = 100
_HELD = (
    "MATCH (u:_Unit {_document: $id}) RETURN u._id AS id, u._terms AS terms, u._n_terms AS n, u._modality AS modality, "
    "u._n_sentences AS sentences, u._page AS page, keys(u) AS keys"
)
_HELD_SENTENCES = "MATCH (s:_Sentence {_document: $id}) RETURN s._id AS id, keys(s) AS keys"
_HELD_PAGES = (
    "MATCH (p:_Page {_document: $id}) RETURN p._id AS id, p._terms AS terms, p._n_terms AS n, p._units AS units"
)
_DOCUMENTS = 20
_MANY = 2_000
"""Sentences from which on it matters in how many pieces their index lies."""
_LONGEST_S = 24 * 3600
_LACKING = f"(d._searchable IS NULL OR d._searchable <> {_VERSION})"


class SearchRows:
    """The searchable rows of one base."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._spaces: set[str] = set()

    def state(self) -> str:
        """off, filling or ready."""
        rows = self.connection.rows("MATCH (s:_Store {_name: 'base'}) RETURN s._search AS state")
        return str(rows[0]["state"] or OFF) if rows else OFF

    def ensure(self) -> None:
        """Have them for all documents, and from now on; goes on where a run was stopped."""
        if self.state() == READY:
            return
        make_schema(self.connection, hidden_schema())
        # First the mark: what other writers stage from here on has its rows already.
        self._mark(FILLING)
        text = (
            f"MATCH (d:_Document) WHERE d._state IN ['visible', 'staged'] AND {_LACKING} "
            f"RETURN d._id AS id ORDER BY id LIMIT {_DOCUMENTS}"
        )
        while page := [row["id"] for row in self.connection.rows(text)]:
            self.index(page)
        self._index_every_space()
        if self._large():
            self._build()
        self._mark(READY)

    def _index_every_space(self) -> None:
        """The indexes of all spaces; a stop of `pack` may have left one out."""
        text = (
            "MATCH (o:_Output) WHERE o._page_of IS NULL WITH DISTINCT o._space AS space "
            "CALL (space) { MATCH (o:_Output) WHERE o._space = space AND o._page_of IS NULL RETURN o LIMIT 1 } "
            "RETURN space, o._n AS n, o._data AS data"
        )
        for row in self.connection.rows(text):
            self._index_space(row)
        self.connection.execute(f"CALL db.awaitIndexes({_LONGEST_S})")

    def _index_space(self, output: Mapping[str, Any]) -> None:
        """The indexes of a space. output: space, n and data of any output in it."""
        dim = len(output["data"]) // 2 // output["n"]
        make_schema(self.connection, vector_schema(output["space"], dim))

    def pack(self) -> None:
        """Build the vector indexes anew from their rows. Nothing where they are off or not yet whole, or the base is small.

        Rows that came in many transactions lie in many segments, and a search goes through each of them: of 30,000 sentences it took a
        fourth of the time afterwards. Meanwhile nothing is found by vectors, so this is for bases that nobody searches yet and for times when
        reads are refused. O(vectors).
        """
        if self.state() == READY and self._large():
            self._mark(FILLING)
            self._build()
            self._mark(READY)

    def _large(self) -> bool:
        return bool(self.connection.rows("MATCH (s:_Sentence) RETURN count(*) AS n")[0]["n"] >= _MANY)

    def _build(self) -> None:
        text = (
            "SHOW VECTOR INDEXES YIELD name, labelsOrTypes, properties, options WHERE name STARTS WITH 'mmkg' "
            "RETURN name, labelsOrTypes[0] AS label, properties[0] AS key, options"
        )
        for row in self.connection.rows(text):
            dim = row["options"]["indexConfig"]["vector.dimensions"]
            self.connection.execute(f"DROP INDEX {row['name']}")
            self.connection.execute(make_vector_index(row["name"], row["label"], row["key"], dim))
        self.connection.execute(f"CALL db.awaitIndexes({_LONGEST_S})")

    def _mark(self, state: str) -> None:
        text = "MATCH (s:_Store {_name: 'base'}) SET s._search = $state"
        self.connection.write(lambda tx: tx.run(text, state=state).consume())

    def complete(self, documents: Sequence[str]) -> None:
        """Write the rows of those of these documents that lack them, before they are seen. Nothing where they are off."""
        text = f"UNWIND $ids AS i MATCH (d:_Document {{_id: i}}) WHERE {_LACKING} RETURN i AS id"
        if documents and self.state() != OFF:
            self.index([row["id"] for row in self.connection.rows(text, ids=sorted(set(documents)))])

    def index(self, documents: Sequence[str]) -> None:
        """Write the rows of these documents, some hundred units a transaction. Nothing where they are off."""
        if not documents or self.state() == OFF:
            return
        for document in documents:
            self._make_indexes(document)
            rows = self.connection.read(lambda tx, document=document: _Rows.of(tx, document))  # type: ignore[misc]
            if rows is None:
                continue
            for i in range(0, len(rows.units), _UNITS):
                part = slice(i, i + _UNITS)
                self.connection.write(lambda tx, rows=rows, part=part: rows.write(tx, part))  # type: ignore[misc]
            self.connection.write(rows.finish)

    def index_in(self, tx: Runner, document: str) -> None:
        """The same in a transaction that is open, for one document that can be held in it. A space is searched once its
        indexes are there; they are made by the next `index`."""
        record = tx.run("MATCH (s:_Store {_name: 'base'}) RETURN s._search AS state").single()
        if record is None or (record["state"] or OFF) == OFF:
            return
        if (rows := _Rows.of(tx, document)) is not None:
            rows.write(tx, slice(None))
            rows.finish(tx)

    def differences(self, document: str) -> list[tuple[str, str]]:
        """(kind of problem, unit id) where a document's rows are not what its facts and kept output mean."""
        rows = self.connection.read(lambda tx: _Rows.of(tx, document))
        if rows is None:
            return []
        here = {r["id"]: r for r in self.connection.rows(_HELD, id=document)}
        sentences = {r["id"]: r["keys"] for r in self.connection.rows(_HELD_SENTENCES, id=document)}
        out: list[tuple[str, str]] = []
        everything = slice(None)
        for want in rows.words:
            if any(here[want["id"]][k] != want[k] for k in ("terms", "n", "modality", "sentences", "page")):
                out.append(("unit-not-in-postings", want["id"]))
        expected = {row["id"] for row in rows.sentences(everything)}
        out += [("unit-not-in-postings", i) for i in sorted(expected - sentences.keys())]
        out += [("index-unit-without-row", i) for i in sorted(sentences.keys() - expected)]
        pages = {r["id"]: (r["terms"], r["n"], r["units"]) for r in self.connection.rows(_HELD_PAGES, id=document)}
        for page in rows.pages():
            if pages.pop(page["id"], None) != (page["terms"], page["n"], page["units"]):
                out.append(("unit-not-in-postings", page["id"]))
        out += [("index-unit-without-row", i) for i in sorted(pages)]
        for (space, label), vectors in sorted(rows.vectors(everything).items()):
            name = vector_property(space)
            for row in vectors:
                keys = here[row["id"]]["keys"] if label == "_Unit" else sentences.get(row["id"], [])
                if name not in keys:
                    out.append(("unit-without-vector", row["id"]))
        return out

    def repair(self) -> None:
        """Write the rows of every visible document again, and delete sentences that no unit has and pages of no document."""
        rows = self.connection.rows("MATCH (d:_Document {_state: 'visible'}) RETURN d._id AS id ORDER BY id")
        self.index([row["id"] for row in rows])
        self.connection.execute(
            "MATCH (s:_Sentence) WHERE NOT EXISTS { MATCH (u:_Unit {_id: s._unit}) WHERE s._ord < u._n_sentences } "
            "CALL (s) { DELETE s } IN TRANSACTIONS OF 2000 ROWS"
        )
        self.connection.execute(
            "MATCH (p:_Page) WHERE NOT EXISTS { MATCH (:_Document {_id: p._document}) } "
            "CALL (p) { DELETE p } IN TRANSACTIONS OF 2000 ROWS"
        )

    def forget(self, space: str) -> None:
        """Take the vectors of a space, and their indexes, away."""
        name = vector_property(space)
        for label in ("_Unit", "_Sentence"):
            self.connection.execute(f"DROP INDEX {vector_index(space, label)} IF EXISTS")
            self.connection.execute(
                f"MATCH (n:{label}) WHERE n.{name} IS NOT NULL CALL (n) {{ REMOVE n.{name} }} IN TRANSACTIONS OF 2000 ROWS"
            )
        self._spaces.discard(space)

    def _make_indexes(self, document: str) -> None:
        """The indexes of the spaces in which the document has vectors."""
        text = (
            "MATCH (u:_Unit {_document: $id}) UNWIND [u._key, u._media] AS k WITH DISTINCT k WHERE k IS NOT NULL "
            "MATCH (o:_Output {_key: k}) WITH o._space AS space, o._n AS n, o._data AS data "
            "RETURN space, n, head(collect(data)) AS data"
        )
        for row in self.connection.rows(text, id=document):
            if row["space"] not in self._spaces:
                self._index_space(row)
                self._spaces.add(row["space"])


@dataclass(frozen=True, slots=True)
class _Rows:
    """A document's units as they lie on the server, with its facts and kept output. words: id, terms, n, modality, sentences
    and page of each; a page where the document has several, and none for key frames, which are numbered too."""

    document: str
    facts: DocumentFacts
    units: list[dict[str, Any]]
    words: list[dict[str, Any]]
    outputs: dict[str, list[tuple[str, np.ndarray[Any, Any]]]]

    @classmethod
    def of(cls, tx: Runner, document: str) -> _Rows | None:
        """None where the document is gone."""
        row = tx.run("MATCH (d:_Document {_id: $id}) RETURN properties(d) AS row", id=document).single()
        if row is None:
            return None
        units = tx.run(
            "MATCH (u:_Unit {_document: $id}) RETURN u._id AS id, u._key AS key, u._media AS media, u._facts AS facts "
            "ORDER BY u._ord",
            id=document,
        ).data()
        outputs: dict[str, list[tuple[str, np.ndarray[Any, Any]]]] = {}
        text = "UNWIND $keys AS k MATCH (o:_Output {_key: k}) RETURN k, o._space AS space, o._n AS n, o._data AS data"
        keys = sorted({k for unit in units for k in (unit["key"], unit["media"]) if k})
        for out in tx.run(text, keys=keys).data():
            x = np.frombuffer(out["data"], dtype="<f2").reshape(out["n"], -1)
            outputs.setdefault(out["k"], []).append((out["space"], x))
        facts = read_facts(row["row"], [unit["facts"] for unit in units])
        words = [_words(facts, row["id"], unit) for row, unit in zip(units, facts.units, strict=True)]
        if len({row["page"] for row in words} - {None}) < 2:
            for row in words:
                row["page"] = None
        return cls(document, facts, units, words, outputs)

    def _part(self, part: slice) -> list[tuple[str, Unit, dict[str, Any]]]:
        return [(row["id"], unit, row) for row, unit in zip(self.units[part], self.facts.units[part], strict=True)]

    def sentences(self, part: slice) -> list[dict[str, Any]]:
        """id, unit, ord of their sentences."""
        return [
            {"id": f"{id_}#{i}", "unit": id_, "ord": i}
            for id_, unit, _ in self._part(part)
            for i in range(len(unit.sentences))
        ]

    def pages(self) -> list[dict[str, Any]]:
        """id, terms, n, units of the pages of a document of several."""
        held: dict[int, list[dict[str, Any]]] = {}
        for row in self.words:
            if row["page"] is not None:
                held.setdefault(row["page"], []).append(row)
        return [
            {
                "id": f"{self.document}#{page}",
                "terms": " ".join(row["terms"] for row in rows if row["terms"]),
                "n": sum(row["n"] for row in rows),
                "units": [row["id"] for row in rows],
            }
            for page, rows in sorted(held.items())
        ]

    def vectors(self, part: slice) -> dict[tuple[str, str], list[dict[str, Any]]]:
        """(space, label) -> id and vector of the nodes of that label. Damaged output is left out: doctor tells of it, and a
        vector of zeros has no cosine."""
        out: dict[tuple[str, str], list[dict[str, Any]]] = {}
        for id_, unit, row in self._part(part):
            for space, x in [o for key in (row["key"], row["media"]) for o in self.outputs.get(key, ())]:
                if len(x) in (1, 1 + len(unit.sentences)) and np.isfinite(x).all() and x.any(axis=1).all():
                    own, *others = x.astype(np.float32).tolist()
                    out.setdefault((space, "_Unit"), []).append({"id": id_, "v": own})
                    out.setdefault((space, "_Sentence"), []).extend(
                        {"id": f"{id_}#{i}", "v": v} for i, v in enumerate(others)
                    )
        return out

    def write(self, tx: Runner, part: slice) -> None:
        """The rows of some of the units; the same twice is once."""
        tx.run(
            "UNWIND $rows AS r MATCH (u:_Unit {_id: r.id}) "
            "SET u._terms = r.terms, u._n_terms = r.n, u._modality = r.modality, u._n_sentences = r.sentences, "
            "u._page = r.page",
            rows=self.words[part],
        ).consume()
        tx.run(
            "UNWIND $rows AS r MERGE (s:_Sentence {_id: r.id}) SET s._unit = r.unit, s._document = $id, s._ord = r.ord",
            rows=self.sentences(part),
            id=self.document,
        ).consume()
        for (space, label), rows in sorted(self.vectors(part).items()):
            text = (
                f"UNWIND $rows AS r MATCH (n:{label} {{_id: r.id}}) "
                f"CALL db.create.setNodeVectorProperty(n, '{vector_property(space)}', r.v)"
            )
            for i in range(0, len(rows), _VECTORS):
                tx.run(text, rows=rows[i : i + _VECTORS]).consume()

    def finish(self, tx: Runner) -> None:
        """The rows of the pages, in place of those that are there, and the mark that the document has its rows."""
        tx.run("MATCH (p:_Page {_document: $id}) DELETE p", id=self.document).consume()
        pages = self.pages()
        for i in range(0, len(pages), _UNITS):
            tx.run(
                "UNWIND $rows AS r CREATE (p:_Page {_id: r.id, _document: $id, _terms: r.terms, _n_terms: r.n, "
                "_units: r.units})",
                rows=pages[i : i + _UNITS],
                id=self.document,
            ).consume()
        text = "MATCH (d:_Document {_id: $id}) SET d._searchable = $version"
        tx.run(text, id=self.document, version=_VERSION).consume()


def _words(facts: DocumentFacts, id_: str, unit: Unit) -> dict[str, Any]:
    held = terms(clean(index_text(facts, unit)))
    return {
        "id": id_,
        "terms": " ".join(held),
        "n": len(held),
        "modality": modality_of(unit),
        "sentences": len(unit.sentences),
        "page": unit.page if unit.kind != "frame" else None,
    }
