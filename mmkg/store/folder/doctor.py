"""Every divergence of ledger, blobs, index and graph, named; and mended where the truth is still there.

The ledger and the originals are the truth. Index and graph are compared with what the ledger means by building that anew:
O(base) time, and memory for one copy of the graph's rows and one merged segment.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit
from urllib.request import url2pathname

from mmkg.errors import MMKGError, NotFoundError, StoreDamagedError, StoreError
from mmkg.listing import path_of, subtitles_of
from mmkg.schema import document_id, subtitled_blob
from mmkg.store.changes import SourceChange
from mmkg.store.folder import leftovers
from mmkg.store.folder.checks import check_generations, check_outputs, check_rows, mend_rows
from mmkg.store.folder.comparing import check_derived, check_graph, check_index
from mmkg.store.folder.damage import file_sha256, of_earlier_generation
from mmkg.store.folder.lookups import PARTLY, all_blobs
from mmkg.store.folder.parts import stored_hash
from mmkg.store.folder.writer import FolderWriter
from mmkg.store.manifest import Manifest
from mmkg.types import Problem

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
    problems += limited(check_derived(writer))
    problems += limited(check_generations(writer))
    files = limited(_check_files(writer))
    problems += files
    broken = {p.kind for p in files} & {"file-missing", "file-damaged"}
    if not broken:
        problems += limited(check_index(writer))
        problems += limited(check_graph(writer))
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
    now = writer.ledger.current().no
    for path in leftovers.unlisted(writer.root, writer.ledger):
        if of_earlier_generation(path.name, now):
            continue
        name = path.relative_to(writer.root).as_posix()
        yield Problem(kind="file-unlisted", id=name, detail="left by an interrupted run")


def _check_sources(writer: FolderWriter) -> Iterator[Problem]:
    for (uri,) in writer.ledger.rows("SELECT uri FROM source WHERE document IS NOT NULL ORDER BY uri"):
        if uri.startswith("file:") and not path_of(uri).exists():
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
        writer.sweep_blobs()
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
