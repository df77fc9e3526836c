"""Archives and messages on their way in: their members become files of a private temporary folder, each with a source of its own.

The bytes come out of a fenced process (ingest.unpack_worker) piece by piece and lie under names of ours, next to each other where
they lay next to each other, so that a recording still finds its subtitles.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from mmkg.config import Settings
from mmkg.errors import LoadError, MMKGError
from mmkg.ingest import wire
from mmkg.ingest.child import Child
from mmkg.ingest.ondemand import ChildOnDemand
from mmkg.ingest.unpack import LONGEST_NAME, Member, leads_outside
from mmkg.listing import INSIDE, member_uri
from mmkg.reasons import LONGEST, code_of, fits, reason

TOGETHER = 256 * 2**20
"""Bytes: small archives are unpacked side by side up to this, and parsed together."""
_SUFFIX = re.compile(r"\.[A-Za-z0-9]{1,10}")


@dataclass(slots=True)
class Budget:
    """What is left to an outermost container and all inside it."""

    n_bytes: int
    members: int

    @classmethod
    def of(cls, settings: Settings) -> Budget:
        """That of a container that nothing has been taken out of."""
        return cls(settings.limits.expanded_bytes, settings.limits.members)


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """A file whose members are to be taken out. depth: containers around it."""

    path: Path
    uri: str
    media_type: str
    mtime_ns: int
    depth: int
    budget: Budget


@dataclass(slots=True)
class Unpacked:
    """What was taken out of a container. files: path of ours -> URI. refused: members that were not taken out, by URI.

    trouble: why the container could not be read to its end, "" if it could.
    """

    files: dict[Path, str] = field(default_factory=dict)
    refused: dict[str, tuple[str, str]] = field(default_factory=dict)
    n_bytes: int = 0
    trouble: str = ""

    @property
    def status(self) -> str:
        """skipped (its members are the documents), or what became of a container that could not be read."""
        return next(
            s
            for s in ("skipped", "rejected", "failed")
            if (s == "skipped" and not self.trouble) or fits(s, self.trouble)
        )

    def gone(self, container: str, before: Iterable[str]) -> list[str]:
        """Of the sources that were inside a container before, those whose member of it is no longer there.

        What lies in a member that is itself a container is judged when that is opened.
        """
        here = {*self.files.values(), *self.refused}
        start = len(container) + len(INSIDE)
        return [u for u in before if container + INSIDE + u[start:].partition(INSIDE)[0] not in here]


class Unpacker(ChildOnDemand):
    """Started at first use; a context manager. One container at a time."""

    module = "mmkg.ingest.unpack_worker"

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._folders = 0

    def unpack(self, container: Container, folder: Path) -> Unpacked:
        """Take the members of a container out into a new folder inside `folder`. What goes wrong is in the result."""
        self._folders += 1
        target = folder / str(self._folders)
        target.mkdir()
        out = Unpacked()
        names = _Names(target)
        try:
            for member, pieces in self._members(container):
                uri = member_uri(container.uri, member.name)
                container.budget.members -= 1
                if member.status:
                    out.refused[uri] = member.status, member.reason
                    continue
                path = names.path(member.name)
                try:
                    with path.open("xb") as file:
                        for piece in pieces:
                            container.budget.n_bytes -= len(piece)
                            if container.budget.n_bytes < 0:
                                raise LoadError("unpacks to more than its directory says", code="expanded_bytes")
                            file.write(piece)
                            out.n_bytes += len(piece)
                except _MemberError as e:
                    path.unlink()
                    out.refused[uri] = "rejected", str(e)
                    continue
                # A member is as old as its archive: what was read when is judged by bytes, never by this.
                os.utime(path, ns=(container.mtime_ns, container.mtime_ns))
                out.files[path] = uri
        except OSError as e:  # not the archive's fault: no room in the temporary folder, or the file went
            self.close()
            out.trouble = reason("unreadable", f"cannot be unpacked: {e.strerror or e}")
        except (MMKGError, ValueError, KeyError, TypeError, wire.WireError, _MemberError) as e:
            expired = self._child is not None and self._child.expired
            self.close()
            code = "seconds" if expired else e.code if isinstance(e, LoadError) else "crash"
            out.trouble = reason(code, "unpacking took too long" if expired else str(e))
        return out

    def _members(self, container: Container) -> Iterator[tuple[Member, Iterator[bytes]]]:
        child = self.started()
        ask = {
            "path": str(container.path),
            "media_type": container.media_type,
            "most_bytes": container.budget.n_bytes,
            "most_members": container.budget.members,
        }
        self.send(ask, container.path)
        while "member" in (answer := self._receive(child)[0]):
            member = _checked(answer)
            if container.budget.members <= 0:
                raise LoadError("the unpacking process gave more members than it may", code="members")
            pieces = self._pieces(child)
            yield member, pieces
            for _ in pieces:  # what its user left over
                pass

    def _pieces(self, child: Child) -> Iterator[bytes]:
        while True:
            answer, blobs = self._receive(child)
            if "piece" in answer:
                yield from blobs
                continue
            if "end" not in answer:
                raise LoadError("the unpacking process sent a broken answer", code="crash")
            if why := str(answer["reason"]):
                raise _MemberError(why if fits("rejected", why) else reason("damaged", "it cannot be unpacked"))
            return

    def _receive(self, child: Child) -> tuple[dict[str, Any], list[bytes]]:
        with child.deadline(self.settings.limits.seconds):
            received = child.answer()
        if received is None:
            raise LoadError("the unpacking process died of it", code="seconds" if child.expired else "crash")
        if "error" in received[0]:
            why = str(received[0]["error"])[:LONGEST]
            raise LoadError(why, code=code_of(why) if fits("rejected", why) else "damaged")
        return received


class _MemberError(Exception):
    """A member is damaged; its text is the reason."""


class _Names:
    """Names of ours for members: a number for each (folder, stem), with the member's own extension if it is a plain one."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers: dict[tuple[str, str], int] = {}
        self._taken: set[str] = set()

    def path(self, name: str) -> Path:
        pure = PurePosixPath(name)
        suffix = pure.suffix if _SUFFIX.fullmatch(pure.suffix) else ""
        number = self._numbers.setdefault((str(pure.parent), pure.stem), len(self._numbers))
        ours = f"{number:06}{suffix}"
        if ours in self._taken:  # "a" and "a.~~": the stem is known, the extension is none we keep
            ours = f"{self._numbers.setdefault((name, ''), len(self._numbers)):06}-{suffix}"
        self._taken.add(ours)
        return self._folder / ours


def _checked(answer: dict[str, Any]) -> Member:
    """What the process says of a member: it has read a stranger's file, so it is not trusted."""
    name, status, why = (answer[k] for k in ("member", "status", "reason"))
    if not all(isinstance(v, str) for v in (name, status, why)) or len(name) > LONGEST_NAME:
        raise LoadError("the unpacking process sent a broken answer", code="crash")
    if status and (status not in ("rejected", "skipped") or not fits(status, why) or not why):
        raise LoadError("the unpacking process sent a broken answer", code="crash")
    if not status and leads_outside(name):
        raise LoadError("the unpacking process sent a broken answer", code="crash")
    return Member(name=name, status=status, reason=why)


def batches(
    waiting: list[Container], unpack: Callable[[Container], Unpacked]
) -> Iterator[list[tuple[Container, Unpacked]]]:
    """Containers unpacked side by side, up to about TOGETHER bytes at once; empties `waiting`."""
    while waiting:
        batch: list[tuple[Container, Unpacked]] = []
        size = 0
        while waiting and size < TOGETHER:
            container = waiting.pop(0)
            batch.append((container, unpack(container)))
            size += batch[-1][1].n_bytes
        yield batch
