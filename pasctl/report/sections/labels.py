"""Rows of results by name: a condition with its strength, and what kind of row it is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pasctl.evaluation.conditions import CONTROLS, is_steered
from pasctl.report.blocks import Cell

ORACLE = "oracle"
COMPOSITE = "composite error, lower is better"
UPPER_BOUND = "α chosen on the reported items: upper bound"
KINDS = {
    "told": "dark discs: the model, not steered",
    "steered": "blue discs: steered",
    "oracle": f"blue rings: {UPPER_BOUND}",
    "control": "orange rings: controls, steered along directions that are not the person's",
    "baseline": "grey diamonds: baselines without a model",
}
"""How each kind of row is drawn, and what it is."""

Row = Mapping[str, Any]


def setting(row: Row) -> str:
    """How a row's strength came about: a number that was given, "auto" or "oracle"; "" where nothing is steered.

    Results of earlier versions have only `alpha`.
    """
    if "setting" in row:
        return str(row["setting"])
    return f"{row.get('alpha') or 0.0:g}" if is_steered(row["condition"]) else ""


def strength(row: Row) -> str:
    """The setting as it is written behind a condition's name, "" without one."""
    found = setting(row)
    return f"α {found}" if found else ""


def condition(row: Row) -> str:
    """The condition, with its reading where that is not letters."""
    return f"{row['condition']}, statements" if row.get("reading") == "statements" else str(row["condition"])


def label(row: Row) -> str:
    """The condition, with its strength if it has one."""
    told = strength(row)
    return f"{condition(row)}, {told}" if told else condition(row)


def kind(row: Row) -> str:
    """Which of `KINDS` a row of metrics is."""
    if row["condition"] in CONTROLS:
        return "control"
    if row.get("option_mass", 0.0) is None and row.get("reading") != "statements":
        return "baseline"  # only a model gives letters a probability
    if setting(row) == ORACLE:
        return "oracle"
    return "steered" if setting(row) else "told"


def given(row: Row) -> float | None:
    """The strength of a row that was given as a number; None of any other row."""
    try:
        return float(setting(row))
    except ValueError:
        return None


def name_cells(row: Row) -> tuple[Cell, Cell]:
    """A row's condition, with what to bear in mind about it, and its strength, with how personas' strengths differ."""
    draws = int(row.get("draws") or 1)
    control = f"control, mean of {draws} draws" if draws > 1 else "control"
    notes = [{"baseline": "baseline", "control": control}.get(kind(row), "")]
    notes += [UPPER_BOUND] if setting(row) == ORACLE else []
    told = setting(row)
    spread = alphas(row) if told and given(row) is None else ""
    return Cell(condition(row), "; ".join(filter(None, notes))), Cell(told, spread)


def alphas(row: Row) -> str:
    """How many personas have which strength, the least first."""
    found = row.get("alphas") or {}
    # the spaces keep a strength and its count on one line
    return ", ".join(f"{alpha}\N{NO-BREAK SPACE}×{found[alpha]}" for alpha in sorted(found, key=float))


def bound_note(rows: Iterable[Row]) -> str:
    """The line under a figure that says what an oracle is, if one of its rows is of that setting; else nothing."""
    return f"oracle: {UPPER_BOUND}" if any(setting(row) == ORACLE for row in rows) else ""


def marks_told(kinds: set[str]) -> str:
    """A sentence on the marks of those kinds that a figure has."""
    told = "; ".join(words for name, words in KINDS.items() if name in kinds)
    return f"{told[:1].upper()}{told[1:]}." if told else ""


def stand_for(shown: int, personas: int) -> str:
    """The line that says that some of many personas are shown."""
    return f"{shown:,} of the {personas:,} personas stand for all of them below, taken from places evenly apart."
