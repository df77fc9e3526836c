"""What doctor finds by making it anew: derived layer, index and graph as the ledger means them, beside those that are there."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from mmkg.errors import StoreDamagedError, StoreError
from mmkg.protocols import GraphStore
from mmkg.store.embedded.graph import KGLiteStore
from mmkg.store.folder import derived, graphrows
from mmkg.store.folder.ledger import DERIVED_TABLES, PICTURE_TABLES, FileRef, Ledger
from mmkg.store.folder.merge import merge_incidence, merge_text
from mmkg.store.folder.picturerows import derive_pictures_anew
from mmkg.store.folder.projection import SegmentWriter
from mmkg.store.folder.segment import INCIDENCE, TEXT, IncidenceSegment, TextSegment
from mmkg.store.folder.writer import FolderWriter
from mmkg.types import Node, Problem


def check_derived(writer: FolderWriter) -> Iterator[Problem]:
    ledger = writer.ledger

    def tables() -> dict[str, set[tuple[Any, ...]]]:
        out = {t: set(ledger.rows(f"SELECT * FROM {t}")) for t in (*DERIVED_TABLES, *PICTURE_TABLES)}
        out["unit"] = set(
            ledger.rows(
                "SELECT u.id, u.derived FROM unit u JOIN document d ON d.no = u.document WHERE d.state = 'visible'"
            )
        )
        return out

    before = tables()
    ledger.db.execute("BEGIN IMMEDIATE")
    try:
        for _ in derived.derive_from_scratch(ledger, writer.deriver):
            pass
        derive_pictures_anew(ledger, writer.deriver)
        after = tables()
    finally:
        ledger.db.execute("ROLLBACK")  # only a look: nothing is changed here
    for table in before:
        for row in sorted(before[table] - after[table], key=str):
            yield Problem(kind="derived-differs", id=f"{table}:{row[0]}", detail=f"row {_short(row)} does not follow")
        for row in sorted(after[table] - before[table], key=str):
            yield Problem(kind="derived-differs", id=f"{table}:{row[0]}", detail=f"row {_short(row)} is missing")


def check_index(writer: FolderWriter) -> Iterator[Problem]:
    ledger = writer.ledger
    generation = ledger.current()
    dead = np.array(ledger.rows("SELECT unit FROM dead"), dtype=np.int64).reshape(-1)
    with tempfile.TemporaryDirectory(prefix="mmkg-doctor-") as folder:
        root = Path(folder)
        (root / "index").mkdir()
        expected = SegmentWriter(root, ledger, generation.no)
        documents = [n for (n,) in ledger.rows("SELECT no FROM document WHERE state = 'visible' ORDER BY no")]
        try:
            for i in range(0, len(documents), 1000):
                part = documents[i : i + 1000]
                expected.add_documents(part)
                expected.add_incidence(u for (u,) in ledger.rows_in("SELECT no FROM unit WHERE document IN {in}", part))
        except StoreDamagedError as e:
            yield Problem(kind="derived-differs", id="index", detail=str(e))
            return
        try:
            have_text = _merged(writer.root / "index", generation.text_segments, TEXT, dead, root)
            want_text = _merged(root / "index", expected.text, TEXT, np.empty(0, np.int64), root)
            have_inc = _merged(writer.root / "index", generation.incidence_segments, INCIDENCE, dead, root)
            want_inc = _merged(root / "index", expected.incidence, INCIDENCE, np.empty(0, np.int64), root)
        except StoreError as e:
            yield Problem(kind="file-damaged", id="index", detail=str(e))
            return
        yield from _compare_text(have_text, want_text)
        yield from _compare_incidence(have_inc, want_inc)


def _merged(source: Path, refs: Iterable[FileRef], kind: str, dead: Any, target: Path) -> Any:
    """All segments of a kind as one, written into a temporary folder, so that only its content counts."""
    names = [r.name.removeprefix("index/") for r in refs]
    if not names:
        return None
    work = Path(tempfile.mkdtemp(dir=target))
    for name in names:
        (work / name).symlink_to((source / name).absolute())
    written = (merge_text if kind == TEXT else merge_incidence)(work, names, dead, "merged.seg")
    if not written.rows:
        return None
    return (TextSegment if kind == TEXT else IncidenceSegment)(work / written.name)


def _compare_text(have: TextSegment | None, want: TextSegment | None) -> Iterator[Problem]:
    have_ids = [i.decode() for i in have.ids.tolist()] if have else []
    want_ids = [i.decode() for i in want.ids.tolist()] if want else []
    for id_ in sorted(set(want_ids) - set(have_ids)):
        yield Problem(kind="unit-not-in-index", id=id_, detail="search cannot find it")
    for id_ in sorted(set(have_ids) - set(want_ids)):
        yield Problem(kind="index-unit-without-row", id=id_, detail="search could return what is not there")
    if have is None or want is None:
        return
    for space in sorted(set(have.spaces) | set(want.spaces)):
        mine = {have_ids[i] for i in have.spaces[space].unit.tolist()} if space in have.spaces else set()
        due = {want_ids[i] for i in want.spaces[space].unit.tolist()} if space in want.spaces else set()
        for id_ in sorted(due - mine):
            yield Problem(kind="unit-without-vector", id=id_, detail=f"of {space}")
        for id_ in sorted(mine - due):
            yield Problem(kind="vector-without-unit", id=id_, detail=f"of {space}")
    lost = _posted(want) - _posted(have)
    for id_ in sorted(lost & set(have_ids)):
        yield Problem(kind="unit-not-in-postings", id=id_, detail="no word finds it")
    if have_ids == want_ids:
        pairs = [
            (name, getattr(have, name), getattr(want, name))
            for name in ("no", "document", "modality", "length", "n_sentences", "term_hash", "post_unit", "post_tf")
        ]
        for space in sorted(set(have.spaces) & set(want.spaces)):
            a, b = have.spaces[space], want.spaces[space]
            pairs.append((f"unit vectors of {space}", a.unit_vectors.vectors, b.unit_vectors.vectors))
            pairs.append((f"sentence vectors of {space}", a.sentence_vectors.vectors, b.sentence_vectors.vectors))
        yield from _differing(pairs)


def _posted(segment: TextSegment) -> set[str]:
    """Ids of the units that a posting names."""
    return {segment.ids[i].decode() for i in np.unique(segment.post_unit).tolist()}


def _compare_incidence(have: IncidenceSegment | None, want: IncidenceSegment | None) -> Iterator[Problem]:
    if have is None or want is None:
        if have is not want:
            yield Problem(kind="index-differs", id="incidence", detail="one side has no rows")
        return
    names = ("no", "keys", "indptr", "entity", "count", "title_share", "n_sentences", "sentence_entity")
    yield from _differing([(f"incidence {n}", getattr(have, n), getattr(want, n)) for n in names])


def _differing(pairs: Iterable[tuple[str, Any, Any]]) -> Iterator[Problem]:
    for name, a, b in pairs:
        if not np.array_equal(a, b):
            yield Problem(kind="index-differs", id=name, detail="not what the ledger means")


def check_graph(writer: FolderWriter) -> Iterator[Problem]:
    generation = writer.ledger.current()
    snapshot = writer.root / generation.graph_snapshot.name if generation.graph_snapshot else None
    try:
        with closing(KGLiteStore(snapshot, [writer.root / r.name for r in generation.graph_deltas])) as graph:
            yield from compare_graph(writer.ledger, graph)
    except StoreError as e:
        yield Problem(kind="graph-unreadable", id="graph", detail=str(e))


def compare_graph(ledger: Ledger, graph: GraphStore) -> Iterator[Problem]:
    """Where a graph is not what the rows of a ledger mean."""
    have_nodes = {n.id: n for n in graph.nodes()}
    have_edges = {(e.type, e.source, e.target): e for e in graph.edges()}
    for node in graphrows.all_nodes(ledger):
        found = have_nodes.pop(node.id, None)
        if found is None:
            yield Problem(kind="graph-node-missing", id=node.id, detail=node.label)
        elif not _same_node(found, node):
            yield Problem(kind="graph-node-differs", id=node.id, detail=_difference(found.properties, node.properties))
    for id_, node in sorted(have_nodes.items()):
        yield Problem(kind="graph-node-extra", id=id_, detail=node.label)
    for edge in graphrows.all_edges(ledger):
        other = have_edges.pop((edge.type, edge.source, edge.target), None)
        id_ = f"{edge.source} -{edge.type}-> {edge.target}"
        if other is None:
            yield Problem(kind="graph-edge-missing", id=id_, detail="")
        elif dict(other.properties) != dict(edge.properties):
            yield Problem(kind="graph-edge-differs", id=id_, detail=_difference(other.properties, edge.properties))
    for type_, source, target in sorted(have_edges):
        yield Problem(kind="graph-edge-extra", id=f"{source} -{type_}-> {target}", detail="")


def _same_node(a: Node, b: Node) -> bool:
    return a.label == b.label and _plain(a.properties) == _plain(b.properties)


def _plain(properties: Any) -> dict[str, Any]:
    # An empty list or string and an absent property are the same to every engine's reader.
    return {k: list(v) if isinstance(v, tuple) else v for k, v in properties.items() if v not in (None, [], ())}


def _difference(have: Any, want: Any) -> str:
    a, b = _plain(have), _plain(want)
    keys = sorted(k for k in a.keys() | b.keys() if a.get(k) != b.get(k))
    return ", ".join(f"{k}: {_short(a.get(k))} instead of {_short(b.get(k))}" for k in keys[:3])


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:79] + "…"
