"""What steering to one pole of a trait does to every trait: intended effects and all others."""

from __future__ import annotations

import re
from itertools import product
from typing import TYPE_CHECKING, Any

from pasctl.evaluation.conditions import CONDITIONS
from pasctl.evaluation.intervals import FEWEST_ITEMS, mean_interval
from pasctl.evaluation.metrics import TRAITS, keyed

if TYPE_CHECKING:
    from pasctl.evaluation.rows import Rows

UNTOUCHED = "no-change"
_POLE = re.compile(rf"[{''.join(TRAITS)}][+-]")


def trait_shifts(rows: Rows) -> list[dict[str, Any]]:
    """For each trait pole that was a persona, how far each trait's score has moved from that of the model left alone.

    A score is the mean keyed expected agreement over the trait's report items, and the shift is that of the condition
    minus that of no-change. Its 95% interval is Student's t over the items: there is one persona, and another
    questionnaire would ask other items. Several draws are averaged item by item.

    Returns:
        dicts with persona, condition, setting, alpha, trait, shift, low, high, in the order of the conditions; low and
        high are None where a trait has fewer than FEWEST_ITEMS items. Empty without a trait pole or without no-change.
    """
    of_pole = rows["persona"].isin([name for name in rows["persona"].unique() if _POLE.fullmatch(name)])
    poles = rows[of_pole & rows["condition"].isin(list(CONDITIONS))]
    poles = poles.assign(score=keyed(poles["expected"], poles["key"]))
    untouched = poles["condition"] == UNTOUCHED
    before = poles[untouched].set_index(["persona", "item"])["score"].rename("before")
    if before.empty:
        return []
    moved = poles[~untouched].join(before, on=["persona", "item"])
    table = []
    for (condition, setting), group in moved.groupby(["condition", "setting"], sort=False):
        by_trait = dict(list(group.groupby(["persona", "trait"], sort=False)))
        for persona, trait in product(group["persona"].unique(), TRAITS):
            if (cells := by_trait.get((persona, trait))) is None:
                continue
            items = cells.groupby("item", sort=False)[["score", "before"]].mean()
            shift = (items["score"] - items["before"]).to_numpy()
            estimate = mean_interval(shift, fewest=FEWEST_ITEMS)
            table.append(
                {
                    "persona": persona,
                    "condition": condition,
                    "setting": setting,
                    "alpha": float(cells["alpha"].iloc[-1]),
                    "trait": trait,
                    "shift": float(shift.mean()),
                    "low": estimate and estimate.low,
                    "high": estimate and estimate.high,
                }
            )
    return table
