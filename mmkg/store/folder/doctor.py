"""Every divergence of ledger, blobs, index and graph, named; and mended where the truth is still there.

The ledger and the originals are the truth. Index and graph are compared with what the ledger means by building that anew:
O(base) time, and memory for one copy of the graph's rows and one merged segment.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit
from urllib.request import url2pathname

import numpy as np

from mmkg.errors import MMKGError, NotFoundError, StoreDamagedError, StoreError
from mmkg.listing import subtitles_of
from mmkg.protocols import GraphStore
from mmkg.schema import document_id, subtitled_blob
from mmkg.store.folder import derived, graphrows
from mmkg.store.folder.checks import check_generations, check_outputs, check_rows, mend_rows
from mmkg.store.folder.damage import file_sha256
from mmkg.store.folder.engine import KGLiteStore
from mmkg.store.folder.ledger import DERIVED_TABLES, FileRef, Ledger
from mmkg.store.folder.lookups import PARTLY, all_blobs
from mmkg.store.folder.manifest import Manifest
from mmkg.store.folder.merge import merge_incidence, merge_text
from mmkg.store.folder.parts import stored_hash
from mmkg.store.folder.projection import SegmentWriter
from mmkg.store.folder.segment import INCIDENCE, TEXT, IncidenceSegment, TextSegment
from mmkg.store.folder.writer import FolderWriter, SourceChange
from mmkg.types import Node, Problem

INFORMATION = ("source-gone", "pictures-without-vector", "speech-not-heard", "file-set-aside")
"""Kinds that are told but are no fault of the base."""

KINDS = {
    "ledger-damaged": "SQLite finds the ledger inconsistent",
    "manifest-missing": "manifest.json is gone",
    "manifest-damaged": "manifest.json cannot be read",
    "manifest-differs": "manifest.json is not what the ledger says",
    "batch-interrupted": "a document is staged but not visible",
    "blob-missing": "the bytes of a document or picture are gone",
    "blob-damaged": "the bytes of a document or picture are not those of its hash",
    "blob-unreferenced": "bytes that no document has",
    "row-dangling": "rows of a document that is not there",
    "document-without-source": "a visible document that no source has",
    "facts-altered": "a document's facts are not those that were staged",
    "derived-differs": "a derived row is not what the facts mean",
    "output-missing": "a unit has no model output though its space is in the base",
    "output-unclaimed": "model output that no unit has",
    "space-differs": "vectors that are not of the space that the manifest records, or an encoder of another space",
    "generations-disagree": "a file of a later generation than the ledger knows",
    "file-missing": "a file of the current generation is absent",
    "file-damaged": "a file of the current generation has other bytes than recorded",
    "file-unlisted": "a file that the current generation does not name",
    "unit-not-in-index": "a visible unit that the index does not know",
    "index-unit-without-row": "a unit of the index that the ledger does not know",
    "unit-not-in-postings": "a unit of the index whose words are in no posting",
    "unit-without-vector": "a unit with model output whose vector is not in the index",
    "vector-without-unit": "a vector in the index that no unit has",
    "index-differs": "postings, lengths, vectors or incidence are not what the ledger means",
    "graph-unreadable": "the graph cannot be opened",
    "graph-node-missing": "a ledger row without its node",
    "graph-node-extra": "a node without a ledger row",
    "graph-node-differs": "a node whose properties differ from the ledger",
    "graph-edge-missing": "an edge that the ledger means is absent",
    "graph-edge-extra": "an edge without a ledger row",
    "graph-edge-differs": "an edge whose numbers differ from the ledger",
    "pictures-without-vector": "pictures that came in without an image encoder (information only)",
    "file-set-aside": "a damaged file that was moved aside (information only)",
    "speech-not-heard": "recordings in which nobody has listened for words yet (information only)",
    "source-gone": "the file of a source is no longer there (information only)",
}
"""The closed list of kinds; docs/operations.md tells cause, effect and cure of each."""

_AT_MOST = 20
"""Problems of one kind that are listed one by one; the rest is counted."""


def examine(writer: FolderWriter, *, fix: bool = False) -> list[Problem]:
    """All problems, in the order of the checks. With fix, each is mended if it can be, and says so.

    The writer must have been opened with sweep=False, or leftovers are gone before they are seen.
    """
    problems = list(_check_ledger(writer))
    if problems:
        return problems  # nothing else can be believed
    problems += _check_manifest(writer)
    try:
        writer.manifest  # noqa: B018
    except StoreError:
        return problems  # what the vectors are is not known
    problems += limited(_check_batches(writer))
    problems += limited(_check_blobs(writer))
    problems += limited(check_rows(writer))
    problems += limited(_check_facts(writer))
    problems += limited(check_outputs(writer))
    problems += limited(_check_derived(writer))
    problems += limited(check_generations(writer))
    files = limited(_check_files(writer))
    problems += files
    broken = {p.kind for p in files} & {"file-missing", "file-damaged"}
    if not broken:
        problems += limited(_check_index(writer))
        problems += limited(_check_graph(writer))
    problems += limited(_check_pictures(writer))
    problems += limited(check_speech(writer))
    problems += limited(_check_sources(writer))
    if not fix:
        return problems
    settled = _fix(writer, problems)
    return [fixed(p) if settled(p) else p for p in problems]


def is_problem(problem: Problem) -> bool:
    """False for information."""
    return problem.kind not in INFORMATION


# ---- checks ----


def _check_ledger(writer: FolderWriter) -> Iterator[Problem]:
    try:
        rows = writer.ledger.rows("PRAGMA quick_check(5)")
    except (StoreError, sqlite3.DatabaseError) as e:
        rows = [(str(e),)]
    for (text,) in rows:
        if text != "ok":
            yield Problem(kind="ledger-damaged", id="ledger.sqlite", detail=text)


def _check_manifest(writer: FolderWriter) -> Iterator[Problem]:
    kept = writer.ledger.meta("manifest")
    try:
        copy = Manifest.read(writer.root)
    except NotFoundError:
        copy, kind, detail = None, "manifest-missing", "it is made again from the ledger"
    except StoreDamagedError as e:
        copy, kind, detail = None, "manifest-damaged", str(e)
    if kept is None:
        if copy is None:
            detail = f"{detail.partition(';')[0]}; a base of format {writer.ledger.format()} has no other copy of it"
            yield Problem(kind=kind, id="manifest.json", detail=detail)
        return
    if copy is None:
        yield Problem(kind=kind, id="manifest.json", detail=detail)
    elif copy != Manifest.parse(kept, "the ledger's manifest"):
        yield Problem(kind="manifest-differs", id="manifest.json", detail="it is not what the ledger says")


def _check_batches(writer: FolderWriter) -> Iterator[Problem]:
    for (id_,) in writer.ledger.rows("SELECT id FROM document WHERE state = 'staged' ORDER BY id"):
        yield Problem(kind="batch-interrupted", id=id_, detail="its facts are complete; the next `add` publishes it")
    for (id_,) in writer.ledger.rows(f"SELECT id FROM document d WHERE {PARTLY} ORDER BY id"):
        yield Problem(kind="batch-interrupted", id=id_, detail="some parts of it are here; add it again")


def _check_blobs(writer: FolderWriter) -> Iterator[Problem]:
    wanted = all_blobs(writer.ledger)
    for sha256 in sorted(wanted):
        intact = writer.blobs.intact(sha256)
        if intact is None:
            yield Problem(kind="blob-missing", id=sha256, detail="its file is not in blobs/")
        elif not intact:
            yield Problem(kind="blob-damaged", id=sha256, detail="its bytes have another hash")
    for sha256 in writer.blobs.all():
        if sha256 not in wanted:
            yield Problem(kind="blob-unreferenced", id=sha256, detail="no document has these bytes")


def _check_facts(writer: FolderWriter) -> Iterator[Problem]:
    for no, id_, recorded in writer.ledger.rows(
        "SELECT no, id, facts_hash FROM document WHERE state <> 'arriving' ORDER BY id"
    ):
        try:
            same = stored_hash(writer.ledger, no) == bytes(recorded)
        except (MMKGError, ValueError, KeyError) as e:
            yield Problem(kind="facts-altered", id=id_, detail=f"unreadable: {e}; remove it and add it again")
            continue
        if not same:
            yield Problem(kind="facts-altered", id=id_, detail="remove the document and add it again")
    text_spaces = [key for key, entry in writer.manifest.spaces.items() if "text" in entry.get("modalities", ())]
    for space in text_spaces:
        for (id_,) in writer.ledger.rows(
            "SELECT u.id FROM unit u JOIN document d ON d.no = u.document WHERE d.state = 'visible' "
            "AND u.key IS NOT NULL AND NOT EXISTS (SELECT 1 FROM output o WHERE o.key = u.key AND o.space = ?) "
            "ORDER BY u.id",
            (space,),
        ):
            yield Problem(kind="output-missing", id=id_, detail=f"no vector of {space} is kept")


def _check_derived(writer: FolderWriter) -> Iterator[Problem]:
    ledger = writer.ledger

    def tables() -> dict[str, set[tuple[Any, ...]]]:
        out = {t: set(ledger.rows(f"SELECT * FROM {t}")) for t in DERIVED_TABLES}
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
        after = tables()
    finally:
        ledger.db.execute("ROLLBACK")  # only a look: nothing is changed here
    for table in before:
        for row in sorted(before[table] - after[table], key=str):
            yield Problem(kind="derived-differs", id=f"{table}:{row[0]}", detail=f"row {_short(row)} does not follow")
        for row in sorted(after[table] - before[table], key=str):
            yield Problem(kind="derived-differs", id=f"{table}:{row[0]}", detail=f"row {_short(row)} is missing")


def _check_files(writer: FolderWriter) -> Iterator[Problem]:
    generation = writer.ledger.current()
    refs = [*generation.text_segments, *generation.incidence_segments, *generation.graph_deltas]
    refs += [generation.graph_snapshot] if generation.graph_snapshot else []
    for ref in refs:
        path = writer.root / ref.name
        if not path.is_file():
            yield Problem(kind="file-missing", id=ref.name, detail=f"generation {generation.no} needs it")
        elif (ref.size and path.stat().st_size != ref.size) or file_sha256(path) != ref.sha256:
            yield Problem(kind="file-damaged", id=ref.name, detail="its sha256 is not the recorded one")
    for path in writer.unlisted():
        name = path.relative_to(writer.root).as_posix()
        yield Problem(kind="file-unlisted", id=name, detail="left by an interrupted run")


def _check_index(writer: FolderWriter) -> Iterator[Problem]:
    ledger = writer.ledger
    generation = ledger.current()
    dead = np.array(ledger.rows("SELECT unit FROM dead"), dtype=np.int64).reshape(-1)
    with tempfile.TemporaryDirectory(prefix="mmkg-doctor-") as folder:
        root = Path(folder)
        (root / "index").mkdir()
        expected = SegmentWriter(root, ledger, generation.no)
        documents = [n for (n,) in ledger.rows("SELECT no FROM document WHERE state = 'visible' ORDER BY no")]
        for i in range(0, len(documents), 1000):
            part = documents[i : i + 1000]
            expected.add_documents(part)
            expected.add_incidence(u for (u,) in ledger.rows_in("SELECT no FROM unit WHERE document IN {in}", part))
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


def _check_graph(writer: FolderWriter) -> Iterator[Problem]:
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


def _check_sources(writer: FolderWriter) -> Iterator[Problem]:
    for (uri,) in writer.ledger.rows("SELECT uri FROM source WHERE document IS NOT NULL ORDER BY uri"):
        if uri.startswith("file:") and not Path(url2pathname(urlsplit(uri).path)).exists():
            yield Problem(kind="source-gone", id=uri, detail="the base keeps its copy; `mmkg add --prune` drops it")


def _check_pictures(writer: FolderWriter) -> Iterator[Problem]:
    spaces = [key for key, entry in writer.manifest.spaces.items() if "image" in entry.get("modalities", ())]
    without = len(writer.images_without(spaces[0] if spaces else ""))
    if without:
        detail = "found by their words only; with mmkg[torch,models] installed the next `mmkg add` fills them in"
        yield Problem(kind="pictures-without-vector", id=str(without), detail=detail)


class Hearing(Protocol):
    """What tells which recordings wait to be heard."""

    @property
    def manifest(self) -> Manifest: ...

    def unheard(self, model: str) -> list[str]: ...


def check_speech(writer: Hearing) -> Iterator[Problem]:
    without = len(writer.unheard(writer.manifest.speech))
    if without:
        detail = (
            "found by their names, tags and pictures; with mmkg[av,models] installed the next `mmkg add` hears them"
        )
        yield Problem(kind="speech-not-heard", id=str(without), detail=detail)


# ---- mending ----


class Restorer(Protocol):
    """What mending asks of a writer, of either store."""

    @property
    def blobs(self) -> Any: ...

    def pending(self) -> list[tuple[str, str]]: ...

    def publish(self, changes: Sequence[SourceChange]) -> Any: ...

    def drop_unclaimed(self) -> None: ...

    def sources_of(self, document: str) -> list[str]: ...

    def sources_showing(self, recording: str) -> list[str]: ...


def _fix(writer: FolderWriter, problems: list[Problem]) -> Callable[[Problem], bool]:
    """Mend what can be mended; returns which problems that settled."""
    kinds = {p.kind for p in problems}
    mended: set[str] = set()
    writer.bring_up()
    mended |= kinds & {"manifest-missing", "manifest-damaged", "manifest-differs"}
    mended |= mend_rows(writer, kinds)
    blobs = [p for p in problems if p.kind in ("blob-missing", "blob-damaged")]
    restored = {p.id for p in blobs if restore(writer, p.id)}
    if "blob-unreferenced" in kinds:
        wanted = all_blobs(writer.ledger)
        writer.blobs.delete([sha for sha in writer.blobs.all() if sha not in wanted])
        mended.add("blob-unreferenced")
    rebuilt = {k for k in kinds if k.startswith(("graph-", "index-", "unit-", "vector-", "derived-"))}
    rebuilt |= kinds & {"file-missing", "file-damaged", "space-differs"}
    if rebuilt:
        writer.rebuild(unreadable_graph="graph-unreadable" in kinds)
        mended |= rebuilt
    if "batch-interrupted" in kinds:
        publish_pending(writer)
        writer.drop_unclaimed()
        mended.add("batch-interrupted")
    if "file-unlisted" in kinds:
        writer.sweep()
        mended.add("file-unlisted")
    return lambda p: p.kind in mended or p.id in restored


def publish_pending(writer: Restorer) -> list[str]:
    """Make staged documents visible: their facts are complete, only the commit is missing. Returns their ids."""
    pending = writer.pending()
    if pending:
        writer.publish([SourceChange(uri=uri, document=id_, status="added") for id_, uri in pending])
    writer.drop_unclaimed()
    return sorted({id_ for id_, _ in pending})


def restore(writer: Restorer, sha256: str) -> bool:
    """Copy a lost original again from a source that still has the same bytes."""
    for uri in writer.sources_of(sha256) or writer.sources_showing(sha256):
        path = Path(url2pathname(urlsplit(uri).path))
        if not uri.startswith("file:") or not path.is_file():
            continue
        found = file_sha256(path)
        if found == sha256:
            writer.blobs.delete([sha256])
            writer.blobs.put_file(path, sha256)
            return True
        beside = subtitles_of(path)
        if beside is not None and document_id(both := subtitled_blob(found, beside.read_bytes())) == sha256:
            writer.blobs.delete([sha256])
            writer.blobs.put_bytes(both, sha256)
            return True
    return False


def limited(problems: Iterable[Problem]) -> list[Problem]:
    """The first of each kind one by one, and a count of the rest."""
    out: list[Problem] = []
    seen: dict[str, int] = {}
    for p in problems:
        seen[p.kind] = seen.get(p.kind, 0) + 1
        if seen[p.kind] <= _AT_MOST:
            out.append(p)
    out += [Problem(kind=kind, id="...", detail=f"and {n - _AT_MOST} more") for kind, n in seen.items() if n > _AT_MOST]
    return out


def fixed(problem: Problem) -> Problem:
    return replace(problem, fixed=True)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:79] + "…"
