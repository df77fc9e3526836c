"""Effort, modes, why-not and training through KnowledgeBase, with light parts and the real store."""

from __future__ import annotations

import json

import pytest

from mmkg.config import Settings
from mmkg.errors import ConfigError, NotFoundError
from mmkg.extract.names import NameExtractor
from mmkg.kb import KnowledgeBase
from mmkg.testing.encoders import HashingEncoder

KEEPERS = ["Ada", "Bert", "Cora", "Dirk", "Edna", "Finn", "Gwen", "Hugo", "Iris", "Jork", "Kaja", "Lars"]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    for i, name in enumerate(KEEPERS):
        keeper, light, town = f"{name} Marlow", f"{name}stone Light", f"Port {name}wick"
        (folder / f"light{i}.md").write_text(f"# {light}\n\n{light} was kept by {keeper} for years. It is white.\n")
        (folder / f"keeper{i}.md").write_text(f"# {keeper}\n\n{keeper} was born in {town}. The house still stands.\n")
        (folder / f"town{i}.md").write_text(f"# {town}\n\n{town} lies by the sea and has a market on Fridays.\n")
    return folder


@pytest.fixture(scope="module")
def kb(tmp_path_factory, files):
    settings = Settings(workers=1, image_encoder="none")
    root = tmp_path_factory.mktemp("ranked") / "kb"
    with KnowledgeBase(root, settings=settings, text_encoder=HashingEncoder(), extractor=NameExtractor()) as kb:
        kb.add(files)
        yield kb


@pytest.fixture
def questions(tmp_path):
    path = tmp_path / "questions.jsonl"
    rows = [
        {
            "question": f"Where was the keeper of {n}stone Light born?",
            "supporting_ids": [f"light{i}.md", f"keeper{i}.md"],
        }
        for i, n in enumerate(KEEPERS)
    ]
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


@pytest.mark.parametrize("effort", [0, 1, 2, 3])
def test_every_effort_finds_both_hops(kb, effort):
    found = kb.search("Where was the keeper of Corastone Light born?", k=2, effort=effort)
    assert {e.document.name for e in found} == {"Corastone Light", "Cora Marlow"}


def test_effort_comes_from_the_settings_and_a_wrong_one_is_refused(kb):
    assert kb.settings.effort in range(4)
    with pytest.raises(ValueError, match="effort"):
        kb.search("Corastone", effort=4)
    with pytest.raises(ConfigError, match="effort"):
        Settings.load(effort=7)


@pytest.mark.parametrize(
    ("mode", "channels"),
    [
        ("lexical", {"bm25"}),
        ("dense", {"dense", "sentences"}),
        ("graph", {"walk"}),
        (("lexical", "graph"), {"bm25", "walk"}),
    ],
    ids=lambda value: value if isinstance(value, str) else "+".join(sorted(value)),  # a set has no order of its own
)
def test_a_mode_shows_its_lists_alone(kb, mode, channels):
    found = kb.search("Corastone Light", k=50, mode=mode)
    assert found
    assert all({c.name for c in e.channels} & channels for e in found)


@pytest.mark.parametrize("mode", ["fuzzy", (), ("hybrid", "graph")], ids=str)
def test_modes_that_mean_nothing_are_refused(kb, mode):
    with pytest.raises(ValueError, match="hybrid"):
        kb.search("Corastone Light", mode=mode)


@pytest.mark.parametrize("effort", [0, 2])
def test_why_not(kb, effort):
    question = "Where was the keeper of Corastone Light born?"
    first, *_, last = kb.search(question, k=10, effort=effort)
    found = kb.why_not(question, first.id, k=3, effort=effort)
    assert found.rank == 1 and "place 1" in found.reason and not found.behind
    missed = kb.why_not(question, last.id, k=3, effort=effort)
    assert missed.rank > 3 and missed.reason
    if effort:
        assert found.in_pool and found.features
        assert missed.behind and all(w.adds < 0 for w in missed.behind)
    else:
        assert found.in_pool is None
    with pytest.raises(NotFoundError):
        kb.why_not(question, "Cora Marlow")


def test_training_on_own_questions_and_back(kb, questions):
    before = [e.id for e in kb.search("Where was the keeper of Finnstone Light born?", effort=3)]
    seen = []
    report = kb.train_ranker(questions, force=True, progress=lambda *step: seen.append(step))
    assert report.questions == len(KEEPERS)
    assert report.written is not None and report.written.exists()
    assert len(report.before) == len(report.after) == len(kb.retriever()._rankers.passes)
    assert seen[-1][2:] == (len(KEEPERS), len(KEEPERS))
    assert kb.retriever()._rankers.provenance["questions"] == len(KEEPERS)
    assert kb.doctor() == []
    assert kb.forget_ranker() and not kb.forget_ranker()
    assert [e.id for e in kb.search("Where was the keeper of Finnstone Light born?", effort=3)] == before


def test_what_is_not_better_changes_nothing(kb, questions):
    report = kb.train_ranker(questions)  # two of two are found already
    assert report.written is None or report.after[-1] > report.before[-1]
    kb.forget_ranker()


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{", "line 11"),
        ('{"question": "Who?"}', "supporting_ids"),
        ('{"question": "Who?", "supporting_ids": []}', "at least one"),
        ('{"question": "Who?", "supporting_ids": ["nowhere.md"]}', "nowhere.md"),
    ],
)
def test_questions_that_cannot_be_used_name_their_line(kb, tmp_path, line, says):
    good = json.dumps({"question": "Who kept Corastone Light?", "supporting_ids": ["light2.md"]})
    path = tmp_path / "q.jsonl"
    path.write_text("\n".join([good] * 10 + [line]))
    with pytest.raises(ConfigError, match="line 11") as e:
        kb.train_ranker(path)
    assert says in str(e.value)


def test_too_few_questions_are_refused(kb, tmp_path):
    path = tmp_path / "q.jsonl"
    path.write_text(json.dumps({"question": "Who kept Corastone Light?", "supporting_ids": ["light2.md"]}))
    with pytest.raises(ConfigError, match="1 questions"):
        kb.train_ranker(path)
