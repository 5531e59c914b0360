"""Series against one quantity, with bands or whiskers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes as Plane
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D
from matplotlib.transforms import ScaledTranslation

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
class Axes:
    """What the axes measure.

    Attributes:
        x: name of the horizontal axis.
        y: name of the vertical axis, written over it.
        ticks: (x, how it is written).
        level: values that dashed lines mark, by name.
        span: least range of the vertical axis; the data may widen it.
        flags: x that upright lines mark, by name.
    """

    x: str
    y: str
    ticks: tuple[tuple[float, str], ...]
    level: tuple[tuple[str, float], ...] = ()
    span: tuple[float, float] | None = None
    flags: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class Chart:
    """Lines and their axes, with bands of their intervals, or whiskers if the points are few and apart."""

    series: Sequence[Series]
    axes: Axes
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
    plane, axes = on.add_subplot(), chart.axes
    plane.grid(axis="y", linewidth=0.8)
    for each in chart.series:
        _series(plane, each, whiskers=chart.whiskers)
    for (_, value), dashes in zip(axes.level, _LEVEL_DASHES * len(axes.level), strict=False):
        plane.axhline(value, linestyle=(0, dashes), gid="level", **_LEVEL)
    for _, x in axes.flags:
        plane.axvline(x, color=ORANGE, linewidth=1, gid="flag")
    plane.margins(x=0.03, y=0.08)
    if axes.span is not None:
        low, high = plane.get_ylim()
        room = (axes.span[1] - axes.span[0]) * 0.04
        plane.set_ylim(min(low, axes.span[0] - room), max(high, axes.span[1] + room))
    first, last = axes.ticks[0][0], axes.ticks[-1][0]
    if first == last:  # a single place stands in the middle
        plane.set_xlim(first - 1, last + 1)
    beyond = max((abs(each.aside) for each in chart.series), default=0.0)
    per_unit = (width - 90 - 2 * beyond) / ((last - first) or 1.0)
    plane.set_xticks([x for x, _ in axes.ticks], thinned(axes.ticks, per_unit))
    plane.locator_params(axis="y", nbins=5)
    plane.set_xlabel(fit(axes.x, width - 70))
    plane.set_title(fit(axes.y, width - 70, SMALL))
    on.legend(handles=_keys(chart), loc="outside upper left", ncols=columns, handlelength=3.6, columnspacing=1.6)


def _series(plane: Plane, each: Series, *, whiskers: bool) -> None:
    colour = COLOURS[each.kind]
    x, y = [point[0] for point in each.points], [point[1] for point in each.points]
    figure = plane.get_figure()
    assert figure is not None  # noqa: S101 - axes that were just added have one
    moved = plane.transData + ScaledTranslation(each.aside / DPI, 0, figure.dpi_scale_trans)
    known = [(x, ends) for (x, _), ends in zip(each.points, each.intervals, strict=False) if ends is not None]
    at, low, high = [x for x, _ in known], [ends[0] for _, ends in known], [ends[1] for _, ends in known]
    if whiskers and known:
        plane.vlines(at, low, high, color=colour, linewidth=1.4, transform=moved)
        plane.update_datalim([*zip(at, low, strict=True), *zip(at, high, strict=True)])
    elif len(known) > 1:
        plane.fill_between(at, low, high, facecolor=colour, edgecolor="none", alpha=0.14)
    style = {"color": colour, "linewidth": 1.6, "linestyle": DASHES[each.dash]}
    plane.plot(x, y, gid="series", label=each.label, transform=moved, **style, **mark(each.kind, 5))
    plane.update_datalim(list(each.points))
    plane.autoscale_view()


def _keys(chart: Chart) -> list[Line2D]:
    keys = [
        Line2D(
            [], [], label=_name(each.label), color=COLOURS[each.kind], linestyle=DASHES[each.dash], **mark(each.kind, 5)
        )
        for each in chart.series
    ]
    keys += [
        Line2D([], [], label=_name(name), linestyle=(0, dashes), **_LEVEL)
        for (name, _), dashes in zip(chart.axes.level, _LEVEL_DASHES * len(chart.axes.level), strict=False)
    ]
    return keys + [Line2D([], [], label=_name(name), color=ORANGE, linewidth=1) for name, _ in chart.axes.flags]


def _name(name: str) -> str:
    # matplotlib leaves lines out whose name begins with an underscore
    return fit(name.lstrip("_"), 230)


def _key_columns(chart: Chart, width: float) -> int:
    keys = _keys(chart)
    widest = max((text_width(str(key.get_label())) for key in keys), default=0.0) + 76
    return max(1, min(int((width - 20) // widest), len(keys)))
