"""The weights that are shipped, and what they may depend on."""

from __future__ import annotations

import json
from importlib import resources

import pytest

from mmkg.generate.extractive import ExtractiveGenerator, best_short, support_row
from mmkg.generate.rank import PHRASE, SHORT, SUPPORT, probability, threshold

MODELS = {
    "phrase": PHRASE,
    "short": SHORT,
    "support": SUPPORT,
    "support_lexical": [n for n in SUPPORT if n != "cosine"],
}


def test_each_feature_has_a_weight_and_each_weight_a_feature() -> None:
    held = json.loads(resources.files("mmkg.generate").joinpath("answer_weights.json").read_text(encoding="utf-8"))
    assert {name: sorted(weights) for name, weights in held["models"].items()} == {
        name: sorted([*features, "bias"]) for name, features in MODELS.items()
    }
    assert sorted(held["thresholds"]) == ["short", "support", "support_lexical"]


def test_signs_are_as_they_must_be() -> None:
    everything = dict.fromkeys(SUPPORT, 0.0)
    for name in ("support", "support_lexical"):
        assert probability(name, everything | {"covered": 1.0}) > probability(name, everything)
        assert probability(name, everything | {"missing_name": 1.0}) < probability(name, everything)
        assert 0.0 < threshold(name) < 1.0
    rivals = dict.fromkeys(SHORT, 0.0)
    assert probability("short", rivals | {"margin": 0.5}) > probability("short", rivals | {"rivals": 1.0})


def test_a_phrase_with_rivals_is_less_sure(make) -> None:
    generator = ExtractiveGenerator()
    alone = make("a", "The tower was lit on 1 November 1887.")
    among = make("b", "The tower was lit on 1 November 1887, 3 May 1899 and 4 June 1902.")
    sure = []
    for unit in (alone, among):
        reading = generator.read("When was the tower lit?", [unit])
        assert reading is not None
        short, chain = best_short(reading)
        assert short is not None and short.text == "1 November 1887"
        assert set(support_row(reading, chain, short)) == set(SUPPORT)
        sure.append(short.probability)
    assert sure[0] > sure[1]


@pytest.mark.parametrize(
    ("question", "short"),
    [
        ("When was Neil Vey born?", "5 August 1930"),
        ("When did Neil Vey die?", "25 August 2012"),
        ("Who wrote the log of the Petrel?", "Ada Thornquist"),
        ("Which captain sailed the Petrel?", "Idris Vantongren"),
    ],
)
def test_cues_decide_between_phrases_of_one_kind(make, question: str, short: str) -> None:
    units = [
        make("vey", "Neil Vey (5 August 1930 – 25 August 2012) was a keeper.", title="Neil Vey"),
        make("log", "The log of the Petrel, by Ada Thornquist, names Una Castellane.", title="Log"),
        make("crew", "Mate Oswin Tarrow and Captain Idris Vantongren sailed the Petrel.", title="Crew"),
    ]
    reading = ExtractiveGenerator().read(question, units)
    assert reading is not None
    found, _ = best_short(reading)
    assert found is not None and found.text == short
