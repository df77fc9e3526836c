"""A base into another space of words, in place: every text encoded anew, then one change over.

What is encoded comes in beside the vectors that serve (store.*.coming), a batch a commit, under the content keys of the texts; no
search and no writer reads it before the change over. A run that was stopped goes on where it was; a document that comes in meanwhile is
one more that lacks a vector. What hangs on the space of words follows: the label bridge's vectors of pictures, and those of
the prompts that they are held against. What does not (prints, sounds, CLIP-like spaces of pictures) stays. A fitted bridge leads
into the old space and goes. The base is then the one that `add` with this encoder would have made, so its digest is that one's.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mmkg.adding import Writer
from mmkg.encode.spaces import MIN_COSINE, check, probe, record
from mmkg.errors import ConfigError, EncodeError
from mmkg.protocols import Encoder, FloatArray, ProgressCallback
from mmkg.schema import PROBES_KEY, PROMPTS_KEY
from mmkg.seeing import goes_with, prompt_vectors
from mmkg.store.folder.coming import FolderComing
from mmkg.store.folder.writer import FolderWriter
from mmkg.store.manifest import Manifest
from mmkg.store.neo4j.coming import ServerComing
from mmkg.texts import content_key, encoder_texts, unit_vectors
from mmkg.types import Modality, Progress

log = logging.getLogger(__name__)

BATCH = 512
"""Texts that are encoded together, about, and kept in one commit."""
SAMPLE, SAMPLE_PICTURES = 64, 4
"""Texts and pictures that a dry run encodes to tell how long the whole would take."""

Coming = FolderComing | ServerComing


@dataclass(frozen=True, slots=True, kw_only=True)
class ReindexReport:
    """What a reindex did, or with dry_run would do.

    before, after: keys of the spaces of the base. units, texts, pictures: to encode (dry run), or encoded now. held: units and pictures
    whose vectors were there already (a run that was stopped, or all was done). n_bytes: of the new vectors, once in the ledger and
    once in the index. seconds: measured, or in a dry run estimated from a sample. texts_per_s: 0.0 where there was nothing to measure.
    """

    before: tuple[str, ...]
    after: tuple[str, ...]
    units: int
    held: int
    texts: int
    pictures: int
    n_bytes: int
    seconds: float
    texts_per_s: float
    dry_run: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lacking:
    """What a document lacks: texts by content key. done, of: its place among the documents."""

    name: str
    texts: dict[bytes, list[str]]
    done: int
    of: int


def coming_of(writer: Writer) -> Coming:
    """The store's place for output that does not serve yet."""
    return FolderComing(writer) if isinstance(writer, FolderWriter) else ServerComing(writer)


def plan(writer: Writer, text: Encoder, pictures: Sequence[Encoder]) -> ReindexReport:
    """What `reindex` would do; encodes a sample, and writes nothing. O(base): reads the facts of what is left to do."""
    pictures = [e for e in pictures if goes_with(e.space.key, text.space)]
    before, coming = _need(writer), coming_of(writer)
    after = _manifest(writer, text, pictures)
    sample: list[str] = []
    seen: set[bytes] = set()
    n_texts = 0
    for lacking in _lacking(coming, text.space.key):
        for key, texts in lacking.texts.items():
            if key not in seen:
                seen.add(key)
                n_texts += len(texts)
                sample += texts[: max(0, SAMPLE - len(sample))]
    rate = _rate(text, sample)
    seconds = n_texts / rate if rate else 0.0
    dims, n_pictures = n_texts * text.space.dim, 0
    for encoder in pictures:
        todo = coming.pictures_lacking(encoder.space.key)
        n_pictures, dims = n_pictures + len(todo), dims + len(todo) * encoder.space.dim
        speed = _rate(encoder, [writer.blobs.read(media) for media in todo[:SAMPLE_PICTURES]])
        seconds += len(todo) / speed if speed else 0.0
    return ReindexReport(
        before=tuple(sorted(before.spaces)),
        after=tuple(sorted(after.spaces)),
        units=len(seen),
        held=sum(coming.count(e.space.key) for e in (text, *pictures)),
        texts=n_texts,
        pictures=n_pictures,
        n_bytes=4 * dims,
        seconds=seconds,
        texts_per_s=rate,
        dry_run=True,
    )


def reindex(
    writer: Writer, text: Encoder, pictures: Sequence[Encoder], *, progress: ProgressCallback | None = None
) -> ReindexReport:
    """Encode what has no vectors in the spaces of these encoders, then serve with them and forget those that they replace.

    pictures: encoders of pixels (one that goes with another space of words is left out); of those in spaces that the base has, only what lacks a vector is encoded.
    Raises ConfigError for an empty base, EncodeError; what was encoded until then is kept.
    """
    started = time.monotonic()
    pictures = [e for e in pictures if goes_with(e.space.key, text.space)]
    before, coming = _need(writer), coming_of(writer)
    after = _manifest(writer, text, pictures)
    encoders = (text, *pictures)
    fresh = [e for e in encoders if e.space.key not in before.spaces]
    coming.forget(coming.spaces() - {e.space.key for e in encoders})
    coming.begin()
    for encoder in fresh:
        _same_as_begun(coming, encoder)
    held = sum(coming.count(e.space.key) for e in encoders)
    n_texts, n_units = _encode_texts(coming, text, progress)
    seen = [_encode_pictures(writer, coming, encoder, text, progress) for encoder in pictures]
    encoded = time.monotonic() - started
    if fresh or n_texts or any(seen) or after.spaces != before.spaces:
        if progress:
            progress(Progress(stage="reindex", done=0, total=1, item="changing over"))
        coming.change_over(after, leaving=sorted(before.spaces.keys() - after.spaces.keys()))
    dims = n_texts * text.space.dim + sum(n * e.space.dim for n, e in zip(seen, pictures, strict=True))
    return ReindexReport(
        before=tuple(sorted(before.spaces)),
        after=tuple(sorted(after.spaces)),
        units=n_units,
        held=held,
        texts=n_texts,
        pictures=sum(seen),
        n_bytes=4 * dims,
        seconds=time.monotonic() - started,
        texts_per_s=n_texts / encoded if n_texts and encoded > 0 else 0.0,
        dry_run=False,
    )


def _need(writer: Writer) -> Manifest:
    manifest = writer.manifest
    if not manifest.extractor:
        raise ConfigError("the base is empty", hint="`mmkg add PATH` with the setting encoder makes it in that space")
    return manifest


def _manifest(writer: Writer, text: Encoder, pictures: Sequence[Encoder]) -> Manifest:
    """The manifest of the base afterwards. Raises EncoderMismatchError for an encoder that has a recorded key and other vectors."""
    before = writer.manifest
    spaces: dict[str, Any] = {}
    for encoder in (text, *pictures):
        key = encoder.space.key
        if key in before.spaces:
            check(encoder, before.spaces[key])
            spaces[key] = before.spaces[key]
        else:
            spaces[key] = record(encoder) | {"modalities": sorted(encoder.modalities)}
    for key, entry in before.spaces.items():
        of_words = str(Modality.TEXT) in entry.get("modalities", ())
        if key not in spaces and not of_words and goes_with(key, text.space):
            spaces[key] = entry
    return replace(before, spaces=spaces, deriver=writer.deriver.version)


def _same_as_begun(coming: Coming, encoder: Encoder) -> None:
    """If a run was stopped that brought in a space of this name by another model, forget what it made."""
    key, now = encoder.space.key, probe(encoder)
    begun = coming.get(PROBES_KEY, key)
    if begun is not None and (begun.shape != now.shape or _lowest_cosine(begun, now) < MIN_COSINE):
        log.warning("what an earlier run encoded as %s is of another model and is forgotten", key)
        coming.forget([key])
        begun = None
    if begun is None:
        coming.forget([key])
        coming.put({(PROBES_KEY, key): now})


def _lowest_cosine(a: FloatArray, b: FloatArray) -> float:
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return float(np.min(np.sum(a * b, axis=1) / np.maximum(lengths, 1e-12)))


def _rate(encoder: Encoder, sample: Sequence[Any]) -> float:
    """Items a second, by encoding a sample; 0.0 of none, or if the model cannot read it."""
    if not sample:
        return 0.0
    try:
        encoder.encode_document(sample[:1])  # the model is loaded
        started = time.perf_counter()
        encoder.encode_document(sample)
    except EncodeError as e:
        log.warning("the sample cannot be encoded: %s", e)
        return 0.0
    return len(sample) / max(time.perf_counter() - started, 1e-9)


def _lacking(coming: Coming, space: str) -> Iterator[_Lacking]:
    """What has no vectors in a space, a document, or a part of a long one, at a time."""
    documents = coming.lacking(space)
    for done, document in enumerate(documents, 1):
        for facts in coming.facts(document):
            wanted = {content_key(texts): texts for unit in facts.units if (texts := encoder_texts(facts, unit))}
            there = coming.keys(list(wanted), space)
            todo = {key: one for key, one in wanted.items() if key not in there}
            yield _Lacking(name=facts.name, texts=todo, done=done, of=len(documents))


def _encode_texts(coming: Coming, encoder: Encoder, progress: ProgressCallback | None) -> tuple[int, int]:
    """(texts encoded, units they belong to)."""
    n_texts = n_units = n_waiting = 0
    batch: dict[bytes, list[str]] = {}
    started = time.monotonic()
    for lacking in _lacking(coming, encoder.space.key):
        for key, texts in lacking.texts.items():
            if key not in batch:
                batch[key] = texts
                n_waiting += len(texts)
            if n_waiting >= BATCH:
                _keep(coming, encoder, batch)
                n_texts, n_units, n_waiting = n_texts + n_waiting, n_units + len(batch), 0
                batch = {}
        if progress:
            spent = time.monotonic() - started
            left = spent / lacking.done * (lacking.of - lacking.done) if lacking.done >= 3 else None
            progress(Progress(stage="reindex", done=lacking.done, total=lacking.of, item=lacking.name, eta_s=left))
    _keep(coming, encoder, batch)
    return n_texts + n_waiting, n_units + len(batch)


def _keep(coming: Coming, encoder: Encoder, batch: Mapping[bytes, list[str]]) -> None:
    """Encode the texts of these units and keep the vectors."""
    if batch:
        coming.put(unit_vectors(encoder, batch))


def _encode_pictures(
    writer: Writer, coming: Coming, encoder: Encoder, text: Encoder, progress: ProgressCallback | None
) -> int:
    """Number of pictures encoded, with the prompts they are held against; one that the model cannot read stays without a vector."""
    key = encoder.space.key
    todo = coming.pictures_lacking(key)
    n = 0
    for done, media in enumerate(todo, 1):
        try:
            coming.put({(bytes.fromhex(media), key): encoder.encode_document([writer.blobs.read(media)])})
            n += 1
        except EncodeError as e:
            log.warning("no image vector: %s", e)
        if progress:
            progress(Progress(stage="reindex", done=done, total=len(todo), item="pictures"))
    if writer.documents_with_pictures() and PROMPTS_KEY not in coming.keys([PROMPTS_KEY], key):
        vectors = prompt_vectors(encoder, text)
        if vectors is not None:
            coming.put({(PROMPTS_KEY, key): vectors})
    return n
