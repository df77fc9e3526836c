"""Other names that a text itself defines: "National Aeronautics and Space Administration (NASA)", and the reverse."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence

from mmkg.algorithms.names import Token

# Words of a long form that an acronym may pass over; it may also use them ("Department of Defense (DoD)").
_PASSED = frozenset(["of", "and", "the", "for", "in", "on", "to", "at", "by", "with", "de", "du", "la", "und"])
_BRACKET = re.compile(r"\(\s*([A-Z][A-Za-z0-9&.-]{1,9})\s*\)")
_BEFORE_BRACKET = re.compile(r"\b([A-Z][A-Za-z0-9&.-]{1,9})\s?\(([^()\n]{5,120})\)")
_INNER_GAPS = frozenset({" ", "-", " & ", "/", "\u2010", "\u2011", "\u2013", ", ", "\n"})
_MAX_LETTERS = 8
_MAX_PASSED = 4

Definition = tuple[int, int, int, int]
"""First token of the long form, one past its last, first token of the short form, one past its last."""


def acronyms(text: str, tokens: Sequence[Token]) -> list[Definition]:
    """The acronyms that a text defines with a bracket, in order of the bracket.

    The letters of the short form must be, in order, the initials of the words of the long form, with nothing left over
    but function words. The first letter must be that of the first word. At least two capitals are asked for.
    """
    if "(" not in text:
        return []
    found: list[Definition] = []
    starts = [t.start for t in tokens]
    for match in _BRACKET.finditer(text):
        short = _between(tokens, starts, match.start(1), match.end(1))
        letters = _letters(match.group(1))
        if short is None or not letters or short[0] == 0:
            continue
        last = short[0] - 1
        if text[tokens[last].end : match.start()].strip() or match.start() - tokens[last].end > 2:
            continue
        first = _match_back(text, tokens, last, letters, len(letters) - 1)
        if first is not None and last > first:
            found.append((first, last + 1, *short))
    for match in _BEFORE_BRACKET.finditer(text):
        short = _between(tokens, starts, match.start(1), match.end(1))
        long = _between(tokens, starts, match.start(2), match.end(2))
        letters = _letters(match.group(1))
        if short is None or long is None or not letters or long[1] - long[0] > 2 * _MAX_LETTERS:
            continue
        first = _match_back(text, tokens, long[1] - 1, letters, len(letters) - 1)
        if first == long[0] and long[1] - first > 1:
            found.append((*long, *short))
    return found


def _letters(short: str) -> str:
    """The letters of an acronym in lower case, "" if it is none."""
    letters = re.sub(r"[&.-]", "", short)
    if len(letters) > 2 and letters[-1] == "s" and letters[:-1].isupper():  # plural: "unmanned vehicles (UVs)"
        letters = letters[:-1]
    if not 2 <= len(letters) <= _MAX_LETTERS or sum(c.isupper() for c in letters) < 2 or not letters.isascii():
        return ""
    return letters.lower()


def _between(tokens: Sequence[Token], starts: Sequence[int], start: int, end: int) -> tuple[int, int] | None:
    i, j = bisect_left(starts, start), bisect_left(starts, end)
    return (i, j) if i < j else None


def _match_back(
    text: str, tokens: Sequence[Token], at: int, letters: str, letter: int, passes: int = _MAX_PASSED
) -> int | None:
    """Index of the token that carries the first letter, if the letters up to `letter` are initials of tokens up to `at`.

    passes: function words that may still be passed over; the bound keeps "of of of ... (OOO)" cheap.
    """
    if at < 0:
        return None
    word = tokens[at].folded
    tight = letter == 0 or at == 0 or text[tokens[at - 1].end : tokens[at].start] in _INNER_GAPS
    if word[0] == letters[letter] and tight and (letter or word not in _PASSED):
        if letter == 0:
            return at
        first = _match_back(text, tokens, at - 1, letters, letter - 1, passes)
        if first is not None:
            return first
    if passes and word in _PASSED and tight and letter < len(letters) - 1:
        return _match_back(text, tokens, at - 1, letters, letter, passes - 1)
    return None
