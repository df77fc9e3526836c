"""The ranked passes: changed questions, pools, features, the ranker, over a real index in memory."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from mmkg.errors import ConfigError
from mmkg.retrieve.features import places
from mmkg.retrieve.ranker import LinearRanker, RankerSet, load_rankers, packaged_rankers, read_rankers
from mmkg.retrieve.training import Example, fit
from mmkg.types import Modality

QUESTION = "Where was the commander of Apollo 11 born?"


@pytest.fixture(scope="module")
def heard(apollo, retriever_of):
    """A retriever that notes the texts it encodes, and the notes."""
    from mmkg.testing.encoders import HashingEncoder

    texts: list[str] = []

    def encode(items):
        texts.extend(items)
        return HashingEncoder(dim=256).encode_query(items)

    return retriever_of(apollo.view.units, encode=encode), texts


@pytest.mark.parametrize("effort", [1, 2, 3])
def test_every_effort_ranks_all_units_once(apollo, effort):
    ranked = apollo.rank(QUESTION, k=6, effort=effort)
    assert sorted(ranked.units.tolist()) == list(range(6))
    assert 0 < ranked.scores[-1] <= ranked.scores[0] <= 1
    assert np.all(np.diff(ranked.scores) <= 0)
    assert ranked.name == "ranker"


def test_the_same_order_on_many_threads(apollo):
    with ThreadPoolExecutor(4) as pool:
        runs = [r.units.tolist() for r in pool.map(lambda _: apollo.rank(QUESTION, k=6, effort=3), range(12))]
    assert runs == [runs[0]] * 12


def test_an_effort_that_does_not_exist_is_refused(apollo):
    with pytest.raises(ValueError, match="effort"):
        apollo.rank(QUESTION, effort=4)


def test_without_an_encoder_every_effort_is_the_walk(retriever_of, apollo):
    plain = retriever_of(apollo.view.units, encode_query=None, encode=None)
    assert plain.max_effort == 0
    assert plain.rank(QUESTION, effort=3).units.tolist() == plain.rank(QUESTION).units.tolist()


def test_the_anchor_is_replaced_by_what_was_found_and_left_out(heard):
    retriever, texts = heard
    question = "In which town was born the commander of Apollo 11?"
    retriever.rank(question, k=6, effort=2)
    assert "In which town was born the commander of Neil Armstrong?" in texts
    assert "In which town was born the commander of ?" in texts


def test_no_text_is_encoded_twice(heard):
    retriever, texts = heard
    texts.clear()
    retriever.rank(QUESTION, k=6, effort=3)
    assert len(texts) == len(set(texts))


def test_no_year_and_no_name_of_the_question_is_put_in(retriever_of, unit):
    units = [
        unit("a", "In 1969 Apollo 11 was flown by Neil Armstrong of Ohio.", "Apollo 11"),
        unit("b", "Neil Armstrong left in 1969 for Ohio.", "Neil Armstrong"),
        unit("c", "Ohio had a good year in 1969.", "Ohio"),
    ]
    made = retriever_of(units).prepared("Who flew Apollo 11?", 1)
    assert made is not None
    retriever, texts = retriever_of(units), []
    retriever._encode_all = lambda items: (texts.extend(items), apollo_vectors(items))[1]
    retriever.rank("Who flew Apollo 11?", effort=2)
    assert "Who flew Neil Armstrong?" in texts
    assert not {"Who flew 1969?", "Who flew Apollo 11?"} & set(texts)


def apollo_vectors(items):
    from mmkg.testing.encoders import HashingEncoder

    return HashingEncoder(dim=256).encode_query(items)


def test_features_are_finite_and_those_that_the_rankers_know(apollo, retriever_of, unit, image):
    bare = [
        image("img", looks_like="a capsule"),
        unit("quiet", "", "Silence"),
        unit("plain", "Words without any name."),
    ]
    retriever = retriever_of([*apollo.view.units, *bare])
    for number, ranker in enumerate(packaged_rankers().passes):
        for question in (QUESTION, "capsule", "???", "the of and", "Nobody Known in 1969"):
            made = retriever.prepared(question, number)
            assert made is not None
            assert all(np.isfinite(values).all() for values in made.columns.values())
            assert all(np.abs(values).max(initial=0) <= 3 for values in made.columns.values())
            assert set(ranker.features) <= set(made.columns)


def test_a_filter_holds_at_every_effort(retriever_of, unit, image):
    units = [
        unit("a", "Apollo 11 was flown by Neil Armstrong.", "Apollo 11"),
        unit("b", "Neil Armstrong was born in Ohio.", "Neil Armstrong"),
        image("c", "Neil Armstrong in a portrait.", "Neil Armstrong"),
    ]
    for effort in (1, 2, 3):
        ranked = retriever_of(units).rank(QUESTION, modalities=frozenset({Modality.IMAGE}), effort=effort)
        assert ranked.units.tolist() == [2]


def test_an_empty_base_gives_nothing_at_any_effort(retriever_of):
    assert not len(retriever_of([]).rank(QUESTION, effort=3).units)


# ---- Parts -------------------------------------------------------------------------------------------------------


def test_equal_values_share_a_place_and_absent_ones_have_none():
    assert places(np.array([0.2, 0.7, 0.7, 0.0])).tolist() == pytest.approx([10 / 13, 10 / 11, 10 / 11, 0.0])


def test_rankers_survive_their_file(tmp_path):
    packaged_rankers().write(tmp_path / "r.json")
    again = load_rankers(tmp_path / "r.json")
    assert [p.features for p in again.passes] == [p.features for p in packaged_rankers().passes]
    assert all(np.allclose(a.weights, b.weights) for a, b in zip(again.passes, packaged_rankers().passes, strict=True))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"format": 2, "passes": []}',
        '{"format": 1, "passes": [{"dense": [0, 0, 1]}]}',
        '{"format": 1, "passes": [{"dense": [0, 1]}]}',
        '{"format": 1, "passes": [{"dense": [0, 1, NaN]}]}',
        '{"format": 1, "passes": {"dense": 3}}',
    ],
    ids=["nothing", "list", "newer", "no scale", "short", "not finite", "no passes"],
)
def test_a_file_that_is_no_ranker_is_refused(text):
    with pytest.raises(ConfigError, match=r"r\.json is not a ranker"):
        read_rankers(text, source="r.json")


def test_a_ranker_refuses_features_that_are_not_computed():
    one = LinearRanker(features=("a", "b"), mean=np.zeros(2), scale=np.ones(2), weights=np.ones(2))
    with pytest.raises(ConfigError, match="not computed: b"):
        one.scores({"a": np.zeros(3)})


def test_fitting_finds_the_feature_that_tells_and_one_unit_of_a_document_is_enough():
    rng = np.random.default_rng(3)
    examples = []
    for _ in range(60):
        values = rng.normal(size=(12, 3)).astype(np.float32)
        gold = np.zeros(12, dtype=bool)
        gold[:3] = True  # document 0 has three units, only the first looks like it
        values[0, 1] += 4.0
        documents = np.array([0, 0, 0, *range(1, 10)])
        examples.append(Example(values=values, document=documents, gold=gold))
    ranker = fit(examples, ["noise", "signal", "other"])
    assert abs(ranker.weights[1]) > 3 * np.abs(ranker.weights[[0, 2]]).max()
    assert ranker.weights[1] > 0
    first = [
        RankerSet(passes=(ranker,)).passes[0].scores(dict(zip(ranker.features, e.values.T, strict=True)))
        for e in examples
    ]
    assert np.mean([scores.argmax() == 0 for scores in first]) > 0.9


def test_fitting_needs_something_to_tell_apart():
    same = Example(values=np.zeros((2, 1), np.float32), document=np.array([0, 0]), gold=np.ones(2, bool))
    with pytest.raises(ValueError, match="no question"):
        fit([same], ["a"])
