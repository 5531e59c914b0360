"""A histogram."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pasctl.report.scale import Scale
from pasctl.report.svg import Drawing, box, line, text_width, words


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
