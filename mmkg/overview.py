"""Questions about the whole: `--mode global`, and the themes that `mmkg communities` lists.

Themes are derived from the arrays of one generation (mmkg.retrieve.overview) at the first question that needs them, and kept in a
file beside the base under the fingerprint of those arrays. Other arrays, other fingerprint: then they are made anew, so what is told
is never that of an earlier state.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path as FilePath

import numpy as np
import numpy.typing as npt

from mmkg.protocols import Encoder, Extractor, IndexView
from mmkg.retrieve.overview import UNITS, Community, communities, fingerprint, ordered
from mmkg.retrieve.question import question_entities
from mmkg.types import Answer, AnswerSentence, Channel, Citation, Evidence, Locator, Path, PathStep, Span

log = logging.getLogger(__name__)

FILE = "communities.json"
"""Name of the kept themes in the base's folder (of a base on a server: in what this machine keeps of it)."""
NOTHING = "The base does not name enough things to tell themes apart."
_SHORTEST, _LONGEST = 30, 400
"""Characters of a sentence that can stand for a theme."""

Mask = npt.NDArray[np.bool_]
Read = Callable[[Sequence[str]], list[Evidence]]


def themes(view: IndexView, folder: FilePath) -> list[Community]:
    """The communities of a generation: kept ones if they are of these very arrays, else made now and kept."""
    mark, path = fingerprint(view), folder / FILE
    with suppress(OSError, ValueError, KeyError, TypeError):
        kept = json.loads(path.read_text(encoding="utf-8"))
        if kept["fingerprint"] == mark:
            return [Community.from_json(c) for c in kept["communities"]]
    found = communities(view)
    data = {"fingerprint": mark, "generation": view.generation, "communities": [c.to_json() for c in found]}
    part = path.with_name(f".{FILE}.{os.getpid()}")
    try:
        part.write_text(json.dumps(data, ensure_ascii=False), encoding="utf-8")
        part.replace(path)
    except OSError as e:  # someone who may only read: made anew next time
        log.debug("themes are not kept: %s", e)
        with suppress(OSError):
            part.unlink()
    return found


def ranked(
    found: Sequence[Community],
    question: str,
    view: IndexView,
    *,
    extractor: Extractor | None,
    encoder: Encoder | None,
) -> list[tuple[Community, float]]:
    """The communities for a question, best first, with scores in (0, 1]."""
    named = [e.canonical for e in question_entities(question, view, extractor)]
    near: dict[int, float] = {}
    if encoder is not None and encoder.space.key in view.spaces():
        query = encoder.encode_query([question])[0]
        for c in found:
            units = [u for u in view.units_by_id(c.units) if u >= 0]
            vectors = view.unit_vectors(encoder.space.key, np.array(units, dtype=np.int64))
            if len(vectors):
                near[c.number] = round(float((vectors @ query).max()), 5)
    pairs = ordered(found, view.entity_ids(view_indices(view, named)), near)
    top = pairs[0][1] if pairs else 1.0
    return [(c, max(score / top, 1e-6) if top > 0 else 1.0) for c, score in pairs]


def view_indices(view: IndexView, canonical: Sequence[str]) -> list[int]:
    """Indices of the entities that the view knows."""
    return [e for e in view.entities(list(canonical)) if e >= 0]


def central_units(view: IndexView, community: Community, within: Mask | None) -> list[str]:
    """Its most central units, best first; with a mask, of the units that it lets through, by how many of the names they hold."""
    if within is None:
        return list(community.units)
    allowed = np.flatnonzero(within)
    names = view_indices(view, [i for i, _ in community.entities])
    weights = 1.0 / (1.0 + np.arange(len(names)))
    held = view.mentions[allowed][:, names]
    score = np.asarray((held > 0) @ weights).ravel() / np.sqrt(20.0 + np.asarray(view.unit_length)[allowed])
    order = np.lexsort((allowed, -np.round(score, 12)))
    return view.unit_ids([int(allowed[i]) for i in order[:UNITS] if score[i] > 0])


def evidence_of(
    view: IndexView, read: Read, pairs: Sequence[tuple[Community, float]], k: int, within: Mask | None
) -> list[Evidence]:
    """k units: the most central one of each community, then the next ones; each says which theme it stands for, at which place."""
    lists = [(c, score, central_units(view, c, within)) for c, score in pairs[: max(k, 1)]]
    chosen: list[tuple[str, Community, float, int]] = []
    seen: set[str] = set()
    for place in range(UNITS):
        for rank, (c, score, units) in enumerate(lists, 1):
            if place < len(units) and units[place] not in seen and len(chosen) < k:
                seen.add(units[place])
                chosen.append((units[place], c, score / (1 + place), rank))
    known = {e.id: e for e in read([u for u, *_ in chosen])}
    out = []
    for unit, c, score, rank in chosen:
        if (e := known.get(unit)) is None:
            continue
        name = e.document.name or unit
        way = Path(
            steps=(
                PathStep(id=c.entities[0][0], kind="entity", name=c.name),
                PathStep(id=unit, kind="unit", name=name, via="CENTRAL"),
            )
        )
        out.append(replace(e, score=score, channels=(Channel(name="community", rank=rank, score=score),), path=way))
    return sorted(out, key=lambda e: -e.score)


def answer(
    question: str, pairs: Sequence[tuple[Community, float]], view: IndexView, read: Read, k: int, within: Mask | None
) -> Answer:
    """The themes in the order of the question, each with its names and a sentence from its centre, quoted and cited."""
    sentences: list[AnswerSentence] = []
    citations: list[Citation] = []
    evidence: list[Evidence] = []
    for c, score in pairs:
        if len(sentences) == k:
            break
        found = _quoted(c, read(central_units(view, c, within)))
        if found is None:
            continue
        e, span = found
        marker = len(sentences) + 1
        quote = e.words(span)
        evidence.append(replace(e, score=score, channels=(Channel(name="community", rank=marker, score=score),)))
        where = Locator(chars=span, page=e.locator.page, bbox=None, seconds=e.locator.seconds)
        citations.append(
            Citation(marker=marker, evidence=e.id, document=e.document, locator=where, quote=quote, verdict="supported")
        )
        text = f"{c.name} ({c.n_units} units in {c.n_documents} documents): {' '.join(quote.split())} [{marker}]"
        sentences.append(AnswerSentence(text=text, citations=(marker,)))
    if not sentences:
        return Answer(question=question, text=NOTHING, found=False, model="overview", support=0.0)
    return Answer(
        question=question,
        text="\n".join(s.text for s in sentences),
        found=True,
        sentences=tuple(sentences),
        citations=tuple(citations),
        evidence=tuple(evidence),
        model="overview",
    )


def _quoted(community: Community, units: Sequence[Evidence]) -> tuple[Evidence, Span] | None:
    """A unit and the sentence in it that says most of the community's names, in the first unit that has one of fitting length."""
    at = dict(zip(community.units, community.sentences, strict=True))
    names = [name.casefold() for _, name in community.entities]
    for e in units:
        fitting = [s for s in e.sentences if _SHORTEST <= len(e.words(s)) <= _LONGEST]
        if not fitting:
            continue
        chosen = at.get(e.id, -1)
        if 0 <= chosen < len(e.sentences) and e.sentences[chosen] in fitting:
            return e, e.sentences[chosen]
        counts = [sum(n in e.words(s).casefold() for n in names) for s in fitting]
        return e, fitting[int(np.argmax(counts))]
    return None
