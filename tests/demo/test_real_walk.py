"""The walk-through on a model that writes: every step runs, and a second walk computes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from pasctl.demo.real import RealScale, RealWalk
from pasctl.stages.run import Run
from tests.tiny import save_tiny

pytestmark = pytest.mark.integration

SCALE = RealScale(poles="E+", prompts=("Tell me about it.",), personas="builtin:0-3", modes="no-change,pas")


def test_every_step_is_an_ordinary_call_whose_result_is_kept(tmp_path: Path) -> None:
    folder, store = str(save_tiny(tmp_path / "tiny")), tmp_path / "store"
    first = RealWalk(Run(store), folder, SCALE)
    outcomes = [step.run() for step in first.steps]
    assert [outcome.stage for outcome in outcomes] == [
        *("extract", "fit-directions", "choose-alpha", "say", "fit-directions", "eval")
    ]
    figures = first.figures()
    written = {row["condition"] for row in figures["texts"]}
    assert written == {"as-is", "steered-up", "steered-down", "prompted"}
    assert {"no-change", "pas", "own-facet-mean"} <= {row["condition"] for row in figures["conditions"]}
    assert {row["reading"] for row in figures["conditions"]} == {"statements", ""}
    assert all(step.command.startswith("pasctl ") for step in first.steps)
    again = RealWalk(Run(store), folder, SCALE)
    assert all(step.run().reused for step in again.steps)
    assert [each.key for each in again.artifacts] == [each.key for each in first.artifacts]
