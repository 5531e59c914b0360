"""Panels from rows, and the distance of distributions of answers."""

from __future__ import annotations

import numpy as np
import pytest

from pasctl.evaluation.psychometrics.marginals import marginal_distances, wasserstein
from pasctl.evaluation.psychometrics.panel import FEWEST_PERSONS, MOST_PERSONS, panels
from tests.evaluation.psychometrics.made import panel
from tests.evaluation.tables import item_frame, predicted

ITEMS = item_frame(["a", "b"], ["X", "Y"], ["f", "g"], [1, -1])


def rows_of(count: int, **more: object):  # type: ignore[no-untyped-def]
    agreements = np.tile([[1.0, 2.0]], (count, 1))
    agreements[0] = np.nan
    return predicted(ITEMS, agreements + 1, agreements, np.full((count, 2), 4.0), **more).assign(reading="letters")  # type: ignore[arg-type]


def test_a_panel_is_keyed_and_keeps_missing_answers() -> None:
    [made] = panels(rows_of(FEWEST_PERSONS))
    assert made.items == ("a", "b")
    assert made.traits == ("X", "Y")
    assert np.isnan(made.people[0]).all()
    assert made.people[1].tolist() == [1, 4]
    assert made.expected[1].tolist() == [2, 3]
    assert made.answers[1].tolist() == [4, 2]


def test_ends_of_items_are_used_where_rows_have_them() -> None:
    rows = rows_of(FEWEST_PERSONS).assign(low=0, high=lambda each: np.where(each["item"] == "a", 5, 10))
    [made] = panels(rows)
    assert made.people[1].tolist() == [1, 8]
    assert (made.low.tolist(), made.high.tolist()) == ([0, 0], [5, 10])


def test_who_has_no_panel() -> None:
    few, enough = rows_of(FEWEST_PERSONS - 1), rows_of(FEWEST_PERSONS)
    assert not list(panels(few))
    assert not list(panels(enough.assign(reading="")))  # a baseline
    assert not list(panels(enough.drop(columns="setting")))  # of an early version
    assert not list(panels(rows_of(4, personas=["X+", "X-", "Y+", "Y-"])))
    [many] = panels(rows_of(MOST_PERSONS + 5))
    assert len(many.personas) == MOST_PERSONS


def test_the_distance_is_the_area_between_distribution_functions() -> None:
    rng = np.random.default_rng(0)
    model, people = rng.integers(1, 6, (40, 7)).astype(float), rng.integers(1, 6, (40, 7)).astype(float)
    people[3, 2] = np.nan
    distances = marginal_distances(panel(people, model, "X" * 7))
    for distance, a, b in zip(distances, model.T, people.T, strict=True):
        b = b[np.isfinite(b)]
        area = sum(abs((a <= level).mean() - (b <= level).mean()) for level in range(1, 5))
        assert distance == pytest.approx(area)


def test_order_does_not_count_and_a_shift_is_its_size() -> None:
    answers = np.array([1.0, 2.0, 2.0, 3.0])
    assert wasserstein(answers, answers[::-1].copy()) == 0
    assert wasserstein(answers + 2, answers) == pytest.approx(2)
    assert np.isnan(wasserstein(answers, np.full(3, np.nan)))
