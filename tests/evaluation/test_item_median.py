"""The leave-one-out median against the standard library, one cell at a time."""

from __future__ import annotations

import statistics

import numpy as np

from pasctl.evaluation.item_median import item_median_loo


def test_every_cell_is_the_median_of_the_others() -> None:
    rng, halves = np.random.default_rng(0), 0
    for persons in (2, 5, 8):
        answers = rng.integers(1, 6, size=(persons, 30)).astype(float)
        answers[rng.random(answers.shape) < 0.25] = np.nan
        found = item_median_loo(answers)
        for p in range(persons):
            for n in range(30):
                others = [answers[q, n] for q in range(persons) if q != p and not np.isnan(answers[q, n])]
                expected = statistics.median(others) if others else 3.0
                assert found[p, n] == expected
                halves += expected % 1 == 0.5
    assert halves > 0  # of an even number: the mean of the middle two


def test_an_item_that_nobody_or_only_the_person_answered_is_predicted_as_3() -> None:
    answers = np.array([[5.0, np.nan], [np.nan, np.nan]])
    np.testing.assert_array_equal(item_median_loo(answers), [[3.0, 3.0], [5.0, 3.0]])


def test_leaving_a_person_out_moves_the_median_away_from_them() -> None:
    """Why its rank correlation with the truth means nothing: it is never above 0."""
    rng = np.random.default_rng(1)
    answers = rng.integers(1, 6, size=(12, 200)).astype(float)
    found = item_median_loo(answers)
    slopes = ((answers - answers.mean(axis=0)) * (found - found.mean(axis=0))).sum(axis=0)
    assert (slopes <= 1e-9).all()
    assert (slopes < -1e-9).any()
