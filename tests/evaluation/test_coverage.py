"""Simulated respondents with a known effect: intervals cover it at about their rate, and Holm keeps false calls rare.

A person's error on an item is normal with a standard deviation of their own, so that their answers belong together and
the mean absolute error that everything is about is known: E|error| = E[deviation] sqrt(2 / pi).
"""

from __future__ import annotations

import numpy as np
import pytest

from pasctl.evaluation.bootstrap import FEWEST, column_means, interval, percentiles
from pasctl.evaluation.differences import trait_differences
from pasctl.evaluation.metrics import TRAITS, persona_errors

SIMULATIONS, PEOPLE, EACH = 400, 200, 6
OF_ITEM = TRAITS * EACH
DEVIATION = 0.8
MAE = DEVIATION * np.sqrt(2 / np.pi)
EFFECT = np.array([0.1, -0.1, 0.0, 0.05, 0.15])
"""By how much the errors of the first condition are larger, per trait."""


def errors(rng: np.random.Generator, effect: np.ndarray, people: int = PEOPLE) -> tuple[np.ndarray, np.ndarray]:
    """Each person's error on each trait under two conditions, [P, 5] twice; a tenth of the answers is missing."""
    answers = rng.integers(1, 6, (people, len(OF_ITEM))).astype(float)
    answers[rng.random(answers.shape) < 0.1] = np.nan
    deviation = rng.gamma(4.0, DEVIATION / 4, (people, 1))
    larger = 1 + np.tile(effect, EACH)
    first = answers + larger * deviation * rng.normal(size=answers.shape)
    second = answers + deviation * rng.normal(size=answers.shape)
    return persona_errors(first, answers, OF_ITEM), persona_errors(second, answers, OF_ITEM)


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
        for found in (trait_differences(first - second) for first, second in simulated)
        for trait, effect in zip(TRAITS, EFFECT, strict=True)
    ]
    assert 0.93 <= rate(covered) <= 0.97


@pytest.mark.parametrize(("people", "low", "high"), [(FEWEST, 0.78, 0.88), (20, 0.89, 0.95)])
def test_of_few_personas_the_interval_is_too_narrow_by_what_its_documentation_says(
    people: int, low: float, high: float
) -> None:
    covered = []
    for number in range(SIMULATIONS):
        first, second = errors(np.random.default_rng([4, number]), EFFECT, people)
        covered.append(within(interval(first - second), EFFECT.sum() * MAE))
    assert low <= rate(covered) <= high


@pytest.mark.parametrize(("people", "low", "high"), [(2, 0.42, 0.56), (4, 0.72, 0.84)])
def test_of_fewer_personas_there_is_no_interval_since_it_would_cover_less_still(
    people: int, low: float, high: float
) -> None:
    covered = []
    for number in range(SIMULATIONS):
        first, second = errors(np.random.default_rng([5, number]), EFFECT, people)
        assert interval(first - second) is None
        bounds = percentiles(column_means(first - second).sum(axis=1))
        covered.append(within(bounds, EFFECT.sum() * MAE))
    assert low <= rate(covered) <= high


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
        found = trait_differences(first - second).values()
        any_p.append(min(each["p"] for each in found) <= 0.05)
        any_holm.append(min(each["p_holm"] for each in found) <= 0.05)
    assert 0.025 <= rate(any_holm) <= 0.075
    assert rate(any_p) > 0.15  # what the correction is for


def test_an_effect_on_one_trait_is_found_and_the_others_are_left_alone() -> None:
    effect = np.array([0.0, 0.0, 0.4, 0.0, 0.0])
    found_it, false = [], []
    for number in range(SIMULATIONS):
        first, second = errors(np.random.default_rng([3, number]), effect)
        called = {trait for trait, each in trait_differences(first - second).items() if each["p_holm"] <= 0.05}
        found_it.append("E" in called)
        false.append(bool(called - {"E"}))
    assert rate(found_it) > 0.9
    assert rate(false) <= 0.075
