"""How right DEPICTS is on pictures that a person has labelled: precision and recall, for a base that holds them.

    python scripts/measure_depicts.py --kb ./kb data/demo/pictures.json

The file of labels is a JSON object: file name -> names of what the pictures of this file show, in any of the forms that count
as right ("korvane light"); [] for pictures that show nothing with a name. Forms of one thing may be joined by "|". A depiction
is right if its entity is one of the forms. Recall: of the things that are labelled, how many are shown by an edge; a base
cannot show what none of its words names, so this is a share of all that a person sees. Exit 1 below --least precision.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from pathlib import Path

from mmkg import KnowledgeBase


def measure(kb: KnowledgeBase, labels: dict[str, list[str]]) -> dict[str, object]:
    """Counts and the wrong edges. Files without a label are left out."""
    files: dict[str, str] = {}
    for row in kb.cypher("MATCH (d:Document) RETURN d.id AS id, d.uris AS uris", max_rows=1_000_000).rows:
        files[row[0]] = row[1][0].rsplit("/", 1)[-1]
    edges = kb.cypher(
        "MATCH (i:Image)-[r:DEPICTS]->(e:Entity) RETURN i.id AS image, e.id AS entity, r.score AS score, r.reason AS reason "
        "ORDER BY image, entity",
        max_rows=1_000_000,
    ).rows
    shown: dict[str, set[str]] = defaultdict(set)
    wrong = []
    right = 0
    for image, entity, score, reason in edges:
        name = files[image.split("/")[0]]
        if name not in labels:
            continue
        shown[name].add(entity)
        if any(entity in thing.split("|") for thing in labels[name]):
            right += 1
        else:
            wrong.append({"file": name, "entity": entity, "score": score, "reason": reason})
    things = [(name, set(thing.split("|"))) for name, named in labels.items() for thing in named]
    found = sum(bool(forms & shown[name]) for name, forms in things)
    edges_seen = right + len(wrong)
    return {
        "files": len(labels),
        "edges": edges_seen,
        "precision": round(right / edges_seen, 3) if edges_seen else None,
        "things": len(things),
        "recall": round(found / len(things), 3) if things else None,
        "wrong": wrong,
        "missed": sorted(name for name, forms in things if not forms & shown[name]),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("labels", type=Path)
    parser.add_argument("--kb", required=True)
    parser.add_argument("--least", type=float, default=0.9)
    options = parser.parse_args()
    with KnowledgeBase.open(options.kb, create=False) as kb:
        found = measure(kb, json.loads(options.labels.read_text(encoding="utf-8")))
    json.dump(found, sys.stdout, indent=2, ensure_ascii=False)
    print()
    return int(isinstance(found["precision"], float) and found["precision"] < options.least)


if __name__ == "__main__":
    raise SystemExit(main())
