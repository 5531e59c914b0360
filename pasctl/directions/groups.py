"""Key-value groups as what is chosen and shifted: the query heads that read the same keys and values, all alike.

Of H query heads and G key-value heads, those numbered g * n to g * n + n - 1 with n = H / G make group g. A head's
output is a mean of the group's values, weighted by attention, and the weights sum to 1. So b added to the values adds b
to the output of each of the group's heads, at every position, exactly: a displacement that the heads of a group share
is a bias of v_proj, which engines read that know no bias of o_proj.

A group's direction and sigma are those of the mean of its heads' outputs, as a head's are those of its own output. A
shared shift d moves this mean by d and leaves what the heads differ in as it is, so the mean is all that it can move.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from pasctl.directions.fit import Directions, fit_directions
from pasctl.directions.method import DirectionMethod
from pasctl.directions.select import top_heads
from pasctl.probes.pairs import LayerSource, Pairs, layer_at, layer_count


def top_groups(
    accuracy: NDArray[np.floating[Any]], log_loss: NDArray[np.floating[Any]], k: int, size: int
) -> NDArray[np.int64]:
    """The heads of each persona's k best groups.

    A group's scores are the means of its heads': a shared shift cannot do without the heads that hear nothing.

    Args:
        accuracy: of each head's probe on validation items, [P, L, H].
        log_loss: [P, L, H].
        k: how many groups.
        size: heads a group, n; 1 chooses single heads.

    Returns:
        (layer, head) int64 [P, k * n, 2], best group first, a group's heads side by side.

    Raises:
        InputError: k outside 1..L * G, shapes that differ, or a score that is NaN.
    """
    return members(top_heads(_means(accuracy, size), _means(log_loss, size), k), size)


def fit_groups(
    x: LayerSource,
    pairs: Pairs,
    signs: NDArray[np.int8],
    heads: NDArray[np.int64],
    method: DirectionMethod,
    center: str = "none",
    *,
    size: int,
    n_layers: int | None = None,
    **how: Any,
) -> Directions:
    """Directions of groups, written out for each head: those of a group have the same theta and sigma.

    Args:
        x: head outputs [I, A, L, H, D] of the fit items, or a function from a layer to its [I, A, H, D].
        pairs: (agree, disagree) columns of the answer axis.
        signs: [P, I] in {-1, 0, 1}; 0 leaves the item out.
        heads: (layer, head) [P, K, 2], whole groups, each group's heads side by side.
        method: the formula of the raw direction.
        center: one of `pasctl.directions.CENTERS`.
        size: heads a group, n; 1 fits single heads.
        n_layers: L, needed when `x` is a function.
        how: what else `fit_directions` takes; a population's moments are those of groups, of `mean_outputs`.

    Raises:
        InputError: as `fit_directions` does.
        PasctlError: as `fit_directions` does.
    """
    if size == 1:
        return fit_directions(x, pairs, signs, heads, method, center, n_layers=n_layers, **how)

    groups = heads[:, ::size] // np.array([1, size])
    depth, means = layer_count(x, n_layers), mean_outputs(x, size)
    found = fit_directions(means, pairs, signs, groups, method, center, n_layers=depth, noun="group", **how)
    theta, sigma = (np.repeat(each, size, axis=1) for each in (found.theta, found.sigma))
    return Directions(members(groups, size), theta, sigma)


def mean_outputs(x: LayerSource, size: int) -> Callable[[int], Tensor]:
    """A function from a layer to the mean outputs of its groups [I, A, G, D], float64 as directions are fitted in."""

    def of_layer(layer: int) -> Tensor:
        outputs = layer_at(x, layer).double()
        return outputs.reshape(*outputs.shape[:2], -1, size, outputs.shape[3]).mean(dim=3)

    return of_layer


def members(groups: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """(layer, group) [P, k, 2] -> (layer, head) of all of their heads [P, k * size, 2]."""
    found = np.repeat(groups, size, axis=1)
    found[:, :, 1] = found[:, :, 1] * size + np.tile(np.arange(size), groups.shape[1])
    return found


def _means(score: NDArray[np.floating[Any]], size: int) -> NDArray[np.floating[Any]]:
    """[P, L, H] -> [P, L, G]."""
    means: NDArray[np.floating[Any]] = score.reshape(*score.shape[:2], -1, size).mean(axis=3)
    return means
