"""The choice of a dose: right where an effect is planted, none where there is none, never over the budget."""

from __future__ import annotations

import numpy as np
import pytest

from pasctl.errors import InputError
from pasctl.evaluation.dose import choose_dose, errors_saved, likeness_of_change, unit_doses, within_budget

DOSES = np.array([0.0, 0.05, 0.1, 0.15, 0.2, 0.3])
KL = np.repeat((8 * DOSES**2)[:, None], 10, axis=1)  # 0.5 at a dose of .25
RUNS = 400


def moved(rng: np.random.Generator, agreements: np.ndarray, effect: float) -> np.ndarray:
    """Changes that follow the centred agreements to this extent, most at a dose of .15, among noise [A, P, I]."""
    shape = 1 - np.square((DOSES - 0.15) / 0.2)
    noise = rng.standard_normal(agreements.shape)  # the same statements are moved at every dose
    centred = agreements - agreements.mean(axis=0)
    steps = [effect * height * centred + noise for height in shape]
    steps[0] = np.zeros_like(noise)
    return np.stack(steps)


def test_without_an_effect_nothing_is_steered() -> None:
    rng, taken = np.random.default_rng(0), 0
    for _ in range(RUNS):
        agreements = rng.integers(1, 6, (10, 60)).astype(float)
        taken += choose_dose(likeness_of_change(moved(rng, agreements, 0.0), agreements), KL, 0.5) > 0
    assert taken / RUNS < 0.05  # one side of a 95% interval


def test_with_an_effect_the_dose_of_the_largest_is_taken() -> None:
    rng, near = np.random.default_rng(1), 0
    for _ in range(RUNS):
        agreements = rng.integers(1, 6, (10, 60)).astype(float)
        place = choose_dose(likeness_of_change(moved(rng, agreements, 0.3), agreements), KL, 0.5)
        near += abs(DOSES[place] - 0.15) < 0.06
    assert near / RUNS > 0.9


def test_of_doses_as_good_the_largest_is_taken() -> None:
    person = np.random.default_rng(5).normal(0.2, 0.05, 10)
    effects = np.stack([np.full(10, np.nan), *(person - step for step in (0.05, 0.0, 0.0, 0.1, 0.2))])
    assert DOSES[choose_dose(effects, KL, 0.5)] == 0.15
    assert DOSES[choose_dose(effects, KL, 0.1)] == 0.1  # within the budget
    assert choose_dose(-effects, KL, 0.5) == 0


def test_few_persons_of_whom_some_have_little_error_to_save_are_steered() -> None:
    """A t test of such errors says nothing, while what is moved agrees with everybody's answers."""
    saved = np.outer(DOSES, [4.1, 1.6, 0.6, 0.35, 0.95, 0.1])
    likeness = np.broadcast_to([0.7, 0.6, 0.5, 0.6, 0.7, 0.4], saved.shape)
    assert DOSES[choose_dose(likeness, KL[:, :6], 0.5, saved)] == 0.2
    assert choose_dose(-likeness, KL[:, :6], 0.5, saved) == 0  # whatever it saves, it is not this person's


@pytest.mark.parametrize(("budget", "dose"), [(0.5, 0.2), (0.1, 0.1), (0.001, 0.0)])
def test_the_budget_bounds_the_dose(budget: float, dose: float) -> None:
    unknown = np.full(KL.shape, np.nan)  # personas without answers: the budget alone decides
    assert DOSES[choose_dose(unknown, KL, budget)] == dose
    rising = np.repeat(DOSES[:, None], 10, axis=1)
    assert DOSES[choose_dose(rising, KL, budget)] == dose


def test_likeness_of_change_are_correlations_of_what_is_left_of_item_means() -> None:
    rng = np.random.default_rng(2)
    agreements = rng.integers(1, 6, (4, 12)).astype(float)
    agreements[0, 3] = np.nan
    dlp = rng.standard_normal((2, 4, 12))
    found = likeness_of_change(dlp, agreements)
    for place in range(2):
        for person in range(4):
            x, y = [], []
            for item in range(12):
                if np.isnan(agreements[person, item]):
                    continue
                others = [p for p in range(4) if not np.isnan(agreements[p, item])]
                x.append(dlp[place, person, item] - np.mean([dlp[place, p, item] for p in others]))
                y.append(agreements[person, item] - np.mean([agreements[p, item] for p in others]))
            assert found[place, person] == pytest.approx(np.corrcoef(x, y)[0, 1])


def test_errors_saved_are_errors_saved() -> None:
    agreements = np.array([[1.0, 5.0, np.nan]])
    expected = np.array([[[3.0, 3.0, 3.0]], [[2.0, 4.5, 9.0]]])
    np.testing.assert_allclose(errors_saved(expected, agreements), [[0.0], [2.0 - 0.75]])


def test_nobody_is_steered_over_the_budget() -> None:
    units = np.array([0.1, 0.2, 0.4, 0.0])
    alphas = within_budget(1.0, units, kl=0.5, dose=0.2, budget=0.5)
    np.testing.assert_allclose(alphas, [1.0, 1.0, 0.5, 1.0])
    np.testing.assert_allclose(within_budget(-1.0, units, 0.5, 0.2, 0.5), -alphas)
    assert (within_budget(0.0, units, 0.5, 0.2, 0.5) == 0).all()


def test_a_dose_is_the_length_of_the_delta_over_that_of_the_head_outputs() -> None:
    sigma = np.array([[3.0, 4.0], [0.0, 2.0]], np.float32)
    np.testing.assert_allclose(unit_doses(sigma, 10.0), [0.5, 0.2])
    with pytest.raises(InputError, match="expected directions and head outputs of some length"):
        unit_doses(sigma, 0.0)
