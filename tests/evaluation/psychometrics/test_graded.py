"""The graded response model: planted parameters, persons' places, fit of items, and items that differ."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import approx_fprime
from scipy.stats import norm

from pasctl.evaluation.intervals import SIGNIFICANT, holm
from pasctl.evaluation.psychometrics import graded_fit
from pasctl.evaluation.psychometrics.differential import differences
from pasctl.evaluation.psychometrics.graded_fit import GradedItems, fit_graded, fit_groups
from pasctl.evaluation.psychometrics.graded_scores import PEOPLE, observed_scores, outfit, residuals, thetas
from tests.evaluation.psychometrics.made import Floats, graded_answers

A = np.array([0.8, 1.2, 1.6, 2.0, 2.4, 1.4])
B = A[:, None] * (np.array([-1.8, -0.7, 0.3, 1.4]) + np.linspace(-0.4, 0.4, 6)[:, None])
TRUE = GradedItems(A, B, np.tile(np.arange(1.0, 6.0), (6, 1)))


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def drawn(count: int, rng: np.random.Generator, mean: float = 0.0, sd: float = 1.0) -> tuple[Floats, Floats]:
    theta = mean + sd * rng.standard_normal(count)
    return theta, graded_answers(theta, A, B, rng)


def test_planted_parameters_are_recovered(rng: np.random.Generator) -> None:
    items = fit_graded(drawn(4000, rng)[1])
    assert items.slopes == pytest.approx(A, rel=0.1)
    assert items.thresholds / items.slopes[:, None] == pytest.approx(B / A[:, None], abs=0.2)
    assert items.scores.tolist() == TRUE.scores.tolist()


def test_a_second_group_keeps_its_mean_and_spread(rng: np.random.Generator) -> None:
    items, mean, deviation = fit_groups(drawn(2000, rng)[1], drawn(2000, rng, 0.8, 0.6)[1])
    assert (mean, deviation) == (pytest.approx(0.8, abs=0.08), pytest.approx(0.6, abs=0.06))
    assert items.slopes == pytest.approx(A, rel=0.15)


def test_the_gradient_is_that_of_the_posterior(rng: np.random.Generator) -> None:
    answers = drawn(40, rng)[1]
    answers[answers[:, 0] == 5, 0] = 4.0  # one item has fewer categories
    answers[3, 2] = np.nan
    scores = graded_fit._scores(answers)
    picked = graded_fit._one_hot(GradedItems(A, B, scores).categories(answers), 5)
    real = np.isfinite(scores[:, 1:])
    place = np.concatenate([rng.normal(0, 0.3, 6 * 5), [0.4, 0.2]])
    args = ([picked, picked[:15]], real)
    numeric = approx_fprime(place, lambda each: graded_fit._objective(each, *args)[0], 1e-6)
    assert graded_fit._objective(place, *args)[1] == pytest.approx(numeric, abs=1e-3)


def test_theta_is_the_posterior_mean_and_its_error_is_how_far_off_it_is(rng: np.random.Generator) -> None:
    theta, answers = drawn(1500, rng)
    answers[0, 1:] = np.nan
    estimate, error = thetas(TRUE, answers)
    grid = np.linspace(-8, 8, 4001)
    for person in (0, 1, 2):
        weights = norm.pdf(grid)
        for item in np.flatnonzero(np.isfinite(answers[person])):
            weights = weights * TRUE.chances(grid)[item][:, int(answers[person, item]) - 1]
        weights /= weights.sum()
        mean = weights @ grid
        assert estimate[person] == pytest.approx(mean, abs=1e-3)
        assert error[person] == pytest.approx(np.sqrt(weights @ (grid - mean) ** 2), abs=1e-3)
    assert ((estimate - theta) / error).std() == pytest.approx(1, abs=0.06)


def test_a_score_that_nobody_gave_counts_as_the_nearest() -> None:
    items = GradedItems(A[:2], B[:2, :1], np.array([[2.0, 4.0], [1.0, 2.0]]))
    assert observed_scores(items, np.array([[5.0, 1.0], [1.0, np.nan]])).tolist()[0] == [4.0, 1.0]
    assert np.isnan(observed_scores(items, np.array([[1.0, np.nan]]))[0, 1])


def test_outfit_is_near_one_above_for_guesses_and_below_for_a_machine(rng: np.random.Generator) -> None:
    theta, answers = drawn(2000, rng)
    fits = outfit(TRUE, answers)
    assert fits == pytest.approx(np.ones(6), abs=0.1)
    guessed = answers.copy()
    guessed[:, 3] = rng.integers(1, 6, len(answers))
    assert outfit(TRUE, guessed)[3] > 2
    expected = (TRUE.chances(theta) * TRUE.scores[:, None]).sum(axis=2).T
    assert outfit(TRUE, np.round(expected)).max() < 0.6


def test_residuals_average_to_nothing_where_a_group_stands(rng: np.random.Generator) -> None:
    answers = drawn(4000, rng)[1]
    assert residuals(TRUE, answers, PEOPLE).mean(axis=0) == pytest.approx(np.zeros(6), abs=0.05)


def test_a_planted_difference_is_named(rng: np.random.Generator) -> None:
    people, (theta, model) = drawn(200, rng)[1], drawn(200, rng, 0.5)
    moved = B.copy()
    moved[2] -= 1.5 * A[2]
    model[:, 2] = graded_answers(theta, A, moved, rng)[:, 2]
    found = differences(people, model)
    assert int(np.argmin(found.p)) == 2
    assert found.p[2] < 1e-4
    assert found.points[2] > 0.3


def test_equal_items_are_rarely_called_different_even_where_the_groups_stand_apart() -> None:
    flagged, small = 0, []
    for seed in range(40):
        rng = np.random.default_rng([11, seed])
        p = differences(drawn(60, rng)[1], drawn(60, rng, 0.7, 0.8)[1]).p
        flagged += min(holm(list(p))) < SIGNIFICANT
        small.append((p < SIGNIFICANT).mean())
    assert flagged <= 5  # of 40 at most 5%: more than 5 are less likely than 2%
    assert np.mean(small) < 0.09
