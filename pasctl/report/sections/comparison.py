"""Results of several models side by side, on the same items and personas."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pasctl.report.blocks import Cell, Content, Drawn, Table, interval, number
from pasctl.report.figures.forest import Mark, forest
from pasctl.report.sections.curves import pair
from pasctl.report.sections.labels import (
    COMPOSITE,
    ORACLE,
    UPPER_BOUND,
    Row,
    bound_note,
    condition,
    kind,
    label,
    marks_told,
    name_cells,
    setting,
)


@dataclass(frozen=True)
class Line:
    """A condition and setting, or a baseline; `results` has each model's row of metrics, None where it has none."""

    results: tuple[Row | None, ...]

    @property
    def first(self) -> Row:
        """The row of the first model that has one: it says which line this is."""
        return next(row for row in self.results if row is not None)


def merge(tables: Sequence[Sequence[Row]]) -> list[Line]:
    """The conditions of all models in the order in which they first appear, then the baselines."""
    found: dict[tuple[str, str], list[Row | None]] = {}
    for place, table in enumerate(tables):
        for row in table:
            held = found.setdefault((condition(row), setting(row)), [None] * len(tables))
            held[place] = row
    lines = [Line(tuple(rows)) for rows in found.values()]
    return sorted(lines, key=lambda line: kind(line.first) == "baseline")


def comparison(
    names: Sequence[str], lines: Sequence[Line], facts: tuple[tuple[str, str], ...], notes: Sequence[str]
) -> Content:
    """The section of a comparison.

    Args:
        names: of the models.
        lines: see `merge`.
        facts: which artifacts these are.
        notes: what a reader must see besides.
    """
    first = lines[0].first
    lead = [
        f"{len(names)} models on the same {first['personas']} personas and {first['items']} items. The composite is "
        "the sum over the traits of the mean absolute error between the answer that the model expects to give and "
        "the one that the person gave (points of the scale); lower is better."
    ]
    if any(setting(line.first) == ORACLE for line in lines):
        lead.append(f"Rows named oracle: {UPPER_BOUND}, for comparison only.")
    blocks = [_table(names, lines)]
    known = any(row is not None and row["composite"] is not None for line in lines for row in line.results)
    drawn = [_composites(names, lines)] if known else []
    if not known:
        lead.append("No composite: at least one of the traits has no answers.")
    return Content((*lead, *notes), facts, (*blocks, *drawn))


def _table(names: Sequence[str], lines: Sequence[Line]) -> Table:
    rows = []
    for line in lines:
        condition, strength = name_cells({**line.first, "alphas": {}})
        rows.append((condition, strength, *(_cell(row) for row in line.results)))
    return Table(
        "Composite error of every condition and model",
        ("condition", "α", *names),
        tuple(rows),
        left=2,
        broken=True,
        caption=(
            "Small: the 95% interval of the composite, Student's t over personas, and item r, the correlation over "
            "items within a person. A dash: that model was not asked so. Baselines need no model."
        ),
    )


def _cell(row: Row | None) -> Cell:
    if row is None:
        return Cell(number(None))
    notes = [interval(row.get("composite_interval")), f"r {number(row['item_correlation'], 2)}"]
    return Cell(number(row["composite"], 2), "\n".join(filter(None, notes)))


def _composites(names: Sequence[str], lines: Sequence[Line]) -> Drawn:
    marks, baselines = [], []
    for line in lines:
        if kind(line.first) == "baseline":
            baselines.append(_mark(line.first, line.first["condition"], "without a model"))
            continue
        marks += [
            _mark(row, name, label(line.first))
            for name, row in zip(names, line.results, strict=True)
            if row is not None
        ]
    known = [mark for mark in baselines if mark.mean is not None]
    best = min(known, key=lambda mark: mark.mean or 0.0) if known else None
    shown = [*marks, *baselines]
    told = " Dashed: the lowest baseline, which needs no model." if best else ""

    reference = (best.label, best.mean) if best and best.mean is not None else None
    note = bound_note(line.first for line in lines)
    return Drawn(
        "composite",
        "Composite error of every condition and model",
        f"Marks are means, lines 95% intervals over personas. {marks_told({mark.kind for mark in shown})}{told}",
        lambda width: forest(shown, axis=COMPOSITE, reference=reference, note=note, width=width),
    )


def _mark(row: Row, name: str, group: str) -> Mark:
    return Mark(name, row["composite"], pair(row.get("composite_interval")), kind(row), group=group)
