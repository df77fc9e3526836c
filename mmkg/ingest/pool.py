"""Parses files in child processes with limits: what a file does to its parser costs neither us nor its neighbours."""

from __future__ import annotations

import hashlib
import logging
import os
import queue
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from mmkg.config import Settings
from mmkg.errors import LoadError, MMKGError
from mmkg.factsio import from_json
from mmkg.ingest import wire
from mmkg.ingest.child import Child
from mmkg.ingest.patience import stretches
from mmkg.ingest.source import UnreadableError, open_regular
from mmkg.ingest.spool import Spool
from mmkg.longfacts import LongFacts
from mmkg.reasons import LONGEST, fits, reason
from mmkg.types import DocumentFacts, Parsed

_log = logging.getLogger(__name__)

_RECYCLE_BYTES = 512 * 2**20
_UNDERWAY = ("part", "renew")
"""What a parser sends before it is done: a part of a long text, or that a stretch of a recording is read."""
_NEEDS_MORE = "memory: parsing needs more"
_STATUSES = frozenset({"ok", "empty", "skipped", "rejected", "failed"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What parsing one file gave.

    status: ok, empty, skipped (no loader for it), rejected (its content, or a limit), or failed (the file could not be
    read now, or the parser failed). reason: "" if ok, else what a user should know; it begins with the limit's name
    where one was passed. sha256: of the bytes that were parsed, "" where they could not be read. parsed: only if ok.
    """

    path: Path
    status: str
    reason: str = ""
    parsed: Parsed | None = None
    long: LongFacts | None = None
    """In the place of `parsed` for a text that is read in parts."""
    sha256: str = ""
    media_type: str = ""
    recording: str = ""
    """sha256 of a recording's own bytes where it was taken in with the subtitles beside it; sha256 covers both then."""


class ParserPool:
    """Warm parser processes behind `parse`, `submit` and `map`. A context manager; usable from several threads.

    Children are started fresh when first needed, never forked, with a bare environment. At most settings.workers files
    are parsed at once. A child that dies, or is ended for a limit, is replaced.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or Settings()
        self._threads = ThreadPoolExecutor(self.settings.workers, thread_name_prefix="mmkg-parser")
        self._idle: queue.SimpleQueue[Child] = queue.SimpleQueue()
        self._live: set[Child] = set()
        self._lock = threading.Lock()
        self._closed = False

    def __enter__(self) -> ParserPool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # After an error nobody waits for what still runs.
        self.close(wait=kind is None)

    def close(self, *, wait: bool = True) -> None:
        """End the children. wait: let files that are being parsed finish; files not yet begun are cancelled."""
        with self._lock:
            self._closed = True
            if not wait:
                for child in self._live:
                    child.kill()
        self._threads.shutdown(wait=True, cancel_futures=True)
        for child in list(self._live):
            self._discard(child)

    def parse(self, path: Path | str, *, beside: bytes | None = None) -> Outcome:
        """Parse one file and wait for it. beside: the bytes of the subtitle file of a recording."""
        return self.submit(path, beside=beside).result()

    def fences(self) -> dict[str, Any]:
        """Which limits and fences hold around a parser process here; starts one if none is warm. Raises MMKGError."""
        child = self._take()
        self._give_back(child)
        return dict(child.fences)

    def submit(self, path: Path | str, *, beside: bytes | None = None) -> Future[Outcome]:
        """Parse one file in the background. The future's result is always an Outcome, whatever the file contains."""
        return self._threads.submit(self._parse, Path(path), beside)

    def map(
        self, paths: Iterable[Path | str], *, beside: Callable[[Path], bytes | None] = lambda path: None
    ) -> Iterator[Outcome]:
        """Outcomes in the order of paths. At most 2 x workers files are begun ahead of the one that you look at.

        beside: gives the bytes of the subtitle file of a recording.
        """
        waiting: deque[Future[Outcome]] = deque()
        try:
            for path in paths:
                waiting.append(self.submit(path, beside=beside(Path(path))))
                if len(waiting) >= 2 * self.settings.workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()

    # ---- One file, in one of our threads ----

    def _parse(self, path: Path, beside: bytes | None) -> Outcome:
        if not wire.PASSES_DESCRIPTORS:
            return self._parse_open(path, None, beside)
        try:
            fd = open_regular(path)
        except LoadError as e:
            status = "failed" if isinstance(e, UnreadableError) else "rejected"
            return Outcome(path=path, status=status, reason=reason(e.code, str(e)))
        try:
            return self._parse_open(path, fd, beside)
        finally:
            os.close(fd)

    def _parse_open(self, path: Path, fd: int | None, beside: bytes | None) -> Outcome:
        try:
            child = self._take()
            outcome = self._ask(path, fd, beside, child)
            if child.n_files > 1 and outcome.reason.startswith(_NEEDS_MORE):
                # What earlier files left in its memory may have counted: a verdict should not depend on who came before.
                outcome = self._ask(path, fd, beside, self._start())
        except (OSError, wire.WireError, MMKGError) as e:
            return Outcome(path=path, status="failed", reason=reason("no-parser", f"no parser process: {e}"))
        return outcome

    def _ask(self, path: Path, fd: int | None, beside: bytes | None, child: Child) -> Outcome:
        """One file, one child."""
        header: dict[str, Any] | None = None
        blobs: list[bytes] = []
        trouble = ""
        child.n_files += 1
        most = self.settings.limits.memory_bytes
        if fd is not None:
            most = self.settings.limits.memory_for(os.fstat(fd).st_size)
            os.lseek(fd, 0, os.SEEK_SET)
        spool: Spool | None = None
        with child.deadline(self.settings.limits.seconds) as again, child.watched(most // 2):
            try:
                child.request(
                    {"path": os.fsencode(os.path.abspath(path)).hex()}, fd, () if beside is None else (beside,)
                )
                renewals = 2 * stretches(self.settings.limits.media_seconds)
                while (received := child.answer()) is not None and not received[0].keys().isdisjoint(_UNDERWAY):
                    if "part" in received[0]:
                        spool = spool or Spool()
                        spool.add(received[0])
                    elif (renewals := renewals - 1) < 0:
                        raise ValueError("the parser asks for time without end")
                    again()
                if received is not None:
                    header, blobs = received
            except KeyError as e:
                trouble = f"a part of the text without {e}"
            except (OSError, ValueError, wire.WireError) as e:
                trouble = str(e)
        if header is None:
            return self._after_death(path, child, trouble, most)
        full = str(header.get("reason", "")).startswith(_NEEDS_MORE)
        if full or header.get("resident", 0) > child.resident + _RECYCLE_BYTES:
            self._discard(child)  # what one file left behind must not count against the next
        else:
            self._give_back(child)
        try:
            return _outcome(path, header, blobs, spool)
        except (KeyError, ValueError, TypeError) as e:
            return Outcome(path=path, status="failed", reason=reason("parser", f"the parser sent a broken answer: {e}"))

    def _after_death(self, path: Path, child: Child, trouble: str, most: int) -> Outcome:
        expired = child.expired
        recorded = self._discard(child)
        peak = max(recorded if recorded > child.first_peak else 0, child.seen_peak)
        code = child.process.returncode
        limits = self.settings.limits
        if expired:
            return Outcome(
                path=path, status="rejected", reason=f"seconds: parsing took longer than {limits.seconds:g} s"
            )
        if self._closed:
            return Outcome(path=path, status="failed", reason=reason("stopped", "stopped before it was parsed"))
        if code is not None and code < 0:
            number = -code
            name = signal.Signals(number).name if number in set(signal.Signals) else str(number)
            if number == 9:
                why = reason("memory", "the system ended the parser")
            elif number == 25:
                why = reason("bytes", "the parser wrote more than it may")
            elif peak > most // 2:
                why = reason("memory", f"parsing needs more than {most // 2**20} MiB ({name})")
            else:
                why = reason("crash", f"signal {number} ({name})")
            return Outcome(path=path, status="rejected", reason=why)
        if code and peak > most // 2:  # a library that ends the process when it gets no memory
            why = reason("memory", f"parsing needs more than {most // 2**20} MiB (ended with code {code})")
            return Outcome(path=path, status="rejected", reason=why)
        ended = trouble if trouble and code in (None, 0) else f"the parser ended with code {code}"
        return Outcome(path=path, status="rejected", reason=reason("crash", ended))

    def _take(self) -> Child:
        while True:
            try:
                child = self._idle.get_nowait()
            except queue.Empty:
                break
            if child.process.poll() is None:
                return child
            self._discard(child)
        return self._start()

    def _start(self) -> Child:
        child = Child(self.settings)
        with self._lock:
            self._live.add(child)
            closed = self._closed
        if closed:
            self._discard(child)
            raise MMKGError("the pool is closed")
        try:
            child.start()
        except BaseException:
            self._discard(child)
            raise
        return child

    def _give_back(self, child: Child) -> None:
        self._idle.put(child)

    def _discard(self, child: Child) -> int:
        """End a child for good; returns the most memory it had, in bytes, 0 if unknown."""
        with self._lock:
            self._live.discard(child)
        return child.end()


def _outcome(path: Path, header: dict[str, Any], blobs: list[bytes], spool: Spool | None = None) -> Outcome:
    """Check what a child sent: it has read a stranger's file, so it is not trusted."""
    status, why, sha256, media_type = (header[k] for k in ("status", "reason", "sha256", "media_type"))
    if status not in _STATUSES or not all(isinstance(v, str) for v in (why, sha256, media_type)):
        raise ValueError("status, reason, hash or media type is not as agreed")
    if not fits(status, why) or len(why) > LONGEST:
        raise ValueError("the reason is not among those that are listed")
    if status != "ok":
        return Outcome(path=path, status=status, reason=why, sha256=sha256, media_type=media_type)
    if spool is not None:
        return Outcome(path=path, status="ok", long=spool.finish(header), sha256=sha256, media_type=media_type)
    facts = from_json(header["facts"])
    _check_spans(facts)
    names = header["media"]
    if len(names) != len(blobs) or any(hashlib.sha256(b).hexdigest() != n for n, b in zip(names, blobs, strict=True)):
        raise ValueError("media do not match their hashes")
    notes = tuple(str(note) for note in header["notes"])
    parsed = Parsed(facts=facts, media=dict(zip(names, blobs, strict=True)), notes=notes)
    recording = header.get("recording", "")
    if not isinstance(recording, str):
        raise ValueError("the recording's hash is not as agreed")
    return Outcome(path=path, status="ok", parsed=parsed, sha256=sha256, media_type=media_type, recording=recording)


def _check_spans(facts: DocumentFacts) -> None:
    length = len(facts.text)
    for number, unit in enumerate(facts.units):
        spans = [(unit.start, unit.end), *unit.sentences, *((unit.caption,) if unit.caption else ())]
        spans += [(t.start, t.end) for t in unit.times]
        if unit.ordinal != number or any(not 0 <= a <= b <= length for a, b in spans):
            raise ValueError(f"unit {number} lies outside the text")
        if unit.label not in ("Chunk", "Image", "Clip") or not all(0 <= r < len(facts.units) for r in unit.refers_to):
            raise ValueError(f"unit {number} is malformed")
        moments = [*((unit.span_ms,) if unit.span_ms else ()), *((t.start_ms, t.end_ms) for t in unit.times)]
        if any(not 0 <= a <= b < 2**31 for a, b in moments) or (unit.label == "Clip" and unit.span_ms is None):
            raise ValueError(f"unit {number} lies outside any recording")
        if unit.section is not None and not 0 <= unit.section < len(facts.sections):
            raise ValueError(f"unit {number} names a section that is not there")
