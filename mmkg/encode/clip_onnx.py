"""CLIP and SigLIP on onnxruntime: the folder that `mmkg export-encoder` writes, and the encoder that reads it.

image.onnx is the image tower; text.onnx with tokenizer.json the text tower, where the model has a tokenizer of that form.
clip.json keeps the space (that of the weights they were made from, so a base made with either opens with the other), the
preparation of pictures and the hashes of the files. Written in full precision.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mmkg.encode import weights
from mmkg.encode.pictures import Preparation, prepared
from mmkg.encode.spaces import space_from_json, space_to_json
from mmkg.encode.text import check_texts, unit_rows
from mmkg.encode.text_onnx import default_threads, session
from mmkg.errors import EncodeError, MissingDependencyError, StoreDamagedError, WeightsError
from mmkg.protocols import FloatArray
from mmkg.types import Modality

if TYPE_CHECKING:
    from mmkg.encode.clip import Towers
    from mmkg.protocols import Space

IMAGE, TEXT, TOKENIZER, META = "image.onnx", "text.onnx", "tokenizer.json", "clip.json"
_AGAIN = "write it again with `mmkg export-encoder`"


class OnnxClipEncoder:
    """A JointEncoder on onnxruntime, one picture a call: its vector cannot depend on its neighbours.

    folder: as export_clip writes it. Raises WeightsError if a file is damaged, MissingDependencyError.
    """

    modalities = frozenset({Modality.IMAGE})
    runtime = "onnx-fp32"

    def __init__(self, folder: Path, *, max_pixels: int = 100_000_000, threads: int | None = None) -> None:
        from mmkg.encode.weights import read_json

        meta = read_json(folder / META)
        try:
            self.space = space_from_json(meta["space"])
            self.preparation = Preparation.from_json(meta["preparation"])
            hashes, self._pad = dict(meta["sha256"]), meta["pad"]
        except (KeyError, TypeError, ValueError, StoreDamagedError) as e:
            raise WeightsError(f"{META} in {folder.name} cannot be read: {e}", hint=_AGAIN) from e
        files = {name: weights.read_bytes(folder / name) for name in hashes if name in (IMAGE, TEXT, TOKENIZER)}
        for name, data in files.items():
            if weights.sha256(data) != hashes[name]:
                raise WeightsError(f"{name} in {folder.name} has another hash than recorded", hint=_AGAIN)
        if IMAGE not in files:
            raise WeightsError(f"{folder.name} has no {IMAGE}", hint=_AGAIN)
        self._image = session(files[IMAGE], name=f"{folder.name}/{IMAGE}")
        self._text = session(files[TEXT], name=f"{folder.name}/{TEXT}") if TEXT in files else None
        self._tokenizer = self._prepared_tokenizer(files[TOKENIZER]) if TOKENIZER in files else None
        self._max_pixels, self._threads = max_pixels, threads or default_threads()

    def _prepared_tokenizer(self, data: bytes) -> Any:
        from tokenizers import Tokenizer

        try:
            found = Tokenizer.from_str(data.decode())
        except Exception as e:  # the library raises plain Exception
            raise WeightsError(f"{TOKENIZER} cannot be read: {e}", hint=_AGAIN) from e
        found.enable_truncation(self.space.max_tokens)
        # Texts are filled up at the end, where neither tower looks: CLIP's is causal, SigLIP's was trained so.
        found.enable_padding(
            length=self.space.max_tokens, pad_id=int(self._pad["id"]), pad_token=str(self._pad["token"])
        )
        return found

    def encode_document(self, items: Sequence[Any], *, batch_size: int = 64) -> FloatArray:
        """(n, dim) float32, unit rows, of the bytes of picture files; batch_size changes nothing.

        Raises EncodeError that names the first item that cannot be decoded, ValueError for an item that is not bytes.
        """
        from mmkg.encode.clip import checked_pictures

        checked_pictures(items, batch_size)
        if not items:
            return np.zeros((0, self.space.dim), dtype=np.float32)
        with ThreadPoolExecutor(min(self._threads, len(items)), thread_name_prefix="mmkg-picture") as pool:
            rows = list(pool.map(self._row, range(len(items)), items))
        return unit_rows(np.stack(rows), what=self.space.name)

    def encode_query(self, items: Sequence[Any]) -> FloatArray:
        """As encode_document: pictures that look for pictures."""
        return self.encode_document(items)

    def encode_text(self, texts: Sequence[str]) -> FloatArray:
        """(n, dim) float32, unit rows. Raises MissingDependencyError if the text tower could not be exported."""
        check_texts(texts)
        if self._text is None or self._tokenizer is None:
            raise MissingDependencyError(
                f"{self.space.name} was exported without its text tower",
                hint="name the original model as image encoder to search it by words",
            )
        if not texts:
            return np.zeros((0, self.space.dim), dtype=np.float32)
        ids = np.array([e.ids for e in self._tokenizer.encode_batch(list(texts))], dtype=np.int64)
        rows = [self._text.run(None, {"ids": row[None]})[0][0] for row in ids]
        return unit_rows(np.stack(rows), what=self.space.name)

    def _row(self, index: int, item: Any) -> FloatArray:
        try:
            pixels = prepared(bytes(item), self.preparation, max_pixels=self._max_pixels)
        except EncodeError as e:
            raise EncodeError(f"item {index}: {e}") from e
        row: FloatArray = self._image.run(None, {"pixels": pixels[None]})[0][0]
        return row


def export_clip(name: str, target: Path) -> Space:
    """Write the towers of a model (a name as for load_clip) into a folder as ONNX; returns the space.

    Each file is replaced in one step, clip.json last. Raises as load_clip does, WeightsError if it cannot be written.
    """
    from mmkg.encode.clip import find_model, load_towers

    found = find_model(name)
    if found.kind == "exported":
        raise WeightsError(f"{name} is an export already")
    space, towers = load_towers(found)
    files: dict[str, bytes] = {IMAGE: _image_tower(towers)}
    pad: dict[str, Any] = {"id": 0, "token": ""}
    tokenizer = getattr(towers, "tokenizer", None)
    folder = found.path.parent if found.path.is_file() else found.path
    if tokenizer is not None and (folder / TOKENIZER).is_file():
        files[TEXT] = _text_tower(towers)
        files[TOKENIZER] = weights.read_bytes(folder / TOKENIZER)
        pad = {"id": int(tokenizer.pad_token_id), "token": str(tokenizer.pad_token)}
    meta = {
        "space": space_to_json(space),
        "preparation": towers.preparation.to_json(),
        "pad": pad,
        "sha256": {file: weights.sha256(data) for file, data in files.items()},
    }
    files[META] = json.dumps(meta, indent=1).encode()
    try:
        target.mkdir(parents=True, exist_ok=True)
        for file, data in files.items():
            temporary = target / f".{file}.{os.getpid()}"
            temporary.write_bytes(data)
            os.replace(temporary, target / file)
    except OSError as e:
        raise WeightsError(f"cannot write to {target}: {e.strerror or e}") from e
    return space


def _image_tower(towers: Towers) -> bytes:
    import torch

    size = towers.preparation.size
    return _exported(towers.images, torch.zeros(1, 3, size, size), "pixels", towers)


def _text_tower(towers: Any) -> bytes:
    import torch

    def features(ids: Any) -> Any:
        return getattr(out := towers.model.get_text_features(input_ids=ids), "pooler_output", out)

    sample = torch.from_numpy(np.array([_sample(towers)], dtype=np.int64))
    return _exported(features, sample, "ids", towers)


def _sample(towers: Any) -> list[int]:
    found = towers.tokenizer("a", padding="max_length", truncation=True, max_length=towers.max_tokens)
    return [int(i) for i in found["input_ids"]]


def _exported(step: Callable[[Any], Any], sample: Any, name: str, towers: Any) -> bytes:
    """One tower as the bytes of an ONNX file with a single row as input. Raises MissingDependencyError, WeightsError."""
    import torch

    if not weights.installed("onnxscript"):
        raise MissingDependencyError("torch needs onnxscript to write ONNX", hint="pip install onnx onnxscript")

    class Tower(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.model = towers.model

        def forward(self, x: Any) -> Any:
            return step(x)

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tower.onnx"
        try:
            with torch.inference_mode(False), torch.no_grad():
                torch.onnx.export(
                    Tower().eval(), (sample,), str(path), input_names=[name], output_names=["features"],
                    external_data=False, dynamo=True, verbose=False,
                )  # fmt: skip
        except Exception as e:  # torch's exporter has no public base of its errors
            raise WeightsError(f"the network cannot be written as ONNX: {str(e).splitlines()[0]}") from e
        return path.read_bytes()
