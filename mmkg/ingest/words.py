"""Word lists written as text."""

from __future__ import annotations


def word_set(words: str) -> frozenset[str]:
    """The words of a text, parted by white space.

    >>> sorted(word_set("mr mrs"))
    ['mr', 'mrs']
    """
    return frozenset(words.split())
