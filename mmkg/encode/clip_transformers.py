"""CLIP and SigLIP folders of the transformers library."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmkg.encode.pictures import Preparation
from mmkg.encode.text_named import offline
from mmkg.encode.text_torch import INSTALL_TORCH
from mmkg.encode.weights import read_json
from mmkg.errors import ConfigError, MissingDependencyError, WeightsError

KINDS = ("clip", "siglip")
_RESAMPLE = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic"}  # Pillow's numbers


class TransformersTowers:
    """A CLIPModel or SiglipModel and its tokenizer, from a folder. Raises ConfigError, WeightsError, MissingDependencyError."""

    def __init__(self, folder: Path) -> None:
        from safetensors import SafetensorError

        config = read_json(folder / "config.json")
        self.kind = str(config.get("model_type"))
        if self.kind not in KINDS:
            raise ConfigError(
                f"{folder.name} is a model of type {self.kind}", hint=f"as image encoder: {', '.join(KINDS)}"
            )
        try:
            from transformers import AutoTokenizer, CLIPModel, SiglipModel
        except ImportError as e:
            raise MissingDependencyError(f"transformers cannot be imported: {e}", hint=INSTALL_TORCH) from e
        model: Any = CLIPModel if self.kind == "clip" else SiglipModel
        try:
            with offline():
                self.model = model.from_pretrained(
                    str(folder), local_files_only=True, use_safetensors=True, trust_remote_code=False
                )
                self.model.eval()
                self.tokenizer = AutoTokenizer.from_pretrained(
                    str(folder), local_files_only=True, trust_remote_code=False
                )
        except (SafetensorError, OSError, ValueError, KeyError, RuntimeError, TypeError) as e:
            raise WeightsError(f"{folder.name} cannot be loaded: {str(e).splitlines()[0]}") from e
        settings = self.model.config
        self.max_tokens = int(settings.text_config.max_position_embeddings)
        self.preparation = preparation_of(folder, self.kind, int(settings.vision_config.image_size))
        self.dim = int(settings.projection_dim if self.kind == "clip" else settings.vision_config.hidden_size)

    def to(self, device: str) -> None:
        self.model.to(device)

    def images(self, pixels: Any) -> Any:
        return _rows(self.model.get_image_features(pixel_values=pixels))

    def texts(self, texts: Sequence[str], device: str) -> Any:
        return _rows(self.model.get_text_features(**self.tokens(texts, device)))

    def tokens(self, texts: Sequence[str], device: str) -> Mapping[str, Any]:
        """Inputs of the text tower. SigLIP was trained on texts filled up to full length, without a mask."""
        padding = "max_length" if self.kind == "siglip" else True
        found = self.tokenizer(
            list(texts), padding=padding, truncation=True, max_length=self.max_tokens, return_tensors="pt"
        )
        wanted = ("input_ids",) if self.kind == "siglip" else ("input_ids", "attention_mask")
        return {name: found[name].to(device) for name in wanted}


def _rows(output: Any) -> Any:
    """The features: a tensor before transformers 5, the pooled output of an object since."""
    return getattr(output, "pooler_output", output)


def preparation_of(folder: Path, kind: str, size: int) -> Preparation:
    """How the folder's own files prepare pictures; what its kind does by default where they say nothing."""
    told = read_json(folder / "preprocessor_config.json")
    if not told:
        whole = read_json(folder / "processor_config.json").get("image_processor")
        told = whole if isinstance(whole, dict) else {}
    half = (0.5, 0.5, 0.5)
    usual = Preparation(size=size)
    if kind == "siglip":
        usual = Preparation(size=size, crop=False, mean=half, std=half)
    scaled, cut = told.get("size"), told.get("crop_size")
    crop = bool(told.get("do_center_crop", usual.crop)) and "width" not in (scaled if isinstance(scaled, dict) else {})
    shorter = _side(scaled)
    wide = _side(cut) if crop else 0
    if wide and wide != size:
        raise WeightsError(f"{folder.name}: pictures are cut to {wide}, but the network takes {size}")
    return Preparation.from_json(
        usual.to_json()
        | {
            "crop": crop,
            "shorter": shorter if crop and shorter > size else 0,
            "mean": told.get("image_mean") or usual.mean,
            "std": told.get("image_std") or usual.std,
            "resample": _RESAMPLE.get(told.get("resample", 3), "bicubic"),
        }
    )


def _side(value: Any) -> int:
    if isinstance(value, dict):
        value = value.get("shortest_edge") or value.get("height") or 0
    return value if isinstance(value, int) else 0
