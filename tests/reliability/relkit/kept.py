"""Model output and parsed files, made once by the real models and parsers and replayed afterwards.

So a child that is killed costs the store's work only, not a model's start, and the vectors in its base are real ones.
"""

from __future__ import annotations

import hashlib
import pickle
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

SETTINGS: dict[str, Any] = {
    "workers": 1,
    "image_encoder": "none",
    "ocr": False,
    "batch_units": 12,
    "chunk_characters": 500,
}


class _Recorded:
    """An encoder or extractor that keeps what it gave."""

    def __init__(self, real: Any) -> None:
        self.real, self.kept = real, {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)

    def encode_document(self, items, **options):
        rows = self.real.encode_document(items, **options)
        self.kept |= {("document", item): row for item, row in zip(items, rows, strict=True)}
        return rows

    def encode_query(self, items):
        rows = self.real.encode_query(items)
        self.kept |= {("query", item): row for item, row in zip(items, rows, strict=True)}
        return rows

    def extract(self, texts):
        found = self.real.extract(texts)
        self.kept |= dict(zip(texts, found, strict=True))
        return found


class KeptEncoder:
    """Gives the vectors that were computed before. Raises KeyError for a document's text that never came."""

    def __init__(self, about: dict[str, Any], kept: dict[tuple[str, str], Any]) -> None:
        self.space, self.runtime, self.modalities = about["space"], about["runtime"], about["modalities"]
        self._kept = kept
        self.n_encoded = 0

    def encode_document(self, items, *, batch_size=64):
        self.n_encoded += len(items)
        return np.stack([self._kept["document", i] for i in items]) if items else np.zeros((0, self.space.dim), "f4")

    def encode_query(self, items):
        # A question was not in the files: the vector of some text will do, as no test looks at the ranking.
        return np.stack([next(iter(self._kept.values())) for _ in items])


class KeptExtractor:
    def __init__(self, name: str, kept: dict[str, Any]) -> None:
        self.name, self._kept = name, kept

    def extract(self, texts):
        return [self._kept.get(t, []) if len(texts) == 1 else self._kept[t] for t in texts]


def kept_pool(outcomes: dict[str, Any]) -> type:
    """A parser pool that gives what the real one gave for the same bytes."""

    class KeptPool:
        def __init__(self, settings=None) -> None:
            pass

        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

        def map(self, paths, **options):
            for path in paths:
                sha256 = hashlib.sha256(Path(path).read_bytes()).hexdigest()
                yield replace(outcomes[sha256], path=Path(path))

    return KeptPool


class Kept:
    """Everything that was kept, and the parts that replay it."""

    def __init__(self, data: dict[str, Any]) -> None:
        self.data = data
        self.pool = kept_pool(data["outcomes"])
        self._patches: ExitStack | None = None

    @classmethod
    def make(cls, folders: list[Path], scratch: Path, *, real: bool = True) -> Kept:
        """Parse, name and encode every file below the folders once. real: by the packaged models, else by those of tests."""
        import mmkg.adding.run
        from mmkg.config import Settings
        from mmkg.kb import KnowledgeBase

        settings = Settings(**SETTINGS)
        if real:
            from mmkg.encode.registry import load_text_encoder
            from mmkg.extract.names import load_extractor

            encoder, extractor = _Recorded(load_text_encoder(settings)), _Recorded(load_extractor())
        else:
            from mmkg.extract.names import NameExtractor
            from mmkg.testing.encoders import HashingEncoder

            encoder, extractor = _Recorded(HashingEncoder()), _Recorded(NameExtractor())
        outcomes = {}
        pool = mmkg.adding.run.ParserPool

        class RecordingPool(pool):
            def map(self, paths, **options):
                for outcome in super().map(paths, **options):
                    outcomes[outcome.sha256] = outcome
                    yield outcome

        with (
            mock.patch.object(mmkg.adding.run, "ParserPool", RecordingPool),
            KnowledgeBase(scratch, settings=settings, text_encoder=encoder, extractor=extractor) as kb,
        ):
            for folder in folders:
                kb.add(folder)
            kb.retriever()  # the probes, as a search sees them
        about = {"space": encoder.space, "runtime": encoder.runtime, "modalities": encoder.modalities}
        return cls(
            {
                "about": about,
                "vectors": encoder.kept,
                "extractor": extractor.name,
                "names": extractor.kept,
                "outcomes": outcomes,
            }
        )

    def save(self, path: Path) -> Path:
        path.write_bytes(pickle.dumps(self.data))
        return path

    @classmethod
    def load(cls, path: Path) -> Kept:
        return cls(pickle.loads(path.read_bytes()))

    def encoder(self) -> KeptEncoder:
        return KeptEncoder(self.data["about"], self.data["vectors"])

    def extractor(self) -> KeptExtractor:
        return KeptExtractor(self.data["extractor"], self.data["names"])

    def kb(self, path: Path | str, **settings: Any):
        """A base whose models are replayed; parsers too while `installed`."""
        from mmkg.config import Settings
        from mmkg.kb import KnowledgeBase

        return KnowledgeBase(
            path,
            settings=Settings(**{**SETTINGS, **settings}),
            text_encoder=self.encoder(),
            extractor=self.extractor(),
        )

    def install(self) -> None:
        """Put the replaying parts where the package looks for the real ones, for this process."""
        import mmkg.adding.run
        import mmkg.encode.registry
        import mmkg.extract.names

        self._patches = ExitStack()
        for module, name, part in (
            (mmkg.adding.run, "ParserPool", self.pool),
            (mmkg.encode.registry, "load_text_encoder", lambda settings: self.encoder()),
            (mmkg.extract.names, "load_extractor", self.extractor),
        ):
            self._patches.enter_context(mock.patch.object(module, name, part))

    def uninstall(self) -> None:
        if self._patches:
            self._patches.close()
            self._patches = None


def parsing_here() -> type:
    """A parser pool without processes, for texts that the test itself wrote: same parser, same answer."""
    import mmkg.ingest.pool
    from mmkg.ingest.worker import parse

    class PoolHere:
        def __init__(self, settings=None) -> None:
            self._settings = settings

        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

        def map(self, paths, **options):
            s = self._settings
            for path in paths:
                header, blobs = parse(Path(path), s.limits, s.chunk_characters, s.ocr)
                yield mmkg.ingest.pool._outcome(Path(path), header, blobs)

    return PoolHere


class Live(Kept):
    """As Kept, but for files that nobody has seen before: the parts of tests, without weights, in this process."""

    def __init__(self) -> None:
        self.data, self.pool, self._patches = {}, parsing_here(), None

    def encoder(self):
        from mmkg.testing.encoders import HashingEncoder

        return HashingEncoder()

    def extractor(self):
        from mmkg.extract.names import NameExtractor

        return NameExtractor()
