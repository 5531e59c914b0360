"""Ridge regression of the signed label: a probe whose only factorisation is shared by all personas."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from pasctl.errors import InputError
from pasctl.probes.scaling import scale_rows


@dataclass(frozen=True)
class RidgeProbe:
    """Least squares on t = 1 for agreeing rows, -1 for disagreeing ones, 0 where the persona has no opinion.

        minimise 0.5 ||w||^2 + c * sum over all R rows of 0.5 (t - w'x - b)^2

    (A. E. Hoerl and R. W. Kennard, "Ridge regression: biased estimation for nonorthogonal problems", Technometrics
    12, 1970). Rows of no opinion stay in the sum: so the design X is the same for every persona, and one Cholesky
    factor of X'X + I / c serves all of a head's. They pull w'x + b towards 0 there, which shrinks the weights of a
    persona with many neutral answers. The intercept is not penalised; features are scaled by `ScaledRows`, whose rows
    have mean 0, so b is the mean of t.

    w'x + b estimates p(agree) - p(disagree). Its sign is what accuracy asks. Read as a logit, as log-loss does, it is
    too small, so a log-loss ranks heads of equal accuracy but is not to be compared with a logistic probe's.

    Attributes:
        c: inverse strength of the penalty, as in `LogisticProbe`.
    """

    c: float = 1.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.c) and self.c > 0):
            raise InputError(f"ridge probe: expected c > 0, found {self.c}")

    def fit(self, rows: Tensor, labels: Tensor, usable: Tensor) -> tuple[Tensor, Tensor]:
        """Fit every (persona, head).

        Args:
            rows: float64 [H, R, D], shared by the personas.
            labels: float64 [P, R] in {0, 1}.
            usable: float64 [P, R] in {0, 1}; the target of a row with 0 is 0.

        Returns:
            weights float64 [P, H, D] and bias float64 [P, H], for features as given (not scaled).
        """
        scaled = scale_rows(rows)
        x, target = scaled.rows, (2 * labels - 1) * usable
        gram = x.mT @ x
        gram.diagonal(dim1=1, dim2=2).add_(1 / self.c)
        weights = torch.cholesky_solve((target @ x).mT, torch.linalg.cholesky(gram))  # [H, D, P]
        return scaled.undo(weights.permute(2, 0, 1), target.mean(dim=1, keepdim=True).expand(-1, len(rows)))
