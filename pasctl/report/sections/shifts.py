"""Trait poles: what steering towards one pole of a trait does to that trait, and to the others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pasctl.evaluation.intervals import FEWEST_ITEMS, SIGNIFICANT, p_text
from pasctl.evaluation.trait_shifts import is_significant
from pasctl.inventory.usual import in_order
from pasctl.report.blocks import Block, Cell, Drawn, Table, interval, number
from pasctl.report.figures.heatmap import Heat, heatmaps
from pasctl.report.sections.labels import ORACLE, UPPER_BOUND, Row, bound_note, kind, label, name_cells, setting

MOST_MAPS = 9
_ORDER = ("steered", "told", "oracle", "control")


def trait_shifts(found: Sequence[Row]) -> list[Block]:
    """Maps of poles and traits for the conditions and settings, those that steer first, and one table of all."""
    groups: dict[str, list[Row]] = {}
    for row in found:
        groups.setdefault(label(row), []).append(row)
    ordered = sorted(groups.values(), key=lambda rows: _ORDER.index(kind(rows[0])))
    traits = in_order(row["trait"] for row in found)
    most = max(abs(float(row["shift"])) for row in found)
    return [_maps(ordered, traits, most), _table(ordered, traits)]


def _maps(groups: Sequence[Sequence[Row]], traits: Sequence[str], most: float) -> Drawn:
    shown = [(label(rows[0]), _heat(rows, traits, most)) for rows in groups[:MOST_MAPS]]
    more = f" The first {MOST_MAPS} of {len(groups)} conditions are drawn." if len(groups) > MOST_MAPS else ""
    bound = f" α oracle: {UPPER_BOUND}." if any(setting(rows[0]) == ORACLE for rows in groups[:MOST_MAPS]) else ""
    note = bound_note(rows[0] for rows in groups[:MOST_MAPS])
    return Drawn(
        "trait-shifts",
        "What steering towards one pole of a trait does to all traits",
        "A trait's mean keyed score, in points, minus that of the unchanged model: blue is up, orange down. Framed: "
        f"the trait that was meant. Colour beside the frames is what else was moved.{bound}{more}",
        lambda width: heatmaps(shown, note=note, width=width),
    )


def _heat(rows: Sequence[Row], traits: Sequence[str], most: float) -> Heat:
    poles = list(dict.fromkeys(row["persona"] for row in rows))
    values = np.full((len(poles), len(traits)), np.nan)
    for row in rows:
        values[poles.index(row["persona"]), traits.index(row["trait"])] = row["shift"]
    intended = frozenset(
        (row, column) for row, pole in enumerate(poles) for column, trait in enumerate(traits) if pole[:-1] == trait
    )
    return Heat(
        values,
        poles,
        traits,
        "steered towards",
        "trait",
        -most,
        most,
        "shift of the trait's score",
        _signed,
        colours="d",
        marked=intended,
        frame="intended",
    )


def _table(groups: Sequence[Sequence[Row]], traits: Sequence[str]) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for group in groups:
        held = {(row["persona"], row["trait"]): row for row in group}
        for place, pole in enumerate(dict.fromkeys(row["persona"] for row in group)):
            names = name_cells({**group[0], "alphas": {}}) if place == 0 else (Cell(""), Cell(""))
            cells = (_cell(held.get((pole, trait)), meant=pole[:-1] == trait) for trait in traits)
            rows.append((*names, Cell(pole), *cells))
    return Table(
        "Shifts of traits with their intervals",
        ("condition", "α", "towards", *traits),
        tuple(rows),
        left=3,
        caption=(
            "Mean keyed score of a trait minus that of the unchanged model; small: 95% interval, Student's t over "
            f"the trait's items, where it has at least {FEWEST_ITEMS}, and its p by Holm's correction over the cells "
            f"of the condition. Bold: the trait that was meant. ● p is below {SIGNIFICANT:g}."
        ),
    )


def _cell(row: Row | None, *, meant: bool) -> Cell:
    if row is None:
        return Cell(number(None))
    low, high = row.get("low"), row.get("high")
    if low is None or high is None:
        return Cell(_signed(row["shift"]), mark=meant)
    known = row.get("p_holm") is not None  # earlier versions had none
    notes = f"{interval([low, high])}\n{p_text(row['p_holm'])}" if known else interval([low, high])
    return Cell(f"{'● ' if is_significant(row) else ''}{_signed(row['shift'])}", notes, mark=meant)


def _signed(value: float) -> str:
    told = number(value, 2)
    return f"+{told}" if value > 0 and float(told) != 0 else told
