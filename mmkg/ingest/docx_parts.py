"""The parts of an office container (DOCX, PPTX, XLSX): checked before reading, parsed as a stream, nothing outside it ever followed."""

from __future__ import annotations

import posixpath
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from mmkg.errors import LimitExceededError, LoadError

REL = "{http://schemas.openxmlformats.org/package/2006/relationships}"

MAX_ENTRIES = 20_000
MAX_RATIO = 200
"""A part of RATIO_FROM bytes or more that expands further than this is a bomb: office XML expands 5 to 30 times."""
RATIO_FROM = 16 * 2**20


@dataclass(frozen=True, slots=True)
class Relation:
    """Where a relation of a part leads: a part inside the container, or "" if it points outside."""

    kind: str
    target: str


class Container:
    """An opened office container or EPUB. Sizes are checked against the directory before anything is read, and again while reading."""

    def __init__(self, path: Path, max_expanded: int) -> None:
        self._path = path
        self._left = max_expanded
        self._max = max_expanded
        try:
            self._zip = zipfile.ZipFile(path)
        except FileNotFoundError as e:
            raise LoadError(f"no such file: {path}", path=path) from e
        except (zipfile.BadZipFile, OSError, ValueError, EOFError, NotImplementedError) as e:
            why = _why_no_zip(path)
            raise LoadError(why, path=path, code="encrypted" if why.startswith("encrypted") else "") from e
        try:
            self._entries = self._checked()
        except BaseException:
            self._zip.close()
            raise

    def __enter__(self) -> Container:
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.close()

    def _checked(self) -> dict[str, zipfile.ZipInfo]:
        entries = self._zip.infolist()
        if len(entries) > MAX_ENTRIES:
            raise self._limit(f"{len(entries)} entries in the container; the limit is {MAX_ENTRIES}")
        if (total := sum(e.file_size for e in entries)) > self._max:
            raise self._limit(f"expands to {total} bytes; the limit is {self._max}")
        for e in entries:
            if e.file_size >= RATIO_FROM and e.file_size > MAX_RATIO * max(1, e.compress_size):
                raise self._limit(f"{e.filename} expands {e.file_size // max(1, e.compress_size)}-fold")
            if e.flag_bits & 0x1:
                raise LoadError(
                    "encrypted: needs a password",
                    path=self._path,
                    hint="save a copy without a password",
                    code="encrypted",
                )
        return {e.filename.lstrip("/"): e for e in entries}

    def _limit(self, message: str) -> LimitExceededError:
        return LimitExceededError("expanded_bytes", message, path=self._path)

    def __contains__(self, name: str) -> bool:
        return name in self._entries

    def size(self, name: str) -> int:
        """Expanded size of a part as the directory states it; reading never gives more."""
        return self._entries[name].file_size

    def read(self, name: str) -> bytes:
        """The bytes of a part. Raises LoadError if it is damaged."""
        with self._open(name) as f:
            try:
                data = f.read()
            except _ZIP_ERRORS as e:
                raise LoadError(f"damaged container: {name} cannot be read", path=self._path) from e
        return self._charge(data)

    def _charge(self, data: bytes) -> bytes:
        # A part may be read again and again through relations: each reading counts.
        self._left -= len(data)
        if self._left < 0:
            raise self._limit(f"its parts expand to more than {self._max} bytes")
        return data

    def _open(self, name: str) -> IO[bytes]:
        try:
            return self._zip.open(self._entries[name])
        except _ZIP_ERRORS as e:
            raise LoadError(f"damaged container: {name} cannot be read", path=self._path) from e

    def tree(self, name: str) -> Any | None:
        """The XML tree of a small part, or None if there is no such part. Raises LoadError if it is no XML."""
        if name not in self:
            return None
        from lxml import etree

        try:
            return etree.fromstring(self.read(name), etree.XMLParser(**_SAFE))
        except etree.XMLSyntaxError as e:
            raise LoadError(f"damaged container: {name} is not valid XML", path=self._path) from e

    def stream(self, name: str, tags: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
        """("start" | "end", element) for the elements of those tags, as the part is read; the caller clears them."""
        from lxml import etree

        with self._open(name) as f:
            try:
                yield from etree.iterparse(_Counted(f, self), events=("start", "end"), tag=tags, **_SAFE)
            except etree.XMLSyntaxError as e:
                raise LoadError(f"damaged container: {name} is not valid XML or ends early", path=self._path) from e
            except _ZIP_ERRORS as e:
                raise LoadError(f"damaged container: {name} cannot be read", path=self._path) from e

    def relations(self, part: str) -> dict[str, Relation]:
        """Relations of a part by id; those that lead outside have no target and are never followed."""
        folder, name = posixpath.split(part)
        tree = self.tree(posixpath.join(folder, "_rels", f"{name}.rels"))
        out: dict[str, Relation] = {}
        for element in () if tree is None else tree.iter(f"{REL}Relationship"):
            target = element.get("Target", "")
            kind = element.get("Type", "").rsplit("/", 1)[-1]
            if element.get("TargetMode") == "External" or "://" in target:
                target = ""
            elif target.startswith("/"):
                target = posixpath.normpath(target).lstrip("/")
            else:
                target = posixpath.normpath(posixpath.join(folder, target))
            out[element.get("Id", "")] = Relation(kind, target if target in self else "")
        return out


_SAFE: dict[str, Any] = {"resolve_entities": False, "no_network": True, "load_dtd": False, "huge_tree": False}
_ZIP_ERRORS = (zipfile.BadZipFile, OSError, EOFError, ValueError, KeyError, NotImplementedError, RuntimeError)


class _Counted:
    """A stream that charges what it gives to the container's limit."""

    def __init__(self, stream: IO[bytes], container: Container) -> None:
        self._stream, self._container = stream, container

    def read(self, size: int = -1) -> bytes:
        return self._container._charge(self._stream.read(size))


def main_part(container: Container, path: Path) -> str:
    """Name of the part that holds the document's body. Raises LoadError if this is no word-processing document."""
    for relation in container.relations("").values():
        if relation.kind == "officeDocument" and relation.target:
            name = relation.target
            break
    else:
        name = "word/document.xml"
    if name not in container or not name.startswith("word/"):
        raise LoadError("not a DOCX: it has no document part", path=path)
    return name


def _why_no_zip(path: Path) -> str:
    try:
        with path.open("rb") as f:
            head = f.read(8)
    except OSError:
        return "the file cannot be read"
    if head.startswith(b"\xd0\xcf\x11\xe0"):
        # An OLE container: either the old .doc format or an encrypted DOCX.
        return "encrypted: needs a password" if b"E\0n\0c\0r\0y\0p\0t\0e\0d\0P\0a\0c\0k" in _first(path) else (
            "old Word format (.doc); save it as .docx"
        )  # fmt: skip
    return (
        "truncated DOCX: its directory is missing" if head.startswith(b"PK") else "not a DOCX: it is no ZIP container"
    )


def _first(path: Path) -> bytes:
    """The parts of an OLE container where its directory of streams may lie."""
    with path.open("rb") as f:
        return f.read(8 * 2**20)
