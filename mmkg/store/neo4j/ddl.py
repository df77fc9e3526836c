"""Schema statements: the only Cypher that is Neo4j's alone (with the calls of its vector and full-text indexes)."""

from __future__ import annotations

import hashlib

from mmkg.cypher.statements import PRIMARY_LABELS, constraint
from mmkg.schema import NODE_LABELS

HIDDEN = {
    "_Document": "_id",
    "_Unit": "_id",
    "_Source": "_uri",
    "_Entity": "_id",
    "_Title": "_form",
    "_Output": "_id",
    "_Coming": "_id",
    "_Alias": "_id",
    "_Heard": "_id",
    "_Sentence": "_id",
    "_Page": "_id",
    "_Bucket": "_id",
    "_Store": "_name",
}
"""Labels of mmkg's own rows -> the property that is unique. Their nodes have no relationships, and none of the names that
the graph's nodes have: a query that walks never meets them. `MATCH (n)` without a label does."""

FULLTEXT = {
    "mmkg_anchors": ("_Unit", "_anchors"),
    "mmkg_words": ("_Source", "_words"),
    "mmkg_terms": ("_Unit", "_terms"),
    "mmkg_pages": ("_Page", "_terms"),
}
"""Lists of words as one string each: a list property has no index for its members, Lucene has."""

_INDEXES = (
    ("_Document", "_state"),
    ("_Document", "_timed"),
    ("_Unit", "_document"),
    ("_Unit", "_key"),
    ("_Unit", "_media"),
    ("_Unit", "_changed"),
    ("_Source", "_document"),
    ("_Source", "_pending"),
    ("_Entity", "_key"),
    ("_Alias", "_short"),
    ("_Alias", "_long"),
    ("_Output", "_key"),
    ("_Output", "_page_of"),
    ("_Coming", "_key"),
    ("_Heard", "_recording"),
    ("_Sentence", "_document"),
    ("_Page", "_document"),
    ("_Bucket", "_key"),
)


def graph_schema() -> dict[str, str]:
    """Name -> statement of the constraints of the graph's labels. `Unit` comes last: Neo4j lists a node's labels in the order
    in which they were made, and queries take the primary label from the front."""
    labels = (*PRIMARY_LABELS, *(x for x in NODE_LABELS if x not in PRIMARY_LABELS))
    return {f"mmkg_{label.lower()}_id": constraint(label) for label in labels}


def hidden_schema() -> dict[str, str]:
    """Name -> statement of the constraints and indexes of mmkg's own rows."""
    out = {}
    for label, key in HIDDEN.items():
        name = f"mmkg{label.lower()}"
        out[name] = f"CREATE CONSTRAINT {name} IF NOT EXISTS FOR (n:{label}) REQUIRE n.{key} IS UNIQUE"
    for label, key in _INDEXES:
        name = f"mmkg{label.lower()}{key}"
        out[name] = f"CREATE INDEX {name} IF NOT EXISTS FOR (n:{label}) ON (n.{key})"
    for name, (label, key) in FULLTEXT.items():
        out[name] = (
            f"CREATE FULLTEXT INDEX {name} IF NOT EXISTS FOR (n:{label}) ON EACH [n.{key}] "
            "OPTIONS {indexConfig: {`fulltext.analyzer`: 'whitespace', `fulltext.eventually_consistent`: false}}"
        )
    return out


def vector_property(space: str) -> str:
    """The property that holds a node's vector of a space."""
    return "_v" + hashlib.sha256(space.encode()).hexdigest()[:12]


def vector_index(space: str, label: str) -> str:
    """Name of the index of a space's vectors at the nodes of a label (_Unit or _Sentence)."""
    return f"mmkg{label.lower()}{vector_property(space)}"


def vector_schema(space: str, dim: int) -> dict[str, str]:
    """Name -> statement of the two vector indexes of a space."""
    return {
        (name := vector_index(space, label)): make_vector_index(name, label, vector_property(space), dim)
        for label in ("_Unit", "_Sentence")
    }


def make_vector_index(name: str, label: str, key: str, dim: int) -> str:
    """The statement that makes one. key: the property of the vectors."""
    return (
        f"CREATE VECTOR INDEX {name} IF NOT EXISTS FOR (n:{label}) ON n.{key} "
        f"OPTIONS {{indexConfig: {{`vector.dimensions`: {dim}, `vector.similarity_function`: 'cosine', "
        "`vector.quantization.enabled`: false}}"
    )
