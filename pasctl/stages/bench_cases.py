"""The conditions that tasks are run under: the model as it is, steered to a persona or astray, and prompted with it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pasctl.errors import InputError
from pasctl.evaluation.alphas import alpha_text
from pasctl.inventory import Inventory, personality_prompt
from pasctl.inventory.combination import is_combination
from pasctl.stages.fit_contrast import AXES
from pasctl.stages.granularity import is_imported
from pasctl.stages.steering import ResolvedTarget
from pasctl.stages.text_targets import TextTarget
from pasctl.stages.text_words import Words

if TYPE_CHECKING:
    from pasctl.models.geometry import Geometry
    from pasctl.steering.intervention import Intervention

NO_CHANGE, PERSONA, RANDOM, PROMPTED = "no-change", "persona", "random-direction", "prompted"
COMPARED = (PERSONA, RANDOM, PROMPTED)
"""Conditions that are compared with the unchanged model."""


@dataclass(frozen=True, eq=False)
class BenchCase:
    """A condition that tasks are run under.

    Attributes:
        condition: no-change, persona, random-direction or prompted.
        name: of the persona; "" of the unchanged model.
        target: what it is steered to; None where nothing is.
        draw: which random direction.
        system: what it is prompted with.
    """

    condition: str
    name: str = ""
    target: ResolvedTarget | None = None
    draw: int = 0
    system: str | None = None

    @property
    def alpha(self) -> float | None:
        """The strength; None where nothing is steered."""
        return None if self.target is None else self.target.alpha

    @property
    def title(self) -> str:
        """In words."""
        if self.condition == NO_CHANGE:
            return "no change"
        if self.condition == PROMPTED:
            return f"prompted with {self.name}"
        strength = f"{self.name} at alpha {alpha_text(float(self.alpha or 0))}"
        return strength if self.condition == PERSONA else f"random direction, {strength}"

    def intervention(self, geometry: Geometry) -> Intervention | None:
        """What the model is steered by; None leaves it alone, as a strength of 0 does."""
        return self.target.intervention(geometry) if self.target is not None and self.target.alpha else None

    @property
    def told(self) -> dict[str, Any]:
        """What sets it apart from others, for keys; two that run the model alike have the same."""
        steered = self.target is not None and self.target.alpha
        system = None if self.system is None else hashlib.sha256(self.system.encode()).hexdigest()
        return {"system": system, "steering": self.target.params if self.target is not None and steered else None}


def parse_modes(names: str | None) -> tuple[str, ...]:
    """Conditions from "persona,prompted", each once; None is all.

    Raises:
        InputError: an unknown one, or none.
    """
    if names is None:
        return COMPARED
    chosen = tuple(dict.fromkeys(name.strip() for name in names.split(",") if name.strip()))
    unknown = [name for name in chosen if name not in (NO_CHANGE, *COMPARED)]
    if unknown or not chosen:
        raise InputError(
            f"mode {', '.join(unknown) or 'nothing'} is unknown, expected a comma list of {', '.join(COMPARED)}",
            hint=f"{NO_CHANGE} always runs",
        )
    return tuple(name for name in COMPARED if name in chosen)


def bench_cases(
    targets: Sequence[TextTarget], modes: Sequence[str], *, seed: int, draws: int, note: Callable[[str], None]
) -> Iterator[BenchCase]:
    """All conditions, the unchanged model first.

    Args:
        targets: the personas, at each of their strengths.
        modes: conditions in `COMPARED`.
        seed: of random directions.
        draws: random directions of each persona.
        note: is told of a persona that there is no prompt for.
    """
    yield BenchCase(NO_CHANGE)
    for each in targets:
        for target in each.settings:
            require_everywhere(target)
            if PERSONA in modes:
                yield BenchCase(PERSONA, each.name, target)
            if RANDOM in modes:
                for draw in range(draws):
                    astray = replace(target, known=target.known.randomized(seed, draw))
                    yield BenchCase(RANDOM, each.name, astray, draw)
        if PROMPTED not in modes:
            continue
        system = prompt_of(each.name, each.settings[0], each.words)
        if system is None:
            note(f"{each.name}: there is no text about it, so no task is run prompted with it")
        else:
            yield BenchCase(PROMPTED, each.name, system=system)


def require_everywhere(target: ResolvedTarget) -> None:
    """Refuse a persona that is steered from the answer on.

    Raises:
        InputError: it is.
    """
    if target.positions != "all":
        raise InputError(
            f"{target.name} is steered from the answer on, and tasks do not say where that is",
            hint="--positions all steers at every position",
        )


def prompt_of(name: str, target: ResolvedTarget, words: Words | None) -> str | None:
    """The system text that says what a persona is: of a pole its description, of a respondent their answers.

    None of vectors of other tools, and of combinations of respondents.
    """
    if words is not None:
        return words.prompts[0][0]
    directions = target.directions
    if is_imported(directions) or directions.files(AXES) or is_combination(name):
        return None
    inventory = Inventory.from_json(directions.read_json("items.json")["inventory"])
    return personality_prompt(inventory, target.known.personas.agreements[0], inventory.indices("fit"))
