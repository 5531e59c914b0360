"""What a condition changes: differences from the model left alone, from a constant and from a control, paired."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pasctl.evaluation.baselines import CONSTANT, CONSTANT_MIDDLE
from pasctl.evaluation.conditions import CONDITIONS, CONTROLS
from pasctl.evaluation.intervals import holm, mean_interval
from pasctl.evaluation.metrics import (
    GROUP,
    number_groups,
    over_draws,
    persona_correlations_of,
    persona_errors,
    trait_scores,
)

if TYPE_CHECKING:
    import pandas as pd

    from pasctl.evaluation.rows import Rows

REFERENCES = ("no-change", CONSTANT, CONSTANT_MIDDLE, *CONTROLS)


def differences_table(rows: Rows) -> list[dict[str, Any]]:
    """Every condition of a model minus each of REFERENCES that is there, over the personas and items of both.

    Conditions are compared within a reading, and those of each reading with baselines. A steered condition is set
    against the controls at its own alpha. Conditions that do not steer are not.

    Args:
        rows: in the format of `rows.SCHEMA`.

    Returns:
        dicts with reading, condition, setting, against, against_setting, and composite and item_correlation: [mean,
        low, high] of the difference with its 95% interval over personas (see `intervals.mean_interval`), or None where
        it cannot be had; and traits: see `trait_differences`.
    """
    numbered = number_groups(rows)
    errors = persona_errors(trait_scores(numbered))
    correlations = over_draws(persona_correlations_of(numbered).to_frame("r"), "persona")
    names = numbered.drop_duplicates("group").set_index("group")[list(GROUP)]
    table = []
    for number, reading, name, setting in names.itertuples():
        if name not in CONDITIONS:
            continue
        for place, other_reading, other, other_setting in names.itertuples():
            if other == name or other not in REFERENCES or other_reading not in (reading, ""):
                continue
            if other in CONTROLS and (name in CONTROLS or other_setting != setting):
                continue
            worse = errors.loc[number] - errors.loc[place]
            table.append(
                {
                    "reading": reading,
                    "condition": name,
                    "setting": setting,
                    "against": other,
                    "against_setting": other_setting,
                    "composite": _bounds(worse),
                    "item_correlation": _bounds(correlations.loc[number] - correlations.loc[place]),
                    "traits": trait_differences(worse),
                }
            )
    return table


def trait_differences(values: pd.DataFrame) -> dict[str, dict[str, float] | None]:
    """What differs on each trait, with p-values that allow for there being several of them.

    Args:
        values: differences of each persona's mean absolute error [P, T], a column for each trait, NaN where missing.

    Returns:
        trait -> the mean over personas, low and high of its own 95% interval, p of a paired t test, and p_holm: p by
        Holm's correction over the traits that have one, within this pair of conditions. None where fewer personas have
        the trait than an interval needs.
    """
    found = {str(trait): mean_interval(column.to_numpy()) for trait, column in values.items()}
    known = {trait: each for trait, each in found.items() if each is not None}
    adjusted = dict(zip(known, holm([each.p for each in known.values()]), strict=True))
    return {trait: {**known[trait]._asdict(), "p_holm": adjusted[trait]} if trait in known else None for trait in found}


def _bounds(values: Any) -> list[float] | None:
    estimate = mean_interval(values)
    return None if estimate is None else estimate.bounds
