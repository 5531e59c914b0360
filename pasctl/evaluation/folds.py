"""Folds for cross-validation over items: every kind of item is in every fold, as evenly as numbers allow."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

from pasctl.errors import InputError


def stratified_folds(strata: Sequence[Hashable], folds: int, seed: int) -> NDArray[np.int64]:
    """The fold of each item, 0 .. folds - 1.

    The items of a stratum are shuffled and dealt in turn, and the next stratum's dealing goes on where the last one
    ended. So fold sizes differ by at most one, over all items and within each stratum. Strata follow each other in
    the order of their spelling: those of one trait come together, and the trait's items are spread as evenly.

    Args:
        strata: what each item is, such as (trait, facet), length I.
        folds: at least 2, at most I.
        seed: seeds `np.random.default_rng`. The folds depend on these three only.

    Raises:
        InputError: fewer than two folds, or more than there are items.
    """
    if folds < 2:
        raise InputError(
            f"folds: expected 2 or more, found {folds}", hint="5 folds hold out a fifth of the items at a time"
        )
    if folds > len(strata):
        raise InputError(
            f"folds: expected at most as many as there are items, {len(strata)}, found {folds}",
            hint="ask for fewer folds, or for more items to fit on",
        )
    rng = np.random.default_rng(seed)
    members: dict[Hashable, list[int]] = {stratum: [] for stratum in sorted(set(strata), key=repr)}
    for item, stratum in enumerate(strata):
        members[stratum].append(item)
    dealt = np.concatenate([rng.permutation(items) for items in members.values()])
    fold = np.empty(len(dealt), dtype=np.int64)
    fold[dealt] = np.arange(len(dealt)) % folds
    return fold
