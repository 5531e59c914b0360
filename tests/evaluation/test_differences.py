"""Differences between conditions: paired over personas, against scipy's paired t tests."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from pasctl.evaluation.differences import differences_table, trait_differences
from pasctl.evaluation.intervals import FEWEST
from tests.evaluation.tables import item_frame, predicted

TRAITS = tuple("OCEAN" * 2)
ITEMS = item_frame([f"i{n}" for n in range(10)], TRAITS, [f"{trait}-facet" for trait in TRAITS], [1] * 5 + [-1] * 5)
PEOPLE = 24


@pytest.fixture(scope="module")
def table() -> dict[tuple[str, str, str], dict]:
    rng = np.random.default_rng(0)
    truth = rng.integers(1, 6, (PEOPLE, 10)).astype(float)
    near, far = truth + rng.normal(0, 0.3, truth.shape), 3 + rng.normal(0, 0.5, truth.shape)
    predictions = {
        ("no-change", ""): far,
        ("pas", "2"): near,
        ("pas", "auto"): far,
        ("random-direction", "2"): far,
        ("random-direction", "auto"): near,
        ("shuffled-answers", "2"): far,
        ("constant-3", ""): np.full(truth.shape, 3.0),
    }
    rows = pd.concat(
        predicted(ITEMS, matrix, truth, condition=name, setting=setting)
        for (name, setting), matrix in predictions.items()
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


def test_the_interval_is_that_of_a_paired_t_test(table):
    truth, near, far = table["truth"], table["near"], table["far"]
    gain = np.abs(near - truth) - np.abs(far - truth)
    of_persona = np.stack([gain[:, [n, n + 5]].mean(axis=1) for n in range(5)], axis=1).sum(axis=1)
    mean, low, high = table["pas", "2", "no-change"]["composite"]
    test = stats.ttest_1samp(of_persona, 0.0).confidence_interval()
    assert (mean, low, high) == pytest.approx((of_persona.mean(), test.low, test.high))
    assert high < 0
    correlations = [[np.corrcoef(each[n], truth[n])[0, 1] for n in range(PEOPLE)] for each in (near, far)]
    mean, low, high = table["pas", "2", "no-change"]["item_correlation"]
    test = stats.ttest_rel(*correlations).confidence_interval()
    assert (mean, low, high) == pytest.approx((np.mean(np.subtract(*correlations)), test.low, test.high))
    assert 0 < low < mean < high


def test_no_difference_is_exactly_none_and_a_constant_has_no_correlation(table):
    assert table["pas", "auto", "no-change"]["composite"] == [0.0, 0.0, 0.0]
    assert table["pas", "2", "constant-3"]["item_correlation"] is None
    for of_trait in table["pas", "auto", "no-change"]["traits"].values():
        assert of_trait == {"mean": 0.0, "low": 0.0, "high": 0.0, "p": 1.0, "p_holm": 1.0}


def test_each_trait_has_its_own_interval_and_p_value(table):
    truth, near, far = table["truth"], table["near"], table["far"]
    found = table["pas", "2", "no-change"]["traits"]
    assert list(found) == list("OCEAN")
    for place, trait in enumerate("OCEAN"):
        of_persona = [np.abs(each - truth)[:, [place, place + 5]].mean(axis=1) for each in (near, far)]
        test = stats.ttest_rel(*of_persona)
        each, bounds = found[trait], test.confidence_interval()
        assert each["mean"] == pytest.approx(np.mean(np.subtract(*of_persona)))
        assert (each["low"], each["high"]) == pytest.approx((bounds.low, bounds.high))
        assert each["p"] == pytest.approx(test.pvalue)
        assert each["p"] <= each["p_holm"] <= min(1, 5 * each["p"])


def by_trait(values: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame(values, columns=list("OCEAN"))


def test_a_p_value_tells_what_the_interval_does():
    rng = np.random.default_rng(9)
    shifts = np.array([0.0, 0.1, 0.2, 0.3, 0.5])
    for number in range(20):
        found = trait_differences(by_trait(rng.normal(shifts * (-1) ** number, 1.0, (40, 5))))
        for each in found.values():
            assert (each["p"] < 0.05) == (each["low"] > 0 or each["high"] < 0)
        by_p = sorted(found.values(), key=lambda each: each["p"])
        assert by_p[0]["p_holm"] == pytest.approx(min(1, 5 * by_p[0]["p"]))


def test_traits_that_too_few_have_take_no_part_in_the_correction():
    values = np.random.default_rng(10).normal(0.4, 1.0, (40, 5))
    values[:, [0, 3]] = np.nan
    values[FEWEST - 1 :, 4] = np.nan
    found = trait_differences(by_trait(values))
    assert [trait for trait, each in found.items() if each is None] == ["O", "A", "N"]
    smallest, largest = sorted((each for each in found.values() if each), key=lambda each: each["p"])
    assert smallest["p_holm"] == pytest.approx(2 * smallest["p"])
    assert largest["p_holm"] == max(largest["p"], smallest["p_holm"])
    assert set(trait_differences(by_trait(values[: FEWEST - 1])).values()) == {None}
