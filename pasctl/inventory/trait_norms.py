"""What people score on an inventory's traits: by its norms, by the built-in respondents, or by its scale."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pasctl.errors import InputError
from pasctl.inventory.builtin import builtin_inventory
from pasctl.inventory.items import Inventory
from pasctl.inventory.norms import Norm
from pasctl.inventory.simulate import simulate
from pasctl.inventory.trait_scores import TYPICAL_SPREAD


def norms_of(inventory: Inventory, traits: Sequence[str], group: str | None) -> dict[str, Norm]:
    """The inventory's own norms of some traits in a group: that of everybody, or the only one, if None is named.

    Raises:
        InputError: it has none, of several groups nobody said which, or a trait is missing.
    """
    groups = inventory.norms.groups
    if not groups:
        raise InputError(
            f"inventory {inventory.name} has no norms, which people could be drawn from",
            hint="its own simulated people are --personas builtin"
            if inventory.people_digest == builtin_inventory().people_digest
            else "add norms to its file: norms: [{trait: CODE, mean: 3.1, sd: 0.8}]",
        )
    if group is None:
        group = "" if "" in groups else groups[0]
        if group and len(groups) > 1:
            raise InputError(
                f"inventory {inventory.name} has norms of several groups: {', '.join(groups)}",
                hint=f"say which: group={groups[0]}",
            )
    if group not in groups:
        raise InputError(
            f"inventory {inventory.name} has no norms of group {group!r}",
            hint=f"it has norms of {', '.join(name or 'everybody' for name in groups)}",
        )
    own = {trait: inventory.norms.of(trait, group) for trait in traits}
    norms = {trait: norm for trait, norm in own.items() if norm is not None}
    absent = [trait for trait in traits if trait not in norms]
    if absent:
        raise InputError(
            f"inventory {inventory.name} has no norms of {', '.join(absent)}" + (f" in group {group}" if group else ""),
            hint="add them to its file: norms: [{trait: CODE, mean: 3.1, sd: 0.8}]",
        )
    return norms


def typical_norms(inventory: Inventory, traits: Sequence[str], group: str | None) -> dict[str, Norm]:
    """As `norms_of`; without norms those of the built-in respondents for the built-in inventory, else of the scale.

    The scale's are its middle and 15 % of its range.
    """
    if inventory.norms or group is not None:
        return norms_of(inventory, traits, group)
    if inventory.people_digest == builtin_inventory().people_digest:
        keyed, of_item = inventory.keyed(simulate(inventory).agreements), np.array(inventory.traits)
        scores = {trait: keyed[:, of_item == trait].mean(axis=1) for trait in traits}
        return {
            trait: Norm(trait, float(values.mean()), float(values.std(ddof=1)), len(values))
            for trait, values in scores.items()
        }
    spread = TYPICAL_SPREAD * (inventory.scale.high - inventory.scale.low)
    return {trait: Norm(trait, inventory.scale.middle, spread) for trait in traits}
