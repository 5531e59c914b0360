"""Calibration is a least-squares fit on the other persons, however it is computed."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression

from pasctl.evaluation.calibration import FEATURES, calibrated, features

PEOPLE, FIT, REPORT = 7, 24, 40


def some(seed: int = 0, people: int = PEOPLE) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(seed)
    keys = rng.choice([-1.0, 1.0], FIT + REPORT)
    per_token = -3 + rng.normal(size=FIT + REPORT)
    dlp = rng.normal(size=(people, FIT + REPORT))
    table = features(keys, dlp, per_token)
    answers = np.clip(np.round(3 + 0.4 * keys + dlp + 0.1 * per_token + rng.normal(size=dlp.shape) / 2), 1, 5)
    answers[rng.random(answers.shape) < 0.1] = np.nan
    return table[:, :FIT], answers[:, :FIT], table[:, FIT:], answers[:, FIT:]


def test_a_person_is_served_by_a_regression_on_the_others() -> None:
    fit, answers, wanted, _ = some()
    found = calibrated(fit, answers, wanted)
    for person in range(PEOPLE):
        others = np.arange(PEOPLE) != person
        known = np.isfinite(answers[others])
        model = LinearRegression().fit(fit[others][known][:, 1:], answers[others][known])
        np.testing.assert_allclose(found[person], np.clip(model.predict(wanted[person][:, 1:]), 1, 5), atol=1e-9)


def test_nobodys_own_answers_matter_to_them() -> None:
    fit, answers, wanted, _ = some()
    other = answers.copy()
    other[2] = 6 - other[2]
    before, after = calibrated(fit, answers, wanted), calibrated(fit, other, wanted)
    np.testing.assert_allclose(after[2], before[2], atol=1e-9)
    assert np.abs(after[0] - before[0]).max() > 0.01


def test_it_comes_nearer_to_the_persons_than_the_middle() -> None:
    fit, answers, wanted, true = some(1, people=30)
    found = calibrated(fit, answers, wanted)
    assert np.nanmean(np.abs(found - true)) < 0.6 * np.nanmean(np.abs(3 - true))


def test_a_feature_that_is_always_zero_takes_no_part() -> None:
    """Without a change dlp is 0 throughout, and the normal equations are singular."""
    fit, answers, wanted, _ = some()
    dlp = FEATURES.index("dlp")
    fit[..., dlp] = 0.0
    wanted[..., dlp] = 0.0
    found = calibrated(fit, answers, wanted)
    known = np.isfinite(answers[1:])
    kept = [place for place in range(1, len(FEATURES)) if place != dlp]
    model = LinearRegression().fit(fit[1:][known][:, kept], answers[1:][known])
    np.testing.assert_allclose(found[0], np.clip(model.predict(wanted[0][:, kept]), 1, 5), atol=1e-9)


def test_one_person_alone_learns_on_the_own_fit_items() -> None:
    fit, answers, wanted, _ = some(people=1)
    known = np.isfinite(answers[0])
    model = LinearRegression().fit(fit[0][known][:, 1:], answers[0][known])
    [found] = calibrated(fit, answers, wanted)
    np.testing.assert_allclose(found, np.clip(model.predict(wanted[0][:, 1:]), 1, 5), atol=1e-9)


@pytest.mark.parametrize("people", [1, 2])
def test_without_an_answer_to_learn_from_it_is_the_middle(people: int) -> None:
    fit, answers, wanted, _ = some(people=people)
    assert (calibrated(fit, np.full_like(answers, np.nan), wanted) == 3).all()
