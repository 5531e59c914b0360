"""Tables of numbers as coloured cells, with the scale of their colours."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from pasctl.report.figures.style import (
    INK,
    ORANGE,
    SMALL,
    SOFT,
    TINY,
    WIDE,
    cells,
    fit,
    note_below,
    sheet,
    styled,
    text_width,
    thinned,
)
from pasctl.report.theme import STEPS, on_shades, shades, step

_TALLEST, _WIDEST = 30.0, 46.0  # pixels of a cell
_MAP = 240.0  # pixels of a map that has others beside it
_MANY = 12  # rows from which on cells are lower
_FRAMES = {"chosen": (ORANGE, 2.0), "intended": (INK, 1.6)}


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
        marked: cells with a frame, as (row, column); frame is its kind, chosen or intended.
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


def heatmap(heat: Heat, *, width: int = WIDE) -> Figure:
    """Cells as wide as there is room for, names thinned out until they fit, and the scale below."""
    return heatmaps([("", heat)], width=width)


@styled
def heatmaps(shown: Sequence[tuple[str, Heat]], *, note: str = "", width: int = WIDE) -> Figure:
    """Maps of one scale under their titles, as many beside each other as there is room for, and the scale once."""
    columns = max(1, min(int(width // _MAP), len(shown))) if len(shown) > 1 else 1
    across = width / columns - 14
    rows = -(-len(shown) // columns)
    parts = [max(_height(heat, across) for _, heat in shown[n * columns : (n + 1) * columns]) for n in range(rows)]
    titled = 20 if any(title for title, _ in shown) else 0
    figure = sheet(width, sum(parts) + rows * (52 + titled) + 44 + (18 if note else 0))
    grid = figure.add_gridspec(rows + 1, columns, height_ratios=[*parts, 11])
    for place, (title, heat) in enumerate(shown):
        row, column = divmod(place, columns)
        axes = figure.add_subplot(grid[row, column])
        _map(axes, heat, across, parts[row])
        room = across - _label_room(heat, across) - 16
        what = fit(f"{heat.row_axis} ↓ · {heat.column_axis} →", room, SMALL)
        axes.set_title(what, pad=4)
        if title:
            axes.annotate(
                fit(title, room, bold=True),
                (0, 1),
                (0, 18),
                xycoords="axes fraction",
                textcoords="offset points",
                weight="bold",
                color=INK,
            )
    _legend(figure.add_subplot(grid[rows, :]), shown[0][1], width)
    note_below(figure, note)
    return figure


def _label_room(heat: Heat, width: float) -> float:
    return min(max(text_width(name, SMALL) for name in heat.rows), width * 0.28)


def _cell_width(heat: Heat, width: float) -> float:
    return min((width - _label_room(heat, width) - 16) / len(heat.columns), _WIDEST)


def _height(heat: Heat, width: float) -> float:
    rows = len(heat.rows)
    tallest = _TALLEST if rows <= _MANY else _TALLEST * 0.72
    return rows * min(tallest, max(_cell_width(heat, width), 13.0 if rows <= 40 else 7.0))


def _map(axes: Axes, heat: Heat, width: float, height: float) -> None:
    """Cells in units of themselves; the axes may be wider than all of them."""
    rows, columns = heat.values.shape
    across, down = _cell_width(heat, width), height / rows
    axes.set_xlim(0, max(columns, (width - _label_room(heat, width) - 16) / across))
    axes.set_ylim(rows, 0)
    gap, low = (1 / across if across > 6 else 0.0), 1 / down
    known = [(row, column) for row, column in np.ndindex(rows, columns) if np.isfinite(heat.values[row, column])]
    boxes = [(column, row, 1 - gap, 1 - low) for row, column in known]
    values = [float(heat.values[place]) for place in known]
    tips = [
        f"{heat.row_axis} {heat.rows[row]}, {heat.column_axis} {heat.columns[column]}: {heat.told(value)}"
        for (row, column), value in zip(known, values, strict=True)
    ]
    colours, inks = shades(heat.colours), on_shades(heat.colours)
    cells(axes, boxes, [colours[heat.shade(value)] for value in values], tips)
    for (row, column), value in zip(known, values, strict=True):
        if value != heat.unwritten and down >= 14 and text_width(heat.told(value), SMALL) <= across - 3:
            colour = inks[heat.shade(value)]
            middle = (column + (1 - gap) / 2, row + (1 - low) / 2)
            look: dict[str, Any] = {"fontsize": SMALL, "color": colour, "ha": "center", "va": "center_baseline"}
            axes.text(*middle, heat.told(value), in_layout=False, **look)
    colour, thick = _FRAMES[heat.frame]
    for row, column in sorted(heat.marked & set(known)):
        axes.add_patch(
            Rectangle((column, row), 1 - gap, 1 - low, fill=False, edgecolor=colour, linewidth=thick, clip_on=False)
        )
    _names(axes, heat, across, down, _label_room(heat, width))


def _names(axes: Axes, heat: Heat, across: float, down: float, room: float) -> None:
    every = max(1, int(np.ceil(13 / down)))
    named = range(0, len(heat.rows), every)
    axes.set_yticks([row + 0.5 for row in named], [fit(heat.rows[row], room, SMALL) for row in named], fontsize=SMALL)
    widest = max(text_width(name, TINY) for name in heat.columns) + 6
    every = next((count for count in (1, 2, 4, 5, 8, 10, 16, 20, 32, 64) if count * across >= widest), 128)
    shown = [(column + 0.5, heat.columns[column]) for column in range(0, len(heat.columns), every)]
    if every > 1 and widest > 46:  # long names of narrow cells: the tips have them
        shown = []
    axes.set_xticks([x for x, _ in shown], thinned(shown, across, TINY), fontsize=TINY)
    axes.tick_params(length=0, pad=3)
    axes.spines[:].set_visible(False)


def _legend(axes: Axes, heat: Heat, width: float) -> None:
    """The shades between the words for their ends, in units of pixels."""
    axes.set_axis_off()
    axes.set_xlim(0, width - 12)
    axes.set_ylim(1, 0)
    place: dict[str, Any] = {"va": "center_baseline", "fontsize": SMALL, "color": SOFT}
    low, high = heat.told(heat.low), heat.told(heat.high)
    axes.text(0, 0.5, low, **place)
    x, piece = text_width(low, SMALL) + 8, 13.0
    if heat.high > heat.low:
        cells(axes, [(x + piece * number, 0, piece, 1) for number in range(STEPS + 1)], shades(heat.colours))
        x += piece * (STEPS + 1) + 8
        axes.text(x, 0.5, high, **place)
        x += text_width(high, SMALL) + 14
    if text_width(heat.scale, SMALL) <= width - 16 - x:
        axes.text(x, 0.5, heat.scale, **place)
    else:
        axes.text(0, 2.0, fit(heat.scale, width - 16, SMALL), **place)
