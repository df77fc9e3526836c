"""Build mmkg/algorithms/common_words.txt: words written in lower case more often than as a name of one word.

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

from mmkg.algorithms.names import Token, begins_sentence, tokenize
from mmkg.algorithms.words import STOP

SETS = ("musique_train", "hotpotqa_train", "2wikimultihopqa_train")
TARGET = Path(__file__).parents[1] / "mmkg" / "algorithms" / "common_words.txt"


def common_words(texts: set[str], min_count: int) -> list[str]:
    """Folded words seen at least min_count times in lower case, and more often so than with a capital inside sentences.

    Or seen 20 times and more, and four times as often as with a capital that has no other beside it: "Hudson River"
    and "Brooklyn Museum" do not make names of "River" and "Museum".
    """
    lower: Counter[str] = Counter()
    capital: Counter[str] = Counter()
    alone: Counter[str] = Counter()
    for text in texts:
        tokens = tokenize(text)
        for i, token in enumerate(tokens):
            if not token.folded.isalpha():
                continue
            if text[token.start : token.end].islower():
                lower[token.folded] += 1
            elif not begins_sentence(text, token.start):
                capital[token.folded] += 1
                alone[token.folded] += not _beside_capital(text, tokens, i)
    return sorted(
        word
        for word, n in lower.items()
        if (n > capital[word] or (n >= 20 and n >= 4 * alone[word]))
        and n >= min_count
        and len(word) > 1
        and word not in STOP
    )


def _beside_capital(text: str, tokens: list[Token], i: int) -> bool:
    before = i > 0 and tokens[i].joins and text[tokens[i - 1].start].isupper()
    after = i + 1 < len(tokens) and tokens[i + 1].joins and text[tokens[i + 1].start].isupper()
    return before or after


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
