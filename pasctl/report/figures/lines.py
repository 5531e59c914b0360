"""Series against one quantity, with bands or whiskers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D
from matplotlib.transforms import Affine2DBase, ScaledTranslation

from pasctl.report.figures.style import (
    COLOURS,
    DASHES,
    DPI,
    ORANGE,
    SMALL,
    SOFT,
    WIDE,
    fit,
    mark,
    sheet,
    styled,
    text_width,
    thinned,
)

_LEVEL: dict[str, Any] = {"color": SOFT, "linewidth": 0.8}
_LEVEL_DASHES = ((3, 3), (6, 2), (1, 2), (6, 2, 1, 2))


@dataclass(frozen=True)
class Series:
    """A line.

    Attributes:
        label: its name.
        kind: steered, told, control or baseline.
        points: (x, y) in the order of x.
        intervals: low and high of each point, None where there is none; empty without any.
        dash: "", "dashed" or "dotted".
        aside: pixels by which it stands beside its place, so that lines on each other can be told apart.
    """

    label: str
    kind: str
    points: tuple[tuple[float, float], ...]
    intervals: tuple[tuple[float, float] | None, ...] = ()
    dash: str = ""
    aside: float = 0.0


@dataclass(frozen=True)
class Chart:
    """Lines and what their axes measure.

    Attributes:
        series: the lines.
        x: name of the horizontal axis.
        y: name of the vertical axis, written over it.
        ticks: (x, how it is written).
        level: values that dashed lines mark, by name.
        span: least range of the vertical axis; the data may widen it.
        flags: x that upright lines mark, by name.
        whiskers: whether intervals are whiskers, where points are few and apart, and not a band.
    """

    series: Sequence[Series]
    x: str
    y: str
    ticks: tuple[tuple[float, str], ...]
    level: tuple[tuple[str, float], ...] = ()
    span: tuple[float, float] | None = None
    flags: tuple[tuple[str, float], ...] = ()
    whiskers: bool = False


@styled
def lines(*charts: Chart, width: int = WIDE, height: int = 210) -> Figure:
    """Charts side by side, or under each other where there is little room, each with its lines' names over it."""
    beside = width >= WIDE
    across = width / len(charts) if beside else width
    rows = [_key_columns(chart, across) for chart in charts]
    tall = [height + 78 + 19 * -(-len(_keys(chart)) // columns) for chart, columns in zip(charts, rows, strict=True)]
    figure = sheet(width, max(tall) if beside else sum(tall))
    if len(charts) == 1:
        _chart(figure, charts[0], across, rows[0])
        return figure
    shape = {"ncols": len(charts)} if beside else {"nrows": len(charts)}
    parts: Any = figure.subfigures(**shape, squeeze=False, height_ratios=None if beside else tall)
    for part, chart, columns in zip(parts.flat, charts, rows, strict=True):
        part.set_facecolor("none")
        _chart(part, chart, across, columns)
    return figure


def _chart(on: Figure | SubFigure, chart: Chart, width: float, columns: int) -> None:
    axes = on.add_subplot()
    axes.grid(axis="y", linewidth=0.8)
    for each in chart.series:
        _series(axes, each, on.dpi_scale_trans, whiskers=chart.whiskers)
    for (_, value), dashes in zip(chart.level, _LEVEL_DASHES * len(chart.level), strict=False):
        axes.axhline(value, linestyle=(0, dashes), gid="level", **_LEVEL)
    for _, x in chart.flags:
        axes.axvline(x, color=ORANGE, linewidth=1, gid="flag")
    axes.margins(x=0.03, y=0.08)
    if chart.span is not None:
        low, high = axes.get_ylim()
        room = (chart.span[1] - chart.span[0]) * 0.04
        axes.set_ylim(min(low, chart.span[0] - room), max(high, chart.span[1] + room))
    first, last = chart.ticks[0][0], chart.ticks[-1][0]
    if first == last:  # a single place stands in the middle
        axes.set_xlim(first - 1, last + 1)
    beyond = max((abs(each.aside) for each in chart.series), default=0.0)
    per_unit = (width - 90 - 2 * beyond) / ((last - first) or 1.0)
    axes.set_xticks([x for x, _ in chart.ticks], thinned(chart.ticks, per_unit))
    axes.locator_params(axis="y", nbins=5)
    axes.set_xlabel(fit(chart.x, width - 70))
    axes.set_title(fit(chart.y, width - 70, SMALL))
    on.legend(handles=_keys(chart), loc="outside upper left", ncols=columns, handlelength=3.6, columnspacing=1.6)


def _series(axes: Axes, each: Series, inches: Affine2DBase, *, whiskers: bool) -> None:
    colour = COLOURS[each.kind]
    x, y = [point[0] for point in each.points], [point[1] for point in each.points]
    moved = axes.transData + ScaledTranslation(each.aside / DPI, 0, inches)
    known = [(x, ends) for (x, _), ends in zip(each.points, each.intervals, strict=False) if ends is not None]
    at, low, high = [x for x, _ in known], [ends[0] for _, ends in known], [ends[1] for _, ends in known]
    if whiskers and known:
        axes.vlines(at, low, high, color=colour, linewidth=1.4, transform=moved)
        axes.update_datalim([*zip(at, low, strict=True), *zip(at, high, strict=True)])
    elif len(known) > 1:
        axes.fill_between(at, low, high, facecolor=colour, edgecolor="none", alpha=0.14)
    axes.plot(x, y, gid="series", label=each.label, transform=moved, **_look(each))
    axes.update_datalim(list(each.points))
    axes.autoscale_view()


def _look(each: Series) -> dict[str, Any]:
    return {"color": COLOURS[each.kind], "linewidth": 1.6, "linestyle": DASHES[each.dash], **mark(each.kind, 5)}


def _keys(chart: Chart) -> list[Line2D]:
    keys = [Line2D([], [], label=_name(each.label), **_look(each)) for each in chart.series]
    keys += [
        Line2D([], [], label=_name(name), linestyle=(0, dashes), **_LEVEL)
        for (name, _), dashes in zip(chart.level, _LEVEL_DASHES * len(chart.level), strict=False)
    ]
    return keys + [Line2D([], [], label=_name(name), color=ORANGE, linewidth=1) for name, _ in chart.flags]


def _name(name: str) -> str:
    # matplotlib leaves lines out whose name begins with an underscore
    return fit(name.lstrip("_"), 230)


def _key_columns(chart: Chart, width: float) -> int:
    keys = _keys(chart)
    widest = max((text_width(str(key.get_label())) for key in keys), default=0.0) + 76
    return max(1, min(int((width - 20) // widest), len(keys)))
