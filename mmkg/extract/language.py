"""Which language a text is in, where it is not English: by script, and by how many of its words are a language's function words.

Function words carry a third to a half of any prose and differ between languages, so a dozen words are mostly enough; lists, tables and
names have few and are left untold. Lists of function words are spaCy's, which is installed anyway. Near relatives written alike (Danish and Norwegian,
Serbian and Bulgarian) are told apart by majority only.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cache
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path

from mmkg.errors import MissingDependencyError
from mmkg.types import LANGUAGES, DocumentFacts, pack_ordinals

LATIN = ("de", "fr", "es", "it", "pt", "nl", "sv", "da", "nb", "fi", "pl", "cs", "hu", "ro", "tr", "hr", "id", "ca")
CYRILLIC = ("ru", "uk", "bg", "sr")
ARABIC = ("ar", "fa", "ur")
SCRIPTS: Mapping[str, tuple[str, ...]] = {
    "CYRILLIC": CYRILLIC,
    "ARABIC": ARABIC,
    "GREEK": ("el",),
    "HEBREW": ("he",),
    "DEVANAGARI": ("hi",),
    "BENGALI": ("bn",),
    "TAMIL": ("ta",),
    "THAI": ("th",),
    "HANGUL": ("ko",),
    "HIRAGANA": ("ja",),
    "KATAKANA": ("ja",),
    "CJK": ("zh",),
    "GEORGIAN": ("ka",),
    "ARMENIAN": ("hy",),
}
"""Scripts, as Unicode names begin, and the languages that are told apart in each."""

_WORDS = 400
_FEWEST, _LEAST_SHARE, _OVER_ENGLISH = 8, 0.15, 1.5
"""Words that are needed at all; share of them that must be function words; and how far above English's share that must lie."""
_TOKEN = re.compile(r"[^\W\d_]{2,}")


def language_of(text: str) -> str:
    """The ISO code of the language of a text; "" for English, and where too little says so.

    >>> language_of("Der Leuchtturm wurde im Jahr 1871 gebaut, und er steht noch immer auf der Klippe über dem Hafen.")
    'de'
    >>> language_of("The lighthouse was built in 1871, and it still stands on the cliff above the harbour.")
    ''
    >>> language_of("Маяк был построен в 1871 году и до сих пор стоит на скале над гаванью.")
    'ru'
    """
    sample = unicodedata.normalize("NFC", text[:6_000])
    script = _script(sample)
    if script in ("HIRAGANA", "KATAKANA", "CJK", "THAI"):  # written without spaces
        return SCRIPTS[script][0]
    words = [w.casefold() for w in _TOKEN.findall(sample)[:_WORDS]]
    if script:
        known = SCRIPTS[script]
        if len(words) < 3:
            return ""
        return known[0] if len(known) == 1 else _most(words, known)[0]
    if len(words) < _FEWEST:
        return ""
    best, share = _most(words, LATIN)
    english = _share(words, "en")
    return best if share >= max(_LEAST_SHARE, _OVER_ENGLISH * english) else ""


def _most(words: list[str], languages: Iterable[str]) -> tuple[str, float]:
    """The language with the largest share of function words; ties to the first of the list."""
    shares = [(language, _share(words, language)) for language in languages]
    return max(shares, key=lambda pair: pair[1])


def _share(words: list[str], language: str) -> float:
    held = _function_words(language)
    return sum(w in held for w in words) / len(words)


def _script(text: str) -> str:
    """The script that most letters of a text are in, of SCRIPTS; "" for Latin and for others. Kana outweigh the Han around them."""
    counts: Counter[str] = Counter()
    letters = [c for c in text[:1_500] if c.isalpha()]
    for c in letters:
        if c > "\u036f":
            name = unicodedata.name(c, "").split(" ", 1)[0].split("-", 1)[0]
            if name in SCRIPTS:
                counts[name] += 1
    if not counts or 2 * sum(counts.values()) < len(letters):
        return ""
    kana = counts["HIRAGANA"] + counts["KATAKANA"]
    if kana and 10 * kana >= counts["CJK"]:
        return "HIRAGANA"
    return max(sorted(counts), key=lambda name: counts[name])


@cache
def _function_words(language: str) -> frozenset[str]:
    # The list's file alone: importing it by name imports spaCy, torch with it, and the language's tokenizer (5 s of work in all).
    package = find_spec("spacy")
    if package is None or package.origin is None:
        raise MissingDependencyError("lists of function words come with spaCy", hint="pip install spacy")
    path = Path(package.origin).parent / "lang" / language / "stop_words.py"
    spec = spec_from_file_location(f"_function_words_{language}", path)
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    words = module.STOP_WORDS
    return frozenset(unicodedata.normalize("NFC", w).casefold() for w in words if len(w) > 1)


def with_languages(facts: DocumentFacts) -> DocumentFacts:
    """The facts with the languages of those units that are not in English, among the document's properties (LANGUAGES)."""
    found = {u.ordinal: language for u in facts.units if (language := language_of(facts.words(u)))}
    meta = {k: v for k, v in facts.meta.items() if k != LANGUAGES}
    if found:
        meta[LANGUAGES] = pack_ordinals(found)
    return facts if meta == facts.meta else replace(facts, meta=dict(sorted(meta.items())))
