"""The interval of the composite: what naive resampling gives, and what it must cover."""

from __future__ import annotations

import numpy as np
import pytest

from pasctl.evaluation.bootstrap import FEWEST, interval


def naive(errors: np.ndarray, resamples: int, seed: int) -> tuple[float, float]:
    generator = np.random.default_rng(seed)
    composites = []
    for _ in range(resamples):
        drawn = errors[generator.integers(0, len(errors), len(errors))]
        composites.append(sum(np.nanmean(drawn[:, trait]) for trait in range(errors.shape[1])))
    return float(np.quantile(composites, 0.025)), float(np.quantile(composites, 0.975))


def test_it_is_what_resampling_personas_gives() -> None:
    generator = np.random.default_rng(1)
    errors = generator.gamma(2.0, 0.4, (40, 5))
    errors[3, 2] = errors[7, 0] = np.nan
    found = interval(errors, resamples=20_000)
    assert found == pytest.approx(naive(errors, 20_000, 5), abs=0.03)


def test_it_covers_the_truth_about_as_often_as_it_says() -> None:
    generator = np.random.default_rng(2)
    hits = 0
    for draw in range(200):
        low, high = interval(generator.gamma(2.0, 0.4, (60, 5)), resamples=500, seed=draw) or (0, 0)
        hits += low <= 5 * 0.8 <= high
    assert 0.88 <= hits / 200 <= 0.99


def test_personas_that_are_alike_have_no_spread() -> None:
    assert interval(np.full((6, 5), 0.5)) == pytest.approx([2.5, 2.5])


def test_an_interval_needs_five_personas_on_each_trait() -> None:
    errors = np.random.default_rng(4).random((7, 5))
    assert interval(errors[:FEWEST]) is not None
    for people in range(FEWEST):
        assert interval(errors[:people]) is None
    errors[:2, 4] = np.nan
    assert interval(errors) is not None
    errors[2, 4] = np.nan
    assert interval(errors) is None
    errors[:, 4] = np.nan
    assert interval(errors) is None


def test_the_seed_decides() -> None:
    errors = np.random.default_rng(3).random((12, 5))
    assert interval(errors) == interval(errors)
    assert interval(errors) != interval(errors, seed=1)
