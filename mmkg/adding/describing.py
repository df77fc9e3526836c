"""What a vision language model writes of pictures, where the setting describer names one. Off by default.

Pictures are shown to it after their documents came in. Each reply is kept at once under the picture's hash and the model's key, so a
stop loses one reply, and the same picture is never shown twice. When all pictures of a document have one, its facts are replaced in one
commit: a caption and the relations become words of the picture, in a span of their own (`Unit.described`), with the names in them; so
entities, counts, vectors and DEPICTS follow as from any words, and a rebuild calls nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from mmkg.errors import ConfigError, EncodeError, StoreDamagedError
from mmkg.extract.describe import Description, PictureDescriber
from mmkg.ingest.sentences import split_sentences
from mmkg.protocols import ProgressCallback
from mmkg.types import Cue, DocumentFacts, NameSpan, Progress, Unit

if TYPE_CHECKING:
    from mmkg.store.folder.writer import FolderWriter
    from mmkg.store.neo4j.writer import ServerWriter

log = logging.getLogger(__name__)

MODEL = "model"
"""Source of the names that a model gave as subject or object."""
KINDS = frozenset({"image", "figure", "page"})
"""Key frames are left out: a film has hundreds, and each picture is a call."""
SMALLEST = 64
"""Pixels of the shorter side: icons and rules are not shown."""
_WHOLE = (0, 0)
"""Span under which a reply is kept among what recognisers heard."""
_GIVE_UP = 3
"""Failures one after the other after which the service is left alone."""


def agree(writer: FolderWriter | ServerWriter, describer: PictureDescriber) -> None:
    """Record whose words the base holds. Raises ConfigError for another model than the recorded one."""
    manifest = writer.manifest
    if manifest.describer and manifest.describer != describer.key:
        raise ConfigError(
            f"the pictures of the base were described by {manifest.describer}, here is {describer.key}",
            hint="name the same model in the setting describer, or make a new base",
        )
    if not manifest.describer:
        writer.set_manifest(replace(manifest, describer=describer.key))


def describe(
    writer: FolderWriter | ServerWriter,
    describer: PictureDescriber,
    progress: ProgressCallback | None = None,
) -> Iterator[tuple[str, DocumentFacts]]:
    """Show the pictures of every document that waits for it; its id and its facts with the words (names not found yet).

    A document of which a picture could not be described stays as it is, and a later run goes on with it.
    """
    agree(writer, describer)
    waiting = writer.undescribed(describer.key)
    failures = done = 0
    for document in waiting:
        facts = writer.facts(document)
        found: dict[int, Description] = {}
        whole = True
        for unit in _shown(facts):
            assert unit.media is not None
            kept = writer.heard(unit.media, describer.key).get(_WHOLE)
            if kept is None:
                if failures >= _GIVE_UP:
                    whole = False
                    break
                try:
                    said = describer.describe(writer.blobs.read(unit.media))
                except (EncodeError, StoreDamagedError) as e:
                    log.warning("%s: a picture was not described: %s", document[:12], e)
                    failures, whole = failures + 1, False
                    continue
                failures = 0
                kept = [Cue(start_ms=0, end_ms=0, text=said.to_json())] if said != Description() else []
                writer.put_heard(unit.media, describer.key, _WHOLE, kept)
            found[unit.ordinal] = _read(kept)
        done += 1
        if progress:
            uri = next(iter(writer.sources_of(document)), document)
            progress(Progress(stage="describe", done=done, total=len(waiting), item=uri))
        if whole and (told := with_descriptions(facts, found)) != facts:
            yield document, told
    if failures >= _GIVE_UP:
        log.warning("the describer failed %d times in a row and is left alone; a later `mmkg add` goes on", failures)


def _shown(facts: DocumentFacts) -> list[Unit]:
    return [
        u
        for u in facts.units
        if u.label == "Image"
        and u.media is not None
        and u.kind in KINDS
        and min(u.width or SMALLEST, u.height or SMALLEST) >= SMALLEST
    ]


def _read(kept: list[Cue]) -> Description:
    try:
        return Description.from_json(kept[0].text) if kept else Description()
    except ValueError as e:
        raise StoreDamagedError(f"a kept description cannot be read: {e}", hint="run `mmkg doctor`") from e


def with_descriptions(facts: DocumentFacts, found: Mapping[int, Description]) -> DocumentFacts:
    """The facts with these words in the pictures that have none of a model yet.

    found: ordinal of a picture -> what was said of it. They are added at the end of the text, a paragraph for each picture, so no
    other span and no id changes: the caption, then a sentence for each relation. The subjects and objects become names.
    """
    parts, length = [facts.text], len(facts.text)
    units = list(facts.units)

    def add(text: str) -> tuple[int, int]:
        nonlocal length
        parts.append(text)
        length += len(text)
        return length - len(text), length

    for i, unit in enumerate(facts.units):
        said = found.get(unit.ordinal, Description())
        if unit.described is not None or said == Description():
            continue
        if length:
            add("\n\n")
        start, sentences, names = length, [], []
        if said.caption:
            a, b = add(said.caption if said.caption[-1:] in ".!?" else f"{said.caption}.")
            sentences.append((a, b))
        for subject, relation, thing in said.triples:
            if length > start:
                add(" ")
            a, end = add(subject)
            names.append((a, end))
            add(f" {relation} ")
            names.append(add(thing))
            sentences.append((a, add(".")[1]))
        units[i] = replace(
            unit,
            described=(start, length),
            sentences=(*unit.sentences, *sentences),
            names=(*unit.names, *(NameSpan(start=a, end=b, label="", source=MODEL) for a, b in names)),
        )
    text = "".join(parts)
    return replace(facts, text=text, units=tuple(_split(text, u, v) for u, v in zip(facts.units, units, strict=True)))


def _split(text: str, before: Unit, now: Unit) -> Unit:
    """A caption of several sentences is parted."""
    if now == before:
        return now
    own = now.sentences[: len(before.sentences)]
    new = [s for a, b in now.sentences[len(before.sentences) :] for s in (split_sentences(text, a, b) or [(a, b)])]
    return replace(now, sentences=(*own, *new))


def with_given_names(facts: DocumentFacts, named: DocumentFacts) -> DocumentFacts:
    """`named`, with the names that a model gave in `facts` back in it: finding names had put others in their place."""
    return replace(
        named,
        units=tuple(
            replace(
                n,
                names=tuple(
                    sorted(
                        {*n.names, *(x for x in u.names if x.source == MODEL)}, key=lambda x: (x.start, x.end, x.source)
                    )
                ),
            )
            for u, n in zip(facts.units, named.units, strict=True)
        ),
    )
