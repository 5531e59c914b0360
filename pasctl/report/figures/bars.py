"""Bars: a histogram, and counts of a few things by name."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pasctl.report.scale import Scale
from pasctl.report.svg import Drawing, box, fit, line, text_width, words

_WIDEST = 54.0  # pixels across a bar


def histogram(
    values: Sequence[int], *, unit: str, flags: Sequence[tuple[str, float]] = (), width: int, height: int = 150
) -> Drawing:
    """How often whole numbers, at least one of them, fall into bins of equal width.

    Args:
        values: the numbers.
        unit: what they count.
        flags: values that a line marks, by name.
        width: pixels.
        height: pixels of the bars.
    """
    most = max(values)
    wide = max(1, -(-(most + 1) // 32))
    edges = np.arange(0, most + wide + 1, wide)
    counts, _ = np.histogram(values, bins=edges)
    left, right, top = text_width(f"{counts.max():,}") + 12, width - 10.0, 52.0
    across = Scale(0, float(edges[-1]), left, right)
    up = Scale(0, float(counts.max()) * 1.05, top + height, top)
    drawn = [words(0, 12, f"events in bins of {wide} {unit}" if wide > 1 else "events", "small")]
    for value, told in up.ticks(3):
        if value == int(value):
            drawn += [line(left, up(value), right, up(value), "grid")]
            drawn += [words(left - 6, up(value) + 4, told, anchor="end")]
    for start, count in zip(edges, counts.tolist(), strict=False):
        if count:
            x, tip = across(float(start)), f"{start} to {start + wide - 1} {unit}: {count:,}"
            tall = up.start - up(count)
            drawn += [box(x + 0.5, up(count), max(across(float(start + wide)) - x - 1, 1), tall, "bar", tip=tip)]
    for place, (name, value) in enumerate(flags):
        x = across(value)
        near = x + text_width(name, 11) + 4 > right
        drawn += [line(x, top - 12, x, top + height, "flagline")]
        drawn += [
            words(x + (-4 if near else 4), top - 4 - 12 * (place % 2), name, "small", anchor="end" if near else None)
        ]
    drawn += [line(left, top + height, right, top + height, "axis")]
    for value, told in across.ticks(5 if width < 500 else 8):
        drawn += [words(across(value), top + height + 18, told, anchor="middle")]
    drawn += [words((left + right) / 2, top + height + 36, unit, anchor="middle")]
    return Drawing(width, top + height + 44, drawn)


def bars(counted: Sequence[tuple[str, int]], *, unit: str, axis: str, width: int, height: int = 130) -> Drawing:
    """A bar for each of some things, by name, with its count over it.

    Args:
        counted: name and count, at least one, in the order of the bars.
        unit: what is counted.
        axis: what the names are.
        width: pixels.
        height: pixels of the highest bar.
    """
    most = max(max(count for _, count in counted), 1)
    across = min((width - 8) / len(counted), _WIDEST * 1.4)
    wide, top = min(across - 4, _WIDEST), 40.0
    right = 4 + across * len(counted)
    drawn = [words(0, 12, unit, "small")]
    for place, (name, count) in enumerate(counted):
        middle = 4 + across * (place + 0.5)
        tall = height * count / most
        if count:
            tip = f"{name}: {count:,} {unit}"
            drawn += [box(middle - wide / 2, top + height - tall, wide, tall, "bar", tip=tip)]
        drawn += [words(middle, top + height - tall - 5, f"{count:,}", "label small", anchor="middle")]
        drawn += [words(middle, top + height + 17, fit(name, across - 2), anchor="middle")]
    drawn += [line(0, top + height, right, top + height, "axis")]
    drawn += [words(4, top + height + 35, fit(axis, width - 8))]
    return Drawing(width, top + height + 43, drawn)
