"""What a question asks for."""

from __future__ import annotations

import pytest

from mmkg.generate.question import Kind, read_question
from mmkg.generate.short import candidates


@pytest.mark.parametrize(
    ("question", "kind", "noun"),
    [
        ("Who painted it?", Kind.PERSON, ""),
        ("The film was directed by whom?", Kind.PERSON, ""),
        ("Will Ferrell had a role in the film directed by whom?", Kind.PERSON, ""),
        ("Where was the man who painted it born?", Kind.PLACE, ""),
        ("When was it built?", Kind.DATE, ""),
        ("In what year was it built?", Kind.DATE, "year"),
        ("What is the date of birth of its engineer?", Kind.DATE, "date"),
        ("Which captain commanded the boat?", Kind.PERSON, "captain"),
        ("What New York county is it in?", Kind.PLACE, "counti"),
        ("What is the population of the city?", Kind.NUMBER, ""),
        ("What is the highest level at the gauge?", Kind.NUMBER, ""),
        ("How many flashes does it show?", Kind.NUMBER, "flash"),
        ("How tall is the tower?", Kind.NUMBER, ""),
        ("On which floor was the room?", Kind.NAME, "floor"),
        ("What film company made it?", Kind.GROUP, "compani"),
        ("Which film came out first, Ada or Bee?", Kind.CHOICE, ""),
        ("Are both villages in the same country?", Kind.OPEN, ""),
        ("What is it?", Kind.OPEN, ""),
        ("Why did it sink?", Kind.OPEN, ""),
        ("How does it work?", Kind.OPEN, ""),
        ("", Kind.OPEN, ""),
    ],
)
def test_kind_and_noun(question: str, kind: Kind, noun: str) -> None:
    read = read_question(question)
    assert (read.kind, read.noun) == (kind, noun)


@pytest.mark.parametrize(
    ("question", "sentence", "expected"),
    [
        ("When was it lit?", "It was lit on 1 November 1887.", ["1 November 1887"]),
        ("When was it lit?", "It was lit on November 1, 1887, again in 1902.", ["November 1, 1887", "1902"]),
        ("In which month was it lit?", "It was lit on 1 November 1887.", ["November"]),
        ("How many treads are new?", "Seven of its 24 treads are new.", ["24 treads"]),
        ("How long is it?", "It is 4.6 m long and cost 9,400 crowns.", ["4.6 m", "9,400 crowns"]),
        ("How many people live there?", "About 1.2 million people live there.", ["About 1.2 million people"]),
        ("Which floor?", "Third floor: the room of Anselm Quarrie.", ["Third floor", "Anselm Quarrie"]),
        ("Who commanded it?", "Captain Idris Vantongren commanded it.", ["Idris Vantongren"]),
        ("Who met Ada Thornquist?", "Ada Thornquist met Una Castellane.", ["Una Castellane"]),
        ("Why?", "Ada Thornquist met Una Castellane in 1902.", []),
    ],
)
def test_candidates(question: str, sentence: str, expected: list[str]) -> None:
    found = candidates(read_question(question), sentence)
    best = max((c.fit for c in found), default=0)
    assert [c.text for c in found if c.fit >= 0.4 * best][: len(expected) + 1] == expected
    assert all(sentence[c.span[0] : c.span[1]].strip() == c.text for c in found)
