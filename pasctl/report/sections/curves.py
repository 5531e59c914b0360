"""Measures against strength, over the strengths that were given as numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from matplotlib.figure import Figure

from pasctl.report.blocks import Drawn
from pasctl.report.figures.lines import Chart, Series, lines
from pasctl.report.sections.labels import Row, condition, given, kind, setting

ALPHA = "α, strength of steering"
_DASHES = ("", "dashed", "dotted")


def strength_figures(conditions: Sequence[Row]) -> list[Drawn]:
    """Composite and item correlation against alpha, if some condition was run at several."""
    swept = by_condition(conditions)
    told = [
        ("alpha-composite", "Composite error against strength", "composite", "composite error, lower is better"),
        ("alpha-correlation", "Item correlation against strength", "item_correlation", "item r, higher is better"),
    ]
    found = []
    for name, title, measure, axis in told:
        points = {
            condition: [
                (alpha, row[measure], row.get(f"{measure}_interval"))
                for alpha, row in rows
                if row.get(measure) is not None
            ]
            for condition, rows in swept.items()
        }
        drawn = series(points)
        if not drawn:
            continue
        banded = any(any(each.intervals) for each in drawn)
        figure = Drawn(
            name,
            title,
            ("Bands: 95% intervals over personas. " if banded else "No intervals were kept for this measure. ")
            + "Dashed level lines: conditions without strength. Only strengths that were given are drawn. Choosing the "
            "best α from this figure and reporting it as a result would be choosing on the items that are reported.",
            partial(draw, alpha_chart(drawn, axis, _levels(conditions, measure))),
        )
        found.append(figure)
    return found


def by_condition(rows: Sequence[Row]) -> dict[str, list[tuple[float, Row]]]:
    """Of each condition, the strengths that were given and their rows, the least first."""
    found: dict[str, list[tuple[float, Row]]] = {}
    for row in rows:
        alpha = given(row)
        if alpha is not None:
            found.setdefault(condition(row), []).append((alpha, row))
    return {name: sorted(held, key=lambda pair: pair[0]) for name, held in found.items()}


def series(points: Mapping[str, Sequence[tuple[float, float, Sequence[float] | None]]]) -> list[Series]:
    """A line for each condition that has two points or more; those of one kind differ in their dashes."""
    found: list[Series] = []
    for name, held in points.items():
        if len(held) < 2:
            continue
        of_kind = kind({"condition": name.partition(",")[0], "setting": "1"})
        dash = _DASHES[sum(each.kind == of_kind for each in found) % len(_DASHES)]
        intervals = tuple(pair(bounds) for _, _, bounds in held)
        found.append(Series(name, of_kind, tuple((float(x), float(y)) for x, y, _ in held), intervals, dash))
    return found


def alpha_chart(
    drawn: Sequence[Series],
    axis: str,
    level: tuple[tuple[str, float], ...] = (),
    flags: tuple[tuple[str, float], ...] = (),
) -> Chart:
    """A chart whose ticks are the strengths of the lines."""
    found = sorted({x for each in drawn for x, _ in each.points})
    return Chart(drawn, ALPHA, axis, tuple((alpha, f"{alpha:g}") for alpha in found), level, flags=flags)


def draw(chart: Chart, width: int) -> Figure:
    """The figure of a chart at a width."""
    return lines(chart, width=width)


def pair(bounds: Sequence[float | None] | None) -> tuple[float, float] | None:
    """An interval's ends; None where it has none."""
    if bounds is None or bounds[0] is None or bounds[1] is None:
        return None
    return float(bounds[0]), float(bounds[1])


def _levels(conditions: Sequence[Row], measure: str) -> tuple[tuple[str, float], ...]:
    """What stays the same at every strength: the unchanged model, few-shot, and the best baseline."""
    flat = [row for row in conditions if not setting(row) and row.get(measure) is not None]
    best = min if measure == "composite" else max
    baselines = [row for row in flat if kind(row) == "baseline"]
    chosen = [row for row in flat if row["condition"] in ("no-change", "few-shot")]
    if baselines:
        chosen.append(best(baselines, key=lambda row: row[measure]))
    return tuple((condition(row), float(row[measure])) for row in chosen)
