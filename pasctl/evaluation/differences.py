"""What a condition changes: differences from the model left alone, from a constant and from a control, paired."""

from __future__ import annotations

from typing import Any

import numpy as np

from pasctl.evaluation.bootstrap import FEWEST, column_means, interval, percentiles, two_sided_p
from pasctl.evaluation.conditions import CONDITIONS, CONTROLS
from pasctl.evaluation.groups import Group, split_groups
from pasctl.evaluation.holm import holm
from pasctl.evaluation.metrics import TRAITS, Floats, group_correlations, group_errors
from pasctl.evaluation.rows import Columns

REFERENCES = ("no-change", "constant-3", *CONTROLS)


def differences_table(rows: Columns) -> list[dict[str, Any]]:
    """Every condition of a model minus each of REFERENCES that is there, over the same personas and items.

    A steered condition is set against the controls at its own alpha. Conditions that do not steer are not.

    Args:
        rows: in the format of `rows.SCHEMA`.

    Returns:
        dicts with condition, setting, against, against_setting, and composite and item_correlation: [mean, low, high]
        of the difference with its 95% interval over personas (see `bootstrap.interval`), or None where it cannot be
        had; and traits: see `trait_differences`.
    """
    groups = split_groups(rows)
    table = []
    for (name, setting), group in groups.items():
        if name not in CONDITIONS:
            continue
        for (other, other_setting), reference in groups.items():
            if other == name or other not in REFERENCES:
                continue
            if other in CONTROLS and (name in CONTROLS or other_setting != setting):
                continue
            table.append(
                {"condition": name, "setting": setting, "against": other, "against_setting": other_setting}
                | _difference(group, reference)
            )
    return table


def trait_differences(values: Floats) -> dict[str, dict[str, float] | None]:
    """What differs on each trait, with p-values that allow for there being five of them.

    Args:
        values: differences of each persona's mean absolute error [P, 5], in the order of TRAITS, NaN where missing.

    Returns:
        trait -> the mean over personas, low and high of its own 95% interval, p (see `bootstrap.two_sided_p`), and
        p_holm: p by Holm's correction over the traits that have one, within this pair of conditions. None where
        fewer personas have the trait than an interval needs.
    """
    known = [place for place in range(len(TRAITS)) if np.isfinite(values[:, place]).sum() >= FEWEST]
    draws = column_means(values[:, known]).T
    p_values = [two_sided_p(of_trait) for of_trait in draws]
    found: dict[str, dict[str, float] | None] = dict.fromkeys(TRAITS)
    for place, of_trait, p, p_holm in zip(known, draws, p_values, holm(p_values), strict=True):
        low, high = percentiles(of_trait)
        found[TRAITS[place]] = {
            "mean": float(np.nanmean(values[:, place])),
            "low": low,
            "high": high,
            "p": p,
            "p_holm": p_holm,
        }
    return found


def _difference(group: Group, other: Group) -> dict[str, Any]:
    """Of the composite, of the item correlation and of each trait's error, persona by persona."""
    errors = group_errors(group) - group_errors(other)
    return {
        "composite": _mean_interval(errors),
        "item_correlation": _mean_interval((group_correlations(group) - group_correlations(other))[:, None]),
        "traits": trait_differences(errors),
    }


def _mean_interval(values: Floats) -> list[float] | None:
    bounds = interval(values)
    return None if bounds is None else [float(np.nanmean(values, axis=0).sum()), *bounds]
