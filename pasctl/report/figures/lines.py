"""Series against one quantity, with bands or whiskers, named where they end."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pasctl.report.figures.forest import point
from pasctl.report.scale import Scale, apart, bounds
from pasctl.report.svg import WIDE, Drawing, fit, line, path, text_width, words


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


def lines(series: Sequence[Series], axes: Axes, *, width: int, height: int = 250, whiskers: bool = False) -> Drawing:
    """Lines with bands of their intervals, or with whiskers if the points are few and apart.

    At less than full width names stand over the drawing, since beside it there is no room.
    """
    beside = width >= WIDE
    names = [(each.label, each.kind) for each in series] + [(name, "baseline") for name, _ in axes.level]
    keys, top = _keys(series, axes, width) if not beside else ([], 0.0)
    top += 30.0
    longest = max(text_width(name) for name, _ in names) + 24 if beside else 14.0
    known = [y for each in series for _, y in each.points]
    known += [edge for each in series for interval in each.intervals if interval for edge in interval]
    low, high = bounds([*known, *(value for _, value in axes.level), *(axes.span or ())])
    up = Scale(low, high, top + height, top)
    marks = up.ticks(4)
    left = max(text_width(told) for _, told in marks) + 10
    right = width - longest
    first, last = (min(x for x, _ in axes.ticks), max(x for x, _ in axes.ticks))
    beyond = 8 + max(abs(each.aside) for each in series)
    room = 0.0 if last > first else 1.0  # a single place stands in the middle
    across = Scale(first - room, last + room, left + beyond, right - beyond)
    drawn = [*keys, words(0, top - 12, fit(axes.y, width), "small")]
    for value, told in marks:
        drawn += [line(left, up(value), right, up(value), "grid"), words(left - 6, up(value) + 4, told, anchor="end")]
    for _, value in axes.level:
        drawn += [line(left, up(value), right, up(value), "guide")]
    for name, x in axes.flags:
        far = across(x) + text_width(name, 11) + 6 > right
        at = (across(x) + (-5 if far else 5), top + 8)
        drawn += [line(across(x), top, across(x), top + height, "flagline")]
        drawn += [words(*at, name, "small", anchor="end" if far else None)]
    for each in series:
        drawn += _drawn(each, across, up, whiskers=whiskers)
    drawn += [line(left, top + height, right, top + height, "axis")]
    free = -math.inf
    for value, told in axes.ticks:
        drawn += [line(across(value), top + height, across(value), top + height + 4, "axis")]
        if across(value) - text_width(told) / 2 >= free:  # names of ticks that are too near are left out
            drawn += [words(across(value), top + height + 18, told, anchor="middle")]
            free = across(value) + text_width(told) / 2 + 4
    drawn += [words((left + right) / 2, top + height + 36, fit(axes.x, width), anchor="middle")]
    if beside:
        ends = [up(each.points[-1][1]) for each in series] + [up(value) for _, value in axes.level]
        for (name, kind), y in zip(names, apart(ends, 15, top + 4, top + height), strict=True):
            drawn += [words(right + 8, y + 4, name, f"name {kind}" if kind != "baseline" else "small")]
    return Drawing(width, top + height + 44, drawn)


def _drawn(series: Series, scale: Scale, up: Scale, *, whiskers: bool) -> list[str]:
    across = replace(scale, start=scale.start + series.aside, stop=scale.stop + series.aside)
    drawn = []
    held = [(x, each) for (x, _), each in zip(series.points, series.intervals, strict=False) if each is not None]
    if whiskers:
        drawn += [line(across(x), up(low), across(x), up(high), f"whisker {series.kind}") for x, (low, high) in held]
    elif len(held) > 1:
        edge = [(across(x), up(low)) for x, (low, _) in held]
        back = [(across(x), up(high)) for x, (_, high) in reversed(held)]
        drawn += [path(edge + back, f"band {series.kind}", closed=True)]
    drawn += [path([(across(x), up(y)) for x, y in series.points], f"line {series.kind} {series.dash}".rstrip())]
    return drawn + [point(across(x), up(y), series.kind, radius=3.5) for x, y in series.points]


def _keys(series: Sequence[Series], axes: Axes, width: int) -> tuple[list[str], float]:
    """The lines' names in rows, each behind a piece of its line, and the height that they take."""
    drawn, x, y = [], 0.0, 12.0
    entries = [(each.label, f"line {each.kind} {each.dash}".rstrip(), f"name {each.kind}") for each in series]
    entries += [(name, "guide", "small") for name, _ in axes.level]
    for name, stroke, kind in entries:
        told = fit(name, width - 40)
        wanted = 28 + text_width(told) * 1.12 + 16  # names are bold
        if x and x + wanted > width:
            x, y = 0.0, y + 18
        drawn += [line(x, y - 4, x + 22, y - 4, stroke), words(x + 28, y, told, kind)]
        x += wanted
    return drawn, y + 6
