"""Means with their intervals, one under the other on one axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pasctl.report.figures.style import (
    COLOURS,
    FAINT,
    INK,
    SMALL,
    SOFT,
    TEXT,
    WIDE,
    fit,
    mark,
    note_below,
    sheet,
    styled,
    text_width,
)

_ROW, _STACKED = 25.0, 38.0  # pixels of a row
_OVER = 17.0  # of the label over a row
_HEAD = 28.0  # and of a heading
_LONGEST = 250.0  # pixels of a label beside its row
_TALL = 700.0  # pixels from which on a figure has its scale at both ends


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


@styled
def forest(
    marks: Sequence[Mark], *, axis: str, reference: tuple[str, float] | None = None, note: str = "", width: int = WIDE
) -> Figure:
    """Rows in the order given; at less than full width the label stands over its row.

    Args:
        marks: the rows.
        axis: what the axis measures.
        reference: a value that a dashed line marks, and its name.
        note: small words at the foot.
        width: pixels.
    """
    stacked = width < WIDE
    row = _STACKED if stacked else _ROW
    tops, headings, bottom = _places(marks, row)
    centres = [top + (row - 11 if stacked else row / 2) for top in tops]
    labels = 0.0 if stacked else max(text_width(fit(each.label, _LONGEST)) for each in marks)
    figure = sheet(width, bottom + 76 + (18 if note else 0))
    axes = figure.add_subplot()
    for top in tops[::2]:
        axes.axhspan(top, top + row, facecolor=FAINT, edgecolor="none", zorder=0)
    axes.grid(axis="x", linewidth=0.8)
    for each, y in zip(marks, centres, strict=True):
        _draw(axes, each, y)
    axes.set_ylim(bottom, 0)
    axes.margins(x=0.06)
    axes.locator_params(axis="x", nbins=4 if stacked else 7)
    axes.set_xlabel(fit(axis, width - labels - 30))
    axes.tick_params(axis="x", length=0, labeltop=bottom > _TALL)
    if stacked:
        axes.set_yticks([])
        _label_over(axes, marks, centres, width)
    else:
        axes.set_yticks(centres, [fit(each.label, _LONGEST) for each in marks], color=INK)
        _numbers_beside(axes, marks, centres)
    for name, y in headings:
        shown = fit(name, width - labels - (30 if stacked else 60), bold=True)
        axes.annotate(shown, (0, y + 15), (4, 0), **_AT_ROW, va="center", weight="bold", color=INK)
    if reference is not None:
        # where labels stand over their rows, the line leaves them free
        spans = [(top + _OVER, top + row) for top in tops] if stacked else [(0.0, bottom)]
        _reference(axes, *reference, spans, above=20 if bottom > _TALL else 3)
    note_below(figure, note)
    return figure


_AT_ROW: dict[str, Any] = {
    "xycoords": ("axes fraction", "data"),
    "textcoords": "offset points",
    "annotation_clip": False,
}


def _places(marks: Sequence[Mark], row: float) -> tuple[list[float], list[tuple[str, float]], float]:
    """Where each row begins, the headings with where they begin, and where all ends."""
    tops, headings, y, before = [], [], 0.0, ""
    for each in marks:
        if each.group and each.group != before:
            headings.append((each.group, y))
            y += _HEAD
        before = each.group
        tops.append(y)
        y += row
    return tops, headings, y


def _draw(axes: Axes, each: Mark, y: float) -> None:
    colour = COLOURS[each.kind]
    if each.draws:
        axes.plot(each.draws, [y] * len(each.draws), "|", color=colour, alpha=0.6, markersize=10, gid="draws")
    if each.interval is not None:
        axes.plot(each.interval, [y, y], color=colour, linewidth=1.4, gid="interval")
    if each.mean is not None:
        axes.plot([each.mean], [y], linestyle="none", gid="mean", zorder=3, **mark(each.kind))


def _numbers(each: Mark) -> tuple[str, str]:
    if each.mean is None:
        return "none", ""
    bounds = "" if each.interval is None else f"{each.interval[0]:.2f} to {each.interval[1]:.2f}"
    return f"{each.mean:.2f}", bounds


def _numbers_beside(axes: Axes, marks: Sequence[Mark], centres: Sequence[float]) -> None:
    for each, y in zip(marks, centres, strict=True):
        mean, bounds = _numbers(each)
        axes.annotate(mean, (1, y), (34, 0), **_AT_ROW, ha="right", va="center", color=INK)
        if bounds:
            axes.annotate(bounds, (1, y), (40, 0), **_AT_ROW, va="center", fontsize=SMALL, color=SOFT)


def _label_over(axes: Axes, marks: Sequence[Mark], centres: Sequence[float], width: int) -> None:
    for each, y in zip(marks, centres, strict=True):
        mean, bounds = _numbers(each)
        axes.annotate(fit(each.label, width - 150), (0, y - 18), (3, 0), **_AT_ROW, va="center", color=INK)
        place: dict[str, Any] = {"ha": "right", "va": "center"}
        axes.annotate(bounds, (1, y - 18), (-2, 0), **_AT_ROW, **place, fontsize=SMALL, color=SOFT)
        axes.annotate(mean, (1, y - 18), (-72 if bounds else -2, 0), **_AT_ROW, **place, fontsize=TEXT, color=INK)


def _reference(axes: Axes, name: str, value: float, spans: Sequence[tuple[float, float]], above: float) -> None:
    for span in spans:
        axes.plot([value, value], span, color=SOFT, linewidth=0.8, linestyle=(0, (3, 3)), gid="reference")
    low, high = axes.get_xlim()
    share = (value - low) / (high - low)
    axes.annotate(
        fit(name, 150, SMALL),
        (value, 1),
        (0, above),
        xycoords=("data", "axes fraction"),
        textcoords="offset points",
        ha="left" if share < 0.2 else "right" if share > 0.8 else "center",
        fontsize=SMALL,
        color=SOFT,
    )
