"""A table of numbers as coloured cells, with the scale of its colours."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pasctl.report.svg import Drawing, box, element, fit, text_width, words
from pasctl.report.theme import STEPS, step

_TALLEST, _WIDEST = 30.0, 46.0  # pixels of a cell
_MAP, _BESIDE = 240.0, 24.0  # pixels of a map that has others beside it, and between the two
_MANY = 12  # rows from which on cells are lower
_TOLD = 30.0  # pixels across from which on a cell has its number written in


@dataclass(frozen=True, eq=False)
class Heat:
    """What is drawn.

    Attributes:
        values: float [R, C]; NaN where there is nothing.
        rows: names of the rows, and columns of the columns.
        row_axis: what rows are; column_axis what columns are.
        low: value at one end of the colours, high at the other.
        scale: what the colours measure.
        told: how a value is written.
        colours: "s", one hue, or "d", two hues from a middle.
        marked: cells with a frame, as (row, column); frame is its class.
        unwritten: a value whose number is not written into its cells.
    """

    values: NDArray[np.float64]
    rows: Sequence[str]
    columns: Sequence[str]
    row_axis: str
    column_axis: str
    low: float
    high: float
    scale: str
    told: Callable[[float], str]
    colours: str = "s"
    marked: frozenset[tuple[int, int]] = field(default_factory=frozenset)
    frame: str = "chosen"
    unwritten: float | None = None

    def shade(self, value: float) -> int:
        """The colour's number."""
        return step((value - self.low) / (self.high - self.low) if self.high > self.low else 1.0)


def heatmap(heat: Heat, *, width: int, legend: bool = True) -> Drawing:
    """Cells as wide as there is room for, names thinned out until they fit, and with `legend` the scale below."""
    rows, columns = heat.values.shape
    longest = min(max(text_width(name, 11) for name in heat.rows), width * 0.28)
    left, top = longest + 12, 22.0
    across = min((width - left - 4) / columns, _WIDEST)
    tallest = _TALLEST if rows <= _MANY else _TALLEST * 0.72
    down = min(tallest, max(across, 13.0 if rows <= 40 else 7.0))
    drawn = [words(0, 12, fit(f"{heat.row_axis} ↓ · {heat.column_axis} →", width), "small")]
    gap = 1.0 if across > 6 else 0.0
    frames = []
    for row in range(rows):
        for column in range(columns):
            x, y, value = left + across * column, top + down * row, float(heat.values[row, column])
            if not np.isfinite(value):
                continue
            shade = f"{heat.colours}{heat.shade(value)}"
            tip = f"{heat.row_axis} {heat.rows[row]}, {heat.column_axis} {heat.columns[column]}: {heat.told(value)}"
            drawn += [box(x, y, across - gap, down - gap, shade, tip=tip)]
            if across >= _TOLD and value != heat.unwritten and text_width(heat.told(value), 11) <= across - 4:
                at = (x + (across - gap) / 2, y + down / 2 + 3.5)
                drawn += [words(*at, heat.told(value), f"small on-{shade}", anchor="middle")]
            if (row, column) in heat.marked:
                frames += [box(x, y, across - gap, down - gap, heat.frame)]
    drawn += frames
    every = max(1, -(-12 // max(int(down), 1)))
    for row in range(0, rows, every):
        drawn += [
            words(left - 6, top + down * (row + 0.5) + 4, fit(heat.rows[row], longest, 11), "small", anchor="end")
        ]
    bottom = top + down * rows
    drawn += _column_names(heat, left, across, bottom + 14)
    if not legend:
        return Drawing(width, bottom + 20, drawn)
    drawn += _legend(heat, left, bottom + 36, width)
    return Drawing(width, bottom + 64, drawn)


def heatmaps(shown: Sequence[tuple[str, Heat]], *, width: int) -> Drawing:
    """Maps of one scale under their titles, as many beside each other as there is room for, and the scale once."""
    columns = max(1, min(int((width + _BESIDE) // (_MAP + _BESIDE)), len(shown)))
    across = (width + _BESIDE) / columns - _BESIDE
    drawn: list[str] = []
    top, highest = 0.0, 0.0
    for place, (title, heat) in enumerate(shown):
        if place % columns == 0:
            top, highest = top + highest, 0.0
        one = heatmap(heat, width=int(across), legend=False)
        inside = [words(0, 14, fit(title, across), "head"), *_moved(one.elements, 0, 22)]
        drawn += _moved(inside, (across + _BESIDE) * (place % columns), top)
        highest = max(highest, one.height + 34)
    below = top + highest
    return Drawing(width, below + 28, [*drawn, *_legend(shown[0][1], 0, below - 6, width)])


def _moved(elements: Sequence[str], x: float, y: float) -> list[str]:
    return [element("g", *elements, transform=f"translate({x:.2f} {y:.2f})")]


def _column_names(heat: Heat, left: float, across: float, y: float) -> list[str]:
    """The columns' names, each so many columns as the longest needs; none if even a few would not fit."""
    wanted = max(text_width(name, 10) for name in heat.columns) + 6
    every = max(1, -(-int(wanted) // max(int(across), 1)))
    if every > 1 and wanted > 40:
        return []
    every = next((each for each in (1, 2, 4, 5, 8, 10, 16, 20, 32, 64) if each >= every), every)
    return [
        words(left + across * (column + 0.5), y, heat.columns[column], "tiny", anchor="middle")
        for column in range(0, len(heat.columns), every)
    ]


def _legend(heat: Heat, left: float, y: float, width: int) -> list[str]:
    piece = 13.0
    low, high = heat.told(heat.low), heat.told(heat.high)
    start = left + text_width(low, 11) + 6
    drawn = [words(left, y + 9, low, "small")]
    if heat.high > heat.low:
        drawn += [box(start + piece * n, y, piece, 11, f"{heat.colours}{n}") for n in range(STEPS + 1)]
        start += piece * (STEPS + 1)
        drawn += [words(start + 6, y + 9, high, "small")]
        start += 6 + text_width(high, 11)
    room = width - start - 10
    if text_width(heat.scale, 11) <= room:
        return [*drawn, words(start + 10, y + 9, heat.scale, "small")]
    return [*drawn, words(left, y + 23, fit(heat.scale, width - left, 11), "small")]
