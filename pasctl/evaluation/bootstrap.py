"""Intervals by a bootstrap over personas: the answers of one persona belong together and are drawn together."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000
LEVEL = 0.95


def composite_interval(
    errors: NDArray[np.floating[Any]], *, resamples: int = RESAMPLES, level: float = LEVEL, seed: int = 0
) -> list[float] | None:
    """Percentile interval of the composite, the sum over traits of the mean over personas of their error.

    Args:
        errors: [P, T], a persona's mean absolute error on a trait, NaN where it answered none of its items.
        resamples: draws of P personas with replacement.
        level: of the interval.
        seed: of the draws.

    Returns:
        [low, high]; None with fewer than two personas, or where a trait has no error at all.
    """
    count = len(errors)
    present = np.isfinite(errors)
    if count < 2 or not present.any(axis=0).all():
        return None
    # how often each persona is drawn: a resample's sums are then matrix products
    weights = (
        np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=resamples).astype(np.float64)
    )
    with np.errstate(invalid="ignore"):  # a draw that leaves a trait without errors has no composite
        composites = (weights @ np.where(present, errors, 0.0) / (weights @ present)).sum(axis=1)
    tail = (1 - level) / 2
    low, high = np.nanquantile(composites, [tail, 1 - tail])
    return [float(low), float(high)]
