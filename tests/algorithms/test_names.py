"""The normal form of names: folding, tokens, titles, gazetteer match, capitalised runs, years."""

from __future__ import annotations

import sys
import unicodedata
from importlib import resources

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mmkg.algorithms.names import (
    canon,
    capitalised_runs,
    fold,
    form_key,
    is_common,
    match_titles,
    may_be_alone,
    title_forms,
    tokenize,
    years,
)


def folded(text: str) -> list[str]:
    return [t.folded for t in tokenize(text)]


def runs(text: str) -> list[str]:
    return [text[s.start : s.end] for s in capitalised_runs(text)]


def found(text: str, known: set[str], **options: bool) -> list[str]:
    return [form for _, _, form in match_titles(tokenize(text), known, **options)]


# ---- Folding and tokens ------------------------------------------------------------------------------------------


# Characters that folding or the tokenizer treat in a way of their own; lone surrogates come out of broken files.
UNUSUAL = [
    c
    for c in map(chr, range(128, sys.maxunicode + 1))
    if unicodedata.category(c)[0] == "M"
    or unicodedata.category(c) in ("Lm", "Lt", "Nl", "No", "Cf")
    or unicodedata.normalize("NFKD", c) != c
    or c.casefold() != c
    if not "\uac00" <= c <= "\ud7a3"  # Hangul syllables decompose by one rule
] + ["\ud800", "\udfff", "\uac00"]


def test_folding_and_canon_are_idempotent_for_every_unusual_character() -> None:
    assert [hex(ord(c)) for c in UNUSUAL if fold(fold(c)) != fold(c)] == []
    words = [(c, canon(f"x{c}y")) for c in UNUSUAL]
    assert [hex(ord(c)) for c, word in words if canon(word) != word] == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("O'Brien’s café", ["obrien", "cafe"]),
        ("rock'n'roll", ["rocknroll"]),
        ("NASA'S 3rd", ["nasa", "3rd"]),
        ("Jean-Luc Godard", ["jean", "luc", "godard"]),
        (unicodedata.normalize("NFD", "Émile Zürich"), ["emile", "zurich"]),
        ("Tromsø, Łódź, Straße", ["tromso", "lodz", "strasse"]),
        ("हिन्दी भाषा", ["हिनदी", "भाषा"]),
        ("co\u00adoperate", ["cooperate"]),
        ("U.S. AT&T", ["u", "s", "at", "t"]),
        ("\u00bd _ -- ?!", ["12"]),
        ("", []),
    ],
)
def test_tokens(text: str, expected: list[str]) -> None:
    assert folded(text) == expected


@given(st.text())
@example("ﷺ ﷺ's")
@example("a'b’c")
def test_tokens_lie_in_order_and_fold_to_themselves(text: str) -> None:
    end = 0
    for token in tokenize(text):
        assert end <= token.start < token.end <= len(text)
        assert token.folded and token.folded.split() == [token.folded]
        assert canon(text[token.start : token.end]) == token.folded
        end = token.end


def test_possessive_is_outside_the_token() -> None:
    text = "Newton's laws"
    assert text[tokenize(text)[0].start : tokenize(text)[0].end] == "Newton"


def test_what_may_begin_a_name() -> None:
    text = "the Moon iPhone 3rd word 東京 see https://example.org/Moon a_Moon_b"
    assert [t.folded for t in tokenize(text) if t.capitalised_or_digit] == ["moon", "iphone", "3rd", "東京"]


@pytest.mark.parametrize(
    ("text", "joins"),
    [
        ("Neil Armstrong", True),
        ("THE WITCH'S CURSE", True),
        ("Blind Man\u2019S Eyes", True),
        ("St. Helens", True),
        ("J.R.R", True),
        ("Star Wars: Episode", True),
        ("over there. Texas", False),
        ("cell | Texas", False),
        ("one\tTexas", False),
        ("Heading\n\nTexas", False),
        ("short line\nTexas", False),
        ("a line that was wrapped at its end by an editor, Neil\nArmstrong", True),
    ],
)
def test_where_a_name_may_go_on(text: str, joins: bool) -> None:
    assert tokenize(text)[-1].joins is joins


@pytest.mark.parametrize("unit", ["a", "A", "a_", "A.", "/a", "a@", "'", "\u0301", "A' ", "-A", " of A", "(A", "A:"])
def test_long_odd_text_takes_time_in_proportion(unit: str) -> None:
    # Quadratic search would run into the suite's time-out here.
    text = f"_ : {unit * 30_000} @ ->"
    tokenize(text)
    capitalised_runs(text)
    assert title_forms(text) == ()


# ---- Canonical and title forms -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("span", "form"),
    [("The Beatles", "beatles"), ("a The An Apple", "apple"), ("The The", "the"), ("  A  ", "a"), ("…", "")],
)
def test_canon(span: str, form: str) -> None:
    assert canon(span) == form


@pytest.mark.parametrize(
    ("title", "forms"),
    [
        ("Mercury (planet)", ("mercury planet", "mercury")),
        ("Paris, Texas (film)", ("paris texas film", "paris texas", "paris")),
        ("Law &amp; Order", ("law order",)),
        ("2.1 Landing sites", ("landing sites",)),
        ("2001: A Space Odyssey", ("2001 a space odyssey",)),
        ("The Who", ("who",)),
        ("However, it rained", ("however it rained",)),
        ("References", ()),
        ("3. Results and discussion", ()),
        ("(untitled)", ()),
        ("", ()),
        ("?!", ()),
        ("word " * 21, ()),
        ("x" * 161, ()),
    ],
)
def test_title_forms(title: str, forms: tuple[str, ...]) -> None:
    assert title_forms(title) == forms


@given(st.text(alphabet=st.sampled_from("aAtheT ,()'’&;.-1é\n"), max_size=40))
def test_title_forms_are_canonical_and_distinct(title: str) -> None:
    forms = title_forms(title)
    assert len(set(forms)) == len(forms)
    assert all(form and canon(form) == form for form in forms)


@given(st.text(min_size=1), st.text(min_size=1))
def test_form_key_sees_the_first_two_tokens(a: str, b: str) -> None:
    words = canon(f"{a} {b}").split(" ")
    assert form_key(" ".join(words)) == form_key(" ".join(words[:2]))
    assert -(2**63) <= form_key(a) < 2**63


# ---- Gazetteer ---------------------------------------------------------------------------------------------------


def test_longest_match_from_left_to_right_without_overlap() -> None:
    known = {"apollo 11", "apollo 11 command module", "command module columbia", "columbia"}
    assert found("The Apollo 11 Command Module Columbia", known) == ["apollo 11 command module", "columbia"]


def test_articles_are_passed_over() -> None:
    assert found("I saw The Beatles and the Rolling Stones.", {"beatles", "rolling stones"}) == [
        "beatles",
        "rolling stones",
    ]


def test_case_decides_in_text_and_less_in_questions() -> None:
    known = {"space race", "moon", "water"}
    assert found("the space race to the moon for water", known) == []
    assert found("The Water of the Moon", known) == ["moon"]
    assert found("who won the space race to the moon?", known, any_case=True) == ["space race"]


def test_in_a_question_a_capital_and_length_decide_between_overlapping_names() -> None:
    known = {"in the light", "light between oceans", "gone with the wind", "wind", "first air", "air enthusiast"}
    assert found("who starred in The Light Between Oceans?", known, any_case=True) == ["light between oceans"]
    assert found("who wrote gone with the Wind?", known, any_case=True) == ["gone with the wind"]
    assert found("which was first, Air Enthusiast or In the Light?", known, any_case=True) == [
        "air enthusiast",
        "in the light",
    ]


def test_one_token_forms_are_guarded() -> None:
    assert [w for w in ("who", "water", "x", "42", "1984", "armstrong") if may_be_alone(w)] == ["1984", "armstrong"]


def test_no_match_inside_addresses_and_across_sentences() -> None:
    known = {"paris texas", "apollo"}
    assert found("He left Paris. Texas was far. See www.example.org/Apollo or me@Apollo.org", known) == []
    assert found("He left Paris, Texas.", known) == ["paris texas"]


# ---- Capitalised runs --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("When Neil Armstrong and Buzz Aldrin landed", ["Neil Armstrong", "Buzz Aldrin"]),
        ("the National Aeronautics and Space Administration", ["National Aeronautics and Space Administration"]),
        ("at the University of California, Berkeley", ["University of California", "Berkeley"]),
        ("J. R. R. Tolkien wrote The Lord of the Rings", ["J. R. R. Tolkien", "Lord of the Rings"]),
        ("the Apollo 11 crew of AT&T and Johnson & Johnson", ["Apollo 11", "AT&T", "Johnson & Johnson"]),
        ("Ludwig van Beethoven met Jean-Luc", ["Ludwig van Beethoven", "Jean-Luc"]),
        ("However, it rained. Then she left.", []),
        ("See Figure 3 and Table 2-41 on Page 4.", []),
        ("On July 20, 1969 in July 1969", []),
        ("The US Navy in the U.S. under I.D. number", ["US Navy", "U.S"]),
        ("Kumquats grow. We like kumquats.", []),
        ("We like Kumquats, our dog.", ["Kumquats"]),
        ("from foo_Bar to https://example.org/Foo/Bar", []),
        ("cell one | Saturn\tApollo", ["Saturn", "Apollo"]),
    ],
)
def test_capitalised_runs(text: str, expected: list[str]) -> None:
    assert runs(text) == expected


@given(st.text(alphabet=st.sampled_from("AaBb of the12.'-&\n"), max_size=80))
def test_runs_are_ordered_spans_that_begin_and_end_in_words(text: str) -> None:
    end = 0
    for span in capitalised_runs(text):
        assert end <= span.start < span.end <= len(text)
        assert text[span.start].isupper() and text[span.end - 1].isalnum()
        assert (span.source, span.label) == ("caps", "")
        end = span.end


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("from 1999 to 2099, (1969) 1914-1918", ["1999", "2099", "1969", "1914", "1918"]),
        ("0999 2100 19690 a1969 1969b", []),
        ("$1500, 1,200, 1500.5, 1500 km, 1200 people, 1990s", []),
        ("2024-05-01", ["2024"]),
        ("COVID-2019", []),
    ],
)
def test_years(text: str, expected: list[str]) -> None:
    assert [text[s.start : s.end] for s in years(text)] == expected


# ---- The list of common words ------------------------------------------------------------------------------------


def test_common_words_are_sorted_canonical_and_of_bounded_size() -> None:
    data = resources.files("mmkg.algorithms").joinpath("common_words.txt").read_text(encoding="utf-8")
    words = data.split()
    assert words == sorted(set(words))
    assert all(canon(word) == word for word in words)
    assert 10_000 < len(words) < 20_000 and len(data.encode()) < 200_000


def test_common_words_tell_words_from_names() -> None:
    common = ("the", "which", "water", "shell", "river", "crew", "released", "inc", "north")
    names = ("armstrong", "nasa", "paris", "amazon", "mercury", "tolkien")
    assert [w for w in (*common, *names) if is_common(w)] == list(common)
