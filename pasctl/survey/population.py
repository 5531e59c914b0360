"""Whom a profile is compared with: the norms of an inventory, else its respondents, else nobody."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from pasctl.errors import InputError
from pasctl.inventory.items import Inventory
from pasctl.inventory.norms import Norm
from pasctl.inventory.personas import PersonaSet
from pasctl.inventory.spec import default_personas, inventory_of, load_personas

NOBODY = "No percentiles: the inventory has neither norms nor respondents of its own."


@dataclass(frozen=True, eq=False)
class Population:
    """Whom a profile is compared with.

    Attributes:
        told: Who they are: "50 simulated respondents, no people"; empty for nobody.
        personas: Their answers, in the inventory's columns.
        simulated: Whether they are drawn from a model.
        norms: What they score, by the code of the trait, where no answers are known.
        group: Of the norms.
        absent: Why there is nobody, in a sentence.
    """

    told: str = ""
    personas: PersonaSet | None = None
    simulated: bool = False
    norms: Mapping[str, Norm] = field(default_factory=dict)
    group: str = ""
    absent: str = ""

    def agreements(self, inventory: Inventory) -> npt.NDArray[np.float64]:
        """Their answers [P, I]; of nobody without any."""
        return np.empty((0, len(inventory))) if self.personas is None else self.personas.agreements

    @property
    def count(self) -> int:
        """How many they are: of norms the most of a trait; 0 where it is not told."""
        return max((norm.n for norm in self.norms.values()), default=len(self.personas or ()))


def population_of(spec: str, inventory: Inventory, coding: str = "auto", group: str | None = None) -> Population:
    """The norms of the inventory that `spec` names, or its own respondents, or nobody.

    Args:
        spec: the words for the inventory.
        inventory: which they name.
        coding: how stored answers are read.
        group: of the norms; None is everybody, or the only group.

    Raises:
        InputError: norms of such a group are not known, the coding is not clear, or scores would be read as if they
            were agreements.
        MissingError: the file of the respondents is missing.
    """
    if coding == "as-published":
        raise InputError(
            "--coding as-published reads keyed scores as agreements, which a profile cannot be compared with",
            hint="use auto, keyed or agreement",
        )
    chosen = _group(inventory, group)
    if chosen is not None:
        norms = {norm.trait: norm for norm in inventory.norms.norms if norm.group == chosen}
        return Population(_told(inventory, chosen, list(norms.values())), norms=norms, group=chosen)
    if inventory_of(spec) is not None:
        return _respondents(spec, inventory, coding)
    if not inventory.norms:
        return Population(absent=NOBODY)
    groups = ", ".join(inventory.norms.groups)
    return Population(absent=f"No percentiles: the norms are of groups. Choose one with --group: {groups}.")


def _respondents(spec: str, inventory: Inventory, coding: str) -> Population:
    people = load_personas(default_personas(spec), inventory, coding=coding)
    if spec == "builtin":
        return Population(f"{len(people)} simulated respondents, no people", people, simulated=True)
    return Population(f"the {len(people)} respondents of {spec}", people)


def _group(inventory: Inventory, group: str | None) -> str | None:
    """The group of norms to compare with; None without norms, or with several groups and no choice."""
    groups = inventory.norms.groups
    if group is not None and group not in groups:
        known = ", ".join(filter(None, groups))
        raise InputError(
            f"--group: inventory {inventory.name} has no norms of group {group!r}",
            hint=f"its groups: {known}"
            if known
            else f"it has {'one set of' if groups else 'no'} norms: leave --group out",
        )
    if group is not None or not groups:
        return group
    return "" if "" in groups else groups[0] if len(groups) == 1 else None


def _told(inventory: Inventory, group: str, norms: Sequence[Norm]) -> str:
    counts = sorted({norm.n for norm in norms if norm.n})
    people = f" (n = {' to '.join(map(str, dict.fromkeys((counts[0], counts[-1]))))})" if counts else ""
    return f"the norms of {inventory.name}{f', {group}' if group else ''}{people}"
