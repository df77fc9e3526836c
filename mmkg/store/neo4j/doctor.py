"""Every divergence of the rows, the graph and the media of a base on a server, named; and mended where the truth is still there.

The facts are the truth. They are brought into a ledger in a temporary folder, derived there from scratch, and what that means is
compared with what the server holds. O(base) time, and memory for one copy of the graph's rows.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from mmkg.errors import MMKGError
from mmkg.schema import PROMPTS_KEY
from mmkg.store.folder import derived
from mmkg.store.folder.comparing import compare_graph
from mmkg.store.folder.doctor import check_speech, fixed, limited, publish_pending, restore
from mmkg.store.folder.facts import facts_hash, put_outputs, stage
from mmkg.store.folder.ledger import Ledger
from mmkg.store.folder.picturerows import derive_pictures_anew
from mmkg.store.neo4j.facts import unpack
from mmkg.store.neo4j.graph import Neo4jGraph
from mmkg.store.neo4j.picturerows import outputs_of_pictures
from mmkg.store.neo4j.rows import derived_text
from mmkg.store.neo4j.searchrows import OFF
from mmkg.store.neo4j.writer import ServerWriter
from mmkg.types import Problem


def examine(writer: ServerWriter, *, fix: bool = False) -> list[Problem]:
    """All problems, of the kinds of the folder's doctor. With fix, each is mended if it can be, and says so.

    No one should write meanwhile: what another writer commits between two looks counts as a divergence.
    """
    problems = limited(_check_batches(writer)) + limited(_check_media(writer))
    with (
        tempfile.TemporaryDirectory(prefix="mmkg-doctor-") as folder,
        closing(Ledger.create(Path(folder), "{}")) as ledger,
    ):
        problems += limited(_bring_in(writer, ledger))
        with ledger.transaction():
            for _ in derived.derive_from_scratch(ledger, writer.deriver):
                pass
            put_outputs(ledger, outputs_of_pictures(writer.connection, [PROMPTS_KEY.hex()]))
            derive_pictures_anew(ledger, writer.deriver)
        problems += limited(_check_derived(writer, ledger))
        problems += limited(compare_graph(ledger, Neo4jGraph(writer.connection)))
    problems += limited(_check_outputs(writer)) + limited(_check_search(writer)) + limited(check_speech(writer))
    if not fix:
        return problems
    settled = _fix(writer, problems)
    return [fixed(p) if p.kind in settled or p.id in settled else p for p in problems]


# ---- checks ----


def _check_batches(writer: ServerWriter) -> Iterator[Problem]:
    rows = writer.connection.rows("MATCH (d:_Document {_state: 'staged'}) RETURN d._id AS id ORDER BY id")
    for row in rows:
        yield Problem(
            kind="batch-interrupted", id=row["id"], detail="its facts are complete; the next `add` publishes it"
        )


def _check_media(writer: ServerWriter) -> Iterator[Problem]:
    rows = writer.connection.rows(
        "MATCH (d:_Document) RETURN d._id AS id UNION MATCH (u:_Unit) WHERE u._media IS NOT NULL RETURN u._media AS id"
    )
    wanted = {row["id"] for row in rows}
    for sha256 in sorted(wanted):
        intact = writer.blobs.intact(sha256)
        if intact is None:
            yield Problem(kind="blob-missing", id=sha256, detail=f"it is not at {writer.blobs.url}")
        elif not intact:
            yield Problem(kind="blob-damaged", id=sha256, detail="its bytes have another hash")
    for sha256 in writer.blobs.all():
        if sha256 not in wanted:
            yield Problem(kind="blob-unreferenced", id=sha256, detail="no document has these bytes")


def _bring_in(writer: ServerWriter, ledger: Ledger) -> Iterator[Problem]:
    """Stage the facts of every visible document in the ledger; those that are not what was staged are named."""
    rows = writer.connection.rows(
        "MATCH (d:_Document {_state: 'visible'}) RETURN d._id AS id, d._hash AS hash, d._n_bytes AS n ORDER BY id"
    )
    for row in rows:
        try:
            facts = writer.facts(row["id"])
        except (MMKGError, ValueError) as e:
            yield Problem(kind="facts-altered", id=row["id"], detail=f"unreadable: {e}; remove it and add it again")
            continue
        if facts_hash(facts).hex() != row["hash"]:
            yield Problem(kind="facts-altered", id=row["id"], detail="remove the document and add it again")
        with ledger.transaction():
            no = stage(ledger, row["id"], facts, n_bytes=row["n"])
            put_outputs(ledger, outputs_of_pictures(writer.connection, [u.media for u in facts.units if u.media]))
            ledger.db.execute("UPDATE document SET state = 'visible' WHERE no = ?", (no,))
            ledger.db.executemany(
                "INSERT INTO source VALUES (?, ?, NULL, '', '', 0, 0)",
                [(uri, row["id"]) for uri in writer.sources_of(row["id"])],
            )


def _check_derived(writer: ServerWriter, ledger: Ledger) -> Iterator[Problem]:
    """Hidden rows against the ledger's; what the graph shows is compared with the graph."""
    rows = writer.connection.rows
    have: dict[str, dict[str, object]] = {
        "title_form": {r["k"]: r["n"] for r in rows("MATCH (t:_Title) RETURN t._form AS k, t._n AS n")},
        "alias": {r["k"]: r["n"] for r in rows("MATCH (a:_Alias) RETURN a._id AS k, a._n AS n")},
        "entity": {
            r["k"]: (r["n"], unpack(r["f"]), unpack(r["x"]))
            for r in rows("MATCH (e:_Entity) RETURN e._id AS k, e._units AS n, e._forms AS f, e._labels AS x")
        },
        "unit": {
            r["k"]: derived_text(r["d"])
            for r in rows("MATCH (u:_Unit) WHERE u._visible RETURN u._id AS k, u._derived AS d")
        },
    }
    counts: dict[str, dict[str, dict[str, int]]] = {"form": {}, "label": {}}
    for column, found in counts.items():
        sql = f"SELECT e.id, x.{column}, x.n FROM entity_{column} x JOIN entity e ON e.key = x.entity"
        for id_, value, n in ledger.rows(sql):
            found.setdefault(id_, {})[value] = n
    want: dict[str, dict[str, object]] = {
        "title_form": dict(ledger.rows("SELECT form, n FROM title_form")),
        "alias": {"\0".join(row[:3]): row[3] for row in ledger.rows("SELECT short, long, reason, n FROM alias")},
        "entity": {
            id_: (units, counts["form"].get(id_, {}), counts["label"].get(id_, {}))
            for id_, units in ledger.rows("SELECT id, units FROM entity")
        },
        "unit": dict(ledger.rows("SELECT id, derived FROM unit")),
    }
    for table, rows_here in have.items():
        for key in sorted(rows_here.keys() | want[table].keys()):
            if rows_here.get(key) != want[table].get(key):
                detail = "it does not follow from the facts" if key in rows_here else "it is missing"
                yield Problem(kind="derived-differs", id=f"{table}:{key}", detail=detail)


def _check_outputs(writer: ServerWriter) -> Iterator[Problem]:
    for space, entry in writer.manifest.spaces.items():
        if "text" in entry.get("modalities", ()):
            for document in writer.documents_without(space):
                yield Problem(kind="output-missing", id=document, detail=f"no vector of {space} is kept")


def _check_search(writer: ServerWriter) -> Iterator[Problem]:
    """What the server's own indexes search against the facts and kept output, where they are kept up."""
    if writer.search.state() == OFF:
        return
    rows = writer.connection.rows("MATCH (d:_Document {_state: 'visible'}) RETURN d._id AS id ORDER BY id")
    for row in rows:
        for kind, unit in writer.search.differences(row["id"]):
            yield Problem(kind=kind, id=unit, detail="the server's search index is not what the facts mean")
    known = {row["id"] for row in rows}
    for label, what in (("_Sentence", "sentences"), ("_Page", "pages")):
        for row in writer.connection.rows(f"MATCH (s:{label}) RETURN DISTINCT s._document AS id ORDER BY id"):
            if row["id"] not in known and writer.state(row["id"]) is None:
                yield Problem(kind="index-unit-without-row", id=row["id"], detail=f"{what} of a document that is gone")


# ---- mending ----


def _fix(writer: ServerWriter, problems: list[Problem]) -> set[str]:
    """Mend what can be mended; returns the kinds, and the ids of single blobs, that are settled."""
    kinds = {p.kind for p in problems}
    settled = {p.id for p in problems if p.kind in ("blob-missing", "blob-damaged") and restore(writer, p.id)}
    if "blob-unreferenced" in kinds:
        writer.drop_blobs([p.id for p in problems if p.kind == "blob-unreferenced" and p.id != "..."])
        settled.add("blob-unreferenced")
    if rebuilt := {k for k in kinds if k.startswith(("graph-", "derived-"))}:
        writer.rebuild()
        settled |= rebuilt
    if found := kinds & {"unit-not-in-postings", "unit-without-vector", "index-unit-without-row"}:
        writer.search.repair()
        settled |= found
    if "batch-interrupted" in kinds:
        publish_pending(writer)
        settled.add("batch-interrupted")
    return settled
