"""The split of items into training and validation items."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pasctl.errors import InputError


def split_items(traits: Sequence[str], validation: float, seed: int) -> NDArray[np.bool_]:
    """Choose validation items at random within each trait.

    The split is by item: both answers of an item lie on one side, so a probe cannot meet a validation item's text
    in training. It depends on the traits' order, `validation` and `seed` only, not on the personas.

    Args:
        traits: the trait of each item, length I.
        validation: the share of each trait's items to hold out, in (0, 1). At least one item of a trait is held out
            and at least one kept, where the trait has two or more; a trait's only item is kept for training.
        seed: seeds `np.random.default_rng`.

    Returns:
        bool [I], True on validation items.

    Raises:
        InputError: `validation` outside (0, 1), or no items.
    """
    if not 0.0 < validation < 1.0:
        raise InputError(
            f"validation share: expected a number between 0 and 1, both excluded, found {validation}",
            hint="0.2 holds out a fifth of the items",
        )
    if len(traits) == 0:
        raise InputError("split of items: expected at least one item, found none")
    rng = np.random.default_rng(seed)
    of_item = np.asarray(traits, dtype=np.str_)
    held_out = np.zeros(len(of_item), dtype=np.bool_)
    for trait in np.unique(of_item):
        members = np.flatnonzero(of_item == trait)
        wanted = int(np.floor(validation * len(members) + 0.5))
        count = min(max(wanted, 1), len(members) - 1)
        held_out[rng.permutation(members)[:count]] = True
    return held_out
