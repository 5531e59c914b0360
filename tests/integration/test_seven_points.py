"""People who answer the built-in items on seven points are told apart on the demo model, which has only seen five."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pasctl.inventory import PersonaSet, builtin_inventory
from pasctl.inventory.simulate import CLEAR, DEMO_PEOPLE, DEMO_SEED, latent_scores
from pasctl.stages.pipeline import run

pytestmark = pytest.mark.integration

SLIGHTLY = ("Slightly accurate", "Slightly inaccurate")
THRESHOLDS = np.array([-1.0, -0.6, -0.2, 0.2, 0.6, 1.0])


def test_people_of_seven_points_are_steered_to_their_own_answers(tmp_path: Path) -> None:
    usual = builtin_inventory()
    high, low = usual.labels[:2], usual.labels[3:]
    seven = replace(usual, name="seven", labels=(*high, SLIGHTLY[0], usual.labels[2], SLIGHTLY[1], *low), scores=())
    eta = latent_scores(usual, CLEAR, DEMO_PEOPLE, DEMO_SEED)
    uniform = np.random.default_rng(DEMO_SEED).random((*eta.shape, 1))
    keyed = 1 + (uniform < 1 / (1 + np.exp(-CLEAR.discrimination * (eta[..., None] - THRESHOLDS)))).sum(axis=-1)
    people = PersonaSet("seven", tuple(f"s{row}" for row in range(DEMO_PEOPLE)), seven.keyed(keyed.astype(np.float64)))
    *_, last = run(
        ["demo"],
        inventory=seven,
        personas=people,
        reading="letters",
        modes="no-change,pas",
        neutral_text="none",
        store=tmp_path,
    )
    assert last.artifact is not None
    rows = {row["condition"]: row for row in last.artifact.read_json("metrics.json")["conditions"]}
    assert rows["pas"]["distinctive_r_interval"][0] > 0.3
    assert abs(rows["pas"]["wrong_person_r"]) < 0.05
    assert rows["pas"]["range_share"] < rows["no-change"]["range_share"]
    assert rows["own-trait-mean"]["range_share"] < 0.1 < rows["constant-middle"]["range_share"]
