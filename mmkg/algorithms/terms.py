"""Index terms: folded words without stop words, stemmed. The same function serves documents and questions."""

from __future__ import annotations

import re
import threading
from functools import lru_cache
from typing import Any

from mmkg.algorithms.names import fold

_STOPS = (
    "a about above after again all also am an and any are as at be because been before being below between both "
    "but by can could did do does doing down during each few for from further had has have having he her here "
    "hers herself him himself his how i if in into is it its itself just me more most must my myself no "
    "nor not of off on once only or other our ours ourselves out over own same shall she should so some such than "
    "that the their theirs them themselves then there these they this those through to too under until up upon "
    "very was we were what when where which while who whom whose why with would you your yours yourself "
    "yourselves "
)
STOP_WORDS = frozenset(_STOPS.split())
"""Function words of English that are not indexed."""

_WORD = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)?")
# A word this long is a key, a hash or a URL part, not English; stemming it only costs time.
_LONGEST_STEMMED = 40
# Stemmers keep the word in the object while they work.
_lock = threading.Lock()


def terms(text: str) -> list[str]:
    """Index terms of a text, in order, repeats kept; [] if it has none.

    Folded as names are (mmkg.algorithms.names.fold), a final 's and apostrophes removed, English stop words dropped, the
    rest stemmed by the Snowball English stemmer. Safe to call from several threads.
    Reference: M. F. Porter, "Snowball: a language for stemming algorithms", 2001.

    >>> terms("The river's bridges, in Zürich")
    ['river', 'bridg', 'zurich']
    """
    return [stem(word) for word in words(text)]


def words(text: str) -> list[str]:
    """The words of a text that `terms` stems, in order, repeats kept.

    >>> words("The river's bridges, in Zürich")
    ['river', 'bridges', 'zurich']
    """
    out = []
    for word in _WORD.findall(fold(text)):
        if not word.isalnum():
            word = word.replace("\u2019", "'").removesuffix("'s").replace("'", "")
        if word not in STOP_WORDS:
            out.append(word)
    return out


@lru_cache(maxsize=1)
def _stemmer() -> Any:
    import snowballstemmer  # here: `import mmkg` stays light

    return snowballstemmer.stemmer("english")


@lru_cache(maxsize=1 << 18)
def stem(word: str) -> str:
    """The index term of one of `words`. It begins with the same letter: a word of another first letter need not be stemmed to know
    that it is another term."""
    if len(word) > _LONGEST_STEMMED or word.isdigit():
        return word
    with _lock:
        return str(_stemmer().stemWord(word))
