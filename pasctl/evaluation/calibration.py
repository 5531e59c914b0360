"""From a statement's log-probabilities to an agreement, by a regression learned on other persons' fit items.

    agreement ~ b0 + b1 key + b2 dlp + b3 log-probability per token without steering

Ordinary least squares for each condition, setting and draw. Nobody's own answers are in the coefficients that serve
them: a person's part is taken out of the normal equations.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pasctl.inventory.scale import USUAL_ENDS, Ends

Floats = NDArray[np.float64]

FEATURES = ("1", "key", "dlp", "log-probability per token")
FIT_ITEMS = 24
"""Fit items that each unit scores to be calibrated by. With 24 persons they make 576 answers for four coefficients,
which are then known to a few hundredths of a point; all 120 of PAPI would cost two thirds of the report items again."""
_LEAST = 1e-10  # of the largest eigenvalue: below it a feature says nothing, as dlp does where nothing was changed


def features(keys: Floats, dlp: Floats, per_token: Floats) -> Floats:
    """FEATURES of every unit and item [U, I, 4].

    Args:
        keys: +1 or -1 of each item [I].
        dlp: log-probability of each statement less that without a change [U, I].
        per_token: log-probability without a change, divided by the statement's tokens [I].
    """
    return np.stack(np.broadcast_arrays(1.0, keys, dlp, per_token), axis=-1).astype(np.float64)


def calibrated(fit: Floats, answers: Floats, wanted: Floats, ends: Ends = USUAL_ENDS) -> Floats:
    """Agreements of P persons' wanted items [P, N], by coefficients learned on the other persons' fit items.

    One person alone has nobody to learn from: then on the own fit items. Without an answer to learn from, the middle.

    Args:
        fit: features of the fit items [P, F, 4].
        answers: the persons' agreements with these [P, F], NaN where missing.
        wanted: features of the items that are wanted [P, N, 4].
        ends: of the scale that all items share; agreements are cut to it.
    """
    known = np.isfinite(answers)
    x, y = np.where(known[..., None], fit, 0.0), np.where(known, answers, 0.0)
    products, targets, counts = x.transpose(0, 2, 1) @ x, np.einsum("pfk,pf->pk", x, y), known.sum(axis=1)
    if len(fit) > 1:
        products, targets, counts = (values.sum(axis=0) - values for values in (products, targets, counts))
    weights = np.einsum("pkl,pl->pk", np.linalg.pinv(products, rcond=_LEAST, hermitian=True), targets)
    weights[counts == 0] = [(ends[0] + ends[1]) / 2, *[0.0] * (len(FEATURES) - 1)]
    agreements: Floats = np.clip(np.einsum("pnk,pk->pn", wanted, weights), *ends)
    return agreements
