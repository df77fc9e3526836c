"""The derived layer of one unit: its contract under adversarial text, and its rules one by one."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mmkg.algorithms.names import canon, capitalised_runs, years
from mmkg.extract.derive import EntityDeriver
from mmkg.types import MentionRow, NameSpan, Unit, UnitDerivation, UnitInput

deriver = EntityDeriver()


def unit(
    *texts: str,
    names: tuple[tuple[str, str], ...] = (),
    titles: tuple[tuple[str, int], ...] = (),
    kind: str = "text",
    sentences: tuple[tuple[int, int], ...] = (),
    gap: int = 3,
) -> UnitInput:
    """A unit of these pieces, `gap` characters apart; names are (words, label) of the model, beside capitals and years."""
    pieces, spans, at = [], [], gap
    for text in texts:
        pieces.append((at, text))
        for words, label in names:
            start = text.find(words)
            while start >= 0:
                spans.append(NameSpan(start=at + start, end=at + start + len(words), label=label, source="ner"))
                start = text.find(words, start + 1)
        for s in (*capitalised_runs(text), *years(text)):
            spans.append(NameSpan(start=at + s.start, end=at + s.end, label=s.label, source=s.source))
        at += len(text) + gap
    own = Unit(
        ordinal=0,
        label="Chunk",
        kind=kind,
        start=pieces[0][0],
        end=at,
        names=tuple(spans),
        sentences=sentences or tuple((a, a + len(t)) for a, t in pieces),
    )
    return UnitInput(unit=own, pieces=tuple(pieces), titles=titles)


def counts(derivation: UnitDerivation) -> dict[str, int]:
    found: Counter[str] = Counter()
    for row in derivation.mentions:
        found[row.entity] += row.count
    return dict(found)


# ---- The contract ------------------------------------------------------------------------------------------------

WORDS = st.sampled_from(
    [
        *("The", "the", "A", "an", "of", "and", "Apollo", "apollo", "11", "XI", "Neil", "Armstrong", "Armstrong's"),
        *(
            "O’Brien",
            "Jean-Luc",
            "É\u0301mile",
            "Straße",
            "İstanbul",
            "ﷺ",
            "½",
            "iPhone",
            "1969",
            "U.S.",
            "Water",
            "We",
        ),
        *(
            "東京",
            "हिन्दी",
            "(NASA)",
            "x_y",
            "https://a.b/Apollo",
            "me@x.org",
            "AT&T",
            "St.",
            "J.",
            "“Moon”",
            "|",
            "Łódź",
        ),
        *("\ud800", "A\u00adpollo", "The.The", "'s", "’S", "National Space Agency", "Moon;", "Moon:", "Moon,", "MOON"),
    ]
)
GAPS = st.sampled_from([" ", " ", " ", "  ", "\n", "\n\n", "\t", "-", ". ", "", "\u00a0", "\r\n"])
TEXTS = st.one_of(
    st.lists(st.tuples(WORDS, GAPS), max_size=14).map(lambda parts: "".join(w + g for w, g in parts)),
    st.text(max_size=60),
)


@st.composite
def inputs(draw: st.DrawFn) -> UnitInput:
    """Units of arbitrary words, with name spans anywhere (also outside the pieces) and titles cut from the words."""
    texts = draw(st.lists(TEXTS, min_size=1, max_size=2))
    pieces, at = [], draw(st.integers(0, 5))
    for text in texts:
        pieces.append((at, text))
        at += len(text) + draw(st.integers(0, 3))
    place = st.integers(0, at + 3)
    names = tuple(
        NameSpan(start=min(a, b), end=max(a, b) + 1, label=label, source=source)
        for a, b, label, source in draw(
            st.lists(
                st.tuples(
                    place,
                    place,
                    st.sampled_from(["", "PERSON", "GPE", "DATE"]),
                    st.sampled_from(["ner", "caps", "year", "other"]),
                ),
                max_size=5,
            )
        )
    )
    titles = tuple(draw(st.lists(st.tuples(st.one_of(TEXTS, st.sampled_from(texts)), st.integers(1, 9)), max_size=3)))
    ends = sorted(draw(st.lists(place, max_size=4)))
    kind = draw(st.sampled_from(["text", "text", "table", "code"]))
    own = Unit(
        ordinal=0,
        label="Chunk",
        kind=kind,
        start=pieces[0][0],
        end=at,
        names=names,
        sentences=tuple(pairwise(ends)),
    )
    return UnitInput(unit=own, pieces=tuple(pieces), titles=titles)


def plain(text: str) -> UnitInput:
    return UnitInput(unit=Unit(ordinal=0, label="Chunk", kind="text", start=0, end=len(text)), pieces=((0, text),))


@given(inputs())
@example(plain("The The A The"))
@example(plain("A. P. J. Abdul Kalam's"))
def test_every_candidate_lies_under_an_anchor_key(u: UnitInput) -> None:
    keys = deriver.anchor_keys(u)
    assert {form for form in deriver.candidates(u) if deriver.form_key(form) not in keys} == set()


@given(inputs(), st.data())
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_derivation_depends_on_known_forms_through_the_candidates_alone(u: UnitInput, data: st.DataObject) -> None:
    candidates = deriver.candidates(u)
    text = data.draw(st.sampled_from([t for _, t in u.pieces]))
    a, b = data.draw(st.integers(0, len(text))), data.draw(st.integers(0, len(text)))
    known = {form for form in sorted(candidates) if data.draw(st.booleans())}
    known |= {*deriver.title_forms(text[min(a, b) : max(a, b)]), *deriver.title_forms(text), canon(text), "apollo 11"}
    assert deriver.derive(u, known) == deriver.derive(u, known & candidates)


@given(inputs())
def test_a_candidate_that_becomes_a_title_becomes_a_mention(u: UnitInput) -> None:
    u = UnitInput(unit=u.unit, pieces=u.pieces)  # a title of its own could win the words
    for form in sorted(deriver.candidates(u))[:5]:
        entities = {row.entity for row in deriver.derive(u, {form}).mentions}
        assert form in entities or any(e.endswith(" " + form) for e in entities)  # a last name passes to its full name


@given(inputs(), st.data())
def test_rows_are_canonical_sorted_and_consistent(u: UnitInput, data: st.DataObject) -> None:
    known = {form for form in sorted(deriver.candidates(u)) if data.draw(st.booleans())}
    derivation = deriver.derive(u, known)
    rows = derivation.mentions
    assert list(rows) == sorted(rows, key=lambda r: (r.entity, r.form, r.label))
    assert len({(r.entity, r.form, r.label) for r in rows}) == len(rows)
    titles = {form for title, _ in u.titles for form in deriver.title_forms(title)}
    assert titles <= {r.entity for r in rows}
    for row in rows:
        assert row.form and row.form == " ".join(row.form.split())
        assert canon(row.form) == row.entity or row.entity.endswith(" " + canon(row.form))
        assert (row.title > 0) == (row.entity in titles)
        assert row.count > 0 or row.title > 0
    entities = {r.entity for r in rows if r.count}
    assert len(derivation.sentences) == len(u.unit.sentences)
    for sentence in derivation.sentences:
        assert len(set(sentence)) == len(sentence) and set(sentence) <= entities
    for short, long, reason in derivation.aliases:
        assert {short, long} <= entities and short != long and reason == "acronym"


def test_derivation_does_not_depend_on_the_order_of_name_spans_or_the_kind_of_container() -> None:
    u = unit("Neil Armstrong of Apollo 11 met President Nixon in 1969.", names=(("Neil Armstrong", "PERSON"),))
    turned = UnitInput(
        unit=Unit(ordinal=0, label="Chunk", kind="text", start=3, end=99, names=u.unit.names[::-1]), pieces=u.pieces
    )
    known = {"apollo 11": 1}
    assert deriver.derive(u, known).mentions == deriver.derive(turned, frozenset(known)).mentions


# ---- The rules ---------------------------------------------------------------------------------------------------


def test_titles_are_entities_with_their_smallest_share() -> None:
    u = unit("It orbits.", titles=(("Mercury (planet)", 7), ("Orbit", 3), ("Mercury", 2)))
    assert deriver.derive(u, ()).mentions == (
        MentionRow(entity="mercury", form="Mercury", label="", count=0, title=2),
        MentionRow(entity="mercury planet", form="Mercury (planet)", label="", count=0, title=7),
        MentionRow(entity="orbit", form="Orbit", label="", count=0, title=3),
    )


def test_a_title_that_the_text_names_carries_its_share_on_every_form() -> None:
    u = unit("Apollo 11 flew. APOLLO 11 landed.", titles=(("Apollo 11", 4),))
    assert deriver.derive(u, ()).mentions == (
        MentionRow(entity="apollo 11", form="APOLLO 11", label="", count=1, title=4),
        MentionRow(entity="apollo 11", form="Apollo 11", label="", count=1, title=4),
    )


def test_the_same_words_count_once_whoever_found_them() -> None:
    u = unit("We met Neil Armstrong there.", names=(("Neil Armstrong", "PERSON"),))
    assert deriver.derive(u, {"neil armstrong"}).mentions == (
        MentionRow(entity="neil armstrong", form="Neil Armstrong", label="PERSON", count=1, title=0),
    )


def test_a_new_title_is_found_in_old_text() -> None:
    u = unit("they saw the Lunar Rover of Tordesillas")
    for title in ("Rover (vehicle)", "Tordesillas, Spain"):
        form = deriver.title_forms(title)[-1]
        assert form in deriver.candidates(u) and deriver.form_key(form) in deriver.anchor_keys(u)
        assert counts(deriver.derive(u, deriver.title_forms(title)))[form] == 1


def test_a_longer_name_stands_beside_the_gazetteer_match_inside_it() -> None:
    u = unit("the Apollo 11 Command Module", names=())
    assert counts(deriver.derive(u, {"apollo 11"})) == {"apollo 11": 1, "apollo 11 command module": 1}


def test_a_shorter_name_gives_way_to_the_gazetteer() -> None:
    u = unit("in Kennedy Space Center", names=(("Kennedy", "PERSON"),))
    assert counts(deriver.derive(u, {"kennedy space center"})) == {"kennedy space center": 1}


@pytest.mark.parametrize(
    ("text", "names", "expected"),
    [
        ("We saw Buzz Aldrin of the National Academy.", (("Buzz Aldrin", "PERSON"),), {"buzz aldrin": 1}),
        ("Then Historian Andrew Chaikin wrote.", (("Andrew Chaikin", "PERSON"),), {"andrew chaikin": 1}),
        (
            "He is President of France now.",
            (("France", "GPE"),),
            {"president of france": 1, "france": 1},
        ),
    ],
    ids=["person ends", "led in", "nested"],
)
def test_runs_of_capitals_beside_the_model(
    text: str, names: tuple[tuple[str, str], ...], expected: dict[str, int]
) -> None:
    assert counts(deriver.derive(unit(text, names=names), ())) == expected


@pytest.mark.parametrize(
    ("text", "names", "titles", "expected"),
    [
        (
            "Neil Armstrong flew. Later Armstrong taught.",
            (("Neil Armstrong", "PERSON"),),
            (),
            {"neil armstrong": 2},
        ),
        ("Later Armstrong taught.", (), (("Neil Armstrong", 2),), {"neil armstrong": 1}),
        (
            "Marie Curie met Pierre Curie. Then Curie left.",
            (("Marie Curie", "PERSON"), ("Pierre Curie", "PERSON")),
            (),
            {"marie curie": 1, "pierre curie": 1, "curie": 1},
        ),
        (
            "Neil A. Armstrong, or Neil Armstrong. So Armstrong it is.",
            (("Neil A. Armstrong", "PERSON"), ("Neil Armstrong", "PERSON")),
            (),
            {"neil a armstrong": 1, "neil armstrong": 2},
        ),
        (
            "Jack London moved to London.",
            (("Jack London", "PERSON"), ("London", "GPE")),
            (),
            {"jack london": 1, "london": 1},
        ),
        (
            "They love California.",
            (),
            (("University of California", 1),),
            {"university of california": 0, "california": 1},
        ),
    ],
    ids=["text", "title", "two persons", "one person, two forms", "a place", "no person"],
)
def test_last_names(
    text: str, names: tuple[tuple[str, str], ...], titles: tuple[tuple[str, int], ...], expected: dict[str, int]
) -> None:
    assert counts(deriver.derive(unit(text, names=names, titles=titles), ())) == expected


def test_a_full_name_takes_its_last_name_only_where_the_model_saw_a_person_in_a_gazetteer_match() -> None:
    text = "Jack London sat. London slept."
    place = unit(text, titles=(("Jack London", 1),))
    person = unit(text, names=(("London", "PERSON"),), titles=(("Jack London", 1),))
    assert counts(deriver.derive(place, {"london"})) == {"jack london": 1, "london": 1}
    assert counts(deriver.derive(person, {"london"})) == {"jack london": 2}


@pytest.mark.parametrize(
    ("words", "label"),
    [
        ("Figure 3", "WORK_OF_ART"),
        ("Water", "PERSON"),
        ("Monday", "DATE"),
        ("12 13", "PRODUCT"),
        ("I. D.", "PERSON"),
        ("x" * 81, "ORG"),
        ("Foo | Bar", "ORG"),
        ("A b C d E f G h I", "ORG"),
    ],
)
def test_what_no_reader_takes_for_a_name(words: str, label: str) -> None:
    u = unit(f"we saw {words} there", names=((words, label),))
    model_only = UnitInput(
        unit=Unit(
            ordinal=0,
            label="Chunk",
            kind="text",
            start=3,
            end=200,
            names=tuple(n for n in u.unit.names if n.source == "ner"),
        ),
        pieces=u.pieces,
    )
    assert deriver.derive(model_only, ()).mentions == ()


def test_a_year_inside_a_name_stays() -> None:
    assert counts(deriver.derive(unit("the Olympics 1936 opened", names=(("Olympics 1936", "EVENT"),)), ())) == {
        "olympics 1936": 1,
        "1936": 1,
    }


def test_code_gives_only_long_gazetteer_matches() -> None:
    u = unit("class LunarLander: pass  # Apollo Guidance Computer, Apollo 11 1969", kind="code")
    assert counts(deriver.derive(u, {"apollo guidance computer", "lunarlander"})) == {"apollo guidance computer": 1}


def test_sentences_list_their_entities_in_order_caption_and_text_apart() -> None:
    caption, text = "Eagle over Mare Crisium", "Michael Collins took it. In 1969 Eagle met Columbia. Eagle won."
    names = (("Michael Collins", "PERSON"), ("Columbia", "ORG"), ("Eagle", "ORG"))
    base = 3 + len(caption) + 3
    ends = [text.index(". ") + 2, text.rindex("Eagle"), len(text)]
    sentences = ((3, 3 + len(caption)), *((base + a, base + b) for a, b in zip([0, *ends], ends, strict=False)))
    derivation = deriver.derive(unit(caption, text, names=names, sentences=sentences), ())
    assert derivation.sentences == (
        ("eagle", "mare crisium"),
        ("michael collins",),
        ("1969", "eagle", "columbia"),
        ("eagle",),
    )
