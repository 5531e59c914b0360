"""How far the items of a trait go together over a panel: Cronbach's alpha and McDonald's omega."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from pasctl.evaluation.metrics import cronbach_alpha
from pasctl.evaluation.psychometrics.omega import omega
from pasctl.evaluation.psychometrics.panel import Floats, Panel


class Reliability(NamedTuple):
    """Trait -> its coefficient, NaN where it cannot be had."""

    alpha: dict[str, float]
    omega: dict[str, float]


def reliability(panel: Panel, answers: Floats) -> Reliability:
    """Both coefficients of each trait.

    Args:
        panel: whose items they are.
        answers: keyed answers [P, I]: the model's expected ones, or the people's.
    """
    persons, items = np.indices(answers.shape)
    cells = pd.DataFrame(
        {
            "group": 0,
            "draw": 0,
            "persona": persons.ravel(),
            "item": items.ravel(),
            "trait": np.tile(panel.traits, len(answers)),
            "key": 1,  # the answers are in keyed terms already
            "answer": answers.ravel(),
        }
    )
    alphas = cronbach_alpha(cells, "answer").droplevel(["group", "draw"])
    return Reliability(
        {trait: float(alphas.get(trait, np.nan)) for trait in panel.trait_codes},
        {trait: omega(answers[:, panel.columns(trait)]) for trait in panel.trait_codes},
    )
