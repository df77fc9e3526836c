"""A base from one place to another, folder or server, either way: documents with their facts and model output, in batches.

Nothing is parsed and no model is called. A copy that was stopped goes on where it was: what the target shows already is
left, what it holds staged is published. At the end both have the same digest.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from mmkg.adding import Writer
from mmkg.errors import StoreDamagedError, StoreError
from mmkg.showing import Reader
from mmkg.store.changes import SourceChange
from mmkg.store.manifest import Manifest

log = logging.getLogger(__name__)

_UNITS = 512
"""Units a commit, about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyReport:
    """copied: documents brought over. present: those that were there. sources: files that were recorded with them."""

    copied: int
    present: int
    sources: int


def copy(reader: Reader, writer: Writer, *, progress: Callable[[int, int], None] | None = None) -> CopyReport:
    """Bring every visible document of the reader's base, and every source it knows, to the writer's.

    The target must be empty, or hold nothing but what the source holds, made by the same models.
    Raises StoreError if it holds other documents or was made otherwise.
    """
    _agree(reader.manifest, writer)
    documents = {row["id"]: row["uris"] for row in reader.documents()}
    rows = {row["uri"]: row for row in reader.source_rows()}
    _refuse_others(documents, writer)
    copied = present = units = 0
    changes: list[SourceChange] = []
    for done, (document, uris) in enumerate(sorted(documents.items())):
        state = writer.state(document)
        if state is None:
            units += _stage(reader, writer, document, uris)
        copied, present = copied + (state != "visible"), present + (state == "visible")
        changes += [
            SourceChange(**{**rows[uri], "document": document})
            for uri in uris
            if state != "visible" or (writer.source(uri) or (None,))[0] != document
        ]
        if units >= _UNITS or len(changes) >= _UNITS:
            _publish(writer, changes)
            changes, units = [], 0
        if progress:
            progress(done + 1, len(documents))
    if changes:
        _publish(writer, changes)
    noted = [SourceChange(**row) for row in rows.values() if row["document"] is None]
    if noted:
        writer.note_sources(noted)
    writer.finish()
    return CopyReport(copied=copied, present=present, sources=len(rows))


def _stage(reader: Reader, writer: Writer, document: str, uris: list[str]) -> int:
    facts = reader.facts(document)
    wanted = {unit.media for unit in facts.units if unit.media and unit.media != document}
    writer.stage(
        document,
        facts,
        n_bytes=reader.document_details(document)["n_bytes"],
        uris=uris,
        original=_blob(reader, document),
        media={sha256: reader.blobs.read(sha256) for sha256 in sorted(wanted)},
        outputs=reader.outputs(document),
    )
    return len(facts.units)


def _publish(writer: Writer, changes: Sequence[SourceChange]) -> None:
    for uri, why in writer.publish(changes).lost.items():
        raise StoreError(f"{uri} was not copied: {why}")


def _blob(reader: Reader, document: str) -> bytes | None:
    """The original, None where the source has lost it."""
    try:
        return reader.blobs.read(document)
    except StoreDamagedError as e:
        log.warning("copied without its original: %s", e)
        return None


def _agree(manifest: Manifest, writer: Writer) -> None:
    """Give the target the source's manifest; one that holds something must have the same."""
    there = writer.manifest
    if there.extractor and replace(there, format_version=manifest.format_version) != manifest:
        raise StoreError("the target was made with other models or settings", hint="copy into an empty base")
    if manifest.deriver != writer.deriver.version:
        raise StoreError("the source was derived by other rules", hint="run `mmkg rebuild` on it first")
    if there != manifest:
        writer.set_manifest(manifest)


def _refuse_others(documents: dict[str, list[str]], writer: Writer) -> None:
    for uri in writer.all_sources():
        found = writer.source(uri)
        if found and found[0] and found[0] not in documents:
            raise StoreError(f"the target holds {uri}, the source does not", hint="copy into an empty base")
