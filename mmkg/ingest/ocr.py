"""Words in pictures, read with RapidOCR (PP-OCRv6 small, weights inside the wheel). Nothing is ever downloaded.

The engine is loaded once per process, on first use, with one thread: the same picture gives the same words on any machine.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import importlib.util
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmkg.errors import MissingDependencyError, WeightsError
from mmkg.ingest.layout import reading_order
from mmkg.types import Box

if TYPE_CHECKING:
    from PIL.Image import Image

logger = logging.getLogger(__name__)

DETECTOR = "PP-OCRv6_det_small.onnx"
RECOGNISER = "PP-OCRv6_rec_small.onnx"
WEIGHTS = {
    DETECTOR: "090f04abcd9d9a7498bc4ebf677e4cb9bdce1fe4197ddb7e529f1ef44e1ff94f",
    RECOGNISER: "6f327246b50388f3c176ae304bd95767ea6dc0c9ae92153ef8cbe210b3c14884",
}

_MAX_SIDE = 1600
"""Larger pictures are reduced to this before reading, in pixels."""
_MIN_SIDE = 800
"""Smaller ones are enlarged up to this (three times at most): letters of 10 pixels are found only then."""
_DETECT_SIDE = 960
"""Longest side at which text regions are looked for; the words are then read from the full picture."""
_SMALLEST = 12
"""Pictures with a side under this hold no word."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OcrLine:
    """One line of words read from a picture. box: in pixels of that picture. confidence: 0 to 1."""

    text: str
    box: Box
    confidence: float


@dataclass(slots=True)
class OcrBudget:
    """How much reading one document may cost, in estimated seconds of one slow core.

    The estimate depends on the pictures alone, never on a clock, so that the same file always gives the same words.
    """

    seconds: float
    spent: float = 0.0
    n_failed: int = 0
    """Pictures that the engine could not read, mostly for want of memory: the document comes in without their words."""

    @property
    def exhausted(self) -> bool:
        return self.spent >= self.seconds

    def read(self, picture: Image) -> list[OcrLine]:
        """The lines of words in a picture, and what reading them cost charged. [] where the engine fails."""
        try:
            found = read_words(picture)
        except (MissingDependencyError, WeightsError):
            raise
        except Exception as e:  # the engine's own errors: out of memory, mostly
            logger.warning("the words in a picture could not be read: %s", e)
            self.n_failed += 1
            found = []
        self.charge(picture.size, found)
        return found

    def notes(self) -> list[str]:
        """What a user should know of the reading."""
        return [f"the words in {self.n_failed} pictures could not be read"] if self.n_failed else []

    def charge(self, size: tuple[int, int], lines: Sequence[OcrLine]) -> None:
        """Record the reading of a picture of that size (pixels) which gave those lines."""
        long_side = max(1, *size)
        detect = min(1.0, _DETECT_SIDE / long_side)
        megapixels = size[0] * size[1] * detect**2 / 1e6
        # The recogniser sees each line at 48 pixels of height; its cost goes with the width that gives.
        widths = sum(max(1.0, (x1 - x0) / max(1, y1 - y0)) * 48 for x0, y0, x1, y1 in (line.box for line in lines))
        self.spent += 0.1 + 1.2 * megapixels + 0.12e-3 * widths


def ocr_available() -> bool:
    """Whether the OCR package and its weights are installed."""
    folder = _model_folder()
    return folder is not None and all((folder / name).is_file() for name in WEIGHTS)


def ocr_version() -> str:
    """Package and model versions, for a base's profile; "" if OCR is not installed."""
    if not ocr_available():
        return ""
    return f"rapidocr-{importlib.metadata.version('rapidocr')}/PP-OCRv6-small/{WEIGHTS[RECOGNISER][:8]}"


def read_words(image: Image) -> list[OcrLine]:
    """The lines of words in a picture, in reading order: top to bottom, left to right, column by column.

    What the model is unsure of is left out: textures and faces give no words.
    Raises MissingDependencyError if OCR is not installed, WeightsError if its weights are not the pinned ones.
    """
    if min(image.size) < _SMALLEST:
        return []
    picture, scale = _prepared(image)
    result = _engine()(picture)
    if result.txts is None or result.boxes is None:
        return []
    lines = []
    for text, score, corners in zip(result.txts, result.scores, result.boxes, strict=True):
        clean = " ".join(text.split())
        if _credible(clean, float(score)):
            xs, ys = [float(p[0]) / scale for p in corners], [float(p[1]) / scale for p in corners]
            box = (
                max(0, int(min(xs))),
                max(0, int(min(ys))),
                min(image.width, int(max(xs)) + 1),
                min(image.height, int(max(ys)) + 1),
            )
            lines.append(OcrLine(text=clean, box=box, confidence=round(float(score), 4)))
    return [lines[i] for i in reading_order([line.box for line in lines])]


def _credible(text: str, score: float) -> bool:
    """Tuned on portraits, drawn badges and page scans: noise is short and unsure, often one ideograph."""
    letters = sum(c.isalnum() for c in text)
    if letters == 0:
        return False
    if letters <= 2:
        return score >= (0.97 if not text.isascii() else 0.9)
    return score >= 0.75


def _prepared(image: Image) -> tuple[Any, float]:
    """The picture as a BGR array on white ground, and the factor by which it was scaled."""
    import numpy as np
    from PIL import Image as pil

    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        ground = pil.new("RGBA", rgba.size, (255, 255, 255, 255))
        image = pil.alpha_composite(ground, rgba)
    image = image.convert("RGB")
    side = max(image.size)
    scale = 1.0
    if side > _MAX_SIDE:
        scale = _MAX_SIDE / side
    elif side < _MIN_SIDE:
        scale = min(3.0, _MIN_SIDE / side)
    if scale != 1.0:
        size = (max(_SMALLEST, round(image.width * scale)), max(_SMALLEST, round(image.height * scale)))
        image = image.resize(size, pil.Resampling.BICUBIC)
    return np.ascontiguousarray(np.asarray(image)[:, :, ::-1]), scale


def _model_folder() -> Path | None:
    spec = importlib.util.find_spec("rapidocr")
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0]) / "models"


@functools.cache
def _engine() -> Any:
    folder = _model_folder()
    if folder is None:
        raise MissingDependencyError("reading words in pictures needs rapidocr", hint='pip install "mmkg[ocr]"')
    for name, expected in WEIGHTS.items():
        try:
            found = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        except OSError as e:
            raise WeightsError(f"OCR weights {name} are missing", hint='pip install "mmkg[ocr]"') from e
        if found != expected:
            raise WeightsError(
                f"OCR weights {name} have sha256 {found[:12]}..., expected {expected[:12]}...",
                hint="pip install --force-reinstall rapidocr==3.10.0",
            )
    from rapidocr import RapidOCR

    # With explicit paths the package never reaches its downloader. Upright text only: the flip classifier turns
    # short names upside down more often than it mends one.
    return RapidOCR(
        params={
            "Global.log_level": "critical",
            "Global.use_cls": False,
            "Global.text_score": 0.3,
            "EngineConfig.onnxruntime.intra_op_num_threads": 1,
            "EngineConfig.onnxruntime.inter_op_num_threads": 1,
            "Det.model_path": str(folder / DETECTOR),
            "Rec.model_path": str(folder / RECOGNISER),
            "Det.limit_type": "max",
            "Det.limit_side_len": _DETECT_SIDE,
            # Lines of a batch are widened to the longest of them: with one long line, six take six times its memory.
            "Rec.rec_batch_num": 1,
        }
    )
