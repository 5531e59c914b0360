"""Who a model is steered to: one group of options for every command that steers."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pasctl.commands.shared import Budgeted, Directed, Positioned, parse_budget
from pasctl.errors import InputError
from pasctl.evaluation.alphas import AUTO
from pasctl.option import check, option

Alpha = float | str
"""A strength, or "auto"."""


def parse_alpha(alpha: Alpha) -> Alpha:
    """A strength, or "auto", from what a user gives.

    Raises:
        InputError: it is neither a finite number nor "auto".
    """
    if alpha == AUTO:
        return AUTO
    try:
        number = float(alpha)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise InputError(f"alpha {str(alpha)!r} is no finite number, expected for example 4, 0 (no steering), or auto")
    return number if isinstance(alpha, str) else alpha  # 2 stays 2, as keys have it


@dataclass(frozen=True, kw_only=True)
class SteeringTarget(Directed, Positioned, Budgeted):
    """Who a model is steered to, how strongly, and where in a text."""

    persona: str | None = option(
        None,
        help="Persona to steer to: its id. Default: the one that the directions have, if it is one.",
        metavar="ID",
    )
    alpha: Alpha = option(
        AUTO,
        help="Strength in units of sigma; auto: what choose-alpha chose for the persona.",
        metavar="A|auto",
        parse=parse_alpha,
    )

    def __post_init__(self) -> None:
        check(self)
        object.__setattr__(self, "alpha", parse_alpha(self.alpha))
        object.__setattr__(self, "budget_kl", parse_budget(self.budget_kl))

    @property
    def given(self) -> bool:
        """Whether a user says anything about steering, where a command can do without."""
        return self.persona is not None or self.directions is not None or self.alpha != AUTO
