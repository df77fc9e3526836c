"""One run of `add`: what to look at, parse in limited children, name, encode, stage, publish in batches.

A stage for each cost: hashing decides what is new; parsing runs beside naming and encoding; a batch is one commit. What
was staged before a stop is published by the next run without a model call.
"""

from __future__ import annotations

import hashlib
import logging
import os
import stat
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote

from mmkg.adding.arriving import Arrival, File, subtitles
from mmkg.adding.containers import Containers
from mmkg.adding.decisions import Decisions
from mmkg.adding.filling import Writer, fill_descriptions, fill_images, fill_sounds, fill_speech
from mmkg.adding.hearing import NOT_HEARD
from mmkg.adding.longtexts import part_vectors, whole
from mmkg.adding.paging import fill_pages
from mmkg.adding.reading import Readers
from mmkg.adding.report import AddReport, Timer
from mmkg.adding.unpacking import Container, Unpacked, Unpacker
from mmkg.config import Settings
from mmkg.errors import EncodeError, StoreDamagedError
from mmkg.ingest.pool import Outcome, ParserPool
from mmkg.ingest.sniff import check_name
from mmkg.ingest.unpack import ARCHIVE, ZIP
from mmkg.listing import recording_of, subtitles_of
from mmkg.longfacts import LongFacts
from mmkg.protocols import ProgressCallback
from mmkg.reasons import KEPT, code_of, reason
from mmkg.schema import document_id, subtitled_blob
from mmkg.store.folder.lookups import speaks
from mmkg.store.folder.writer import FolderWriter
from mmkg.tags import with_tags
from mmkg.texts import Outputs
from mmkg.types import DocumentFacts, languages_of

log = logging.getLogger(__name__)


class Adder:
    """One run of `add` over a writer."""

    def __init__(
        self,
        writer: Writer,
        settings: Settings,
        readers: Readers,
        *,
        progress: ProgressCallback | None = None,
        uris: Mapping[Path, str] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """uris: the source that a file stands for, where that is not its path. tags: for every document of this run."""
        self.writer, self.settings, self.readers = writer, settings, readers
        self._progress = progress
        self._uris = dict(uris or {})
        self._containers = Containers(settings)
        self._decisions = Decisions(writer, self._containers, tags or {}, progress)
        self._timings = self._decisions.report.timings
        self._buffer: list[Arrival] = []
        self._waiting: dict[str, list[File]] = {}
        self._again: list[Path] = []
        """Files to look at once more: another file with their bytes was rejected for its own name."""
        self._staged_units = 0

    def run(self, files: Sequence[Path], *, prune: Sequence[Path] = ()) -> AddReport:
        """Bring the files in. prune: folders under which sources whose file is gone are dropped."""
        self._decisions.expect(files)
        with ParserPool(self.settings) as pool:
            self._parse(pool, files)
            if self._containers:
                with Unpacker(self.settings) as unpacker:
                    self._open_containers(pool, unpacker)
        self._commit()
        self._decisions.tag()
        self._decisions.prune(prune)
        self.writer.drop_unclaimed()
        fill_images(self.writer, self.readers)
        with Timer(self._timings, "sounds"):
            fill_sounds(self.writer, self.settings, self.readers, self._progress)
        with Timer(self._timings, "speech"):
            fill_speech(self.writer, self.settings, self.readers, self._progress)
        with Timer(self._timings, "describe"):
            fill_descriptions(self.writer, self.readers, self._progress)
        with Timer(self._timings, "pages"):
            fill_pages(self.writer, self.settings, self.readers.pages, self._progress)
        with Timer(self._timings, "graph"):
            self.writer.finish(self._progress)
        report = self._decisions.report
        report.seconds = time.monotonic() - self._decisions.started
        return report

    def _parse(self, pool: ParserPool, files: Sequence[Path]) -> None:
        """Parse what is new of these files and stage all of it."""
        for outcome in self._timed_iter("parse", pool.map(self._to_parse(files), beside=subtitles)):
            self._take(outcome)
        while self._again:
            again, self._again = self._again, []
            for outcome in self._timed_iter("parse", pool.map(self._to_parse(again), beside=subtitles)):
                self._take(outcome)
        self._encode_and_stage()
        for left in [f for files in self._waiting.values() for f in files]:
            why = reason("changed", "the file changed while it was read; add it again")
            self._decisions.settle(left, "failed", why=why)
        self._waiting.clear()

    # ---- archives and attachments ----

    def _open_containers(self, pool: ParserPool, unpacker: Unpacker) -> None:
        """Bring in what lies in the containers met so far, and in those inside them, while their files are there."""
        for batch in self._containers.opened(unpacker, self._timings):
            self._uris |= batch.files
            for container, unpacked in batch.opened:
                self._opened(container, unpacked)
            self._decisions.expect(list(batch.files))
            self._parse(pool, list(batch.files))
            if self._containers:
                self._open_containers(pool, unpacker)
            for path in batch.files:
                del self._uris[path]

    def _opened(self, container: Container, unpacked: Unpacked) -> None:
        """Say what became of a container itself and of what could not be taken out of it; drop what is no longer in it."""
        for uri, (status, why) in unpacked.refused.items():
            self._decisions.settle(File(container.path, uri, 0, container.mtime_ns), status, why=why)
        before = self.writer.sources_inside(container.uri)
        trouble = unpacked.trouble
        if not trouble:
            self._decisions.drop(unpacked.gone(container.uri, before))
        elif before:
            trouble += KEPT
        if container.media_type == ZIP:
            file = File(container.path, container.uri, container.path.stat().st_size, container.mtime_ns)
            why = trouble or reason("archive", ARCHIVE)
            self._decisions.settle(file, unpacked.status, why=why, opened=True)
        elif trouble:
            log.warning("%s: its attachments could not be taken out: %s", container.uri, trouble)

    # ---- deciding what is new ----

    def _to_parse(self, files: Sequence[Path]) -> Iterator[Path]:
        """Paths whose bytes are new; all others are settled on the way."""
        for path in files:
            file = self._stat(path)
            if file is None:
                continue
            if (recording := recording_of(path)) is not None:
                why = reason("subtitles", f"taken in with {self._name_of(recording)}")
                self._decisions.settle(file, "skipped", why=why)
                continue
            sha256 = ""
            if file.size <= self.settings.limits.bytes:
                try:
                    with Timer(self._timings, "hash"), path.open("rb") as f:
                        sha256 = hashlib.file_digest(f, "sha256").hexdigest()
                    if file.beside is not None:
                        sha256 = document_id(subtitled_blob(sha256, file.beside.read_bytes()))
                except OSError as e:
                    self._decisions.settle(file, "failed", why=reason("unreadable", e.strerror or str(e)))
                    continue
            if sha256 in self._waiting and sha256:
                self._waiting[sha256].append(file)
                continue
            state = self.writer.state(sha256) if sha256 else None
            if state is not None and not self._honest([file], self.writer.media_type(sha256)):
                continue
            if state == "visible":
                self._decisions.known(file, sha256)
            elif state == "staged":
                self._decisions.add(file, sha256)
            else:
                if sha256:
                    self._waiting[sha256] = []
                yield path

    def _stat(self, path: Path) -> File | None:
        try:
            uri = self._uris.get(path) or path.as_uri()
            info = path.stat()
        except OSError as e:
            self._decisions.settle(File(path, uri, 0, 0), "failed", why=reason("unreadable", e.strerror or str(e)))
            return None
        file = File(path, uri, info.st_size, info.st_mtime_ns, subtitles_of(path))
        if not stat.S_ISREG(info.st_mode):
            self._decisions.settle(file, "skipped", why=reason("not-a-file", "not a regular file"))
            return None
        return file

    def _name_of(self, path: Path) -> str:
        """The name of a file as its user knows it."""
        return unquote(self._uris[path].rsplit("/", 1)[-1]) if path in self._uris else path.name

    def _honest(self, files: Sequence[File], media_type: str) -> list[File]:
        """The files whose extension fits content of this type; the others are rejected."""
        lies = {f.path: check_name(f.path, media_type) for f in files}
        for f in files:
            if lie := lies[f.path]:
                self._decisions.settle(f, "rejected", why=reason("name", lie))
        return [f for f in files if not lies[f.path]]

    # ---- taking parsed documents ----

    def _take(self, outcome: Outcome) -> None:
        path = Path(os.path.abspath(outcome.path))
        file = self._stat(path)
        others = self._waiting.pop(outcome.sha256, []) if outcome.sha256 else []
        if file is None:
            return
        if code_of(outcome.reason) == "archive":
            for f in (file, *self._honest(others, outcome.media_type)):
                if why := self._containers.note(f, outcome.media_type):
                    self._decisions.settle(f, "rejected", why=why)
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
                self._decisions.settle(f, outcome.status, why=outcome.reason)
            return
        if self.writer.state(outcome.sha256) is not None:  # its bytes came in under another name meanwhile
            self._decisions.add(file, outcome.sha256)
        else:
            self._buffer.append(Arrival(file, outcome))
            self._waiting[outcome.sha256] = others  # later files with these bytes still join it
        buffered = sum(a.n_units for a in self._buffer)
        late = time.monotonic() - self._decisions.last_commit > self.settings.batch_seconds
        if buffered + self._staged_units >= self.settings.batch_units or (late and self._buffer):
            self._encode_and_stage()
            self._commit()

    def _take_long(self, writer: FolderWriter, file: File, outcome: Outcome, facts: LongFacts) -> None:
        """A text that comes in parts: named, encoded and kept one by one, and then committed by itself."""
        self._encode_and_stage()
        self._commit()
        document = outcome.sha256

        def ready() -> Iterator[tuple[DocumentFacts, Outputs]]:
            for part in facts.parts():
                with Timer(self._timings, "names"):
                    (named,) = self.readers.named([part])
                with Timer(self._timings, "encode"):
                    outputs = part_vectors(named, self.readers.text, writer.kept_outputs)
                yield named, outputs

        files = (file, *self._honest(self._waiting.pop(document, []), outcome.media_type))
        if tags := self._decisions.tags_for(files):
            facts = replace(facts, head=replace(facts.head, meta=with_tags(facts.head.meta, tags)))
        try:
            uris = [f.uri for f in files]
            writer.stage_parts(document, facts, ready(), n_bytes=file.size, uris=uris, original=file.path)
        except (StoreDamagedError, FileNotFoundError, PermissionError, EncodeError) as e:
            self._not_staged(files, e)
            return
        note = ""
        if languages := languages_of(writer.meta(document)):
            note = reason("note", self.readers.not_english(languages, facts.n_units))
        for f in files:
            self._decisions.add(f, document, why=note)
        self._commit()

    def _encode_and_stage(self) -> None:
        """Names and vectors for the buffered documents together (models like batches), then stage each."""
        buffer, self._buffer = self._buffer, []
        if not buffer:
            return
        with Timer(self._timings, "names"):
            named = self.readers.named([a.facts for a in buffer])
        with Timer(self._timings, "encode"):
            outputs, failed = self.readers.encoded(named, buffer)
        for arrival, facts, output in zip(buffer, named, outputs, strict=True):
            document = arrival.document
            files = (arrival.file, *self._honest(self._waiting.pop(document, []), arrival.outcome.media_type))
            if document in failed:
                for f in files:
                    self._decisions.settle(f, "failed", why=failed[document])
                continue
            notes = arrival.notes
            if self.readers.speech is None and any(u.label == "Clip" for u in facts.units) and speaks(facts.meta):
                notes = (*notes, NOT_HEARD)
            if languages := languages_of(facts.meta):
                notes = (*notes, self.readers.not_english(languages, len(facts.units)))
            note = reason("note", "; ".join(notes)) if notes else ""
            if tags := self._decisions.tags_for(files):
                facts = replace(facts, meta=with_tags(facts.meta, tags))
            try:
                with Timer(self._timings, "stage"):
                    self.writer.stage(
                        document,
                        facts,
                        n_bytes=arrival.file.size,
                        uris=[f.uri for f in files],
                        original=arrival.original(),
                        media=arrival.media(),
                        outputs=output,
                    )
            except (StoreDamagedError, FileNotFoundError, PermissionError) as e:
                self._not_staged(files, e)
                continue
            self._staged_units += arrival.n_units
            for f in files:
                self._decisions.add(f, document, why=note)

    def _not_staged(self, files: Sequence[File], error: Exception) -> None:
        """A document that could not be kept: its file went or changed meanwhile, or a model failed."""
        if isinstance(error, EncodeError):
            why = reason("model", f"encoding failed: {error}")
        else:
            why = reason("changed" if isinstance(error, StoreDamagedError) else "unreadable", str(error))
        for f in files:
            self._decisions.settle(f, "failed", why=why)

    def _commit(self) -> None:
        self._staged_units = 0
        self._decisions.commit()

    def _timed_iter(self, name: str, items: Iterator[Outcome]) -> Iterator[Outcome]:
        while True:
            with Timer(self._timings, name):
                item = next(items, None)
            if item is None:
                return
            yield item
