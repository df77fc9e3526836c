"""From a question set to files that `add` takes, and back from what is found to the ids of the set.

Every passage is one document and every picture one file, added in an order drawn with a seed: published corpora come in the
order of their questions, and an order that reaches a graph would leak the answers.
"""

from __future__ import annotations

import hashlib
import io
import random
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mmkg.errors import ConfigError, LoadError
from mmkg.evaluate.datasets import Dataset, Passage, Picture

PROTOCOLS: Mapping[str, tuple[str, ...]] = {
    "text": ("shuffled", "ordered", "no-titles"),
    "pictures": ("pixels", "caption1+pixels"),
    "pages": ("within-document", "all-pages"),
}
"""What a protocol may be called, by the kind of the corpus; the first is the default.

shuffled, ordered: the order in which passages are added. no-titles: shuffled, each passage as its bare text. pixels,
caption1+pixels: whether the first caption of a picture is written into its file's properties. within-document, all-pages:
whether a page competes with those of its own file only.
"""
_OTHER_NAMES = {"document": "within-document", "within": "within-document", "all": "all-pages", "pages": "all-pages",
                "untitled": "no-titles", "captions": "caption1+pixels", "caption+pixels": "caption1+pixels"}  # fmt: skip

Items = npt.NDArray[np.int64]


def kind_of(dataset: Dataset) -> str:
    """ "pages" if PDF files are in it, "pictures" if pictures, else "text"; the kind says which protocols there are."""
    return "pages" if dataset.files else "pictures" if dataset.pictures else "text"


def protocol_of(dataset: Dataset, name: str | None) -> str:
    """The protocol's name in full; the default of the corpus for None. Raises ConfigError for one that does not fit."""
    known = PROTOCOLS[kind_of(dataset)]
    if name is None:
        # Published sets of text and pictures together have their words with the pictures, and are meant so.
        return known[1] if dataset.pictures and dataset.passages else known[0]
    wanted = name.strip().lower().replace("_", "-").replace(" ", "-")
    wanted = _OTHER_NAMES.get(wanted, wanted)
    if wanted not in known:
        raise ConfigError(f"protocol {name!r} does not fit {dataset.name}", hint=f"known here: {', '.join(known)}")
    return wanted


@dataclass(frozen=True, slots=True)
class Source:
    """One file of the corpus: its name and bytes, or where it lies. ids: what it stands for; pages: whether each is a page."""

    name: str
    data: bytes | None
    file: Path | None
    ids: tuple[str, ...]
    pages: bool = False


def sources(dataset: Dataset, protocol: str, seed: int) -> Iterator[Source]:
    """The files of the corpus, in the order in which they are added. Passages of equal bytes share one source's document.

    Raises LoadError for a picture that cannot be read.
    """
    order = list(range(len(dataset.passages)))
    if protocol != "ordered":
        random.Random(seed).shuffle(order)
    for place, i in enumerate(order):
        passage = dataset.passages[i]
        title = "" if protocol == "no-titles" else passage.title
        yield Source(f"{place:06d}.md", rendered(replace(passage, title=title)), None, (passage.id,))
    for picture in dataset.pictures:
        words = picture.captions[0] if picture.captions and protocol != "pixels" else ""
        if picture.data is None and not words:
            yield Source(picture.file.name, None, picture.file, (picture.id,))
        else:
            name, data = captioned(picture, words)
            yield Source(name, data, None, (picture.id,))
    for file in dataset.files:
        yield Source(file.file.name, None, file.file, file.pages, pages=True)


def rendered(passage: Passage) -> bytes:
    """A passage as a Markdown file: its title as heading, then its text."""
    title = " ".join(passage.title.split())
    text = f"# {title}\n\n{passage.text}\n" if title else f"{passage.text}\n"
    return text.encode("utf-8", "replace")


def captioned(picture: Picture, words: str) -> tuple[str, bytes]:
    """(file name, bytes) of a picture with words in its description property; the pixels stay what they are.

    A JPEG gets an EXIF block without being encoded again; any other format becomes a PNG. Raises LoadError.
    """
    data = picture.read()
    stem = Path(picture.file.name).stem
    if data[:3] == b"\xff\xd8\xff":
        return f"{stem}.jpg", _with_exif(data, words) if words else data
    from PIL import Image, PngImagePlugin

    info = PngImagePlugin.PngInfo()
    if words:
        info.add_itxt("Description", words)
    out = io.BytesIO()
    try:
        with Image.open(io.BytesIO(data)) as image:
            image.save(out, "PNG", pnginfo=info)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as e:
        raise LoadError(f"{picture.file.name} is not a picture: {e}", path=picture.file) from e
    return f"{stem}.png", out.getvalue()


def _with_exif(jpeg: bytes, words: str) -> bytes:
    """The JPEG with an EXIF block of one entry, ImageDescription, put after its first marker."""
    text = words.encode("utf-8")[:4000] + b"\0"
    directory = struct.pack("<HHHIII", 1, 0x010E, 2, len(text), 26, 0)
    block = b"Exif\0\0" + b"II*\0" + struct.pack("<I", 8) + directory + text
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + jpeg[2:]


class Catalogue:
    """Which ids of the set a document stands for. Items are numbers of ids, equal passages being one item."""

    def __init__(self, listed: Sequence[tuple[str, Source]]) -> None:
        """listed: (sha256 of the bytes, source), as given by `catalogue`."""
        self.item_of: dict[str, int] = {}
        """Id of the set -> its item."""
        self.owner: list[str] = []
        """For each item the document it lies in."""
        self.by_document: dict[str, tuple[int, ...]] = {}
        """sha256 of a document -> its items: one, or one a page."""
        self.document_of: dict[str, str] = {}
        """Id of the set -> sha256 of its document."""
        for document, source in listed:
            known = self.by_document.get(document)
            if known is None:
                known = tuple(range(len(self.owner), len(self.owner) + (len(source.ids) if source.pages else 1)))
                self.by_document[document] = known
                self.owner += [document] * len(known)
            for name, item in zip(source.ids, known if source.pages else known * len(source.ids), strict=True):
                self.item_of[name] = item
                self.document_of[name] = document

    def items(self, document: str, page: int | None) -> int:
        """The item of a unit: of its page (from 1) where the document has pages, -1 if it stands for none."""
        held = self.by_document.get(document, ())
        if len(held) <= 1:
            return held[0] if held else -1
        return held[page - 1] if page is not None and 1 <= page <= len(held) else -1

    def gold(self, ids: Sequence[str]) -> tuple[list[int], int]:
        """The items of gold ids, and how many ids are not in the corpus; these get numbers that nothing has."""
        found = [self.item_of.get(name, -2 - i) for i, name in enumerate(ids)]
        return list(dict.fromkeys(found)), sum(i < -1 for i in found)


def catalogue(dataset: Dataset, protocol: str, seed: int) -> tuple[Catalogue, list[tuple[str, Source]]]:
    """The catalogue of a set and (sha256, source) of every file of its corpus. Raises LoadError."""
    listed = []
    for source in sources(dataset, protocol, seed):
        listed.append((_digest(source), source))
    return Catalogue(listed), listed


def _digest(source: Source) -> str:
    if source.data is not None:
        return hashlib.sha256(source.data).hexdigest()
    assert source.file is not None
    try:
        with source.file.open("rb") as f:
            return hashlib.file_digest(f, "sha256").hexdigest()
    except OSError as e:
        raise LoadError(f"cannot read {source.file}: {e.strerror or e}", path=source.file) from e
