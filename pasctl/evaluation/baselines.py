"""Predictions that need no model: what any steering method has to beat.

All are about the same report items and persons as a model's answers, and go through the same metrics. A prediction is
an agreement within 1..5 and is not rounded, as a model's expected score is not; own-facet-mean-rounded alone is, to
whole answers, half to even. No prediction reads the person's own answers to the report items.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pasctl.evaluation.item_median import item_median_loo
from pasctl.evaluation.metrics import Floats, keyed, row_means
from pasctl.evaluation.ridge import FEWEST_PERSONS, ridge
from pasctl.evaluation.rows import Rows, prediction_rows

Indices = NDArray[np.integer[Any]]
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


def constant(agreements: Floats, value: float = 3.0) -> Floats:
    """The same answer to every item, in the shape of `agreements`."""
    return np.full(agreements.shape, value)


def own_facet_mean(
    agreements: Floats, items: pd.DataFrame, fit: Indices, report: Indices, *, rounded: bool = False
) -> Floats:
    """A person's report item is predicted by the mean keyed score of their fit items of the same facet.

    Turned back into an agreement on items keyed -1. Where the person answered no fit item of the facet, their mean
    over the trait stands in; without that, 3.

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
    return _as_agreements(np.round(scores) if rounded else scores, items["key"].to_numpy()[report])


def own_trait_mean(agreements: Floats, items: pd.DataFrame, fit: Indices, report: Indices) -> Floats:
    """As `own_facet_mean`, over all fit items of the same trait; without an answer to one of them, 3."""
    scores = _own_means(agreements, items, ["trait"], fit, report)
    return _as_agreements(scores, items["key"].to_numpy()[report])


BASELINES = {
    baseline.name: baseline
    for baseline in (
        Baseline(
            "constant-3",
            "the middle of the scale, whatever the item",
            lambda agreements, items, fit, report: constant(agreements[:, report]),
        ),
        Baseline(
            "item-median-loo",
            "the median of the other persons' answers to the item; of an even number the mean of the middle two",
            lambda agreements, items, fit, report: item_median_loo(agreements[:, report]),
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
            lambda agreements, items, fit, report: ridge(agreements[:, fit], agreements[:, report]),
            fewest=FEWEST_PERSONS,
        ),
    )
}


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
            prediction_rows(ids, name, reported, answers, baseline.predict(agreements, items, fit, report))
            for name, baseline in BASELINES.items()
            if name not in without
        ],
        ignore_index=True,
    )


def _own_means(agreements: Floats, items: pd.DataFrame, by: list[str], fit: Indices, report: Indices) -> Floats:
    """Each person's mean keyed score over the fit items of each report item's group [P, N], NaN without answers."""
    scores = keyed(agreements, items["key"].to_numpy())[:, fit]
    group = items.groupby(by, sort=False).ngroup().to_numpy()
    return np.stack([row_means(scores[:, group[fit] == group[item]]) for item in report], axis=1)


def _as_agreements(scores: Floats, keys: NDArray[np.int8]) -> Floats:
    """Keyed scores as agreements, 3 where there is no score."""
    return keyed(np.where(np.isfinite(scores), scores, 3.0), keys)
