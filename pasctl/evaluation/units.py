"""The units of an evaluation: one persona under one condition at one strength."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pasctl.evaluation.conditions import CONDITIONS
from pasctl.inventory import Inventory, PersonaSet


@dataclass(frozen=True)
class Unit:
    """One run over the report items; the grain at which an evaluation resumes.

    Attributes:
        persona: place in the persona set.
        condition: a name in `CONDITIONS`.
        alpha: strength; 0 where nothing is steered.
        system: what the model is told first, None for nothing.
    """

    persona: int
    condition: str
    alpha: float
    system: str | None

    @property
    def steered(self) -> bool:
        """Whether anything is displaced: alpha 0 is the model as it is."""
        return CONDITIONS[self.condition].steered and self.alpha != 0


def plan_units(
    inventory: Inventory, personas: PersonaSet, conditions: Sequence[str], alphas: Sequence[float]
) -> Iterator[Unit]:
    """Every (persona, condition, alpha), persona by persona; conditions that do not steer have alpha 0 alone."""
    fit = inventory.indices("fit")
    for persona in range(len(personas.ids)):
        agreements: NDArray[np.float64] = personas.agreements[persona]
        for name in conditions:
            condition = CONDITIONS[name]
            system = condition.system(inventory, agreements, fit) if condition.system else None
            for alpha in alphas if condition.steered else (0.0,):
                yield Unit(persona, name, alpha, system)
