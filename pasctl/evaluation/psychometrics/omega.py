"""McDonald's omega: how much of the variance of a trait's sum score one common factor makes."""

from __future__ import annotations

import numpy as np

from pasctl.evaluation.psychometrics.panel import Floats

FEWEST_ITEMS = 3
"""Items that differ between persons: with two, their loadings cannot be told apart."""
_TINY = 1e-9
_ROUNDS, _CLOSE = 500, 1e-10


def omega(answers: Floats) -> float:
    """Omega total of the sum of a trait's keyed items, under one factor.

    With the loadings l_i of the covariances s_ij = l_i l_j (i != j) and the unique variances u_i = s_ii - l_i^2,

        omega = (sum_i l_i)^2 / ((sum_i l_i)^2 + sum_i u_i)

    (R. P. McDonald, "Test theory: A unified treatment", 1999, chapter 6). Items that everybody answers alike add
    nothing. Persons with a missing answer are left out.

    Args:
        answers: keyed answers [P, N] to the items of one trait, NaN where missing.

    Returns:
        NaN with fewer than three items or three persons that differ.
    """
    complete = answers[np.isfinite(answers).all(axis=1)]
    if len(complete) < 3:
        return float("nan")
    spread = complete.std(axis=0, ddof=1)
    varied = complete[:, spread > _TINY]
    if varied.shape[1] < FEWEST_ITEMS:
        return float("nan")
    correlations: Floats = np.asarray(np.corrcoef(varied, rowvar=False))
    shares = one_factor(correlations)
    deviations = spread[spread > _TINY]
    common = float((shares * deviations).sum()) ** 2
    unique = float(((1 - shares**2) * deviations**2).sum())
    return common / (common + unique) if common + unique > _TINY else float("nan")


def one_factor(correlations: Floats) -> Floats:
    """Loadings l [N], within -1..1, that bring l_i l_j nearest to the correlations off the diagonal (minres).

    The sum over i != j of (r_ij - l_i l_j)^2 is lowered one loading at a time, which has the closed solution
    l_i = sum_j r_ij l_j / sum_j l_j^2 over the other items (H. H. Harman and W. H. Jones, "Factor analysis by
    minimizing residuals", Psychometrika 31, 1966).

    Args:
        correlations: [N, N], N at least 3.
    """
    off = correlations - np.diag(np.diag(correlations))
    values, vectors = np.linalg.eigh(correlations)
    loadings: Floats = vectors[:, -1] * np.sqrt(values[-1])
    loadings = np.clip(loadings * np.sign(loadings.sum() or 1.0), -1.0, 1.0)
    for _ in range(_ROUNDS):
        before = loadings.copy()
        for item in range(len(loadings)):
            others = float(loadings @ loadings - loadings[item] ** 2)
            if others > _TINY:
                loadings[item] = np.clip(off[item] @ loadings / others, -1.0, 1.0)
        if np.abs(loadings - before).max() < _CLOSE:
            break
    return loadings
