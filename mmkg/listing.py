"""Which files `add` looks at, and where a source lies."""

from __future__ import annotations

import fnmatch
import glob as globbing
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from urllib.parse import quote, urlsplit
from urllib.request import url2pathname

from mmkg.errors import NotFoundError

IGNORED = (".*", "__pycache__", "node_modules", "*~", "~$*", "Thumbs.db", "desktop.ini")
"""Names that a folder's listing leaves out; a file named outright is always looked at."""


def find_files(paths: Iterable[str | Path], *, ignore: Sequence[str] = (), skip: Path | None = None) -> list[Path]:
    """Files named by paths, folders (recursively) and glob patterns, sorted, each once.

    ignore: shell patterns matched against each name and against the path below the folder. skip: a folder that is left
    out (the base itself). Raises NotFoundError for a path that is not there.
    """
    out: dict[Path, None] = {}
    for item in paths:
        path = Path(item)
        if path.is_dir():
            found: Iterable[Path] = _walk(path, (*IGNORED, *ignore), skip)
        elif path.exists() or path.is_symlink():
            found = [path]
        elif any(c in str(item) for c in "*?["):
            hits = [Path(p) for p in sorted(globbing.glob(str(item), recursive=True))]
            if not hits:
                raise NotFoundError(f"no file matches {item}")
            found = [f for p in hits for f in (_walk(p, (*IGNORED, *ignore), skip) if p.is_dir() else [p])]
        else:
            raise NotFoundError(f"{item} does not exist")
        for p in found:
            out[Path(os.path.abspath(p))] = None
    return sorted(out)


def _walk(folder: Path, ignore: Sequence[str], skip: Path | None) -> Iterator[Path]:
    skipped = os.path.abspath(skip) if skip else None
    for root, folders, files in os.walk(folder):
        below = os.path.relpath(root, folder)

        def kept(name: str, below: str = below) -> bool:
            relative = name if below == "." else f"{below}/{name}".replace(os.sep, "/")
            return not any(fnmatch.fnmatch(name, p) or fnmatch.fnmatch(relative, p) for p in ignore)

        folders[:] = sorted(f for f in folders if kept(f) and os.path.abspath(os.path.join(root, f)) != skipped)
        for name in sorted(files):
            if kept(name):
                yield Path(root) / name


RECORDINGS = frozenset(
    f".{s}"
    for s in [
        "wav",
        "flac",
        "mp3",
        "ogg",
        "oga",
        "opus",
        "m4a",
        "aac",
        "aif",
        "aiff",
        "mp4",
        "m4v",
        "mov",
        "mkv",
        "webm",
        "avi",
        "ogv",
    ]
)
SUBTITLES = (".srt", ".vtt")
MOST_SUBTITLES = 4 * 2**20
"""Bytes."""


def subtitles_of(path: Path) -> Path | None:
    """The subtitle file that belongs to a recording: of the same name, in the same folder. SubRip before WebVTT.

    What is larger than MOST_SUBTITLES is no subtitle file.
    """
    if path.suffix.lower() not in RECORDINGS:
        return None
    for suffix in SUBTITLES:
        for name in (path.with_suffix(suffix), path.with_suffix(suffix.upper())):
            if name.is_file() and name.stat().st_size <= MOST_SUBTITLES:
                return name
    return None


def recording_of(path: Path) -> Path | None:
    """The recording that a subtitle file belongs to, the first by name, or None."""
    if path.suffix.lower() not in SUBTITLES:
        return None
    beside = sorted(path.parent.glob(f"{globbing.escape(path.stem)}.*"))
    return next((p for p in beside if subtitles_of(p) is not None), None)


INSIDE = "!/"
"""Between an archive's URI and the name of a member. A "!" of a name is written %21, so it stands nowhere else."""


def member_uri(archive: str, name: str) -> str:
    """URI of a member of an archive.

    >>> member_uri("file:///a.zip", "1962/Wow! & so on.pdf")
    'file:///a.zip!/1962/Wow%21%20%26%20so%20on.pdf'
    """
    return archive + INSIDE + quote(name, safe="/", errors="surrogatepass")


def source_uri(name: str) -> str:
    """URI of what a user names: a URI as it is, or a path; letters.zip!/gale.pdf is a file in an archive.

    A file whose own name ends with "!" in its folder is meant rather than an archive, where it is there.
    """
    if "://" in name or name.startswith("text:"):
        return name
    archive, inside, member = name.partition(INSIDE)
    if inside and not os.path.exists(name):
        return member_uri(Path(os.path.abspath(archive)).as_uri(), member)
    return Path(os.path.abspath(name)).as_uri()


def ending(name: str) -> str:
    """What a user gives as the end of a path, as it stands in a URI."""
    return INSIDE.join(quote(part, errors="surrogatepass") for part in name.split(INSIDE))


def path_of(uri: str) -> Path:
    """The file of a source; of a member of an archive, the outermost archive."""
    if uri.startswith("file:"):
        uri = uri.partition(INSIDE)[0]
    return Path(url2pathname(urlsplit(uri).path) if uri.startswith("file:") else uri)


def weight(path: Path) -> float:
    """How much of the work a file is likely to be, for the time left: its size, within bounds, and something for itself."""
    try:
        return 20_000.0 + min(path.stat().st_size, 500_000)
    except OSError:
        return 20_000.0
