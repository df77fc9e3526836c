"""The process that holds the Cypher engine, spoken to over stdin and stdout (`python -m mmkg.store.embedded.worker`).

It is started fresh, never forked: kglite needs most of the static TLS that glibc keeps for late libraries, so it cannot share a
process with torch and faiss. One request, one reply, in order; a request is {"op": name, ...}, a reply {"ok": value} or
{"error": kind, "message": text}. The end of stdin ends the process. As a *store* it holds the graph and does what its
parent says. As a *query* process (after the op `lock`) it runs text that users wrote: read-only, with limits of the
operating system around it (`limits`), and its parent kills it when it is late.

Traps of kglite 0.21.2 that this module and mmkg.cypher.statements know about:
- the optimizer pass fuse_match_return_aggregate gives wrong counts: READ_OPTIONS on every read;
- `title` and `type` of a node are the engine's own, and `n.name` falls back to the title, which it makes up: a node
  without a name needs `name: null` once;
- `SET n = map` without the id inside keeps the id, but Neo4j's drops it: put it in;
- from_records writes a duplicate row twice with only a warning, nodes too: rows must be distinct;
- MERGE of an edge looks through the edges of its source: 13,000/s at a hub of 20,000, CREATE keeps its 100,000/s;
- the allocator reserves a gigabyte of addresses, so a limit on address space alone is late;
- 900 UNIONs overflow its stack; `.5e1` is read as two tokens; `:A&B` and `:!A` are syntax errors;
- of `RETURN 1; RETURN 2` it runs both and shows the last; block comments are syntax errors; '\\d' is read as 'd';
- LOAD CSV reads files in read-only mode too;
- a failed allocation aborts the process (no Python exception): the parent sees SIGABRT;
- a bare node comes back with an internal integer as `id`, and a relationship with such integers as its ends.
"""

from __future__ import annotations

import json
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, BinaryIO

from mmkg.cypher import statements as st
from mmkg.sandbox import end_with
from mmkg.schema import UNIT_LABELS
from mmkg.store.delta_wire import delta_rows, encode, read_delta, read_message
from mmkg.store.embedded import limits, results
from mmkg.store.paths import shortest_path

BATCH = 5_000
_TOO_MUCH = re.compile(r"would materialize|max_work_units|work budget|exceeding the|allocation", re.IGNORECASE)


class Refusal(Exception):
    """A request that fails in a way that the parent should name. kind: see process.ERRORS."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class Engine:
    """One graph and the operations on it. Each public method that begins with op_ is an operation of the wire."""

    def __init__(self) -> None:
        import kglite

        kglite.set_query_warning_policy("silent")
        self.kglite: Any = kglite
        self.graph: Any = kglite.KnowledgeGraph()
        self.next: Any = None
        self.loading: dict[tuple[str, str], list[str]] = {}
        self.limits: dict[str, Any] = {}

    # ---- reading and writing as mmkg itself does ----

    def read(self, text: str, **parameters: Any) -> list[dict[str, Any]]:
        result = self.graph.cypher(text, params=parameters, timeout_ms=0, hide_structural_keys=True, **st.READ_OPTIONS)
        rows: list[dict[str, Any]] = result.to_list()
        return rows

    def write(self, text: str, **parameters: Any) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.graph.cypher(text, params=parameters, timeout_ms=0).to_list()
        return rows

    def op_ping(self) -> str:
        return "pong"

    def op_hello(self) -> dict[str, Any]:
        return {"engine": f"kglite {self.kglite.__version__}", "pid": os.getpid(), "limits": self.limits}

    def op_limit(self, memory: int) -> bool:
        """Let this process's address space grow by no more than this many bytes; False where the system has no such limit."""
        return limits.limit_memory(memory)

    def op_open(self, snapshot: str | None, deltas: Sequence[str]) -> dict[str, int]:
        self.graph = self._load_snapshot(snapshot) if snapshot else self.kglite.KnowledgeGraph()
        for path in deltas:
            self.op_apply_file(path)
        return self.op_counts()

    def _load_snapshot(self, path: str) -> Any:
        if not Path(path).is_file():
            raise Refusal("damaged", f"graph snapshot {Path(path).name} is missing")
        try:
            # Eager: a flipped bit must show here, not in the middle of an answer.
            graph = self.kglite.load(path, verify="eager")
            graph.cypher(st.COUNT_NODES, **st.READ_OPTIONS)
        except Exception as e:
            raise Refusal("damaged", f"graph snapshot {Path(path).name} cannot be read: {_text(e)}") from e
        return graph

    def op_save(self, path: str) -> int:
        self.graph.save(path, fsync=True)
        return os.path.getsize(path)

    def op_counts(self) -> dict[str, int]:
        out: dict[str, int] = {}
        for row in self.read(st.COUNT_NODES):
            label = st.primary(row["labels"])
            out[label] = out.get(label, 0) + row["n"]
        for row in self.read(st.COUNT_EDGES):
            out[row["type"]] = row["n"]
        return out

    # ---- bulk load: into a graph beside the present one, which it replaces at the end ----

    def op_load_begin(self) -> None:
        self.loading = {}
        self.next = None

    def op_load_nodes(self, key: Sequence[str], text: str) -> None:
        """key: label, and "named" or "nameless"; text: JSON objects joined by commas. The engine parses them itself."""
        self.loading.setdefault((key[0], key[1]), []).append(text)

    def op_load_edges(self, key: Sequence[str], text: str) -> None:
        """key: type, source label, target label; text: rows of statements.create_edges. No edge may come twice.

        The engine's bulk call would take edges a third faster, but needs all of them in memory four times over.
        """
        if self.next is None:
            self._make_nodes()
        rows = json.loads(f"[{text}]")
        for part in _batches(rows, BATCH):
            self.next.cypher(st.create_edges(key[0], key[1], key[2]), params={"rows": part}, timeout_ms=0)

    def op_load_end(self) -> dict[str, int]:
        if self.next is None:
            self._make_nodes()
        self.graph, self.next = self.next, None
        return self.op_counts()

    def _make_nodes(self) -> None:
        loading, self.loading = self.loading, {}
        specs: list[str] = []
        labels = sorted({label for label, _ in loading})
        for label in labels:
            texts = loading.get((label, "named"), []) + loading.get((label, "nameless"), [])
            # The title of a node is its name if every node of the label has one; else clear_names mends it below.
            title = "id" if (label, "nameless") in loading else "name"
            head = json.dumps({"type": label, "id_field": "id", "title_field": title})
            specs.append(f'{head[:-1]},"records":[{",".join(texts)}]}}')
        self.next = (
            self.kglite.from_records(f'{{"nodes":[{",".join(specs)}]}}') if specs else self.kglite.KnowledgeGraph()
        )
        for label in labels:
            for text in loading.get((label, "nameless"), []):
                ids = [r["id"] for r in json.loads(f"[{text}]")]
                self.next.cypher(st.clear_names_of(label), params={"ids": ids}, timeout_ms=0)
            if label in UNIT_LABELS:
                ids = [r["id"] for r in self.next.cypher(st.node_ids(label), timeout_ms=0, **st.READ_OPTIONS)]
                self.next.add_label(label, ids, "Unit")

    # ---- deltas ----

    def op_apply_file(self, path: str) -> None:
        from mmkg.errors import StoreDamagedError

        try:
            rows = list(delta_rows(read_delta(Path(path))))
        except StoreDamagedError as e:
            raise Refusal("damaged", str(e)) from e
        self.op_apply(rows)

    def op_apply(self, rows: Sequence[Sequence[Any]]) -> None:
        """Rows as in a delta file, in its order: deletions, nodes, edges."""
        for key, group in groupby(rows, key=_statement_key):
            for part in _batches(group, BATCH):
                self._apply_part(key, part)
        if self.limits:
            limits.rebase()

    def _apply_part(self, key: tuple[str, ...], rows: list[Sequence[Any]]) -> None:
        match key:
            case ("-n", label):
                self.write(st.delete_nodes(label), ids=[r[2] for r in rows])
            case ("-e", type_, source_label, target_label):
                self.write(
                    st.delete_edges(type_, source_label, target_label), rows=[{"a": r[2], "b": r[3]} for r in rows]
                )
            case ("n", label):
                self.write(
                    st.upsert_nodes(label),
                    rows=[{"id": r[2], "props": {"name": None, **r[3], "id": r[2]}} for r in rows],
                )
            case ("e", type_, source_label, target_label):
                params = [{"a": r[2], "b": r[3], "props": r[6]} for r in rows]
                done = self.write(st.upsert_edges(type_, source_label, target_label), rows=params)
                if (done[0]["n"] if done else 0) != len(rows):
                    raise Refusal("dangling", self._dangling(type_, source_label, target_label, params))
            case _:
                raise Refusal("request", f"unknown row {key}")

    def _dangling(self, type_: str, source_label: str, target_label: str, rows: list[dict[str, Any]]) -> str:
        for label, end in ((source_label, "a"), (target_label, "b")):
            ids = sorted({r[end] for r in rows})
            known = {r["id"] for r in self.read(st.known_ids(label), ids=ids)}
            if missing := [i for i in ids if i not in known]:
                return f"edge {type_}: its {label} {missing[0]} does not exist (and {len(missing) - 1} more)"
        return f"edge {type_}: an end does not exist"

    # ---- reading ----

    def op_get(self, ids: Sequence[str]) -> list[list[Any]]:
        found: dict[str, list[Any]] = {}
        wanted = list(dict.fromkeys(ids))
        for label in st.PRIMARY_LABELS:
            for part in _batches(wanted, BATCH):
                for row in self.read(st.get_nodes(label), ids=part):
                    found.setdefault(row["id"], results.node_row(row))
        return [found[i] for i in ids if i in found]

    def op_labels(self, ids: Sequence[str]) -> dict[str, str]:
        """The primary label of each id that exists."""
        out: dict[str, str] = {}
        for label in st.PRIMARY_LABELS:
            rest = [i for i in ids if i not in out]
            for part in _batches(rest, BATCH):
                out.update((r["id"], label) for r in self.read(st.known_ids(label), ids=part))
        return out

    def op_ids(self, label: str) -> list[str]:
        return [r["id"] for r in self.read(st.node_ids(label))]

    def op_nodes(self, label: str, ids: Sequence[str]) -> list[list[Any]]:
        return [results.node_row(r) for r in self.read(st.get_nodes(label), ids=ids)]

    def op_edges(self, label: str, ids: Sequence[str]) -> list[list[Any]]:
        """Outgoing edges of these nodes."""
        rows = [results.edge_row(r, label, "out") for r in self.read(st.edges_at(label, direction="out"), ids=ids)]
        return sorted(rows, key=lambda r: (r[1], r[0], r[2]))

    def op_neighbors(self, ids: Sequence[str], types: Sequence[str], direction: str, limit: int) -> list[list[Any]]:
        by_label: dict[str, list[str]] = {}
        for i, label in self.op_labels(list(dict.fromkeys(ids))).items():
            by_label.setdefault(label, []).append(i)
        edges: dict[tuple[str, str, str], list[Any]] = {}
        for label, members in by_label.items():
            for way in ("out", "in") if direction == "both" else (direction,):
                text = st.edges_at(label, direction=way, types=tuple(types), limited=True)
                for row in self.read(text, ids=members, limit=limit):
                    edges.setdefault((row["type"], row["source"], row["target"]), results.edge_row(row, label, way))
        return [edges[k] for k in sorted(edges)[:limit]]

    def op_path(self, source: str, target: str, max_hops: int) -> list[list[str]] | None:
        return shortest_path(self._step, self.op_labels([source, target]), source, target, max_hops)

    def _step(self, label: str, ids: Sequence[str]) -> Iterable[tuple[str, str, str, str]]:
        for part in _batches(ids, BATCH):
            for r in self.read(st.step(label), ids=part):
                yield r["source"], r["type"], r["target"], st.primary(r["target_labels"])

    # ---- users' queries ----

    def op_lock(self, guard: str = "auto") -> dict[str, Any]:
        """From here on this is a query process: nothing can be opened, and queries run inside limits."""
        self.graph.cypher("MATCH (n) RETURN n.id AS id LIMIT 1", **st.READ_OPTIONS).to_list()  # loads what is lazy
        self.limits = limits.lock(guard)
        return self.limits

    def op_query(
        self, cypher: str, parameters: dict[str, Any], seconds: float, rows: int, size: int, memory: int
    ) -> dict[str, Any]:
        if not self.limits:
            raise Refusal("request", "not a query process")
        self.graph.read_only(True)
        try:
            with limits.during_query(self.limits, seconds, memory):
                result = self.graph.cypher(
                    cypher, params=parameters, timeout_ms=max(1, int(seconds * 1000)), row_limit=rows, **st.READ_OPTIONS
                )
                if isinstance(result, str):
                    raise Refusal("cypher", "the query asks for text output")
                return results.table(result, rows, size)
        except results.TooLarge as e:
            raise Refusal("bytes", str(e)) from e
        finally:
            self.graph.read_only(False)


def _statement_key(row: Sequence[Any]) -> tuple[str, ...]:
    return (row[0], row[1]) if row[0] in ("-n", "n") else (row[0], row[1], row[4], row[5])


def _batches(rows: Iterable[Any], n: int) -> Iterable[list[Any]]:
    part: list[Any] = []
    for row in rows:
        part.append(row)
        if len(part) == n:
            yield part
            part = []
    if part:
        yield part


def _text(e: BaseException) -> str:
    return " ".join(str(e).split())[:500] or type(e).__name__


def answer(engine: Engine, request: Any) -> dict[str, Any]:
    """Run one request and give the reply. Every exception of the engine becomes a named error here."""
    name = ""
    try:
        arguments = dict(request)
        name = arguments.pop("op")
        operation: Callable[..., Any] | None = getattr(engine, f"op_{name}", None)
        if operation is None:
            raise Refusal("request", "no such operation")
        return {"ok": operation(**arguments)}
    except Refusal as e:
        return {"error": e.kind, "message": str(e)}
    except MemoryError:
        return {"error": "nomemory", "message": "out of memory"}
    except Exception as e:  # the one place where the engine's errors become ours
        kind = {"CypherTimeoutError": "time", "ReadOnlyError": "write", "FileIoError": "io"}.get(
            type(e).__name__, "io" if isinstance(e, OSError) else "cypher" if name == "query" else "engine"
        )
        if kind in ("cypher", "engine") and _TOO_MUCH.search(str(e)):
            kind = "memory"
        return {"error": kind, "message": _text(e)}


def main() -> None:
    """Serve requests until stdin ends, or the process that started this one is gone (its id is the last argument)."""
    end_with(int(sys.argv[-1]))
    limits.prepare()
    warnings.simplefilter("ignore")
    # What an engine prints must not land between messages: the replies get a descriptor of their own.
    out = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    stdin: BinaryIO = sys.stdin.buffer

    def read(n: int) -> bytes:
        data = stdin.read(n)
        if len(data) < n:
            raise EOFError
        return data

    engine = Engine()
    while True:
        try:
            request = read_message(read)
        except EOFError:
            return
        reply = answer(engine, request)
        try:
            data = encode(reply)
        except (ValueError, RecursionError, MemoryError) as e:
            data = encode({"error": "engine", "message": _text(e)})
        view = memoryview(data)
        try:
            while view:
                view = view[out.write(view) :]
        except BrokenPipeError:
            return


if __name__ == "__main__":
    main()
