"""Stars of trait shifts at their rate: simulated poles whose items move by chance, or by a known amount."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from pasctl.evaluation.intervals import FEWEST_ITEMS
from pasctl.evaluation.rows import Rows
from pasctl.evaluation.trait_shifts import is_significant, trait_shifts

TRAITS = ("O", "C", "E", "A", "N")

POLES = tuple(f"{trait}{sign}" for trait in TRAITS for sign in "+-")
SETTINGS = 60
"""Evaluations in one table: each setting is corrected by itself."""


def simulated(items: int, seed: int, effect: float = 0.0, settings: int = SETTINGS) -> Rows:
    """Rows of POLES before steering and, by `settings` strengths, after it; a pole's own trait moves by `effect`.

    What an item moves by is its own, so that a trait's mean shift is known only as well as there are items.
    """
    rng = np.random.default_rng([seed, items])
    trait = np.repeat(list(TRAITS), items)
    key = np.tile([1, -1], len(trait))[: len(trait)]
    before = rng.uniform(1.5, 4.5, (len(POLES), len(trait)))
    frames = []
    for setting in range(settings + 1):
        moved = rng.normal(0, 0.4, before.shape)
        for place, pole in enumerate(POLES):
            moved[place, trait == pole[0]] += effect * (1 if pole[1] == "+" else -1)
        scores = before if setting == 0 else before + moved
        frames.append(
            pd.DataFrame(
                {
                    "persona": np.repeat(POLES, len(trait)),
                    "condition": "no-change" if setting == 0 else "pas",
                    "setting": "" if setting == 0 else str(setting),
                    "alpha": float(setting),
                    "draw": 0,
                    "item": np.tile([f"i{number}" for number in range(len(trait))], len(POLES)),
                    "trait": np.tile(trait, len(POLES)),
                    "key": np.tile(key, len(POLES)),
                    "expected": np.where(np.tile(key, len(POLES)) > 0, scores.ravel(), 6 - scores.ravel()),
                }
            )
        )
    return pd.concat(frames, ignore_index=True)


def of_settings(table: list[dict]) -> list[list[dict]]:
    return [rows.to_dict("records") for _, rows in pd.DataFrame(table).groupby("setting", sort=False)]


@pytest.mark.parametrize("items", [FEWEST_ITEMS, 24])
def test_without_an_effect_a_table_of_fifty_cells_has_a_star_one_time_in_twenty(items: int) -> None:
    tables = [each for seed in range(3) for each in of_settings(trait_shifts(simulated(items, seed)))]
    assert {len(table) for table in tables} == {len(POLES) * len(TRAITS)}
    any_star = np.mean([any(map(is_significant, table)) for table in tables])
    by_interval = np.mean([any(row["low"] > 0 or row["high"] < 0 for row in table) for table in tables])
    assert any_star <= 0.05 + 2.5 * np.sqrt(0.05 * 0.95 / len(tables))  # the error of the simulation itself
    assert by_interval > 0.8  # what the correction is for


def test_the_interval_of_a_shift_covers_it() -> None:
    table = trait_shifts(simulated(FEWEST_ITEMS, 9, effect=0.5, settings=30))
    meant = [row for row in table if row["persona"][0] == row["trait"]]
    truth = [0.5 if row["persona"][1] == "+" else -0.5 for row in meant]
    covered = [row["low"] <= value <= row["high"] for row, value in zip(meant, truth, strict=True)]
    assert len(covered) == 300
    assert 0.92 <= np.mean(covered) <= 0.98


def test_a_planted_shift_has_its_star() -> None:
    table = trait_shifts(simulated(24, 3, effect=0.6, settings=10))
    assert np.mean([is_significant(row) for row in table if row["persona"][0] == row["trait"]]) > 0.9


def test_fewer_items_have_no_star_however_far_they_move() -> None:
    for items in (1, 6, FEWEST_ITEMS - 1):
        table = trait_shifts(simulated(items, 5, effect=3.0, settings=2))
        assert {row["items"] for row in table} == {items}
        assert all(row["p_holm"] is row["p"] is row["low"] is None for row in table)
        assert not any(map(is_significant, table))


def test_p_values_are_of_the_paired_test_and_corrected_within_their_own_setting() -> None:
    rows = simulated(FEWEST_ITEMS, 7, effect=0.4, settings=3)
    table = trait_shifts(rows)
    score = np.where(rows["key"] > 0, rows["expected"], 6 - rows["expected"])
    scored = rows.assign(score=score).set_index(["persona", "trait", "setting", "item"])["score"]
    for cells in of_settings(table):
        smallest = min(cells, key=lambda row: row["p"])
        assert smallest["p_holm"] == pytest.approx(min(1.0, len(cells) * smallest["p"]))
        for row in cells[:7]:
            after, before = (scored[row["persona"], row["trait"], which] for which in (row["setting"], ""))
            assert row["p"] == pytest.approx(stats.ttest_rel(after, before[after.index]).pvalue)
            assert row["p"] <= row["p_holm"] <= 1


def test_results_of_earlier_versions_have_no_corrected_p_and_no_star() -> None:
    assert not is_significant({"shift": 1.0, "low": 0.5, "high": 1.5})
