"""An engine that follows a long run: it takes in each change of the graph while the next files are read and encoded.

Without it the run would end with minutes in which the engine takes in all changes at once, and nothing else happens. It works
in a process and a thread of its own; the run waits for it only at its end, for what is left and for the snapshot's bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from mmkg.store.embedded.graph import KGLiteStore
from mmkg.store.folder.ledger import Generation
from mmkg.types import GraphDelta


class GraphFollower:
    """The graph of a generation and of those that follow it, as long as each only adds deltas to the one before."""

    def __init__(self, root: Path, generation: Generation) -> None:
        self._root = root
        self._snapshot = generation.graph_snapshot
        self._deltas = generation.graph_deltas
        # Deltas are taken in one by one, each with a time limit of its own: one long text brings hundreds of them at once.
        self._store = KGLiteStore(root / self._snapshot.name if self._snapshot else None)
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="mmkg-follower")
        self._jobs: list[Future[None]] = [self._pool.submit(self._store.apply, GraphDelta())]  # the first call opens it
        for ref in generation.graph_deltas:
            self._jobs.append(self._pool.submit(self._store.apply_file, root / ref.name))

    def follow(self, generation: Generation) -> bool:
        """Go on to this generation, in the background; False if it is no continuation (its graph was written anew)."""
        n = len(self._deltas)
        if generation.graph_snapshot != self._snapshot or generation.graph_deltas[:n] != self._deltas:
            return False
        for ref in generation.graph_deltas[n:]:
            self._jobs.append(self._pool.submit(self._store.apply_file, self._root / ref.name))
        self._deltas = generation.graph_deltas
        return True

    def store(self, tell: Callable[[int, int], None] | None = None) -> KGLiteStore:
        """The engine at the newest generation that it was told of. tell(done, all): of the changes still to be taken in.

        Raises what the engine raised on the way.
        """
        for i, job in enumerate(self._jobs):
            if tell and not job.done():
                tell(i, len(self._jobs))
            job.result()
        self._jobs = []
        return self._store

    def close(self) -> None:
        """End the process; what it was doing is dropped."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._store.interrupt()
        self._pool.shutdown(wait=True)
        self._store.close()
