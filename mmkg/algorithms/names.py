"""The normal form of names: folding, tokens, canonical and title forms, gazetteer match, capitalised runs, years.

Used on documents (extraction, derivation) and on questions, so that both see the same names. Pure and without a model.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Container, Sequence
from functools import cache, lru_cache
from typing import NamedTuple

from mmkg.algorithms.keys import entity_key
from mmkg.algorithms.words import (
    ARTICLES,
    DESIGNATORS,
    GENERIC_HEADINGS,
    HONORIFICS,
    INITIALISMS,
    JOINERS,
    MONTHS_AND_DAYS,
    STOP,
    is_common,
)
from mmkg.types import NameSpan

__all__ = [
    "MAX_TOKENS",
    "Token",
    "canon",
    "capitalised_runs",
    "fold",
    "form_key",
    "is_common",
    "match_titles",
    "title_forms",
    "tokenize",
    "years",
]

MAX_TOKENS = 8
"""Longest name, in tokens, that is looked for in running text."""

MAX_TITLE_TOKENS = 20
MAX_TITLE_CHARACTERS = 160

# Letters that Unicode does not take apart, though readers do.
_PLAIN = str.maketrans({"ø": "o", "æ": "ae", "œ": "oe", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "ħ": "h", "ı": "i"})

_APOSTROPHES = "'\u2019\u2018\uff07\u02bc"
_IGNORABLE = "\u00ad\u200c\u200d\u2060"


class Token(NamedTuple):
    """A word of a text. start, end: its span, a possessive 's left out. folded: never empty, letters and digits only.

    capitalised_or_digit: it may begin a name: it holds a capital, begins with a digit, or its script has no case.
    joins: it may stand in one name with the token before it (nothing but light punctuation lies between).
    """

    start: int
    end: int
    folded: str
    capitalised_or_digit: bool
    joins: bool


def fold(text: str) -> str:
    """Compatibility decomposition, combining marks dropped, case folded, a few Latin letters without marks made plain.

    >>> fold("Café ÅNGSTRÖM Tromsø")
    'cafe angstrom tromso'
    """
    if text.isascii():
        return text.lower()
    # Case folding can bring marks back (capital dotted I), hence the second decomposition.
    text = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    return "".join(c for c in text if not _dropped(c)).translate(_PLAIN)


@lru_cache(maxsize=65536)
def _dropped(c: str) -> bool:
    return unicodedata.combining(c) != 0 or unicodedata.category(c) == "Me" or "\ufe00" <= c <= "\ufe0f"


@cache
def _token_pattern(ascii_only: bool) -> re.Pattern[str]:
    if ascii_only:
        return re.compile(r"[A-Za-z0-9]+(?:'[A-Za-z0-9]+)*")
    # Decomposed accents and vowel signs are no word characters for `re`, but they must not split a word.
    marks = "".join(re.escape(chr(i)) for i in range(0x300, 0x10000) if unicodedata.category(chr(i))[0] == "M")
    word = rf"[^\W_]+(?:[{marks}{_IGNORABLE}]+[^\W_]*)*"
    return re.compile(rf"{word}(?:[{_APOSTROPHES}]{word})*")


def _fold_token(word: str) -> str:
    return _fold_short(word) if len(word) <= 40 else _fold_word(word)


def _fold_word(word: str) -> str:
    if word.isascii():
        return word.lower().replace("'", "")
    return "".join(
        c for c in fold(word) if c not in _APOSTROPHES and (c.isalnum() or unicodedata.category(c)[0] == "M")
    )


_fold_short = lru_cache(maxsize=65536)(_fold_word)

# The look-behinds keep the search linear on long runs of letters (encoded data).
_OPAQUE = re.compile(
    r"""
      (?:https?|ftp|file|doi):/{0,2}\S+ | www\.\S+          # addresses
    | (?<![\w.+-])[\w.+-]+@[\w-]+(?:\.[\w-]+)+
    | (?<!\w)\w*[^\W_]_[^\W_]\w*                          # identifiers
    | (?<!\w)[^\W\d_]\w*(?:::|->)\w+(?:(?:::|->)\w+)*
    | (?<![\w.])(?:/[\w.+-]+){2,} | \b[A-Za-z]:\\\S+       # paths
    """,
    re.VERBOSE,
)


def _opaque_spans(text: str) -> list[tuple[int, int]]:
    if not any(sign in text for sign in (":", "www.", "@", "_", "->", "/")):
        return []
    return [m.span() for m in _OPAQUE.finditer(text)]


_GAP = re.compile(r"[\s.,:!?'\u2019\u2018\"\u201c\u201d()&/+\u00b7\u2010-\u2015-]{0,6}")
_POSSESSIVE = re.compile(r"['\u2019][sS]")
_WRAPPED_LINE = 40
"""A line break inside a name is taken for a wrapped line only after at least this many characters."""


def _joins(text: str, before: int, after: int, previous: str) -> bool:
    """Whether the gap text[before:after] may lie inside a name whose part before it ends with `previous`."""
    gap = text[before:after]
    if gap == " " or gap == "-":
        return True
    if not _GAP.fullmatch(_POSSESSIVE.sub("", gap)):
        return False
    if "\n" in gap or "\r" in gap or "\t" in gap:
        if gap.strip(" \r-") != "\n" or "\t" in gap:
            return False
        return before - (text.rfind("\n", 0, before) + 1) >= _WRAPPED_LINE
    # A full stop ends a sentence, unless after an initial or a short abbreviation ("J.", "St.", "Mrs.").
    return not (". " in gap and len(previous) > 4)


def tokenize(text: str) -> list[Token]:
    """The words of a text in order.

    >>> [t.folded for t in tokenize("O'Brien's café, Jean-Luc")]
    ['obrien', 'cafe', 'jean', 'luc']
    """
    opaque = _opaque_spans(text)
    tokens: list[Token] = []
    end, folded, open_to_next, o = 0, "", False, 0
    for match in _token_pattern(text.isascii()).finditer(text):
        word, start = match.group(), match.start()
        while o < len(opaque) and opaque[o][1] <= start:
            o += 1
        hidden = o < len(opaque) and opaque[o][0] <= start
        if len(word) > 2 and word[-1] in "sS" and word[-2] in _APOSTROPHES:
            word = word[:-2]
        joins = open_to_next and not hidden and _joins(text, end, start, folded)
        folded = _fold_token(word)
        if not folded:
            open_to_next = False
            continue
        end = start + len(word)
        open_to_next = not hidden
        tokens.append(Token(start, end, folded, not hidden and (not word.islower() or word[0].isdigit()), joins))
    return tokens


def _canon_words(words: Sequence[str]) -> str:
    first = 0
    while first < len(words) - 1 and words[first] in ARTICLES:
        first += 1
    return " ".join(words[first:])


def canon(span: str) -> str:
    """The canonical form of a name: folded tokens joined by one space, leading articles stripped; "" if it has no token.

    >>> canon("The Beatles"), canon("Nicéphore  Niépce's"), canon("?")
    ('beatles', 'nicephore niepce', '')
    """
    return _canon_words([t.folded for t in tokenize(span)])


_NUMBERING = re.compile(r"\s*(?:\d+(?:\.\d+)+\.?|\d+[.)])\s+(?=\D)")
_PARENTHESIS = re.compile(r"\s*\([^()]*\)\s*$")


def title_variants(title: str) -> tuple[tuple[str, str], ...]:
    """(canonical form, the words of the title that it stands for), the full form first; see `title_forms`."""
    return _title_variants(title) if len(title) <= 8 * MAX_TITLE_CHARACTERS else ()


@lru_cache(maxsize=8192)
def _title_variants(title: str) -> tuple[tuple[str, str], ...]:
    title = _NUMBERING.sub("", " ".join(html.unescape(title).split()), count=1)
    full = canon(title)
    if full in GENERIC_HEADINGS or not 1 <= len(full) <= MAX_TITLE_CHARACTERS or full.count(" ") >= MAX_TITLE_TOKENS:
        return ()
    bare = _PARENTHESIS.sub("", title)
    forms: dict[str, str] = {full: title}
    for surface in dict.fromkeys((bare, bare.split(",", 1)[0])):
        form = canon(surface) if surface != title else full
        if form and form not in STOP:
            forms.setdefault(form, surface.strip())
    return tuple(forms.items())


def title_forms(title: str) -> tuple[str, ...]:
    """Canonical forms under which a title or heading is known.

    The full form first, then without its final parenthesis, then the part before its first comma. HTML entities are
    unescaped and section numbers dropped. () for a heading that names nothing ("References") or is too long for a name.

    >>> title_forms("Mercury (planet)")
    ('mercury planet', 'mercury')
    >>> title_forms("Paris, Texas")
    ('paris texas', 'paris')
    >>> title_forms("2.1 Introduction")
    ()
    """
    return tuple(form for form, _ in title_variants(title))


def form_key(form: str) -> int:
    """Signed 64-bit key of a canonical form: of its first two tokens, or of its only one."""
    return entity_key(" ".join(form.split(" ", 2)[:2]))


def may_be_alone(word: str) -> bool:
    """Whether a folded one-token form may be matched in text: longer than one letter, not common, no number but a year."""
    if word.isdigit():
        return len(word) == 4 and "1000" <= word <= "2099"
    return len(word) > 1 and not is_common(word)


def name_starts(tokens: Sequence[Token], *, any_case: bool = False) -> list[int]:
    """Indices of the tokens at which a gazetteer match may begin; an article never is one (see `canon`)."""
    return [i for i, t in enumerate(tokens) if (any_case or t.capitalised_or_digit) and t.folded not in ARTICLES]


def forms_at(tokens: Sequence[Token], start: int, max_tokens: int = MAX_TOKENS) -> list[str]:
    """The canonical forms that begin at a token: element i has i + 1 tokens. The first may not stand alone, see `may_be_alone`."""
    form = tokens[start].folded
    forms = [form]
    for token in tokens[start + 1 : start + max_tokens]:
        if not token.joins or len(form) > MAX_TITLE_CHARACTERS:
            break
        form = f"{form} {token.folded}"
        forms.append(form)
    return forms


def match_titles(
    tokens: Sequence[Token], known: Container[str], *, max_tokens: int = MAX_TOKENS, any_case: bool = False
) -> list[tuple[int, int, str]]:
    """Greedy longest match of known canonical forms, left to right, without overlap.

    A match begins with a capital or a digit, and a one-token form must not be common. any_case: forms of several tokens
    also match in lower case (for questions); of two that overlap then the longer one counts, and of two of one length the one that
    begins with a capital ("in The Light Between Oceans"). Returns (first token, one past the last token, canonical form), by place.
    """
    longest: list[tuple[int, int, str]] = []
    for start in name_starts(tokens, any_case=any_case):
        if not any_case and longest and start < longest[-1][1]:
            continue
        forms = forms_at(tokens, start, max_tokens)
        alone = tokens[start].capitalised_or_digit and may_be_alone(forms[0])
        n = next((n for n in range(len(forms), 1 - alone, -1) if forms[n - 1] in known), 0)
        if n:
            longest.append((start, start + n, forms[n - 1]))
    if any_case:
        longest.sort(key=lambda m: (m[0] - m[1], not tokens[m[0]].capitalised_or_digit, m[0]))
    taken = [False] * len(tokens)
    out = []
    for start, end, form in longest:
        if not any(taken[start:end]):
            taken[start:end] = [True] * (end - start)
            out.append((start, end, form))
    return sorted(out)


# ---- Names without a gazetteer -----------------------------------------------------------------------------------


_SENTENCE_START = re.compile(r"(?:^|[.!?:;\u2026][\"'\u201d\u2019)\]]*\s|\n\s*|[\"\u201c(\[*\u2022|>#-]\s*)\s*$")


def begins_sentence(text: str, start: int) -> bool:
    """Whether a word at this offset opens a sentence, a line, a quotation or a list item, where a capital says nothing."""
    return _SENTENCE_START.search(text, max(0, start - 8), start) is not None if start else True


def capitalised_runs(text: str) -> list[NameSpan]:
    """Runs of capitalised words, with source "caps".

    Joined by one space or hyphen, by a full stop after an initial, by "&", by of, the, de, van, for and the like, and
    by "and" between common nouns ("Aeronautics and Space"). Numbers may follow a word ("Apollo 11"). One word alone
    counts only if it is not common and has more than two letters.
    """
    tokens = tokenize(text)
    lower = {t.folded for t in tokens if not t.capitalised_or_digit}
    spans: list[NameSpan] = []
    i = 0
    while i < len(tokens):
        if not _is_capital(text, tokens[i]):
            i += 1
            continue
        j = _run_end(text, tokens, i)
        if j - i > MAX_TOKENS:  # a title chained to the name that it belongs to: cut at the first joining word
            j = next((k for k in range(i + 1, j) if tokens[k].folded in JOINERS), j)
        span = _trimmed_run(text, tokens, i, j, lower)
        if span is not None:
            spans.append(NameSpan(start=span[0], end=span[1], label="", source="caps"))
        i = j
    return spans


def _is_capital(text: str, token: Token) -> bool:
    c = text[token.start]
    return token.capitalised_or_digit and (c.isupper() or c.istitle())


_ABBREVIATED = HONORIFICS | {"jr", "sr", "mt", "ft", "no", "vol", "op"}


def _tight(text: str, left: Token, right: Token) -> bool:
    """Whether two tokens stand next to each other as the words of one name do."""
    gap = text[left.end : right.start]
    if gap in (" ", "-", "\u2010", "\u2011", " & ", "&", "\u00a0"):
        return True
    if gap in (". ", "."):
        return len(left.folded) == 1 or left.folded in _ABBREVIATED
    return "\n" in gap and right.joins and gap.strip(" \r") == "\n"


def _run_end(text: str, tokens: Sequence[Token], first: int) -> int:
    """One past the last token of the run that begins at a capitalised token; runs far too long for a name are cut."""
    end = first + 1
    while end < min(len(tokens), first + 4 * MAX_TOKENS):
        left, token = tokens[end - 1], tokens[end]
        if not (token.joins and _tight(text, left, token)):
            break
        if _is_capital(text, token) or (token.folded[0].isdigit() and len(token.folded) <= 4):
            end += 1
            continue
        # Joining words count only between a word and a capitalised word.
        after = len(tokens) if left.folded[0].isdigit() else end
        while after < len(tokens) and after - end < 2 and tokens[after].folded in JOINERS:
            if not _tight(text, tokens[after - 1], tokens[after]):
                break
            after += 1
        if after == end or after == len(tokens) or not _is_capital(text, tokens[after]):
            break
        if not _tight(text, tokens[after - 1], tokens[after]):
            break
        if [t.folded for t in tokens[end:after]] == ["the"] and text[left.start : left.end].isupper():
            break
        joined_by_and = any(t.folded == "and" for t in tokens[end:after])
        if joined_by_and and not (_is_noun(left.folded) and is_common(tokens[after].folded)):
            break
        end = after + 1
    return end


def _is_noun(word: str) -> bool:
    """Whether a word rather names a matter than a person or place: "Aeronautics and Space", not "Armstrong and Aldrin"."""
    return is_common(word) or word.endswith(("ics", "ology", "tion", "ment", "ing", "ity", "ance", "ence", "ship"))


def _is_opener(text: str, tokens: Sequence[Token], i: int, j: int) -> bool:
    """Whether the first word of the run tokens[i:j] is there because a sentence or a date begins, not a name."""
    token, word = tokens[i], text[tokens[i].start : tokens[i].end]
    if token.folded in ARTICLES:
        return True
    if token.folded in MONTHS_AND_DAYS:
        return i + 1 < j and tokens[i + 1].folded[0].isdigit()
    if token.folded not in STOP:
        return False
    if i + 1 < j and "&" in text[token.end : tokens[i + 1].start]:  # AT&T
        return False
    rest = [text[t.start : t.end] for t in tokens[i + 1 : j]]
    return not (len(word) > 1 and word.isupper() and any(not w.isupper() for w in rest))  # US Navy


_OPEN_ENDS = frozenset({"at", "of", "the", "and", "for", "by", "from", "to", "with", "as", "is", "was", "an", "a"})


def is_pointer(words: Sequence[str]) -> bool:
    """Whether folded words only point to a place in a document ("Figure 3", "Page 4-44 Paragraph 2")."""
    return words[0] in DESIGNATORS and all(not w.isalpha() or w in DESIGNATORS for w in words[1:])


def _trimmed_run(text: str, tokens: Sequence[Token], i: int, j: int, lower: Container[str]) -> tuple[int, int] | None:
    """The span of a run without function words at its start, or None if what is left is no name."""
    while i < j and _is_opener(text, tokens, i, j):
        i += 1
        while i < j and not _is_capital(text, tokens[i]):  # "In 1969", "Of the": begin again at a capital
            i += 1
    while i < j and tokens[j - 1].folded in _OPEN_ENDS:
        j -= 1
    words = [t.folded for t in tokens[i:j]]
    if not 1 <= len(words) <= MAX_TOKENS or is_pointer(words):
        return None
    if all(len(w) == 1 for w in words):
        return (tokens[i].start, tokens[j - 1].end) if "".join(words) in INITIALISMS else None
    if len(words) == 1:
        word = words[0]
        if len(word) <= 2 or is_common(word) or word in MONTHS_AND_DAYS or word in HONORIFICS:
            return None
        # A word also written in lower case here is no name where a sentence begins.
        if word in lower and begins_sentence(text, tokens[i].start):
            return None
    return tokens[i].start, tokens[j - 1].end


_YEAR = re.compile(r"(?<![\w.,$\u20ac\u00a3\u00a5#])(?<![^\W\d_]-)(?:1\d{3}|20\d{2})(?![^\W]|[.,:]\d|%)")
_UNIT = re.compile(
    r"[ \u00a0-]?(?:k?m|km/h|mph|ft|feet|foot|miles?|met(?:er|re)s?|inch(?:es)?|acres?|hectares?|kg|g|lbs?|pounds?|tons?|tonnes?"
    r"|hp|watts?|k?w|mw|hz|[mg]hz|mb|gb|bytes?|dollars|euros|people|men|women|soldiers|troops|students|employees|copies"
    r"|votes|seats|hours|minutes|seconds|days|times|percent|per cent)\b",
    re.IGNORECASE,
)


def years(text: str) -> list[NameSpan]:
    """Years from 1000 to 2099, with source "year" and label DATE; not prices, decimals or numbers with a unit.

    >>> [text[s.start:s.end] for text in ["In 1969, 1,200 of 1500 people"] for s in years(text)]
    ['1969']
    """
    return [
        NameSpan(start=m.start(), end=m.end(), label="DATE", source="year")
        for m in _YEAR.finditer(text)
        if not _UNIT.match(text, m.end())
    ]
