"""Models of the open_clip library: a folder with open_clip_config.json, or a checkpoint of a network that it knows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

from mmkg.encode.clip import Named
from mmkg.encode.pictures import Preparation
from mmkg.encode.text_named import offline
from mmkg.encode.text_torch import INSTALL_TORCH
from mmkg.encode.weights import read_json
from mmkg.errors import ConfigError, MissingDependencyError, WeightsError


class OpenClipTowers:
    """A network of open_clip with weights from one safetensors file. Raises ConfigError, WeightsError, MissingDependencyError."""

    def __init__(self, found: Named, files: Sequence[Path]) -> None:
        from safetensors import SafetensorError

        try:
            import open_clip
        except ImportError as e:
            raise MissingDependencyError(f"open_clip cannot be imported: {e}", hint=INSTALL_TORCH) from e
        folder = found.path.parent if found.kind == "checkpoint" else found.path
        told = read_json(folder / "open_clip_config.json") if found.kind == "open_clip" else {}
        network = told.get("model_cfg") if told else open_clip.get_model_config(found.architecture)
        if not isinstance(network, dict):
            raise ConfigError(
                f"image encoder {found.name}: open_clip knows no network {found.architecture or 'of this folder'}",
                hint='`python -c "import open_clip; print(open_clip.list_models())"` lists them',
            )
        if len(files) != 1:
            raise WeightsError(f"{folder.name} has {len(files)} safetensors files, expected one")
        try:
            with offline():
                self.model = _built(open_clip, network, found.name)
                open_clip.load_checkpoint(self.model, str(files[0]), strict=True, weights_only=True)
                self._tokenize = _tokenizer(open_clip, network, folder, found.name)
        except (SafetensorError, OSError, RuntimeError, KeyError, TypeError, AssertionError) as e:
            raise WeightsError(f"{found.name} cannot be loaded: {str(e).splitlines()[0]}") from e
        self.model.eval()
        self.dim = int(network["embed_dim"])
        self.max_tokens = int(network.get("text_cfg", {}).get("context_length", 77))
        self.preparation = _preparation(network, told.get("preprocess_cfg") or {})

    def to(self, device: str) -> None:
        self.model.to(device)

    def images(self, pixels: Any) -> Any:
        return self.model.encode_image(pixels)

    def texts(self, texts: Sequence[str], device: str) -> Any:
        return self.model.encode_text(self._tokenize(list(texts)).to(device))


def _built(open_clip: Any, network: Mapping[str, Any], name: str) -> Any:
    """The network with random weights; no tower is fetched from anywhere."""
    config = deepcopy(dict(network))
    if "hf_model_name" in config.get("text_cfg", {}):
        raise ConfigError(
            f"{name}: its text tower is configured by a model that is not in the folder",
            hint="use a model of open_clip or transformers that is whole",
        )
    if "multimodal_cfg" in config:
        raise ConfigError(f"{name} is a captioning model (CoCa)", hint="use a CLIP or SigLIP model")
    if "timm_model_name" in config.get("vision_cfg", {}):
        config["vision_cfg"]["timm_model_pretrained"] = False
    custom = config.pop("custom_text", False)
    return (open_clip.CustomTextCLIP if custom else open_clip.CLIP)(**config)


def _tokenizer(open_clip: Any, network: Mapping[str, Any], folder: Path, name: str) -> Any:
    text = network.get("text_cfg", {})
    length = int(text.get("context_length", 77))
    options = dict(text.get("tokenizer_kwargs") or {})
    if "hf_tokenizer_name" not in text:
        return open_clip.SimpleTokenizer(context_length=length, **options)
    if not (folder / "tokenizer_config.json").is_file() and not (folder / "tokenizer.json").is_file():
        raise ConfigError(
            f"{name}: the tokenizer {text['hf_tokenizer_name']} is not beside the weights",
            hint="put tokenizer.json and tokenizer_config.json into the folder",
        )
    from open_clip.tokenizer import HFTokenizer

    return HFTokenizer(str(folder), context_length=length, **options)


def _preparation(network: Mapping[str, Any], told: Mapping[str, Any]) -> Preparation:
    size = network.get("vision_cfg", {}).get("image_size", 224)
    size = size[0] if isinstance(size, (list, tuple)) else size
    usual = Preparation(size=int(size))
    mode = told.get("resize_mode", "shortest")
    if mode not in ("shortest", "squash"):
        raise ConfigError(f"open_clip_config.json: resize_mode {mode!r}", hint="known: shortest, squash")
    return Preparation.from_json(
        usual.to_json()
        | {
            "crop": mode == "shortest",
            "mean": told.get("mean") or usual.mean,
            "std": told.get("std") or usual.std,
            "resample": told.get("interpolation") or "bicubic",
        }
    )
