"""Means with their intervals, one under the other on one axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pasctl.report.scale import Scale, bounds
from pasctl.report.svg import WIDE, Drawing, box, element, fit, line, text_width, words


@dataclass(frozen=True)
class Mark:
    """One row.

    Attributes:
        label: what it is.
        mean: where its mark stands; None has none.
        interval: where its whisker begins and ends.
        kind: steered, told, control or baseline; each has its own colour and mark.
    """

    label: str
    mean: float | None
    interval: tuple[float, float] | None
    kind: str


def forest(marks: Sequence[Mark], *, axis: str, reference: tuple[str, float] | None, width: int) -> Drawing:
    """Rows in the order given; at less than full width the label stands over its row.

    Args:
        marks: the rows.
        axis: what the axis measures.
        reference: a value that a dashed line marks, and its name.
        width: pixels.
    """
    stacked = width < WIDE
    row, left = (36, 10.0) if stacked else (25, max(text_width(each.label) for each in marks) + 22)
    right = width - (12.0 if stacked else 126.0)
    top, bottom = 26.0, 26.0 + row * len(marks)
    known = [value for each in marks for value in (each.mean, *(each.interval or ()))]
    low, high = bounds([*known, reference[1] if reference else None])
    scale = Scale(low, high, left, right)
    drawn = [box(0, top + row * place, width, row, "stripe") for place in range(0, len(marks), 2)]
    for value, told in scale.ticks(4 if stacked else 7):
        drawn += [line(scale(value), top, scale(value), bottom + 5, "grid")]
        drawn += [words(scale(value), bottom + 19, told, anchor="middle")]
    if reference is not None:
        name, value = reference
        drawn += [line(scale(value), top - 6, scale(value), bottom, "guide")]
        drawn += [words(*_inside(scale(value), 14, name, width), "small", anchor="middle")]
    for place, mark in enumerate(marks):
        y = top + row * place + (row - 12 if stacked else row / 2)
        at = (left, y - 11, fit(mark.label, width - 20)) if stacked else (left - 14, y + 4, mark.label)
        drawn += [words(*at, "label", anchor=None if stacked else "end")]
        drawn += _mark(mark, scale, y)
        if not stacked:
            drawn += _figures(mark, width - 8.0, y + 4)
    drawn += [line(left, bottom, right, bottom, "axis")]
    drawn += [words((left + right) / 2, bottom + 38, fit(axis, width - 8), anchor="middle")]
    return Drawing(width, bottom + 46, drawn)


def point(x: float, y: float, kind: str, *, radius: float = 4.5) -> str:
    """A mark: a disc, a ring for a control, a diamond for a baseline."""
    if kind == "baseline":
        reach = radius * 1.25
        corners = [(x, y - reach), (x + reach, y), (x, y + reach), (x - reach, y)]
        return element("polygon", points=" ".join(f"{a:.2f},{b:.2f}" for a, b in corners), class_=f"dot {kind}")
    return element("circle", cx=x, cy=y, r=radius, class_=f"dot {kind}")


def _mark(mark: Mark, scale: Scale, y: float) -> list[str]:
    drawn = []
    if mark.interval is not None:
        drawn += [line(scale(mark.interval[0]), y, scale(mark.interval[1]), y, f"whisker {mark.kind}")]
    if mark.mean is not None:
        drawn += [point(scale(mark.mean), y, mark.kind)]
    return drawn


def _figures(mark: Mark, right: float, y: float) -> list[str]:
    if mark.mean is None:
        return [words(right, y, "none", "small", anchor="end")]
    drawn = [words(right - 76, y, f"{mark.mean:.2f}", "label", anchor="end")]
    if mark.interval is not None:
        drawn += [words(right, y, f"{mark.interval[0]:.2f} to {mark.interval[1]:.2f}", "small", anchor="end")]
    return drawn


def _inside(x: float, y: float, text: str, width: float) -> tuple[float, float, str]:
    """A place for centred words that does not run over the sheet's edge."""
    half = text_width(text, 11) / 2 + 2
    return min(max(x, half), width - half), y, text
