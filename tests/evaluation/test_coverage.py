"""Simulated respondents with a known effect: intervals cover it at about their rate, and Holm keeps false calls rare.

A person's error on an item is normal with a standard deviation of their own, so that their answers belong together and
the mean absolute error that everything is about is known: E|error| = E[deviation] sqrt(2 / pi).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from pasctl.evaluation.differences import trait_differences
from pasctl.evaluation.intervals import FEWEST, interval, mean_interval
from pasctl.evaluation.scores import row_means

TRAITS = ("O", "C", "E", "A", "N")

SIMULATIONS, PEOPLE, EACH = 400, 200, 6
OF_ITEM = TRAITS * EACH
DEVIATION = 0.8
MAE = DEVIATION * np.sqrt(2 / np.pi)
EFFECT = np.array([0.1, -0.1, 0.0, 0.05, 0.15])
"""By how much the errors of the first condition are larger, per trait."""


def differences(first: np.ndarray, second: np.ndarray) -> dict[str, Any]:
    """What the first changes on each trait, persons in rows."""
    return trait_differences(pd.DataFrame(first - second, columns=list(TRAITS)))


def errors(rng: np.random.Generator, effect: np.ndarray, people: int = PEOPLE) -> tuple[np.ndarray, np.ndarray]:
    """Each person's error on each trait under two conditions, [P, 5] twice; a tenth of the answers is missing."""
    answers = rng.integers(1, 6, (people, len(OF_ITEM))).astype(float)
    answers[rng.random(answers.shape) < 0.1] = np.nan
    deviation = rng.gamma(4.0, DEVIATION / 4, (people, 1))
    larger = 1 + np.tile(effect, EACH)
    first = answers + larger * deviation * rng.normal(size=answers.shape)
    second = answers + deviation * rng.normal(size=answers.shape)
    by_trait = np.arange(len(OF_ITEM)).reshape(EACH, len(TRAITS)).T
    error_a, error_b = (
        np.stack([row_means(np.abs(each - answers)[:, items]) for items in by_trait], axis=1)
        for each in (first, second)
    )
    return error_a, error_b


@pytest.fixture(scope="module")
def simulated() -> list[tuple[np.ndarray, np.ndarray]]:
    return [errors(np.random.default_rng([1, number]), EFFECT) for number in range(SIMULATIONS)]


def rate(covered: list[bool]) -> float:
    return float(np.mean(covered))


def within(bounds: list[float] | None, truth: float) -> bool:
    assert bounds is not None
    return bounds[0] <= truth <= bounds[1]


def test_the_interval_of_a_composite_covers_it(simulated) -> None:
    assert 0.93 <= rate([within(interval(second), len(TRAITS) * MAE) for _, second in simulated]) <= 0.97


def test_the_interval_of_a_paired_difference_covers_it(simulated) -> None:
    truth = EFFECT.sum() * MAE
    assert 0.93 <= rate([within(interval(first - second), truth) for first, second in simulated]) <= 0.97


def test_the_intervals_of_each_traits_difference_cover_it(simulated) -> None:
    covered = [
        within([found[trait]["low"], found[trait]["high"]], effect * MAE)
        for found in (differences(first, second) for first, second in simulated)
        for trait, effect in zip(TRAITS, EFFECT, strict=True)
    ]
    assert 0.93 <= rate(covered) <= 0.97


def resampled(values: np.ndarray, rng: np.random.Generator) -> list[float]:
    """The 95% percentile interval of a composite by a bootstrap over persons, [P, T]."""
    weights = rng.multinomial(len(values), np.full(len(values), 1 / len(values)), size=500).astype(float)
    means = weights @ np.nan_to_num(values) / np.maximum(weights @ np.isfinite(values), 1)
    return np.quantile(means.sum(axis=1), [0.025, 0.975]).tolist()


@pytest.mark.parametrize(("people", "least"), [(FEWEST, 0.93), (5, 0.93), (20, 0.93)])
def test_a_paired_interval_of_few_persons_covers_the_truth_and_a_bootstraps_does_not(people: int, least: float) -> None:
    truth, student, bootstrap = EFFECT.sum() * MAE, [], []
    for number in range(2 * SIMULATIONS):
        rng = np.random.default_rng([4, number])
        first, second = errors(rng, EFFECT, people)
        if np.isfinite(first).sum(axis=0).min() < FEWEST:
            continue
        student.append(within(interval(first - second), truth))
        bootstrap.append(within(resampled(first - second, rng), truth))
    assert rate(student) >= least
    assert rate(bootstrap) < rate(student)
    assert rate(bootstrap) < {FEWEST: 0.80, 5: 0.86, 20: 0.94}[people]


@pytest.mark.parametrize(("people", "low", "high"), [(FEWEST, 0.88, 0.96), (5, 0.88, 0.96), (20, 0.90, 0.97)])
def test_the_interval_of_few_persons_composite_covers_nearly_as_often(people: int, low: float, high: float) -> None:
    covered = []
    for number in range(2 * SIMULATIONS):
        _, second = errors(np.random.default_rng([5, number]), EFFECT, people)
        if np.isfinite(second).sum(axis=0).min() >= FEWEST:
            covered.append(within(interval(second), len(TRAITS) * MAE))
    assert low <= rate(covered) <= high


@pytest.mark.parametrize("people", [5, 20])
def test_of_a_skewed_measure_it_covers_less_but_more_than_a_bootstrap(people: int) -> None:
    """Log-normal values, as the divergence on neutral text may be."""
    student, bootstrap = [], []
    for number in range(2 * SIMULATIONS):
        rng = np.random.default_rng([6, number])
        values = rng.lognormal(0.0, 1.0, (people, 1))
        student.append(within(interval(values), np.exp(0.5)))
        bootstrap.append(within(resampled(values, rng), np.exp(0.5)))
    assert {5: 0.78, 20: 0.84}[people] <= rate(student) <= {5: 0.88, 20: 0.92}[people]
    assert rate(bootstrap) < rate(student)


def test_two_persons_are_too_few_since_whole_answers_are_often_equal() -> None:
    def covering(people: int) -> float:
        covered = []
        for number in range(4 * SIMULATIONS):
            values = np.random.default_rng([7, people, number]).integers(-2, 3, people) / 4
            found = mean_interval(values, fewest=2)
            assert found is not None
            covered.append(found.low <= 0 <= found.high)
        return rate(covered)

    assert covering(2) < 0.87
    assert interval(np.array([0.25, 0.5])) is None
    assert covering(FEWEST) > 0.9


def test_pairing_tells_more_than_the_two_intervals_do(simulated) -> None:
    first, second = simulated[0]
    paired = interval(first - second)
    apart = [interval(first), interval(second)]
    assert np.diff(paired)[0] < np.hypot(*(np.diff(bounds)[0] for bounds in apart))


def test_without_an_effect_some_trait_is_called_different_about_one_time_in_twenty() -> None:
    nothing = np.zeros(len(TRAITS))
    any_p, any_holm = [], []
    for number in range(SIMULATIONS):
        first, second = errors(np.random.default_rng([2, number]), nothing)
        found = differences(first, second).values()
        any_p.append(min(each["p"] for each in found) <= 0.05)
        any_holm.append(min(each["p_holm"] for each in found) <= 0.05)
    assert 0.025 <= rate(any_holm) <= 0.075
    assert rate(any_p) > 0.15  # what the correction is for


def test_an_effect_on_one_trait_is_found_and_the_others_are_left_alone() -> None:
    effect = np.array([0.0, 0.0, 0.4, 0.0, 0.0])
    found_it, false = [], []
    for number in range(SIMULATIONS):
        first, second = errors(np.random.default_rng([3, number]), effect)
        called = {trait for trait, each in differences(first, second).items() if each["p_holm"] <= 0.05}
        found_it.append("E" in called)
        false.append(bool(called - {"E"}))
    assert rate(found_it) > 0.9
    assert rate(false) <= 0.075
