"""What a strength that a user gives is expected to do to neutral text, and the note where that is beyond the budget."""

from __future__ import annotations

from typing import Any

import numpy as np

from pasctl.evaluation.dose import DOSES, kl_at, unit_doses
from pasctl.stages.choose_alpha import latest_strengths
from pasctl.stages.fit_contrast import AXES
from pasctl.stages.runner import Artifact, Store
from pasctl.stages.steering import DirectionSet

_CURVES = "curves.json"
_CLEAR = 10  # nats/token, beyond which a KL that was not measured is no figure


def beyond_budget(
    store: Store, directions: Artifact, known: DirectionSet, positions: str, alpha: float, budget: float | None
) -> str:
    """What is said of a strength beyond the budget of neutral text's KL; "" where it is within, or not known to be.

    What `choose-alpha` measured with these directions tells the KL. Where it was not run, the relative dose stands for
    it, against the largest that is ever tried.

    Args:
        store: where measurements are looked for.
        directions: the artifact.
        known: the directions of the persona alone.
        positions: where a text is steered.
        alpha: the strength.
        budget: in nats/token; None is no limit.
    """
    if budget is None or not alpha:
        return ""
    persona = known.personas.ids[0]
    strengths = latest_strengths(store, directions, positions)
    dose = _dose(directions, known, alpha)
    if strengths is None:
        if dose is None or dose <= DOSES[-1]:
            return ""
        return (
            f"{persona} at alpha {alpha:g} has a relative dose of {dose:.2g}, beyond the largest that is tried, "
            f"{DOSES[-1]:g}"
        )
    kl = _expected_kl(strengths.read_json(_CURVES), persona, alpha, dose)
    if kl is None or kl <= budget:
        return ""
    told = f"about {kl:.2g}" if kl < _CLEAR else f"more than {_CLEAR}"
    relative = "" if dose is None else f", relative dose {dose:.2g}"
    return (
        f"{persona} at alpha {alpha:g}{relative}: {told} nats/token of KL on neutral text, "
        f"beyond the budget of {budget:g}"
    )


def _dose(directions: Artifact, known: DirectionSet, alpha: float) -> float | None:
    """The relative dose of a persona, of directions that say how long head outputs are."""
    if not directions.files(AXES):
        return None
    return abs(alpha) * float(unit_doses(known.sigma, float(directions.read_json(AXES)["rms"]))[0])


def _expected_kl(curves: dict[str, Any], persona: str, alpha: float, dose: float | None) -> float | None:
    """The KL of a strength, from those that were measured: a persona's own, else at its dose."""
    alphas, kl = np.abs(np.array(curves["alphas"])), np.array(curves["kl"])
    if persona in curves["personas"]:
        return kl_at(abs(alpha), alphas, kl[:, curves["personas"].index(persona)])
    if dose is None or "units" not in curves:
        return None
    length = float(np.sqrt(np.square(np.array(curves["units"])[curves["rows"]]).mean()))
    return kl_at(dose, alphas * length, kl.mean(axis=1))
