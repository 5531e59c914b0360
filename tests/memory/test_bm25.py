"""BM25 against its formula written term by term, and what the baseline keeps of a text."""

from __future__ import annotations

import math
import random
import re
from itertools import pairwise

import pytest

from pasctl.memory.bm25 import K1, PIECE_TOKENS, B, bm25, piece_bounds, select_tokens
from pasctl.memory.tasks.filler import varied


def oracle(pieces: list[str], question: str) -> list[float]:
    split = [piece.lower().split() for piece in pieces]
    mean = sum(map(len, split)) / len(split)
    scores = []
    for words in split:
        score = 0.0
        for term in set(question.lower().split()):
            n = sum(term in other for other in split)
            idf = math.log(1 + (len(split) - n + 0.5) / (n + 0.5))
            tf = words.count(term)
            score += idf * tf * (K1 + 1) / (tf + K1 * (1 - B + B * len(words) / mean))
        scores.append(score)
    return scores


def test_scores_are_the_formula() -> None:
    rng = random.Random(0)
    for _ in range(30):
        pieces = [" ".join(rng.choices("abcdef", k=rng.randrange(1, 12))) for _ in range(8)]
        question = " ".join(rng.choices("abcdefg", k=4))
        assert bm25(pieces, question).tolist() == pytest.approx(oracle(pieces, question))


def test_empty_pieces_and_questions_score_nothing() -> None:
    assert bm25([], "a").tolist() == []
    assert bm25(["", ""], "a").tolist() == [0.0, 0.0]
    assert bm25(["a"], "?!").tolist() == [0.0]
    assert bm25(["北京很大", "上海"], "北京?")[0] > 0


def tokens(text: str) -> list[int]:
    return [match.start() for match in re.finditer(r"\S+\s*", text)]


def test_the_piece_with_the_answer_is_kept_within_the_budget() -> None:
    sentences = [sentence for sentence, _ in zip(varied(random.Random(0)), range(400), strict=False)]
    needle = "The zeppelin of Quimper is called Ottokar."
    text = " ".join([*sentences[:200], needle, *sentences[200:]])
    starts = tokens(text)
    kept = select_tokens(text, starts, "What is the zeppelin of Quimper called?", first=10, budget=200, last=50)
    words = text.split()
    assert kept == sorted(set(kept))
    assert kept[:10] == list(range(10))
    assert kept[-50:] == list(range(len(words) - 50, len(words)))
    assert 200 - PIECE_TOKENS < len(kept) - 60 <= 200
    assert needle in " ".join(words[place] for place in kept)


def test_pieces_cover_the_text_and_end_at_sentences() -> None:
    text = " ".join(sentence for sentence, _ in zip(varied(random.Random(1)), range(60), strict=False))
    bounds = piece_bounds(text, tokens(text))
    assert bounds[0] == 0
    assert bounds[-1] == len(tokens(text))
    sizes = [stop - start for start, stop in pairwise(bounds)]
    assert all(PIECE_TOKENS // 2 <= size <= PIECE_TOKENS for size in sizes[:-1])
    assert all(text[: tokens(text)[bound]].rstrip().endswith(".") for bound in bounds[1:-1])
    assert piece_bounds("", []) == [0]


def test_a_short_text_is_kept_whole() -> None:
    assert select_tokens("a b c", [0, 2, 4], "a", first=1, budget=1, last=1) == [0, 1, 2]
