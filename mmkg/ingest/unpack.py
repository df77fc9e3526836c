"""What lies inside a ZIP archive or an e-mail message: each member's name, and its bytes in pieces. Runs in the unpacking process.

Sizes are checked against the archive's directory before anything is unpacked, and again while it is read. A name is only ever a
name: nothing is written under it.
"""

from __future__ import annotations

import email
import email.policy
import fnmatch
import re
import stat
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from typing import BinaryIO

from mmkg.config import Limits
from mmkg.errors import LimitExceededError, LoadError
from mmkg.ingest.docx_parts import MAX_RATIO, RATIO_FROM
from mmkg.ingest.message import MESSAGE, attachments
from mmkg.listing import IGNORED
from mmkg.reasons import reason

ZIP = "application/zip"
ARCHIVE = "each file in it is a document of its own"
DEEPEST = 3
"""Containers inside each other that are opened; the members of a deeper one are not looked at."""
PIECE = 1 << 20
LONGEST_NAME = 1_000

_IGNORED = (*IGNORED, "__MACOSX")
_DRIVE = re.compile(r"^[A-Za-z]:")
_BROKEN = (zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, KeyError, NotImplementedError, RuntimeError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One entry. name: its path inside, with "/". status, reason: why it is not taken out, "" if it is."""

    name: str
    status: str = ""
    reason: str = ""


def leads_outside(name: str) -> bool:
    """Whether a name is no plain path below its archive: absolute, with a drive, with "..", or longer than any file's.

    >>> [leads_outside(n) for n in ("a/b.txt", "../b.txt", "/etc/passwd", "C:/x", "a//b")]
    [False, True, True, True, True]
    """
    return (
        not name
        or len(name) > LONGEST_NAME
        or bool(_DRIVE.match(name))
        or any(part in ("", ".", "..") for part in name.split("/"))
    )


def open_members(
    file: BinaryIO, media_type: str, limits: Limits, *, most_bytes: int, most_members: int
) -> Iterator[tuple[Member, Iterator[bytes]]]:
    """Each member with its bytes in pieces, in the order of their names; the pieces are to be used up before the next.

    most_bytes, most_members: what is left to the outermost container. A member that is not taken out has no pieces.
    Raises LoadError for a container that cannot be read, LimitExceededError ("members", "expanded_bytes") before it is
    unpacked; the iterator of pieces raises LoadError for a damaged member.
    """
    if media_type == MESSAGE:
        return _in_message(file, limits, most_bytes, most_members)
    return _in_zip(file, limits, most_bytes, most_members)


def _in_zip(
    file: BinaryIO, limits: Limits, most_bytes: int, most_members: int
) -> Iterator[tuple[Member, Iterator[bytes]]]:
    try:
        archive = zipfile.ZipFile(file)
    except _BROKEN as e:
        raise LoadError("the zip container is damaged or cut short") from e
    with archive:
        entries = {name: info for info in archive.infolist() if (name := _name(info)) and not info.is_dir()}
        _within(len(entries), sum(e.file_size for e in entries.values()), most_members, most_bytes)
        for name in sorted(entries):
            info = entries[name]
            refused = _refused(name, info, limits)
            yield (refused, iter(())) if refused else (Member(name=name), _pieces(archive, info))


def _name(info: zipfile.ZipInfo) -> str:
    """The entry's name with "/", "" for what a listing of a folder would leave out."""
    name = info.filename.replace("\\", "/")
    while name.startswith("./"):
        name = name[2:]
    hidden = any(fnmatch.fnmatch(part, pattern) for part in name.split("/") for pattern in _IGNORED if part != "..")
    return "" if hidden else name


def _within(n: int, size: int, most_members: int, most_bytes: int) -> None:
    if n > most_members:
        raise LimitExceededError("members", f"{n} members; {most_members} are left of limits.members")
    if size > most_bytes:
        raise LimitExceededError("expanded_bytes", f"unpacks to {size} bytes; {most_bytes} may be unpacked")


def _refused(name: str, info: zipfile.ZipInfo, limits: Limits) -> Member | None:
    if leads_outside(name):
        return _not(name[:LONGEST_NAME], "rejected", "member", "its name leads outside the archive")
    if stat.S_ISLNK(info.external_attr >> 16):
        return _not(name, "skipped", "not-a-file", "a link, which is not followed")
    if info.flag_bits & 0x1:
        return _not(name, "rejected", "encrypted", "needs a password")
    if info.file_size > limits.bytes:
        return _not(name, "rejected", "bytes", f"it has {info.file_size} bytes, at most {limits.bytes} are allowed")
    if info.file_size >= RATIO_FROM and info.file_size > MAX_RATIO * max(1, info.compress_size):
        fold = info.file_size // max(1, info.compress_size)
        return _not(name, "rejected", "expanded_bytes", f"expands {fold}-fold; the limit is {MAX_RATIO}")
    return None


def _not(name: str, status: str, code: str, text: str) -> Member:
    return Member(name=name, status=status, reason=reason(code, text))


def _pieces(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Iterator[bytes]:
    try:
        with archive.open(info) as stream:
            while piece := stream.read(PIECE):
                yield piece
    except _BROKEN as e:
        raise LoadError(f"damaged in its archive: {str(e)[:100]}") from e


def _in_message(
    file: BinaryIO, limits: Limits, most_bytes: int, most_members: int
) -> Iterator[tuple[Member, Iterator[bytes]]]:
    parsed = email.message_from_binary_file(file, policy=email.policy.default)
    assert isinstance(parsed, EmailMessage)
    parts = attachments(parsed)
    names = _distinct([p.name for p in parts])
    by_name = {}
    for name, part in zip(names, parts, strict=True):
        by_name[name] = part.content()
    _within(len(by_name), sum(map(len, by_name.values())), most_members, most_bytes)
    for name, data in sorted(by_name.items()):
        if len(data) > limits.bytes:
            yield (
                _not(name, "rejected", "bytes", f"it has {len(data)} bytes, at most {limits.bytes} are allowed"),
                iter(()),
            )
        else:
            yield Member(name=name), (data[a : a + PIECE] for a in range(0, len(data), PIECE))


def _distinct(names: Sequence[str]) -> list[str]:
    """The names, a repeated one with its number: a.pdf, a (2).pdf.

    >>> _distinct(["a.pdf", "b", "a.pdf", "b"])
    ['a.pdf', 'b', 'a (2).pdf', 'b (2)']
    """
    seen: dict[str, int] = {}
    out: list[str] = []
    taken = set(names)
    for name in names:
        seen[name] = n = seen.get(name, 0) + 1
        stem, dot, extension = name.rpartition(".")
        while n > 1:
            numbered = f"{stem} ({n}){dot}{extension}" if stem else f"{name} ({n})"
            if numbered not in taken:
                taken.add(numbered)
                name = numbered
                break
            n += 1
        out.append(name)
    return out


def has_members(media_type: str, meta: Mapping[str, str]) -> bool:
    """Whether a document (its media type and properties) is a container whose members are documents of their own."""
    return media_type == MESSAGE and "attachments" in meta
