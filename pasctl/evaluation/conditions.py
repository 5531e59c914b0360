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
        towards: where the model is steered: to the "persona"; in a "random" direction of equal norm, which shows
            what any shift of that size does; or along directions fitted on the persona's answers "shuffled" over its
            items, which shows what its way of using the scale does; None leaves it alone. Where it is steered there
            is a run for each alpha.
        system: renders the system text from the inventory, the persona's agreements [I] and the fit columns;
            None says nothing.
        prose: whether the system text is what the user gave for this persona.
    """

    name: str
    towards: Literal["persona", "random", "shuffled"] | None
    system: SystemText | None
    prose: bool = False

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
        Condition("given-prose", towards=None, system=None, prose=True),
        Condition("pas", towards="persona", system=None),
        Condition("pas+few-shot", towards="persona", system=few_shot),
        Condition("random-direction", towards="random", system=None),
        Condition("shuffled-answers", towards="shuffled", system=None),
    )
}


def is_steered(name: str) -> bool:
    """Whether a row of results is of a condition that displaces something; baselines do not."""
    return name in CONDITIONS and CONDITIONS[name].steered


ALL = "all"
CONTROLS = tuple(name for name, condition in CONDITIONS.items() if condition.towards in ("random", "shuffled"))


def parse_conditions(names: str | None, *, prose: bool = False) -> tuple[str, ...]:
    """Read a comma-separated list of condition names, in the order given, each once; None or "all" means all.

    Args:
        names: as typed after `--mode`.
        prose: whether there is prose to tell; without it, all are all others.

    Raises:
        InputError: an unknown name, none at all, or prose that was not given.
    """
    if names is None or names.strip() == ALL:
        return tuple(name for name, condition in CONDITIONS.items() if prose or not condition.prose)
    chosen = tuple(dict.fromkeys(name.strip() for name in names.split(",") if name.strip()))
    unknown = [name for name in chosen if name not in CONDITIONS]
    if unknown or not chosen:
        found = ", ".join(unknown) or "nothing"
        raise InputError(f"mode {found} is unknown, expected all or a comma list of {', '.join(CONDITIONS)}")
    untold = [name for name in chosen if CONDITIONS[name].prose and not prose]
    if untold:
        raise InputError(f"mode {untold[0]} needs prose about the personas, none is given", hint="give --prose")
    return chosen
