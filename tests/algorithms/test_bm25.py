"""BM25 against the bm25s package, and what index terms are."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import bm25s
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmkg.algorithms.bm25 import bm25_scores, idf
from mmkg.algorithms.keys import entity_key, term_key
from mmkg.algorithms.names import fold
from mmkg.algorithms.terms import STOP_WORDS, stem, terms

WORDS = [f"w{i}" for i in range(40)]
texts = st.lists(st.sampled_from(WORDS), min_size=1, max_size=30)


def postings_of(corpus):
    held = {}
    for unit, words in enumerate(corpus):
        for word, times in Counter(words).items():
            units, tf = held.setdefault(word, ([], []))
            units.append(unit)
            tf.append(times)
    arrays = {w: (np.array(u, np.int32), np.array(t, np.int32)) for w, (u, t) in held.items()}
    none = np.empty(0, np.int32)
    return lambda term: arrays.get(term, (none, none))


def scores_of(corpus, query, **options):
    return bm25_scores(query, postings_of(corpus), np.array([len(words) for words in corpus], np.int32), **options)


@settings(max_examples=60, deadline=None)
@given(st.lists(texts, min_size=2, max_size=25), texts, st.sampled_from([(1.5, 0.75), (1.2, 0.0), (0.9, 0.4)]))
def test_scores_and_ranking_equal_those_of_bm25s(corpus, query, parameters):
    k1, b = parameters
    reference = bm25s.BM25(method="lucene", k1=k1, b=b)
    reference.index(corpus, show_progress=False)
    known = [word for word in query if word in reference.vocab_dict]
    expected = reference.get_scores(known) if known else np.zeros(len(corpus))
    found = scores_of(corpus, query, k1=k1, b=b)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    # The same ranking wherever the reference's single precision tells two units apart.
    order = np.argsort(-found, kind="stable")
    assert np.all(np.diff(expected[order]) <= 1e-5)


@given(st.lists(texts, min_size=1, max_size=10), texts, st.randoms())
def test_order_of_the_query_changes_no_bit(corpus, query, random):
    shuffled = list(query)
    random.shuffle(shuffled)
    assert np.array_equal(scores_of(corpus, query), scores_of(corpus, shuffled))


@given(st.lists(texts, min_size=1, max_size=10), texts)
def test_units_without_words_change_no_score(corpus, query):
    longer = [*corpus, [], []]
    assert np.array_equal(scores_of(longer, query)[: len(corpus)], scores_of(corpus, query))
    assert not scores_of(longer, query)[len(corpus) :].any()


def test_nothing_indexed_scores_nothing():
    assert scores_of([[], []], ["w1"]).tolist() == [0.0, 0.0]
    assert scores_of([], ["w1"]).tolist() == []


@pytest.mark.parametrize("options", [{"k1": -1.0}, {"b": 1.5}, {"b": -0.1}])
def test_parameters_out_of_range_are_refused(options):
    with pytest.raises(ValueError, match="expected k1"):
        scores_of([["w1"]], ["w1"], **options)


def test_idf_is_positive_falls_with_df_and_checks_its_range():
    values = [idf(100, df) for df in range(101)]
    assert values == sorted(values, reverse=True) and values[-1] > 0
    with pytest.raises(ValueError, match="df must be"):
        idf(3, 4)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("The and of", []),
        ("Running runs run", ["run", "run", "run"]),
        ("Zürich's CAFÉ", ["zurich", "cafe"]),
        ("O\u2019Brien O'Brien", ["obrien", "obrien"]),
        ("in 1969, at 10:30", ["1969", "10", "30"]),
        ("snake_case", ["snake", "case"]),
        ("ﬁgure Ⅳ", ["figur", "iv"]),
        ("x" * 100, ["x" * 100]),
        ("北京 Москва", ["北京", "москва"]),
    ],
    ids=[
        "empty",
        "stop words",
        "stems",
        "accents and 's",
        "apostrophes",
        "digits",
        "underscore",
        "ligature",
        "long",
        "scripts",
    ],
)
def test_terms(text, expected):
    assert terms(text) == expected


@given(st.text())
def test_terms_of_any_text_are_folded_words(text):
    for term in terms(text):
        assert term.isalnum() and fold(term) == term


def test_stop_words_are_dropped_in_any_case():
    assert terms(" ".join(STOP_WORDS).upper()) == []


@given(st.text(alphabet=st.characters(codec="ascii"), max_size=30))
def test_case_changes_no_term(text):
    assert terms(text) == terms(text.upper()) == terms(text.lower())


def test_terms_from_several_threads_are_the_same():
    # The stemmer keeps its word in the object: without a lock, threads stem each other's words.
    texts = [
        " ".join(f"{a}{b}ing{'s' * (i % 3)}" for a in "bcdfghklm" for b in "aeiou") + f" x{i}ness" for i in range(40)
    ]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(terms, texts))
    stem.cache_clear()
    assert together == [terms(text) for text in texts]


def test_keys_are_fixed_for_ever():
    # From the definition: blake2b, 8 bytes, little endian. A base on disk depends on them.
    assert term_key("paris") == entity_key("paris") % 2**64
    assert entity_key("").to_bytes(8, "little", signed=True).hex() == "e4a6a0577479b2b4"
    assert -(2**63) <= entity_key("paris") < 2**63
