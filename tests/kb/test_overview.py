"""Questions about the whole: themes are those of the generation that is read, quoted word for word, and filters hold."""

from __future__ import annotations

import json

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from mmkg.algorithms.communities import louvain
from mmkg.overview import FILE

SEA = ("Grey Petrel", "Harbour Mill", "Captain Olsen", "Port Ferren")
SKY = ("Mount Arden", "Lens Works", "Doctor Vale", "Comet Lyra")
PAIRS = [(0, 1), (0, 2), (1, 2), (2, 3), (1, 3), (0, 3)]


def fill(write):
    """Two themes that share no name, the first of more units; and a word that stands everywhere."""
    files = []
    for theme, names, n in (("sea", SEA, 6), ("sky", SKY, 4)):
        for i, (a, b) in enumerate(PAIRS[:n]):
            text = f"# {theme} note {i}\n\n{names[a]} was always seen near {names[b]}, as people in Norland say.\n"
            files.append(write(f"{theme}{i}.md", text))
    return files


@pytest.fixture
def kb(make_kb, write):
    kb = make_kb()
    kb.add(*fill(write))
    return kb


def test_themes_are_told_apart(kb) -> None:
    found = kb.communities()
    assert [c.number for c in found] == [1, 2]
    first, second = ({name for _, name in c.entities} for c in found)
    assert set(SEA) <= first and set(SKY[:3]) <= second, "the fourth is named once"
    assert not first & second
    assert [(c.n_units, c.n_documents) for c in found] == [(6, 6), (4, 4)]
    units = [set(c.units) for c in found]
    assert all(units) and not units[0] & units[1]


def test_a_question_about_the_whole_is_answered_with_quotes(kb) -> None:
    answer = kb.ask("What are the main themes of this archive?", mode="global")
    assert answer.found and len(answer.sentences) == len(answer.citations) == 2
    assert "Grey Petrel" in answer.sentences[0].text and "6 units in 6 documents" in answer.sentences[0].text
    for citation in answer.citations:
        text = kb.document_text(citation.document.id)
        assert text[slice(*citation.locator.chars)] == citation.quote
        assert citation.evidence in {e.id for e in answer.evidence}
    named = kb.ask("What does the archive say of Doctor Vale?", mode="global")
    assert "Doctor Vale" in named.sentences[0].text or "Mount Arden" in named.sentences[0].text, (
        "what is named comes first"
    )


def test_hits_of_all_themes_and_filters_hold(kb) -> None:
    hits = kb.search("What is it all about?", mode="global", k=4)
    assert [h.channels[0].name for h in hits] == ["community"] * 4
    assert {h.channels[0].rank for h in hits} == {1, 2}
    assert all(h.path is not None and 0 < h.score <= 1 for h in hits)
    only = kb.search("What is it all about?", mode="global", k=9, where="document=sky*")
    assert only and all("sky" in h.document.uri for h in only)
    assert kb.search("What is it all about?", mode="global", modality="image") == []
    assert not kb.ask("What is it all about?", mode="global", where="document=nothing*").found


def test_themes_are_those_of_the_newest_generation(kb, write) -> None:
    before = kb.communities()
    assert json.loads((kb.root / FILE).read_text())["communities"] == [c.to_json() for c in before]
    kb.tag("sea0.md", put=["a=b"])
    kept = (kb.root / FILE).stat().st_mtime_ns
    assert kb.communities() == before and (kb.root / FILE).stat().st_mtime_ns == kept, (
        "the same arrays, the same themes"
    )
    kb.remove(*[f"sky{i}.md" for i in range(4)])
    after = kb.communities()
    assert [set(n for _, n in c.entities) >= set(SEA) for c in after] == [True]
    (kb.root / FILE).write_text("{broken")
    assert kb.communities() == after
    kb.compact()
    assert not (kb.root / FILE).exists(), "names of what was removed are not kept"


def test_a_base_built_otherwise_has_the_same_themes(kb, make_kb, write, tmp_path) -> None:
    other = make_kb(tmp_path / "other", batch_units=1)
    other.add(*reversed(fill(write)), write("more.md", "# More\n\nOther words.\n"))
    other.remove("more.md")
    assert other.communities() == kb.communities()
    other.rebuild()
    (other.root / FILE).unlink()
    assert other.communities() == kb.communities()


def test_a_base_without_themes_says_so(make_kb, write) -> None:
    kb = make_kb()
    kb.add(write("a.txt", "only words here and nothing that has a name\n"))
    assert kb.communities() == []
    answer = kb.ask("What is it about?", mode="global")
    assert not answer.found and answer.text
    assert kb.search("What is it about?", mode="global") == []


def test_global_stands_alone(kb) -> None:
    with pytest.raises(ValueError, match="stands alone"):
        kb.search("x", mode=["global", "dense"])


@settings(max_examples=40, deadline=None)
@given(
    edges=st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12), st.integers(1, 5)), max_size=40),
    seed=st.integers(0, 3),
)
def test_louvain_is_a_partition_and_repeatable(edges, seed) -> None:
    weights = sp.lil_matrix((13, 13))
    for a, b, w in edges:
        if a != b:
            weights[a, b] = weights[b, a] = w
    weights = weights.tocsr()
    groups = louvain(weights, seed=seed)
    members = np.concatenate(groups) if groups else np.zeros(0, dtype=int)
    assert sorted(members.tolist()) == np.flatnonzero(np.asarray(weights.sum(axis=1)).ravel() > 0).tolist()
    assert [g.tolist() for g in groups] == [g.tolist() for g in louvain(weights, seed=seed)]
    joined, _n = sp.csgraph.connected_components(weights)[::-1]
    assert all(len(set(joined[g])) == 1 for g in groups), "no group spans parts without a path between them"


@pytest.mark.neo4j
def test_the_same_themes_on_a_server(kb, neo4j_url, tmp_path, monkeypatch) -> None:
    from mmkg.kb import KnowledgeBase

    monkeypatch.setenv("MMKG_CACHE", str(tmp_path / "cache"))
    with KnowledgeBase(
        f"{neo4j_url}?media={(tmp_path / 'media').as_uri()}",
        settings=kb.settings,
        text_encoder=kb.text_encoder,
        extractor=kb.extractor,
    ) as server:
        kb.copy_to(server)
        assert server.communities() == kb.communities()
        question = "What are the main themes?"
        assert server.ask(question, mode="global").text == kb.ask(question, mode="global").text
