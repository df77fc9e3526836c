"""Answers without a model, over evidence made by hand."""

from __future__ import annotations

import string
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmkg.extract.names import NameExtractor
from mmkg.generate.extractive import ENCODED, ExtractiveGenerator
from mmkg.generate.sentences import split
from mmkg.testing.encoders import HashingEncoder
from mmkg.types import DocumentRef, Evidence, Locator


@pytest.fixture
def archive(make):
    """Units about a lighthouse: every answer below is in one of them, among others of its kind."""
    return [
        make(
            "order",
            "In October 1885 Ottoline Brask ordered the Sorrel Lens from the Brightwater Glassworks. Nobody ever had to pay it.",
            title="How the optic was ordered",
            offset=40,
        ),
        make(
            "chart",
            "The Marigold Lens was ground by Tobit Ambrey in 1893.\nThe Sorrel Lens was ground by Mirela Dusk in 1886.",
            title="Lenses of Vellamar Sound",
            caption="Wall chart of the lenses",
            offset=200,
            page=1,
            kind="image",
        ),
        make(
            "light",
            "Korvane Light was first lit on 1 November 1887. It stands on Korvane Holm. The light shows three flashes every "
            "20 seconds. The tower is 34 metres high.",
            title="Korvane Light",
        ),
        make(
            "wreck", "Saint Brannoc ran aground on Cutler Bank in fog. All seven saved.", title="Telegram", kind="image"
        ),
    ]


@pytest.fixture(params=["words only", "with vectors"])
def generator(request) -> ExtractiveGenerator:
    encoder = HashingEncoder() if request.param == "with vectors" else None
    return ExtractiveGenerator(encoder=encoder, extractor=NameExtractor(), short_threshold=0.05)


@pytest.mark.parametrize(
    ("question", "short", "unit"),
    [
        ("When was Korvane Light first lit?", "1 November 1887", "light"),
        ("In what year was Korvane Light first lit?", "1887", "light"),
        ("How many flashes does Korvane Light show?", "three flashes every 20 seconds", "light"),
        ("How high is the tower of Korvane Light?", "34 metres", "light"),
        ("Where did the Saint Brannoc run aground?", "Cutler Bank", "wreck"),
        ("Who ground the Marigold Lens?", "Tobit Ambrey", "chart"),
        ("The Marigold Lens was ground by whom?", "Tobit Ambrey", "chart"),
    ],
)
def test_a_short_answer_with_its_sentence(generator, archive, question: str, short: str, unit: str) -> None:
    answer = generator.generate(question, archive)
    assert answer.found and answer.short == short
    assert answer.text.startswith(f"{short} [")
    cited = {c.evidence for c in answer.citations if short in c.quote}
    assert cited == {unit}
    assert answer.evidence == tuple(archive) and answer.model == "extractive"


def test_a_chain_over_a_name_that_the_question_does_not_hold(generator, archive) -> None:
    answer = generator.generate("Who ground the lens that Ottoline Brask ordered?", archive)
    assert answer.short == "Mirela Dusk"
    assert [c.evidence for c in answer.citations] == ["order", "chart"]
    assert [s.citations for s in answer.sentences] == [(1,), (2,)]
    assert answer.citations[1].quote == "The Sorrel Lens was ground by Mirela Dusk in 1886."
    assert answer.citations[1].locator.page == 1
    assert answer.citations[1].verdict == "supported"


def test_without_the_first_link_the_chain_is_gone(generator, archive) -> None:
    answer = generator.generate("Who ground the lens that Ottoline Brask ordered?", archive[1:])
    assert not answer.found or answer.short == ""


@pytest.mark.parametrize(
    "question",
    ["What was the fare on the Ullaport ferry in 1987?", "Who won the football cup of Brazil?", "Why?", "?", ""],
)
def test_what_the_evidence_does_not_hold_is_not_found(archive, question: str) -> None:
    for encoder in (None, HashingEncoder()):
        answer = ExtractiveGenerator(encoder=encoder, extractor=NameExtractor()).generate(question, archive)
        assert not answer.found
        assert answer.text == "not found in the base"
        assert (answer.short, answer.sentences, answer.citations) == ("", (), ())
        assert answer.evidence == tuple(archive)


def test_no_evidence(generator, make) -> None:
    assert not generator.generate("Who?", []).found
    assert not generator.generate("Who ground the lens?", [make("picture", "", kind="image")]).found


def test_without_extractor_and_encoder(archive) -> None:
    answer = ExtractiveGenerator().generate("When was Korvane Light first lit?", archive)
    assert answer.found and "1 November 1887" in answer.text


def test_the_thresholds_decide(archive) -> None:
    question = "When was Korvane Light first lit?"
    assert not ExtractiveGenerator(threshold=1.01).generate(question, archive).found
    silent = ExtractiveGenerator(threshold=0.0, short_threshold=1.01).generate(question, archive)
    assert silent.found and silent.short == "" and silent.sentences
    assert ExtractiveGenerator(threshold=0.0).generate("Ullaport ferry football lens", archive).found


def test_captions_and_words_of_pictures_are_quoted_at_their_place(generator, archive) -> None:
    text = "x" * 100 + "Wall chart of the lenses" + "y" * 76 + archive[1].text.split("\n", 1)[1]
    answer = generator.generate("What is on the wall chart of the lenses?", archive[1:2])
    for citation in answer.citations:
        start, end = citation.locator.chars
        assert text[start:end] == citation.quote


def test_given_cosines_are_used_instead_of_an_encoder(archive) -> None:
    encoder = HashingEncoder()
    asked = []

    def cosines(question, evidence):
        asked.append(question)
        return [[1.0 if e.id == "wreck" else 0.0] * 5 for e in evidence]

    answer = ExtractiveGenerator(encoder=encoder, cosines=cosines, threshold=0.0).generate("lit lens fog", archive)
    assert asked == ["lit lens fog"] and encoder.n_encoded == 0
    assert {c.evidence for c in answer.citations} == {"wreck"}


def test_few_sentences_are_encoded(make) -> None:
    encoder = HashingEncoder()
    units = [make(f"u{i}", " ".join(f"The boat number {j} of day {i} sailed." for j in range(30))) for i in range(8)]
    ExtractiveGenerator(encoder=encoder).generate("Which boat sailed on day 3?", units)
    assert encoder.n_encoded <= ENCODED + 1


def test_the_same_question_has_the_same_answer(generator, archive) -> None:
    question = "Who ground the lens that Ottoline Brask ordered?"
    first = generator.generate(question, archive)
    assert all(generator.generate(question, archive) == first for _ in range(3))


def test_a_short_answer_is_never_what_the_question_says(generator, archive) -> None:
    answer = generator.generate("Who is Ottoline Brask?", archive)
    assert "Ottoline Brask" not in answer.short


@pytest.mark.models
def test_names_with_labels(archive) -> None:
    from mmkg.extract.names import load_extractor

    generator = ExtractiveGenerator(extractor=load_extractor(ner=True))
    answer = generator.generate("Who ground the lens that Ottoline Brask ordered?", archive)
    assert answer.short == "Mirela Dusk"


_names = st.sampled_from(["Ada Thornquist", "Grey Petrel", "Korvane Light", "Vellamar", "Tern Rock"])
_words = st.lists(
    st.one_of(_names, st.sampled_from(["was", "lit", "on", "the", "by", "1", "November", "1887", "in", "of", "a", "boat", "34", "metres", "high", "two"]),
              st.text(string.ascii_letters + "éß\u202e[]<>", min_size=1, max_size=6)),
    min_size=1, max_size=12,
).map(" ".join)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(
    units=st.lists(st.lists(_words, min_size=1, max_size=5), min_size=1, max_size=5),
    asked=st.sampled_from(["Who", "Where", "When", "How many", "Which boat", "What", "How high"]),
    rest=_words,
    vectors=st.booleans(),
)
def test_every_citation_quotes_its_document(units, asked: str, rest: str, vectors: bool) -> None:
    texts, evidence = {}, []
    for n, sentences in enumerate(units):
        body = ". ".join(sentences) + "."
        text = f"Heading {n}\n{body}"
        start = len(text) - len(body)
        texts[f"u{n}"] = text
        evidence.append(
            Evidence(
                id=f"u{n}",
                kind="text",
                score=1.0,
                text=body,
                document=DocumentRef(id=f"d{n}", name=f"Heading {n}", uri=""),
                locator=Locator(chars=(start, len(text)), page=n + 1),
                spans=((start, len(text)),),
                sentences=tuple(split(text, start)),
            )
        )
    generator = ExtractiveGenerator(
        encoder=HashingEncoder() if vectors else None, extractor=NameExtractor(), threshold=0.0, short_threshold=0.0
    )
    question = f"{asked} {rest}?"
    answer = generator.generate(question, evidence)
    assert [c.marker for c in answer.citations] == list(range(1, len(answer.citations) + 1))
    for citation in answer.citations:
        start, end = citation.locator.chars
        assert texts[citation.evidence][start:end] == citation.quote
        assert citation.locator.page == int(citation.evidence[1:]) + 1
    assert {m for s in answer.sentences for m in s.citations} == {c.marker for c in answer.citations}
    assert not answer.short or any(answer.short in c.quote for c in answer.citations)
    assert generator.generate(question, [replace(e) for e in evidence]) == answer
