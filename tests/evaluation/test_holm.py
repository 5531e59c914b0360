"""Holm's correction against its stepwise definition."""

from __future__ import annotations

import numpy as np
import pytest

from pasctl.evaluation.holm import holm


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
