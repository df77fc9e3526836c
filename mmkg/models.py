"""The models of a base: loaded at first use, recorded when a base is made, and refused when they are others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from mmkg.config import Settings
from mmkg.errors import ConfigError, EncoderMismatchError, MissingDependencyError, StoreDamagedError
from mmkg.types import Problem

if TYPE_CHECKING:
    # The protocols bring numpy and scipy, which `import mmkg` and `mmkg --help` do without.
    from mmkg.encode.sound import SoundEncoder
    from mmkg.encode.speech import SpeechModel
    from mmkg.extract.describe import PictureDescriber
    from mmkg.protocols import Encoder, Extractor, PageEncoder
    from mmkg.retrieve.fields import Field
    from mmkg.retrieve.ranker import RankerSet
    from mmkg.store.folder.writer import FolderWriter
    from mmkg.store.manifest import Manifest
    from mmkg.store.neo4j.writer import ServerWriter


class Models:
    """Encoders and name extractor: the ones given, else what settings and machine have."""

    def __init__(
        self,
        settings: Settings,
        text_encoder: Encoder | None = None,
        image_encoder: Encoder | Sequence[Encoder] | None = None,
        extractor: Extractor | None = None,
        sound_encoder: SoundEncoder | None = None,
        page_encoder: PageEncoder | None = None,
    ) -> None:
        self._settings = settings
        self._sound_encoder = sound_encoder
        self._page_encoder = page_encoder
        self._text_encoder, self._extractor = text_encoder, extractor
        given = image_encoder if isinstance(image_encoder, Sequence) else (image_encoder,) if image_encoder else ()
        self._given = tuple(given)
        self._image_encoders: tuple[Encoder, ...] | None = tuple(given) or None
        self._speech: SpeechModel | None = None
        self._describer: PictureDescriber | None = None
        self._checked: set[str] = set()

    def with_encoder(self, settings: Settings, text_encoder: Encoder | None) -> Models:
        """The same but for the encoder of words, and that of pixels where none was passed in (its space hangs on the words')."""
        return Models(settings, text_encoder, self._given, self.extractor, self._sound_encoder)

    @property
    def text_encoder(self) -> Encoder | None:
        """The encoder of words, or None if it is switched off or not installed."""
        if self._text_encoder is None and self._settings.encoder != "none":
            from mmkg.encode.registry import load_text_encoder

            try:
                self._text_encoder = load_text_encoder(self._settings)
            except MissingDependencyError:
                return None
        return self._text_encoder

    @property
    def image_encoders(self) -> tuple[Encoder, ...]:
        """The encoders of pixels that were given or that the setting names; () if it is switched off or there is none."""
        if self._image_encoders is None:
            from mmkg.seeing import load_image_encoders

            self._image_encoders = load_image_encoders(self._settings, self.text_encoder)
        return self._image_encoders

    @property
    def image_encoder(self) -> Encoder | None:
        """The first encoder of pixels, or None."""
        return next(iter(self.image_encoders), None)

    def seeing(self, manifest: Manifest) -> tuple[Encoder, ...]:
        """The encoders of pixels for a base: those here, and its fitted bridge."""
        from mmkg.seeing import with_fitted

        return with_fitted(self.image_encoders, manifest.spaces)

    def fields(self, manifest: Manifest) -> list[Field]:
        """The vector fields beside that of words that questions to a base are aimed at."""
        from mmkg.seeing import picture_fields, sound_fields

        pictures = picture_fields(manifest.spaces, self.text_encoder, lambda: self.image_encoders)
        return pictures + sound_fields(manifest.spaces, lambda: self.sound_encoder)

    @property
    def sound_encoder(self) -> SoundEncoder | None:
        """The encoder of sounds, or None if it is switched off, or what opens recordings is not installed."""
        if self._sound_encoder is None and self._settings.sound_encoder != "none":
            from mmkg.encode.sound import load_sound_encoder
            from mmkg.encode.weights import installed

            if not installed("av"):
                return None
            self._sound_encoder = load_sound_encoder(self._settings.sound_encoder, device=self._settings.device)
        return self._sound_encoder

    @property
    def page_encoder(self) -> PageEncoder | None:
        """The encoder of pages as pictures, or None if the setting names none."""
        if self._page_encoder is None and self._settings.page_encoder != "none":
            from mmkg.encode.pages import TransformersPageEncoder

            self._page_encoder = TransformersPageEncoder(
                Path(self._settings.page_encoder),
                device=self._settings.device,
                max_pixels=self._settings.limits.pixels,
            )
        return self._page_encoder

    @property
    def describer(self) -> PictureDescriber | None:
        """The model that writes what pictures show, or None if the setting names none. Nothing is called. Raises ConfigError."""
        if self._describer is None and self._settings.describer != "none":
            from mmkg.extract.describe import load_describer

            self._describer = load_describer(self._settings.describer, max_pixels=self._settings.limits.pixels)
        return self._describer

    @property
    def extractor(self) -> Extractor:
        """What finds names in text."""
        if self._extractor is None:
            from mmkg.extract.names import load_extractor

            self._extractor = load_extractor()
        return self._extractor

    def rankers(self, root: Path) -> RankerSet:
        """What orders the candidates: of the file that the setting names, else fitted on this base, else of the package.

        Raises ConfigError.
        """
        from mmkg.retrieve.ranker import BASE_FILE, load_rankers, packaged_rankers

        if self._settings.ranker not in ("default", "packaged"):
            return load_rankers(Path(self._settings.ranker))
        own = root / BASE_FILE
        if self._settings.ranker == "default" and own.exists():
            return load_rankers(own)
        return packaged_rankers()

    @property
    def speech(self) -> SpeechModel | None:
        """The recogniser of speech, or None if it is switched off or not installed. Nothing is loaded."""
        if self._speech is None and self._settings.speech != "none":
            from mmkg.encode.speech import find_speech_model

            try:
                self._speech = find_speech_model(self._settings.speech)
            except MissingDependencyError:
                return None
        return self._speech

    def agree(self, writer: FolderWriter | ServerWriter, settings: Settings) -> Settings:
        """Before the first write: record what a new base is made with; refuse to mix it with other models later.

        Returns the settings that hold for this base (its chunk length is fixed when it is made).
        Raises EncoderMismatchError, ConfigError for another name extractor.
        """
        from mmkg.encode.spaces import check, record
        from mmkg.seeing import agreed

        manifest = writer.manifest
        version = writer.deriver.version
        wanted = replace(
            manifest,
            extractor=manifest.extractor or self.extractor.name,
            deriver=manifest.deriver or version,
            chunk_characters=manifest.chunk_characters or settings.chunk_characters,
            spaces=dict(manifest.spaces),
        )
        if wanted.extractor != self.extractor.name:
            raise ConfigError(
                f"the base was built with the name extractor {wanted.extractor}, here is {self.extractor.name}",
                hint='install the same one (pip install "mmkg[models]"), or make a new base',
            )
        if manifest.speech and self.speech is not None and self.speech.key != manifest.speech:
            raise ConfigError(
                f"the recordings of the base were heard by {manifest.speech}, here is {self.speech.key}",
                hint="use the same recogniser (setting speech), or make a new base",
            )
        for encoder in (self.text_encoder, self.sound_encoder):
            if encoder is None:
                continue
            key = encoder.space.key
            if key in wanted.spaces:
                check(encoder, wanted.spaces[key])
            else:
                _refuse_other_space(wanted, encoder)
                wanted.spaces[key] = record(encoder) | {"modalities": sorted(encoder.modalities)}
            self._checked.add(key)
        spaces, overtaken = agreed(wanted.spaces, self.seeing(manifest))
        wanted = replace(wanted, spaces=spaces)
        if wanted.deriver != version:
            writer.rebuild()
            wanted = replace(wanted, deriver=version)
        if wanted != manifest:
            writer.set_manifest(wanted)
        writer.forget_spaces(overtaken)
        return replace(settings, chunk_characters=wanted.chunk_characters)

    def differences(self, manifest: Manifest) -> list[Problem]:
        """Where the encoders here are not those of the base, as doctor tells it. The picture encoder only if it is loaded."""
        from mmkg.encode.spaces import check
        from mmkg.seeing import agreed

        found = []
        if (encoder := self.text_encoder) is not None:
            try:
                if encoder.space.key in manifest.spaces:
                    check(encoder, manifest.spaces[encoder.space.key])
                else:
                    _refuse_other_space(manifest, encoder)
            except (EncoderMismatchError, StoreDamagedError) as e:
                found.append(Problem(kind="space-differs", id=encoder.space.key, detail=str(e)))
        if self._image_encoders:
            try:
                agreed(manifest.spaces, self.seeing(manifest))
            except (EncoderMismatchError, StoreDamagedError) as e:
                found.append(Problem(kind="space-differs", id=self._image_encoders[0].space.key, detail=str(e)))
        return found

    def check(self, manifest: Manifest) -> None:
        """Before the first search: the encoder must be the one whose vectors are here. Raises EncoderMismatchError."""
        from mmkg.encode.spaces import check

        encoder = self.text_encoder
        if encoder is None or encoder.space.key in self._checked:
            return
        recorded = manifest.spaces.get(encoder.space.key)
        if recorded is not None:
            check(encoder, recorded)
        else:
            _refuse_other_space(manifest, encoder)
        self._checked.add(encoder.space.key)


def _refuse_other_space(manifest: Manifest, encoder: Encoder) -> None:
    for key, entry in manifest.spaces.items():
        if set(entry.get("modalities", ())) & {str(m) for m in encoder.modalities}:
            raise EncoderMismatchError(
                f"the base was built with {key}, the encoder is {encoder.space.key}",
                hint="use the same encoder (setting encoder), or bring the base over: `mmkg reindex --encoder NAME`",
            )
