"""Results of `pasctl eval`: conditions beside baselines, item by item, and against strength."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pasctl.evaluation.conditions import is_steered
from pasctl.evaluation.rows import Columns
from pasctl.report.blocks import Block, Cell, Content, Drawn, Table, interval, number
from pasctl.report.figures.forest import Mark, forest
from pasctl.report.figures.lines import Axes, Series, lines
from pasctl.report.figures.panels import Panel, Spread, panels
from pasctl.report.svg import Drawing, Figure

CONTROL = "random-direction"
MOST_PANELS = 24
_TRAITS = "OCEAN"
_DASHES = ("", "dashed", "dotted")

Row = Mapping[str, Any]


def results(metrics: Mapping[str, Any], rows: Columns | None) -> Content:
    """The section of an evaluation.

    Args:
        metrics: its metrics.json.
        rows: its rows, in the format of `pasctl.evaluation.rows`; None if they are not there.
    """
    conditions: list[Row] = metrics["conditions"]
    blocks: list[Block] = [_table(conditions)]
    if any(row["composite"] is not None for row in conditions):
        blocks.append(Drawn(_composites(conditions)))
    if metrics.get("differences"):
        blocks.append(_differences(metrics["differences"]))
    blocks += [Drawn(figure) for figure in _strengths(conditions)]
    if rows is not None and len(rows["expected"]):
        blocks.append(Drawn(_items(conditions, rows)))
    return Content(lead=tuple(_lead(metrics, conditions)), blocks=tuple(blocks))


def label(row: Row) -> str:
    """The condition, with its strength if it has one."""
    return f"{row['condition']}, α {row['alpha']:g}" if _is_steered(row) else str(row["condition"])


def _is_steered(row: Row) -> bool:
    return is_steered(row["condition"])


def _kind(row: Row) -> str:
    if row["condition"] == CONTROL:
        return "control"
    if row["option_mass"] is None:  # only a model gives letters a probability
        return "baseline"
    return "steered" if _is_steered(row) else "told"


def _lead(metrics: Mapping[str, Any], conditions: Sequence[Row]) -> list[str]:
    first = conditions[0]
    said = [
        f"{first['personas']} personas, {first['items']} items each. The composite is the sum over the five traits of "
        "the mean absolute error between the answer that the model expects to give and the one that the person gave "
        "(scale 1 to 5); lower is better.",
    ]
    known = [row for row in conditions if row["composite"] is not None]
    of_model = [row for row in known if _kind(row) in ("told", "steered")]
    baselines = [row for row in known if _kind(row) == "baseline"]
    if of_model and baselines:
        best, easy = (min(group, key=lambda row: row["composite"]) for group in (of_model, baselines))
        said.append(
            f"Lowest of the model's {len(of_model)} rows, picked after the fact: {label(best)} with {_told(best)}. "
            f"Lowest baseline, which needs no model: {easy['condition']} with {_told(easy)}."
        )
    if not known:
        said.append("No composite: at least one of the five traits has no answers.")
    elif all(row.get("composite_interval") is None for row in known):
        said.append("No intervals: a bootstrap over personas needs at least two personas.")
    if metrics.get("coding", "agreement") != "agreement":
        said.append(
            f"Coding: {metrics['coding']}. Keyed scores were read as agreement, for comparison with published numbers "
            "only; these errors do not measure personality."
        )
    return said


def _told(row: Row) -> str:
    held = row.get("composite_interval")
    return number(row["composite"], 2) + (f" (95% {interval(held)})" if held else "")


def _table(conditions: Sequence[Row]) -> Table:
    traits = [trait for trait in _TRAITS if any(row["mae"].get(trait) is not None for row in conditions)]
    rows = []
    for row in conditions:
        name = Cell(row["condition"], {"baseline": "baseline", "control": "control"}.get(_kind(row), ""))
        rows.append(
            (
                name,
                Cell(f"{row['alpha']:g}" if _is_steered(row) else ""),
                *(Cell(number(row["mae"].get(trait), 2)) for trait in traits),
                Cell(number(row["composite"], 2), interval(row.get("composite_interval"))),
                Cell(number(row["item_correlation"], 2), interval(row.get("item_correlation_interval"))),
                Cell(number(row["acquiescence"], 2)),
                Cell(number(row["option_mass"], 3)),
            )
        )
    person = conditions[0]["acquiescence_person"]
    return Table(
        "Conditions and baselines, on the same items",
        ("condition", "α", *traits, "composite", "item r", "acqu.", "mass"),
        tuple(rows),
        caption=(
            "α: strength. One letter: MAE of that trait. Small: 95% interval, bootstrap over personas. item r: "
            "correlation over items within a person, mean over persons. acqu.: agreement whatever an item says; "
            f"the persons' own is {number(person, 2)}, 3 is none. mass: probability of the five letters together; "
            "a model that rarely gives a letter at all is judged by what little is left."
        ),
    )


def _composites(conditions: Sequence[Row]) -> Figure:
    marks = [Mark(label(row), row["composite"], _pair(row.get("composite_interval")), _kind(row)) for row in conditions]
    plain = next((row for row in conditions if row["condition"] == "no-change" and row["composite"] is not None), None)

    def draw(width: int) -> Drawing:
        return forest(
            marks,
            axis="composite error, lower is better",
            reference=("no change", plain["composite"]) if plain else None,
            width=width,
        )

    kinds = {mark.kind for mark in marks}
    keys = {
        "told": "dark discs: the model, not steered",
        "steered": "blue discs: steered",
        "control": "orange rings: steered along random directions of the same length",
        "baseline": "grey diamonds: baselines without a model",
    }
    told = "; ".join(words for kind, words in keys.items() if kind in kinds)
    return Figure.of(
        "composite",
        "Composite error of every condition",
        f"Marks are means, lines 95% intervals over personas. {told[:1].upper()}{told[1:]}. "
        "A condition left of the dashed line is nearer to the persons than the unchanged model; one right of a diamond "
        "is worse than a guess that needs no model.",
        draw,
    )


def _differences(differences: Sequence[Row]) -> Table:
    rows, before = [], ""
    for each in differences:
        found = [each.get("composite"), each.get("item_correlation")]
        first = {"condition": each["condition"], "alpha": each.get("alpha") or 0.0}
        second = {"condition": each["against"], "alpha": each.get("against_alpha") or 0.0}
        name = label(first)
        rows.append((Cell("" if name == before else name), Cell(label(second)), *(_difference(one) for one in found)))
        before = name
    return Table(
        "Differences, paired over personas",
        ("condition", "against", "composite", "item r"),
        tuple(rows),
        left=2,
        beside=True,
        caption=(
            "First minus second, on the same personas, with the 95% interval of a paired bootstrap. "
            "● the interval excludes 0. A negative composite is better, a positive item r is better. "
            "Several comparisons are made: now and then one of them excludes 0 by chance."
        ),
    )


def _difference(found: Sequence[float] | None) -> Cell:
    if found is None:
        return Cell("–")
    mean, low, high = found
    sign = "+" if mean > 0 else ""
    excludes = low > 0 or high < 0
    return Cell(f"{'● ' if excludes else ''}{sign}{number(mean)}", interval([low, high], 3), mark=excludes)


def _strengths(conditions: Sequence[Row]) -> list[Figure]:
    """Composite and item correlation against alpha, if some condition was run at several."""
    by_name: dict[str, list[Row]] = {}
    for row in conditions:
        if _is_steered(row):
            by_name.setdefault(row["condition"], []).append(row)
    swept = {name: sorted(rows, key=lambda row: row["alpha"]) for name, rows in by_name.items() if len(rows) > 1}
    if not swept:
        return []
    alphas = sorted({float(row["alpha"]) for rows in swept.values() for row in rows})
    told = [
        ("alpha-composite", "Composite error against strength", "composite", "composite error, lower is better"),
        ("alpha-correlation", "Item correlation against strength", "item_correlation", "item r, higher is better"),
    ]
    found = []
    for name, title, measure, axis in told:
        series = _series(swept, measure)
        if not series:
            continue
        level = _levels(conditions, measure)
        axes = Axes("α, strength of steering", axis, tuple((alpha, f"{alpha:g}") for alpha in alphas), level)
        banded = any(any(each.intervals) for each in series)
        figure = Figure.of(
            name,
            title,
            ("Bands: 95% intervals over personas. " if banded else "No intervals were kept for this measure. ")
            + "Dashed level lines: conditions without strength. Choosing the best α from this figure and reporting "
            "it as a result would be choosing on the items that are reported.",
            _drawing(series, axes),
        )
        found.append(figure)
    return found


def _drawing(series: Sequence[Series], axes: Axes) -> Any:
    return lambda width: lines(series, axes, width=width, height=210)


def _series(swept: Mapping[str, Sequence[Row]], measure: str) -> list[Series]:
    found, steered = [], 0
    for name, rows in swept.items():
        held = [row for row in rows if row.get(measure) is not None]
        if len(held) < 2:
            continue
        kind = "control" if name == CONTROL else "steered"
        dash = _DASHES[steered % len(_DASHES)] if kind == "steered" else ""
        steered += kind == "steered"
        points = tuple((float(row["alpha"]), float(row[measure])) for row in held)
        found.append(Series(name, kind, points, tuple(_pair(row.get(f"{measure}_interval")) for row in held), dash))
    return found


def _levels(conditions: Sequence[Row], measure: str) -> tuple[tuple[str, float], ...]:
    """What stays the same at every strength: the unchanged model, few-shot, and the best baseline."""
    flat = [row for row in conditions if not _is_steered(row) and row.get(measure) is not None]
    best = min if measure == "composite" else max
    baselines = [row for row in flat if _kind(row) == "baseline"]
    chosen = [row for row in flat if row["condition"] in ("no-change", "few-shot")]
    if baselines:
        chosen.append(best(baselines, key=lambda row: row[measure]))
    return tuple((row["condition"], float(row[measure])) for row in chosen)


def _items(conditions: Sequence[Row], rows: Columns) -> Figure:
    shown = [
        Panel(row["condition"], f"α {row['alpha']:g}" if _is_steered(row) else "", _kind(row), spreads)
        for row in conditions
        if (spreads := _spreads(rows, row["condition"], row["alpha"]))
    ]
    left_out = len(shown) - MOST_PANELS
    more = f" The first {MOST_PANELS} of {len(shown)} conditions are drawn." if left_out > 0 else ""
    return Figure.of(
        "items",
        "What the model answers where a person answers 1 to 5",
        "Across: the person's own agreement with an item. Up: the answer that the model expects to give; the mark is "
        "the mean over persons and items, the thick line the middle half, the thin line nine tenths. On the "
        "dashed diagonal the model answers as the person did; a flat row of marks means that it does not tell items "
        f"apart.{more}",
        lambda width: panels(shown[:MOST_PANELS], width=width),
    )


def _spreads(rows: Columns, condition: str, alpha: float) -> tuple[Spread, ...]:
    here = (rows["condition"] == condition) & (rows["alpha"] == alpha)
    here &= np.isfinite(rows["agreement"]) & np.isfinite(rows["expected"])
    agreement, expected = rows["agreement"][here], rows["expected"][here]
    found = []
    for level in np.unique(agreement):
        values = expected[agreement == level]
        low, first, third, high = (float(each) for each in np.quantile(values, (0.05, 0.25, 0.75, 0.95)))
        found.append(Spread(float(level), float(values.mean()), (first, third), (low, high)))
    return tuple(found)


def _pair(bounds: Sequence[float] | None) -> tuple[float, float] | None:
    return None if bounds is None else (float(bounds[0]), float(bounds[1]))
