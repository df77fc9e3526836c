"""Titles from content: lines that look like one, and the subject that a first sentence defines."""

from __future__ import annotations

import re

from mmkg.ingest.words import word_set

ABBREVIATED = (
    r"(?:(?<=\w\.\w\.)|(?<=\b[JSMD]r\.)|(?<=\b(?:Co|St|No|Mt|Ft)\.)|(?<=\b(?:Inc|Ltd|Cie|Esq|Vol)\.)"
    r"|(?<=\b(?:Corp|Bros)\.))"
)
"""Pattern of a place after a full stop that ends an abbreviation, not a sentence: "Levi Strauss & Co.", "Escape from L.A."."""
_ENDS_SENTENCE = re.compile(r"[.!?,;:…—–-][\"'”’)\]]*$")
_ENDS_SHORT = re.compile(ABBREVIATED + "$")
_LABEL = re.compile(r"[\[(<]?\d{1,3}:\d{2}|\S+:\s|[-*+•>|=#~_]")
# "APOLLO 11 was the spaceflight that ...", "Neil Alden Armstrong (1930-2012) was an American astronaut"
_DEFINITION = re.compile(
    r"(?:The\s+)?(?P<subject>[^\W\d_][\w.'’&/-]*(?:\s+[\w.'’&/-]+){0,7}?)(?:\s*\([^()\n]{1,200}\))?"
    r"(?:,\s[^.,\n]{1,80}(?:,\s[^.,\n]{1,40})?,)?\s+(?:is|was|are|were)\s+(?:an?|the|one\s+of)\s"
)
_PRONOUNS = word_set(
    """this that these those it he she they we i you there here what who which where when why how his her their our my your
    in on at by for from with as if after before during while although because today now yesterday one some many most all
    both each every any no not so then but and or yet also however"""
)
_SMALL = word_set("of the and de la le von van der del di da du for in on at to a an y et und")


def looks_like_title(paragraph: str) -> bool:
    """Whether a paragraph is one short line that does not end like a sentence.

    >>> looks_like_title("The Landing of Apollo 11"), looks_like_title("It landed."), looks_like_title("CDR: Okay")
    (True, False, False)
    >>> looks_like_title("Levi Strauss & Co."), looks_like_title("A Yank in the R.A.F.")
    (True, True)
    """
    line = paragraph.strip()
    if not line or "\n" in line or len(line) > 100 or len(line.split()) > 14:
        return False
    if (
        (_ENDS_SENTENCE.search(line) and not _ENDS_SHORT.search(line))
        or _LABEL.match(line)
        or not any(c.isalpha() for c in line)
    ):
        return False
    return line[0].isupper() or line[0].isdigit() or not line[0].isascii()


def definition_title(paragraph: str) -> str:
    """The subject of a first sentence of the form "X is a ...", where X is a name; else "".

    >>> definition_title("APOLLO 11 was the spaceflight that first landed humans on the Moon.")
    'APOLLO 11'
    >>> definition_title("The day was a long one.")
    ''
    """
    found = _DEFINITION.match(paragraph.lstrip()[:600])
    if not found:
        return ""
    subject = " ".join(found["subject"].split())
    words = subject.split()
    if words[0].casefold() in _PRONOUNS or len(subject) > 80:
        return ""
    # A name: every word but the small ones is capitalised or a number. "The Apollo program" keeps its common noun.
    capital = [w[0].isupper() or w[0].isdigit() for w in words if w.casefold() not in _SMALL]
    if (
        not capital
        or not capital[0]
        or sum(not c for c in capital) > 1
        or (len(capital) == 1 and len(words) == 1 and len(subject) < 3)
    ):
        return ""
    return subject
