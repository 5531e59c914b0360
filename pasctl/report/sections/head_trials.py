"""Trials of a selection by steering: the errors of each head alone, and of the best ones together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pasctl.report.blocks import Cell, Drawn, Table, number
from pasctl.report.figures.heatmap import Heat, heatmap

_NAMED = 4  # heads of a set that are named one by one

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Tried:
    """The trials of a selection that have an error.

    Attributes:
        whole: of all heads of some layers; best is the one of lowest error.
        alone: of each head of the best layers, at the best's strength.
        sets: of the best heads, one or more.
    """

    whole: Sequence[Mapping[str, Any]]
    best: Mapping[str, Any]
    alone: Sequence[Mapping[str, Any]]
    sets: Sequence[Mapping[str, Any]]

    @classmethod
    def of(cls, selection: Mapping[str, Any]) -> Tried | None:
        """None if no layers were tried."""
        told = [each for each in selection.get("tried", []) if _is_told(each)]
        whole = [each for each in told if each.get("heads") is None]
        if not whole:
            return None
        best = min(whole, key=_error)
        of_heads = [each for each in told if each.get("heads") is not None]
        alone = [each for each in of_heads if len(each["heads"]) == 1 and each["alpha"] == best["alpha"]]
        first = min(alone, key=_error)["heads"] if alone else None
        sets = [each for each in of_heads if len(each["heads"]) > 1 or each["heads"] == first]
        return cls(whole, best, alone, sets)


def each_head(selection: Mapping[str, Any], tried: Tried, n_heads: int) -> Drawn:
    """Errors of each head of the best layers alone; the chosen ones have a frame."""
    layers = list(tried.best["layers"])
    values = np.full((len(layers), n_heads), np.nan)
    for each in tried.alone:
        [(layer, head)] = each["heads"]
        values[layers.index(layer), head] = each["mae"]
    chosen = selection["heads"]
    every = len(chosen) == len(layers) * n_heads
    framed = frozenset() if every else frozenset((layers.index(layer), head) for layer, head in chosen)
    heat = error_map(
        values, [str(layer) for layer in layers], [str(head) for head in range(n_heads)], "layer", "head", framed
    )
    return Drawn(
        "selection-heads",
        "Validation error of each head alone",
        f"The same error with a single head steered, α {tried.best['alpha']:g}. "
        + ("All of these heads were chosen." if every else "Framed heads were chosen."),
        lambda width: heatmap(heat, width=width),
    )


def head_sets(selection: Mapping[str, Any], tried: Tried, n_heads: int, run: str) -> Table:
    """Errors of the sets at each strength, and of all heads of the best layers, which `run` names."""
    same = [each for each in tried.whole if each["layers"] == tried.best["layers"]]
    alphas = sorted({float(each["alpha"]) for each in [*same, *tried.sets]})
    rows = []
    for size in sorted({len(each["heads"]) for each in tried.sets}):
        of_size = [each for each in tried.sets if len(each["heads"]) == size]
        rows.append((how_many(size), _named(of_size[0]["heads"]), of_size))
    total = len(tried.best["layers"]) * n_heads
    rows.append((f"all {total}", run, same))
    cells = []
    for name, note, trials in rows:
        at = {float(each["alpha"]): each for each in trials}
        cells.append((Cell(name, note), *(_error_cell(at.get(alpha), selection, total) for alpha in alphas)))
    return Table(
        "Validation error of the best heads together",
        ("heads", *(f"α {alpha:g}" for alpha in alphas)),
        tuple(cells),
        caption="The same error with so many heads steered, those of lowest error alone; a head is written as "
        "layer.head. The bold number is the lowest of all that was tried, and was chosen.",
    )


def _error_cell(trial: Mapping[str, Any] | None, selection: Mapping[str, Any], total: int) -> Cell:
    if trial is None:
        return Cell(number(None))
    steered = len(trial["heads"]) if trial.get("heads") else total
    chosen = steered == len(selection["heads"]) and trial["alpha"] == selection["alpha"]
    return Cell(number(trial["mae"], 3), mark=chosen)


def error_map(
    values: Floats,
    rows: Sequence[str],
    columns: Sequence[str],
    row_axis: str,
    column_axis: str,
    marked: frozenset[tuple[int, int]],
) -> Heat:
    """Errors as a heat map: the strongest colour is the lowest, so the scale runs from the highest down."""
    high, low = float(np.nanmax(values)), float(np.nanmin(values))
    return Heat(
        -values,
        rows,
        columns,
        row_axis,
        column_axis,
        -high,
        -low,
        "validation MAE, stronger is better",
        lambda value: f"{-value:.2f}",
        marked=marked,
    )


def how_many(heads: int) -> str:
    """A count of heads as text."""
    return f"{heads} head{'' if heads == 1 else 's'}"


def _named(heads: Sequence[Sequence[int]]) -> str:
    return ", ".join(f"{layer}.{head}" for layer, head in heads[:_NAMED]) + (", …" if len(heads) > _NAMED else "")


def _error(tried: Mapping[str, Any]) -> float:
    return float(tried["mae"])


def _is_told(tried: Mapping[str, Any]) -> bool:
    return tried.get("mae") is not None and np.isfinite(tried["mae"])
