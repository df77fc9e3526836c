"""Raw names: the packaged model, capitals, years."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmkg.errors import MissingDependencyError, WeightsError
from mmkg.extract import names as module
from mmkg.extract.names import NameExtractor, load_extractor, model_folder, verify
from mmkg.types import NameSpan

TEXT = "In July 1969, Dr. Neil Armstrong of the United States walked on the Moon for 2 hours. He paid $12 in Houston."


@pytest.fixture(scope="module")
def extractor() -> NameExtractor:
    return load_extractor(ner=True)


def words(text: str, spans: list[NameSpan]) -> list[tuple[str, str, str]]:
    return [(text[s.start : s.end], s.label, s.source) for s in spans]


def test_without_the_model_names_come_from_capitals_and_years() -> None:
    extractor = load_extractor(ner=False)
    assert extractor.name == "caps-1"
    assert words(TEXT, extractor.extract([TEXT])[0]) == [
        ("1969", "DATE", "year"),
        ("Dr. Neil Armstrong of the United States", "", "caps"),
        ("Moon", "", "caps"),
        ("Houston", "", "caps"),
    ]


def test_an_absent_model_is_named_if_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PACKAGE", "no_such_model_package")
    assert load_extractor().name == "caps-1"
    with pytest.raises(MissingDependencyError, match=r"mmkg\[models\]"):
        load_extractor(ner=True)


@pytest.mark.models
def test_model_names_are_labelled_and_cut_to_the_name(extractor: NameExtractor) -> None:
    assert extractor.name == "spacy-en_core_web_sm-3.8.0+caps-1"
    found = words(TEXT, extractor.extract([TEXT])[0])
    assert ("Neil Armstrong", "PERSON", "ner") in found
    assert ("United States", "GPE", "ner") in found
    assert ("July 1969", "DATE", "ner") in found
    assert not any("2 hours" in w or "$" in w or "12" in w or w.startswith("the ") for w, _, _ in found)


@pytest.mark.models
def test_one_span_a_place_in_order(extractor: NameExtractor) -> None:
    spans = extractor.extract([TEXT])[0]
    places = [(s.start, s.end) for s in spans]
    assert places == sorted(set(places))


@pytest.mark.models
@settings(max_examples=15, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.sampled_from([TEXT, "Marie Curie\nwon.", "", "   \n", "ALL CAPS HERE", "Łódź in Poland", "東京 Tokyo"]),
            st.text(max_size=50),
        ),
        max_size=5,
    )
)
def test_a_text_does_not_depend_on_its_neighbours(extractor: NameExtractor, texts: list[str]) -> None:
    together = extractor.extract(texts)
    assert together == [extractor.extract([text])[0] for text in texts]
    assert extractor.extract(texts[::-1]) == together[::-1]
    for text, spans in zip(texts, together, strict=True):
        assert all(0 <= s.start < s.end <= len(text) for s in spans)


@pytest.mark.models
def test_batch_size_changes_nothing(extractor: NameExtractor) -> None:
    folder = model_folder()
    assert folder is not None
    texts = [
        f"{name} met {other} in {year}. " * n
        for n, (name, other, year) in enumerate(
            [
                ("Ada Lovelace", "Charles Babbage", 1833),
                ("Niels Bohr", "Albert Einstein", 1925),
                ("Lise Meitner", "Otto Hahn", 1907),
            ],
            start=1,
        )
    ] * 4
    expected = extractor.extract(texts)
    for size in (1, 2, 5):
        assert load_extractor(ner=True, batch_size=size).extract(texts) == expected


@pytest.mark.models
def test_long_texts_are_read_in_parts_with_exact_offsets(extractor: NameExtractor) -> None:
    sentence = "Then Marie Curie travelled from Paris to Warsaw. "
    text = sentence * 900 + "x" * 25_000 + " " + sentence
    spans = extractor.extract([text])[0]
    assert {text[s.start : s.end] for s in spans} >= {"Marie Curie", "Paris", "Warsaw"}
    assert sum(text[s.start : s.end] == "Marie Curie" for s in spans) >= 895
    assert spans[-1].start > len(text) - len(sentence)


@pytest.mark.models
def test_threads_may_share_an_extractor(extractor: NameExtractor) -> None:
    expected = extractor.extract([TEXT])
    with ThreadPoolExecutor(4) as pool:
        assert all(found == expected for found in pool.map(extractor.extract, [[TEXT]] * 12))


@pytest.mark.models
@pytest.mark.parametrize("name", ["ner/model", "tokenizer", "config.cfg"])
def test_changed_or_missing_model_files_are_refused(tmp_path: Path, name: str) -> None:
    folder = model_folder()
    assert folder is not None
    copy = tmp_path / "model"
    shutil.copytree(folder, copy)
    verify(copy)
    data = bytearray((copy / name).read_bytes())
    data[len(data) // 2] ^= 1
    (copy / name).write_bytes(bytes(data))
    with pytest.raises(WeightsError, match=name):
        verify(copy)
    (copy / name).unlink()
    with pytest.raises(WeightsError, match=f"cannot read {name}"):
        verify(copy)
