"""Probes: how well each head tells answers apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pasctl.evaluation.verdicts import probes_finding
from pasctl.report.blocks import Cell, Content, Drawn, Table, number
from pasctl.report.figures.heatmap import Heat, heatmap
from pasctl.report.sections.labels import stand_for

BEST = 5


def probes(
    accuracy: NDArray[np.floating],
    validation: NDArray[np.integer],
    method: str,
    of: int | None = None,
    level: Mapping[str, Any] | None = None,
    numbers: Sequence[int] | None = None,
) -> Content:
    """The section of probes.

    Args:
        accuracy: on held-out items [P, L, H], NaN where there is none.
        validation: held-out items of each persona [P].
        method: how they were trained.
        of: how many personas the artifact has, where these stand for them all.
        level: what `permutation.json` says; None where nothing was compared with shuffled answers.
        numbers: the layers of the sites that were read; None where every layer has one.
    """
    present = np.isfinite(accuracy)
    counts = present.sum(axis=0)
    total = np.where(present, accuracy, 0.0).sum(axis=0, dtype=np.float64)
    mean = np.divide(total, counts, out=np.full(counts.shape, np.nan), where=counts > 0)
    personas, layers, heads = accuracy.shape
    named = numbers or range(layers)
    known = mean[np.isfinite(mean)]
    facts = (
        ("personas", f"{of or personas:,}"),
        ("layers × heads", f"{layers} × {heads}"),
        ("probes", f"{(of or personas) * layers * heads:,}"),
        ("held-out items per persona", _range(validation)),
        ("method", method),
    )
    part = () if of is None else (stand_for(personas, of),)
    if not len(known):
        return Content((*part, "No probe has an accuracy."), facts)
    low, high = min(0.5, float(known.min())), max(float(known.max()), 0.55)
    figure = _accuracy_map(mean, named, low, high)
    lead = (
        *(() if level is None else (f"{probes_finding(level)}.",)),
        *part,
        f"Mean accuracy over all heads and personas {number(float(known.mean()), 2)}; "
        f"the best head has {number(float(known.max()), 2)}, as the highest of {len(known):,}.",
    )
    return Content(lead, facts, (figure, _best(accuracy, mean, level, named)))


def _accuracy_map(mean: NDArray[np.float64], numbers: Sequence[int], low: float, high: float) -> Drawn:
    """Mean accuracy [L, H], with the layers' numbers."""
    heat = Heat(
        mean,
        [str(layer) for layer in numbers],
        [str(head) for head in range(mean.shape[1])],
        "layer",
        "head",
        low,
        high,
        "accuracy",
        lambda value: f"{value:.2f}",
    )
    return Drawn(
        "accuracy",
        "Accuracy of the probe on each head",
        "Mean over personas, on items that the probe was not trained on. A coin has 0.5; the scale begins there or at "
        "the lowest head. With few held-out items a single persona's accuracy moves in large steps, the mean less so.",
        lambda width: heatmap(heat, width=width),
    )


def _best(
    accuracy: NDArray[np.floating],
    mean: NDArray[np.float64],
    level: Mapping[str, Any] | None,
    numbers: Sequence[int],
) -> Table:
    order = np.argsort(np.where(np.isfinite(mean), -mean, np.inf), axis=None, kind="stable")[:BEST]
    rows = []
    for place in order:
        layer, head = (int(each) for each in np.unravel_index(place, mean.shape))
        values = accuracy[:, layer, head]
        values = values[np.isfinite(values)]
        if len(values):
            told = f"{number(float(values.min()), 2)} to {number(float(values.max()), 2)}"
            of_all = () if level is None else (level["accuracy"][layer][head], level["level"][layer][head])
            place = (str(numbers[layer]), str(head))
            texts = (*place, number(float(values.mean())), told, *(number(each) for each in of_all))
            rows.append(tuple(map(Cell, texts)))
    head_names = ("layer", "head", "mean accuracy", "over personas")
    return Table(
        "Best heads",
        head_names if level is None else (*head_names, "cross-validated", "shuffled answers"),
        tuple(rows),
        left=0,
        caption="" if level is None else _level_told(level),
    )


def _level_told(level: Mapping[str, Any]) -> str:
    return (
        f"Cross-validated: accuracy of a ridge probe over all fit items in {level['folds']} folds, mean over "
        f"{level['personas']:,} personas. Shuffled answers: the same with the answers in {level['permutations']:,} "
        f"other orders, the level of chance of that head; the highest of all {level['heads']:,} heads then has "
        f"{number(level['highest_level'])}."
    )


def _range(counts: NDArray[np.integer]) -> str:
    low, high = int(counts.min()), int(counts.max())
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"
