"""What steering to one pole of a trait does to every trait: intended effects and all others."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from pasctl.evaluation.bootstrap import column_means, percentiles
from pasctl.evaluation.conditions import CONDITIONS
from pasctl.evaluation.groups import split_groups
from pasctl.evaluation.metrics import TRAITS, keyed
from pasctl.evaluation.rows import Columns

UNTOUCHED = "no-change"
_POLE = re.compile(rf"[{''.join(TRAITS)}][+-]")


def trait_shifts(rows: Columns) -> list[dict[str, Any]]:
    """For each trait pole that was a persona, how far each trait's score has moved from that of the model left alone.

    A score is the mean keyed expected agreement over the trait's report items, and the shift is that of the condition
    minus that of no-change. Its 95% interval is a bootstrap over the items: there is one persona, and another
    questionnaire would ask other items. Several draws are averaged item by item.

    Returns:
        dicts with persona, condition, setting, alpha, trait, shift, low, high, in the order of the conditions; empty
        without a trait pole or without no-change.
    """
    groups = split_groups(rows)
    left_alone = groups.get((UNTOUCHED, ""))
    if left_alone is None:
        return []
    found = []
    for (condition, setting), group in groups.items():
        if condition not in CONDITIONS or condition == UNTOUCHED:
            continue
        moved = keyed(group.expected.mean(axis=0), group.items.keys) - keyed(
            left_alone.expected[0], left_alone.items.keys
        )
        for persona, name in enumerate(group.personas):
            if not _POLE.fullmatch(name):
                continue
            for trait in TRAITS:
                of_trait = moved[persona, np.asarray(group.items.traits, dtype=object) == trait]
                if not len(of_trait):
                    continue
                low, high = percentiles(column_means(of_trait[:, None])[:, 0])
                found.append(
                    {
                        "persona": name,
                        "condition": condition,
                        "setting": setting,
                        "alpha": float(group.alphas[persona]),
                        "trait": trait,
                        "shift": float(of_trait.mean()),
                        "low": low,
                        "high": high,
                    }
                )
    return found
