"""The unpacking process: gives out the members of an archive in pieces, behind the fences of a parser. Run as
`python -m mmkg.ingest.unpack_worker`.

It writes nothing and knows no path: the archive comes as an open file, its members go through the pipe.
"""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import Any, BinaryIO

from mmkg.config import Limits
from mmkg.errors import LoadError
from mmkg.ingest import guard, wire
from mmkg.ingest.serving import begin
from mmkg.ingest.source import open_source
from mmkg.ingest.unpack import open_members
from mmkg.reasons import reason


def main() -> None:
    """Serve until the input ends, or the process that started this one is gone (its id is the last argument)."""
    if (line := begin()) is None:
        return
    requests, answers, limits = line.requests, line.answers, line.limits
    while (received := wire.receive(requests, most=1 << 20)) is not None:
        fd = requests.take() if isinstance(requests, wire.DescriptorStream) else None
        try:
            with open_source(Path(received[0]["path"]), most=limits.bytes, fd=fd) as source:
                guard.allow_memory(limits.memory_for(source.size))
                _unpack(answers, source.file, received[0], limits)
            wire.send(answers, {"done": True})
        except LoadError as e:
            wire.send(answers, {"error": reason(e.code, str(e))})
        except MemoryError:
            wire.send(answers, {"error": reason("memory", "unpacking needs more than it may")})
        except RecursionError:
            wire.send(answers, {"error": reason("nested", "nested too deeply to be unpacked")})
        except Exception as e:  # a stranger's file: the process goes on with the next
            wire.send(answers, {"error": reason("damaged", f"{type(e).__name__}: {str(e)[:200]}")})


def _unpack(answers: BinaryIO, file: BinaryIO, request: dict[str, Any], limits: Limits) -> None:
    members = open_members(
        file,
        request["media_type"],
        limits,
        most_bytes=int(request["most_bytes"]),
        most_members=int(request["most_members"]),
    )
    for member, pieces in members:
        wire.send(answers, {"member": member.name, "status": member.status, "reason": member.reason})
        why = ""
        try:
            for piece in pieces:
                wire.send(answers, {"piece": len(piece)}, [piece])
        except LoadError as e:
            why = reason(e.code, str(e))
        wire.send(answers, {"end": True, "reason": why})


if __name__ == "__main__":
    sys.stdin = None
    with contextlib.suppress(BrokenPipeError, KeyboardInterrupt):
        main()
