"""Recordings are heard after they came in: clip by clip, each kept at once, so a stop loses at most one clip.

What was heard is model output, kept under the recording's hash and the model's key. Its words then become facts of the
document (text, names, vectors) in one commit; until then it is found by what else it has: tags, pictures, file name.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace

from mmkg.config import Settings
from mmkg.encode.speech import SpeechModel
from mmkg.errors import LoadError
from mmkg.ingest.media_process import MediaProcess
from mmkg.ingest.spoken import with_words
from mmkg.protocols import ProgressCallback
from mmkg.reasons import reason
from mmkg.store.folder.writer import FolderWriter
from mmkg.store.neo4j.writer import ServerWriter
from mmkg.types import DocumentFacts, Progress, Span

log = logging.getLogger(__name__)

NOT_HEARD = (
    "what is said in it is not known yet: no speech recogniser here (mmkg[av,models]); a later `mmkg add` listens"
)


def hear(
    writer: FolderWriter | ServerWriter,
    settings: Settings,
    model: SpeechModel,
    documents: Sequence[str],
    progress: ProgressCallback | None = None,
) -> Iterator[tuple[str, DocumentFacts]]:
    """Listen to these recordings; for each in which words are, its id and its facts with them (names not found yet).

    A clip that cannot be heard has no words, and the document's sources say why. progress: in seconds of media.
    Raises WeightsError for a model whose bytes are not the ones known, MMKGError if it cannot be loaded.
    """
    manifest = writer.manifest
    if manifest.speech != model.key:
        writer.set_manifest(replace(manifest, speech=model.key))
    lengths = {document: _length(writer.facts(document)) for document in documents}
    done, total = 0, sum(lengths.values())
    loaded = False
    with MediaProcess(settings) as process:
        for document in documents:
            facts = writer.facts(document)
            uri = next(iter(writer.sources_of(document)), document)
            clips = [u for u in facts.units if u.label == "Clip" and u.media is not None and u.span_ms is not None]
            recording = str(clips[0].media)
            heard = writer.heard(recording, model.key)
            todo: list[Span] = [u.span_ms for u in clips if u.span_ms is not None and u.span_ms not in heard]
            trouble = ""
            while todo:
                try:
                    if not loaded:
                        process.use(model.files())
                        loaded = True
                    with writer.blobs.local(recording) as path:
                        for span, words in process.hear(path, facts.media_type, todo):
                            writer.put_heard(recording, model.key, span, words)
                            heard[span] = words
                            if progress:
                                seconds = done + span[1] // 1000
                                progress(Progress(stage="listen", done=seconds, total=max(total, seconds), item=uri))
                    break
                except LoadError as e:
                    # The clip that did it has no words; the others are heard by a fresh process.
                    trouble = str(e)
                    log.warning("%s: a clip could not be heard: %s", uri, e)
                    loaded = False
                    process.close()
                    todo = [s for s in todo if s not in heard]
                    if todo:
                        writer.put_heard(recording, model.key, todo[0], [])
                        heard[todo.pop(0)] = []
            done += lengths[document]
            writer.set_reason(
                document,
                reason("note", NOT_HEARD),
                reason("note", f"not all of it could be heard: {trouble}") if trouble else "",
            )
            found = {u.ordinal: heard.get(u.span_ms, []) for u in clips if u.span_ms is not None}
            spoken = with_words(facts, found)
            if spoken != facts:
                yield document, spoken


def _length(facts: DocumentFacts) -> int:
    """Seconds of a recording."""
    return max((u.span_ms[1] for u in facts.units if u.span_ms is not None), default=0) // 1000
