"""`pasctl run --model demo` without another option: poles move as meant, people come nearer, and controls do not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pasctl.evaluation.defaults import BUDGET_KL
from pasctl.stages.pipeline import run
from pasctl.stages.runner import Artifact

pytestmark = pytest.mark.integration
TRAITS = "OCEAN"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory):
    return tmp_path_factory.mktemp("defaults")


def results(store, **options) -> Artifact:
    *_, last = run(["demo"], store=store, **options)
    assert last.artifact is not None
    return last.artifact


@pytest.fixture(scope="module")
def people(store) -> Artifact:
    return results(store, personas="demo")


@pytest.fixture(scope="module")
def poles(store) -> Artifact:
    return results(store)


def composites(expected: pd.DataFrame, agreement: pd.DataFrame, traits: pd.Series) -> np.ndarray:
    """The composite error [P, Q] of P persons' answers under Q persons' steering; frames are [persons, items]."""
    errors = np.abs(expected.to_numpy()[None] - agreement.to_numpy()[:, None])  # [P, Q, I]
    return sum(errors[:, :, (traits == trait).to_numpy()].mean(axis=2) for trait in TRAITS)


def of_condition(rows: pd.DataFrame, condition: str, column: str) -> pd.DataFrame:
    return rows[rows["condition"] == condition].pivot_table(index="persona", columns="item", values=column, sort=False)


def test_poles_move_their_trait_by_half_a_point_as_meant(poles: Artifact) -> None:
    shifts = poles.trait_shifts()
    meant = shifts[(shifts["condition"] == "pas") & (shifts["persona"].str[0] == shifts["trait"])]
    assert sorted(meant["persona"]) == sorted(f"{trait}{sign}" for trait in TRAITS for sign in "+-")
    signs = np.where(meant["persona"].str[1] == "+", 1, -1)
    assert (meant["shift"] * signs >= 0.5).sum() >= 8
    random = shifts[(shifts["condition"] == "random-direction") & (shifts["persona"].str[0] == shifts["trait"])]
    assert random["shift"].abs().max() < 0.3


def test_people_come_nearer_to_their_answers_beyond_chance(people: Artifact) -> None:
    table = people.differences().set_index(["condition", "against"])
    fall = table.loc[("pas", "no-change")]
    assert people.conditions().set_index("condition").loc["pas", "personas"] == 60
    assert fall["composite"] <= -1.0
    assert fall["composite_hi"] < 0
    assert table.loc[("pas", "random-direction"), "composite_hi"] < 0
    assert table.loc[("pas", "shuffled-answers"), "composite_hi"] < 0


def test_controls_bring_nobody_nearer(people: Artifact) -> None:
    table = people.differences().set_index(["condition", "against"])
    for control in ("random-direction", "shuffled-answers"):
        assert table.loc[(control, "no-change"), "composite"] > -0.1
    rows = people.rows()
    traits = rows.drop_duplicates("item").set_index("item")["trait"]
    rows = rows[rows["reading"] == "letters"] if "reading" in rows else rows
    steered, untouched = (of_condition(rows, name, "expected") for name in ("pas", "no-change"))
    agreement = of_condition(rows, "pas", "agreement")
    gains = composites(steered, agreement, traits) - composites(untouched, agreement, traits)
    own, others = np.diag(gains), gains[~np.eye(len(gains), dtype=bool)]
    assert own.mean() <= -1.0
    assert others.mean() > -0.1  # another person's directions


@pytest.mark.parametrize("made", ["people", "poles"])
def test_neutral_text_is_moved_within_the_budget(made: str, request: pytest.FixtureRequest) -> None:
    effects = request.getfixturevalue(made).side_effects().set_index("condition")
    assert 0 < effects.loc["pas", "kl"] <= BUDGET_KL
