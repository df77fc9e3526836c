"""Vectors of pages: made after documents came in, page by page, each kept at once, so a stop loses at most one small batch.

They are model output, kept under the document's id (the pages of a PDF file, rendered in a process of its own) or the picture's hash
(every other picture), in no index: questions read those of their candidates (mmkg.retrieve.pages). They go with the document.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mmkg.config import Settings
from mmkg.encode.spaces import check, record
from mmkg.errors import EncodeError, LoadError, StoreDamagedError
from mmkg.ingest.page_process import PageProcess
from mmkg.protocols import FloatArray, PageEncoder, ProgressCallback, Space
from mmkg.schema import page_space
from mmkg.seeing import PAGES, page_spaces
from mmkg.types import Modality, Progress

if TYPE_CHECKING:
    from mmkg.store.folder.writer import FolderWriter
    from mmkg.store.neo4j.writer import ServerWriter

log = logging.getLogger(__name__)

PDF = "application/pdf"
_TOGETHER = 4
"""Pages that are encoded and kept at once."""


class _Mean:
    """A page encoder as what spaces are recorded and checked by: the mean of its vectors."""

    modalities: frozenset[Modality] = frozenset()

    def __init__(self, encoder: PageEncoder) -> None:
        self._encoder = encoder
        self.space: Space = encoder.space
        self.runtime: str = encoder.runtime

    def encode_document(self, items: Sequence[Any], *, batch_size: int = 64) -> FloatArray:
        rows = np.stack([x.mean(axis=0) for x in self._encoder.encode_pages(list(items))])
        return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)

    def encode_query(self, items: Sequence[Any]) -> FloatArray:
        return self.encode_document(items)


def agree(writer: FolderWriter | ServerWriter, encoder: PageEncoder) -> None:
    """Record the encoder of pages; another one before it is replaced, with all that it made.

    Raises EncoderMismatchError if the recorded one has the same name and other vectors.
    """
    manifest = writer.manifest
    key = encoder.space.key
    if key in manifest.spaces:
        check(_Mean(encoder), manifest.spaces[key])
        return
    others = page_spaces(manifest.spaces)
    spaces = {k: v for k, v in manifest.spaces.items() if k not in others}
    for other in others:
        log.warning("the vectors of pages by %s are replaced by those of %s", other, key)
    writer.forget_spaces(others)
    writer.set_manifest(replace(manifest, spaces=spaces | {key: record(_Mean(encoder)) | {"modalities": [PAGES]}}))


def fill_pages(
    writer: FolderWriter | ServerWriter,
    settings: Settings,
    encoder: PageEncoder | None,
    progress: ProgressCallback | None = None,
) -> int:
    """Make the vectors of pages that have none; returns how many pages got theirs, 0 without an encoder.

    A page that cannot be rendered or decoded now has none, and is tried again by a later run.
    """
    if encoder is None:
        return 0
    agree(writer, encoder)
    n = 0
    with PageProcess(settings) as process:
        for name, batch in _batches(writer, settings, encoder, process):
            try:
                rows = encoder.encode_pages([data for _, data in batch])
            except EncodeError as e:
                log.warning("%s: no vectors of pages: %s", name, e)
                continue
            writer.add_outputs({at: x for (at, _), x in zip(batch, rows, strict=True)})
            n += len(batch)
            if progress:
                progress(Progress(stage="pages", done=n, total=n, item=name))
    if n:
        writer.set_meta({})  # a new generation of the same files: open readers move on to it
    return n


_Batch = list[tuple[tuple[bytes, str], bytes]]


def _batches(
    writer: FolderWriter | ServerWriter, settings: Settings, encoder: PageEncoder, process: PageProcess
) -> Iterator[tuple[str, _Batch]]:
    """(source, [(key of the row, picture)]) of what has no vectors yet."""
    space = encoder.space.key
    pdfs = writer.documents_of_type(PDF)
    for document in pdfs:
        key = bytes.fromhex(document)
        missing = [
            p.number for p in writer.facts(document).pages if not writer.has_output(key, page_space(space, p.number))
        ]
        name = next(iter(writer.sources_of(document)), document)
        while missing:
            now, missing = missing[:_TOGETHER], missing[_TOGETHER:]
            try:
                with writer.blobs.local(document) as path:
                    found = list(process.render(path, now))
            except (LoadError, StoreDamagedError) as e:
                log.warning("%s: pages %d to %d cannot be rendered: %s", name, now[0], now[-1], e)
                process.close()
                continue
            if batch := [((key, page_space(space, number)), data) for number, data in found if data is not None]:
                yield name, batch
    inside = set(pdfs)
    done: set[str] = set()
    for document, media in writer.images_without(""):
        key = bytes.fromhex(media)
        if document in inside or media in done or writer.has_output(key, page_space(space, 0)):
            continue
        done.add(media)
        yield document, [((key, page_space(space, 0)), writer.blobs.read(media))]
