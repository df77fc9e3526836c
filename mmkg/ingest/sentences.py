"""Sentences by rule: deterministic, no model, exact spans.

A sentence ends at a terminator (`. ! ?` and their kin) that is not part of an abbreviation, an initial or a number, or
at a line break that is not just a wrapped line (a blank line, a list item, a speaker, a short line). The spans cover
all of the text but white space, in order, without overlap.
"""

from __future__ import annotations

import re
import unicodedata

from mmkg.ingest.words import word_set
from mmkg.types import Span

MAX_CHARACTERS = 600
"""A longer sentence is cut at a clause or at white space: encoders read only so much."""

# After these a full stop is never the end of a sentence.
_NEVER = word_set(
    """mr mrs ms mx messrs dr prof st gen lt col capt cpt cmdr sgt maj adm brig pvt rep sen gov pres rev hon fr mt ft
    fig figs eq eqs no nos vol vols pp ed eds chap sec sect vs cf viz e.g i.e eg ie approx ca al tab ref refs op cit resp
    nr bzw z.b d.h usw vgl mme mlle"""
)
# After these it may be, when what follows looks like the start of a sentence.
_SOMETIMES = word_set(
    """etc inc ltd co corp llc plc bros jr sr u.s u.k u.n e.u u.s.a u.s.s.r a.m p.m b.c a.d b.c.e c.e ph.d m.d b.a m.a d.c
    jan feb mar apr jun jul aug sep sept oct nov dec mon tue tues wed thu thur thurs fri sat sun ave blvd rd dept univ assn
    est min max hr hrs sec secs km lb lbs oz"""
)
# Words that begin sentences far more often than they follow an abbreviation or an initial inside one.
_STARTERS = word_set(
    """the a an this that these those it its he she they we i you his her their our my there here in on at by for from with
    to as if when while after before since because although though however but and or so yet then thus also both each all
    some many most one two no not what who why how where which during under until once only even despite unlike like
    another other such instead meanwhile later today now according several"""
)
# A line that ends in one of these goes on in the next.
_OPEN_ENDED = word_set(
    "a an the of to in on at by for from with and or but as is are was were that which who than into"
)
_TERMINATOR = re.compile(r"(?:[.!?…‽؟।॥]+|\.(?:\s\.){2,})[\"'”’»)\]}*_]*(?=\s|$)|[。！？｡]+[」』”’）】]*", re.UNICODE)
_OPENERS = "\"'“‘«„([{*_¿¡—–-"
_WORD_BEFORE = re.compile(r"[^\W_]+(?:[.'’&-][^\W_]+)*$")
_ENUMERATOR = re.compile(r"\s*[(\[]?(?:\d{1,3}(?:\.\d{1,3})*|[A-Za-z]|[ivxIVX]{1,5})[.)]$")

_BULLET = re.compile(r"\s*(?:[-*+•‣▪◦●○■□–—]\s+|#{1,6}\s|\||>\s)")
_NUMBERED = re.compile(r"\s*(?:\(?\d{1,3}[.)]\s+|\([A-Za-z]{1,4}\)\s+|[a-z][.)]\s+|\[\d{1,3}\]\s)")
_SPEAKER = re.compile(r"\s*[A-Z][\w.'’ -]{0,30}(?:\s?\([^()\n]{1,24}\))?:(?:\s|$)")
_TIMESTAMP = re.compile(r"\s*[\[(<]?\d{1,3}(?::\d{2}){1,3}(?:[.,]\d+)?[\])>]?")
_WRAP_LIMIT = 160  # a longer line was not wrapped by hand, so its line break ends a paragraph


def split_sentences(text: str, start: int = 0, end: int | None = None) -> list[Span]:
    """Spans of the sentences in text[start:end], ascending, stripped of outer white space, each at most MAX_CHARACTERS.

    >>> t = "J. F. Kennedy spoke. The U.S. Congress heard 3.5 hours of it!"
    >>> [t[a:b] for a, b in split_sentences(t)]
    ['J. F. Kennedy spoke.', 'The U.S. Congress heard 3.5 hours of it!']
    """
    end = len(text) if end is None else end
    spans: list[Span] = []
    for a, b in _line_groups(text, start, end):
        for span in _by_terminator(text, a, b):
            spans.extend(cut_long(text, *span, limit=MAX_CHARACTERS))
    return spans


def cut_long(text: str, start: int, end: int, *, limit: int) -> list[Span]:
    """text[start:end] in pieces of at most `limit` characters, cut after a clause, else at white space, else anywhere.

    The pieces are stripped of white space; together they cover everything else.
    """
    out: list[Span] = []
    start, end = trim(text, start, end)
    while end - start > limit:
        cut = _cut_point(text, start, limit)
        a, b = trim(text, start, cut)
        if b > a:
            out.append((a, b))
        start, end = trim(text, cut, end)
    if end > start:
        out.append((start, end))
    return out


def trim(text: str, start: int, end: int) -> Span:
    """The span without white space at its ends."""
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return start, end


def _cut_point(text: str, start: int, limit: int) -> int:
    window = text[start : start + limit + 1]
    for marks in (("; ", ": ", " — ", " – ", ";\n", ":\n"), (", ", ",\n", "，", "、")):
        found = max(
            (window.rfind(m, limit // 2) + len(m) for m in marks if window.rfind(m, limit // 2) >= 0), default=0
        )
        if 0 < found <= limit:
            return start + found
    for at in range(limit, limit // 4, -1):
        if window[at].isspace():
            return start + at
    cut = start + limit
    # Do not part a letter from its combining mark, or an emoji from its joiner or variation selector.
    while cut > start + max(1, limit // 2) and (_is_mark(text[cut]) or text[cut - 1] == "\u200d"):
        cut -= 1
    return cut


def _is_mark(character: str) -> bool:
    return unicodedata.category(character)[0] == "M" or character in "\u200d\ufe0f"


def _line_groups(text: str, start: int, end: int) -> list[Span]:
    """Spans of lines that belong together: text parted at the line breaks that end a sentence whatever the punctuation."""
    lines: list[Span] = []
    at = start
    while at <= end:
        stop = text.find("\n", at, end)
        stop = end if stop < 0 else stop
        lines.append((at, stop))
        at = stop + 1
    if len(lines) == 1:
        return lines
    groups: list[Span] = []
    widths = [len(text[a:b].strip()) for a, b in lines]
    wrap = _local_width(widths)
    first = 0
    for i in range(1, len(lines)):
        if _breaks(text, lines[i - 1], lines[i], widths[i - 1], wrap[i - 1]):
            groups.append((lines[first][0], lines[i - 1][1]))
            first = i
    groups.append((lines[first][0], lines[-1][1]))
    return groups


def _local_width(widths: list[int]) -> list[int]:
    """For each line the widest line of its paragraph (lines between blank ones)."""
    out = [0] * len(widths)
    i = 0
    while i < len(widths):
        j = i
        while j < len(widths) and widths[j]:
            j += 1
        widest = max(widths[i:j], default=0)
        out[i:j] = [widest] * (j - i)
        i = j + 1
    return out


def _breaks(text: str, line: Span, following: Span, width: int, widest: int) -> bool:
    this, after = text[line[0] : line[1]], text[following[0] : min(following[1], following[0] + 80)]
    if not this.strip() or not after.strip():
        return True
    if (stamp := _TIMESTAMP.match(this)) and stamp.end() == len(this.rstrip()):
        return False  # a time on a line of its own belongs to what was said then
    if width > _WRAP_LIMIT or _BULLET.match(after) or _SPEAKER.match(after) or _TIMESTAMP.match(after):
        return True
    last = this.rstrip()[-1]
    if _NUMBERED.match(after) and (last in ".!?:;" or _NUMBERED.match(this)):
        return True
    head = after.lstrip()[0]
    if head.islower() or last in ",-–—(/&":
        return False
    if _BULLET.match(this) and not after[0].isspace() and last not in ".!?":
        return True
    if this.rsplit(maxsplit=1)[-1].casefold() in _OPEN_ENDED:
        return False
    # The last line of a paragraph is short; a wrapped line is about as wide as its neighbours.
    return width + len(after.split(maxsplit=1)[0]) < 0.6 * max(widest, 40) and last not in ".!?"


def _by_terminator(text: str, start: int, end: int) -> list[Span]:
    spans: list[Span] = []
    begin = start
    for match in _TERMINATOR.finditer(text, start, end):
        if match.start() < begin or not _ends(text, begin, match.start(), match.end(), end):
            continue
        span = trim(text, begin, match.end())
        if span[1] > span[0]:
            spans.append(span)
        begin = match.end()
    span = trim(text, begin, end)
    if span[1] > span[0]:
        spans.append(span)
    return spans


def _ends(text: str, begin: int, at: int, after: int, end: int) -> bool:
    """Whether the terminator text[at:after] ends the sentence that began at `begin`."""
    mark = text[at]
    if mark in "。！？｡।॥؟":
        return True
    following = after
    while following < end and text[following].isspace():
        following += 1
    if following >= end:
        return True
    head = following
    while head < end and text[head] in _OPENERS:
        head += 1
    if head >= end:
        return False
    if text[head].islower():
        # "Really?" he said. -- and abbreviations that no list knows.
        return False
    if mark != ".":
        return True
    stops = after - at
    if text.startswith("..", at) or mark == "…" or " " in text[at:after]:
        return at == begin or not text[at - 1].isspace()
    tail = text[max(begin, at - 40) : at]
    if _ENUMERATOR.fullmatch(text[begin : at + 1]):
        return False
    found = _WORD_BEFORE.search(tail)
    if not found:
        return True
    word = found.group().casefold().replace("’", "'")
    next_word = re.match(r"[^\W_]+", text[head : head + 24])
    starter = bool(next_word) and next_word.group().casefold() in _STARTERS  # type: ignore[union-attr]
    closed = stops > 1  # a quote or bracket after the stop: more likely an end
    if word in _NEVER:
        # "No. 5", "Fig. 3", "Dr. Smith"; but "He said no. The others agreed."
        return starter and word in ("no", "ref", "sec", "ca", "al", "fr", "ed") and not text[head].isdigit()
    if word in _SOMETIMES:
        return starter or (closed and text[at + 1] in "\"'”’")
    if len(word) == 1 and word.isalpha() and found.group().isupper():
        return starter
    if re.fullmatch(r"(?:[^\W\d_]\.)+[^\W\d_]", word):  # other dotted abbreviations: N.A.S.A, T.S
        return starter
    return True
