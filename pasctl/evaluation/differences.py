"""What a condition changes: differences from the model left alone, from a constant and from a control, paired."""

from __future__ import annotations

from typing import Any

import numpy as np

from pasctl.evaluation.bootstrap import interval
from pasctl.evaluation.conditions import CONDITIONS
from pasctl.evaluation.groups import Group, split_groups
from pasctl.evaluation.metrics import persona_correlations, persona_errors
from pasctl.evaluation.rows import Columns

REFERENCES = ("no-change", "constant-3", "random-direction")


def differences_table(rows: Columns) -> list[dict[str, Any]]:
    """Every condition of a model minus each of REFERENCES that is there, over the same personas and items.

    A steered condition is set against random directions at its own alpha. Conditions that do not steer are not.

    Args:
        rows: in the format of `rows.SCHEMA`.

    Returns:
        dicts with condition, alpha, against, against_alpha, and composite and item_correlation: [mean, low, high] of
        the difference with its 95% interval over personas (see `bootstrap.interval`), or None where it cannot be had.
    """
    groups = split_groups(rows)
    table = []
    for (name, alpha), group in groups.items():
        if name not in CONDITIONS:
            continue
        for (other, other_alpha), reference in groups.items():
            if other == name or other not in REFERENCES:
                continue
            if other == "random-direction" and (not CONDITIONS[name].steered or other_alpha != alpha):
                continue
            table.append(
                {"condition": name, "alpha": alpha, "against": other, "against_alpha": other_alpha}
                | _difference(group, reference)
            )
    return table


def _difference(group: Group, other: Group) -> dict[str, Any]:
    """Of the composite and of the item correlation, persona by persona."""
    errors = [persona_errors(each.expected, each.agreements, each.items.traits) for each in (group, other)]
    found = [persona_correlations(each.expected, each.agreements)[:, None] for each in (group, other)]
    return {"composite": _mean_interval(errors[0] - errors[1]), "item_correlation": _mean_interval(found[0] - found[1])}


def _mean_interval(values: Any) -> list[float] | None:
    bounds = interval(values)
    return None if bounds is None else [float(np.nanmean(values, axis=0).sum()), *bounds]
