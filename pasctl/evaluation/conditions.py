"""The conditions of an evaluation: what the model is told, and whether it is steered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pasctl.errors import InputError
from pasctl.inventory import Inventory, few_shot, personality_prompt

SystemText = Callable[[Inventory, NDArray[np.float64], NDArray[np.int64]], str]


@dataclass(frozen=True)
class Condition:
    """One row of the results table.

    Attributes:
        name: as typed after `--mode`.
        towards: where the model is steered: to the "persona", or in a "random" direction of equal norm, which shows
            what any shift of that size does; None leaves it alone. Where it is steered there is a run for each alpha.
        system: renders the system text from the inventory, the persona's agreements [I] and the fit columns;
            None says nothing.
    """

    name: str
    towards: Literal["persona", "random"] | None
    system: SystemText | None

    @property
    def steered(self) -> bool:
        """Whether anything is displaced."""
        return self.towards is not None


CONDITIONS = {
    condition.name: condition
    for condition in (
        Condition("no-change", towards=None, system=None),
        Condition("few-shot", towards=None, system=few_shot),
        Condition("personality-prompt", towards=None, system=personality_prompt),
        Condition("pas", towards="persona", system=None),
        Condition("pas+few-shot", towards="persona", system=few_shot),
        Condition("random-direction", towards="random", system=None),
    )
}


def is_steered(name: str) -> bool:
    """Whether a row of results is of a condition that displaces something; baselines do not."""
    return name in CONDITIONS and CONDITIONS[name].steered


def parse_conditions(names: str | None) -> tuple[str, ...]:
    """Read a comma-separated list of condition names, in the order given, each once; None means all.

    Raises:
        InputError: an unknown name, or none at all.
    """
    if names is None:
        return tuple(CONDITIONS)
    chosen = tuple(dict.fromkeys(name.strip() for name in names.split(",") if name.strip()))
    unknown = [name for name in chosen if name not in CONDITIONS]
    if unknown or not chosen:
        found = ", ".join(unknown) or "nothing"
        raise InputError(f"mode {found} is unknown, expected a comma list of {', '.join(CONDITIONS)}")
    return chosen
