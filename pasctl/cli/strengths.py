"""Strengths that were tried, as text in columns: alpha, relative dose, effect and side effects side by side."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from pasctl.cli.tables import align

_EFFECTS = {
    "mae": "MAE: mean absolute error on fit items that directions were not fitted on, lower is better",
    "letters": "effect: by how many points of the scale answers to the fit items come nearer to the personas'",
    "statements": "effect: r of what the fit items' statements gain with what the personas say of themselves",
}


def strengths_table(curves: Mapping[str, Any]) -> str:
    """One row per strength, means over personas; what a budget of side effects rules out is marked.

    Args:
        curves: curves.json of strengths.
    """
    by_dose, measure = "doses" in curves, "effect" if "effect" in curves else "mae"
    budget = curves.get("budget_kl")
    header = [
        "alpha",
        *(["dose"] if by_dose else []),
        measure if measure == "effect" else "MAE",
        "KL",
        "perplexity",
        "",
    ]
    rows = []
    for place, alpha in enumerate(curves["alphas"]):
        kl = _mean(curves["kl"][place])
        rows.append(
            [
                f"{alpha:.3g}",
                *([f"{curves['doses'][place]:.2g}"] if by_dose else []),
                _number(_mean(curves[measure][place])),
                _number(kl),
                _number(_mean(curves["perplexity"][place])),
                _mark(curves, alpha, beyond=budget is not None and kl > budget),
            ]
        )
    told = [_EFFECTS[curves["reading"] if measure == "effect" else "mae"] + "."]
    if by_dose:
        told.append("dose: norm of the steering delta over the RMS norm of the head outputs that it is added to.")
    told.append("KL in nats/token, and perplexity: of neutral text.")
    return "\n".join([align([header, *rows], left=0), "", *told])


def _mark(curves: Mapping[str, Any], alpha: float, *, beyond: bool) -> str:
    chosen = curves["chosen"]
    if alpha == (chosen["population"] if isinstance(chosen, Mapping) else chosen):
        return "chosen"
    return "beyond the budget" if beyond else ""


def _mean(values: Sequence[float | None]) -> float:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else math.nan


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"
