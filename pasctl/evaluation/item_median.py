"""What most others answer to an item: the baseline of a population without persons."""

from __future__ import annotations

import numpy as np

from pasctl.evaluation.metrics import Floats
from pasctl.inventory.scale import USUAL_MIDDLE


def item_median_loo(agreements: Floats, middle: Floats | float = USUAL_MIDDLE) -> Floats:
    """A person's answer to an item is predicted by the median of the other persons' answers to it (leave-one-out).

    Of an even number of answers it is the mean of the middle two, so it can be a half. Where nobody else answered, the
    middle of the scale.
    A person's own answer never enters; leaving it out moves the median away from it, if at all. Across persons such a
    prediction is therefore negatively correlated with the truth: its rank correlation means nothing.

    Args:
        agreements: [P, N] of the items to predict, NaN where missing.
        middle: of their scales, a number or [N].

    Returns:
        agreements [P, N], also where the person's own answer is missing.
    """
    predicted = np.broadcast_to(middle, agreements.shape).astype(np.float64)
    for column, values in enumerate(agreements.T):
        answered = np.flatnonzero(np.isfinite(values))
        order = answered[np.argsort(values[answered], kind="stable")]
        # each person's place among the sorted answers; one who did not answer stands behind all of them
        place = np.full(len(values), len(order))
        place[order] = np.arange(len(order))
        others = len(order) - (place < len(order))
        known = np.flatnonzero(others > 0)
        ordered = values[order]
        two = [ordered[k + (k >= place[known])] for k in ((others[known] - 1) // 2, others[known] // 2)]
        predicted[known, column] = (two[0] + two[1]) / 2
    return predicted
