"""Which heads to steer."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pasctl.errors import InputError


def top_heads(accuracy: NDArray[np.floating[Any]], log_loss: NDArray[np.floating[Any]], k: int) -> NDArray[np.int64]:
    """Each persona's k heads of highest validation accuracy.

    Ties go to the lower log-loss, then to the lower (layer, head), so the choice is the same on every machine.

    Args:
        accuracy: [P, L, H].
        log_loss: [P, L, H].
        k: how many heads.

    Returns:
        (layer, head) int64 [P, k, 2], best first.

    Raises:
        InputError: k outside 1..L * H, shapes that differ, or a score that is NaN.
    """
    if accuracy.ndim != 3 or accuracy.shape != log_loss.shape:
        raise InputError(
            "head scores: expected accuracy and log-loss [personas, layers, heads], "
            f"found shapes {list(accuracy.shape)} and {list(log_loss.shape)}"
        )
    n_personas, n_layers, n_heads = accuracy.shape
    if not 1 <= k <= n_layers * n_heads:
        raise InputError(
            f"top-k: expected 1..{n_layers * n_heads} heads ({n_layers} layers of {n_heads}), found {k}",
            hint="choose a smaller --top-k",
        )
    if np.isnan(accuracy).any() or np.isnan(log_loss).any():
        raise InputError("head scores: expected numbers, found NaN", hint="train the probes again")
    by_accuracy, by_loss = accuracy.reshape(n_personas, -1), log_loss.reshape(n_personas, -1)
    order = np.stack([np.lexsort((loss, -score))[:k] for score, loss in zip(by_accuracy, by_loss, strict=True)])
    return np.stack(np.divmod(order, n_heads), axis=2).astype(np.int64)
