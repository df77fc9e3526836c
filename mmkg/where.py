"""Filters of a search: what they mean, and how they read. Nothing here looks into a base (mmkg.filtering does).

A condition is FIELD OPERATOR VALUE, as in `kind=pdf`, `date>=2020`, `author~lovelace`, `tag:project=x|y`; docs/search.md has the
grammar. Several conditions must all hold; values parted by | are alternatives.
"""

from __future__ import annotations

import dataclasses
import fnmatch
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from email.utils import parsedate_tz
from urllib.parse import unquote

from mmkg.algorithms.names import fold
from mmkg.errors import FilterError
from mmkg.types import TAG_PREFIX, Modality

OPERATORS = ("!=", ">=", "<=", "=", "~", ">", "<")
FIELDS = ("kind", "modality", "document", "date", "lang")
"""Fields with a meaning of their own; `tag:NAME` is a tag, and every other name a property found inside the file."""

UNIT_KINDS = ("text", "table", "code", "formula", "image", "figure", "page", "frame", "audio", "video")
FILE_KINDS: Mapping[str, tuple[str, ...]] = {
    "pdf": ("application/pdf",),
    "docx": ("application/vnd.openxmlformats-officedocument.wordprocessingml.document",),
    "pptx": ("application/vnd.openxmlformats-officedocument.presentationml.presentation",),
    "xlsx": ("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",),
    "markdown": ("text/markdown",),
    "html": ("text/html", "application/xhtml+xml"),
    "plain": ("text/plain",),
    "csv": ("text/csv", "text/tab-separated-values"),
    "json": ("application/json", "application/jsonl"),
    "source": ("text/x-source",),
    "epub": ("application/epub+zip",),
    "email": ("message/rfc822",),
    "picture": ("image/*",),
    "recording": ("audio/*", "video/*"),
}
"""Words for the type of a file; a media type (`kind=image/png`) and a suffix (`kind=.txt`) say it exactly."""
DATE_PROPERTIES = ("date", "created", "published", "modified")
"""Where a document's date comes from: the first of these properties that can be read as one."""

_CONDITION = re.compile(
    r"\s*(?P<not>!|not\s+)?(?P<field>[^=!<>~|]+?)\s*(?:(?P<op>!=|>=|<=|=|~|>|<)\s*(?P<value>.*?))?\s*", re.S
)
_DATE = re.compile(r"(\d{4})(?:[-:/.](\d{1,2})(?:[-:/.](\d{1,2}))?)?")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")

Days = tuple[date, date]
"""First and last day of what a date names: a day, a month or a year."""
Given = str | Iterable[str] | Mapping[str, str | Sequence[str]]
"""Conditions as a caller may write them: one, several, or {field: value}, where a value may begin with an operator."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What is known of a document that a condition may ask for. meta: its properties; tags lie among them."""

    id: str
    name: str
    media_type: str
    uris: tuple[str, ...] = ()
    meta: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One condition. op: of OPERATORS, or "" for "has the property". negated: what the rest says must not hold."""

    field: str
    op: str = ""
    values: tuple[str, ...] = ()
    negated: bool = False

    def __str__(self) -> str:
        return f"{'!' if self.negated else ''}{self.field}{self.op}{'|'.join(self.values)}"

    @property
    def of_units(self) -> bool:
        """Whether it may hold for one unit of a document and not for another."""
        return self.field in ("kind", "modality", "lang")

    @property
    def property(self) -> str:
        """The property that it asks for, "" if it is about something else."""
        return "" if self.field in FIELDS else self.field

    def holds_for(self, profile: Profile) -> bool:
        """Whether it holds for a document; for a condition `of_units` use the parts below. Negation is counted in."""
        if self.field == "document":
            found = any(_names(v, profile) for v in self.values)
        elif self.field == "date":
            days = date_of(profile.meta)
            found = days is not None and (not self.op or any(_in_time(days, self.op, v) for v in self.values))
        else:
            held = profile.meta.get(self.field)
            found = held is not None and (not self.op or any(_compares(held, self.op, v) for v in self.values))
        return found != self.negated

    def unit_kinds(self) -> tuple[str, ...]:
        """Of a condition on `kind`: the kinds of units that it names."""
        return tuple(v for v in self.values if v in UNIT_KINDS)

    def is_file_kind(self, profile: Profile) -> bool:
        """Of a condition on `kind`: whether one of its values is the document's type of file. Negation is not counted in."""
        for value in self.values:
            types = FILE_KINDS.get(value, (value,) if "/" in value else ())
            if any(fnmatch.fnmatchcase(profile.media_type, t) for t in types):
                return True
            if value.startswith(".") and any(u.casefold().endswith(value) for u in profile.uris):
                return True
        return False


def parse(given: Given | None) -> tuple[Condition, ...]:
    """Conditions from what a caller wrote. Raises FilterError, which says what is wrong with which of them.

    >>> [str(c) for c in parse(["kind=pdf|docx", "tag:project = x", "!author"])]
    ['kind=pdf|docx', 'tag:project=x', '!author']
    >>> [str(c) for c in parse({"date": ">=2020", "kind": ["pdf", "docx"]})]
    ['date>=2020', 'kind=pdf|docx']
    """
    if given is None:
        return ()
    if isinstance(given, str):
        return (_condition(given),)
    if isinstance(given, Mapping):
        return tuple(_condition(_written(field, value)) for field, value in given.items())
    return tuple(_condition(text) for text in given)


def _written(field: str, value: str | Sequence[str]) -> str:
    if not isinstance(value, str):
        return f"{field}={'|'.join(value)}"
    return f"{field}{value}" if value.startswith(OPERATORS) else f"{field}={value}"


def _condition(text: str) -> Condition:
    if not isinstance(text, str) or not (found := _CONDITION.fullmatch(text)):
        raise FilterError(f"cannot read the filter {text!r}", hint="write FIELD=VALUE, as in kind=pdf or date>=2020")
    op, negated = found["op"] or "", bool(found["not"])
    name = found["field"].strip()
    field = name if name.startswith(TAG_PREFIX) else fold(name)
    field = field.removeprefix("property:").strip()
    if field == "language":
        field = "lang"
    if field.startswith("tag") and field.removeprefix("tag").strip(": ") == "":
        raise FilterError(f"the filter {text!r} names no tag", hint="write tag:NAME=VALUE")
    values = tuple(v for v in (part.strip().strip("\"'") for part in (found["value"] or "").split("|")) if v)
    if op and not values:
        raise FilterError(f"the filter {text!r} has no value after {op}", hint=f"write {field}{op}VALUE")
    if op == "!=":
        op, negated = "=", not negated
    _check(text, field, op, values)
    if field in ("kind", "modality", "lang"):
        values = tuple(fold(v) for v in values)
    return Condition(field=field, op=op, values=values, negated=negated)


def _check(text: str, field: str, op: str, values: Sequence[str]) -> None:
    """Raises FilterError for a value that the field cannot have."""
    if field in ("kind", "modality", "lang", "document") and op != "=":
        raise FilterError(f"the filter {text!r}: {field} knows only = and !=", hint=f"write {field}=VALUE")
    for value in values:
        if field == "modality" and fold(value) not in set(Modality):
            raise FilterError(f"the filter {text!r}: {value} is no modality", hint=f"known: {', '.join(Modality)}")
        if field == "kind" and not (fold(value) in (*UNIT_KINDS, *FILE_KINDS) or "/" in value or value.startswith(".")):
            known = ", ".join((*FILE_KINDS, *UNIT_KINDS))
            raise FilterError(
                f"the filter {text!r}: {value} is no kind", hint=f"known: {known}; a media type; a .suffix"
            )
        if field == "lang" and not re.fullmatch(r"[a-z]{2,3}", fold(value)):
            raise FilterError(f"the filter {text!r}: {value} is no language", hint="write two letters, as in lang=de")
        if field == "date":
            if op == "~":
                raise FilterError(f"the filter {text!r}: a date cannot contain something", hint="use =, <, >, <= or >=")
            parts = value.split("..")
            if len(parts) > 2 or (len(parts) == 2 and op != "=") or not all(map(days_of, parts)):
                raise FilterError(
                    f"the filter {text!r}: {value} is no date", hint="write 2020, 2020-05, 2020-05-17 or 2019..2021"
                )


def days_of(text: str) -> Days | None:
    """The days that a date as programs write it names, or None: ISO, EXIF, mail, and "17 May 2020".

    >>> days_of("2020-02"), days_of("2019:07:21 10:00:00")
    ((datetime.date(2020, 2, 1), datetime.date(2020, 2, 29)), (datetime.date(2019, 7, 21), datetime.date(2019, 7, 21)))
    """
    text = text.strip()
    year = month = day = 0
    if (found := _DATE.match(text)) and not text[found.end() :][:1].isdigit():
        year, month, day = (int(part or 0) for part in found.groups())
    elif spoken := parsedate_tz(text):
        year, month, day = spoken[:3]
    else:
        words = re.findall(r"[a-z]+|\d+", fold(text))
        names = [w for w in words if w[:3] in _MONTHS]
        numbers = [int(w) for w in words if w.isdigit()]
        years = [n for n in numbers if 1000 <= n <= 9999]
        if len(names) != 1 or len(years) != 1 or len(numbers) > 2:
            return None
        year, month = years[0], _MONTHS.index(names[0][:3]) + 1
        day = next((n for n in numbers if n != year), 0)
    try:
        first = date(year, month or 1, day or 1)
        if day:
            return first, first
        after = date(year + 1, 1, 1) if not month or month == 12 else date(year, month + 1, 1)
        return first, after - timedelta(days=1)
    except (ValueError, OverflowError):
        return None


def date_of(meta: Mapping[str, str]) -> Days | None:
    """A document's date, from its properties."""
    for name in DATE_PROPERTIES:
        if (held := meta.get(name)) and (days := days_of(held)):
            return days
    return None


def _in_time(days: Days, op: str, value: str) -> bool:
    first, _, last = value.partition("..")
    start, end = days_of(first), days_of(last or first)
    assert start is not None and end is not None  # checked when it was read
    return _ordered(days, op, (start[0], end[1]))


def _ordered(days: Days, op: str, asked: Days) -> bool:
    if op == "=":
        return asked[0] <= days[0] and days[1] <= asked[1]
    if op == ">=":
        return days[0] >= asked[0]
    if op == ">":
        return days[0] > asked[1]
    return days[1] <= asked[1] if op == "<=" else days[1] < asked[0]


def _compares(held: str, op: str, value: str) -> bool:
    """A property against a value. Words are compared folded; a list ("a, b") is any of its items; * stands for anything."""
    if op in ("=", "~"):
        have, want = fold(held), fold(value)
        if op == "~":
            return want in have
        return any(fnmatch.fnmatchcase(item.strip(), _glob(want)) for item in (have, *re.split(r"[,;]", have)))
    try:
        a, b = float(held), float(value)
    except ValueError:
        mine, asked = days_of(held), days_of(value)
        return mine is not None and asked is not None and _ordered(mine, op, asked)
    return {">": a > b, "<": a < b, ">=": a >= b, "<=": a <= b}[op]


def _glob(text: str) -> str:
    """A pattern in which only * has a meaning."""
    return text.replace("[", "[[]").replace("?", "[?]")


def _names(value: str, profile: Profile) -> bool:
    """Whether a user's word means this document: its id or its beginning, its title, or where it lies."""
    if len(value) >= 6 and profile.id.startswith(value):
        return True
    pattern = _glob(value)
    if fnmatch.fnmatchcase(fold(profile.name), fold(pattern)):
        return True
    for uri in profile.uris:
        path = unquote(uri.partition(":")[2].removeprefix("//"))
        if uri == value or fnmatch.fnmatchcase(path, pattern) or fnmatch.fnmatchcase(path, f"*/{pattern.lstrip('/')}"):
            return True
        if value.endswith("/") and f"/{value.strip('/')}/" in f"/{path}":
            return True
    return False
