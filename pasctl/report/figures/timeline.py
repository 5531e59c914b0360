"""Surprise along a text, and where events begin."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pasctl.report.figures.style import BLUE, INK, ORANGE, TINY, WIDE, apart, cells, sheet, styled
from pasctl.report.theme import shades
from pasctl.report.thin import Floats, thin

_APART = 5.0  # pixels from which on events are drawn one by one
_BAR = 1.2  # and tokens
_FAINT = 0.28


@styled
def timeline(
    surprise: Floats,
    starts: Sequence[int],
    *,
    first: int = 0,
    flags: Sequence[int] = (),
    width: int = WIDE,
    height: int = 150,
) -> Figure:
    """A stretch of a text: per pixel the range and the mean of the surprise; below, the events.

    Args:
        surprise: of each token in nats [N].
        starts: first token of each event, rising, counted from the text's beginning.
        first: the stretch's first token.
        flags: tokens that get a number, 1, 2, ..
        width: pixels.
        height: pixels of the upper part.
    """
    stop, room = first + len(surprise), width - 60.0
    figure = sheet(width, height + 110)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[height, 15])
    upper.grid(axis="y", linewidth=0.8)
    _surprise(upper, surprise, set(starts), first, room)
    upper.set(xlim=(first, stop), ylim=(0, max(float(surprise.max()) * 1.05, 1.0)))
    upper.locator_params(axis="y", nbins=5)
    upper.tick_params(axis="x", length=0, labelbottom=False)
    upper.set_title("surprise in nats", pad=22 if flags else 6)
    shown = [(number, token) for number, token in enumerate(flags, 1) if first <= token < stop]
    gap = 16 * len(surprise) / room
    places = apart([token + 0.5 for _, token in shown], gap, first + gap / 2, stop - gap / 2)
    for (number, token), place in zip(shown, places, strict=True):
        top = upper.get_ylim()[1]
        upper.plot([token + 0.5] * 2, [surprise[token - first], top], color=ORANGE, linewidth=0.8, gid="flag")
        upper.annotate(
            str(number),
            (token + 0.5, 1),
            (place, 1.09),
            xycoords=("data", "axes fraction"),
            textcoords=("data", "axes fraction"),
            ha="center",
            fontsize=TINY,
            color=INK,
            arrowprops={"arrowstyle": "-", "color": ORANGE, "linewidth": 0.8, "shrinkA": 0, "shrinkB": 0},
        )
    _events(lower, [start for start in starts if first <= start < stop], first, stop, room)
    lower.set(ylim=(1, 0), xlabel="token of the text")
    lower.set_yticks([0.5], ["events"], fontsize=TINY)
    lower.locator_params(axis="x", nbins=4 if width < WIDE else 8, integer=True)
    return figure


def _surprise(axes: Axes, surprise: Floats, starts: set[int], first: int, room: float) -> None:
    """Bars a token while they are some pixels wide, dark where events begin; else the range per pixel, and the mean."""
    if room / len(surprise) >= _BAR:
        tokens = np.arange(first, first + len(surprise))
        begins = np.isin(tokens, list(starts))
        for which, alpha, name in ((begins, 1.0, "starts"), (~begins, _FAINT, "others")):
            drawn = axes.bar(tokens[which], surprise[which], width=0.72, align="edge", color=BLUE, alpha=alpha)
            drawn.set_label(name)
        return
    fine, coarse = thin(surprise, int(room)), thin(surprise, int(room / 4))
    axes.fill_between(
        first + fine.edges[:-1], fine.low, fine.high, facecolor=BLUE, edgecolor="none", alpha=_FAINT, gid="range"
    )
    middles = (coarse.edges[:-1] + coarse.edges[1:]) / 2
    axes.plot(first + middles, coarse.mean, color=BLUE, linewidth=1, gid="mean")


def _events(axes: Axes, starts: Sequence[int], first: int, stop: int, room: float) -> None:
    """Events as boxes, two shades in turn; where they are too many, how many begin in each few pixels."""
    if not starts:
        return
    colours, pixel = shades("s"), (stop - first) / room
    if room / len(starts) >= _APART:
        ends = [*starts[1:], stop]
        boxes: list[tuple[float, float, float, float]] = [
            (start, 0, max(end - start - 0.75 * pixel, 0.5 * pixel), 1) for start, end in zip(starts, ends, strict=True)
        ]
        cells(axes, boxes, [colours[7 if number % 2 else 4] for number in range(len(starts))])
        return
    counts, edges = np.histogram(starts, bins=int(room / 6), range=(first, stop))
    boxes = [(float(edge), 0, float(edges[1] - edges[0]), 1) for edge in edges[:-1]]
    cells(axes, boxes, [colours[round(10 * int(count) / int(counts.max()))] for count in counts])
