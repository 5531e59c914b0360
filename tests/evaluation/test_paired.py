"""The paired bootstrap equals a naive one, covers, and knows no interval where there is none."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import matthews_corrcoef

from pasctl.evaluation.paired import DRAWS, paired_difference, pooled_difference

RNG = np.random.default_rng(3)
HITS = [[float(hit) for hit in RNG.integers(0, 2, 30)] for _ in range(3)]
TEXTS = [
    [[float(-20 * length * value), int(length)] for length, value in RNG.random((30, 2)) * 9 + 1] for _ in range(3)
]
LABELS = [
    [[int(gold), int(gold if right else 1 - gold)] for gold, right in RNG.integers(0, 2, (30, 2))] for _ in range(3)
]
CLASSES = [RNG.integers(0, 4, (30, 2)).tolist() for _ in range(3)]
GUESSES = [
    [[int(gold), p.tolist()] for gold, p in zip(RNG.integers(0, 3, 30), RNG.dirichlet([1, 1, 1], 30), strict=True)]
    for _ in range(3)
]


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def perplexity(values: Sequence[float]) -> float:
    return math.exp(-mean(values))


def weighted_perplexity(pairs: Sequence[Sequence[float]]) -> float:
    return math.exp(-sum(each[0] for each in pairs) / sum(each[1] for each in pairs))


def bits_per_byte(pairs: Sequence[Sequence[float]]) -> float:
    return -sum(each[0] for each in pairs) / sum(each[1] for each in pairs) / math.log(2)


def f1(pairs: Sequence[Sequence[int]]) -> float:
    both = sum(gold == said == 1 for gold, said in pairs)
    return 2 * both / sum(gold + said for gold, said in pairs)


def matthews(pairs: Sequence[Sequence[int]]) -> float:
    return float(matthews_corrcoef(*zip(*pairs, strict=True)))


def brier(pairs: Sequence[Any]) -> float:
    return mean([sum((p - (k == gold)) ** 2 for k, p in enumerate(said)) for gold, said in pairs])


def naive(values: Sequence[Sequence[Any]], reference: Sequence[Any], figure: Any, seed: Sequence[int]) -> list[float]:
    """The interval, a draw after the other, each document by itself."""
    rng, n, found = np.random.default_rng(list(seed)), len(reference), []
    for _ in range(DRAWS):
        places = [int(place) for place in rng.integers(0, n, n)]
        before = figure([reference[place] for place in places])
        after = mean([figure([each[place] for place in places]) for each in values])
        found.append(after - before)
    found.sort()

    def quantile(share: float) -> float:
        at = share * (DRAWS - 1)
        low = int(at)
        return found[low] + (at - low) * (found[low + 1] - found[low])

    return [quantile(0.025), quantile(0.975)]


@pytest.mark.parametrize(
    ("figure", "name", "data"),
    [
        (mean, "mean", HITS),
        (mean, "nanmean", HITS),
        (perplexity, "perplexity", HITS),
        (weighted_perplexity, "weighted_perplexity", TEXTS),
        (bits_per_byte, "bits_per_byte", TEXTS),
        (f1, "f1", LABELS),
        (f1, "", LABELS),
        (matthews, "matthews_corrcoef", CLASSES),
        (brier, "brier_score", GUESSES),
    ],
)
@pytest.mark.parametrize("draws", [1, 2])
def test_the_interval_is_that_of_a_naive_bootstrap(figure: Any, name: str, data: list[list[Any]], draws: int) -> None:
    reference, values = data[0], data[1 : 1 + draws]
    found = paired_difference(values, reference, figure, name, (4, 9))
    assert found.interval == pytest.approx(naive(values, reference, figure, (4, 9)), rel=1e-9, abs=1e-12)
    assert found.difference == pytest.approx(mean([figure(each) for each in values]) - figure(reference))
    assert found.changed == sum(any(each[n] != reference[n] for each in values) for n in range(30))
    assert found.interval is not None
    assert found.interval[0] <= found.difference <= found.interval[1]


@pytest.mark.parametrize("documents", [20, 100])
def test_the_interval_covers_the_truth(documents: int) -> None:
    """A persona loses a fifth of the 60% that were right, and wins 15% of the others: the truth is -0.06."""
    rng, inside, trials = np.random.default_rng(documents), 0, 300
    for trial in range(trials):
        before = (rng.random(documents) < 0.6).astype(float)
        kind = rng.random(documents)
        lost, won = kind < 0.2, kind > 0.85  # of those that are right, and of those that are wrong
        after = np.where(lost & (before == 1), 0.0, np.where(won & (before == 0), 1.0, before))
        truth = -0.6 * 0.2 + 0.4 * 0.15
        found = paired_difference([after.tolist()], before.tolist(), mean, "mean", (trial,))
        assert found.interval is not None
        inside += found.interval[0] <= truth <= found.interval[1]
    assert inside / trials >= (0.84 if documents < 50 else 0.91)


def test_pairing_makes_the_interval_narrower() -> None:
    rng = np.random.default_rng(0)
    before = rng.integers(0, 2, 200).astype(float)
    after = before.copy()
    after[:10] = 1 - after[:10]
    paired = paired_difference([after.tolist()], before.tolist(), mean, "mean", (1,))
    apart = paired_difference([rng.permutation(after).tolist()], before.tolist(), mean, "mean", (1,))
    assert paired.interval is not None
    assert apart.interval is not None
    assert np.ptp(paired.interval) < 0.5 * np.ptp(apart.interval)
    assert paired.difference == pytest.approx(apart.difference)


def test_the_same_values_have_an_interval_of_zero_and_differ_in_nothing() -> None:
    found = paired_difference([HITS[0]], HITS[0], mean, "mean", (1,))
    assert (found.difference, found.interval, found.p, found.changed) == (0.0, (0.0, 0.0), 1.0, 0)


@pytest.mark.parametrize(
    ("figure", "name", "values", "reference"),
    [
        (mean, "mean", HITS[0][:19], HITS[1][:19]),  # too few documents
        (mean, "bleu", HITS[0], HITS[1]),  # of the whole corpus
        (f1, "", [[0, 0]] * 29 + [[1, 1]], [[0, 0]] * 29 + [[1, 1]]),  # draws without the class have none
        (mean, "mean", [*HITS[0][:29], math.nan], HITS[1]),
    ],
)
def test_there_is_no_interval_where_it_cannot_be_had(figure: Any, name: str, values: Any, reference: Any) -> None:
    found = paired_difference([values], reference, figure, name, (1,))
    assert (found.interval, found.p) == (None, None)


def test_a_pooled_difference_is_that_of_all_documents() -> None:
    """Weighted by documents, the difference of means is that of the mean of all; one without an interval has none."""
    first = paired_difference([HITS[1]], HITS[0], mean, "mean", (1,))
    second = paired_difference([HITS[0][:24]], HITS[2][:24], mean, "mean", (2,))
    both = pooled_difference([first, second], [30, 24])
    assert both.difference == pytest.approx(mean([*HITS[1], *HITS[0][:24]]) - mean([*HITS[0], *HITS[2][:24]]))
    assert first.draws is not None
    assert second.draws is not None
    drawn = sorted((30 * a + 24 * b) / 54 for a, b in zip(first.draws, second.draws, strict=True))
    assert both.interval == pytest.approx((np.quantile(drawn, 0.025), np.quantile(drawn, 0.975)))
    few = paired_difference([HITS[1][:9]], HITS[0][:9], mean, "mean", (1,))
    assert pooled_difference([first, few], [1, 1]).interval is None
    turned = -first
    assert first.interval is not None
    assert turned.interval == pytest.approx((-first.interval[1], -first.interval[0]))
    assert (turned.difference, turned.p) == (-first.difference, first.p)
