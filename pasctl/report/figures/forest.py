"""Means with their intervals, one under the other on one axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pasctl.report.scale import Scale, bounds
from pasctl.report.svg import WIDE, Drawing, box, element, fit, line, text_width, words

_ROW, _STACKED = 25.0, 36.0  # pixels of a row
_HEAD = 28.0  # and of a heading
_LONGEST = 250.0  # pixels of a label beside its row
_TALL = 700.0  # pixels from which on a drawing has its scale at both ends


@dataclass(frozen=True)
class Mark:
    """One row.

    Attributes:
        label: what it is.
        mean: where its mark stands; None has none.
        interval: where its whisker begins and ends.
        kind: steered, oracle, told, control or baseline; each has its own colour and mark.
        draws: means of single draws, where the mean is over several; each a tick.
        group: a heading that stands over the rows that have it and follow each other.
    """

    label: str
    mean: float | None
    interval: tuple[float, float] | None
    kind: str
    draws: tuple[float, ...] = ()
    group: str = ""


def forest(marks: Sequence[Mark], *, axis: str, reference: tuple[str, float] | None, width: int) -> Drawing:
    """Rows in the order given; at less than full width the label stands over its row.

    Args:
        marks: the rows.
        axis: what the axis measures.
        reference: a value that a dashed line marks, and its name.
        width: pixels.
    """
    stacked = width < WIDE
    row = _STACKED if stacked else _ROW
    left = 10.0 if stacked else min(max(text_width(each.label) for each in marks), _LONGEST) + 22
    right = width - (12.0 if stacked else 126.0)
    high_up = _HEAD + row * len(marks) > _TALL
    top = 44.0 if high_up else 26.0  # where the axis below is far away, its numbers also stand above
    places, headings, bottom = _places(marks, row, top)
    known = [value for each in marks for value in (each.mean, *(each.interval or ()), *each.draws)]
    low, high = bounds([*known, reference[1] if reference else None])
    scale = Scale(low, high, left, right)
    drawn = [box(0, y, width, row, "stripe") for number, y in enumerate(places) if number % 2 == 0]
    for value, told in scale.ticks(4 if stacked else 7):
        drawn += [line(scale(value), top, scale(value), bottom + 5, "grid")]
        drawn += [words(scale(value), bottom + 19, told, anchor="middle")]
        drawn += [words(scale(value), top - 8, told, anchor="middle")] if high_up else []
    if reference is not None:
        name, value = reference
        drawn += [line(scale(value), top - 6, scale(value), bottom, "guide")]
        drawn += [words(*_inside(scale(value), 14, name, width), "small", anchor="middle")]
    drawn += [words(4, y + 19, fit(name, width - 40), "head halo") for name, y in headings]
    for mark, start in zip(marks, places, strict=True):
        y = start + (row - 12 if stacked else row / 2)
        if stacked:
            drawn += [words(left, y - 11, fit(mark.label, width - 140), "label halo")]
        else:
            drawn += [words(left - 14, y + 4, fit(mark.label, _LONGEST), "label", anchor="end")]
        drawn += _mark(mark, scale, y)
        drawn += _figures(mark, width - 8.0, y - 11 if stacked else y + 4)
    drawn += [line(left, bottom, right, bottom, "axis")]
    drawn += [words((left + right) / 2, bottom + 38, fit(axis, width - 8), anchor="middle")]
    return Drawing(width, bottom + 46, drawn)


def _places(marks: Sequence[Mark], row: float, top: float) -> tuple[list[float], list[tuple[str, float]], float]:
    """Where each row begins, the headings with where they begin, and where all ends."""
    places, headings, y, before = [], [], top, ""
    for mark in marks:
        if mark.group and mark.group != before:
            headings.append((mark.group, y))
            y += _HEAD
        before = mark.group
        places.append(y)
        y += row
    return places, headings, y


def point(x: float, y: float, kind: str, *, radius: float = 4.5) -> str:
    """A mark: a disc, a ring for a control and for an upper bound, a diamond for a baseline."""
    if kind == "baseline":
        reach = radius * 1.25
        corners = [(x, y - reach), (x + reach, y), (x, y + reach), (x - reach, y)]
        return element("polygon", points=" ".join(f"{a:.2f},{b:.2f}" for a, b in corners), class_=f"dot {kind}")
    return element("circle", cx=x, cy=y, r=radius, class_=f"dot {kind}")


def _mark(mark: Mark, scale: Scale, y: float) -> list[str]:
    drawn = [line(scale(each), y - 7, scale(each), y + 7, f"draw {mark.kind}") for each in mark.draws]
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
