"""Metrics against oracles written another way, and cases whose score is plain."""

from __future__ import annotations

import random
from functools import cache

import pytest
from scipy.stats import binomtest

from pasctl.memory.benchmarks.metrics import (
    BINARY,
    METRICS,
    bootstrap,
    f1,
    longest_common,
    mean_score,
    words,
)


def lcs_by_recursion(a: str, b: str) -> int:
    @cache
    def at(i: int, j: int) -> int:
        if not i or not j:
            return 0
        return at(i - 1, j - 1) + 1 if a[i - 1] == b[j - 1] else max(at(i - 1, j), at(i, j - 1))

    return at(len(a), len(b))


def test_the_longest_common_subsequence_is_that_of_the_recursion() -> None:
    rng = random.Random(0)
    for _ in range(200):
        a, b = ("".join(rng.choices("abc", k=rng.randrange(12))) for _ in range(2))
        assert longest_common(a, b) == lcs_by_recursion(a, b)


def test_f1_is_precision_and_recall() -> None:
    rng = random.Random(1)
    for _ in range(200):
        reply, expected = (rng.choices("abcd", k=rng.randrange(1, 8)) for _ in range(2))
        rest, hits = list(expected), 0
        for word in reply:
            if word in rest:
                rest.remove(word)
                hits += 1
        precision, recall = hits / len(reply), hits / len(expected)
        oracle = 2 * precision * recall / (precision + recall) if hits else 0.0
        assert f1(reply, expected) == pytest.approx(oracle)


def test_words_are_normalised() -> None:
    assert words("The Harbour-Master's, a  BELL!") == ["harbourmasters", "bell"]
    assert words("北京 is 好。") == ["北", "京", "is", "好"]
    assert words("") == words("the ...") == []


CLASSES = ["Cat", "Catfish", "Dog"]
CHOICES = ["red", "red brick", "blue", "green"]


@pytest.mark.parametrize(
    ("metric", "reply", "expected", "choices", "score"),
    [
        ("f1", "Anna", ["The Anna."], [], 1.0),
        ("f1", "Anna Berg", ["Anna", "Berg Anna"], [], 1.0),
        ("f1", "Anna Berg", ["Anna"], [], 2 / 3),
        ("f1", "在北京", ["北京"], [], 0.8),
        ("f1", "", ["Anna"], [], 0.0),
        ("f1", "Anna", [], [], 0.0),
        ("rouge-l", "a b c d", ["a x c d"], [], 0.75),
        ("rouge-l", "北京好", ["北京"], [], 0.8),
        ("rouge-l", "", ["a"], [], 0.0),
        ("classification", "It is a Catfish", ["Catfish"], CLASSES, 1.0),
        ("classification", "Cat or Dog", ["Cat"], CLASSES, 0.5),
        ("classification", "Dog", ["Cat"], CLASSES, 0.0),
        ("classification", "", ["Cat"], CLASSES, 0.0),
        ("retrieval", "Paragraph 12", ["Paragraph 12"], [], 1.0),
        ("retrieval", "Paragraph 12 or 3", ["段落12"], [], 0.5),
        ("retrieval", "none", ["Paragraph 12"], [], 0.0),
        ("count", "There are 7.", ["7"], [], 1.0),
        ("count", "17", ["7"], [], 0.0),
        ("code", "\n# a comment\nreturn x + 1\nmore", ["return x + 1"], [], 1.0),
        ("code", "abcd", ["abce"], [], 0.75),
        ("code", "", ["x"], [], 0.0),
        ("match-all", "8231745 and ten", ["8231745", "TEN", "11", "x9"], [], 0.5),
        ("match-all", "8231745", [], [], 0.0),
        ("match-part", "it was anna", ["Anna", "Bert"], [], 1.0),
        ("match-part", "it was Carl", ["Anna", "Bert"], [], 0.0),
        ("words", "the kitchen.", ["kitchen"], ["kitchen", "garden"], 1.0),
        ("words", "kitchen or garden", ["kitchen"], ["kitchen", "garden"], 0.0),
        ("words", "kitchens", ["kitchen"], [], 0.0),
        ("words", "apple", ["apple", "milk"], [], 0.0),
        ("exact", "The Anna!", ["anna"], [], 1.0),
        ("exact", "It was Anna", ["anna"], [], 0.0),
        ("choice", "B", ["red brick"], CHOICES, 1.0),
        ("choice", "(B) red brick", ["red brick"], CHOICES, 1.0),
        ("choice", "The correct answer is C.", ["blue"], CHOICES, 1.0),
        ("choice", "The answer is: B", ["blue"], CHOICES, 0.0),
        ("choice", "red brick, I think", ["red brick"], CHOICES, 1.0),
        ("choice", "red brick, I think", ["red"], CHOICES, 0.0),
        ("choice", "blue or green", ["blue"], CHOICES, 0.0),
        ("choice", "A blue one", ["blue"], CHOICES, 1.0),
        ("choice", "Because it was blue", ["blue"], CHOICES, 1.0),
        ("choice", "", ["blue"], CHOICES, 0.0),
        ("similarity", "x9 a poem", ["x9 a poem"], ["x9"], 1.0),
        ("similarity", "a poem", ["x9 a poem"], ["x9"], 0.0),
        ("similarity", "abcd", ["abce"], [], 0.75),
    ],
)
def test_scores(metric: str, reply: str, expected: list[str], choices: list[str], score: float) -> None:
    assert METRICS[metric](reply, expected, choices) == pytest.approx(score)


@pytest.mark.parametrize("metric", METRICS)
def test_scores_are_shares_and_silence_scores_nothing(metric: str) -> None:
    rng = random.Random(2)
    parts = ["Cat", "Dog", "7", "12", "北京", "A", "B.", "x = 1", "\n", "the"]
    for _ in range(100):
        reply = " ".join(rng.choices(parts, k=rng.randrange(6)))
        score = METRICS[metric](reply, rng.sample(parts[:5], 2), parts[:5])
        assert 0.0 <= score <= 1.0
        assert metric not in BINARY or score in (0.0, 1.0)
    assert METRICS[metric]("", ["Cat"], ["Cat", "Dog"]) == 0.0


@pytest.mark.parametrize(("right", "trials"), [(0, 5), (3, 7), (20, 20), (78, 80)])
def test_shares_have_wilsons_interval(right: int, trials: int) -> None:
    oracle = binomtest(right, trials).proportion_ci(0.95, method="wilson")
    bounds = mean_score([1.0] * right + [0.0] * (trials - right))["interval"]
    assert bounds == pytest.approx([oracle.low, oracle.high], abs=2e-4)


def test_graded_scores_have_a_bootstrap_that_does_not_depend_on_order() -> None:
    scores = [0.1, 0.5, 0.9, 0.3, 0.7, 0.25]
    low, high = bootstrap(scores)
    assert bootstrap(scores[::-1]) == (low, high)
    assert 0.1 < low < sum(scores) / 6 < high < 0.9
    assert mean_score([0.5, 0.25]) == {"score": 0.375, "interval": None}
