"""The psychometrics of an evaluation: its rows, what is printed, and what the page shows."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pasctl.cli.psychometrics_table import psychometrics_table
from pasctl.evaluation.psychometrics.summary import PEOPLE, PanelSummary, panel_summaries
from pasctl.report.sections.psychometrics import psychometrics
from tests.evaluation.psychometrics.made import Floats, graded_answers
from tests.evaluation.tables import item_frame, predicted

KEYS = np.array([1, -1, 1, -1, 1] * 2)
ITEMS = item_frame([f"i{place}" for place in range(10)], list("X" * 5 + "Y" * 5), ["f"] * 10, KEYS)
A = np.full(5, 1.8)
B = A[:, None] * (np.array([-1.5, -0.5, 0.5, 1.5]) + np.linspace(-0.3, 0.3, 5)[:, None])
COUNT = 60


def agreements(theta: Floats, rng: np.random.Generator, moved: float = 0.0) -> Floats:
    """Of persons with two traits [P, 2]; the second item of the first trait is answered by so much higher."""
    other = B.copy()
    other[1] -= moved * A[1]
    keyed = np.hstack([graded_answers(theta[:, 0], A, other, rng), graded_answers(theta[:, 1], A, B, rng)])
    return np.where(KEYS > 0, keyed, 6 - keyed)


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    rng = np.random.default_rng(3)
    theta = rng.standard_normal((COUNT, 2))
    people = agreements(theta, rng)
    same = np.full(people.shape, 3.0)
    return pd.concat(
        [
            predicted(ITEMS, same, people, condition="no-change"),
            predicted(ITEMS, people, people, setting="2"),
            predicted(ITEMS, moved := agreements(theta, rng, moved=2.0), people, moved, setting="8"),
            predicted(ITEMS, people, people, condition="own-trait-mean"),
        ],
        ignore_index=True,
    ).assign(reading="letters")


@pytest.fixture(scope="module")
def summaries(rows: pd.DataFrame) -> list[PanelSummary]:
    return panel_summaries(rows)


def test_people_come_first_and_baselines_have_no_panel(summaries: list[PanelSummary]) -> None:
    assert [(each.condition, each.setting, each.personas) for each in summaries] == [
        (PEOPLE, "", COUNT),
        ("no-change", "", COUNT),
        ("pas", "2", COUNT),
        ("pas", "8", COUNT),
    ]


def test_a_model_that_answers_as_the_people_is_as_they_are(summaries: list[PanelSummary]) -> None:
    people, _, copy, _ = summaries
    assert copy.mean("omega") == pytest.approx(people.mean("omega"))
    assert copy.mean("alpha") == pytest.approx(people.mean("alpha"))
    assert (copy.mean("phi"), copy.mean("distance")) == (pytest.approx(1), 0)
    assert (copy.different, copy.tested) == (0, 10)
    for trait, own in zip(copy.traits, people.traits, strict=True):
        assert trait.place == own.place
        assert trait.place is not None
        assert trait.place.correlation == pytest.approx(1)


def test_a_model_that_tells_nobody_apart_has_no_structure(summaries: list[PanelSummary]) -> None:
    same = summaries[1]
    assert all(np.isnan(same.mean(name)) for name in ("omega", "alpha", "phi"))
    assert same.tested == 0
    assert same.mean("share") == pytest.approx(same.mean("distance") / 4)
    assert same.mean("share") > 0.1


def test_the_item_that_was_moved_is_named_in_keyed_points(summaries: list[PanelSummary]) -> None:
    first, second = summaries[3].traits
    assert "i1" in {each.item for each in first.different}
    [moved] = [each for each in first.different if each.item == "i1"]
    assert moved.points > 0.4
    assert second.different == ()


def test_the_table_has_a_row_for_each_and_fits_a_terminal(rows: pd.DataFrame) -> None:
    lines = psychometrics_table(rows).splitlines()
    assert [line.split()[0] for line in lines[1:5]] == ["people", "no-change", "pas", "pas"]
    assert "1.00 (" in lines[3]
    assert max(map(len, lines)) <= 110
    both = psychometrics_table(pd.concat([rows, rows.assign(reading="statements", dlp=rows["expected"])]))
    assert "pas 2, statements" in both
    assert sum(line.startswith("people") for line in both.splitlines()) == 1


def test_calibration_alone_tells_no_persons_apart(rows: pd.DataFrame) -> None:
    """Statements are calibrated on the other persons, so expected answers differ a little where nothing is steered."""
    alone = rows[rows["condition"] == "no-change"]
    drift = alone["expected"] + 0.01 * alone["persona"].str[1:].astype(float)
    [_, summary] = panel_summaries(alone.assign(reading="statements", expected=drift, dlp=0.0))
    assert all(np.isnan(summary.mean(name)) for name in ("omega", "alpha", "phi"))


def test_the_page_names_items_that_differ(rows: pd.DataFrame) -> None:
    means, traits = psychometrics(rows)
    assert [row[0].text for row in means.rows] == ["people", "no-change", "pas, α 2", "pas, α 8"]
    assert [row[1].text for row in traits.rows] == ["X", "Y"] * 4
    assert "i1 +" in traits.rows[6][-1].note
    assert all(len(row) == len(table.head) for table in (means, traits) for row in table.rows)


def test_few_persons_have_no_table(rows: pd.DataFrame) -> None:
    few = rows[rows["persona"].isin([f"p{place}" for place in range(19)])]
    assert psychometrics_table(few) == ""
    assert psychometrics(few) == ()


def test_two_items_to_a_trait_and_missing_answers_are_no_error(rows: pd.DataFrame) -> None:
    small = rows[rows["item"].isin(["i0", "i1", "i5", "i6"])].copy()
    small.loc[small["persona"] == "p0", "agreement"] = np.nan
    people, *others = panel_summaries(small)
    assert np.isnan(people.mean("omega"))
    assert all(each.tested == 0 and each.traits[0].place is None for each in others)
    assert others[1].mean("phi") > 0.9


def test_an_item_that_nobody_answered_counts_for_nothing(rows: pd.DataFrame) -> None:
    blank = rows.assign(agreement=rows["agreement"].where(rows["item"] != "i7"))
    [_, _, copy, _], [_, _, whole, _] = panel_summaries(blank), panel_summaries(rows)
    assert (copy.traits[1].distance, copy.tested) == (0, 9)
    assert copy.traits[0].place == whole.traits[0].place


def test_answers_between_the_scores_have_no_graded_model(rows: pd.DataFrame) -> None:
    between = rows["agreement"] + np.random.default_rng(0).uniform(-0.4, 0.4, len(rows))
    first, *others = panel_summaries(rows.assign(agreement=between))
    assert first.traits[0].place is None
    assert np.isfinite(first.mean("omega"))
    assert all(each.tested == 0 for each in others)
