"""A small base in memory: real names, a real index, and an encoder whose near texts share words."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mmkg.extract.derive import EntityDeriver
from mmkg.extract.names import NameExtractor
from mmkg.ingest.sentences import split_sentences
from mmkg.retrieve.fields import Field
from mmkg.retrieve.likeness import Example
from mmkg.retrieve.ranker import packaged_rankers
from mmkg.retrieve.retriever import HybridRetriever
from mmkg.testing.encoders import HashingEncoder
from mmkg.testing.index import MemoryIndex, MemoryUnit
from mmkg.types import DocumentRef, Evidence, Locator, Modality

ENCODER = HashingEncoder(dim=256)
PIXELS = HashingEncoder(dim=256, name="label-bridge")
TEXT_SPACE, PIXEL_SPACE = ENCODER.space.key, PIXELS.space.key


def unit(name, text="", title="", *, looks_like="", **fields):
    """A unit with names, sentences and vectors of its words; looks_like: words that stand for its pixels."""
    made = MemoryUnit(id=name, text=text, title=title, **fields)
    vectors = dict(made.vectors)
    if text:
        vectors[TEXT_SPACE] = ENCODER.encode_document([made.index_text()])[0]
    if looks_like:
        vectors[PIXEL_SPACE] = PIXELS.encode_document([looks_like])[0]
    names = tuple(NameExtractor().extract([text])[0])
    return replace(made, names=names, sentences=tuple(split_sentences(text)), vectors=vectors)


def image(name, text="", title="", **fields):
    return unit(name, text, title, modality=Modality.IMAGE, **fields)


def index_of(units, generation=1):
    texts = [f"{u.title}: {u.text[a:b]}" for u in units for a, b in u.sentences]
    vectors = {TEXT_SPACE: ENCODER.encode_document(texts)} if texts else {}
    return MemoryIndex(units, EntityDeriver(), sentence_vectors=vectors, generation=generation)


class Reader:
    def __init__(self, view):
        self._units = {u.id: u for u in view.units}
        self.asked = []

    def read(self, ids):
        self.asked.append(list(ids))
        held = [self._units[i] for i in ids if i in self._units]
        return [
            Evidence(
                id=u.id,
                kind="image" if u.modality is Modality.IMAGE else "text",
                score=0.0,
                text=u.text,
                document=DocumentRef(id=u.document or u.id, name=u.title or u.file_name, uri=u.file_name),
                locator=Locator(chars=(0, len(u.text))),
                modality=u.modality,
                spans=((0, len(u.text)),) if u.text else (),
                sentences=u.sentences,
            )
            for u in held
        ]


def retriever_of(units, **options):
    view = index_of(units)
    return HybridRetriever(
        view,
        reader=options.pop("reader", Reader(view)),
        extractor=NameExtractor(),
        encode_query=options.pop("encode_query", lambda question: ENCODER.encode_query([question])[0]),
        text_space=TEXT_SPACE,
        fields=options.pop("fields", [Field(space=PIXEL_SPACE, channel="pixels", aim=lambda question, vector: vector)]),
        encode=options.pop("encode", ENCODER.encode_query),
        rankers=options.pop("rankers", packaged_rankers()),
        **options,
    )


APOLLO = [
    unit("apollo", "Apollo 11 was commanded by Neil Armstrong. It landed in the Sea of Tranquility.", "Apollo 11"),
    unit("neil", "Neil Armstrong was born near Wapakoneta in the state of Ohio.", "Neil Armstrong"),
    unit("town", "Wapakoneta is a small town. Its museum shows a space capsule.", "Wapakoneta"),
    unit(
        "gemini",
        "Gemini 8 made the first docking in orbit. It was flown by Neil Armstrong and David Scott.",
        "Gemini 8",
    ),
    unit("bread", "Sourdough needs flour, water and salt. It rests for a night.", "Sourdough"),
    unit("boat", "A capsule falls into the sea and a boat brings it home.", "Recovery boats"),
]


@pytest.fixture(scope="session")
def apollo():
    return retriever_of(APOLLO)


@pytest.fixture(name="unit", scope="session")
def unit_fixture():
    return unit


@pytest.fixture(name="image", scope="session")
def image_fixture():
    return image


@pytest.fixture(name="index_of", scope="session")
def index_fixture():
    return index_of


@pytest.fixture(name="retriever_of", scope="session")
def retriever_fixture():
    return retriever_of


@pytest.fixture(scope="session")
def reader_class():
    return Reader


@pytest.fixture(scope="session")
def looking_like():
    return lambda words, **options: Example(vectors={PIXEL_SPACE: PIXELS.encode_document([words])}, **options)
