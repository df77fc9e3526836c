"""The JSON of every command is a promise (docs/json.md): a schema for each, closed, so that a field cannot go or come unseen."""

from __future__ import annotations

import json
import shutil

import jsonschema
import pytest

from mmkg.reasons import REASONS
from mmkg.schema import STATUSES

TEXT = {"type": "string"}
COUNT = {"type": "integer", "minimum": 0}
NUMBER = {"type": "number"}
FLAG = {"type": "boolean"}
SHA256 = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
CODE = {"enum": ["", *REASONS]}
URI = {"type": "string", "pattern": "^(file|text):"}


def some(items):
    return {"type": "array", "items": items}


def shape(optional=(), **properties):
    """An object with exactly these keys; those in `optional` may be absent."""
    return {
        "type": "object",
        "properties": properties,
        "required": [k for k in properties if k not in optional],
        "additionalProperties": False,
    }


def pair(items, n=2):
    return {"type": "array", "items": items, "minItems": n, "maxItems": n}


LOCATOR = shape(
    chars=pair(COUNT),
    page={"type": "integer", "minimum": 1},
    bbox=pair(NUMBER, 4),
    seconds=pair(NUMBER),
    optional=("chars", "page", "bbox", "seconds"),
)
DOCUMENT = shape(id=SHA256, name=TEXT, uri=URI)
STEP = shape(id=TEXT, kind=TEXT, name=TEXT, via=TEXT)
PATH = {"anyOf": [{"type": "null"}, some(STEP)]}
HIT = shape(
    id=TEXT,
    kind={"enum": ["text", "table", "code", "formula", "image", "figure", "page", "audio", "video"]},
    modality={"enum": ["text", "image", "audio", "video"]},
    score=NUMBER,
    text=TEXT,
    heading=TEXT,
    document=DOCUMENT,
    locator=LOCATOR,
    channels=some(shape(name=TEXT, rank={"type": "integer", "minimum": 1}, score=NUMBER)),
    path=PATH,
    similar=some(TEXT),
    described={"anyOf": [some(COUNT), {"type": "null"}]},
)
CITATION = shape(
    marker={"type": "integer", "minimum": 1},
    evidence=TEXT,
    document=DOCUMENT,
    locator=LOCATOR,
    quote=TEXT,
    verdict={"enum": ["supported", "partial", "unsupported", "unverified"]},
)
ANSWER = shape(
    question=TEXT,
    answer={"type": "string", "minLength": 1},
    short=TEXT,
    found=FLAG,
    support={"type": ["number", "null"], "minimum": 0, "maximum": 1},
    model=TEXT,
    sentences=some(shape(text=TEXT, citations=some(COUNT), supported=FLAG)),
    citations=some(CITATION),
    evidence=some(HIT),
    timings={"type": "object", "additionalProperties": NUMBER},
)
COUNTS = {
    "type": "object",
    "propertyNames": {"enum": [*STATUSES, "removed"]},
    "additionalProperties": {"type": "integer", "minimum": 1},
}
REPORT = shape(
    documents=some(
        shape(
            uri=URI,
            id={"type": "string", "pattern": "^([0-9a-f]{64})?$"},
            status={"enum": [*STATUSES, "removed"]},
            reason=TEXT,
            reason_code=CODE,
        )
    ),
    counts=COUNTS,
    seconds=NUMBER,
)
BRIEF = shape(id=TEXT, kind=TEXT, document=TEXT, locator=LOCATOR, text=TEXT)
SHOWN = {
    "document": shape(
        kind={"const": "document"},
        id=SHA256,
        name=TEXT,
        uri=URI,
        media_type=TEXT,
        bytes=COUNT,
        meta={"type": "object", "additionalProperties": TEXT},
        tags={"type": "object", "additionalProperties": TEXT},
        languages={"type": "object", "additionalProperties": COUNT},
        sections=some(shape(heading=TEXT, level=COUNT)),
        units=some(BRIEF),
        entities=some(shape(id=TEXT, name=TEXT, count=COUNT)),
    ),
    "section": shape(
        kind={"const": "section"}, id=TEXT, heading=TEXT, level=COUNT, document=DOCUMENT, units=some(BRIEF)
    ),
    "unit": shape(
        kind={"const": "unit"},
        id=TEXT,
        unit_kind=TEXT,
        document=DOCUMENT,
        locator=LOCATOR,
        text=TEXT,
        heading=TEXT,
        entities=some(shape(id=TEXT, name=TEXT, count=COUNT, title=COUNT)),
        picture={
            "anyOf": [
                {"type": "null"},
                shape(caption=TEXT, printed=TEXT, model_caption=TEXT, width=COUNT, height=COUNT, sha256=SHA256),
            ]
        },
        depicts=some(shape(id=TEXT, name=TEXT, score=NUMBER, reason=TEXT)),
        similar=some(shape(id=TEXT, document=TEXT, score=NUMBER, reason=TEXT)),
    ),
    "entity": shape(
        kind={"const": "entity"},
        id=TEXT,
        name=TEXT,
        label=TEXT,
        documents=COUNT,
        mentioned_in=COUNT,
        forms=some(shape(form=TEXT, count=COUNT)),
        same_as=some(shape(short=TEXT, long=TEXT, reason=TEXT)),
        co_occurs=some(shape(id=TEXT, name=TEXT, count=COUNT)),
        units=some(BRIEF),
        pictures=some(shape(id=TEXT, score=NUMBER, reason=TEXT)),
    ),
}
LISTED = shape(
    documents=some(
        shape(id=SHA256, name=TEXT, media_type=TEXT, n_units=COUNT, n_bytes=COUNT, uris={**some(URI), "minItems": 1})
    ),
    sources=some(
        shape(
            uri=URI,
            id={"type": "string", "pattern": "^([0-9a-f]{64})?$"},
            status={"enum": [*STATUSES, "pending"]},
            reason=TEXT,
            reason_code=CODE,
            size=COUNT,
        )
    ),
)
STATS = shape(
    **dict.fromkeys(
        ("documents", "sections", "entities", "co_occurrences", "sources", "chunks", "images", "generation", "bytes"),
        COUNT,
    ),
    spaces=some(TEXT),
    extractor=TEXT,
    optional=("chunks", "images"),
)
DIGEST = shape(digest=SHA256)
SIZES = shape(**dict.fromkeys(("ledger", "index", "graph", "blobs", "other"), COUNT))
COMPACTION = shape(before=SIZES, after=SIZES, held=some(TEXT), holders=some(COUNT), seconds=NUMBER)
COPIED = shape(
    target=TEXT,
    generation=COUNT,
    digest=SHA256,
    **dict.fromkeys(("copied", "kept", "dropped", "bytes"), COUNT),
    damaged=some(TEXT),
    seconds=NUMBER,
)
SALVAGED = shape(
    target=TEXT,
    digest=SHA256,
    counts={"type": "object", "additionalProperties": {"type": "integer", "minimum": 1}},
    sources=some(shape(uri=URI, id=TEXT, status={"enum": ["whole", "partial", "read again", "lost"]}, reason=TEXT)),
    rows=shape(
        **dict.fromkeys(("document", "section", "page", "text_part", "unit", "output", "source", "heard"), COUNT)
    ),
    unclaimed=some(SHA256),
)
REMOVED = shape(removed=some(shape(uri=URI, id=SHA256)), purged={"anyOf": [{"type": "null"}, COMPACTION]})
DOCTOR = shape(
    ok=FLAG,
    base={"type": ["string", "null"]},
    problems=some(shape(kind=TEXT, id=TEXT, detail=TEXT, fixed=FLAG)),
    environment=some(
        shape(
            name=TEXT,
            kind={"enum": ["model", "extra"]},
            found=FLAG,
            version=TEXT,
            runtime=TEXT,
            detail=TEXT,
            mend=TEXT,
        )
    ),
    fences=some(
        shape(process={"enum": ["parser", "query"]}, fence=TEXT, holds=FLAG, detail=TEXT, meaning=TEXT),
    ),
    limits=some(shape(name=TEXT, value=NUMBER, default=NUMBER, variable=TEXT, meaning=TEXT)),
)


def holds(value, schema):
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(value)
    return value


def test_schemas_are_closed():
    with pytest.raises(jsonschema.ValidationError):
        holds({"digest": "0" * 64, "more": 1}, DIGEST)
    with pytest.raises(jsonschema.ValidationError):
        holds({}, DIGEST)


def test_add_and_remove(as_json, files, tmp_path):
    kb = tmp_path / "kb"
    first = holds(as_json("add", files, kb=kb), REPORT)
    assert sum(first["counts"].values()) == len(first["documents"]) == 9
    assert all(bool(d["id"]) == (d["status"] == "added") for d in first["documents"])
    again = holds(as_json("add", files / "crane.md", kb=kb), REPORT)
    assert again["counts"] == {"unchanged": 1}
    removed = holds(as_json("remove", files / "sub", kb=kb), REMOVED)
    assert [r["uri"].rsplit("/", 1)[-1] for r in removed["removed"]] == ["ships.csv"] and removed["purged"] is None
    purged = holds(as_json("remove", "--purge", files / "crane.md", kb=kb), REMOVED)["purged"]
    assert purged["held"] == [] and purged["after"]["ledger"] > 0


def test_compact(as_json, run, files, tmp_path):
    from mmkg.store.folder.reader import FolderReader

    kb = tmp_path / "kb"
    as_json("add", files / "crane.md", kb=kb)
    done = holds(as_json("compact", kb=kb), COMPACTION)
    assert done["held"] == [] and done["after"]["ledger"] <= done["before"]["ledger"]
    reader = FolderReader(kb)
    try:
        held = run("compact", "--wait", 0.1, "--json", "--quiet", kb=kb)
    finally:
        reader.close()
    assert held.exit_code == 1 and "close it and run `mmkg compact`" in held.stderr
    assert holds(json.loads(held.stdout), COMPACTION)["held"] == ["ledger.sqlite", "ledger.sqlite-wal"]


def test_backup_and_restore(as_json, run, files, tmp_path):
    kb = tmp_path / "kb"
    as_json("add", files / "crane.md", kb=kb)
    done = holds(as_json("backup", tmp_path / "copy", kb=kb), COPIED)
    assert done["digest"] == as_json("digest", kb=kb)["digest"] and done["target"] == str(tmp_path / "copy")
    assert holds(as_json("backup", tmp_path / "copy", "--verify", kb=kb), COPIED)["copied"] == 1
    blob = next(p for p in (tmp_path / "copy/blobs").rglob("*") if p.is_file())
    blob.write_bytes(b"other bytes")
    broken = run("restore", tmp_path / "copy", "--json", kb=tmp_path / "again")
    assert broken.exit_code == 1 and "doctor --fix" in broken.stderr
    assert holds(json.loads(broken.stdout), COPIED)["damaged"] == [blob.relative_to(tmp_path / "copy").as_posix()]
    as_json("backup", tmp_path / "copy", kb=kb)
    whole = holds(as_json("restore", tmp_path / "copy", tmp_path / "again", "--overwrite"), COPIED)
    assert whole["digest"] == done["digest"] and not whole["damaged"]


def test_salvage(as_json, run, base, tmp_path):
    whole = holds(as_json("salvage", base, tmp_path / "new"), SALVAGED)
    assert whole["counts"] == {"whole": 4} and whole["digest"] == as_json("digest", kb=base)["digest"]
    assert {s["status"] for s in as_json("list", kb=tmp_path / "new")["sources"]} >= {"added", "rejected"}
    damaged = tmp_path / "damaged"
    (damaged / "blobs").mkdir(parents=True)
    (damaged / "ledger.sqlite").write_bytes((base / "ledger.sqlite").read_bytes().replace(b"Tamar", b"Tomar"))
    lost = run("salvage", damaged, tmp_path / "half", "--json")
    assert lost.exit_code == 1
    assert holds(json.loads(lost.stdout), SALVAGED)["counts"]["lost"] >= 1


def test_list(as_json, base):
    listed = holds(as_json("list", kb=base), LISTED)
    assert len(listed["documents"]) == 4
    assert {s["status"] for s in listed["sources"]} == {"added", "empty", "rejected", "skipped"}


@pytest.mark.parametrize(
    ("name", "kind"), [("crane.md", "document"), ("Port Ferren", "entity"), ("The lens", "section")]
)
def test_show(as_json, base, name, kind):
    if kind == "section":
        rows = as_json("cypher", "MATCH (s:Section {heading: $h}) RETURN s.id AS id", "-p", f"h={name}", kb=base)[
            "rows"
        ]
        name = rows[0]["id"]
    shown = holds(as_json("show", name, kb=base), SHOWN[kind])
    for unit in shown["units"]:
        holds(as_json("show", unit["id"], kb=base), SHOWN["unit"])


def test_search(as_json, base):
    found = holds(as_json("search", "who built lighthouses", kb=base), shape(hits=some(HIT)))
    assert found["hits"][0]["document"]["name"] == "Elias Crane"
    assert found["hits"][0]["locator"]["chars"]
    assert holds(as_json("search", "zzzz", "--modality", "audio", kb=base), shape(hits=some(HIT))) == {"hits": []}


def test_search_explained(as_json, base):
    told = shape(
        question=TEXT,
        order=TEXT,
        effort=COUNT,
        searched=COUNT,
        units=COUNT,
        entities=some(shape(**{"id": TEXT, "as": TEXT})),
        lists={"type": "object", "additionalProperties": some(shape(unit=TEXT, rank=COUNT, score=NUMBER))},
        features={"type": "object", "additionalProperties": some(shape(name=TEXT, value=NUMBER, adds=NUMBER))},
        timings={"type": "object", "additionalProperties": NUMBER},
    )
    found = as_json("search", "who built lighthouses", "--explain", "--where", "kind=markdown", kb=base)
    holds(found, shape(hits=some(HIT), explanation=told))
    assert found["explanation"]["lists"]["bm25"] and found["explanation"]["searched"] < found["explanation"]["units"]


def test_tag_and_filter(as_json, run, files, tmp_path):
    kb = tmp_path / "kb"
    tagged = shape(documents=some(shape(id=SHA256, tags={"type": "object", "additionalProperties": TEXT})))
    holds(as_json("add", files, "--tag", "project=light", kb=kb), REPORT)
    changed = holds(as_json("tag", files / "crane.md", "--put", "draft=yes", "--drop", "project", kb=kb), tagged)
    assert [d["tags"] for d in changed["documents"]] == [{"draft": "yes"}]
    hits = as_json("search", "Elias Crane", "--where", "tag:project=light", kb=kb)["hits"]
    assert hits and "Elias Crane" not in {h["document"]["name"] for h in hits}
    for wrong in (("--where", "kind=novel"), ("--where", "date>soon")):
        assert run("search", "light", *wrong, kb=kb).exit_code == 2
    assert run("add", files, "--tag", "novalue", kb=kb).exit_code == 2
    unknown = run("search", "light", "--where", "tag:projekt=x", kb=kb)
    assert unknown.exit_code == 1 and "did you mean tag:project?" in unknown.stderr


def test_reindex_without_an_encoder_says_what_is_missing(run, base):
    missing = run("reindex", "--encoder", "none", "--dry-run", "--json", kb=base)
    assert missing.exit_code == 1 and "no encoder" in missing.stderr
    nowhere = run("reindex", "--encoder", "./no-such-folder", kb=base)
    assert nowhere.exit_code == 1 and len(nowhere.stderr.strip().splitlines()) == 1


def test_reindex(as_json, run, base, tmp_path, monkeypatch):
    from mmkg.testing.encoders import HashingEncoder

    monkeypatch.setattr("mmkg.encode.registry.load_text_encoder", lambda settings, **_: HashingEncoder())
    copy = shutil.copytree(base, tmp_path / "copy")
    spaces = some(TEXT)
    counts = dict.fromkeys(("units", "held", "texts", "pictures", "n_bytes"), COUNT)
    told = shape(before=spaces, after=spaces, **counts, seconds=NUMBER, texts_per_s=NUMBER, dry_run=FLAG)
    planned = holds(as_json("reindex", "--encoder", "hashing", "--dry-run", kb=copy), told)
    done = holds(as_json("reindex", "--encoder", "hashing", "--quiet", kb=copy), told)
    assert planned["dry_run"] and planned["texts"] == done["texts"] > 0
    assert set(done["after"]) - set(done["before"]) == {"hashing@1"}
    again = run("reindex", "--encoder", "hashing", "--quiet", kb=copy)
    assert again.exit_code == 0 and "units encoded" in again.stdout and "setting encoder" in again.stderr


def test_communities_and_global(as_json, run, base):
    theme = shape(
        number=COUNT,
        name=TEXT,
        entities=some(shape(id=TEXT, name=TEXT)),
        n_entities=COUNT,
        n_units=COUNT,
        n_documents=COUNT,
        units=some(TEXT),
        sentences=some({"type": "integer"}),
    )
    holds(as_json("communities", kb=base), shape(communities=some(theme), n=COUNT))
    holds(as_json("search", "what is it about?", "--mode", "global", kb=base), shape(hits=some(HIT)))
    holds(as_json("ask", "what is it about?", "--mode", "global", kb=base), ANSWER)
    assert run("search", "x", "--mode", "global", "--mode", "dense", kb=base).exit_code == 2


def test_why_not(as_json, base):
    weighed = some(shape(name=TEXT, value=NUMBER, adds=NUMBER))
    standing = shape(
        rank=COUNT,
        shown=COUNT,
        lists={"type": "object", "additionalProperties": {"type": "integer", "minimum": 1}},
        in_pool={"type": ["boolean", "null"]},
        reason={"type": "string", "minLength": 1},
        features=weighed,
        behind=weighed,
    )
    unit = as_json("search", "Grey Petrel", kb=base)["hits"][0]["id"]
    found = holds(as_json("why-not", "Grey Petrel", unit, kb=base), standing)
    assert found["rank"] == 1 and found["lists"]["bm25"] == 1 and "at place 1" in found["reason"]
    missed = holds(as_json("why-not", "Who designed Tamar Light?", unit, "-k", 1, kb=base), standing)
    assert missed["rank"] != 1 and missed["reason"]


def test_train_without_vectors_says_what_is_missing(run, base, tmp_path):
    questions = tmp_path / "q.jsonl"
    lines = [{"question": f"What was built in {year}?", "supporting_ids": ["crane.md"]} for year in range(1870, 1885)]
    questions.write_text("\n".join(map(json.dumps, lines)))
    result = run("train", "ranker", "--questions", questions, kb=base)
    assert result.exit_code == 1 and "vectors" in result.stderr and "pip install" in result.stderr
    holds(json.loads(run("train", "ranker", "--undo", "--json", kb=base).stdout), shape(removed=FLAG))


def test_ask(as_json, base):
    answer = holds(as_json("ask", "Who designed Tamar Light?", kb=base), ANSWER)
    assert answer["found"] and "Elias Crane" in answer["answer"]
    evidence = {e["id"]: e for e in answer["evidence"]}
    for citation in answer["citations"]:
        assert citation["quote"] in evidence[citation["evidence"]]["text"]
    assert {n for s in answer["sentences"] for n in s["citations"]} <= {c["marker"] for c in answer["citations"]}
    none = holds(as_json("ask", "Which opera did the zeppelin perform?", kb=base), ANSWER)
    assert not none["found"] and not none["citations"]


def test_cypher(as_json, base):
    query = "MATCH (d:Document) RETURN d.name AS name, d.uris AS uris ORDER BY name"
    result = holds(
        as_json("cypher", query, "--rows", 2, kb=base),
        shape(columns=some(TEXT), rows=some({"type": "object"}), truncated=FLAG, warnings=some(TEXT)),
    )
    assert result["columns"] == ["name", "uris"]
    assert [set(r) for r in result["rows"]] == [{"name", "uris"}] * 2
    assert result["truncated"] is True


def test_path(as_json, base):
    schema = shape(path=PATH)
    way = holds(as_json("path", "Port Ferren", "Penrock Head", kb=base), schema)["path"]
    assert way[0]["name"] == "Port Ferren" and way[-1]["name"] == "Penrock Head"
    assert [bool(s["via"]) for s in way] == [False] + [True] * (len(way) - 1)
    assert holds(as_json("path", "Port Ferren", "Penrock Head", "--hops", 1, kb=base), schema) == {"path": None}


def test_export(as_json, base, tmp_path):
    target = tmp_path / "graph.jsonl"
    assert holds(as_json("export", target, kb=base), shape(target=TEXT)) == {"target": str(target)}


def test_stats(as_json, base):
    stats = holds(as_json("stats", kb=base), STATS)
    assert (stats["documents"], stats["images"], stats["sources"]) == (4, 1, 8)


def test_digest_and_rebuild(as_json, files, tmp_path):
    kb = tmp_path / "kb"
    as_json("add", files / "crane.md", kb=kb)
    digest = holds(as_json("digest", kb=kb), DIGEST)
    assert holds(as_json("digest", "--deep", kb=kb), DIGEST) == digest
    assert holds(as_json("rebuild", kb=kb), DIGEST) == digest


def test_doctor(as_json, run, files, tmp_path):
    kb = tmp_path / "kb"
    assert holds(as_json("doctor", kb=kb), DOCTOR)["base"] is None
    as_json("add", files / "crane.md", kb=kb)
    assert holds(as_json("doctor", kb=kb), DOCTOR)["problems"] == []
    for blob in (kb / "blobs").rglob("*"):
        if blob.is_file():
            blob.unlink()
    sick = run("doctor", "--json", kb=kb)
    assert sick.exit_code == 1
    said = holds(json.loads(sick.stdout), DOCTOR)
    assert not said["ok"] and "blob-missing" in {p["kind"] for p in said["problems"]}
    assert holds(as_json("doctor", "--fix", kb=kb), DOCTOR)["ok"], "the source still has the bytes"


def test_doctor_tells_the_limits_in_force(as_json, tmp_path):
    found = as_json("doctor", kb=tmp_path / "kb", env={"MMKG_LIMIT_PAGES": "7", "MMKG_QUERY_ROWS": "9"})
    assert {(f["process"], f["fence"]) for f in found["fences"]} >= {("parser", "python"), ("query", "memory")}
    values = {row["name"]: (row["value"], row["default"]) for row in found["limits"]}
    assert values["limits.pages"] == (7, 5000) and values["query_rows"] == (9, 10_000)
    assert values["limits.bytes"] == (2**29, 2**29)


def test_every_command_that_prints_results_has_a_schema_here(run):
    from mmkg.cli.main import main

    without = {"completion"}
    for name in main.list_commands(None):
        options = {o for p in main.get_command(None, name).params for o in p.opts}
        assert ("--json" in options) == (name not in without), name


@pytest.mark.models
def test_search_and_ask_with_the_real_text_model(as_json, files, tmp_path):
    real = {"MMKG_ENCODER": "default"}
    kb = tmp_path / "kb"
    as_json("add", files / "crane.md", files / "tamar light.md", kb=kb, env=real)
    assert holds(as_json("stats", kb=kb, env=real), STATS)["spaces"]
    found = holds(
        as_json("search", "architect of beacons for sailors", "-k", 1, kb=kb, env=real), shape(hits=some(HIT))
    )
    assert any(c["name"] != "bm25" for c in found["hits"][0]["channels"])
    answer = holds(as_json("ask", "When was Tamar Light designed?", kb=kb, env=real), ANSWER)
    assert answer["found"] and "1871" in answer["answer"]


SHARE = {"type": "number", "minimum": 0, "maximum": 1}
MS = {"type": "number", "minimum": 0}
_MEASURES = {
    **{f"recall@{k}": SHARE for k in (1, 2, 3, 5, 10, 20)},
    **{f"all_gold@{k}": SHARE for k in (2, 5, 10, 50)},
    "coverage@50": SHARE,
    "mrr": SHARE,
    "ndcg@10": SHARE,
}
MEASURES = shape(**_MEASURES)
DIFFERENCE = shape(mean=NUMBER, low=NUMBER, high=NUMBER)
TOLD = shape(**{"recall@5": DIFFERENCE, "all_gold@5": DIFFERENCE})


def by(values):
    return {"type": "object", "additionalProperties": values}


RETENTION = shape(
    **{k: {"type": ["number", "null"], "minimum": 0} for k in ("clean", "noisy", "retention", "low", "high")}
)
EVAL = shape(
    dataset=TEXT,
    settings=shape(
        version=TEXT,
        rows=some(TEXT),
        encoder=TEXT,
        runtime=TEXT,
        effort=COUNT,
        seed={"type": "integer"},
        protocol=TEXT,
        questions=TEXT,
        index=TEXT,
        fingerprint=TEXT,
    ),
    questions=COUNT,
    rows=by(shape(**_MEASURES, ms_p50=MS, ms_p95=MS)),
    by_hops=by(by(MEASURES)),
    by_type=by(by(MEASURES)),
    counts=shape(by_hops=by(COUNT), by_type=by(COUNT), unknown_gold=COUNT, without_gold=COUNT),
    intervals=by(shape(**{"recall@5": pair(SHARE), "all_gold@5": pair(SHARE)})),
    differences=by(TOLD),
    index=shape(key=TEXT, seconds=MS, bytes=COUNT, documents=COUNT, units=COUNT, counts=by(COUNT)),
    answers=shape(
        **dict.fromkeys(
            ("exact_match", "f1", "rouge_l", "bleu", "citation_precision", "citation_recall", "found"), SHARE
        ),
        ms=MS,
        questions=COUNT,
    ),
    against=shape(fingerprint=TEXT, questions=COUNT, rows=by(TOLD)),
    noise=by(
        {
            "anyOf": [
                shape(
                    **dict.fromkeys(("recall@5", "all_gold@5"), RETENTION),
                    questions=COUNT,
                    times=NUMBER,
                    optional=("times",),
                ),
                shape(auroc=SHARE, found_answerable=SHARE, found_unanswerable=SHARE, questions=COUNT),
            ]
        }
    ),
    optional=("answers", "against", "noise"),
)


@pytest.fixture(scope="module")
def question_set(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sets") / "boats"
    folder.mkdir()
    corpus = [
        {"id": "b1", "title": "Zed", "text": "Zed is a boat built by Ona Mole."},
        {"id": "b2", "title": "Ona Mole", "text": "Ona Mole was born in Tern in 1871."},
        {"id": "b3", "title": "Tern", "text": "Tern is a town of nets and rope."},
    ]
    asked = [
        {
            "id": "q1",
            "question": "Where was the builder of Zed born?",
            "answers": ["Tern"],
            "supporting_ids": ["b1", "b2"],
        },
        {"question": "What is Tern a town of?", "supporting_ids": ["b3"], "type": "single", "hops": 1},
    ]
    for name, rows in (("corpus.jsonl", corpus), ("questions_dev.jsonl", asked)):
        (folder / name).write_text("".join(json.dumps(r) + "\n" for r in rows))
    return folder


def test_eval(as_json, run, question_set, tmp_path):
    options = (question_set, "--rows", "bm25,hybrid,oracle", "--cache", tmp_path)
    said = holds(as_json("eval", *options, "--answers", "--noise", "typo"), EVAL)
    assert said["noise"]["typo"]["recall@5"]["clean"] == 1.0
    assert set(said["rows"]) == {"bm25", "hybrid", "oracle"} and said["answers"]["questions"] == 1
    assert said["rows"]["hybrid"]["all_gold@5"] == said["rows"]["oracle"]["recall@5"] == 1.0
    assert said["counts"]["by_hops"] == {"1": 1, "2": 1}
    kept = tmp_path / "results" / "boats" / f"{said['settings']['fingerprint']}.json"
    again = holds(as_json("eval", *options, "--against", kept), EVAL)
    assert again["index"] == said["index"], "the base is kept, not built again"
    assert again["against"]["rows"]["hybrid"]["recall@5"] == {"mean": 0.0, "low": 0.0, "high": 0.0}
    table = run("eval", *options)
    assert table.exit_code == 0 and "| hybrid | " in table.stdout and "kept in" in table.stderr


def test_eval_says_what_is_wrong(run, question_set, tmp_path):
    def error(*args):
        result = run("eval", *args, "--cache", tmp_path)
        assert result.exit_code == 1 and not result.stdout
        return result.stderr

    assert "known: bm25, dense, rrf, pixels, graph, hybrid" in error(question_set, "--rows", "bm52")
    assert "does not exist" in error(tmp_path / "nowhere")
    assert "known here: shuffled, ordered" in error(question_set, "--protocol", "pixels")
    (tmp_path / "bad.jsonl").write_text('{"question": "x"}\n{"question": 1}\n')
    assert "record 2: `question` is missing" in error(question_set, "--questions", tmp_path / "bad.jsonl")
    assert "no reranker" in error(question_set, "--rows", "reranked")
