"""Persons who are made up go through the stages: combined of poles, described in standard deviations, drawn."""

from __future__ import annotations

from pathlib import Path

import pytest

from pasctl.evaluation.rows import from_table
from pasctl.stages.runner import Store
from tests.integration.warm import Warm

pytestmark = pytest.mark.integration

QUICK = ("--dtype", "float32", "--neutral-text", "none", "--control-draws", "1", "--alpha", "1", "--reading", "letters")


@pytest.fixture
def store(tmp_path: Path) -> tuple[str | Path, ...]:
    return "--store", tmp_path / "store"


def test_run_evaluates_one_person_of_two_poles(
    warm: Warm, tiny_folder: Path, store: tuple[str | Path, ...], tmp_path: Path
) -> None:
    done = warm.run(
        *("run", "--model", tiny_folder, "--personas", "E+ & N-"),
        *("--mode", "no-change,few-shot,personality-prompt,pas", *QUICK, *store),
    )
    assert done.returncode == 0, done.stderr
    results = next(iter(Store(tmp_path / "store").candidates("results")))
    rows = from_table(results.read_table("rows.parquet")).dropna(subset=["agreement"])
    assert set(rows["persona"]) == {"E+ & N-"}
    assert set(rows["trait"]) == {"E", "N"}
    keyed = rows["agreement"].where(rows["key"] > 0, 6 - rows["agreement"])
    assert set(keyed[rows["trait"] == "E"]) == {5}
    assert set(keyed[rows["trait"] == "N"]) == {1}


@pytest.mark.parametrize("spec", ["E+ & N-", "E+,E+ & 0.5*N-", "traits:E=1.5,N=-1;O=2"])
def test_probes_are_trained_of_made_up_persons(
    warm: Warm, tiny_folder: Path, store: tuple[str | Path, ...], spec: str
) -> None:
    done = warm.run("extract", "--model", tiny_folder, "--dtype", "float32", *store)
    assert done.returncode == 0, done.stderr
    done = warm.run("train-probes", "--personas", spec, *store)
    assert done.returncode == 0, done.stderr
