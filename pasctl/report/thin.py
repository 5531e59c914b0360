"""Thinning of long series, so that a figure has no more marks than pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Thinned:
    """A series in buckets of neighbours.

    Attributes:
        edges: int [B + 1], the first position of each bucket, and the end.
        low: float [B], the least in each bucket.
        mean: float [B].
        high: float [B].
    """

    edges: NDArray[np.int64]
    low: Floats
    mean: Floats
    high: Floats


def thin(values: Floats, buckets: int) -> Thinned:
    """Least, mean and most of each of at most `buckets` stretches of a series [N], N at least 1, without NaN."""
    count = min(buckets, len(values))
    edges = np.linspace(0, len(values), count + 1).round().astype(np.int64)
    starts = edges[:-1]
    return Thinned(
        edges,
        np.minimum.reduceat(values, starts),
        np.add.reduceat(values, starts) / np.diff(edges),
        np.maximum.reduceat(values, starts),
    )
