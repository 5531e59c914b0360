"""Items that behave differently in a model and in people who stand at the same place (DIF)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pasctl.evaluation.psychometrics.graded_fit import fit_groups
from pasctl.evaluation.psychometrics.graded_scores import PEOPLE, Group, residuals
from pasctl.evaluation.psychometrics.panel import Floats


class Difference(NamedTuple):
    """How items of a trait differ.

    Attributes:
        points: the model's mean answer less the people's at equal theta, in points [N].
        p: of the hypothesis that it is 0, not corrected [N].
    """

    points: Floats
    p: Floats


def differences(people: Floats, model: Floats) -> Difference:
    """Compare residuals of a graded response model of both groups by Welch's t test.

    The model's theta has a mean and a spread of its own, so that standing elsewhere is no difference of an item; the
    items are fitted on both groups as if they were the same. A residual is an answer less what is expected of it given
    all of the person's answers to the trait. As in every such test, an item is compared with the others of its trait:
    where most of them move together, that is a move of the trait.

    Args:
        people: keyed answers [P, N], NaN where missing.
        model: keyed whole answers [P, N]; somebody's differ from another's.
    """
    from scipy.stats import ttest_ind

    items, mean, deviation = fit_groups(people, model)
    of_people = residuals(items, people, PEOPLE)
    of_model = residuals(items, model, Group(mean, deviation))
    points = np.nanmean(of_model, axis=0) - np.nanmean(of_people, axis=0)
    test = ttest_ind(of_model, of_people, axis=0, equal_var=False, nan_policy="omit")
    return Difference(points, np.asarray(test.pvalue, dtype=np.float64))
