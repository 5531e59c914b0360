"""Which events of a memory each layer retrieved for a question."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from pasctl.report.figures.style import FAINT, TINY, WIDE, cells, sheet, styled
from pasctl.report.theme import shades

_ROW = 13.0


@dataclass(frozen=True)
class Fetched:
    """An event that a layer retrieved, in what share of the steps, and with what score at best."""

    layer: int
    event: int
    share: float
    score: float


@styled
def recall_map(fetched: Sequence[Fetched], *, layers: Sequence[int], events: int, width: int = WIDE) -> Figure:
    """A row a layer, the text's events from its beginning on the left to its end.

    Args:
        fetched: what was retrieved.
        layers: the rows.
        events: how many there are.
        width: pixels.
    """
    figure = sheet(width, max(_ROW * len(layers), 13) + 58)
    axes = figure.add_subplot()
    last = max(events, 1)
    wide = max(1 - 0.5 * last / (width - 50), 2.5 * last / (width - 50))  # an event is never less than 2.5 pixels
    cells(axes, [(0, row, last, 0.88) for row in range(len(layers))], [FAINT] * len(layers))
    rows = {layer: row for row, layer in enumerate(layers)}
    colours = shades("s")
    ordered = sorted(fetched, key=lambda each: each.share)
    cells(
        axes,
        [(min(each.event, last - wide), rows[each.layer], wide, 0.88) for each in ordered],
        [colours[3 + round(7 * each.share)] for each in ordered],
        [
            f"layer {each.layer}, event {each.event:,}: in {each.share:.0%} of steps, score {each.score:.2f} at best"
            for each in ordered
        ],
    )
    axes.set(xlim=(0, last), ylim=(len(layers), 0))
    axes.set_yticks([row + 0.44 for row in range(len(layers))], [str(layer) for layer in layers], fontsize=TINY)
    axes.locator_params(axis="x", nbins=4 if width < WIDE else 8, integer=True)
    axes.tick_params(axis="y", length=0)
    axes.set_title("layer ↓ · event of the text →")
    return figure
