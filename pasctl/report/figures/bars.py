"""Bars: a histogram, and counts of a few things by name."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from pasctl.report.figures.style import BLUE, DASHES, INK, ORANGE, SMALL, WIDE, fit, sheet, styled, thinned

_WIDEST = 76.0  # pixels from bar to bar


@styled
def histogram(
    values: Sequence[int], *, unit: str, flags: Sequence[tuple[str, float]] = (), width: int = WIDE, height: int = 150
) -> Figure:
    """How often whole numbers, at least one of them, fall into bins of equal width.

    Args:
        values: the numbers.
        unit: what they count.
        flags: values that a line marks, by name; three at most.
        width: pixels.
        height: pixels of the bars.
    """
    wide = max(1, -(-(max(values) + 1) // 32))
    edges = np.arange(0, max(values) + wide + 1, wide)
    counts, _ = np.histogram(values, bins=edges)
    figure = sheet(width, height + 106)
    axes = figure.add_subplot()
    axes.bar(edges[:-1], counts, width=wide * 0.94, align="edge", color=BLUE)
    axes.set_xlim(0, max(float(edges[-1]), *(value for _, value in flags), 1.0))
    axes.grid(axis="y", linewidth=0.8)
    axes.locator_params(axis="y", nbins=4, integer=True)
    axes.locator_params(axis="x", nbins=5 if width < WIDE else 9, integer=True)
    axes.set_xlabel(unit)
    axes.set_title(f"events in bins of {wide} {unit}" if wide > 1 else "events")
    for (name, value), dashes in zip(flags, DASHES.values(), strict=False):
        axes.axvline(value, color=ORANGE, linewidth=1.4, linestyle=dashes, label=f"{name} {value:.4g}", gid="flag")
    if flags:
        figure.legend(loc="outside upper left", ncols=len(flags), columnspacing=1.6)
    return figure


@styled
def bars(counted: Sequence[tuple[str, int]], *, unit: str, axis: str, width: int = WIDE, height: int = 130) -> Figure:
    """A bar for each of some things, by name, with its count over it.

    Args:
        counted: name and count, at least one, in the order of the bars.
        unit: what is counted.
        axis: what the names are.
        width: pixels.
        height: pixels of the highest bar.
    """
    room = width - 24.0
    across = min(room / len(counted), _WIDEST)
    figure = sheet(width, height + 90)
    axes = figure.add_subplot()
    places = np.arange(len(counted))
    drawn = axes.bar(places, [count for _, count in counted], width=0.7, color=BLUE)
    numbers = thinned([(place, f"{count:,}") for place, (_, count) in enumerate(counted)], across, SMALL)
    axes.bar_label(drawn, numbers, padding=2, fontsize=SMALL, color=INK)
    axes.set_xlim(-0.5, room / across - 0.5)
    axes.set_ylim(0, max(1, *(count for _, count in counted)) * 1.14)
    names = [(float(place), fit(name, max(across - 4, 24))) for place, (name, _) in zip(places, counted, strict=True)]
    axes.set_xticks(places, thinned(names, across))
    axes.set_yticks([])
    axes.set_xlabel(fit(axis, width - 20), loc="left")
    axes.set_title(unit)
    return figure
