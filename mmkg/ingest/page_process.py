"""Our side of the page process: pages of a PDF file as pictures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from mmkg.errors import LoadError
from mmkg.ingest.ondemand import MediaChild


class PageProcess(MediaChild):
    """Started at first use; a context manager. One request at a time."""

    module = "mmkg.ingest.page_worker"
    name = "page process"
    piece = "page"

    def render(self, path: Path, pages: Sequence[int]) -> Iterator[tuple[int, bytes | None]]:
        """Each of these pages (from 1) of a PDF file as PNG, None where it cannot be rendered, as soon as it is there.

        Raises LoadError if the file cannot be read, or a page costs more than a file may.
        """
        if not pages:
            return
        self.request({"path": str(path), "pages": list(pages)}, path)
        for number in pages:
            answer, blobs = self.receive()
            if answer.get("page") != number or len(blobs) > 1:
                self.close()
                raise LoadError("the page process sent a broken answer", code="parser")
            yield number, blobs[0] if blobs else None
        self.receive()  # that it is done
