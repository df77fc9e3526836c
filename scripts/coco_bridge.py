"""What pixels, a bridge fitted on captions, stored captions and their joins find: COCO captions, tuned and measured on dev pictures alone.

    python scripts/coco_bridge.py SETS/coco_captions

A question is a caption that is not stored; all pictures of the set compete. Maps are fitted by cross-validation over the dev pictures, on the first
caption of each, as `mmkg train bridge` has it; sizes are drawn from the four other folds. Cosines are of the packaged models.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
from PIL import Image

from mmkg.algorithms.bm25 import bm25_scores
from mmkg.algorithms.fusion import fuse
from mmkg.algorithms.terms import terms
from mmkg.config import Settings
from mmkg.encode.bridge import BridgeEncoder
from mmkg.encode.fitted import FittedEncoder
from mmkg.encode.registry import load_image_encoder, load_text_encoder
from mmkg.fitting import Pairs, fit
from mmkg.ingest.ocr import read_words
from mmkg.retrieve.order import with_pixels
from mmkg.retrieve.walk import RankedList

FOLDS = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--contrastive", action="store_true", help="also the contrastive variant (torch)")
    options = parser.parse_args()
    rows = [json.loads(line) for line in (options.folder / "images.jsonl").read_text().splitlines()]
    asked = [json.loads(line) for line in (options.folder / "questions_dev.jsonl").read_text().splitlines()]
    text = load_text_encoder(Settings(device="cpu"))
    bridge = load_image_encoder(Settings(device="cpu"), text=text)
    assert isinstance(bridge, BridgeEncoder)
    begun = time.process_time()
    logits, features = bridge.look([(options.folder / r["file"]).read_bytes() for r in rows])
    print(f"{len(rows) / (time.process_time() - begun):.1f} pictures a second of processor time")
    captions = text.encode_document([r["captions"][0] for r in rows])
    questions = text.encode_query([q["question"] for q in asked])
    at = {r["id"]: i for i, r in enumerate(rows)}
    gold = np.array([at[q["supporting_ids"][0]] for q in asked])
    pairs = Pairs(media=tuple(r["id"] for r in rows), logits=logits, features=features, captions=captions)
    plain = bridge.vectors(logits)
    words = bm25_of([r["captions"][0] for r in rows], [q["question"] for q in asked])

    def show(name: str, ranks: np.ndarray) -> None:
        print(f"{name:44} " + " / ".join(f"{100 * np.mean(ranks < k):5.1f}" for k in (1, 5, 10)), flush=True)

    def ranks_of(scores: np.ndarray) -> np.ndarray:
        return (scores > scores[np.arange(len(gold)), gold][:, None]).sum(axis=1)

    def joined(first: np.ndarray, second: np.ndarray, least: float = -1.0) -> np.ndarray:
        places = []
        for a, b, wanted in zip(first, second, gold, strict=True):
            lists = [RankedList("x", np.argsort(-s, kind="stable"), np.sort(-s)) for s in (a, b)]
            lists[0] = lists[0].only(np.flatnonzero(a[lists[0].units] > least))
            places.append(int(np.flatnonzero(with_pixels(*lists).units == wanted)[0]))
        return np.array(places)

    read = [words_in(options.folder / r["file"]) for r in rows]
    print(f"words are read in {sum(map(bool, read))} of {len(rows)} pictures\nrecall@1 / 5 / 10")
    show("chance", np.tile(np.arange(len(rows)), 2))
    pixels, stored = questions @ plain.T, questions @ captions.T
    show("pixels: label bridge", ranks_of(pixels))
    printed = bm25_of(read, [q["question"] for q in asked])
    show("words in the picture (OCR): BM25", ranks_of(printed))
    show("words in the picture and label bridge, by rank", joined(printed, pixels, least=0.0))
    dev = np.array([i for i, r in enumerate(rows) if r["part"] == "dev"])
    folds = [np.random.default_rng(0).permutation(dev)[i::FOLDS] for i in range(FOLDS)]
    by_map = pixels.copy()
    for method in ("ridge", "contrastive") if options.contrastive else ("ridge",):
        for size in (50, 100, 190):
            drawn = []
            for seed in range(1 if size == 190 else 3):
                scores = np.zeros_like(pixels)
                for number, fold in enumerate(folds):
                    rest = np.setdiff1d(dev, fold)
                    some = np.random.default_rng(100 * seed + number).permutation(rest)[:size]
                    vectors = FittedEncoder(bridge, fit(pairs, some.tolist(), method)).vectors(logits, features)
                    mine = np.isin(gold, fold)
                    scores[mine] = questions[mine] @ vectors.T
                drawn.append(ranks_of(scores))
            show(f"pixels: fitted, {method}, {size} captioned pictures", np.concatenate(drawn))
            by_map = scores if method == "ridge" else by_map
    show("caption 1: BM25", ranks_of(words))
    show("caption 1: MiniLM", ranks_of(stored))
    fused = []
    for a, b, wanted in zip(words, stored, gold, strict=True):
        units = fuse([np.argsort(-a, kind="stable"), np.argsort(-b, kind="stable")])[0]
        fused.append(int(np.flatnonzero(units == wanted)[0]))
    show("caption 1: both by rank", np.array(fused))
    for name, other in (("label bridge", pixels), ("fitted", by_map)):
        show(f"caption 1 (MiniLM) and {name}, by rank", joined(stored, other))
        for share in (0.25, 0.5):
            show(f"caption 1 (MiniLM) + {share} {name}, cosines", ranks_of(stored + share * other))


def words_in(path: Path) -> str:
    with Image.open(path) as image:
        return " ".join(line.text for line in read_words(image.convert("RGB")))


def bm25_of(documents: list[str], questions: list[str]) -> np.ndarray:
    """(n questions, n documents) scores."""
    held = [terms(d) for d in documents]
    lengths = np.array([len(d) for d in held], dtype=np.int32)

    def postings(term: str) -> tuple[np.ndarray, np.ndarray]:
        found = [(i, d.count(term)) for i, d in enumerate(held) if term in d]
        table = np.array(found, dtype=np.int32).reshape(-1, 2)
        return table[:, 0], table[:, 1]

    # Ties are broken by a hair, or pictures that share no word with the question would all count as ahead of none.
    return np.stack([bm25_scores(terms(q), postings, lengths) for q in questions]) - 1e-9 * np.arange(len(documents))


if __name__ == "__main__":
    main()
