"""The oracle: each persona's alpha of lowest error on the reported items, and what a trait pole does to every trait."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from pasctl.evaluation.alphas import alpha_text, parse_settings
from pasctl.evaluation.metrics import metrics_table
from pasctl.evaluation.oracle import oracle_rows
from pasctl.evaluation.rows import Rows, answer_rows
from pasctl.evaluation.trait_shifts import trait_shifts
from tests.evaluation.tables import item_frame, level_scores

TRAITS = tuple("OCEAN" * 4)
ITEMS = item_frame([f"i{n}" for n in range(20)], TRAITS, [f"{t}-f" for t in TRAITS], [1, -1] * 10)
PEOPLE = ("p0", "p1", "p2")


def answers(seed: int, condition: str, setting: str, alpha: float, draw: int = 0, people: tuple = PEOPLE) -> Rows:
    rng = np.random.default_rng(seed)
    truth = np.random.default_rng(99).integers(1, 6, (len(people), 20)).astype(float)
    truth[0, 3] = np.nan
    units = pd.DataFrame(
        {"persona": list(people), "condition": condition, "setting": setting, "alpha": alpha, "draw": draw}
    )
    letters = rng.dirichlet(np.ones(6), size=(len(people), 1, len(ITEMS)))[..., :5]
    return answer_rows(units, ITEMS, truth, np.log(letters), level_scores(len(ITEMS)))


def test_the_oracle_takes_each_personas_best_alpha_for_each_condition_and_draw() -> None:
    parts = {("pas", alpha, 0): answers(n, "pas", alpha_text(alpha), alpha) for n, alpha in enumerate((0.0, 2.0, -1.0))}
    for draw in (0, 1):
        for alpha in (0.0, 2.0, -1.0):
            seed = 10 + 10 * draw + int(alpha)
            parts["random-direction", alpha, draw] = answers(seed, "random-direction", alpha_text(alpha), alpha, draw)
    told = answers(50, "few-shot", "", 0.0)
    found = oracle_rows(pd.concat([told, *parts.values()]))
    assert set(found["setting"]) == {"oracle"}
    assert set(found["condition"]) == {"pas", "random-direction"}
    for condition, draw in (("pas", 0), ("random-direction", 0), ("random-direction", 1)):
        for persona in PEOPLE:
            errors = {}
            for alpha in (0.0, 2.0, -1.0):
                rows = parts[condition, alpha, draw]
                mine = rows["persona"] == persona
                errors[alpha] = np.nanmean(np.abs(rows["expected"] - rows["agreement"])[mine])
            best = min(errors, key=errors.__getitem__)
            mine = (found["condition"] == condition) & (found["draw"] == draw) & (found["persona"] == persona)
            assert set(found["alpha"][mine]) == {best}
            rows = parts[condition, best, draw]
            of_best = rows["expected"][rows["persona"] == persona]
            assert found["expected"][mine].to_list() == of_best.to_list()
    table = {(row["condition"], row["setting"]): row for row in metrics_table(pd.concat([*parts.values(), found]))}
    for condition in ("pas", "random-direction"):
        plain = [
            row["composite"]
            for (name, setting), row in table.items()
            if (name, setting != "oracle") == (condition, True)
        ]
        assert table[condition, "oracle"]["composite"] < min(plain)


def test_draws_are_averaged_persona_by_persona() -> None:
    draws = [answers(seed, "random-direction", "2", 2.0, draw) for draw, seed in enumerate((1, 2, 3))]
    [together] = metrics_table(pd.concat(draws))
    apart = [metrics_table(rows)[0] for rows in draws]
    assert together["draws"] == 3
    assert together["draw_composites"] == pytest.approx([row["composite"] for row in apart])
    for name in ("composite", "item_correlation", "acquiescence", "option_mass"):
        assert together[name] == pytest.approx(np.mean([row[name] for row in apart]))
    assert together["mae"]["E"] == pytest.approx(np.mean([row["mae"]["E"] for row in apart]))
    errors = pd.concat(draws).assign(error=lambda rows: (rows["expected"] - rows["agreement"]).abs())
    of_persona = errors.groupby(["persona", "draw", "trait"])["error"].mean().groupby(["persona", "trait"]).mean()
    sums = of_persona.groupby("persona").sum()
    assert together["composite_interval"] == pytest.approx(
        stats.t.interval(0.95, 2, loc=sums.mean(), scale=stats.sem(sums))
    )


def test_an_oracle_brings_its_candidates_and_equal_strengths_are_one() -> None:
    assert parse_settings("oracle", (0.0, 2.0)) == (0.0, 2.0, "oracle")
    assert parse_settings("auto,0,4,oracle", (1.0,)) == (0.0, 4.0, "auto", "oracle")
    assert parse_settings([-0.0, 0, "auto"], (1.0,)) == (0.0, "auto")
    assert (alpha_text(4.0), alpha_text(0.5), alpha_text(1.0000001)) == ("4", "0.5", "1.0000001")


@pytest.mark.parametrize("enough", [True, False])
def test_a_pole_moves_each_trait_by_what_its_scores_differ(enough: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """With an interval over the items where there are enough of them; here a trait has four."""
    if enough:
        monkeypatch.setattr("pasctl.evaluation.trait_shifts.FEWEST_ITEMS", 4)
    poles = ("E+", "N-", "someone")
    before, after = answers(1, "no-change", "", 0.0, people=poles), answers(2, "pas", "4", 4.0, people=poles)
    found = trait_shifts(pd.concat([before, after]))
    assert [(row["persona"], row["trait"]) for row in found] == [(p, t) for p in ("E+", "N-") for t in "OCEAN"]
    for each in found:
        mine = ((before["persona"] == each["persona"]) & (before["trait"] == each["trait"])).to_numpy()
        score = [np.where(rows["key"] > 0, rows["expected"], 6 - rows["expected"])[mine] for rows in (before, after)]
        assert each["shift"] == pytest.approx(score[1].mean() - score[0].mean())
        test = stats.ttest_rel(score[1], score[0]).confidence_interval()
        if enough:
            assert (each["low"], each["high"]) == pytest.approx((test.low, test.high))
        else:
            assert each["low"] is each["high"] is None
        assert (each["condition"], each["setting"], each["alpha"]) == ("pas", "4", 4.0)
    assert trait_shifts(after) == []
