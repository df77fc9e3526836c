"""Which entities of the base a question names."""

from __future__ import annotations

import pytest

from mmkg.extract.names import NameExtractor
from mmkg.retrieve.question import QuestionEntity, asks_for_pictures, question_entities, wanted_media


@pytest.fixture(scope="module")
def view(index_of, unit):
    return index_of(
        [
            unit("a", "The film was shot in New South Wales by Peter Weir in 1975.", "Picnic at Hanging Rock"),
            unit("b", "Speed is a film. The weather in Wales was bad.", "Speed"),
            unit("c", "Hanging Rock lies in Victoria.", "Hanging Rock (place)"),
        ]
    )


def names(question, view):
    return [e.canonical for e in question_entities(question, view, NameExtractor())]


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("Who directed Picnic at Hanging Rock?", ["picnic at hanging rock"]),
        ("where is hanging rock", ["hanging rock"]),
        ("Who made Speed?", ["speed"]),
        ("Speed of what?", []),
        ("What was shot in New South Wales in 1975?", ["new south wales", "1975"]),
        ("which film was shot in new south wales?", ["new south wales"]),
        ("Is Peter Weir older than Peter Jackson?", ["peter weir"]),
        ("Peter Weir and Peter Weir", ["peter weir"]),
        ("What is the airspeed of a swallow?", []),
        ("?!", []),
        ("", []),
    ],
    ids=[
        *("longest title", "lower case", "one common word", "opens the question", "names and years", "vocabulary"),
        *("unknown is dropped", "once each", "nothing", "no words", "empty"),
    ],
)
def test_entities(question, expected, view):
    assert names(question, view) == expected


def test_spans_point_into_the_question(view):
    question = "Was Peter Weir ever at Hanging Rock?"
    found = question_entities(question, view, NameExtractor())
    assert [question[e.start : e.end] for e in found] == ["Peter Weir", "Hanging Rock"]
    assert view.entity_ids([e.entity for e in found]) == [e.canonical for e in found]


def test_works_without_an_extractor(view):
    assert [e.canonical for e in question_entities("Who directed Hanging Rock?", view)] == ["hanging rock"]


def test_asks_for_pictures():
    assert asks_for_pictures("Is there a DIAGRAM of it?")
    assert not asks_for_pictures("Who photographed it?")


@pytest.mark.parametrize(
    ("question", "wanted"),
    [
        ("photo of an astronaut on the Moon", "image"),
        ("an old black and white photograph of the harbour", "image"),
        ("Show me a map where Tern is marked", "image"),
        ("Is there a picture that shows the crew?", "image"),
        ("Ona Mole in her boat, official portrait", "image"),
        ("footage of the landing", "video"),
        ("the flag being planted, film", "video"),
        ("recording of the harbour bell", "audio"),
        ("Who took the photo of the crew?", ""),
        ("In which film is the painting of the ship burnt?", ""),
        ("Portrait of a Lady is set in which town?", ""),
        ("the map maker of Tern", ""),
        ("Was the film of the landing lost?", ""),
        ("director of film Tern", ""),
        ("Who commanded the crew?", ""),
        ("", ""),
    ],
)
def test_a_thing_that_is_asked_for_and_one_that_is_only_spoken_of(question, wanted):
    assert "".join(wanted_media(question)) == wanted


def test_a_name_with_a_word_for_pictures_is_no_request():
    name = QuestionEntity("portrait of jennie", 0, 0, 18, "title")
    assert not wanted_media("Portrait of Jennie, its director", [name])
