"""Student's t of a composite and Holm's correction, against scipy and stepwise definitions."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from pasctl.evaluation.intervals import FEWEST, holm, interval, mean_interval, p_text, permutation_p


@pytest.mark.parametrize("people", [3, 4, 40])
def test_without_gaps_it_is_the_t_interval_of_the_persons_sums(people: int) -> None:
    values = np.random.default_rng(people).gamma(2.0, 0.4, (people, 5))
    found = mean_interval(values)
    test = stats.ttest_1samp(values.sum(axis=1), 0.0)
    bounds = test.confidence_interval()
    assert found == pytest.approx((values.sum(axis=1).mean(), bounds.low, bounds.high, test.pvalue))
    assert found.bounds == [found.mean, found.low, found.high]
    assert interval(values[:, 0]) == pytest.approx(list(stats.ttest_1samp(values[:, 0], 0).confidence_interval()))


def test_gaps_in_one_column_leave_that_columns_own_interval() -> None:
    values = np.random.default_rng(1).normal(1.0, 1.0, (30, 1))
    values[:11] = np.nan
    test = stats.ttest_1samp(values[11:, 0], 0.0)
    assert mean_interval(values) == pytest.approx((values[11:].mean(), *test.confidence_interval(), test.pvalue))


def test_independent_columns_with_gaps_have_the_variance_of_their_sum() -> None:
    rng = np.random.default_rng(2)
    values = rng.normal(size=(4000, 3))
    values[rng.random(values.shape) < 0.3] = np.nan
    found = mean_interval(values)
    apart = [np.nanvar(column, ddof=1) / np.isfinite(column).sum() for column in values.T]
    assert found.mean == pytest.approx(np.nanmean(values, axis=0).sum())
    assert (found.high - found.low) / 2 == pytest.approx(1.96 * np.sqrt(sum(apart)), rel=0.03)


def test_each_column_needs_enough_persons() -> None:
    values = np.random.default_rng(4).random((7, 5))
    assert interval(values[:FEWEST]) is not None
    for people in range(FEWEST):
        assert interval(values[:people]) is None
    values[: 7 - FEWEST, 4] = np.nan
    assert interval(values) is not None
    values[7 - FEWEST, 4] = np.nan
    assert interval(values) is None
    values[:, 4] = np.nan
    assert interval(values) is None


def test_personas_that_are_alike_have_no_spread() -> None:
    assert interval(np.full((6, 5), 0.5)) == pytest.approx([2.5, 2.5])
    assert mean_interval(np.zeros(6)) == (0.0, 0.0, 0.0, 1.0)
    assert mean_interval(np.ones(6)).p == 0.0


def test_it_ends_where_the_values_end() -> None:
    few = [0.1, 0.9, 0.2]
    low, high = interval(few)
    assert low < 0
    assert high > 1
    assert interval(few, least=0.0, most=1.0) == [0.0, 1.0]


def test_the_order_of_persons_and_the_scale_do_not_matter() -> None:
    values = np.random.default_rng(6).random((9, 5))
    found = mean_interval(values)
    assert mean_interval(values[::-1]) == pytest.approx(found)
    assert mean_interval(-2 * values) == pytest.approx((-2 * found.mean, -2 * found.high, -2 * found.low, found.p))


def rejected(p_values: list[float], level: float) -> set[int]:
    """As Holm wrote it: go through them from the smallest, stop at the first that does not pass."""
    left, found = sorted(range(len(p_values)), key=lambda n: p_values[n]), set()
    while left and p_values[left[0]] <= level / len(left):
        found.add(left.pop(0))
    return found


def test_adjusted_values_below_a_level_are_those_that_the_steps_reject() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        p_values = (rng.random(5) ** 3).tolist()
        adjusted = holm(p_values)
        for level in (0.01, 0.05, 0.2, 0.5):
            assert {n for n, p in enumerate(adjusted) if p <= level} == rejected(p_values, level)


def test_a_worked_example_in_any_order() -> None:
    assert holm([0.04, 0.01, 0.03, 0.005]) == pytest.approx([0.06, 0.03, 0.06, 0.02])
    assert holm([0.3, 0.4]) == pytest.approx([0.6, 0.6])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([0.04]) == [0.04]
    assert holm([]) == []


@pytest.mark.parametrize(
    ("p", "text"),
    [(0.0, "p < 0.001"), (1e-9, "p < 0.001"), (0.001, "p = 0.001"), (0.0344, "p = 0.034"), (1.0, "p = 1.000")],
)
def test_a_p_value_is_never_printed_below_its_floor(p: float, text: str) -> None:
    assert p_text(p) == text
    assert p_text(None) == "p n/a"
    assert p_text(0.004, floor=0.01) == "p < 0.01"


def test_a_permutation_p_is_at_least_one_over_the_orders_and_holds_its_rate() -> None:
    rng = np.random.default_rng(0)
    assert permutation_p(2.0, [0.0] * 19) == 1 / 20
    assert permutation_p(0.0, [0.0] * 19) == 1.0
    values = rng.normal(size=(4000, 20))
    p = np.array([permutation_p(row[0], row[1:]) for row in values])
    assert p.min() == 1 / 20
    assert np.mean(p <= 0.05) == pytest.approx(0.05, abs=0.012)
