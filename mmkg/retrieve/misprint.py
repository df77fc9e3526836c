"""Words as print is misread: digits for letters, words run together, function words that are none, two look-alikes in a word.

What a slip of the hand does is in fuzzy.py. Here everything is closed: a few replacements of look-alikes and a cut, each accepted only if
all that comes out is known; so a word is changed to another only where the shapes of its letters say so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from mmkg.algorithms.words import STOP, common_words

Held = Callable[[list[str]], list[int]]
"""words -> how many units hold each."""

_DIGITS = {"0": "o", "1": "li", "5": "s", "6": "b", "8": "b", "9": "g", "2": "z", "3": "b"}
_READ_AS = {
    "f": "t", "t": "f", "c": "eo", "e": "co", "o": "eac", "a": "o", "u": "nav", "n": "urhm", "b": "h", "h": "b",
    "l": "it", "i": "lj", "j": "i", "y": "v", "v": "y", "q": "g", "g": "q", "rn": "m", "nn": "m", "vv": "w", "cl": "d",
    "li": "h", "ri": "n", "ii": "u",
} | _DIGITS  # fmt: skip
"""What may stand where this is read."""
_MOST_DIGITS = 3


def put_right(word: str, held: Held) -> str:
    """What the unknown word (folded, not empty) was, "" if no rule says so; two words or more where it had run together.

    First that changes least: digits for letters, a cut before or after a function word, a look-alike in a function word, and
    two look-alikes in a longer word.
    """
    if any(c.isdigit() for c in word):
        if found := _best(_without_digits(word), held):
            return found
    elif len(word) > 2 and (near := [w for w in _once(word) if w in STOP]):
        return min(near, key=lambda w: (len(w) < 3, w))
    if len(word) > 3 and (cut := _cut(word, held)):
        return cut
    return ""


def put_right_twice(word: str, held: Held) -> str:
    """The common word that the base holds most often two look-alikes away, "" if there is none."""
    return _best([w for w in twice(word) if w in common_words()], held)


def twice(word: str) -> list[str]:
    """Every word two look-alikes away, sorted; none of a word of fewer than five letters: those are too near to each other."""
    if len(word) < 5:
        return []
    return sorted({w for first in set(_once(word)) for w in _once(first)} - {word})


def _best(words: list[str], held: Held) -> str:
    counts = dict(zip(words, held(words), strict=True))
    known = [w for w in words if counts[w] or w in STOP]
    return min(known, key=lambda w: (w not in STOP, w not in common_words(), -counts[w], w)) if known else ""


def _without_digits(word: str) -> list[str]:
    """The word with letters for all its digits, in every way; none for what is mostly digits."""
    digits = sum(c.isdigit() for c in word)
    if digits > _MOST_DIGITS or digits > len(word) - digits or any(c.isdigit() and c not in _DIGITS for c in word):
        return []
    out = [""]
    for c in word:
        out = [w + letter for w in out for letter in _DIGITS.get(c, c)]
    return out


def _once(word: str) -> Iterator[str]:
    """Every word one look-alike away."""
    for i in range(len(word)):
        for n in (1, 2):
            for meant in _letters(word[i : i + n]):
                yield word[:i] + meant + word[i + n :]


def _letters(seen: str) -> tuple[str, ...]:
    meant = _READ_AS.get(seen, "")
    return (meant,) if len(seen) > 1 and meant else tuple(meant)


def _cut(word: str, held: Held) -> str:
    """The word in two, one of them a function word of two letters or more, the other a known one; the longest function word first."""
    cuts = []
    for i in range(2, len(word) - 1):
        for small, other in ((word[:i], word[i:]), (word[i:], word[:i])):
            if small in STOP and (other in STOP or (len(other) > 2 and not other.isdigit())):
                cuts.append((len(small), i, other))
    cuts.sort(key=lambda c: (-c[0], c[1]))
    counts = held([other for *_, other in cuts])
    for (_, i, other), count in zip(cuts, counts, strict=True):
        if other in STOP or (count and (other in common_words() or count > 2)):
            return f"{word[:i]} {word[i:]}"
    return ""
