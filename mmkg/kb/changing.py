"""Bringing documents in and taking them out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path as FilePath
from typing import TYPE_CHECKING

from mmkg.errors import NotFoundError
from mmkg.kb.upkeep import Upkeep
from mmkg.types import FileReport

if TYPE_CHECKING:
    from mmkg.adding import AddReport
    from mmkg.protocols import ProgressCallback


class Changes(Upkeep):
    """Adding and removing."""

    def add(
        self,
        *paths: str | FilePath,
        ignore: Sequence[str] = (),
        prune: bool = False,
        wait_s: float = 0.5,
        progress: ProgressCallback | None = None,
    ) -> AddReport:
        """Bring files, folders and glob patterns in; a changed file at the same place is an update.

        prune: also drop sources under the given folders whose file is gone. wait_s: how long to wait for another writer.
        When this returns, everything it reports as added survives a kill. Raises NotFoundError, StoreLockedError.
        """
        from mmkg.listing import find_files

        files = find_files(paths, ignore=ignore, skip=self.root)
        with self._turn, self._writer(create=True, wait_s=wait_s) as writer:
            adder = self._adder(writer, progress=progress)
            return adder.run(files, prune=[FilePath(p) for p in paths if FilePath(p).is_dir()] if prune else [])

    def add_text(self, text: str, *, name: str, wait_s: float = 0.5) -> FileReport:
        """Bring in a text that is no file; `name` stands where a file's path would. The same name again is an update."""
        import tempfile

        with tempfile.TemporaryDirectory() as folder, self._turn, self._writer(create=True, wait_s=wait_s) as writer:
            path = FilePath(folder) / "text.md"
            path.write_text(text, encoding="utf-8")
            return self._adder(writer, uris={path: f"text:{name}"}).run([path]).documents[0]

    def remove(self, *names: str | FilePath, purge: bool = False, wait_s: float = 0.5) -> list[FileReport]:
        """Take documents out: by path, URI, folder, or document id. Afterwards the base is as if it never saw them.

        purge: then `compact`, so that no file of the base holds their bytes any more. Raises NotFoundError if a name fits
        nothing (then nothing is removed), and with purge StoreLockedError if someone still reads the state before.
        """
        from mmkg.store.folder.durable import failpoint
        from mmkg.store.folder.writer import SourceChange

        with self._turn, self._writer(wait_s=wait_s) as writer:
            uris: dict[str, str] = {}
            for name in names:
                hits = writer.match_sources(str(name))
                if not hits:
                    raise NotFoundError(f"nothing here is called {name}", hint="`mmkg list` shows the documents")
                uris |= hits
            writer.publish([SourceChange(uri=u, document=None, drop=True) for u in uris])
            failpoint("remove-committed")
            if not purge:
                writer.finish()
        if purge and self._server is None:  # a server's rows are gone with the commit
            from mmkg.errors import StoreLockedError

            if (done := self.compact(wait_s=max(wait_s, 10.0))).held:
                raise StoreLockedError(
                    f"removed, but old bytes stay in {' and '.join(done.held)} while a reader of them is open",
                    hint="close it and run `mmkg compact`",
                )
        return [FileReport(uri=u, status="removed", id=d) for u, d in sorted(uris.items())]
