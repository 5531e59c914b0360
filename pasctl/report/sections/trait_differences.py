"""Differences on each trait, with p-values that allow for there being several of them."""

from __future__ import annotations

from collections.abc import Sequence

from pasctl.evaluation.baselines import CONSTANT, CONSTANT_MIDDLE
from pasctl.evaluation.intervals import SIGNIFICANT, p_text
from pasctl.inventory.usual import in_order
from pasctl.report.blocks import Cell, Table, interval, number
from pasctl.report.sections.labels import Row, label

AGAINST = ("no-change", CONSTANT, CONSTANT_MIDDLE)


def trait_differences(differences: Sequence[Row]) -> Table | None:
    """What each condition changes on each trait, against the unchanged model and a constant; None without any.

    Args:
        differences: of metrics.json; those of earlier versions have no traits.
    """
    traits = in_order(trait for each in differences for trait in each.get("traits") or {})
    rows, before = [], ""
    for each in differences:
        found = each.get("traits") or {}
        if each["against"] not in AGAINST or not any(found.values()):
            continue
        name = label(each)
        cells = (_cell(found.get(trait)) for trait in traits)
        rows.append((Cell("" if name == before else name), Cell(each["against"]), *cells))
        before = name
    if not rows:
        return None
    return Table(
        "Differences on each trait",
        ("condition", "against", *traits),
        tuple(rows),
        left=2,
        broken=True,
        caption=(
            "Mean absolute error of the first minus that of the second, persona by persona; below 0 is better. Small: "
            "95% interval of a paired t test, and its p by Holm's correction over the traits of the row. "
            f"● p is below {SIGNIFICANT:g}."
        ),
    )


def _cell(found: Row | None) -> Cell:
    if found is None:
        return Cell(number(None))
    sure = found["p_holm"] < SIGNIFICANT
    sign = "+" if found["mean"] > 0 else ""
    notes = f"{interval([found['low'], found['high']])}\n{p_text(found['p_holm'])}"
    return Cell(f"{'● ' if sure else ''}{sign}{number(found['mean'], 2)}", notes, mark=sure)
