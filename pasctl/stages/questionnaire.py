"""An evaluation's questions: which personas are asked what, under which conditions, and what they answer."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pasctl.errors import InputError
from pasctl.evaluation.conditions import CONDITIONS
from pasctl.evaluation.units import Unit, plan_units
from pasctl.inventory import LETTERS, Inventory, letter_levels, question, wording_digest
from pasctl.stages.runner import Artifact, Stage, Work, part_key
from pasctl.stages.steering import DirectionSet

if TYPE_CHECKING:
    from pasctl.evaluation.rows import Columns
    from pasctl.models.load import LoadedModel
    from pasctl.steering.intervention import Intervention


STAGE = Stage("eval", "results", version=3)
ANSWERS_VERSION = 2
"""Of how a unit's answers come about. It is not the stage's, so that new metrics reuse the answers that older results
hold: raise it when the same question to the same model would be answered differently."""


@dataclass(frozen=True)
class EvalParams:
    """What is evaluated.

    Attributes:
        conditions: names in `pasctl.evaluation.conditions.CONDITIONS`.
        alphas: strengths of the steered conditions.
        positions: steer at "all" positions or at the "answer" position alone.
        option_order: show the options "forward", or also reversed and average the probabilities.
    """

    conditions: tuple[str, ...]
    alphas: tuple[float, ...]
    positions: str = "all"
    option_order: str = "forward"

    def __post_init__(self) -> None:
        if self.positions not in ("all", "answer"):
            raise InputError(f"positions {self.positions!r} is unknown, expected all or answer")
        if self.option_order not in ("forward", "both"):
            raise InputError(f"option order {self.option_order!r} is unknown, expected forward or both")

    def to_json(self) -> dict[str, Any]:
        """As they enter the key."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    @property
    def orders(self) -> tuple[str, ...]:
        """The option orders shown."""
        return ("forward", "reversed") if self.option_order == "both" else ("forward",)


@dataclass(frozen=True, eq=False)
class Questionnaire:
    """The units of an evaluation, with the keys that say which of them feed the model the same thing.

    Attributes:
        directions: the artifact evaluated.
        params: what is evaluated.
        model: the model's identity.
        numerics: dtype, attention and seed of the run.
    """

    directions: Artifact
    params: EvalParams
    model: dict[str, Any]
    numerics: dict[str, Any]

    @cached_property
    def inventory(self) -> Inventory:
        """The inventory the directions were fitted on."""
        return Inventory.from_json(self.directions.read_json("items.json")["inventory"])

    @cached_property
    def steering(self) -> DirectionSet:
        """The personas and their directions."""
        return DirectionSet.read(self.directions)

    @cached_property
    def _astray(self) -> DirectionSet:
        return self.steering.randomized(int(self.numerics["seed"]))

    def steered_by(self, unit: Unit) -> DirectionSet | None:
        """The directions that displace a unit's run: the persona's own, or random ones; None leaves the model alone."""
        if not unit.steered:
            return None
        return self.steering if CONDITIONS[unit.condition].towards == "persona" else self._astray

    @cached_property
    def questions(self) -> list[str]:
        """The report items as the model is asked them: all in the first option order, then all in the next."""
        return [
            question(self.inventory.items[place], self.inventory, order)
            for order in self.params.orders
            for place in self.inventory.indices("report")
        ]

    @cached_property
    def units(self) -> list[tuple[Unit, str]]:
        """Units with their part keys; units that feed the model the same thing have the same key."""
        personas = self.steering.personas
        planned = plan_units(self.inventory, personas, self.params.conditions, self.params.alphas)
        return [(unit, self._part(unit)) for unit in planned]

    @cached_property
    def distinct(self) -> dict[str, Unit]:
        """The first unit of each part key, in order."""
        first: dict[str, Unit] = {}
        for unit, key in self.units:
            first.setdefault(key, unit)
        return first

    def _part(self, unit: Unit) -> str:
        steering = None
        directions = self.steered_by(unit)
        if directions is not None:
            steering = {
                "directions": directions.digest(unit.persona),
                "alpha": unit.alpha,
                "positions": self.params.positions,
            }
        told = None if unit.system is None else hashlib.sha256(unit.system.encode()).hexdigest()
        return part_key({**self._shared, "system": told, "steering": steering})

    @cached_property
    def _shared(self) -> dict[str, Any]:
        """What every unit's answers depend on. Not the seed: what it draws is in the digest of random directions."""
        return {
            "stage": STAGE.name,
            "stage_version": ANSWERS_VERSION,
            "model": self.model,
            "numerics": {name: value for name, value in self.numerics.items() if name != "seed"},
            "inventory": self.inventory.digest,
            "items": "report",
            "wording": wording_digest(),
            "option_order": self.params.option_order,
        }


class Scorer:
    """Answers the report items as one unit asks."""

    def __init__(self, model: LoadedModel, task: Questionnaire, batch_tokens: int) -> None:
        self._model = model
        self._task = task
        self._batch_tokens = batch_tokens
        self._letters = model.chat.letter_ids(LETTERS)

    def answer(self, unit: Unit, counts: dict[str, int]) -> NDArray[np.float32]:
        """Log-probability of the letter for agreement 1..5, float32 [orders, items, 5]; adds to the token counts."""
        from pasctl.evaluation.scoring import score_letters

        scores = score_letters(
            self._model,
            [self._model.chat.encode(text, unit.system) for text in self._task.questions],
            self._letters,
            batch_tokens=self._batch_tokens,
            intervention=self._intervention(unit),
            positions=self._task.params.positions,
        )
        counts["tokens_asked"] += scores.tokens_asked
        counts["tokens_run"] += scores.tokens_run
        by_order = scores.logprobs.reshape(len(self._task.params.orders), -1, len(LETTERS))
        # from letters A..E to agreement 1..5
        return np.stack(
            [
                by_order[place][:, np.argsort(letter_levels(order))]
                for place, order in enumerate(self._task.params.orders)
            ]
        )

    def _intervention(self, unit: Unit) -> Intervention | None:
        directions = self._task.steered_by(unit)
        return None if directions is None else directions.intervention(self._model.geometry, unit.persona, unit.alpha)


def earlier_answers(work: Work, keys: list[str]) -> dict[str, NDArray[np.float32]]:
    """Answers that other results hold already: the same question put to the same model in the same way."""
    answers: dict[str, NDArray[np.float32]] = {}
    holders: dict[Artifact, list[str]] = {}
    for key, artifact in work.find_parts(keys).items():
        holders.setdefault(artifact, []).append(key)
    for artifact, held in holders.items():
        places = {key: place for place, key in enumerate(artifact.read_json("units.json")["parts"])}
        values = artifact.read_arrays("answers.safetensors")["level_logprobs"]
        answers |= {key: values[places[key]] for key in held}
    return answers


def result_rows(task: Questionnaire, answers: dict[str, NDArray[np.float32]]) -> Columns:
    """Rows of every unit and of the baselines that need no model."""
    from pasctl.evaluation.baselines import baseline_rows
    from pasctl.evaluation.rows import RowItems, build_rows, concat_rows

    inventory, personas = task.inventory, task.steering.personas
    fit, report = inventory.indices("fit"), inventory.indices("report")
    items = RowItems.of(inventory)
    asked = items.take(report)
    scored = [
        build_rows(
            persona=personas.ids[unit.persona],
            condition=unit.condition,
            alpha=unit.alpha,
            items=asked,
            agreements=personas.agreements[unit.persona, report],
            level_logprobs=answers[key],
        )
        for unit, key in task.units
    ]
    return concat_rows([*scored, baseline_rows(personas.ids, personas.agreements, items, fit, report)])
