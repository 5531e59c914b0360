"""The DataFrames of results and strengths equal the JSON they come from, also of results of earlier versions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pasctl.evaluation.differences import differences_table
from pasctl.evaluation.frames import Results, Strengths
from pasctl.evaluation.metrics import metrics_table
from pasctl.evaluation.rows import to_arrow, to_table
from pasctl.store import Store, make_key
from tests.evaluation.tables import item_frame, predicted
from tests.store.worker import commit, document

PEOPLE = 6
ITEMS = item_frame([f"i{n}" for n in range(20)], "OCEAN" * 4, ["f"] * 20, [1, -1] * 10)
BY_TRAIT = ("mae", "mae_argmax", "rank_correlation", "trait_score_error", "cronbach_alpha", "cronbach_alpha_person")


def put(store: Store, kind: str, files: dict[str, Any]) -> Any:
    staging = store.stage(make_key(document(len(store.keys()))))
    for name, content in files.items():
        (staging.write_table if name.endswith("parquet") else staging.write_json)(name, content)
    return commit(staging, document(len(store.keys())), kind=kind, model="tiny", label="made")


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    truth = rng.integers(1, 6, (PEOPLE, 20)).astype(float)
    truth[0, 3] = np.nan
    names = {("no-change", ""): 1.5, ("pas", "4"): 0.5, ("random-direction", "4"): 1.4}
    return pd.concat(
        [
            predicted(ITEMS, rng.normal(3, spread, truth.shape), truth, condition=name, setting=setting)
            for (name, setting), spread in names.items()
        ],
        ignore_index=True,
    )


@pytest.fixture(scope="module")
def metrics(rows: pd.DataFrame) -> dict[str, Any]:
    effects = {"condition": "pas", "setting": "4", "personas": PEOPLE, "kl": [0.2, 0.1, 0.3]}
    effects |= {"perplexity": [20.0, None, None], "repetition": [0.1, 0.0, 0.2]}
    return {
        "coding": "agreement",
        "conditions": metrics_table(rows),
        "differences": differences_table(rows),
        "side_effects": {
            "text": "t",
            "tokens": 9,
            "rows": [effects],
            "unsteered": {"perplexity": 18.0, "repetition": 0.0},
        },
    }


@pytest.fixture
def results(tmp_path: Path, rows: pd.DataFrame, metrics: dict[str, Any]) -> Results:
    table = rows.assign(argmax=rows["argmax"].round().clip(1, 5).astype(np.int8))
    made = put(Store(tmp_path), "results", {"rows.parquet": to_table(table), "metrics.json": metrics})
    assert type(made) is Results
    return made


def same(value: Any, wanted: float | str | None) -> bool:
    return bool(pd.isna(value)) if wanted is None else value == wanted


def test_conditions_are_those_of_the_json_with_intervals_in_columns(results: Results, metrics: dict[str, Any]) -> None:
    frame = results.conditions()
    assert len(frame) == len(metrics["conditions"]) == 3
    assert list(frame)[:3] == ["condition", "setting", "alpha"]
    for (_, found), row in zip(frame.iterrows(), metrics["conditions"], strict=True):
        for name in ("condition", "setting", "alpha", "personas", "items", "draws", "composite", "item_correlation"):
            assert same(found[name], row[name]), name
        for name in ("composite", "item_correlation"):
            assert [found[f"{name}_lo"], found[f"{name}_hi"]] == row[f"{name}_interval"]
        for name in BY_TRAIT:
            for trait in "OCEAN":
                assert same(found[f"{name}_{trait}"], row[name][trait]), name
    pd.testing.assert_frame_equal(results.frame(), frame)


def test_differences_have_intervals_and_p_of_each_trait(results: Results, metrics: dict[str, Any]) -> None:
    frame = results.differences()
    for (_, found), row in zip(frame.iterrows(), metrics["differences"], strict=True):
        for name in ("condition", "setting", "against", "against_setting"):
            assert found[name] == row[name]
        for name in ("composite", "item_correlation"):
            assert [found[name], found[f"{name}_lo"], found[f"{name}_hi"]] == row[name]
        for trait, wanted in row["traits"].items():
            columns = {"mean": "", "low": "_lo", "high": "_hi", "p": "_p", "p_holm": "_p_holm"}
            assert {key: found[f"mae_{trait}{end}"] for key, end in columns.items()} == wanted


def test_side_effects_begin_with_the_unsteered_model(results: Results) -> None:
    alone, steered = results.side_effects().to_dict("records")
    assert (alone["condition"], alone["kl"], alone["perplexity"]) == ("no-change", 0.0, 18.0)
    assert (steered["kl"], steered["kl_lo"], steered["kl_hi"], steered["personas"]) == (0.2, 0.1, 0.3, PEOPLE)
    assert np.isnan(steered["perplexity_lo"])


def test_rows_give_the_metrics_again(results: Results, rows: pd.DataFrame) -> None:
    again = results.rows()
    assert again.drop(columns="argmax").equals(rows.drop(columns="argmax"))
    composites = {row["condition"]: row["composite"] for row in metrics_table(again)}
    assert results.conditions().set_index("condition")["composite"].to_dict() == composites


def test_results_of_earlier_versions_are_read(tmp_path: Path) -> None:
    """The first had strengths alone, no draws, no differences and nothing beside personality."""
    old = {
        "condition": "pas",
        "alpha": 4.0,
        "composite": 3.5,
        "mae": {"O": 1.0},
        "personas": 2,
        "composite_interval": None,
    }
    plain = {"condition": "constant-3", "alpha": 0.0, "composite": 3.6, "mae": {"O": 1.0}, "personas": 2}
    made = put(Store(tmp_path), "results", {"metrics.json": {"conditions": [old, plain]}})
    frame = made.conditions()
    assert frame["setting"].tolist() == ["4", ""]
    assert frame["mae_O"].tolist() == [1.0, 1.0]
    assert frame["composite_lo"].isna().all()
    for empty in (made.differences(), made.side_effects(), made.trait_shifts(), made.audit()):
        assert empty.empty
    assert "pas" in made._repr_html_()


def test_curves_have_a_row_per_strength_and_persona(tmp_path: Path) -> None:
    curves = {
        "alphas": [0.0, 4.0],
        "personas": ["a", "b", "c"],
        "mae": [[1.0, 1.1, 1.2], [0.9, 1.3, 1.0]],
        "item_correlation": [[None, 0.1, 0.2], [0.3, 0.2, None]],
        "kl": [[0.0, 0.0, 0.0], [0.1, 0.2, 0.3]],
        "perplexity": [[9.0, 9.0, 9.0], [9.5, 9.6, 9.7]],
        "chosen": {"persona": [4.0, 0.0, 4.0], "population": 0.0},
    }
    table = pd.DataFrame({"persona": ["a", "b"], "alpha": [0.0, 4.0], "fold": np.array([0, 1], np.int16)})
    made = put(Store(tmp_path), "strengths", {"curves.json": curves, "rows.parquet": to_arrow(table)})
    assert type(made) is Strengths
    frame = made.curves()
    for row in frame.itertuples():
        at = curves["alphas"].index(row.alpha), curves["personas"].index(row.persona)
        for name in ("mae", "item_correlation", "kl", "perplexity"):
            assert same(getattr(row, name), curves[name][at[0]][at[1]])
    assert frame[frame["chosen"]].set_index("persona")["alpha"].to_dict() == {"a": 4.0, "b": 0.0, "c": 4.0}
    pd.testing.assert_frame_equal(made.rows(), table)
