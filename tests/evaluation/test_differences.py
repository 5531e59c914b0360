"""Differences between conditions: paired over personas, against what naive resampling gives."""

from __future__ import annotations

import numpy as np
import pytest

from pasctl.evaluation.differences import differences_table
from pasctl.evaluation.rows import Columns, RowItems, concat_rows, prediction_rows

TRAITS = tuple("OCEAN" * 2)
ITEMS = RowItems(
    tuple(f"i{n}" for n in range(10)),
    TRAITS,
    tuple(f"{trait}-facet" for trait in TRAITS),
    np.array([1] * 5 + [-1] * 5, np.int8),
)
PEOPLE = 24


def rows_of(predictions: dict[tuple[str, float], np.ndarray], truth: np.ndarray) -> Columns:
    tables = []
    for (name, alpha), matrix in predictions.items():
        for number in range(len(truth)):
            rows = prediction_rows(
                persona=f"p{number}",
                condition=name,
                items=ITEMS,
                agreements=truth[number],
                predictions=matrix[number],
            )
            tables.append({**rows, "alpha": np.full(len(rows["alpha"]), alpha)})
    return concat_rows(tables)


@pytest.fixture(scope="module")
def table() -> dict[tuple[str, float, str], dict]:
    rng = np.random.default_rng(0)
    truth = rng.integers(1, 6, (PEOPLE, 10)).astype(float)
    near, far = truth + rng.normal(0, 0.3, truth.shape), 3 + rng.normal(0, 0.5, truth.shape)
    rows = rows_of(
        {
            ("no-change", 0.0): far,
            ("pas", 2.0): near,
            ("pas", 4.0): far,
            ("random-direction", 2.0): far,
            ("random-direction", 4.0): near,
            ("constant-3", 0.0): np.full(truth.shape, 3.0),
        },
        truth,
    )
    found = {(row["condition"], row["alpha"], row["against"]): row for row in differences_table(rows)}
    return found | {"truth": truth, "near": near, "far": far}  # type: ignore[dict-item]


def test_what_is_set_against_what(table):
    names = {key for key in table if isinstance(key, tuple)}
    assert names == {
        ("no-change", 0.0, "constant-3"),
        *(("pas", alpha, other) for alpha in (2.0, 4.0) for other in ("no-change", "constant-3", "random-direction")),
        *(("random-direction", alpha, other) for alpha in (2.0, 4.0) for other in ("no-change", "constant-3")),
    }
    assert table["pas", 2.0, "random-direction"]["against_alpha"] == 2.0


def test_the_interval_is_that_of_naive_paired_resampling(table):
    truth, near, far = table["truth"], table["near"], table["far"]
    gain = np.abs(near - truth) - np.abs(far - truth)
    of_persona = np.stack([gain[:, [n, n + 5]].mean(axis=1) for n in range(5)], axis=1).sum(axis=1)
    rng = np.random.default_rng(7)
    naive = [of_persona[rng.integers(0, PEOPLE, PEOPLE)].mean() for _ in range(20_000)]
    mean, low, high = table["pas", 2.0, "no-change"]["composite"]
    assert mean == pytest.approx(of_persona.mean())
    assert (low, high) == pytest.approx(np.quantile(naive, [0.025, 0.975]), abs=0.06)
    assert high < 0
    correlations = [[np.corrcoef(each[n], truth[n])[0, 1] for n in range(PEOPLE)] for each in (near, far)]
    mean, low, high = table["pas", 2.0, "no-change"]["item_correlation"]
    assert mean == pytest.approx(np.mean(np.subtract(*correlations)))
    assert 0 < low < mean < high


def test_no_difference_is_exactly_none_and_a_constant_has_no_correlation(table):
    assert table["pas", 4.0, "no-change"]["composite"] == [0.0, 0.0, 0.0]
    assert table["pas", 2.0, "constant-3"]["item_correlation"] is None
