"""The units of an evaluation: one persona under one condition at one strength."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pasctl.evaluation.conditions import CONDITIONS
from pasctl.inventory import Inventory, PersonaSet

if TYPE_CHECKING:
    import pandas as pd

Strengths = Mapping[str, NDArray[np.float64]]
"""Setting, as in `rows.SCHEMA` -> each persona's alpha [P]."""

EVERYBODY = frozenset(("no-change", "pas"))
"""Conditions that are run for every persona. Prompts and controls take longer, and fewer personas show what they do."""


@dataclass(frozen=True)
class EvalCase:
    """One run over the report items; the grain at which an evaluation resumes.

    Attributes:
        persona: place in the persona set.
        condition: a name in `CONDITIONS`.
        setting: how alpha was given; "" where the condition does not steer.
        alpha: strength; 0 where nothing is steered.
        draw: which of several random directions.
        system: what the model is told first, None for nothing.
    """

    persona: int
    condition: str
    setting: str
    alpha: float
    draw: int
    system: str | None

    @property
    def steered(self) -> bool:
        """Whether anything is displaced: alpha 0 is the model as it is."""
        return CONDITIONS[self.condition].steered and self.alpha != 0


def plan_units(
    inventory: Inventory,
    personas: PersonaSet,
    conditions: Sequence[str],
    strengths: Strengths,
    *,
    draws: int = 1,
    prose: Mapping[str, str] | None = None,
    sample: Collection[int] | None = None,
) -> Iterator[EvalCase]:
    """Every (persona, condition, setting, draw), persona by persona; conditions that do not steer have one unit each.

    Args:
        inventory: what is asked.
        personas: P personas.
        conditions: names in `CONDITIONS`.
        strengths: of the conditions that steer.
        draws: how many random directions each persona is steered along.
        prose: persona id -> text, for conditions that tell it.
        sample: places of the personas that all conditions are run for; of others only those in `EVERYBODY` are.
            None is everybody.
    """
    fit = inventory.indices("fit")
    for persona, name in enumerate(personas.ids):
        agreements: NDArray[np.float64] = personas.agreements[persona]
        for condition in (CONDITIONS[each] for each in conditions):
            if sample is not None and persona not in sample and condition.name not in EVERYBODY:
                continue
            system = condition.system(inventory, agreements, fit) if condition.system else None
            if condition.prose:
                system = (prose or {})[name]
            if not condition.steered:
                yield EvalCase(persona, condition.name, "", 0.0, 0, system)
                continue
            for setting, alphas in strengths.items():
                for draw in range(draws if condition.towards == "random" else 1):
                    yield EvalCase(persona, condition.name, setting, float(alphas[persona]), draw, system)


def unit_table(units: Sequence[EvalCase], ids: Sequence[str]) -> pd.DataFrame:
    """Units as a table: persona (its name, of `ids`), condition, setting, alpha, draw."""
    import pandas as pd

    columns = ["condition", "setting", "alpha", "draw"]
    table = pd.DataFrame([[getattr(unit, name) for name in columns] for unit in units], columns=columns)
    table.insert(0, "persona", [ids[unit.persona] for unit in units])
    return table.astype({"alpha": np.float64, "draw": np.int8})
