"""Predictions that need no model: what any steering method has to beat."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pasctl.evaluation.metrics import Floats, keyed, row_means
from pasctl.evaluation.rows import Columns, RowItems, concat_rows, prediction_rows

BASELINES = ("constant-3", "own-facet-mean", "own-facet-mean-rounded")

Indices = NDArray[np.integer[Any]]


def constant(agreements: Floats, value: float = 3.0) -> Floats:
    """The same answer to every item, in the shape of `agreements`."""
    return np.full(agreements.shape, value)


def own_facet_mean(
    agreements: Floats, items: RowItems, fit: Indices, report: Indices, *, rounded: bool = False
) -> Floats:
    """A person's report item is predicted by the mean keyed score of their fit items of the same facet.

    Turned back into an agreement on items keyed -1. Where the person answered no fit item of the facet, their mean
    over the trait stands in; without that, 3.

    Args:
        agreements: [P, I] over all items, NaN where missing; report items' answers are never read.
        items: all I items.
        fit: indices of the fit items.
        report: indices of the items to predict, length N.
        rounded: round to a whole answer, half to even: half up would lean towards agreeing.

    Returns:
        agreements [P, N].
    """
    scores = keyed(agreements, items.keys)[:, fit]
    facets = list(zip(items.traits, items.facets, strict=True))
    by_facet = _group_means(scores, [facets[i] for i in fit])
    by_trait = _group_means(scores, [items.traits[i] for i in fit])
    nothing = np.full(len(agreements), np.nan)
    predicted = np.empty((len(agreements), len(report)))
    for column, item in enumerate(report):
        facet = by_facet.get(facets[item], nothing)
        trait = by_trait.get(items.traits[item], nothing)
        score = np.where(np.isfinite(facet), facet, np.where(np.isfinite(trait), trait, 3.0))
        predicted[:, column] = np.round(score) if rounded else score
    return keyed(predicted, items.keys[report])


def baseline_rows(ids: Sequence[str], agreements: Floats, items: RowItems, fit: Indices, report: Indices) -> Columns:
    """Rows of all BASELINES as conditions at alpha 0, on the report items, in the format of a model's rows.

    Args:
        ids: the personas' names, length P.
        agreements: [P, I] over all items, NaN where missing.
        items: all I items.
        fit: indices of the fit items.
        report: indices of the items to report.
    """
    answers = agreements[:, report]
    predictions = (
        constant(answers),
        own_facet_mean(agreements, items, fit, report),
        own_facet_mean(agreements, items, fit, report, rounded=True),
    )
    reported = items.take(report)
    return concat_rows(
        prediction_rows(persona=persona, condition=name, items=reported, agreements=answer, predictions=prediction)
        for name, matrix in zip(BASELINES, predictions, strict=True)
        for persona, answer, prediction in zip(ids, answers, matrix, strict=True)
    )


def _group_means(scores: Floats, groups: Sequence[Any]) -> dict[Any, Floats]:
    """Group -> each person's mean over its items [P], NaN where none is answered."""
    return {
        group: row_means(scores[:, [n for n, other in enumerate(groups) if other == group]])
        for group in dict.fromkeys(groups)
    }
