"""How recordings sound: a vector for each clip, and the clips that sound like a recording. Recordings are only opened in the media process."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from mmkg.config import Settings
from mmkg.encode.sound import LONGEST_S, SoundEncoder
from mmkg.errors import EncodeError, LoadError, NotFoundError
from mmkg.ingest.media_process import MediaProcess
from mmkg.ingest.sniff import sniff
from mmkg.protocols import FloatArray, IndexView, ProgressCallback
from mmkg.types import Channel, Evidence, Modality, Progress, Span

if TYPE_CHECKING:
    from mmkg.store.folder.writer import FolderWriter
    from mmkg.store.neo4j.writer import ServerWriter

log = logging.getLogger(__name__)


class UnitReader(Protocol):
    """What a reader of a base offers of its units."""

    def read(self, ids: Sequence[str]) -> list[Evidence]:
        """The units of these ids, in their order."""
        ...


SOUNDS = frozenset({Modality.AUDIO, Modality.VIDEO})


def encode_sounds(
    writer: FolderWriter | ServerWriter,
    settings: Settings,
    encoder: SoundEncoder,
    waiting: Sequence[tuple[str, str]],
    progress: ProgressCallback | None = None,
) -> Iterator[tuple[str, dict[tuple[bytes, str], np.ndarray[Any, Any]]]]:
    """For each (document, recording) the vectors of its clips, a row each in their order, by (recording's hash, space).

    A recording that cannot be decoded now has none; a later `add` tries again. progress: in seconds of media.
    """
    done = 0
    with MediaProcess(settings) as process:
        for document, recording in waiting:
            facts = writer.facts(document)
            spans = [u.span_ms for u in facts.units if u.label == "Clip" and u.span_ms is not None]
            uri = next(iter(writer.sources_of(document)), document)
            rows: list[FloatArray] = []
            try:
                with writer.blobs.local(recording) as path:
                    for (_, end), x in process.samples(path, facts.media_type, shortened(spans), encoder.sample_rate):
                        rows.append(encoder.encode_document([x]))
                        if progress:
                            at = done + end // 1000
                            progress(Progress(stage="sounds", done=at, total=at, item=uri))
            except (LoadError, EncodeError) as e:
                log.warning("%s: no vectors of its sound: %s", uri, e)
                process.close()
                continue
            done += spans[-1][1] // 1000 if spans else 0
            if rows and len(rows) == len(spans):
                yield document, {(bytes.fromhex(recording), encoder.space.key): np.concatenate(rows)}


def shortened(spans: Sequence[Span]) -> list[Span]:
    """The beginnings of clips, as long as a vector is made of."""
    return [(a, min(b, a + int(LONGEST_S * 1000))) for a, b in spans]


def encode_recording(settings: Settings, encoder: SoundEncoder, path: Path) -> FloatArray:
    """(dim,) vector of a recording that is no part of the base: of its first LONGEST_S seconds.

    Raises NotFoundError, LoadError if it has no sound that can be read.
    """
    try:
        with path.open("rb") as file:
            media_type = sniff(file)
    except OSError as e:
        raise NotFoundError(f"{path}: {e.strerror or e}") from e
    if media_type.partition("/")[0] not in ("audio", "video"):
        raise LoadError(f"{path} is no recording but {media_type}", path=path)
    with MediaProcess(settings) as process:
        found = [x for _, x in process.samples(path, media_type, [(0, int(LONGEST_S * 1000))], encoder.sample_rate)]
    if not found or not len(found[0]):
        raise LoadError(f"{path} has no sound", path=path)
    return np.asarray(encoder.encode_query([found[0]])[0], dtype=np.float32)


def search_sound(
    reader: UnitReader,
    view: IndexView,
    space: str,
    vector: FloatArray,
    *,
    k: int,
    modalities: frozenset[Modality] | None = None,
    within: npt.NDArray[np.bool_] | None = None,
) -> list[Evidence]:
    """The k clips whose sound is nearest, by cosine. view: the reader's index. vector: (dim,) in the space.

    modalities: only clips are ever found. within: (n_units,) the units that may be found, None for all.
    """
    wanted = SOUNDS if modalities is None else SOUNDS & modalities
    if space not in view.spaces() or not wanted:
        return []
    codes = {Modality.AUDIO: 2, Modality.VIDEO: 3}
    narrowed = wanted != SOUNDS or within is not None
    units, cosines = view.search_units(space, vector, view.n_units if narrowed else k)
    kept = np.isin(view.unit_modality[units], [codes[m] for m in wanted])
    if within is not None:
        kept &= within[units]
    units, cosines = units[kept][:k], cosines[kept][:k]
    return [
        replace(e, score=max(0.0, float(c)), channels=(Channel(name="sound", rank=n, score=float(c)),))
        for n, (e, c) in enumerate(zip(reader.read(view.unit_ids(units.tolist())), cosines, strict=True), 1)
    ]
