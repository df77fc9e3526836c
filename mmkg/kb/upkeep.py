"""Copies of a base, its repair, and the proof that nothing in it diverged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any

from mmkg.errors import ConfigError, MissingDependencyError, NotFoundError, StoreDamagedError
from mmkg.kb.opened import OpenBase, reads
from mmkg.types import Problem

if TYPE_CHECKING:
    from mmkg.adding import Writer
    from mmkg.copying import CopyReport
    from mmkg.fitting import BridgeReport
    from mmkg.protocols import Encoder, ProgressCallback
    from mmkg.reindexing import ReindexReport
    from mmkg.store.folder.backup import Copied
    from mmkg.store.folder.compact import Compaction
    from mmkg.store.folder.salvage import Salvaged


class Upkeep(OpenBase):
    """Copies, repair, and the proof that nothing diverged."""

    def rebuild(self, *, progress: Callable[[int, int], None] | None = None) -> None:
        """Derived layer, graph and index anew from facts and originals, by the rules of this version; no model is called."""
        with self._turn, self._writer() as writer:
            writer.rebuild(progress)
            if (manifest := writer.manifest).deriver not in ("", writer.deriver.version):
                writer.set_manifest(replace(manifest, deriver=writer.deriver.version))

    def compact(self, *, wait_s: float = 10.0, progress: ProgressCallback | None = None) -> Compaction:
        """Make every file of the base anew without what was removed or replaced, and say what that saved.

        wait_s: how long to wait for readers of an older state; what they still hold is in `held`. Raises StoreLockedError.
        """
        from mmkg.store.folder.compact import compact

        with self._turn:
            self._let_go()
            with self._folder_writer() as writer:
                return compact(writer, wait_s=wait_s, progress=progress)

    def backup(
        self, target: str | FilePath, *, verify: bool = False, progress: ProgressCallback | None = None
    ) -> Copied:
        """Copy the base as it is now into a folder, new or an earlier backup of it; others read and write meanwhile.

        verify: also hash what an earlier backup left. Raises StoreError for a folder that holds something else.
        """
        from mmkg.store.folder.backup import backup

        self._only_in_a_folder()

        return backup(self.root, FilePath(target), verify=verify, progress=progress)

    @staticmethod
    def restore(
        source: str | FilePath,
        target: str | FilePath,
        *,
        overwrite: bool = False,
        progress: ProgressCallback | None = None,
    ) -> Copied:
        """Make a base in `target` from a backup, every file checked. overwrite: replace the base that is there."""
        from mmkg.store.folder.backup import restore

        return restore(FilePath(source), FilePath(target), overwrite=overwrite, progress=progress)

    @classmethod
    def salvage(
        cls,
        damaged: str | FilePath,
        target: str | FilePath,
        *,
        progress: ProgressCallback | None = None,
        **options: Any,
    ) -> Salvaged:
        """Make a new base in `target` of what a base with a damaged ledger still holds; `sources` says what became of each.

        Documents whose facts are lost are read again from their originals. options: of KnowledgeBase. The damaged base is only read.
        """
        from mmkg.extract.derive import EntityDeriver
        from mmkg.salvaging import read_again
        from mmkg.store.folder.salvage import salvage

        with cls(target, **options) as kb:
            out = salvage(FilePath(damaged), kb.root, EntityDeriver(), progress=progress)
            with kb._writer() as writer:
                read_again(FilePath(damaged), out, lambda uris: kb._adder(writer, progress=progress, uris=uris))
            out.digest = kb.digest()
        return out

    def train_bridge(
        self,
        *,
        method: str = "ridge",
        force: bool = False,
        wait_s: float = 0.5,
        progress: Callable[[str, int, int], None] | None = None,
    ) -> BridgeReport:
        """Fit the bridge from pixels to words on the captioned pictures of this base; kept in it if it is better.

        method: ridge, or contrastive (needs torch). force: keep it in any case. progress: (what, done, total). Raises ConfigError for
        fewer than 20 captioned pictures, MissingDependencyError without the text encoder or the label bridge.
        """
        from mmkg.encode.bridge import INSTALL_BRIDGE, BridgeEncoder
        from mmkg.fitting import fit_bridge

        bridge = next((e for e in self._models.image_encoders if isinstance(e, BridgeEncoder)), None)
        if bridge is None or self.text_encoder is None:
            raise MissingDependencyError("fitting needs the text encoder and the label bridge", hint=INSTALL_BRIDGE)
        with self._turn, self._writer(wait_s=wait_s) as writer:
            self.settings = self._models.agree(writer, self.settings)
            report = fit_bridge(
                writer,
                bridge,
                self.text_encoder,
                method=method,
                force=force,
                tick=progress or (lambda what, done, total: None),
            )
        self._let_go()
        return report

    def forget_bridge(self, *, wait_s: float = 0.5) -> bool:
        """Take the fitted bridge out again; False if the base has none."""
        from mmkg.fitting import forget_bridge

        with self._turn, self._writer(wait_s=wait_s) as writer:
            held = forget_bridge(writer)
        self._let_go()
        return held

    @reads
    def copy_to(self, target: OpenBase, *, progress: Callable[[int, int], None] | None = None) -> CopyReport:
        """Bring everything here into another base, in a folder or on a server; no model is called. Goes on after a stop.

        Raises StoreError if the target holds other documents or was made with other models.
        """
        from mmkg.copying import copy

        with target._turn, target._writer(create=True) as writer:
            return copy(self._read(), writer, progress=progress)

    def reindex(
        self,
        encoder: str | Encoder,
        *,
        dry_run: bool = False,
        wait_s: float = 0.5,
        progress: ProgressCallback | None = None,
    ) -> ReindexReport:
        """Give every unit vectors of another encoder, in place; searches go on with the old ones until the last commit.

        encoder: as the setting `encoder` takes it (a name, a folder, a service), or an encoder. Pictures follow where their space hangs
        on that of the words. A run that was stopped goes on where it was. dry_run: only tell texts, bytes and time. Afterwards
        this KnowledgeBase uses the new encoder; others need the setting. Raises ConfigError, EncodeError, StoreLockedError.
        """
        from mmkg.reindexing import plan, reindex

        given = None if isinstance(encoder, str) else encoder
        settings = replace(self.settings, encoder=encoder) if isinstance(encoder, str) else self.settings
        models = self._models.with_encoder(settings, given)
        if models.text_encoder is None:
            raise ConfigError(
                f"there is no encoder {encoder!r} here", hint="name a model, a folder or a service; `mmkg doctor` lists"
            )
        with self._turn, self._writer(wait_s=wait_s) as writer:
            if dry_run:
                return plan(writer, models.text_encoder, models.image_encoders)
            report = reindex(writer, models.text_encoder, models.image_encoders, progress=progress)
        self.settings, self._models = settings, models
        self._let_go()
        return report

    def digest(self, *, deep: bool = False) -> str:
        """64 hex digits that stand for all facts and the derived layer."""
        from mmkg.store.folder.digest import digest
        from mmkg.store.folder.ledger import Ledger
        from mmkg.store.manifest import refuse_newer

        if self._server is not None:
            return self._server.digest(deep=deep)
        if not self.exists():
            raise NotFoundError(f"no knowledge base in {self.root}", hint="`mmkg add PATH` makes one")
        refuse_newer(self.root)
        ledger = Ledger.open(self.root)
        try:
            ledger.db.execute("BEGIN")
            return digest(ledger, deep=deep)
        finally:
            ledger.close()

    def doctor(self, *, fix: bool = False) -> list[Problem]:
        """Every divergence of ledger, graph, index and blobs; with fix, mended where it can be."""
        from mmkg.extract.derive import EntityDeriver
        from mmkg.store.folder.doctor import examine
        from mmkg.store.neo4j.doctor import examine as examine_server

        with self._turn:
            self._let_go()
            if self._server is not None:
                with self._server.writer(EntityDeriver(), settings=self.settings) as server:
                    problems = examine_server(server, fix=fix)
                    return self._fill_outputs(server, problems) if fix else problems
            try:
                with self._folder_writer(sweep=False) as writer:
                    problems = examine(writer, fix=fix)
                    problems = self._fill_outputs(writer, problems) if fix else problems
                    readable = not any(p.kind in ("ledger-damaged", "manifest-missing") for p in problems)
                    return problems + (self._models.differences(writer.manifest) if readable else [])
            except StoreDamagedError as e:
                return [Problem(kind="ledger-damaged", id=str(self.root), detail=str(e))]

    def _fill_outputs(self, writer: Writer, problems: list[Problem]) -> list[Problem]:
        """Encode what has no model output, where the encoder is here."""
        from mmkg.adding import fill_text

        if not any(p.kind in ("output-missing", "space-differs") for p in problems) or self.text_encoder is None:
            return problems
        if self._models.differences(writer.manifest):
            return problems  # vectors of another space would be worse than none
        fill_text(writer, self.text_encoder)
        return [replace(p, fixed=True) if p.kind == "output-missing" else p for p in problems]
