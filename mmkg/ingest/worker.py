"""The parser process: reads requests from a pipe, parses one file each, answers. Run as `python -m mmkg.ingest.worker`.

It is started fresh by ParserPool with a bare environment, lowers its own limits before the first request, and leaves
when its input ends. A request that takes too long is ended by the pool from outside, and by an alarm of its own should
the pool be gone.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

from mmkg.config import Limits
from mmkg.errors import LimitExceededError, LoadError, MissingDependencyError, UnsupportedFormatError
from mmkg.factsio import to_json
from mmkg.ingest import guard, wire
from mmkg.ingest.assemble import assemble
from mmkg.ingest.loaders import find_loader
from mmkg.ingest.longtext import LongText, is_long
from mmkg.ingest.patience import renewing
from mmkg.ingest.serving import begin
from mmkg.ingest.sniff import BINARY, check_name, sniff
from mmkg.ingest.source import UnreadableError, open_source
from mmkg.ingest.subtitles import with_subtitles
from mmkg.ingest.unpack import ARCHIVE, ZIP
from mmkg.ingest.wire import STARVED
from mmkg.listing import MOST_SUBTITLES
from mmkg.longfacts import JOINT
from mmkg.reasons import reason
from mmkg.schema import document_id, subtitled_blob
from mmkg.types import DocumentFacts, Parsed

_ALARM_SLACK_S = 10
_REQUEST_BYTES = MOST_SUBTITLES + (1 << 20)


def main() -> None:
    """Serve until the input ends, or the process that started this one is gone (its id is the last argument)."""
    if (line := begin(most=_REQUEST_BYTES)) is None:
        return
    requests, answers, settings, limits = line.requests, line.answers, line.settings, line.limits
    while (received := wire.receive(requests, most=_REQUEST_BYTES)) is not None:
        path = Path(os.fsdecode(bytes.fromhex(received[0]["path"])))
        fd = requests.take() if isinstance(requests, wire.DescriptorStream) else None
        beside = received[1][0] if received[1] else None
        with _alarm(limits.seconds) as again:

            def emit(part: dict[str, Any]) -> None:
                wire.send(answers, part)
                again()

            def renew() -> None:
                emit({"renew": True})

            with renewing(renew):
                header, blobs = parse(
                    path,
                    limits,
                    settings["chunk_characters"],
                    settings["ocr"],
                    beside=beside,
                    fd=fd,
                    fences_are_up=True,
                    emit=emit,
                )
            wire.send(answers, {**header, "resident": guard.resident_bytes()}, blobs)
        del header, blobs


def parse(
    path: Path,
    limits: Limits,
    chunk_characters: int,
    ocr: bool,
    *,
    beside: bytes | None = None,
    fd: int | None = None,
    fences_are_up: bool = False,
    emit: Callable[[dict[str, Any]], None] | None = None,
) -> tuple[dict[str, Any], list[bytes]]:
    """The answer for one file: status, reason, sha256, media type, and for a good one facts, notes and media.

    beside: the subtitle file of a recording; the two are one document, and `sha256` is that of schema.subtitled_blob.
    fd: the open file, where the pool opened it (this process may not open it itself); it is closed here.
    fences_are_up: this is a parser process, whose memory may be limited by the file's size.
    emit: takes the parts of a long text as they are made (`start`, and `facts` of the part); the answer has their number and
    what belongs to the whole. Without it they are joined.

    Never raises for what a file may contain: that becomes a status and a reason.
    """
    found: dict[str, Any] = {"status": "failed", "reason": "", "sha256": "", "media_type": ""}
    most = limits.memory_bytes
    try:
        with open_source(path, most=limits.bytes, fd=fd) as source:
            found["sha256"] = source.sha256
            if beside is not None:
                found["sha256"] = document_id(subtitled_blob(source.sha256, beside))
                found["recording"] = source.sha256
            most = limits.memory_for(source.size)
            if fences_are_up:
                guard.allow_memory(most)
            if source.size == 0:
                return found | _why("empty", "no-bytes", "the file has no bytes"), []
            found["media_type"] = media_type = sniff(source.file)
            if lie := check_name(path, media_type):
                return found | _why("rejected", "name", lie), []
            if media_type == BINARY:
                return found | _why("rejected", *_binary_reason(source.path)), []
            if media_type == ZIP:
                return found | _why("skipped", "archive", ARCHIVE), []
            if is_long(media_type, source.size):
                return _long(source.file, media_type, chunk_characters, found, emit)
            raw = find_loader(media_type)(source.path, media_type, limits, ocr)
            if len(raw.text) > limits.characters:
                raise LimitExceededError("characters", f"the text is longer than {limits.characters} characters")
            if beside is not None:
                raw = with_subtitles(raw, beside)
            parsed = assemble(raw, chunk_characters=chunk_characters)
            del raw
    except UnreadableError as e:
        return found | _why("failed", e.code, str(e)), []
    except UnsupportedFormatError as e:
        return found | _why("skipped", e.code, str(e)), []
    except LoadError as e:
        return found | _why("rejected", e.code, str(e)), []
    except MissingDependencyError as e:
        return found | _why("failed", "dependency", str(e)), []
    except MemoryError:
        return found | _why("rejected", "memory", f"parsing needs more than {most // 2**20} MiB"), []
    except RecursionError:
        return found | _why("rejected", "nested", "nested too deeply to be parsed"), []
    except Exception as e:
        # A loader met what it does not expect. One bad file must not end the batch; the reason names the error.
        return found | _why("failed", "parser", f"the parser failed: {type(e).__name__}: {str(e)[:300]}"), []
    if not _has_content(parsed):
        return found | _why("empty", "no-content", "; ".join(parsed.notes) or "no words and no pictures in it"), []
    media = sorted(parsed.media.items())
    header = found | {
        "status": "ok",
        "facts": to_json(parsed.facts),
        "notes": list(parsed.notes),
        "media": [sha for sha, _ in media],
    }
    return header, [data for _, data in media]


def _long(
    file: BinaryIO,
    media_type: str,
    chunk_characters: int,
    found: dict[str, Any],
    emit: Callable[[dict[str, Any]], None] | None,
) -> tuple[dict[str, Any], list[bytes]]:
    """The answer for a long text, after its parts."""
    text = LongText(file, media_type, chunk_characters)
    file.seek(0)
    kept: list[tuple[int, DocumentFacts]] = []
    n = 0
    for start, part in text.parts():
        n += 1
        if emit is None:
            kept.append((start, part))
        else:
            emit({"part": n, "start": start, "facts": to_json(part)})
    if not text.has_words:
        return found | _why("empty", "no-content", "no words and no pictures in it"), []
    head = DocumentFacts(media_type=media_type, name=text.name, text="", sections=tuple(text.sections))
    answer = found | {"status": "ok", "notes": [], "media": []}
    if emit is None:
        units = tuple(unit for _, part in kept for unit in part.units)
        whole = replace(head, text=JOINT.join(part.text for _, part in kept), units=units)
        return answer | {"facts": to_json(whole)}, []
    per_section = sorted(text.per_section.items())
    return answer | {
        "facts": to_json(head),
        "parts": n,
        "length": text.length,
        "units": text.n_units,
        "per_section": per_section,
    }, []


def _has_content(parsed: Parsed) -> bool:
    facts = parsed.facts
    return any(
        unit.label != "Chunk" or any(c.isalnum() for c in facts.text[unit.start : unit.end]) for unit in facts.units
    )


def _why(status: str, code: str, text: str) -> dict[str, str]:
    return {"status": status, "reason": reason(code, text)}


def _binary_reason(path: Path) -> tuple[str, str]:
    """(code, text): why a file of no known format is not text either."""
    from mmkg.ingest.decode import decode

    try:
        with path.open("rb") as file:
            decode(file.read(64 * 1024))
    except LoadError as e:
        return e.code, str(e)
    return "not-text", "of no known format"


@contextlib.contextmanager
def _alarm(seconds: float) -> Iterator[Callable[[], None]]:
    """Ends the process if the block takes too long; what it gives begins the time anew."""
    if not hasattr(signal, "setitimer"):
        yield lambda: None
        return

    def begin() -> None:
        # The default action ends the process even inside native code.
        signal.setitimer(signal.ITIMER_REAL, STARVED * seconds + _ALARM_SLACK_S)

    begin()
    try:
        yield begin
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def settings_message(limits: Mapping[str, Any], chunk_characters: int, ocr: bool, sandbox: bool) -> dict[str, Any]:
    """The first message to a parser process."""
    return {"limits": dict(limits), "chunk_characters": chunk_characters, "ocr": ocr, "sandbox": sandbox}


if __name__ == "__main__":
    sys.stdin = None
    with contextlib.suppress(BrokenPipeError, KeyboardInterrupt):
        main()
