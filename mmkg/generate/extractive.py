"""Answers without a model: the sentences of the evidence that bear on the question together, each cited."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mmkg.generate.chain import Chain, find_chains
from mmkg.generate.cite import NOT_FOUND, CitationBook, render
from mmkg.generate.pool import Pool, Sentence, read_pool
from mmkg.generate.question import Question, read_question
from mmkg.generate.short import Candidate, candidates
from mmkg.protocols import Encoder, Extractor
from mmkg.types import Answer, AnswerSentence, Evidence, NameSpan

THRESHOLD = 0.45
"""Support below which the answer is "not found"; fixed on the train sets, see docs/answers.md."""
SHORT_THRESHOLD = 0.5
ENCODED = 32
"""Sentences that are encoded for one question, at most."""
_CHAINS = 6

SentenceCosines = Callable[[str, Sequence[Evidence]], Sequence[Sequence[float]]]


@dataclass(frozen=True, slots=True)
class Short:
    """A short answer and where it stands: index of the sentence in the pool."""

    text: str
    sentence: int
    score: float


class ExtractiveGenerator:
    """The sentences of the evidence that answer a question, with a short answer in front where a rule can give one.

    encoder: of words; without it only words are compared. extractor: labels names; without it a name's kind is unknown.
    cosines: (question, evidence) -> for each evidence the cosine of the question with each of its `sentences`; where a store
    keeps these vectors, nothing is encoded here. threshold: support below which the answer is "not found".
    Deterministic; calls no model but these two.
    """

    name = "extractive"

    def __init__(
        self,
        *,
        encoder: Encoder | None = None,
        extractor: Extractor | None = None,
        cosines: SentenceCosines | None = None,
        threshold: float = THRESHOLD,
    ) -> None:
        self._encoder, self._extractor, self._cosines = encoder, extractor, cosines
        self._threshold = threshold

    def generate(self, question: str, evidence: Sequence[Evidence]) -> Answer:
        """An answer from the evidence, or found=False with the text "not found in the base"."""
        evidence = tuple(evidence)
        names = self._extractor.extract([question])[0] if self._extractor is not None else []
        asked = read_question(question, names)
        pool = read_pool(asked, evidence)
        cosines = self._similar(question, asked, pool, evidence)
        chains = find_chains(asked, pool, cosines=cosines, typed=lambda s: bool(candidates(asked, s.text)))
        if not chains:
            return self._nothing(question, evidence)
        chosen = self._labelled(pool, chains[:_CHAINS])
        short, chain = _best_short(asked, pool, chains[:_CHAINS], chosen)
        if support(asked, pool, chain, short) < self._threshold:
            return self._nothing(question, evidence)
        return _written(question, evidence, pool, chain, short)

    def _nothing(self, question: str, evidence: tuple[Evidence, ...]) -> Answer:
        return Answer(question=question, text=NOT_FOUND, found=False, evidence=evidence, model=self.name)

    def _similar(self, question: str, asked: Question, pool: Pool, evidence: Sequence[Evidence]) -> list[float] | None:
        if not pool.sentences:
            return None
        if self._cosines is not None:
            rows = self._cosines(question, evidence)
            return [float(rows[s.unit][s.place]) if s.place < len(rows[s.unit]) else 0.0 for s in pool.sentences]
        if self._encoder is None:
            return None
        order = sorted(
            range(len(pool.sentences)),
            key=lambda i: (-pool.covered(pool.sentences[i].cover) - 0.2 / (1 + pool.sentences[i].unit), i),
        )[:ENCODED]
        texts = [f"{s.title}: {s.text}" if s.title else s.text for s in (pool.sentences[i] for i in order)]
        query = self._encoder.encode_query([question])[0]
        out = [0.0] * len(pool.sentences)
        for i, cosine in zip(order, (self._encoder.encode_document(texts) @ query).tolist(), strict=True):
            out[i] = float(cosine)
        return out

    def _labelled(self, pool: Pool, chains: Sequence[Chain]) -> dict[int, list[NameSpan]]:
        """Names of the sentences on the best chains."""
        held = sorted({i for chain in chains for i in chain.sentences})
        if self._extractor is None:
            return {i: [] for i in held}
        return dict(zip(held, self._extractor.extract([pool.sentences[i].text for i in held]), strict=True))


def _best_short(
    asked: Question, pool: Pool, chains: Sequence[Chain], names: dict[int, list[NameSpan]]
) -> tuple[Short | None, Chain]:
    """The best short answer and the chain that it stands in; without one, the best chain."""
    best: tuple[float, Short, Chain] | None = None
    for chain in chains:
        for place, i in enumerate(chain.sentences):
            sentence = pool.sentences[i]
            for candidate in candidates(asked, sentence.text, names[i]):
                score = _worth(asked, sentence, candidate, chain, place)
                total = chain.score + 0.5 * score
                if best is None or total > best[0]:
                    best = (total, Short(candidate.text, i, score), chain)
    if best is None or best[1].score < SHORT_THRESHOLD:
        return None, chains[0]
    return best[1], best[2]


def _worth(asked: Question, sentence: Sentence, candidate: Candidate, chain: Chain, place: int) -> float:
    """0..1: how likely a phrase is what was asked, given its chain."""
    from mmkg.algorithms.names import canon

    near = sum(w * c for w, c in zip(asked.weights, sentence.cover, strict=True)) / (sum(asked.weights) or 1.0)
    score = 0.6 * candidate.fit + 0.4 * near
    name = canon(candidate.text)
    if name in chain.bridges and place < len(chain.sentences) - 1:
        score -= 0.3
    if place == len(chain.sentences) - 1:
        score += 0.1
    return score


def support(asked: Question, pool: Pool, chain: Chain, short: Short | None) -> float:
    """0..1: how far a chain bears on the whole question."""
    named = [any(pool.sentences[i].has(name) for i in chain.sentences) for name in asked.names]
    missing = named.count(False) / len(named) if named else 0.0
    return chain.score * (1.0 - 0.5 * missing) + (0.1 if short is not None else 0.0)


def _written(question: str, evidence: tuple[Evidence, ...], pool: Pool, chain: Chain, short: Short | None) -> Answer:
    book = CitationBook(evidence)
    sentences = []
    lead = ""
    for i in chain.sentences:
        held = pool.sentences[i]
        marker = book.cite(evidence[held.unit].id, held.span, "supported")
        sentences.append(AnswerSentence(text=" ".join(held.text.split()), citations=(marker,)))
        if short is not None and i == short.sentence:
            lead = f"{short.text} [{marker}]."
    return Answer(
        question=question,
        text=render(sentences, lead=lead),
        found=True,
        short=short.text if short is not None else "",
        sentences=tuple(sentences),
        citations=book.citations(),
        evidence=evidence,
        model=ExtractiveGenerator.name,
    )
