"""The whole way from a question to evidence, over a real index in memory."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from mmkg.protocols import Retriever
from mmkg.types import Modality

QUESTION = "Where was the commander of Apollo 11 born?"


def ids(evidence):
    return [e.id for e in evidence]


def test_finds_the_second_hop_that_no_flat_list_finds(apollo):
    found = apollo.retrieve("Apollo 11", k=6)
    assert ids(found)[:2] == ["apollo", "neil"]
    neil = found[1]
    assert "bm25" not in {c.name for c in neil.channels}
    assert str(neil.path) == "Apollo 11 -MENTIONS- Apollo 11 -MENTIONS- Neil Armstrong -MENTIONS- Neil Armstrong"
    assert [s.kind for s in neil.path.steps] == ["entity", "unit", "entity", "unit"]
    assert [s.id for s in neil.path.steps] == ["apollo 11", "apollo", "neil armstrong", "neil"]


def test_one_hop_has_a_short_path(apollo):
    first = apollo.retrieve(QUESTION, k=3)[0]
    assert first.id == "apollo"
    assert [s.kind for s in first.path.steps] == ["entity", "unit"]
    assert first.path.steps[0].via == ""


def test_channels_have_ranks_from_one_and_scores(apollo):
    found = apollo.retrieve(QUESTION, k=6)
    seen = {(c.name, c.rank) for e in found for c in e.channels}
    assert {("walk", 1), ("bm25", 1), ("dense", 1), ("sentences", 1)} <= seen
    assert all(c.score > 0 for e in found for c in e.channels if c.name in ("walk", "bm25"))


def test_scores_do_not_rise(apollo):
    scores = [e.score for e in apollo.retrieve(QUESTION, k=6)]
    assert scores == sorted(scores, reverse=True)
    assert 0 < scores[-1] <= scores[0] <= 1


def test_a_question_without_a_known_entity_is_answered_by_the_flat_lists(apollo):
    ranked = apollo.rank("how long does dough rest")
    assert ranked.name == "fusion"
    assert apollo.view.unit_ids(ranked.units[:1].tolist()) == ["bread"]
    assert apollo.retrieve("how long does dough rest", k=1)[0].path is None


def test_a_sentence_seed_leads_on_to_another_unit(apollo):
    # "Wapakoneta" is not named; the sentence about the museum is near, and its town is where Armstrong was born.
    found = {e.id: e for e in apollo.retrieve("Which museum of a small town has to do with Gemini 8?", k=6)}
    assert "town" in found
    assert found["gemini"].path.steps[0].name == "Gemini 8"


def test_inside_a_long_document_the_words_decide(retriever_of, unit):
    # Every chunk has the same title, so the walk from it holds all alike.
    chunks = [
        unit(f"c{i:02}", f"Chapter {i} is about matters of no weight.", "Annual Report", document="r")
        for i in range(30)
    ]
    chunks[17] = unit("c17", "The auditors were paid forty thousand euros.", "Annual Report", document="r")
    found = retriever_of(chunks).retrieve("What were the auditors paid according to the Annual Report?", k=3)
    assert found[0].id == "c17"
    assert found[0].path.steps[0].name == "Annual Report"


def test_everything_is_ranked_when_k_is_large(apollo):
    assert set(ids(apollo.retrieve(QUESTION, k=100))) >= {"apollo", "neil", "town", "gemini"}
    assert len(apollo.retrieve(QUESTION, k=2)) == 2


@pytest.mark.parametrize("question", ["", "   ", "?!", "zzz qqq"], ids=["empty", "blank", "signs", "unknown"])
def test_questions_that_say_nothing_do_not_fail(apollo, question):
    ranked = apollo.rank(question, k=3)
    assert len(ranked.units) <= 3


@pytest.mark.parametrize("k", [0, -2])
def test_refuses_k_below_one(apollo, k):
    with pytest.raises(ValueError, match="k must be at least 1"):
        apollo.retrieve(QUESTION, k=k)


def test_is_a_retriever(apollo):
    retriever: Retriever = apollo
    assert callable(retriever.retrieve)


def test_same_answer_on_many_threads(apollo):
    def ask(_):
        return [(e.id, e.score, str(e.path), e.channels) for e in apollo.retrieve(QUESTION, k=6)]

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(ask, range(16)))
    assert all(a == answers[0] for a in answers)


def test_works_without_an_encoder(retriever_of, unit):
    units = [unit("a", "Apollo 11 was commanded by Neil Armstrong.", "Apollo 11"), unit("b", "Bread.", "Sourdough")]
    found = retriever_of(units, encode_query=None).retrieve("Who commanded Apollo 11?")
    assert found[0].id == "a"
    assert {c.name for c in found[0].channels} == {"walk", "bm25"}


def test_an_empty_base_gives_nothing(retriever_of, looking_like):
    retriever = retriever_of([])
    assert retriever.retrieve("Who commanded Apollo 11?") == []
    assert retriever.search_like(looking_like("moon")) == []


# ---- Pictures, file names, filters -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def album(retriever_of, unit, image):
    articles = [unit(f"t{i}", f"The moon article number {i} tells of craters.", f"Moon {i}") for i in range(8)]
    return retriever_of(
        [
            *articles,
            image("captioned", "The crater Tycho seen from orbit.", "Tycho", looks_like="grey crater rim"),
            image("bare", looks_like="moon craters photo", file_name="img_0042.jpg"),
            image("named", looks_like="something else", file_name="tycho-crater.jpg"),
        ]
    )


def test_a_bare_picture_stays_out_of_a_question_about_facts(album):
    found = ids(album.retrieve("moon craters", k=6))
    assert "bare" not in found


def test_a_bare_picture_takes_a_third_place_when_the_question_speaks_of_pictures(album):
    found = album.retrieve("Who took the photo of moon craters?", k=6)
    assert ids(found)[2] == "bare"
    assert [c.name for c in found[2].channels] == ["pixels"]
    assert found[2].path is None


def test_a_question_for_a_picture_shows_one_first_and_then_in_turn(album):
    alone = album.retrieve("photo of moon craters", k=3, modalities=frozenset({Modality.IMAGE}))
    found = album.retrieve("photo of moon craters", k=6)
    assert [e.modality for e in found[:5:2]] == [Modality.IMAGE] * 3
    assert ids(found[:5:2]) == ids(alone)
    assert [e.modality for e in found[1:5:2]] == [Modality.TEXT] * 2
    assert all("media" in [c.name for c in e.channels] for e in found[:5:2])
    assert [e.score for e in found] == sorted((e.score for e in found), reverse=True)


def test_asked_for_pictures_alone_there_is_nothing_else(album):
    found = album.retrieve("moon craters", k=6, modalities=frozenset({Modality.IMAGE}))
    assert {e.modality for e in found} == {Modality.IMAGE}
    assert set(ids(found)) == {"captioned", "bare", "named"}


def test_the_filter_reaches_units_beyond_the_depth_of_the_lists(retriever_of, unit, image):
    crowd = [unit(f"t{i:03}", f"The moon, the moon and craters {i}.", f"Moon {i}") for i in range(450)]
    retriever = retriever_of([*crowd, image("far", "A lamp on a desk.", "Lamp")])
    assert ids(retriever.retrieve("the moon", k=3, modalities=frozenset({Modality.IMAGE}))) == ["far"]


def test_a_file_named_in_the_question_is_found(album):
    found = album.retrieve("tycho-crater.jpg", k=4)
    assert "named" in ids(found)
    hit = next(e for e in found if e.id == "named")
    assert next(c for c in hit.channels if c.name == "filename").rank == 1


def test_search_by_picture_gives_the_nearest_first_and_what_it_shows(album, looking_like):
    found = album.search_like(looking_like("grey crater rim"), k=4)
    assert found[0].id == "captioned"
    assert found[0].channels[0].name == "pixels"


# ---- Near-duplicates, reranking, passes --------------------------------------------------------------------------

LONG = "The lander came down in the Sea of Tranquility after a long burn and its crew stepped out a few hours later."


def test_near_copies_fold_into_the_best_and_can_be_kept(retriever_of, unit):
    units = [
        unit("a", LONG, "Lander"),
        unit("b", LONG + " Ok.", "Lander"),
        unit("c", "The lander is on show.", "Lander"),
    ]
    retriever = retriever_of(units)
    folded = retriever.retrieve("Lander", k=3)
    assert len(folded) == 2
    first = next(e for e in folded if e.similar)
    assert {first.id, *first.similar} == {"a", "b"}
    assert set(ids(retriever.retrieve("Lander", k=3, collapse=False))) == {"a", "b", "c"}


def test_folding_does_not_cost_places(retriever_of, unit):
    copies = [unit(f"copy{i}", LONG, "Lander") for i in range(5)]
    others = [unit(f"other{i}", f"Lander facts of chapter {i}: {'abc' * (i + 1)}.", "Lander") for i in range(4)]
    assert len(retriever_of(copies + others).retrieve("Lander", k=5)) == 5


def test_a_reranker_sees_all_and_decides(apollo, retriever_of):
    class Backwards:
        def rerank(self, question, evidence):
            assert question == QUESTION
            return list(reversed(evidence))

    units = apollo.view.units
    plain = ids(retriever_of(units).retrieve(QUESTION, k=6))
    assert ids(retriever_of(units, reranker=Backwards()).retrieve(QUESTION, k=6)) == plain[::-1]


def test_units_that_vanished_from_the_store_are_left_out(apollo, retriever_of, reader_class):
    class Forgetful(reader_class):
        def read(self, ids):
            return [e for e in super().read(ids) if e.id != "neil"]

    units = apollo.view.units
    found = retriever_of(units, reader=Forgetful(apollo.view)).retrieve("Apollo 11", k=6)
    assert "neil" not in ids(found)
    assert found[0].id == "apollo"


def test_reads_units_in_two_calls_at_most(apollo, retriever_of, reader_class):
    reader = reader_class(apollo.view)
    retriever_of(apollo.view.units, reader=reader).retrieve(QUESTION, k=3)
    assert len(reader.asked) <= 2


def test_timings_name_the_steps(apollo):
    timings: dict[str, float] = {}
    apollo.retrieve(QUESTION, timings=timings)
    assert {"encode", "link", "bm25", "dense", "sentences", "walk", "order", "read", "collapse", "paths"} <= set(
        timings
    )


def test_many_near_copies_of_one_passage_leave_room_for_others(retriever_of, unit):
    long = "Ottoline Brask ordered the Sorrel Lens for Korvane Light in the year 1885 and paid for it with the herring money"
    copies = [unit(f"c{n:02}", f"{long} of {n} boats.", "Sorrel Lens") for n in range(50)]
    other = unit("o", "The Sorrel Lens was ground by Mirela Dusk.", "Mirela Dusk")
    hits = retriever_of([*copies, other]).retrieve("Who ordered the Sorrel Lens of Ottoline Brask?", k=3)
    assert "o" in [h.id for h in hits]
    assert len(hits) >= 2 and max(len(h.similar) for h in hits) >= 20


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_can_ask():
    """The encoder's threads stay with the parent; a child that waited for them would never answer."""
    code = """
import os, signal, sys
from mmkg.retrieve import retriever
retriever._pool().submit(int).result()
child = os.fork()
if child == 0:
    signal.alarm(30)
    os._exit(retriever._pool().submit(int).result())
sys.exit(os.waitpid(child, 0)[1])
"""
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
