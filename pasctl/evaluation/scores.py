"""Keyed scores from agreements, and means over those that are there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pasctl.inventory.scale import USUAL_SPAN

if TYPE_CHECKING:
    from pasctl.evaluation.rows import Rows

Floats = NDArray[np.float64]


def keyed(agreements: Any, keys: Any, span: Any = USUAL_SPAN) -> Floats:
    """Keyed scores from agreements [..., I], and back: reversed on items keyed -1.

    Args:
        agreements: on the items' scales.
        keys: of the items.
        span: lowest and highest score together: a number, or one for each item.
    """
    scores: Floats = np.where(keys > 0, agreements, span - agreements)
    return scores


def span(rows: Rows) -> Any:
    """Lowest and highest score together, of each row's item."""
    from pasctl.evaluation.rows import ends

    low, high = ends(rows)
    return low + high


def row_means(values: Floats) -> Floats:
    """The mean of each row [P, N] -> [P] without its NaN; NaN where a row has nothing else."""
    present = np.isfinite(values)
    count = present.sum(axis=1)
    total = np.where(present, values, 0.0).sum(axis=1)
    means: Floats = np.divide(total, count, out=np.full(len(values), np.nan), where=count > 0)
    return means


def range_share(group: Rows) -> dict[str, float | None]:
    """The composite as a share of the scales' ranges, for scales other than the usual: 0 is none, 1 is all of it.

    Where items have scales of their own the composite adds points of different scales, and only this share compares.

    Mean over traits of the mean of |expected - agreement| / (highest - lowest score), over items and persons. On the
    usual scale it is the composite divided by 4 and by the number of traits, and left out.
    """
    if "low" not in group:
        return {}
    errors = (group["expected"] - group["agreement"]).abs() / (group["high"] - group["low"])
    means = errors.groupby([group["persona"], group["trait"]]).mean().groupby("trait").mean()
    share = means.mean(skipna=False)
    return {"range_share": float(share) if np.isfinite(share) else None}
