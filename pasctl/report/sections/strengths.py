"""Strengths: what each alpha does to answers on held-out items, and which was chosen for whom."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pasctl.evaluation.intervals import interval as student
from pasctl.report.blocks import Block, Cell, Content, Drawn, Table, interval, number
from pasctl.report.figures.bars import bars
from pasctl.report.figures.lines import Chart, Series
from pasctl.report.sections.curves import ALPHA, alpha_chart, draw, pair
from pasctl.report.sections.effects import KL

ERROR = "mean absolute error, lower is better"
_MEASURES = ("mae", "item_correlation", "kl", "perplexity")

Floats = NDArray[np.float64]
Mean = tuple[float | None, list[float] | None]


def strengths(curves: Mapping[str, Any]) -> Content:
    """The section of strengths, from their curves.json; its measures are [alphas][personas], null where there is none.

    Means are over personas, their intervals by `pasctl.evaluation.intervals.interval`.
    """
    alphas, chosen = [float(each) for each in curves["alphas"]], curves["chosen"]
    order = sorted(range(len(alphas)), key=lambda place: alphas[place])
    alphas = [alphas[place] for place in order]
    means = {name: [mean_of(curves[name][place]) for place in order] for name in _MEASURES if name in curves}
    times = Counter(float(each) for each in chosen["persona"])
    best = float(chosen["population"])
    facts = (
        ("personas", f"{len(curves['personas']):,}"),
        ("strengths tried", ", ".join(f"{alpha:g}" for alpha in alphas)),
        ("folds", f"{curves['folds']}"),
        ("chosen for all", f"α {best:g}"),
    )
    lead = (
        f"Rule: {str(curves['rule']).rstrip('.')}.",
        "Each item stood in a fold that directions were not fitted on, and none is an item that results are reported "
        "on.",
    )
    blocks: list[Block] = [_table(alphas, means, times, best)]
    blocks += _curve(
        "error",
        "Error on held-out items against strength",
        "Mean absolute error between the answer that the model expects to give and the person's own, in points",
        ERROR,
        alphas,
        means["mae"],
        best,
    )
    blocks.append(_choices(alphas, times))
    if "kl" in means:
        blocks += _curve(
            "kl",
            "How far the model's text is moved, against strength",
            "KL(unsteered ‖ steered) on neutral text: what steering does besides moving answers",
            KL,
            alphas,
            means["kl"],
            best,
        )
    return Content(lead, facts, tuple(blocks))


def mean_of(values: Sequence[float | None]) -> Mean:
    """The mean over the personas that have a value, and its interval."""
    found = np.array([np.nan if value is None else value for value in values], np.float64)
    known = found[np.isfinite(found)]
    return (float(known.mean()) if len(known) else None), student(found)


def _cell(found: Mean, digits: int) -> Cell:
    return Cell(number(found[0], digits), interval(found[1], digits))


def _table(alphas: Sequence[float], means: Mapping[str, Sequence[Mean]], times: Counter[float], best: float) -> Table:
    rows = []
    for place, alpha in enumerate(alphas):
        measured = [_cell(found[place], 2 if name == "perplexity" else 3) for name, found in means.items()]
        first = Cell(f"{alpha:g}", "chosen for all" if alpha == best else "", mark=alpha == best)
        rows.append((first, *measured, Cell(f"{times[alpha]:,}")))
    names = {"mae": "MAE", "item_correlation": "item r", "kl": "KL", "perplexity": "perplexity"}
    return Table(
        "Strengths on held-out items",
        ("α", *(names[name] for name in means), "chosen by"),
        tuple(rows),
        caption=(
            "Means over personas; small: 95% interval, Student's t over personas. item r: correlation over items "
            "within a person. KL, in nats/token, and perplexity: on neutral text. chosen by: how many personas."
        ),
    )


def charts(curves: Mapping[str, Any]) -> list[Chart]:
    """Error, and KL if it was measured, against strength."""
    alphas = sorted(float(alpha) for alpha in curves["alphas"])
    order = [curves["alphas"].index(alpha) for alpha in alphas]
    best = float(curves["chosen"]["population"])
    axes = {"mae": ERROR, "kl": KL}
    drawn = [
        _chart(axes[name], alphas, [mean_of(curves[name][place]) for place in order], best)
        for name in axes
        if name in curves
    ]
    return [chart for chart in drawn if chart is not None]


def _chart(axis: str, alphas: Sequence[float], means: Sequence[Mean], best: float) -> Chart | None:
    known = [(alpha, mean, bounds) for alpha, (mean, bounds) in zip(alphas, means, strict=True) if mean is not None]
    if not known:
        return None
    points = tuple((alpha, mean) for alpha, mean, _ in known)
    drawn = [Series("steered", "steered", points, tuple(pair(bounds) for _, _, bounds in known))]
    return alpha_chart(drawn, axis, flags=((f"chosen for all: {best:g}", best),))


def _curve(
    name: str, title: str, what: str, axis: str, alphas: Sequence[float], means: Sequence[Mean], best: float
) -> list[Block]:
    chart = _chart(axis, alphas, means, best)
    if chart is None:
        return []
    banded = " Band: 95% interval over personas." if any(chart.series[0].intervals) else ""
    caption = f"{what}, mean over personas.{banded} Orange: the strength that was chosen for all."
    return [Drawn(name, title, caption, partial(draw, chart))]


def _choices(alphas: Sequence[float], times: Counter[float]) -> Drawn:
    counted = [(f"{alpha:g}", times[alpha]) for alpha in alphas]
    return Drawn(
        "chosen",
        "How many personas chose which strength",
        "Each persona's own strength, chosen by the same rule from its own curve. α 0 means that no strength was "
        "clearly better than leaving the model alone.",
        lambda width: bars(counted, unit="personas", axis=ALPHA, width=width),
    )
