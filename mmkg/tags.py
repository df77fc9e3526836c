"""Tags: what a user says of a document (`project=x`). They are part of its facts, beside the properties found in the file.

So they enter the digest, travel with copies and backups, and survive a rebuild. They belong to the document: two files with the same
bytes share them, and a file whose bytes change hands them on to what replaces it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping

from mmkg.errors import FilterError
from mmkg.types import TAG_PREFIX, tags_of

_NAME = re.compile(r"\w[\w.-]{0,59}")
LONGEST = 300
"""Characters of a tag's value."""


def parse_tags(given: Iterable[str] | Mapping[str, str]) -> dict[str, str]:
    """Tags from "name=value" texts, or checked as they are. Raises FilterError, which names the one that is wrong.

    >>> parse_tags(["project=apollo", "year = 1969"])
    {'project': 'apollo', 'year': '1969'}
    """
    pairs = given.items() if isinstance(given, Mapping) else [_split(text) for text in given]
    out = {}
    for name, value in pairs:
        name, value = unicodedata.normalize("NFC", name.strip()), " ".join(str(value).split())
        if not _NAME.fullmatch(name):
            raise FilterError(
                f"{name!r} cannot be the name of a tag",
                hint="use letters, digits, _, - and . (at most 60), as in project=x",
            )
        if not value or len(value) > LONGEST or any(unicodedata.category(c)[0] == "C" for c in value):
            raise FilterError(f"the tag {name} needs a value of 1 to {LONGEST} printable characters")
        out[name] = unicodedata.normalize("NFC", value)
    return out


def _split(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise FilterError(f"cannot read the tag {text!r}", hint="write NAME=VALUE, as in project=x")
    return name, value


def with_tags(meta: Mapping[str, str], put: Mapping[str, str], drop: Iterable[str] = ()) -> dict[str, str]:
    """The properties of a document with its tags changed: some put, some dropped, the others as they were.

    >>> with_tags({"author": "Ada", "tag:a": "1"}, {"b": "2"}, ["a"])
    {'author': 'Ada', 'tag:b': '2'}
    """
    gone = set(drop)
    tags = {name: value for name, value in {**tags_of(meta), **put}.items() if name not in gone}
    own = {key: value for key, value in meta.items() if not key.startswith(TAG_PREFIX)}
    return dict(sorted({**own, **{TAG_PREFIX + name: value for name, value in tags.items()}}.items()))
