"""Where the walk starts: at the entities that the question names, and at those of the sentences nearest to it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mmkg.algorithms.pagerank import Float64Array, WalkGraph
from mmkg.protocols import FloatArray, IndexView, IntArray

SENTENCES = 10
SENTENCE_WEIGHT = 0.3
EXPONENT = 4


def question_seeds(graph: WalkGraph, entities: Sequence[int]) -> Float64Array:
    """(n_entities,) r_Q(e) = idf(e) for the entities of the question, sum 1; all 0 if there are none."""
    out = np.zeros(graph.n_entities)
    held = np.unique(np.asarray(entities, dtype=np.int64))
    out[held] = graph.idf[held]
    return _normalised(out)


def sentence_seeds(view: IndexView, graph: WalkGraph, sentences: IntArray, cosines: FloatArray) -> Float64Array:
    """(n_entities,) r_S(e) = sum over the sentences t that name e of max(cos(q, t), 0)^4 x idf(e) / |entities of t|, sum 1.

    sentences: the nearest to the question, best first; the first SENTENCES count. The sharp exponent keeps a few close
    sentences ahead of many distant ones. All 0 if no sentence names an entity.
    """
    out = np.zeros(graph.n_entities)
    table = view.sentence_entities
    for sentence, cosine in zip(sentences[:SENTENCES], cosines[:SENTENCES], strict=True):
        held = table.indices[table.indptr[sentence] : table.indptr[sentence + 1]]
        if len(held) and cosine > 0:
            out[held] += float(cosine) ** EXPONENT * graph.idf[held] / len(held)
    return _normalised(out)


def restart(question: Float64Array, sentences: Float64Array, *, weight: float = SENTENCE_WEIGHT) -> Float64Array:
    """(n_entities,) the two kinds of seeds joined: question + weight x sentences.

    What the question names leads; a larger weight of the sentences was measured to push the first places down.
    """
    return question + weight * sentences


def _normalised(weights: Float64Array) -> Float64Array:
    total = weights.sum()
    return weights / total if total > 0 else weights
