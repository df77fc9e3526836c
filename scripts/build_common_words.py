"""Build mmkg/algorithms/common_words.txt: words written in lower case more often than with a capital inside sentences.

    python scripts/build_common_words.py --data FOLDER [--min-count 2]

FOLDER holds the training corpora (musique_train, hotpotqa_train, 2wikimultihopqa_train, each with corpus.jsonl.gz of
title and text). A fixed list, not a count kept in each base, so that a unit's entities do not depend on other documents.
"""

from __future__ import annotations

import argparse
import gzip
import json
from collections import Counter
from pathlib import Path

from mmkg.algorithms.names import begins_sentence, tokenize
from mmkg.algorithms.words import STOP

SETS = ("musique_train", "hotpotqa_train", "2wikimultihopqa_train")
TARGET = Path(__file__).parents[1] / "mmkg" / "algorithms" / "common_words.txt"


def common_words(texts: set[str], min_count: int) -> list[str]:
    """Folded words seen at least min_count times in lower case and more often so than capitalised inside a sentence."""
    lower: Counter[str] = Counter()
    capital: Counter[str] = Counter()
    for text in texts:
        for token in tokenize(text):
            surface = text[token.start : token.end]
            if not token.folded.isalpha():
                continue
            if surface.islower():
                lower[token.folded] += 1
            elif not begins_sentence(text, token.start):
                capital[token.folded] += 1
    return sorted(w for w, n in lower.items() if n >= min_count and n > capital[w] and len(w) > 1 and w not in STOP)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--min-count", type=int, default=2)
    parser.add_argument("--output", type=Path, default=TARGET)
    args = parser.parse_args()
    texts: set[str] = set()
    for name in SETS:
        with gzip.open(args.data / name / "corpus.jsonl.gz", "rt", encoding="utf-8") as lines:
            texts.update(json.loads(line)["text"] for line in lines)
    words = common_words(texts, args.min_count)
    args.output.write_text("\n".join(words) + "\n", encoding="utf-8")
    print(f"{len(texts)} texts, {len(words)} words, {args.output.stat().st_size} bytes")


if __name__ == "__main__":
    main()
