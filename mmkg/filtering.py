"""Which units of a base a filter lets through: the conditions of mmkg.where held against what the store knows.

A filter becomes a mask over the units before anything is ranked, so a list is never cut first and emptied afterwards. What a
generation knows of its documents is read once, at the first filtered search: O(documents); a mask then costs O(documents + units).
"""

from __future__ import annotations

import difflib
import threading
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Protocol

import numpy as np
import numpy.typing as npt

from mmkg.errors import FilterError
from mmkg.protocols import IndexView
from mmkg.types import LANGUAGES, TAG_PREFIX, Modality, languages_of
from mmkg.where import Condition, Profile, date_of

Mask = npt.NDArray[np.bool_]
_MODALITIES = (Modality.TEXT, Modality.IMAGE, Modality.AUDIO, Modality.VIDEO)


class ProfileReader(Protocol):
    """What a store tells a filter; mmkg.showing.Reader has it."""

    def profiles(self) -> Iterator[tuple[str, str, str, Mapping[str, str], Sequence[str]]]:
        """(id, name, media type, properties, URIs) of every visible document."""
        ...

    def unit_ids_of(self, document: str) -> list[str]:
        """Ids of the units of a document, by ordinal."""
        ...

    def units_of_kinds(self, kinds: Sequence[str]) -> list[str]:
        """Ids of the visible units of these kinds."""
        ...


class Filters:
    """Masks for one generation. Safe to use from several threads."""

    def __init__(self, view: IndexView, reader: ProfileReader) -> None:
        self._view, self._reader = view, reader
        self._lock = threading.Lock()

    def mask(self, conditions: Sequence[Condition]) -> Mask | None:
        """(n_units,) True where every condition holds; None if there are none.

        Raises FilterError for a property or tag that no document of the base has.
        """
        if not conditions:
            return None
        with self._lock:
            profiles = self._profiles
        out = np.ones(self._view.n_units, dtype=bool)
        for condition in conditions:
            self._check(condition)
            if condition.of_units:
                out &= self._of_units(condition, profiles)
            else:
                held = np.array([p is not None and condition.holds_for(p) for p in profiles], dtype=bool)
                out &= held[self._view.unit_document]
        return out

    def _of_units(self, condition: Condition, profiles: Sequence[Profile | None]) -> Mask:
        view = self._view
        if condition.field == "modality":
            found = of_modalities(view, condition.values)
        elif condition.field == "lang":
            found = self._in_languages(condition.values, profiles)
        else:
            files = np.array([p is not None and condition.is_file_kind(p) for p in profiles], dtype=bool)
            found = files[view.unit_document]
            if kinds := condition.unit_kinds():
                at = np.array(view.units_by_id(self._reader.units_of_kinds(kinds)), dtype=np.int64)
                found[at[at >= 0]] = True
        return ~found if condition.negated else found

    def _in_languages(self, wanted: Sequence[str], profiles: Sequence[Profile | None]) -> Mask:
        """Units in one of these languages; English is what has no other."""
        view = self._view
        found, told = np.zeros(view.n_units, dtype=bool), np.zeros(view.n_units, dtype=bool)
        for profile in profiles:
            if profile is None or not (held := languages_of(profile.meta)):
                continue
            units = view.units_by_id(self._reader.unit_ids_of(profile.id))
            for language, ordinals in held.items():
                at = np.array([units[o] for o in ordinals if o < len(units) and units[o] >= 0], dtype=np.int64)
                told[at] = True
                found[at] |= language in wanted
        return found | ~told if "en" in wanted else found

    def _check(self, condition: Condition) -> None:
        name = condition.property
        if condition.field == "date" and not any(p is not None and date_of(p.meta) for p in self._profiles):
            raise FilterError("no document here has a date", hint="dates come from front matter, EXIF and the like")
        if not name or name in self._names:
            return
        close = difflib.get_close_matches(name, self._names, n=1)
        known = ", ".join(self._names[:20]) or "none"
        what = "tag" if name.startswith(TAG_PREFIX) else "property"
        raise FilterError(
            f"no document here has the {what} {name.removeprefix(TAG_PREFIX)}",
            hint=f"did you mean {close[0]}?" if close else f"here are: {known}",
        )

    @cached_property
    def _profiles(self) -> list[Profile | None]:
        """Of each document of the view, by its index."""
        view = self._view
        _, first = np.unique(view.unit_document, return_index=True)
        ids = [u.partition("/")[0] for u in view.unit_ids(first.tolist())]
        place = dict(zip(ids, np.asarray(view.unit_document)[first].tolist(), strict=True))
        out: list[Profile | None] = [None] * view.n_documents
        for id_, name, media_type, meta, uris in self._reader.profiles():
            if id_ in place:
                out[place[id_]] = Profile(
                    id=id_, name=name, media_type=media_type, meta=_folded(meta), uris=tuple(uris)
                )
        return out

    @cached_property
    def _names(self) -> list[str]:
        return sorted({key for p in self._profiles if p is not None for key in p.meta if key != LANGUAGES})


def of_modalities(view: IndexView, modalities: Sequence[str]) -> Mask:
    """(n_units,) True for units of these modalities."""
    wanted = [_MODALITIES.index(Modality(m)) for m in modalities]
    return np.asarray(np.isin(view.unit_modality, wanted))


def names_of(reader: ProfileReader) -> list[str]:
    """Names of the properties and tags that visible documents have, sorted. O(documents)."""
    return sorted({key for *_, meta, _ in reader.profiles() for key in _folded(meta) if key != LANGUAGES})


def _folded(meta: Mapping[str, str]) -> dict[str, str]:
    """Properties by their folded names, as conditions write them; the names of tags as they are."""
    from mmkg.algorithms.names import fold

    return {key if key.startswith(TAG_PREFIX) else fold(key): value for key, value in meta.items()}
