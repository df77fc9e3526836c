"""Kinds of things that pixels can tell apart, the prompts they are compared with, and the words that say a name is of a kind.

A fixed list: the prompts are encoded once for each space of pictures, and no other model call is needed for depictions.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

NOTHING = "nothing"
"""Kind of the prompts that stand for pictures of no thing that has a name: pages, charts, patterns."""


class Kind(NamedTuple):
    """name: what is said of it. nouns: folded words by which a name, or the words beside it, tell the kind."""

    name: str
    nouns: frozenset[str]


def _kind(name: str, nouns: str) -> Kind:
    return Kind(name, frozenset(nouns.split()))


KINDS = (
    _kind(
        "person", "man woman captain keeper astronaut pilot president queen king poet painter singer player scientist"
    ),
    _kind("lighthouse", "lighthouse light beacon"),
    _kind(
        "ship",
        "ship boat vessel steamer schooner ferry yacht tug trawler drifter cutter lifeboat liner barge destroyer",
    ),
    _kind("castle", "castle fort fortress palace"),
    _kind("church", "church chapel cathedral abbey basilica mosque temple synagogue monastery"),
    _kind("bridge", "bridge viaduct aqueduct"),
    _kind("house", "house cottage hall manor villa farm inn hotel building school museum library station"),
    _kind("tower", "tower skyscraper obelisk monument"),
    _kind("mountain", "mountain mount peak hill volcano cliff"),
    _kind("lake", "lake reservoir loch"),
    _kind("coast", "beach bay cove coast harbour harbor quay pier island isle holm"),
    _kind("rocket", "rocket missile shuttle launch"),
    _kind("spacecraft", "spacecraft module capsule satellite probe orbiter lander telescope"),
    _kind("aircraft", "aircraft airplane aeroplane plane jet helicopter airship glider bomber"),
    _kind("train", "train locomotive railway tram"),
    _kind("car", "car automobile truck lorry bus motorcycle bicycle tractor rover"),
    _kind("dog", "dog hound terrier retriever"),
    _kind("cat", "cat kitten"),
    _kind("horse", "horse pony mare stallion"),
    _kind("bird", "bird eagle owl gull parrot duck"),
    _kind("wild animal", "bear elephant lion tiger zebra giraffe monkey whale wolf"),
    _kind("flower", "flower rose tree orchid garden"),
    _kind("food", "pizza cake bread fruit soup dish"),
    _kind("clock", "clock watch"),
    _kind("musical instrument", "guitar piano violin organ bell drum"),
    _kind("lens", "lens lamp lantern"),
)
_NO_THING = (
    "a page of printed text",
    "a bar chart with numbers",
    "a diagram with labels",
    "a map with names of places",
    "a logo or emblem",
    "a screenshot of a web page",
    "a plain background",
)
_PROMPTS = tuple(f"a photo of a {kind.name}" for kind in KINDS)


def prompts() -> tuple[str, ...]:
    """The texts whose vectors a picture's is compared with: one for each of KINDS, then those of no thing."""
    return (*_PROMPTS, *_NO_THING)


def kind_at(prompt: int) -> str:
    """Name of the kind that a prompt stands for."""
    return KINDS[prompt].name if prompt < len(KINDS) else NOTHING


@cache
def _by_noun() -> dict[str, str]:
    return {noun: kind.name for kind in KINDS for noun in sorted(kind.nouns)}


def kind_of_words(words: Sequence[str]) -> str:
    """The kind that the last telling word says, "" if none does.

    >>> kind_of_words(["korvane", "light"]), kind_of_words(["paris"])
    ('lighthouse', '')
    """
    return next((_by_noun()[w] for w in reversed(words) if w in _by_noun()), "")
