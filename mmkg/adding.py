"""Files in: what to look at, parse in limited children, name, encode, stage, publish in batches.

A stage for each cost: hashing decides what is new; parsing runs beside naming and encoding; a batch is one commit. What
was staged before a stop is published by the next run without a model call.
"""

from __future__ import annotations

import hashlib
import logging
import os
import stat
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np

from mmkg.config import Settings
from mmkg.encode.prints import picture_print
from mmkg.encode.sound import SoundEncoder
from mmkg.encode.speech import SpeechModel
from mmkg.encode.text import MINILM
from mmkg.errors import EncodeError, StoreDamagedError
from mmkg.extract.kinds import prompts
from mmkg.extract.language import with_languages
from mmkg.hearing import NOT_HEARD, hear
from mmkg.ingest.message import MESSAGE
from mmkg.ingest.pool import Outcome, ParserPool
from mmkg.ingest.sniff import check_name
from mmkg.ingest.unpack import ARCHIVE, DEEPEST, ZIP, has_members
from mmkg.listing import path_of, recording_of, subtitles_of, weight
from mmkg.longfacts import LongFacts
from mmkg.longtexts import part_vectors, whole
from mmkg.protocols import Encoder, Extractor, ProgressCallback
from mmkg.reasons import KEPT, code_of, reason
from mmkg.schema import PRINT_SPACE, PROMPTS_KEY, STATUSES, document_id, subtitled_blob
from mmkg.sounds import encode_sounds
from mmkg.store.folder.lookups import speaks
from mmkg.store.folder.writer import FolderWriter, SourceChange
from mmkg.store.neo4j.commit import REMOVED_MEANWHILE
from mmkg.store.neo4j.writer import ServerWriter
from mmkg.tags import with_tags
from mmkg.texts import content_key, encoder_texts
from mmkg.types import DocumentFacts, FileReport, Modality, NameSpan, Progress, Unit, languages_of, tags_of
from mmkg.unpacking import Budget, Container, Unpacked, Unpacker, batches

log = logging.getLogger(__name__)

Writer = FolderWriter | ServerWriter


@dataclass(slots=True)
class AddReport:
    """What `add` did, file by file in the order they were finished."""

    documents: list[FileReport] = field(default_factory=list)
    seconds: float = 0.0
    timings: dict[str, float] = field(default_factory=dict)

    @property
    def counts(self) -> dict[str, int]:
        """Status -> number of files, in the order of schema.STATUSES, without zeros."""
        found = Counter(d.status for d in self.documents)
        return {s: found[s] for s in (*STATUSES, "removed") if found[s]}


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    uri: str
    size: int
    mtime_ns: int
    beside: Path | None = None
    """The subtitles of a recording: one document with it."""


@dataclass(slots=True)
class _Parsed:
    """A parsed document on its way, with every source that has its bytes."""

    file: _File
    outcome: Outcome
    n_units: int


class Adder:
    """One run of `add` over a writer."""

    def __init__(
        self,
        writer: Writer,
        settings: Settings,
        *,
        extractor: Extractor,
        text_encoder: Encoder | None,
        image_encoders: Sequence[Encoder],
        speech: SpeechModel | None = None,
        sound_encoder: SoundEncoder | None = None,
        progress: ProgressCallback | None = None,
        uris: Mapping[Path, str] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """tags: what every document of this run is to be tagged with, beside the tags it has."""
        self._uris = dict(uris or {})
        self._tags = dict(tags or {})
        self._to_tag: set[str] = set()
        self.writer, self.settings = writer, settings
        self.extractor, self.text_encoder, self.image_encoders = extractor, text_encoder, tuple(image_encoders)
        self.speech, self.sound_encoder = speech, sound_encoder
        self.report = AddReport()
        self._progress = progress
        self._started = self._last_commit = time.monotonic()
        self._total = self._done = 0
        self._weights: dict[Path, float] = {}
        self._weight_left = self._weight_all = 0.0
        self._buffer: list[_Parsed] = []
        self._changes: list[SourceChange] = []
        self._reports: list[tuple[FileReport, Path]] = []
        self._waiting: dict[str, list[_File]] = {}
        self._again: list[Path] = []
        """Files to look at once more: another file with their bytes was rejected for its own name."""
        self._staged_units = 0
        self._containers: list[Container] = []
        """Archives and messages whose members are to be taken out."""
        self._around: dict[Path, Container] = {}
        """The container that a file of the temporary folder came out of."""

    def run(self, files: Sequence[Path], *, prune: Sequence[Path] = ()) -> AddReport:
        """Bring the files in. prune: folders under which sources whose file is gone are dropped."""
        self._total = len(files)
        self._weights = {p: weight(p) for p in files}
        self._weight_left = self._weight_all = sum(self._weights.values())
        with ParserPool(self.settings) as pool:
            self._parse(pool, files)
            if self._containers:
                with Unpacker(self.settings) as unpacker:
                    self._open_containers(pool, unpacker)
        self._commit()
        self._tag()
        self._prune(prune)
        self.writer.drop_unclaimed()
        self._fill_images()
        self._fill_sounds()
        self._fill_speech()
        with _Timer(self.report.timings, "graph"):
            self.writer.finish(self._progress)
        self.report.seconds = time.monotonic() - self._started
        return self.report

    def _parse(self, pool: ParserPool, files: Sequence[Path]) -> None:
        """Parse what is new of these files and stage all of it."""
        for outcome in self._timed_iter("parse", pool.map(self._to_parse(files), beside=_subtitles)):
            self._take(outcome)
        while self._again:
            again, self._again = self._again, []
            for outcome in self._timed_iter("parse", pool.map(self._to_parse(again), beside=_subtitles)):
                self._take(outcome)
        self._encode_and_stage()
        for left in [f for files in self._waiting.values() for f in files]:
            self._settle(left, "failed", reason=reason("changed", "the file changed while it was read; add it again"))
        self._waiting.clear()

    # ---- archives and attachments ----

    def _open_containers(self, pool: ParserPool, unpacker: Unpacker) -> None:
        """Bring in what lies in the containers met so far, and in those inside them, while their files are there."""
        waiting, self._containers = self._containers, []
        while waiting:
            with tempfile.TemporaryDirectory(prefix="mmkg-unpacked-") as folder:

                def unpack(container: Container, folder: Path = Path(folder)) -> Unpacked:
                    with _Timer(self.report.timings, "unpack"):
                        return unpacker.unpack(container, folder)

                batch = next(batches(waiting, unpack))
                files: list[Path] = []
                for container, unpacked in batch:
                    files += unpacked.files
                    self._uris |= unpacked.files
                    self._around |= dict.fromkeys(unpacked.files, container)
                    self._opened(container, unpacked)
                self._total += len(files)
                weights = {p: weight(p) for p in files}
                self._weights |= weights
                self._weight_all += sum(weights.values())
                self._weight_left += sum(weights.values())
                self._parse(pool, files)
                if self._containers:
                    self._open_containers(pool, unpacker)
                for path in files:
                    del self._uris[path], self._around[path]

    def _opened(self, container: Container, unpacked: Unpacked) -> None:
        """Say what became of a container itself and of what could not be taken out of it; drop what is no longer in it."""
        for uri, (status, why) in unpacked.refused.items():
            self._settle(_File(container.path, uri, 0, container.mtime_ns), status, reason=why)
        before = self.writer.sources_inside(container.uri)
        trouble = unpacked.trouble
        if not trouble:
            self._drop(unpacked.gone(container.uri, before))
        elif before:
            trouble += KEPT
        if container.media_type == ZIP:
            file = _File(container.path, container.uri, container.path.stat().st_size, container.mtime_ns)
            self._settle(file, unpacked.status, reason=trouble or reason("archive", ARCHIVE), opened=True)
        elif trouble:
            log.warning("%s: its attachments could not be taken out: %s", container.uri, trouble)

    def _drop(self, uris: Sequence[str]) -> None:
        """Sources that are no longer there."""
        self._changes += [SourceChange(uri=u, document=None, drop=True) for u in uris]
        self.report.documents += [
            FileReport(uri=u, status="removed", reason=reason("gone", "no longer in its archive")) for u in uris
        ]

    def _look_inside(self, file: _File, media_type: str) -> str:
        """Have a container opened later. Returns why it is not, "" if it is."""
        around = self._around.get(file.path)
        depth = around.depth + 1 if around else 0
        if depth >= DEEPEST:
            return reason("nested", f"an archive inside {DEEPEST} others is not opened")
        if file.uri.startswith("file:"):
            budget = around.budget if around else Budget.of(self.settings)
            self._containers.append(
                Container(
                    path=file.path,
                    uri=file.uri,
                    media_type=media_type,
                    mtime_ns=file.mtime_ns,
                    depth=depth,
                    budget=budget,
                )
            )
        return ""

    # ---- deciding what is new ----

    def _to_parse(self, files: Sequence[Path]) -> Iterator[Path]:
        """Paths whose bytes are new; all others are settled on the way."""
        for path in files:
            file = self._stat(path)
            if file is None:
                continue
            if (recording := recording_of(path)) is not None:
                self._settle(file, "skipped", reason=reason("subtitles", f"taken in with {self._name_of(recording)}"))
                continue
            sha256 = ""
            if file.size <= self.settings.limits.bytes:
                try:
                    with _Timer(self.report.timings, "hash"), path.open("rb") as f:
                        sha256 = hashlib.file_digest(f, "sha256").hexdigest()
                    if file.beside is not None:
                        sha256 = document_id(subtitled_blob(sha256, file.beside.read_bytes()))
                except OSError as e:
                    self._settle(file, "failed", reason=reason("unreadable", e.strerror or str(e)))
                    continue
            if sha256 in self._waiting and sha256:
                self._waiting[sha256].append(file)
                continue
            state = self.writer.state(sha256) if sha256 else None
            if state is not None and not self._honest([file], self.writer.media_type(sha256)):
                continue
            if state == "visible":
                self._known(file, sha256)
            elif state == "staged":
                self._add_source(file, sha256)
            else:
                if sha256:
                    self._waiting[sha256] = []
                yield path

    def _stat(self, path: Path) -> _File | None:
        try:
            uri = self._uris.get(path) or path.as_uri()
            info = path.stat()
        except OSError as e:
            self._settle(_File(path, uri, 0, 0), "failed", reason=reason("unreadable", e.strerror or str(e)))
            return None
        file = _File(path, uri, info.st_size, info.st_mtime_ns, subtitles_of(path))
        if not stat.S_ISREG(info.st_mode):
            self._settle(file, "skipped", reason=reason("not-a-file", "not a regular file"))
            return None
        return file

    def _name_of(self, path: Path) -> str:
        """The name of a file as its user knows it."""
        return unquote(self._uris[path].rsplit("/", 1)[-1]) if path in self._uris else path.name

    def _known(self, file: _File, document: str) -> None:
        """Bytes that the base already shows."""
        source = self.writer.source(file.uri)
        if source and source[0] == document:
            if self._tags and with_tags(self.writer.meta(document), self._tags) != self.writer.meta(document):
                self._to_tag.add(document)
                self._settle(file, "updated", document=document, reason=reason("tags", _listed(self._tags)))
            else:
                self._settle(file, "unchanged", document=document)
            return
        if source and source[0]:
            self._add_source(file, document, status="updated")
            return
        gone = [u for u in self.writer.sources_of(document) if not path_of(u).exists()]
        if gone:
            self._changes += [SourceChange(uri=u, document=None, drop=True) for u in gone]
            self._add_source(file, document, status="moved", reason=reason("moved", f"was {gone[0]}"))
        else:
            others = self.writer.sources_of(document)
            self._add_source(file, document, reason=reason("same-bytes", others[0]) if others else "")

    # ---- taking parsed documents ----

    def _take(self, outcome: Outcome) -> None:
        path = Path(os.path.abspath(outcome.path))
        file = self._stat(path)
        others = self._waiting.pop(outcome.sha256, []) if outcome.sha256 else []
        if file is None:
            return
        if code_of(outcome.reason) == "archive":
            for f in (file, *self._honest(others, outcome.media_type)):
                if why := self._look_inside(f, outcome.media_type):
                    self._settle(f, "rejected", reason=why)
            return
        if outcome.long is not None and isinstance(self.writer, FolderWriter) and not self.writer.state(outcome.sha256):
            self._waiting[outcome.sha256] = others
            self._take_long(self.writer, file, outcome, outcome.long)
            return
        if outcome.long is not None:  # a server takes in a document at once, as long as one may be
            outcome = whole(outcome, self.settings.limits.characters)
        if outcome.status != "ok" or outcome.parsed is None:
            if code_of(outcome.reason) == "name":
                # Whether a name promises what the bytes are is each file's own: the others are judged by theirs.
                self._again += [f.path for f in self._honest(others, outcome.media_type)]
                others = []
            for f in (file, *others):
                self._settle(f, outcome.status, reason=outcome.reason)
            return
        if self.writer.state(outcome.sha256) is not None:  # its bytes came in under another name meanwhile
            self._add_source(file, outcome.sha256)
        else:
            self._buffer.append(_Parsed(file, outcome, len(outcome.parsed.facts.units)))
            self._waiting[outcome.sha256] = others  # later files with these bytes still join it
        buffered = sum(p.n_units for p in self._buffer)
        late = time.monotonic() - self._last_commit > self.settings.batch_seconds
        if buffered + self._staged_units >= self.settings.batch_units or (late and self._buffer):
            self._encode_and_stage()
            self._commit()

    def _take_long(self, writer: FolderWriter, file: _File, outcome: Outcome, facts: LongFacts) -> None:
        """A text that comes in parts: named, encoded and kept one by one, and then committed by itself."""
        self._encode_and_stage()
        self._commit()
        document = outcome.sha256

        def ready() -> Iterator[tuple[DocumentFacts, dict[tuple[bytes, str], np.ndarray[Any, Any]]]]:
            for part in facts.parts():
                with _Timer(self.report.timings, "names"):
                    (named,) = self._name([part])
                with _Timer(self.report.timings, "encode"):
                    outputs = part_vectors(named, self.text_encoder, writer.kept_outputs)
                yield named, outputs

        files = (file, *self._honest(self._waiting.pop(document, []), outcome.media_type))
        if tags := self._tags_for(files):
            facts = replace(facts, head=replace(facts.head, meta=with_tags(facts.head.meta, tags)))
        try:
            uris = [f.uri for f in files]
            writer.stage_parts(document, facts, ready(), n_bytes=file.size, uris=uris, original=file.path)
        except (StoreDamagedError, FileNotFoundError, PermissionError) as e:
            code = "changed" if isinstance(e, StoreDamagedError) else "unreadable"
            for f in files:
                self._settle(f, "failed", reason=reason(code, str(e)))
            return
        except EncodeError as e:
            for f in files:
                self._settle(f, "failed", reason=reason("model", f"encoding failed: {e}"))
            return
        note = ""
        if languages := languages_of(writer.meta(document)):
            note = reason("note", _not_english(languages, facts.n_units, self.text_encoder))
        for f in files:
            self._add_source(f, document, reason=note)
        self._commit()

    def _honest(self, files: Sequence[_File], media_type: str) -> list[_File]:
        """The files whose extension fits content of this type; the others are rejected."""
        lies = {f.path: check_name(f.path, media_type) for f in files}
        for f in files:
            if lie := lies[f.path]:
                self._settle(f, "rejected", reason=reason("name", lie))
        return [f for f in files if not lies[f.path]]

    def _encode_and_stage(self) -> None:
        """Names and vectors for the buffered documents together (models like batches), then stage each."""
        buffer, self._buffer = self._buffer, []
        if not buffer:
            return
        with _Timer(self.report.timings, "names"):
            named = self._name([_with_media(p.outcome) for p in buffer])
        with _Timer(self.report.timings, "encode"):
            outputs, failed = self._encode(named, buffer)
        for parsed, facts, output in zip(buffer, named, outputs, strict=True):
            document = parsed.outcome.sha256
            others = self._honest(self._waiting.pop(document, []), parsed.outcome.media_type)
            files = (parsed.file, *others)
            if document in failed:
                for f in files:
                    self._settle(f, "failed", reason=failed[document])
                continue
            assert parsed.outcome.parsed is not None
            notes = parsed.outcome.parsed.notes
            if self.speech is None and any(u.label == "Clip" for u in facts.units) and speaks(facts.meta):
                notes = (*notes, NOT_HEARD)
            if languages := languages_of(facts.meta):
                notes = (*notes, _not_english(languages, len(facts.units), self.text_encoder))
            note = reason("note", "; ".join(notes)) if notes else ""
            if tags := self._tags_for(files):
                facts = replace(facts, meta=with_tags(facts.meta, tags))
            try:
                with _Timer(self.report.timings, "stage"):
                    self.writer.stage(
                        document,
                        facts,
                        n_bytes=parsed.file.size,
                        uris=[f.uri for f in files],
                        original=_original(parsed),
                        media=_media(parsed),
                        outputs=output,
                    )
            except (StoreDamagedError, FileNotFoundError, PermissionError) as e:  # the file went or changed meanwhile
                for f in files:
                    code = "changed" if isinstance(e, StoreDamagedError) else "unreadable"
                    self._settle(f, "failed", reason=reason(code, str(e)))
                continue
            self._staged_units += parsed.n_units
            for f in files:
                self._add_source(f, document, reason=note)

    def _name(self, documents: Sequence[DocumentFacts]) -> list[DocumentFacts]:
        """The same facts with the raw names of every unit, and the language of those that are not in English."""
        pieces = [
            (d, u, start, facts.text[start:end])
            for d, facts in enumerate(documents)
            for u, unit in enumerate(facts.units)
            for start, end in unit.spans()
        ]
        spans: dict[tuple[int, int], list[NameSpan]] = {}
        for (d, u, start, _), found in zip(pieces, self.extractor.extract([p[3] for p in pieces]), strict=True):
            spans.setdefault((d, u), []).extend(replace(n, start=n.start + start, end=n.end + start) for n in found)
        return [
            with_languages(
                replace(
                    facts,
                    units=tuple(replace(x, names=tuple(spans.get((d, u), ()))) for u, x in enumerate(facts.units)),
                )
            )
            for d, facts in enumerate(documents)
        ]

    def _encode(
        self, documents: Sequence[DocumentFacts], buffer: Sequence[_Parsed]
    ) -> tuple[list[dict[tuple[bytes, str], np.ndarray[Any, Any]]], dict[str, str]]:
        """Vectors by content key for each document; and document id -> reason where the model failed."""
        outputs: list[dict[tuple[bytes, str], np.ndarray[Any, Any]]] = [{} for _ in documents]
        failed: dict[str, str] = {}
        if self.text_encoder is not None:
            jobs = [(d, texts) for d, f in enumerate(documents) for u in f.units if (texts := encoder_texts(f, u))]
            try:
                # Equal texts (a form letter, a repeated row) are encoded once.
                place = {t: i for i, t in enumerate(dict.fromkeys(t for _, texts in jobs for t in texts))}
                vectors = self.text_encoder.encode_document(list(place))
                for d, texts in jobs:
                    outputs[d][content_key(texts), self.text_encoder.space.key] = vectors[[place[t] for t in texts]]
            except EncodeError as e:
                if len(documents) == 1:
                    failed[buffer[0].outcome.sha256] = reason("model", f"encoding failed: {e}")
                else:  # find the one that fails, so that its neighbours do not
                    singles = [self._encode([f], [b]) for f, b in zip(documents, buffer, strict=True)]
                    return [o for outs, _ in singles for o in outs], {k: v for _, f in singles for k, v in f.items()}
        for d, (facts, parsed) in enumerate(zip(documents, buffer, strict=True)):
            assert parsed.outcome.parsed is not None
            for media in {u.media for u in facts.units if u.media and u.label == "Image"}:
                data = parsed.outcome.parsed.media.get(media)
                data = parsed.file.path.read_bytes() if data is None else data
                outputs[d][bytes.fromhex(media), PRINT_SPACE] = self._print(data)
                outputs[d] |= self._seen(media, data)
        return outputs, failed

    def _text_vectors(self, facts: DocumentFacts) -> dict[tuple[bytes, str], np.ndarray[Any, Any]]:
        """Vectors of one document's words; none where the model fails on them (doctor says so and mends it)."""
        encoder = self.text_encoder
        if encoder is None:
            return {}
        try:
            return {
                (content_key(texts), encoder.space.key): encoder.encode_document(texts)
                for unit in facts.units
                if (texts := encoder_texts(facts, unit))
            }
        except EncodeError as e:
            log.warning("no vectors of words: %s", e)
            return {}

    def _seen(
        self, media: str, data: bytes, encoders: Sequence[Encoder] | None = None
    ) -> dict[tuple[bytes, str], np.ndarray[Any, Any]]:
        """The vectors of a picture (its sha256 and bytes), one a space; none where a model cannot read it."""
        found: dict[tuple[bytes, str], np.ndarray[Any, Any]] = {}
        for encoder in self.image_encoders if encoders is None else encoders:
            try:
                found[bytes.fromhex(media), encoder.space.key] = encoder.encode_document([data])
            except EncodeError as e:
                log.warning("no image vector: %s", e)
        return found

    def _print(self, data: bytes) -> np.ndarray[Any, Any]:
        return picture_print(data, max_pixels=self.settings.limits.pixels)

    # ---- committing ----

    def _tags_for(self, files: Sequence[_File]) -> dict[str, str]:
        """Tags of a document that comes in: those of what its files held before, and those of this run."""
        tags: dict[str, str] = {}
        for file in files:
            before = self.writer.source(file.uri)
            if before and before[0]:
                tags |= tags_of(self.writer.meta(before[0]))
        return tags | self._tags

    def _tag(self) -> None:
        """Tag the documents that were here before this run, or staged by one before."""
        changed = {}
        for document in sorted(self._to_tag) if self._tags else ():
            if self.writer.state(document) != "visible":
                continue
            meta = self.writer.meta(document)
            if (new := with_tags(meta, self._tags)) != meta:
                changed[document] = new
        if changed:
            self.writer.set_meta(changed)

    def _add_source(self, file: _File, document: str, *, status: str = "", reason: str = "") -> None:
        self._to_tag.add(document)
        before = self.writer.source(file.uri)
        if not self._has_members(file, document) and before:
            self._drop(list(self.writer.sources_inside(file.uri)))
        status = status or ("updated" if before and before[0] else "added")
        self._changes.append(
            SourceChange(
                uri=file.uri, document=document, status=status, reason=reason, size=file.size, mtime_ns=file.mtime_ns
            )
        )
        self._reports.append((FileReport(uri=file.uri, status=status, id=document, reason=reason), file.path))

    def _has_members(self, file: _File, document: str) -> bool:
        """Whether a document that is in, or staged, is a message with attachments; they are looked at then."""
        if self.writer.media_type(document) != MESSAGE:
            return False
        found = has_members(MESSAGE, self.writer.facts(document).meta)
        if found and (why := self._look_inside(file, MESSAGE)):
            log.warning("%s: its attachments are left out: %s", file.uri, why)
        return found

    def _settle(self, file: _File, status: str, *, document: str = "", reason: str = "", opened: bool = False) -> None:
        """A file that changes no document, unless it is empty now: then what it held before goes.

        opened: an archive, whose members are judged by themselves.
        """
        if status == "unchanged":
            self._has_members(file, document)
        before = self.writer.source(file.uri) if status != "unchanged" else None
        inside = self.writer.sources_inside(file.uri) if before and not opened else {}
        if before and (before[0] or inside) and status in ("failed", "rejected"):
            reason += KEPT
        elif inside:
            self._drop(list(inside))
        change = SourceChange(
            uri=file.uri, document=None, status=status, reason=reason, size=file.size, mtime_ns=file.mtime_ns
        )
        if before and before[0] and status in ("empty", "skipped"):
            self._changes.append(change)
        elif status != "unchanged":
            self.writer.note_sources([change])
        report = FileReport(uri=file.uri, status=status, id=document, reason=reason)
        self.report.documents.append(report)
        self._tick(report, file.path)

    def _commit(self) -> None:
        changes, self._changes = self._changes, []
        reports, self._reports = self._reports, []
        self._staged_units = 0
        unchanged: set[str] = set()
        lost: set[str] = set()
        if changes:
            with _Timer(self.report.timings, "publish"):
                published = self.writer.publish(changes)
            unchanged, lost = published.unchanged, published.lost
        self._last_commit = time.monotonic()
        for report, path in reports:
            if report.uri in lost:
                report = replace(report, status="failed", id="", reason=REMOVED_MEANWHILE)
            elif report.uri in unchanged and report.status in ("added", "updated"):
                report = replace(report, status="unchanged", reason="")
            self.report.documents.append(report)
            self._tick(report, path)

    def _prune(self, folders: Sequence[Path]) -> None:
        if not folders:
            return  # the list of all sources grows with the base
        roots = [Path(os.path.abspath(f)).as_uri() + "/" for f in folders]
        gone = [
            uri
            for uri in self.writer.all_sources()
            if any(uri.startswith(r) for r in roots) and not path_of(uri).exists()
        ]
        if gone:
            self.writer.publish([SourceChange(uri=u, document=None, drop=True) for u in gone])
            self.report.documents += [
                FileReport(uri=u, status="removed", reason=reason("gone", "the file is gone")) for u in gone
            ]

    def _fill_images(self) -> None:
        """Prints and vectors for pictures that came in while nothing made them, and the prompts that vectors are held against."""
        outputs: dict[tuple[bytes, str], np.ndarray[Any, Any]] = {}
        documents = set()
        for document, media in self.writer.images_without(PRINT_SPACE):
            outputs[bytes.fromhex(media), PRINT_SPACE] = self._print(self.writer.blobs.read(media))
            documents.add(document)
        for encoder in self.image_encoders:
            for document, media in self.writer.images_without(encoder.space.key):
                found = self._seen(media, self.writer.blobs.read(media), [encoder])
                if found:
                    documents.add(document)
                outputs |= found
            if (
                not self.writer.has_output(PROMPTS_KEY, encoder.space.key)
                and (showing := self.writer.documents_with_pictures())
                and (vectors := self._prompts(encoder)) is not None
            ):
                outputs[PROMPTS_KEY, encoder.space.key] = vectors
                documents |= set(showing)
        if outputs:
            self.writer.add_outputs(outputs)
            self.writer.republish(sorted(documents))

    def _prompts(self, encoder: Encoder) -> np.ndarray[Any, Any] | None:
        """Vectors of the prompts in a space of pictures: by its own encoder of words, else by the text encoder it goes with."""
        words = encoder if Modality.TEXT in encoder.modalities else self.text_encoder
        if words is None or words.space.dim != encoder.space.dim:
            return None
        try:
            return words.encode_query(list(prompts()))
        except EncodeError as e:
            log.warning("no vectors of prompts: %s", e)
            return None

    def _fill_sounds(self) -> None:
        """Vectors of how each clip sounds, of the new recordings and of those that came in while no encoder of sounds was there."""
        encoder = self.sound_encoder
        waiting = self.writer.sounds_without(encoder.space.key) if encoder is not None else []
        if encoder is None or not waiting:
            return
        with _Timer(self.report.timings, "sounds"):
            for document, outputs in encode_sounds(self.writer, self.settings, encoder, waiting, self._progress):
                self.writer.add_outputs(outputs)
                self.writer.republish([document])

    def _fill_speech(self) -> None:
        """Words for recordings, the new ones and those that came in while no recogniser was there."""
        if self.speech is None:
            return
        waiting = self.writer.unheard(self.speech.key)
        if not waiting:
            return
        with _Timer(self.report.timings, "speech"):
            for document, facts in hear(self.writer, self.settings, self.speech, waiting, self._progress):
                named = self._name([facts])
                self.writer.replace_facts(document, named[0], self._text_vectors(named[0]))

    # ---- progress ----

    def _tick(self, report: FileReport, path: Path | None = None) -> None:
        self._done += 1
        self._weight_left -= self._weights.get(path, 0.0) if path else 0.0
        if self._progress:
            spent = time.monotonic() - self._started
            weighed = self._weight_all - self._weight_left
            left = spent / weighed * max(self._weight_left, 0.0) if self._done >= 3 and weighed else None
            self._progress(
                Progress(stage="add", done=self._done, total=max(self._total, self._done), item=report.uri, eta_s=left)
            )

    def _timed_iter(self, name: str, items: Iterator[Outcome]) -> Iterator[Outcome]:
        while True:
            with _Timer(self.report.timings, name):
                item = next(items, None)
            if item is None:
                return
            yield item


def fill_text(writer: Writer, encoder: Encoder) -> None:
    """Vectors for units whose model output is not kept (a lost row, or a base made without the encoder)."""
    for document in writer.documents_without(encoder.space.key):
        facts = writer.facts(document)
        outputs = {
            (content_key(texts), encoder.space.key): encoder.encode_document(texts)
            for unit in facts.units
            if (texts := encoder_texts(facts, unit))
        }
        writer.add_outputs(outputs)
        writer.republish([document])


def _not_english(languages: Mapping[str, Sequence[int]], n_units: int, encoder: Encoder | None) -> str:
    """What a user must know of a document in another language."""
    n = sum(len(held) for held in languages.values())
    note = f"{n} of {n_units} units are in another language ({', '.join(languages)}); the name finder and the stemmer are English"
    if encoder is not None and encoder.space.name == MINILM.name:
        note += ", and so is the default encoder: a multilingual one fits in by the setting encoder"
    return note


def _listed(tags: Mapping[str, str]) -> str:
    return ", ".join(f"{name}={value}" for name, value in sorted(tags.items()))


class _Timer:
    """Adds the seconds of its body to a table of timings."""

    def __init__(self, timings: dict[str, float], name: str) -> None:
        self._timings, self._name = timings, name

    def __enter__(self) -> None:
        self._start = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self._timings[self._name] = self._timings.get(self._name, 0.0) + time.perf_counter() - self._start


def _subtitles(path: Path) -> bytes | None:
    """The bytes of the subtitles beside a recording; empty if they cannot be read now, which the hash will tell."""
    beside = subtitles_of(path)
    if beside is None:
        return None
    try:
        return beside.read_bytes()
    except OSError:
        return b""


def _original(parsed: _Parsed) -> Path | bytes:
    """What a document's id is the hash of: its file, or what a recording and its subtitles are together."""
    outcome = parsed.outcome
    if not outcome.recording or parsed.file.beside is None:
        return parsed.file.path
    return subtitled_blob(outcome.recording, parsed.file.beside.read_bytes())


def _media(parsed: _Parsed) -> dict[str, bytes | Path]:
    assert parsed.outcome.parsed is not None
    media: dict[str, bytes | Path] = {**parsed.outcome.parsed.media}
    if parsed.outcome.recording:
        media[parsed.outcome.recording] = parsed.file.path
    return media


def _with_media(outcome: Outcome) -> DocumentFacts:
    """The unit of an image file, and each clip of a recording, shows the file itself."""
    assert outcome.parsed is not None
    facts = outcome.parsed.facts

    def filled(unit: Unit) -> Unit:
        whole = unit.media is None and (unit.kind == "image" or unit.label == "Clip")
        return replace(unit, media=outcome.recording or outcome.sha256) if whole else unit

    return replace(facts, units=tuple(filled(u) for u in facts.units))


def report_json(report: AddReport) -> Mapping[str, Any]:
    """The JSON of `mmkg add --json`."""
    return {
        "documents": [
            {"uri": d.uri, "id": d.id, "status": d.status, "reason": d.reason, "reason_code": d.reason_code}
            for d in report.documents
        ],
        "counts": report.counts,
        "seconds": round(report.seconds, 3),
    }
