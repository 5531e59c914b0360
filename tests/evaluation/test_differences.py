"""Differences between conditions: paired over personas, against what naive resampling gives."""

from __future__ import annotations

import numpy as np
import pytest

from pasctl.evaluation.differences import differences_table, trait_differences
from pasctl.evaluation.rows import Columns, RowItems, concat_rows, prediction_rows

TRAITS = tuple("OCEAN" * 2)
ITEMS = RowItems(
    tuple(f"i{n}" for n in range(10)),
    TRAITS,
    tuple(f"{trait}-facet" for trait in TRAITS),
    np.array([1] * 5 + [-1] * 5, np.int8),
)
PEOPLE = 24


def rows_of(predictions: dict[tuple[str, str], np.ndarray], truth: np.ndarray) -> Columns:
    tables = []
    for (name, setting), matrix in predictions.items():
        for number in range(len(truth)):
            rows = prediction_rows(
                persona=f"p{number}",
                condition=name,
                items=ITEMS,
                agreements=truth[number],
                predictions=matrix[number],
            )
            tables.append({**rows, "setting": np.full(len(rows["item"]), setting, dtype=object)})
    return concat_rows(tables)


@pytest.fixture(scope="module")
def table() -> dict[tuple[str, str, str], dict]:
    rng = np.random.default_rng(0)
    truth = rng.integers(1, 6, (PEOPLE, 10)).astype(float)
    near, far = truth + rng.normal(0, 0.3, truth.shape), 3 + rng.normal(0, 0.5, truth.shape)
    rows = rows_of(
        {
            ("no-change", ""): far,
            ("pas", "2"): near,
            ("pas", "auto"): far,
            ("random-direction", "2"): far,
            ("random-direction", "auto"): near,
            ("shuffled-answers", "2"): far,
            ("constant-3", ""): np.full(truth.shape, 3.0),
        },
        truth,
    )
    found = {(row["condition"], row["setting"], row["against"]): row for row in differences_table(rows)}
    return found | {"truth": truth, "near": near, "far": far}  # type: ignore[dict-item]


def test_what_is_set_against_what(table):
    names = {key for key in table if isinstance(key, tuple)}
    assert names == {
        ("no-change", "", "constant-3"),
        *(
            ("pas", alpha, other)
            for alpha in ("2", "auto")
            for other in ("no-change", "constant-3", "random-direction")
        ),
        ("pas", "2", "shuffled-answers"),
        *(("random-direction", alpha, other) for alpha in ("2", "auto") for other in ("no-change", "constant-3")),
        *(("shuffled-answers", "2", other) for other in ("no-change", "constant-3")),
    }
    assert table["pas", "2", "random-direction"]["against_setting"] == "2"


def test_the_interval_is_that_of_naive_paired_resampling(table):
    truth, near, far = table["truth"], table["near"], table["far"]
    gain = np.abs(near - truth) - np.abs(far - truth)
    of_persona = np.stack([gain[:, [n, n + 5]].mean(axis=1) for n in range(5)], axis=1).sum(axis=1)
    rng = np.random.default_rng(7)
    naive = [of_persona[rng.integers(0, PEOPLE, PEOPLE)].mean() for _ in range(20_000)]
    mean, low, high = table["pas", "2", "no-change"]["composite"]
    assert mean == pytest.approx(of_persona.mean())
    assert (low, high) == pytest.approx(np.quantile(naive, [0.025, 0.975]), abs=0.06)
    assert high < 0
    correlations = [[np.corrcoef(each[n], truth[n])[0, 1] for n in range(PEOPLE)] for each in (near, far)]
    mean, low, high = table["pas", "2", "no-change"]["item_correlation"]
    assert mean == pytest.approx(np.mean(np.subtract(*correlations)))
    assert 0 < low < mean < high


def test_no_difference_is_exactly_none_and_a_constant_has_no_correlation(table):
    assert table["pas", "auto", "no-change"]["composite"] == [0.0, 0.0, 0.0]
    assert table["pas", "2", "constant-3"]["item_correlation"] is None
    for of_trait in table["pas", "auto", "no-change"]["traits"].values():
        assert of_trait == {"mean": 0.0, "low": 0.0, "high": 0.0, "p": 1.0, "p_holm": 1.0}


def test_each_trait_has_its_own_interval_and_p_value(table):
    truth, near, far = table["truth"], table["near"], table["far"]
    rng = np.random.default_rng(8)
    drawn = [rng.integers(0, PEOPLE, PEOPLE) for _ in range(4000)]
    found = table["pas", "2", "no-change"]["traits"]
    assert list(found) == list("OCEAN")
    for place, trait in enumerate("OCEAN"):
        gain = (np.abs(near - truth) - np.abs(far - truth))[:, [place, place + 5]].mean(axis=1)
        naive = [gain[people].mean() for people in drawn]
        each = found[trait]
        assert each["mean"] == pytest.approx(gain.mean())
        assert (each["low"], each["high"]) == pytest.approx(np.quantile(naive, [0.025, 0.975]), abs=0.04)
        assert each["p"] <= each["p_holm"] <= min(1, 5 * each["p"])
        assert each["p"] == pytest.approx(2 / 2001)  # no resample of 2000 is on the other side: small, and never 0
        assert each["p_holm"] == pytest.approx(5 * 2 / 2001)


def test_a_p_value_is_twice_the_share_of_resamples_on_the_other_side_and_tells_what_the_interval_does():
    rng = np.random.default_rng(9)
    shifts = np.array([0.0, 0.1, 0.2, 0.3, 0.5])
    for number in range(20):
        values = rng.normal(shifts * (-1) ** number, 1.0, (40, 5))
        found = trait_differences(values)
        naive = np.array([values[rng.integers(0, 40, 40)].mean(axis=0) for _ in range(3000)])
        for place, each in enumerate(found.values()):
            smaller = min((naive[:, place] <= 0).mean(), (naive[:, place] >= 0).mean())
            assert each["p"] == pytest.approx(min(1, 2 * smaller), abs=0.09)  # four standard errors of both
            if abs(each["p"] - 0.05) > 0.002:
                assert (each["p"] < 0.05) == (each["low"] > 0 or each["high"] < 0)
        by_p = sorted(found.values(), key=lambda each: each["p"])
        assert by_p[0]["p_holm"] == pytest.approx(min(1, 5 * by_p[0]["p"]))


def test_traits_that_nobody_has_take_no_part_in_the_correction():
    values = np.random.default_rng(10).normal(0.4, 1.0, (40, 5))
    values[:, [0, 3]] = np.nan
    values[4:, 4] = np.nan  # four personas are not enough
    found = trait_differences(values)
    assert [trait for trait, each in found.items() if each is None] == ["O", "A", "N"]
    smallest, largest = sorted((each for each in found.values() if each), key=lambda each: each["p"])
    assert smallest["p_holm"] == pytest.approx(2 * smallest["p"])
    assert largest["p_holm"] == max(largest["p"], smallest["p_holm"])
    assert set(trait_differences(values[:4]).values()) == {None}
