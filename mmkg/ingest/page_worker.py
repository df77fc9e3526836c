"""The page process: renders pages of PDF files, behind the fences of a parser. Run as `python -m mmkg.ingest.page_worker`."""

from __future__ import annotations

import contextlib
import io
import sys
from pathlib import Path
from typing import Any, BinaryIO

from mmkg.errors import LoadError, MMKGError
from mmkg.ingest import guard, wire
from mmkg.ingest.serving import begin
from mmkg.ingest.source import open_source

LONGEST_SIDE = 1_400
"""Pixels; models that see pages scale them down to 450 to 1,300."""


def _load() -> None:
    """What rendering needs, before the fences close."""
    from PIL import Image, PngImagePlugin  # noqa: F401


def main() -> None:
    """Serve until the input ends, or the process that started this one is gone (its id is the last argument)."""
    if (line := begin(_load)) is None:
        return
    import pypdfium2

    requests, answers, limits = line.requests, line.answers, line.limits
    while (received := wire.receive(requests, most=1 << 20)) is not None:
        fd = requests.take() if isinstance(requests, wire.DescriptorStream) else None
        try:
            with open_source(Path(received[0]["path"]), most=limits.bytes, fd=fd) as source:
                guard.allow_memory(limits.memory_for(source.size))
                try:
                    document = pypdfium2.PdfDocument(source.path)
                except (pypdfium2.PdfiumError, OSError, ValueError) as e:
                    raise LoadError(f"it cannot be opened: {e}") from e
                with contextlib.closing(document):
                    _render(answers, document, received[0]["pages"])
            wire.send(answers, {"done": True})
        except MMKGError as e:
            wire.send(answers, {"error": str(e)[:300]})
        except MemoryError:
            wire.send(answers, {"error": "memory: more than the limit"})
        except Exception as e:  # a stranger's file: the process goes on with the next
            wire.send(answers, {"error": f"{type(e).__name__}: {str(e)[:200]}"})


def _render(answers: BinaryIO, document: Any, pages: list[int]) -> None:
    """An answer for each page (from 1): its picture as PNG, or none where it cannot be rendered."""
    for number in pages:
        blobs = []
        with contextlib.suppress(IndexError, ValueError, RuntimeError):
            page = document[int(number) - 1]
            with contextlib.closing(page):
                width, height = page.get_size()
                bitmap = page.render(scale=LONGEST_SIDE / max(width, height, 1.0), may_draw_forms=False)
                with contextlib.closing(bitmap):
                    out = io.BytesIO()
                    bitmap.to_pil().convert("RGB").save(out, "PNG")
                blobs.append(out.getvalue())
        wire.send(answers, {"page": int(number)}, blobs)


if __name__ == "__main__":
    sys.stdin = None
    with contextlib.suppress(BrokenPipeError, KeyboardInterrupt):
        main()
