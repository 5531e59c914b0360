"""Ridge regression from a person's fit items to their report items, learnt from the other persons.

What can be had from the same answers that a model is told or steered by, with linear algebra alone. For centred
answers X [n, F] to the fit items and Y [n, N] to the report items of n persons, and a penalty lambda,

    B = (X'X + lambda I)^-1 X'Y = V diag(s / (s^2 + lambda)) U'Y,   X = U diag(s) V'

(A. E. Hoerl and R. W. Kennard, "Ridge regression: biased estimation for nonorthogonal problems", Technometrics 12,
1970). The intercept is not penalised. One singular value decomposition serves every penalty and every item.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pasctl.evaluation.metrics import Floats
from pasctl.inventory.scale import USUAL_ENDS, Ends

PENALTIES = tuple(float(value) for value in np.logspace(0, 4, 9))
OUTER_FOLDS, INNER_FOLDS = 10, 5
FEWEST_PERSONS = 10
SEED = 0

Indices = NDArray[np.int64]


def ridge(
    told: Floats,
    asked: Floats,
    *,
    penalties: Sequence[float] = PENALTIES,
    seed: int = SEED,
    ends: Ends = USUAL_ENDS,
) -> Floats:
    """Predict each person's report answers from their fit answers by a ridge that was fitted on other persons.

    The persons are dealt into 10 folds; a fold is predicted by a fit on the other nine. The penalty of that fit, one
    for all items, has the lowest mean absolute error in a cross-validation of 5 folds within those nine; of equals the
    smallest. A missing answer counts as the mean of the persons fitted on, of an item that none of them answered as the
    middle of its scale.

    Where the fit items tell nothing it becomes the others' mean, which leans away from those held out, as
    `item_median_loo` does: then its rank correlation with the truth lies below 0.

    Args:
        told: answers to the fit items [P, F], NaN where missing; P at least FEWEST_PERSONS.
        asked: answers to the report items [P, N], NaN where missing; a person's own are never read for their row.
        penalties: the lambdas to choose from.
        seed: of the folds.
        ends: of the report items' scales.

    Returns:
        agreements [P, N], cut to their scales, not rounded.
    """
    generator = np.random.default_rng(seed)
    predicted = np.empty(asked.shape)
    for others, held_out in _folds(len(told), OUTER_FOLDS, generator):
        penalty = choose_penalty(told[others], asked[others], penalties, generator, ends)
        [predicted[held_out]] = ridge_path(told[others], asked[others], told[held_out], [penalty], ends)
    return predicted


def choose_penalty(
    told: Floats,
    asked: Floats,
    penalties: Sequence[float],
    generator: np.random.Generator,
    ends: Ends = USUAL_ENDS,
) -> float:
    """The penalty of lowest mean absolute error over all answers, each predicted by a fit on other persons."""
    errors = np.zeros(len(penalties))
    for others, held_out in _folds(len(told), INNER_FOLDS, generator):
        path = ridge_path(told[others], asked[others], told[held_out], penalties, ends)
        errors += np.nansum(np.abs(path - asked[held_out]), axis=(1, 2))
    return float(penalties[int(np.argmin(errors))])


def ridge_path(told: Floats, asked: Floats, new: Floats, penalties: Sequence[float], ends: Ends = USUAL_ENDS) -> Floats:
    """Predictions for new persons at every penalty.

    Args:
        told: [n, F] and
        asked: [n, N] of the persons to fit on, NaN where missing.
        new: [m, F] of the persons to predict.
        penalties: L lambdas.
        ends: of the report items' scales.

    Returns:
        agreements [L, m, N], cut to their scales.
    """
    # a fit item that nobody answered has no weight, whatever its mean
    told_mean, asked_mean = _item_means(told, 0.0), _item_means(asked, (ends[0] + ends[1]) / 2)
    # a missing answer that is filled with its item's mean is 0 once the mean is taken off
    u, s, vt = np.linalg.svd(np.nan_to_num(told - told_mean), full_matrices=False)
    projected = np.nan_to_num(new - told_mean) @ vt.T
    target = u.T @ np.nan_to_num(asked - asked_mean)
    path = [asked_mean + (projected * (s / (s**2 + penalty))) @ target for penalty in penalties]
    predicted: Floats = np.clip(np.stack(path), *ends)
    return predicted


def _item_means(answers: Floats, middle: Floats | float) -> Floats:
    """Mean of each column [n, I] -> [I] without its NaN; the middle where there is nothing else."""
    present = np.isfinite(answers)
    count = present.sum(axis=0)
    total = np.where(present, answers, 0.0).sum(axis=0)
    means: Floats = np.divide(
        total, count, out=np.broadcast_to(middle, answers.shape[1]).astype(np.float64), where=count > 0
    )
    return means


def _folds(count: int, folds: int, generator: np.random.Generator) -> list[tuple[Indices, Indices]]:
    """(the others, those held out) for each fold; everybody is held out once."""
    dealt = np.array_split(generator.permutation(count), folds)
    return [(np.setdiff1d(np.arange(count), held_out), np.sort(held_out)) for held_out in dealt]
