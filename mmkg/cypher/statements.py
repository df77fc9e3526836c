"""Every Cypher text that mmkg itself runs, in the form that kglite and Neo4j read alike.

Names (labels, types) come from mmkg.schema and are checked; values are parameters. The rules behind the forms:
MERGE by `id` and then set the whole map, so that an upsert also takes away what the row no longer has (`=`, with the id inside
the map, since `=` would drop it); edges directed, one statement a type and pair of labels; scalars and maps returned, never a bare
node, relationship or path; ORDER BY before LIMIT.
"""

from __future__ import annotations

from typing import Any

from mmkg.schema import EDGE_TYPES, NODE_LABELS, UNIT_LABELS

PRIMARY_LABELS = tuple(label for label in NODE_LABELS if label != "Unit")

READ_OPTIONS: dict[str, Any] = {"disabled_passes": ["fuse_match_return_aggregate"]}
"""kglite 0.21.2 gives wrong counts with this optimizer pass (found by random comparison); pass these on every read."""


_EACH = "UNWIND range(0, size($columns[0]) - 1) AS i"


def constraint(label: str) -> str:
    """Unique ids. kglite accepts it, and needs it not: there `id` is the identity of a label's nodes."""
    label = _label(label)
    return f"CREATE CONSTRAINT mmkg_{label.lower()}_id IF NOT EXISTS FOR (n:{label}) REQUIRE n.id IS UNIQUE"


def upsert_nodes(label: str) -> str:
    """$rows: [{id, props}] with props holding every property, `id` too, and `name: null` where there is none."""
    label = _label(label)
    unit = ", n:Unit" if label in UNIT_LABELS else ""
    return f"UNWIND $rows AS r MERGE (n:{label} {{id: r.id}}) SET n = r.props{unit}"


def upsert_edges(type_: str, source_label: str, target_label: str) -> str:
    """$rows: [{a, b, props}]. Returns n, the number of rows whose two ends exist."""
    return (
        f"UNWIND $rows AS r MATCH (a:{_label(source_label)} {{id: r.a}}) MATCH (b:{_label(target_label)} {{id: r.b}}) "
        f"MERGE (a)-[m:{_type(type_)}]->(b) SET m = r.props RETURN count(*) AS n"
    )


def create_edges(type_: str, source_label: str, target_label: str) -> str:
    """The same for edges that are known to be new, each once: MERGE looks through all edges of a hub, CREATE does not."""
    return (
        f"UNWIND $rows AS r MATCH (a:{_label(source_label)} {{id: r.a}}) MATCH (b:{_label(target_label)} {{id: r.b}}) "
        f"CREATE (a)-[m:{_type(type_)}]->(b) SET m = r.props RETURN count(*) AS n"
    )


def load_nodes(label: str, names: tuple[str, ...]) -> str:
    """New nodes. $columns: ids, then a list of values for each property of names."""
    unit = ":Unit" if label in UNIT_LABELS else ""
    values = "".join(f", {_name(name)}: $columns[{k}][i]" for k, name in enumerate(names, start=1))
    return f"{_EACH} CREATE (n:{_label(label)}{unit} {{id: $columns[0][i]{values}}}) RETURN count(*) AS n"


def load_edges(type_: str, source_label: str, target_label: str, names: tuple[str, ...]) -> str:
    """New edges, those of one source together: it is looked up once. $sources: ids; $starts: where in the columns the edges of each begin,
    and their end; $columns: ids of targets, then a list of values for each property of names."""
    values = ", ".join(f"{_name(name)}: $columns[{k}][i]" for k, name in enumerate(names, start=1))
    return (
        f"UNWIND range(0, size($sources) - 1) AS s MATCH (a:{_label(source_label)} {{id: $sources[s]}}) "
        f"UNWIND range($starts[s], $starts[s + 1] - 1) AS i MATCH (b:{_label(target_label)} {{id: $columns[0][i]}}) "
        f"CREATE (a)-[:{_type(type_)} {{{values}}}]->(b) RETURN count(*) AS n"
    )


def delete_nodes(label: str) -> str:
    """$ids: the nodes to delete, with their edges."""
    return f"UNWIND $ids AS i MATCH (n:{_label(label)} {{id: i}}) DETACH DELETE n"


def delete_edges(type_: str, source_label: str, target_label: str) -> str:
    """$rows: [{a, b}]."""
    return (
        f"UNWIND $rows AS r MATCH (a:{_label(source_label)} {{id: r.a}})-[m:{_type(type_)}]->"
        f"(b:{_label(target_label)} {{id: r.b}}) DELETE m"
    )


def clear_names_of(label: str) -> str:
    """Of $ids. kglite answers `n.name` with a made-up title where a node was loaded without a name; Neo4j says null."""
    return f"UNWIND $ids AS i MATCH (n:{_label(label)} {{id: i}}) SET n.name = null"


def get_nodes(label: str) -> str:
    """$ids. Returns id, labels, props."""
    return f"UNWIND $ids AS i MATCH (n:{_label(label)} {{id: i}}) RETURN n.id AS id, labels(n) AS labels, properties(n) AS props"


def node_ids(label: str) -> str:
    return f"MATCH (n:{_label(label)}) RETURN n.id AS id ORDER BY id"


def known_ids(label: str) -> str:
    """Those of $ids that exist under the label."""
    return f"UNWIND $ids AS i MATCH (n:{_label(label)} {{id: i}}) RETURN n.id AS id"


def edges_at(label: str, *, direction: str, types: tuple[str, ...] = (), limited: bool = False) -> str:
    """Edges of $ids of one label, direction out or in. Returns type, source, target, props and the labels of the other end,
    in order if limited (with $limit)."""
    kinds = ":" + "|".join(_type(t) for t in types) if types else ""
    near = f"(n:{_label(label)} {{id: i}})"
    pattern = f"{near}-[r{kinds}]->(o)" if direction == "out" else f"{near}<-[r{kinds}]-(o)"
    a, b = ("n", "o") if direction == "out" else ("o", "n")
    text = (
        f"UNWIND $ids AS i MATCH {pattern} RETURN type(r) AS type, {a}.id AS source, {b}.id AS target, "
        "labels(o) AS labels, properties(r) AS props"
    )
    return text + (" ORDER BY type, source, target LIMIT $limit" if limited else "")


def step(label: str) -> str:
    """One hop from $ids of one label, either way. Returns source, type, target, target_labels."""
    return (
        f"UNWIND $ids AS i MATCH (n:{_label(label)} {{id: i}})-[r]-(o) "
        "RETURN n.id AS source, type(r) AS type, o.id AS target, labels(o) AS target_labels"
    )


COUNT_NODES = "MATCH (n) RETURN labels(n) AS labels, count(*) AS n"
COUNT_EDGES = "MATCH (a)-[r]->(b) RETURN type(r) AS type, count(*) AS n"


def primary(labels: list[str]) -> str:
    """The primary label among a node's labels.

    >>> primary(["Chunk", "Unit"])
    'Chunk'
    """
    return next((label for label in labels if label != "Unit"), "Unit")


def _name(name: str) -> str:
    """A property name, quoted."""
    return "`" + name.replace("`", "``") + "`"


def _label(name: str) -> str:
    if name not in NODE_LABELS:
        raise ValueError(f"unknown node label {name!r}; known: {', '.join(NODE_LABELS)}")
    return name


def _type(name: str) -> str:
    if name not in EDGE_TYPES:
        raise ValueError(f"unknown edge type {name!r}; known: {', '.join(EDGE_TYPES)}")
    return name
