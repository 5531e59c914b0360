"""What steering to one pole of a trait does to every trait: intended effects and all others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

from pasctl.evaluation.conditions import CONDITIONS
from pasctl.evaluation.intervals import FEWEST_ITEMS, SIGNIFICANT, holm, mean_interval
from pasctl.evaluation.personal import poles_of
from pasctl.evaluation.scores import keyed, span
from pasctl.inventory.usual import in_order

if TYPE_CHECKING:
    import pandas as pd

    from pasctl.evaluation.rows import Rows

UNTOUCHED = "no-change"
_SETTING = ["condition", "setting"]


def trait_shifts(rows: Rows, traits: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """For each trait pole that was a persona, how far each trait's score has moved from that of the model left alone.

    A score is the mean keyed expected agreement over the trait's report items, and the shift is that of the condition
    minus that of no-change. Its 95% interval is Student's t over the items: there is one persona, and another
    questionnaire would ask other items. Several draws are averaged item by item. p is that of the paired t test over
    the same items, and p_holm is corrected by Holm over the cells, persona by trait, of a condition and setting.
    Simulated without an effect, a table of 50 cells has any p_holm below 0.05 in 5% of the cases where items' shifts
    are normal, with 8 items or 24, in 7% (24 items) and 13% (8) where they are uniform, and in 14% where they are as
    skewed as a gamma distribution of shape 4: so few items say little of the tails.

    Args:
        rows: of one reading.
        traits: in which order they are named; None for that of `in_order`.

    Returns:
        dicts with persona, condition, setting, alpha, trait, items, shift, low, high, p, p_holm, in the order of the
        conditions; low, high and the p-values are None where a trait has fewer than FEWEST_ITEMS items. Empty without a
        trait pole or without no-change.
    """
    poles = rows[rows["persona"].isin(poles_of(rows)) & rows["condition"].isin(list(CONDITIONS))]
    poles = poles.assign(score=keyed(poles["expected"], poles["key"], span(poles)))
    untouched = poles["condition"] == UNTOUCHED
    before = poles[untouched].set_index(["persona", "item"])["score"].rename("before")
    if before.empty:
        return []
    moved = poles[~untouched].join(before, on=["persona", "item"])
    moved = moved.assign(shift=moved["score"] - moved["before"])
    items = moved.groupby([*_SETTING, "persona", "trait", "item"], sort=False)[["shift", "alpha"]]
    of_item = items.agg({"shift": "mean", "alpha": "last"})
    table: list[dict[str, Any]] = []
    for named, cells in of_item.groupby(_SETTING, sort=False):
        by_trait = dict(list(cells.groupby(["persona", "trait"], sort=False)))
        of_condition = dict(zip(_SETTING, named, strict=True))
        present = [
            cell
            for cell in product(cells.index.unique("persona"), traits or in_order(rows["trait"]))
            if cell in by_trait
        ]
        table += _corrected(
            [_cell({"persona": persona, **of_condition}, trait, by_trait[persona, trait]) for persona, trait in present]
        )
    return table


def is_significant(row: Mapping[str, Any]) -> bool:
    """Whether a shift has a star: p below SIGNIFICANT after Holm's correction over the cells of its table.

    Results of earlier versions have no corrected p, and so no stars: an interval alone of so many cells is no test.
    """
    corrected = row.get("p_holm")
    return corrected is not None and corrected < SIGNIFICANT


def _cell(named: Mapping[str, Any], trait: str, items: pd.DataFrame) -> dict[str, Any]:
    """The shift of one trait of one persona, from those of its items."""
    shift = items["shift"].to_numpy()
    estimate = mean_interval(shift, fewest=FEWEST_ITEMS)
    return {
        **named,
        "alpha": float(items["alpha"].iloc[-1]),
        "trait": trait,
        "items": len(shift),
        "shift": float(shift.mean()),
        "low": estimate and estimate.low,
        "high": estimate and estimate.high,
        "p": estimate and estimate.p,
    }


def _corrected(cells: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The cells of one condition and setting with p_holm, over those that have a p."""
    corrected = iter(holm([cell["p"] for cell in cells if cell["p"] is not None]))
    return [{**cell, "p_holm": None if cell["p"] is None else next(corrected)} for cell in cells]
