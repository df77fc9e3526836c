"""The encoders of pictures that a base has and a machine offers, and how a question is brought into their spaces.

Spaces of pictures in one base:
- the label bridge (mmkg.encode.bridge), which lies in the text space; a later revision takes the place of an earlier one;
- the fitted bridge (mmkg.encode.fitted), whose map is in the manifest; where it is, search uses it and not the label bridge;
- any number of CLIP-like models that the setting image_encoder names, each with a text tower of its own.
All are vector fields side by side: a picture has a vector in each, a question is encoded for each, and the lists are joined by rank.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from mmkg.encode.bridge import NAME as BRIDGE
from mmkg.encode.bridge import BridgeEncoder, bridge_query, bridge_space
from mmkg.encode.fitted import NAME as FITTED
from mmkg.encode.fitted import FittedEncoder, LinearMap, fitted_entries
from mmkg.encode.spaces import check, record
from mmkg.errors import EncodeError, EncoderMismatchError, MissingDependencyError
from mmkg.extract.kinds import prompts
from mmkg.protocols import Encoder, FloatArray, JointEncoder, Space
from mmkg.retrieve.fields import PIXELS, SOUND, Field
from mmkg.types import Modality

if TYPE_CHECKING:
    from mmkg.config import Settings

log = logging.getLogger(__name__)

Spaces = Mapping[str, Mapping[str, Any]]
"""What a manifest records: Space.key -> {"space", "probes", "modalities", ...}."""


def load_image_encoders(settings: Settings, text: Encoder | None) -> tuple[Encoder, ...]:
    """The encoders of pictures that the setting names, in its order; without "default" where the label bridge cannot be had.

    Raises ConfigError, NotFoundError, WeightsError, MissingDependencyError for a model that is named and cannot be had.
    """
    from mmkg.encode.registry import load_image_encoder, load_named_image_encoder

    found: list[Encoder] = []
    for name in settings.image_encoder.split(","):
        name = name.strip()
        if name == "default":
            try:
                found.append(load_image_encoder(settings, text=text))
            except MissingDependencyError as e:
                log.debug("no label bridge: %s", e)
        elif name and name != "none":
            found.append(load_named_image_encoder(settings, name))
    return tuple(found)


def with_fitted(encoders: Sequence[Encoder], spaces: Spaces) -> tuple[Encoder, ...]:
    """The encoders, and those of the base's fitted maps that stand on one of them."""
    bridges = {e.space.revision: e for e in encoders if isinstance(e, BridgeEncoder)}
    out = list(encoders)
    for key in fitted_entries(spaces):
        bridge = bridges.get(key.partition("@")[2].partition("-")[2])
        if bridge is not None:
            out.append(FittedEncoder(bridge, LinearMap.from_json(spaces[key]["map"])))
    return tuple(out)


def agreed(spaces: Spaces, encoders: Sequence[Encoder]) -> tuple[dict[str, Any], list[str]]:
    """What a manifest shall record once these encoders write, and the spaces that they take the place of.

    Raises EncoderMismatchError for an encoder of another space than is recorded under its key, and where pictures of the
    base have vectors of an encoder that is not here: those that come in now would be found by some questions only.
    """
    wanted: dict[str, Any] = dict(spaces)
    keys = {e.space.key for e in encoders}
    gone = [key for key in spaces if _overtaken(key, keys)]
    for key in gone:
        del wanted[key]
        if key.startswith(FITTED):
            log.warning(
                "the fitted bridge stood on an older label bridge and is taken out; `mmkg train bridge` fits it anew"
            )
    missing = sorted(k for k in wanted if of_pictures(wanted[k]) and k not in keys and not k.startswith(FITTED))
    if encoders and missing:
        raise EncoderMismatchError(
            f"the pictures of the base were encoded by {', '.join(missing)}; here is {', '.join(sorted(keys))}",
            hint="name every encoder of the base in the setting image_encoder, with commas, or make a new base",
        )
    for encoder in encoders:
        key = encoder.space.key
        if key in wanted:
            check(encoder, wanted[key])
        else:
            wanted[key] = record(encoder) | {"modalities": sorted(encoder.modalities)}
    return wanted, gone


def _overtaken(key: str, keys: set[str]) -> bool:
    """Whether a space of the label bridge, or on top of it, is of an older revision than one that is here."""
    name, _, revision = key.partition("@")
    for own in keys:
        of, _, newer = own.partition("@")
        if of == BRIDGE and name == BRIDGE and revision != newer and _text_of(revision) == _text_of(newer):
            return True
        if of == BRIDGE and name == FITTED and not revision.endswith("-" + newer):
            return True
    return False


def _text_of(revision: str) -> str:
    """The revision of the text space that a revision of the label bridge goes with."""
    return revision.split("-", 2)[-1]


def goes_with(key: str, text: Space) -> bool:
    """Whether a space of pictures or sounds can be beside this space of words: a label bridge, or a fitted one, leads into one alone."""
    name, _, revision = key.partition("@")
    if name not in (BRIDGE, FITTED):
        return True
    own = bridge_space(text).revision
    return revision == own if name == BRIDGE else revision.endswith("-" + own)


def prompt_vectors(encoder: Encoder, text: Encoder | None) -> FloatArray | None:
    """Vectors of the prompts of kinds in a space of pictures: by its own encoder of words, else by that of the text space it goes with."""
    words = encoder if Modality.TEXT in encoder.modalities else text
    if words is None or words.space.dim != encoder.space.dim:
        return None
    try:
        return words.encode_query(list(prompts()))
    except EncodeError as e:
        log.warning("no vectors of prompts: %s", e)
        return None


def of_pictures(entry: Mapping[str, Any]) -> bool:
    """Whether a space that a manifest records is one of pictures."""
    return str(Modality.IMAGE) in entry.get("modalities", ())


def picture_fields(spaces: Spaces, text: Encoder | None, encoders: Callable[[], Sequence[Encoder]]) -> list[Field]:
    """The fields of pictures that a base records and a question can be aimed at here. encoders: called where models are needed."""
    keys = [key for key, entry in spaces.items() if of_pictures(entry)]
    fitted = [k for k in keys if k.startswith(FITTED + "@")]
    bridges = [k for k in keys if k.startswith(BRIDGE + "@")]
    out: list[Field] = []
    if text is not None:
        own = _text_of(bridge_space(text.space).revision)
        near = [k for k in fitted if k.endswith("-" + own)] or [k for k in bridges if k.endswith("-" + own)]
        out += [Field(space=k, channel=PIXELS, aim=_by_text) for k in near]
    if others := [k for k in keys if k not in fitted and k not in bridges]:
        here = {e.space.key: e for e in encoders()}
        out += [Field(space=k, channel=PIXELS, aim=_by_tower(here[k])) for k in others if k in here]
    return out


PAGES = "page"
"""Stands among the modalities of a space of pages in a manifest."""


def page_spaces(spaces: Spaces) -> list[str]:
    """Keys of the spaces of pages that a base records: one, or none."""
    return [key for key, entry in spaces.items() if PAGES in entry.get("modalities", ())]


def sound_fields(spaces: Spaces, load: Callable[[], Encoder | None]) -> list[Field]:
    """The field of sounds, where the base has vectors of the encoder that is here. load: called only if it has some."""
    if not any(str(Modality.AUDIO) in entry.get("modalities", ()) for entry in spaces.values()):
        return []
    encoder = load()
    if encoder is None or encoder.space.key not in spaces:
        return []
    return [Field(space=encoder.space.key, channel=SOUND, aim=_by_tower(encoder))]


def _by_text(question: str, query: FloatArray | None) -> FloatArray | None:
    """Pictures that lie in the text space are found by the question's own vector."""
    if query is None:
        return None
    aimed: FloatArray = bridge_query(query[None])[0]
    return aimed


def _by_tower(encoder: Encoder) -> Any:
    """Words by the encoder's own text tower; None where it has none."""
    if not isinstance(encoder, JointEncoder):
        return lambda question, query: None

    @lru_cache(maxsize=256)
    def encoded(question: str) -> FloatArray:
        row: FloatArray = encoder.encode_text([question])[0]
        return row

    return lambda question, query: encoded(question) if question.strip() else None
