"""Bringing documents in and taking them out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
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
        tags: Iterable[str] | Mapping[str, str] = (),
        wait_s: float = 0.5,
        progress: ProgressCallback | None = None,
    ) -> AddReport:
        """Bring files, folders and glob patterns in; a changed file at the same place is an update.

        tags: "name=value" texts, or a mapping, for every document of the call, beside the tags that it has; see `tag`. prune: also drop sources under the given folders whose file is gone. wait_s: how long to wait for another writer.
        When this returns, everything it reports as added survives a kill. Raises NotFoundError, StoreLockedError, FilterError
        for a tag that cannot be read.
        """
        from mmkg.listing import find_files
        from mmkg.tags import parse_tags

        wanted = parse_tags(tags)
        files = find_files(paths, ignore=ignore, skip=self.root)
        with self._turn, self._writer(create=True, wait_s=wait_s) as writer:
            adder = self._adder(writer, progress=progress, tags=wanted)
            return adder.run(files, prune=[FilePath(p) for p in paths if FilePath(p).is_dir()] if prune else [])

    def add_text(
        self, text: str, *, name: str, tags: Iterable[str] | Mapping[str, str] = (), wait_s: float = 0.5
    ) -> FileReport:
        """Bring in a text that is no file; `name` stands where a file's path would. The same name again is an update."""
        import tempfile

        from mmkg.tags import parse_tags

        wanted = parse_tags(tags)
        with tempfile.TemporaryDirectory() as folder, self._turn, self._writer(create=True, wait_s=wait_s) as writer:
            path = FilePath(folder) / "text.md"
            path.write_text(text, encoding="utf-8")
            return self._adder(writer, uris={path: f"text:{name}"}, tags=wanted).run([path]).documents[0]

    def tag(
        self,
        *names: str | FilePath,
        put: Iterable[str] | Mapping[str, str] = (),
        drop: Iterable[str] = (),
        wait_s: float = 0.5,
    ) -> dict[str, dict[str, str]]:
        """Change the tags of documents, named as for `remove`; returns the tags that each (by id) has afterwards.

        put: "name=value" texts, or a mapping; a tag of that name is replaced. drop: names. Nothing is parsed or encoded. Tags belong to
        the document: every file with its bytes shares them, and a file that changes hands them on. Raises NotFoundError if a
        name fits nothing (then nothing changes), FilterError for a tag that cannot be read.
        """
        from mmkg.tags import parse_tags, with_tags
        from mmkg.types import tags_of

        wanted, gone = parse_tags(put), list(drop)
        with self._turn, self._writer(wait_s=wait_s) as writer:
            documents: set[str] = set()
            for name in names:
                hits = {d for d in writer.match_sources(str(name)).values() if d}
                if not hits:
                    raise NotFoundError(f"nothing here is called {name}", hint="`mmkg list` shows the documents")
                documents |= hits
            before = {d: writer.meta(d) for d in sorted(documents) if writer.state(d) == "visible"}
            after = {d: with_tags(meta, wanted, gone) for d, meta in before.items()}
            if changed := {d: meta for d, meta in after.items() if meta != before[d]}:
                writer.set_meta(changed)
        return {d: tags_of(meta) for d, meta in after.items()}

    def remove(self, *names: str | FilePath, purge: bool = False, wait_s: float = 0.5) -> list[FileReport]:
        """Take documents out: by path, URI, folder, or document id. Afterwards the base is as if it never saw them.

        purge: then `compact`, so that no file of the base holds their bytes any more. Raises NotFoundError if a name fits
        nothing (then nothing is removed), and with purge StoreLockedError if someone still reads the state before.
        """
        from mmkg.store.changes import SourceChange
        from mmkg.store.durable import failpoint

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
