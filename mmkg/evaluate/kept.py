"""What evaluation keeps between runs: vectors by the bytes they came from, and one base a corpus and models."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mmkg import __version__
from mmkg.config import Settings
from mmkg.errors import StoreError
from mmkg.evaluate.corpus import Source
from mmkg.kb import KnowledgeBase
from mmkg.models import Models
from mmkg.protocols import Encoder, Extractor, FloatArray, ProgressCallback, Reranker, Space
from mmkg.schema import FORMAT_VERSION
from mmkg.store.manifest import Manifest
from mmkg.types import Modality, NameSpan

Say = Callable[[str], None]
"""Receives a line for a person."""


def silent(message: str) -> None:
    """Says nothing."""


def cache_folder(given: Path | None) -> Path:
    """Where bases, vectors and results are kept: the folder given, else `mmkg/eval` in the user's cache folder."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return given if given is not None else Path(home) / "mmkg" / "eval"


class KeptVectors:
    """An encoder that remembers what it encoded: vectors in half precision in an SQLite file, by the sha256 of the input.

    Questions are not kept, so that the time of a question is the time of encoding it.
    """

    def __init__(self, inner: Encoder, folder: Path) -> None:
        self._inner = inner
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{_slug(inner.space.key)}.sqlite"
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=60)
        self._db.execute("CREATE TABLE IF NOT EXISTS vector (key BLOB PRIMARY KEY, data BLOB) WITHOUT ROWID")

    @property
    def space(self) -> Space:
        return self._inner.space

    @property
    def runtime(self) -> str:
        return self._inner.runtime

    @property
    def modalities(self) -> frozenset[Modality]:
        return self._inner.modalities

    def encode_query(self, items: Sequence[Any]) -> FloatArray:
        """As the encoder itself does."""
        return self._inner.encode_query(items)

    def __getattr__(self, name: str) -> Any:
        """The text tower of a CLIP-like encoder, where the encoder has one."""
        if name == "encode_text":
            return self._inner.encode_text  # type: ignore[attr-defined]
        raise AttributeError(name)

    def encode_document(self, items: Sequence[Any], *, batch_size: int = 64) -> FloatArray:
        """(n, dim) float32, unit rows up to half precision; only what is new is encoded."""
        keys = [hashlib.sha256(_bytes(item)).digest() for item in items]
        out = np.zeros((len(items), self.space.dim), dtype=np.float32)
        todo = []
        for i, key in enumerate(keys):
            row = self._db.execute("SELECT data FROM vector WHERE key = ?", (key,)).fetchone()
            if row and len(row[0]) == 2 * self.space.dim:
                out[i] = np.frombuffer(row[0], dtype="<f2")
            else:
                todo.append(i)
        if todo:
            out[todo] = self._inner.encode_document([items[i] for i in todo], batch_size=batch_size)
            rows = [(keys[i], out[i].astype("<f2").tobytes()) for i in todo]
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany("INSERT OR REPLACE INTO vector VALUES (?, ?)", rows)
            self._db.execute("COMMIT")
        return out

    def close(self) -> None:
        """Close the file."""
        self._db.close()


class KeptNames:
    """A name extractor that remembers, for building bases that share passages."""

    def __init__(self, inner: Extractor, folder: Path) -> None:
        self._inner = inner
        self.name = inner.name
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"names-{_slug(inner.name)}.sqlite"
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=60)
        self._db.execute("CREATE TABLE IF NOT EXISTS names (key BLOB PRIMARY KEY, data TEXT) WITHOUT ROWID")

    def extract(self, texts: Sequence[str]) -> list[list[NameSpan]]:
        """As the extractor itself; only texts that are new are given to it."""
        keys = [hashlib.sha256(_bytes(text)).digest() for text in texts]
        out: dict[int, list[NameSpan]] = {}
        for i, key in enumerate(keys):
            row = self._db.execute("SELECT data FROM names WHERE key = ?", (key,)).fetchone()
            if row:
                out[i] = [NameSpan(start=a, end=b, label=x, source=y) for a, b, x, y in json.loads(row[0])]
        todo = [i for i in range(len(texts)) if i not in out]
        if todo:
            out |= dict(zip(todo, self._inner.extract([texts[i] for i in todo]), strict=True))
            rows = [(keys[i], json.dumps([[n.start, n.end, n.label, n.source] for n in out[i]])) for i in todo]
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany("INSERT OR REPLACE INTO names VALUES (?, ?)", rows)
            self._db.execute("COMMIT")
        return [out[i] for i in range(len(texts))]

    def close(self) -> None:
        """Close the file."""
        self._db.close()


def _bytes(item: Any) -> bytes:
    return item if isinstance(item, bytes) else str(item).encode("utf-8", "surrogatepass")


def _slug(text: str) -> str:
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-.")[:60]
    return f"{plain}-{hashlib.sha256(text.encode()).hexdigest()[:8]}" if plain != text else plain


class KeptBase:
    """The base of one corpus: built by the first run, opened by later ones. `kb` is open until `close`."""

    def __init__(
        self,
        name: str,
        listed: Sequence[tuple[str, Source]],
        *,
        cache: Path,
        settings: Settings,
        seed: int,
        protocol: str,
        text_encoder: Encoder | None = None,
        reranker: Reranker | None = None,
    ) -> None:
        if all(s.name.endswith(".md") for _, s in listed):  # nothing for it to encode
            settings = replace(settings, image_encoder="none")
        models = Models(settings, text_encoder)
        self._encoders = [
            None if e is None else KeptVectors(e, cache / "vectors")
            for e in (models.text_encoder, *(models.image_encoders or (None,)))
        ]
        extractor = models.extractor
        # Ids, batches and order do not reach a base, but a seed that changed nothing would not be believed.
        parts = [
            __version__,
            *sorted(document for document, _ in listed),
            f"{seed if protocol != 'ordered' else 'ordered'}",
            *(e.space.key if e else "none" for e in self._encoders),
            extractor.name,
            str(settings.chunk_characters),
            str(settings.ocr),
        ]
        self.key = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
        self.folder = cache / "bases" / f"{_slug(name)}-{self.key}"
        self.kb = KnowledgeBase(
            self.folder / "base",
            settings=settings,
            text_encoder=self.text_encoder,
            image_encoder=self._seeing,
            extractor=extractor,
            reranker=reranker,
        )
        self._listed, self._cache, self._settings = listed, cache, settings

    @contextmanager
    def _builder(self) -> Iterator[KnowledgeBase]:
        """The same base with kept names: asking is to take the time that finding names in a question takes."""
        names = KeptNames(self.kb.extractor, self._cache / "vectors")
        try:
            with KnowledgeBase(
                self.kb.root,
                settings=self._settings,
                text_encoder=self.text_encoder,
                image_encoder=self._seeing,
                extractor=names,
            ) as builder:
                yield builder
        finally:
            names.close()

    @property
    def text_encoder(self) -> KeptVectors | None:
        """The encoder of words with its memory, or None without one."""
        return self._encoders[0]

    @property
    def _seeing(self) -> list[Encoder]:
        """The encoders of pictures with their memories."""
        return [e for e in self._encoders[1:] if e is not None]

    @property
    def space(self) -> str:
        """Key of the space of words, or "none"."""
        return self._encoders[0].space.key if self._encoders[0] else "none"

    @property
    def runtime(self) -> str:
        """What computes it."""
        return self._encoders[0].runtime if self._encoders[0] else "none"

    def build(self, progress: ProgressCallback | None = None, say: Say = silent) -> dict[str, Any]:
        """Make the base unless it is there; a build that was stopped goes on. Returns what is known of it.

        {"seconds", "bytes", "documents", "units", "counts"}: seconds of all runs that built it. Raises StoreError if nothing came in.
        """
        done = self.folder / "built.json"
        if done.is_file():
            if Manifest.read(self.kb.root).format_version < FORMAT_VERSION:
                with self._builder() as builder:  # a writer brings a base of an older format up
                    builder.add(wait_s=2.0)
            return dict(json.loads(done.read_text(encoding="utf-8")))
        files = self.folder / "files"
        files.mkdir(parents=True, exist_ok=True)
        say(f"building the base of {len(self._listed)} files in {self.folder}; a stopped build goes on where it was")
        paths = []
        for document, source in self._listed:
            path = source.file
            if path is None:
                # Pictures of one name may come from several folders.
                path = files / source.name if source.name.endswith(".md") else files / document[:8] / source.name
                if not path.exists():
                    path.parent.mkdir(exist_ok=True)
                    path.write_bytes(source.data or b"")
            paths.append(path)
        spent = self.folder / "seconds.txt"
        before = float(spent.read_text()) if spent.is_file() else 0.0
        started = time.monotonic()
        try:
            with self._builder() as builder:
                report = builder.add(*paths, progress=progress, wait_s=2.0)
        finally:
            seconds = before + time.monotonic() - started
            spent.write_text(f"{seconds:.3f}", encoding="utf-8")
        stats = self.kb.stats()
        if not stats["documents"]:
            raise StoreError("nothing of the corpus could be added", hint=f"see `mmkg --kb {self.kb.root} list`")
        found = {
            "seconds": round(seconds, 1),
            "bytes": stats["bytes"],
            "documents": stats["documents"],
            "units": stats.get("chunks", 0) + stats.get("images", 0),
            "counts": report.counts,
        }
        temporary = done.with_suffix(".part")
        temporary.write_text(json.dumps(found), encoding="utf-8")
        os.replace(temporary, done)
        shutil.rmtree(files, ignore_errors=True)
        return found

    def close(self) -> None:
        """Close the base and the kept vectors."""
        self.kb.close()
        for encoder in self._encoders:
            if encoder is not None:
                encoder.close()
