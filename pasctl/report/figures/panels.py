"""Small panels side by side: what a model answers where a person answers 1, 2, .. 5."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pasctl.report.figures.style import (
    COLOURS,
    INK,
    LINE,
    SMALL,
    SOFT,
    TINY,
    WIDE,
    fit,
    mark,
    note_below,
    sheet,
    styled,
)

_LEAST = 150  # pixels that a panel needs


@dataclass(frozen=True)
class Spread:
    """The model's expected answers where the person gave one answer.

    Attributes:
        level: the person's agreement.
        mean: of the model's.
        middle: quartiles.
        most: what nine tenths of the answers lie above, and below.
    """

    level: float
    mean: float
    middle: tuple[float, float]
    most: tuple[float, float]


@dataclass(frozen=True)
class Panel:
    """One condition and its strength, if it has one; kind is steered, told, control or baseline."""

    label: str
    strength: str
    kind: str
    spreads: tuple[Spread, ...]


@styled
def panels(shown: Sequence[Panel], ends: tuple[int, int], *, note: str = "", width: int = WIDE) -> Figure:
    """Panels in rows, as many beside each other as there is room for; both axes go from the lowest to the highest."""
    columns = max(min(width // _LEAST, len(shown)), 2)
    rows = -(-len(shown) // columns)
    across = width / columns
    side = min(across - 34, 170.0)
    figure = sheet(width, rows * (side + 62) + 40 + (18 if note else 0))
    for place, panel in enumerate(shown, 1):
        axes = figure.add_subplot(rows, columns, place)
        title = f"{fit(panel.label, across - 22, SMALL)}\n{fit(panel.strength, side, SMALL)}".rstrip()
        axes.set_title(title, fontsize=SMALL, color=INK)
        _panel(axes, panel, *ends)
    figure.suptitle("across: the person's agreement · up: the model's answer", x=0.01, ha="left", fontsize=SMALL)
    note_below(figure, note)
    return figure


def _panel(axes: Axes, panel: Panel, low: int, high: int) -> None:
    colour = COLOURS[panel.kind]
    edges, levels = (low - 0.5, high + 0.5), range(low, high + 1)
    axes.set(xlim=edges, ylim=edges, xticks=levels, yticks=levels, box_aspect=1)
    axes.tick_params(length=0, labelsize=TINY)
    axes.spines[:].set(visible=True, color=LINE)
    axes.plot(edges, edges, color=SOFT, linewidth=0.8, linestyle=(0, (3, 3)))
    level = [each.level for each in panel.spreads]
    for ends, width, alpha in (("most", 1.4, 1.0), ("middle", 4.0, 0.35)):
        below, above = zip(*(getattr(each, ends) for each in panel.spreads), strict=True)
        axes.vlines(level, below, above, color=colour, linewidth=width, alpha=alpha, gid=ends)
    mean = [each.mean for each in panel.spreads]
    axes.plot(level, mean, color=colour, linewidth=1.2, linestyle=(0, (1.5, 2)), gid="mean", **mark(panel.kind, 5))
