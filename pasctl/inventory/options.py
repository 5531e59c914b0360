"""The options of items as a model names them: letters, numbers or texts, and which log-probability is whose."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pasctl.inventory.items import IntArray, Inventory
from pasctl.inventory.prompts import option_levels

_LEAST = -300.0  # log-probability; the smallest float64 is that of about -745


def option_names(inventory: Inventory) -> tuple[str, ...]:
    """All names that options of the inventory have, each once: letters and texts in order, numbers from the lowest."""
    names = {
        name
        for column, scale in enumerate(inventory.scales)
        for name in inventory.option_names(inventory.items[column], option_levels("forward", len(scale)))
    }
    return tuple(sorted(names, key=lambda name: (float(name) if inventory.option_labels == "numbers" else 0.0, name)))


def option_places(inventory: Inventory, columns: IntArray, order: str) -> IntArray:
    """Where the names of items' options stand among `option_names`, [N, K]; -1 beyond an item's last.

    The option of the lowest score stands first.

    Args:
        inventory: the questionnaire; K are the options of the item that has most.
        columns: places of N items.
        order: in which the options are listed.
    """
    place = {name: number for number, name in enumerate(option_names(inventory))}
    places = np.full((len(columns), inventory.level_scores.shape[1]), -1, np.int64)
    for row, column in zip(places, columns, strict=True):
        levels = option_levels(order, len(inventory.scales[column]))
        for name, level in zip(inventory.option_names(inventory.items[column], levels), levels, strict=True):
            row[level - 1] = place[name]
    return places


def option_scores(inventory: Inventory, columns: IntArray, order: str) -> NDArray[np.float64]:
    """What items' options score, by their names [N, M]; NaN for a name that an item has not. Arguments as above."""
    places = option_places(inventory, columns, order)
    scores = np.full((len(columns), len(option_names(inventory))), np.nan)
    rows, levels = np.nonzero(places >= 0)
    scores[rows, places[rows, levels]] = inventory.level_scores[columns[rows], levels]
    return scores


def by_level(logprobs: NDArray[np.floating[Any]], places: IntArray) -> NDArray[Any]:
    """Log-probabilities [..., N, K] of the options from the lowest score up, NaN beyond an item's last.

    Args:
        logprobs: of all option names [..., N, M].
        places: from `option_places` [N, K].
    """
    indices = np.broadcast_to(np.maximum(places, 0), (*logprobs.shape[:-1], places.shape[1]))
    found = np.take_along_axis(logprobs, indices, axis=-1)
    return found if (places >= 0).all() else np.where(places >= 0, found, np.nan).astype(logprobs.dtype)


def relative_chances(logprobs: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Chances [..., K] of options, float64, each row up to a factor, from log-probabilities; NaN where there is none.

    The factor is 1 but for rows of long texts, which all could be less probable than the smallest float64.
    """
    values = np.asarray(logprobs, dtype=np.float64)
    most = np.nanmax(values, axis=-1, keepdims=True)
    chances: NDArray[np.float64] = np.exp(values - np.where(most < _LEAST, most, 0.0))
    return chances


def expected_scores(chances: NDArray[np.float64], scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Expected scores [..., N] from chances [..., N, K] of options that score [N, K], NaN beyond an item's last.

    The chances need not sum to 1.
    """
    offered = np.isfinite(scores)
    weights = np.where(offered, chances, 0.0)
    plain = np.where(offered, scores, 0.0)
    same = len(plain) > 0 and bool((plain == plain[0]).all())
    total = weights @ plain[0] if same else np.einsum("...ik,ik->...i", weights, plain)
    expected: NDArray[np.float64] = total / weights.sum(axis=-1)
    return expected
