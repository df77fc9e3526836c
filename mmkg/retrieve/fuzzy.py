"""Misspelt words of a question, put right by the words and names of the base.

A word that no unit holds is compared with its neighbours one step away (a letter too much, too few, another, two swapped, a
look-alike of scanned print): those that the base holds are what may have been meant. No list of the vocabulary is needed, only
look-ups: O(letters) for an unknown word, nothing for a known one, whatever the size of the base.
Reference: P. Norvig, "How to Write a Spelling Corrector", 2007, for the candidates; the choice among them is by names and frequency.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import numpy as np

from mmkg.algorithms.names import Token, tokenize
from mmkg.algorithms.terms import terms
from mmkg.algorithms.words import JOINERS, STOP, common_words
from mmkg.protocols import IndexView
from mmkg.retrieve import misprint

SHORTEST = 4
"""Letters of a word that may be put right; among shorter ones too many are near each other."""
LONGEST = 24
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_LOOKALIKES = (("rn", "m"), ("m", "rn"), ("nn", "m"), ("vv", "w"), ("cl", "d"), ("li", "h"), ("ri", "n"), ("ii", "u"))
_WORD = re.compile(r"[a-z0-9]+")
_CAPITAL = re.compile(r"(?<=[a-z])[a-z](?=[A-Z][A-Za-z])")
_MIXED = re.compile(r"[A-Za-z0-9]*[a-z]{2}[A-Z][A-Za-z]+")
_PREFIXES = frozenset("mac fitz".split())  # noqa: SIM905
_NAMED = 1000.0
"""What making a known name of its neighbours weighs, in units that hold the word."""


def mended(question: str, view: IndexView) -> str:
    """The question with misspelt words as the base writes them; the question itself where nothing is misspelt.

    Changed are words of at least SHORTEST letters that no unit holds and that are no common English, and words of a
    capitalised name that is unknown while a name one step away is known. A word without a near one stays as it is.
    """
    question = _apart(question, view)
    tokens = tokenize(question)
    changes: dict[int, str] = {}
    for i, token in enumerate(tokens):
        as_written = question[token.start : token.end]
        if (
            as_written.lower() == token.folded
            and _WORD.fullmatch(token.folded) is not None
            and len(token.folded) <= LONGEST
            and not _known(token.folded, view)
            and (right := misprint.put_right(token.folded, lambda w: _held(w, view)))
        ):
            changes[i] = right
            continue
        if (
            _may_be_misspelt(token.folded)
            and question[token.start : token.end].lower() == token.folded  # no accent, no apostrophe inside
            and not _known(token.folded, view)
            and (best := _nearest(tokens, i, changes, view))
        ):
            changes[i] = best
    for start, end in _runs(tokens):
        if not any(i in changes for i in range(start, end)):
            changes |= _near_name(tokens, start, end, view)
    out, at = [], 0
    for i, word in sorted(changes.items()):
        token = tokens[i]
        out += [question[at : token.start], _cased(question[token.start : token.end], word)]
        at = token.end
    return "".join(out) + question[at:] if changes else question


def _may_be_misspelt(word: str) -> bool:
    letters = sum(c.isalpha() for c in word)
    return (
        letters >= SHORTEST
        and len(word) <= LONGEST
        and letters >= len(word) - 1
        and _WORD.fullmatch(word) is not None
        and word not in STOP
    )


def _held(words: Sequence[str], view: IndexView) -> list[int]:
    """How many units hold each word's index term."""
    stems = [found[0] if (found := terms(word)) else "" for word in words]
    most = dict(zip(stems, view.frequencies(stems), strict=True))
    # The quick count may include removed units; a ranking must not depend on what was removed.
    return [len(view.postings(s)[0]) if s and most[s] else 0 for s in stems]


def _known(word: str, view: IndexView) -> bool:
    return word in common_words() or not terms(word) or _held([word], view)[0] > 0


def _nearest(tokens: Sequence[Token], i: int, changes: dict[int, str], view: IndexView) -> str:
    """The likeliest word for token i, "" if none is near: one that makes a name of its neighbours, else the most frequent."""
    steps: dict[str, float] = {}
    for candidate, weight in _steps(tokens[i].folded):
        steps[candidate] = max(weight, steps.get(candidate, 0.0))
    scores = {c: _NAMED * n * steps[c] for c, n in _in_names(tokens, i, list(steps), changes, view).items()}
    # To stem hundreds of strings costs more than all else, so words that are known to be some come first.
    common = [c for c in steps if c in common_words()]
    # A word written small that is no common one is rather rare than misspelt, unless the base often holds what it is near.
    least = 0.0 if tokens[i].capitalised_or_digit else 2.0
    for some, enough in ((common, 0.0), (list(steps), least)):
        for candidate, held in zip(some, _held(some, view), strict=True):
            if held and held * steps[candidate] >= enough:
                scores[candidate] = scores.get(candidate, 0.0) + steps[candidate] * held
        if scores:
            return min(scores, key=lambda c: (-scores[c], c))
    word = tokens[i].folded
    if tokens[i].capitalised_or_digit and (name := _misread_name(tokens, i, changes, view)):
        return name
    return misprint.put_right_twice(word, lambda w: _held(w, view)) or _split(word, view)


def _misread_name(tokens: Sequence[Token], i: int, changes: dict[int, str], view: IndexView) -> str:
    """The word two look-alikes from token i that makes a name of the base with its neighbours, or is one alone; "" if there is none."""
    away = misprint.twice(tokens[i].folded)
    known = _in_names(tokens, i, away, changes, view)
    held = dict(zip(known, _held(list(known), view), strict=True))
    return min(known, key=lambda w: (-known[w], -held[w], w), default="")


def _apart(question: str, view: IndexView) -> str:
    """The question with unknown words cut before a capital inside ("wbichHans Edler"): each half is then read as a word of its own."""
    out, at = [], 0
    for word in _MIXED.finditer(question):
        cuts = [c.start() + 1 for c in _CAPITAL.finditer(word.group())]
        if word.group()[: cuts[0]].lower() not in _PREFIXES and not _known(word.group().lower(), view):
            for cut in cuts:
                out.append(question[at : word.start() + cut])
                at = word.start() + cut
    return " ".join([*out, question[at:]])


def _in_names(
    tokens: Sequence[Token], i: int, candidates: Sequence[str], changes: dict[int, str], view: IndexView
) -> dict[str, int]:
    """Those candidates that, alone or with capitalised neighbours, are a name of the base: words of the longest such name."""
    if not tokens[i].capitalised_or_digit or not candidates:
        return {}
    run = next(((a, b) for a, b in _runs(tokens, single=True) if a <= i < b), (i, i + 1))
    words = [changes.get(j, t.folded) for j, t in enumerate(tokens)]
    spans = [(a, b) for a in range(run[0], i + 1) for b in range(i + 1, run[1] + 1)]
    found = view.entities([" ".join([*words[a:i], c, *words[i + 1 : b]]) for c in candidates for a, b in spans])
    lengths = np.array([b - a for a, b in spans])
    longest = (lengths * (np.asarray(found).reshape(-1, len(spans)) >= 0)).max(axis=1)
    return {c: int(n) for c, n in zip(candidates, longest, strict=True) if n}


def _runs(tokens: Sequence[Token], *, single: bool = False) -> list[tuple[int, int]]:
    """Runs [start, end) of capitalised words that may be one name; of two words or more unless `single`."""
    out, start = [], None
    for i in range(len(tokens) + 1):
        token = tokens[i] if i < len(tokens) else None
        inside = (
            token is not None
            and (
                (token.capitalised_or_digit and token.folded not in STOP)
                or (start is not None and token.folded in JOINERS and _goes_on(tokens, i))
            )
            and (start is None or token.joins)
        )
        if not inside and start is not None:
            if single or i - start > 1:
                out.append((start, i))
            start = None
        if start is None and token is not None and token.capitalised_or_digit and token.folded not in STOP:
            start = i
    return out


def _goes_on(tokens: Sequence[Token], i: int) -> bool:
    return i + 1 < len(tokens) and tokens[i + 1].capitalised_or_digit and tokens[i + 1].joins


def _near_name(tokens: Sequence[Token], start: int, end: int, view: IndexView) -> dict[int, str]:
    """The change of one word that makes a known name of an unknown run whose words are all known; {} if none does."""
    words = [t.folded for t in tokens[start:end]]
    if len(words) > 6:
        return {}
    parts = [" ".join(words[a:b]) for a in range(len(words)) for b in range(a + 2, len(words) + 1)]
    if any(e >= 0 for e in view.entities(parts)):
        return {}
    tried = [
        (start + j, candidate, weight)
        for j, word in enumerate(words)
        if _may_be_misspelt(word)
        for candidate, weight in _steps(word)
    ]
    forms = [" ".join([*words[: i - start], c, *words[i - start + 1 :]]) for i, c, _ in tried]
    known = [(weight, i, c) for (i, c, weight), e in zip(tried, view.entities(forms), strict=True) if e >= 0]
    if not known:
        return {}
    _, i, candidate = min(known, key=lambda k: (-k[0], k[1], k[2]))
    return {i: candidate}


def _steps(word: str) -> Iterator[tuple[str, float]]:
    """Every word one step away, and how likely that step is a slip: swapped and doubled letters are the commonest."""
    for i in range(len(word) - 1):
        if word[i] != word[i + 1]:
            yield word[:i] + word[i + 1] + word[i] + word[i + 2 :], 3.0
    for i in range(len(word)):
        doubled = i > 0 and word[i] == word[i - 1]
        yield word[:i] + word[i + 1 :], 3.0 if doubled else 1.0
    for seen, meant in _LOOKALIKES:
        at = word.find(seen)
        while at >= 0:
            yield word[:at] + meant + word[at + len(seen) :], 1.0
            at = word.find(seen, at + 1)
    for i in range(len(word) + 1):
        for letter in _LETTERS:
            yield word[:i] + letter + word[i:], 1.0
            if i < len(word) and letter != word[i]:
                # A slip seldom hits the first letter.
                yield word[:i] + letter + word[i + 1 :], 1.0 if i else 0.3


def _split(word: str, view: IndexView) -> str:
    """Two words of the base that were written as one, "" if there are none; the pair whose rarer word is the most frequent."""
    cuts = range(3, len(word) - 2)
    parts = [part for i in cuts for part in (word[:i], word[i:])]
    held = dict(zip(parts, _held(parts, view), strict=True))
    best = (0, "")
    for i in cuts:
        pair = (word[:i], word[i:])
        counts = [held[part] for part in pair if part not in STOP]
        best = max(best, (min(counts, default=0), " ".join(pair)))
    return best[1] if best[0] else ""


def _cased(before: str, word: str) -> str:
    """The word with the capitals that stood there."""
    if " " in word and word != word.lower():
        return word
    if before.isupper() and len(before) > 1:
        return word.upper()
    return word[:1].upper() + word[1:] if before[:1].isupper() else word
