"""Omega recovers planted loadings; alpha is that of the metrics."""

from __future__ import annotations

import numpy as np
import pytest

from pasctl.evaluation.psychometrics.omega import omega, one_factor
from pasctl.evaluation.psychometrics.reliability import reliability
from tests.evaluation.psychometrics.made import panel


def test_three_items_have_the_closed_form() -> None:
    r = np.array([[1.0, 0.42, 0.35], [0.42, 1.0, 0.3], [0.35, 0.3, 1.0]])
    first = np.sqrt(0.42 * 0.35 / 0.3)
    assert one_factor(r) == pytest.approx([first, 0.42 / first, 0.35 / first], abs=1e-6)


@pytest.mark.parametrize("seed", range(4))
def test_planted_loadings_are_found_exactly(seed: int) -> None:
    rng = np.random.default_rng(seed)
    loadings = rng.uniform(0.2, 0.95, 8)
    r = np.outer(loadings, loadings)
    np.fill_diagonal(r, 1.0)
    assert one_factor(r) == pytest.approx(loadings, abs=1e-6)


def test_omega_of_many_persons_is_that_of_the_parameters() -> None:
    rng = np.random.default_rng(1)
    loadings, unique = np.array([0.4, 0.8, 1.2, 0.6]), np.array([1.0, 0.5, 0.8, 0.3])
    answers = rng.standard_normal((20000, 1)) * loadings + rng.standard_normal((20000, 4)) * np.sqrt(unique)
    true = loadings.sum() ** 2 / (loadings.sum() ** 2 + unique.sum())
    assert omega(answers) == pytest.approx(true, abs=0.01)
    assert omega(answers * 3 + 2) == pytest.approx(omega(answers))


def test_equal_loadings_make_omega_alpha_and_unequal_ones_make_it_higher() -> None:
    rng = np.random.default_rng(2)
    factor, noise = rng.standard_normal((20000, 2)), rng.standard_normal((20000, 8))
    equal = factor[:, :1] + noise[:, :4]
    unequal = factor[:, 1:] * [0.1, 0.4, 1.5, 2.5] + noise[:, 4:]
    answers = np.hstack([equal, unequal])
    found = reliability(panel(answers, answers, "XXXXYYYY"), answers)
    assert found.omega["X"] == pytest.approx(found.alpha["X"], abs=0.005)
    assert found.omega["Y"] > found.alpha["Y"] + 0.02
    assert found.alpha["X"] == pytest.approx(4 / 5, abs=0.01)


def test_what_has_no_omega() -> None:
    rng = np.random.default_rng(3)
    assert np.isnan(omega(rng.standard_normal((30, 2))))
    assert np.isnan(omega(np.full((30, 4), 3.0)))
    missing = np.full((30, 4), np.nan)
    missing[:2] = 1.0
    assert np.isnan(omega(missing))
    constant = np.hstack([rng.standard_normal((30, 3)), np.full((30, 1), 2.0)])
    assert omega(constant) == pytest.approx(omega(constant[:, :3]))
