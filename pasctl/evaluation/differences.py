"""What a condition changes: differences from the model left alone, from a constant and from a control, paired."""

from __future__ import annotations

from typing import Any

import numpy as np

from pasctl.evaluation.bootstrap import column_means, interval, percentiles, two_sided_p
from pasctl.evaluation.conditions import CONDITIONS
from pasctl.evaluation.groups import Group, split_groups
from pasctl.evaluation.holm import holm
from pasctl.evaluation.metrics import TRAITS, Floats, persona_correlations, persona_errors
from pasctl.evaluation.rows import Columns

REFERENCES = ("no-change", "constant-3", "random-direction")


def differences_table(rows: Columns) -> list[dict[str, Any]]:
    """Every condition of a model minus each of REFERENCES that is there, over the same personas and items.

    A steered condition is set against random directions at its own alpha. Conditions that do not steer are not.

    Args:
        rows: in the format of `rows.SCHEMA`.

    Returns:
        dicts with condition, alpha, against, against_alpha, and composite and item_correlation: [mean, low, high] of
        the difference with its 95% interval over personas (see `bootstrap.interval`), or None where it cannot be had;
        and traits: see `trait_differences`.
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


def trait_differences(values: Floats) -> dict[str, dict[str, float] | None]:
    """What differs on each trait, with p-values that allow for there being five of them.

    Args:
        values: differences of each persona's mean absolute error [P, 5], in the order of TRAITS, NaN where missing.

    Returns:
        trait -> the mean over personas, low and high of its own 95% interval, p (see `bootstrap.two_sided_p`), and
        p_holm: p by Holm's correction over the traits that have one, within this pair of conditions. None with
        fewer than two personas that have the trait.
    """
    known = [place for place in range(len(TRAITS)) if np.isfinite(values[:, place]).sum() >= 2]
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
    first, second = (persona_errors(each.expected, each.agreements, each.items.traits) for each in (group, other))
    found = [persona_correlations(each.expected, each.agreements)[:, None] for each in (group, other)]
    return {
        "composite": _mean_interval(first - second),
        "item_correlation": _mean_interval(found[0] - found[1]),
        "traits": trait_differences(first - second),
    }


def _mean_interval(values: Floats) -> list[float] | None:
    bounds = interval(values)
    return None if bounds is None else [float(np.nanmean(values, axis=0).sum()), *bounds]
