"""Intervals by a bootstrap over personas: the answers of one persona belong together and are drawn together."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000
LEVEL = 0.95


def interval(
    values: NDArray[np.floating[Any]], *, resamples: int = RESAMPLES, level: float = LEVEL, seed: int = 0
) -> list[float] | None:
    """Percentile interval of a sum over columns of means over personas: of a composite, with a column for each trait.

    For the difference of two conditions give the differences of each persona, which pairs them.

    Args:
        values: [P, T], NaN where a persona has none, such as its error on a trait it answered no item of.
        resamples: draws of P personas with replacement.
        level: of the interval.
        seed: of the draws.

    Returns:
        [low, high]; None with fewer than two personas, or where a column has no value at all.
    """
    count = len(values)
    present = np.isfinite(values)
    if count < 2 or not present.any(axis=0).all():
        return None
    # how often each persona is drawn: a resample's sums are then matrix products
    weights = (
        np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=resamples).astype(np.float64)
    )
    with np.errstate(invalid="ignore"):  # a draw that leaves a column without values has no sum
        sums = (weights @ np.where(present, values, 0.0) / (weights @ present)).sum(axis=1)
    tail = (1 - level) / 2
    low, high = np.nanquantile(sums, [tail, 1 - tail])
    return [float(low), float(high)]
