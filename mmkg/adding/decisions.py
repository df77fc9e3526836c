"""What has been decided of each source, and its way into the base: told at once, or with the commit that makes it true."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from mmkg.adding.arriving import File
from mmkg.adding.containers import Containers
from mmkg.adding.filling import Writer
from mmkg.adding.report import AddReport, Timer
from mmkg.ingest.message import MESSAGE
from mmkg.ingest.unpack import has_members
from mmkg.listing import path_of, weight
from mmkg.protocols import ProgressCallback
from mmkg.reasons import KEPT, reason
from mmkg.store.changes import SourceChange
from mmkg.tags import with_tags
from mmkg.types import FileReport, Progress, tags_of

log = logging.getLogger(__name__)


class Decisions:
    """Statuses of files, of which those that change documents wait for `commit`."""

    def __init__(
        self, writer: Writer, containers: Containers, tags: Mapping[str, str], progress: ProgressCallback | None
    ) -> None:
        """tags: what every document of this run is to be tagged with, beside the tags it has."""
        self.report = AddReport()
        self.started = self.last_commit = time.monotonic()
        self._writer, self._containers, self._tags, self._progress = writer, containers, dict(tags), progress
        self._changes: list[SourceChange] = []
        self._reports: list[tuple[FileReport, Path]] = []
        self._to_tag: set[str] = set()
        self._total = self._done = 0
        self._weights: dict[Path, float] = {}
        self._weight_left = self._weight_all = 0.0

    def expect(self, files: Sequence[Path]) -> None:
        """Count these files into the progress told."""
        self._total += len(files)
        weights = {p: weight(p) for p in files}
        self._weights |= weights
        self._weight_all += sum(weights.values())
        self._weight_left += sum(weights.values())

    # ---- statuses ----

    def known(self, file: File, document: str) -> None:
        """A file of bytes that the base already shows."""
        source = self._writer.source(file.uri)
        if source and source[0] == document:
            if self._tags and with_tags(self._writer.meta(document), self._tags) != self._writer.meta(document):
                self._to_tag.add(document)
                listed = ", ".join(f"{name}={value}" for name, value in sorted(self._tags.items()))
                self.settle(file, "updated", document=document, why=reason("tags", listed))
            else:
                self.settle(file, "unchanged", document=document)
            return
        if source and source[0]:
            self.add(file, document, status="updated")
            return
        others = self._writer.sources_of(document)
        if gone := [u for u in others if not path_of(u).exists()]:
            self._changes += [SourceChange(uri=u, document=None, drop=True) for u in gone]
            self.add(file, document, status="moved", why=reason("moved", f"was {gone[0]}"))
        else:
            self.add(file, document, why=reason("same-bytes", others[0]) if others else "")

    def add(self, file: File, document: str, *, status: str = "", why: str = "") -> None:
        """A file whose document comes in, or is there: its source points at it from the next commit on."""
        self._to_tag.add(document)
        before = self._writer.source(file.uri)
        if not self._has_members(file, document) and before:
            self.drop(list(self._writer.sources_inside(file.uri)))
        status = status or ("updated" if before and before[0] else "added")
        self._changes.append(
            SourceChange(
                uri=file.uri, document=document, status=status, reason=why, size=file.size, mtime_ns=file.mtime_ns
            )
        )
        self._reports.append((FileReport(uri=file.uri, status=status, id=document, reason=why), file.path))

    def settle(self, file: File, status: str, *, document: str = "", why: str = "", opened: bool = False) -> None:
        """A file that changes no document, unless it is empty now: then what it held before goes.

        opened: an archive, whose members are judged by themselves.
        """
        if status == "unchanged":
            self._has_members(file, document)
        before = self._writer.source(file.uri) if status != "unchanged" else None
        inside = self._writer.sources_inside(file.uri) if before and not opened else {}
        if before and (before[0] or inside) and status in ("failed", "rejected"):
            why += KEPT
        elif inside:
            self.drop(list(inside))
        change = SourceChange(
            uri=file.uri, document=None, status=status, reason=why, size=file.size, mtime_ns=file.mtime_ns
        )
        if before and before[0] and status in ("empty", "skipped"):
            self._changes.append(change)
        elif status != "unchanged":
            self._writer.note_sources([change])
        report = FileReport(uri=file.uri, status=status, id=document, reason=why)
        self.report.documents.append(report)
        self._tick(report, file.path)

    def drop(self, uris: Sequence[str]) -> None:
        """Sources that were inside a file and are no longer there."""
        self._changes += [SourceChange(uri=u, document=None, drop=True) for u in uris]
        self.report.documents += [
            FileReport(uri=u, status="removed", reason=reason("gone", "no longer in its archive")) for u in uris
        ]

    def _has_members(self, file: File, document: str) -> bool:
        """Whether a document that is in, or staged, is a message with attachments; they are looked at then."""
        if self._writer.media_type(document) != MESSAGE:
            return False
        found = has_members(MESSAGE, self._writer.meta(document))
        if found and (why := self._containers.note(file, MESSAGE)):
            log.warning("%s: its attachments are left out: %s", file.uri, why)
        return found

    # ---- into the base ----

    def commit(self) -> None:
        """Make what waits visible, in one commit."""
        changes, self._changes = self._changes, []
        reports, self._reports = self._reports, []
        unchanged: set[str] = set()
        lost: dict[str, str] = {}
        if changes:
            with Timer(self.report.timings, "publish"):
                published = self._writer.publish(changes)
            unchanged, lost = published.unchanged, published.lost
        self.last_commit = time.monotonic()
        for report, path in reports:
            if report.uri in lost:
                report = replace(report, status="failed", id="", reason=lost[report.uri])
            elif report.uri in unchanged and report.status in ("added", "updated"):
                report = replace(report, status="unchanged", reason="")
            self.report.documents.append(report)
            self._tick(report, path)

    def tags_for(self, files: Sequence[File]) -> dict[str, str]:
        """Tags of a document that comes in: those of what its files held before, and those of this run."""
        tags: dict[str, str] = {}
        for file in files:
            before = self._writer.source(file.uri)
            if before and before[0]:
                tags |= tags_of(self._writer.meta(before[0]))
        return tags | self._tags

    def tag(self) -> None:
        """Tag the documents that were here before this run, or staged by one before."""
        changed = {}
        for document in sorted(self._to_tag) if self._tags else ():
            if self._writer.state(document) != "visible":
                continue
            meta = self._writer.meta(document)
            if (new := with_tags(meta, self._tags)) != meta:
                changed[document] = new
        if changed:
            self._writer.set_meta(changed)

    def prune(self, folders: Sequence[Path]) -> None:
        """Drop the sources under these folders whose file is gone."""
        if not folders:
            return  # the list of all sources grows with the base
        roots = [Path(os.path.abspath(f)).as_uri() + "/" for f in folders]
        gone = [
            uri
            for uri in self._writer.all_sources()
            if any(uri.startswith(r) for r in roots) and not path_of(uri).exists()
        ]
        if gone:
            self._writer.publish([SourceChange(uri=u, document=None, drop=True) for u in gone])
            self.report.documents += [
                FileReport(uri=u, status="removed", reason=reason("gone", "the file is gone")) for u in gone
            ]

    def _tick(self, report: FileReport, path: Path) -> None:
        self._done += 1
        self._weight_left -= self._weights.get(path, 0.0)
        if self._progress:
            spent = time.monotonic() - self.started
            weighed = self._weight_all - self._weight_left
            left = spent / weighed * max(self._weight_left, 0.0) if self._done >= 3 and weighed else None
            self._progress(
                Progress(stage="add", done=self._done, total=max(self._total, self._done), item=report.uri, eta_s=left)
            )
