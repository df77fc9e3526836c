"""Where the walk starts."""

from hypothesis import given
from hypothesis import strategies as st

from mmkg.retrieve.seeds import SENTENCE_WEIGHT, sentence_weight


@given(st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_the_more_the_names_are_titles_the_less_near_sentences_count(one, other):
    low, high = sorted((one, other))
    assert SENTENCE_WEIGHT == sentence_weight(0.0) >= sentence_weight(low) >= sentence_weight(high) > 0.0
