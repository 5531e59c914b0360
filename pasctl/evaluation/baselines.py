"""Predictions that need no model: what any steering method has to beat.

All are about the same report items and persons as a model's answers, and go through the same metrics. A prediction is
an agreement on the item's scale and is not rounded, as a model's expected score is not; own-facet-mean-rounded alone
is, to whole answers, half to even. No prediction reads the person's own answers to the report items.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pasctl.evaluation.item_median import item_median_loo
from pasctl.evaluation.metrics import Floats
from pasctl.evaluation.ridge import FEWEST_PERSONS, ridge
from pasctl.evaluation.rows import Rows, ends, prediction_rows
from pasctl.evaluation.scores import keyed, row_means
from pasctl.inventory.scale import USUAL_MIDDLE, Ends

Indices = NDArray[np.integer[Any]]
CONSTANT = "constant-3"
"""The middle of the usual scale."""
CONSTANT_MIDDLE = "constant-middle"
"""The same of other scales."""
Predict = Callable[[Floats, pd.DataFrame, Indices, Indices], Floats]


@dataclass(frozen=True)
class Baseline:
    """A way to guess a person's answers to the report items.

    Attributes:
        name: as a condition of the results.
        told: what it predicts, in words.
        predict: (agreements [P, I] over all items, the I items, fit indices, N report indices) -> agreements [P, N].
        fewest: persons that it needs.
    """

    name: str
    told: str
    predict: Predict
    fewest: int = 1


def constant(agreements: Floats, value: Floats | float = USUAL_MIDDLE) -> Floats:
    """The same answer to an item from everybody, in the shape of `agreements`."""
    return np.broadcast_to(value, agreements.shape).astype(np.float64)


def own_facet_mean(
    agreements: Floats, items: pd.DataFrame, fit: Indices, report: Indices, *, rounded: bool = False
) -> Floats:
    """A person's report item is predicted by the mean keyed score of their fit items of the same facet.

    Turned back into an agreement on items keyed -1. Where the person answered no fit item of the facet, their mean
    over the trait stands in; without that, the middle of the scale. Items that are answered on other scales than
    the report item count by their place within them.

    Args:
        agreements: [P, I] over all items, NaN where missing; report items' answers are never read.
        items: all I items, as from `rows.item_table`.
        fit: indices of the fit items.
        report: indices of the items to predict, length N.
        rounded: round to a whole answer, half to even: half up would lean towards agreeing.

    Returns:
        agreements [P, N].
    """
    scores = _own_means(agreements, items, ["trait", "facet"], fit, report)
    scores = np.where(np.isfinite(scores), scores, _own_means(agreements, items, ["trait"], fit, report))
    return _as_agreements(np.round(scores) if rounded else scores, items.iloc[report])


def own_trait_mean(agreements: Floats, items: pd.DataFrame, fit: Indices, report: Indices) -> Floats:
    """As `own_facet_mean`, over all fit items of the same trait; without an answer to one of them, the middle."""
    scores = _own_means(agreements, items, ["trait"], fit, report)
    return _as_agreements(scores, items.iloc[report])


BASELINES = {
    baseline.name: baseline
    for baseline in (
        Baseline(
            CONSTANT,
            "the middle of the scale, whatever the item",
            lambda agreements, items, fit, report: constant(agreements[:, report], _middle(items.iloc[report])),
        ),
        Baseline(
            "item-median-loo",
            "the median of the other persons' answers to the item; of an even number the mean of the middle two",
            lambda agreements, items, fit, report: item_median_loo(agreements[:, report], _middle(items.iloc[report])),
            fewest=2,
        ),
        Baseline("own-facet-mean", "the mean of the person's fit items of the same facet, keyed", own_facet_mean),
        Baseline(
            "own-facet-mean-rounded",
            "that, rounded to a whole answer, half to even",
            lambda agreements, items, fit, report: own_facet_mean(agreements, items, fit, report, rounded=True),
        ),
        Baseline("own-trait-mean", "the mean of the person's fit items of the same trait, keyed", own_trait_mean),
        Baseline(
            "ridge",
            "a ridge regression from the person's fit items, fitted on other persons, penalty by cross-validation",
            lambda agreements, items, fit, report: ridge(
                agreements[:, fit], agreements[:, report], ends=_ends(items.iloc[report])
            ),
            fewest=FEWEST_PERSONS,
        ),
    )
}


def constant_of(items: pd.DataFrame) -> str:
    """What the baseline that always says the middle is called."""
    return CONSTANT if isinstance(ends(items)[0], float) else CONSTANT_MIDDLE


def left_out(persons: int) -> dict[str, str]:
    """The baselines that cannot be had with so few persons -> why, in one line."""
    return {
        name: f"learns from other persons and needs {baseline.fewest}, found {persons}"
        for name, baseline in BASELINES.items()
        if persons < baseline.fewest
    }


def baseline_rows(ids: Sequence[str], agreements: Floats, items: pd.DataFrame, fit: Indices, report: Indices) -> Rows:
    """Rows of BASELINES as conditions at alpha 0, on the report items, in the format of a model's rows.

    Those that `left_out` names have none. Nothing here depends on a model or on its seed.

    Args:
        ids: the personas' names, length P.
        agreements: [P, I] over all items, NaN where missing.
        items: all I items, as from `rows.item_table`.
        fit: indices of the fit items.
        report: indices of the items to report.
    """
    answers, reported, without = agreements[:, report], items.iloc[report], left_out(len(ids))
    return pd.concat(
        [
            prediction_rows(
                ids,
                constant_of(items) if name == CONSTANT else name,
                reported,
                answers,
                baseline.predict(agreements, items, fit, report),
            )
            for name, baseline in BASELINES.items()
            if name not in without
        ],
        ignore_index=True,
    )


def _own_means(agreements: Floats, items: pd.DataFrame, by: list[str], fit: Indices, report: Indices) -> Floats:
    """Each person's mean keyed score over the fit items of each report item's group [P, N], NaN without answers."""
    low, high = _ends(items)
    scores = keyed(agreements, items["key"].to_numpy(), low + high)[:, fit]
    group = items.groupby(by, sort=False).ngroup().to_numpy()
    columns = []
    for item in report:
        of_group = group[fit] == group[item]
        values = scores[:, of_group]
        if isinstance(low, np.ndarray):
            own, width = fit[of_group], high - low
            values = low[item] + (values - low[own]) * (width[item] / width[own])
        columns.append(row_means(values))
    return np.stack(columns, axis=1)


def _as_agreements(scores: Floats, items: pd.DataFrame) -> Floats:
    """Keyed scores [P, N] as agreements, the middle where there is no score."""
    low, high = _ends(items)
    return keyed(np.where(np.isfinite(scores), scores, (low + high) / 2), items["key"].to_numpy(), low + high)


def _ends(items: pd.DataFrame) -> Ends:
    """As `rows.ends`, in arrays."""
    low, high = ends(items)
    return (low, high) if isinstance(low, float) else (low.to_numpy(np.float64), high.to_numpy(np.float64))


def _middle(items: pd.DataFrame) -> Any:
    low, high = _ends(items)
    return (low + high) / 2
