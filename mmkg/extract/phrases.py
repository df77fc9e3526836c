"""Noun phrases of a question, by the small packaged parser. Only questions are parsed: a document costs too much."""

from __future__ import annotations

import hashlib
import logging
import threading
from functools import lru_cache
from typing import Any

from mmkg.errors import WeightsError
from mmkg.extract.names import INSTALL, MODEL, model_folder
from mmkg.types import Span

logger = logging.getLogger(__name__)

SHA256 = {
    "config.cfg": "65c545ca2da5bd4b87b22d4917318605360b37dee6ed6b18516a036f87319f79",
    "tokenizer": "b014e8bba4958b120af2d0c1c63eabb7c00379f2bacaf10df7c5325efd2ea467",
    "tok2vec/model": "e84fc06eb319c94d28e460fc334e292120b01f18baa5dc8b50c977459820a090",
    "tok2vec/cfg": "f8a5a26e3056eb6fb06deeb3dbccfd88ae74900200c98c70b5966bbb7ec9d4de",
    "tagger/model": "1ec3d93f38cebe172f2b5c89d84be72856ce42c8f1a64f1699f1d98a771f36b7",
    "tagger/cfg": "d484c3d9391f37bf9c727aa2eb4c477a24cb103020f95e52dc37842818b50118",
    "parser/model": "e0098910535a863d430082ece57455d5fa071cd4ca3a0054e80582076c752b1e",
    "parser/moves": "ec41318c32eb7f9e4d8f050b2e8466ee67954d2d3455c1aec73abf46c82dd67f",
    "parser/cfg": "e2a240ef01f95e58f5dd4c9d6e90d61f597b8d998966570d3009dd81e8879780",
    "vocab/lookups.bin": "fce9c883c56165f29573cc938c2a1c9d417ac61bd8f56b671dd5f7996de70682",
    "vocab/strings.json": "b1966d1f07a05b68576df07f43f40203b4e11124ad82cc839e8312ad8d7fdae7",
}
_EXCLUDED = ["ner", "senter", "attribute_ruler", "lemmatizer"]
_NOUN = frozenset({"NN", "NNS", "NNP", "NNPS"})
_LONGEST = 2_000
"""Characters of a text that are parsed."""


_ONE_AT_A_TIME = threading.Lock()
"""The model is one a process: loading it takes a second of work, and bases are opened more often than that is worth."""


class PhraseParser:
    """Spans of the noun phrases of a text, each with all that depends on its noun. The model is loaded at first use."""

    def __call__(self, text: str) -> tuple[Span, ...]:
        """Ascending spans of the subtrees of all nouns; () where the model is not installed or the text is too long."""
        if len(text) > _LONGEST:
            return ()
        with _ONE_AT_A_TIME:
            nlp = _load()
            if nlp is None:
                return ()
            with nlp.memory_zone():
                doc = nlp(text)
                spans = {
                    (doc[t.left_edge.i].idx, doc[t.right_edge.i].idx + len(t.right_edge))
                    for t in doc
                    if t.tag_ in _NOUN
                }
        return tuple(sorted(spans))


@lru_cache(maxsize=1)
def _load() -> Any:
    """The model, its files checked; None where it is not installed. Raises WeightsError."""
    folder = model_folder()
    if folder is None:
        return None
    for name, expected in SHA256.items():
        try:
            digest = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        except OSError as e:
            raise WeightsError(f"cannot read {name} of the parser {MODEL}: {e}", hint=INSTALL) from e
        if digest != expected:
            raise WeightsError(
                f"{name} of the parser {MODEL} is not the recorded file", hint=f"reinstall it: {INSTALL}"
            )
    import spacy

    return spacy.load(folder, exclude=_EXCLUDED)
