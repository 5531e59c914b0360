"""An evaluation's questions: which personas are asked what, under which conditions, and what they answer."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pasctl.commands.evaluate import Evaluate
from pasctl.errors import InputError
from pasctl.evaluation.alphas import AUTO, ORACLE, WORDS, alpha_text
from pasctl.evaluation.conditions import CONDITIONS
from pasctl.evaluation.units import EvalCase, Strengths, plan_units, unit_table
from pasctl.inventory import (
    LETTERS,
    Inventory,
    canonical_digest,
    letter_levels,
    question,
    wording_digest,
)
from pasctl.stages.runner import Artifact, StageContext, part_key
from pasctl.stages.steering import DirectionSet, require_positions

if TYPE_CHECKING:
    from pasctl.evaluation.rows import Rows
    from pasctl.models.geometry import Geometry
    from pasctl.models.load import LoadedModel
    from pasctl.steering.intervention import Intervention


ANSWERS_VERSION = 2
"""Of how a unit's answers come about. It is not the stage's, so that new metrics reuse the answers that older results
hold: raise it when the same question to the same model would be answered differently."""


@dataclass(frozen=True)
class EvalParams:
    """What is evaluated.

    Attributes:
        conditions: names in `pasctl.evaluation.conditions.CONDITIONS`.
        alphas: strengths of the steered conditions, and the words "auto" and "oracle".
        positions: steer at "all" positions or at the "answer" position alone.
        orders: orders of the options that are shown, see `pasctl.inventory.letter_levels`.
        draws: random directions that each persona is steered along as a control.
        prose: persona id -> what the condition that tells prose says; None without it.
    """

    conditions: tuple[str, ...]
    alphas: tuple[float | str, ...]
    positions: str = "all"
    orders: tuple[str, ...] = ("forward",)
    draws: int = 1
    prose: Mapping[str, str] | None = None

    def __post_init__(self) -> None:
        require_positions(self.positions)
        if self.draws < 1:
            raise InputError(f"control draws: expected at least 1, found {self.draws}")

    def to_json(self) -> dict[str, Any]:
        """As they enter the key; the orders are drawn by the seed, which is there as well."""
        return {
            "conditions": list(self.conditions),
            "alphas": list(self.alphas),
            "positions": self.positions,
            "option_orders": len(self.orders),
            "control_draws": self.draws,
            "prose": None if self.prose is None else canonical_digest(dict(self.prose)),
        }


@dataclass(frozen=True, eq=False)
class EvaluationTask:
    """The units of an evaluation, with the keys that say which of them feed the model the same thing.

    Attributes:
        directions: the artifact evaluated.
        params: what is evaluated.
        model: the model's identity.
        numerics: dtype, attention and seed of the run.
        chosen: each persona's alpha [P] under "auto"; None where it is not asked for or nothing is steered.
        rows: of the directions' personas who are evaluated [P]; None is all of them.
    """

    directions: Artifact
    params: EvalParams
    model: dict[str, Any]
    numerics: dict[str, Any]
    chosen: NDArray[np.float64] | None = None
    rows: NDArray[np.int64] | None = None

    @cached_property
    def inventory(self) -> Inventory:
        """The inventory the directions were fitted on."""
        return Inventory.from_json(self.directions.read_json("items.json")["inventory"])

    @cached_property
    def steering(self) -> DirectionSet:
        """The personas and their directions."""
        return DirectionSet.read(self.directions, self.rows)

    @cached_property
    def _astray(self) -> list[DirectionSet]:
        return [self.steering.randomized(int(self.numerics["seed"]), draw) for draw in range(self.params.draws)]

    @cached_property
    def _shuffled(self) -> DirectionSet:
        return DirectionSet.shuffled(self.directions, self.rows)

    def steered_by(self, unit: EvalCase) -> DirectionSet | None:
        """The directions that displace a unit's run: the persona's own or a control's; None leaves the model alone."""
        if not unit.steered:
            return None
        towards = CONDITIONS[unit.condition].towards
        if towards == "random":
            return self._astray[unit.draw]
        return self._shuffled if towards == "shuffled" else self.steering

    def intervention(self, unit: EvalCase, geometry: Geometry) -> Intervention | None:
        """The displacement of a unit's run; None leaves the model alone."""
        directions = self.steered_by(unit)
        return None if directions is None else directions.intervention(geometry, unit.persona, unit.alpha)

    @cached_property
    def strengths(self) -> Strengths:
        """Each persona's alpha under every setting that is run; an oracle only picks among these."""
        people = len(self.steering.personas.ids)
        found = {alpha_text(alpha): np.full(people, float(alpha)) for alpha in self.params.alphas if alpha not in WORDS}
        if self.chosen is not None:
            found[AUTO] = self.chosen
        return found

    @cached_property
    def questions(self) -> list[str]:
        """The report items as the model is asked them: all in the first option order, then all in the next."""
        return [
            question(self.inventory.items[place], self.inventory, order)
            for order in self.params.orders
            for place in self.inventory.indices("report")
        ]

    @cached_property
    def units(self) -> list[tuple[EvalCase, str]]:
        """Units with their part keys; units that feed the model the same thing have the same key."""
        params = self.params
        planned = plan_units(
            self.inventory,
            self.steering.personas,
            params.conditions,
            self.strengths,
            draws=params.draws,
            prose=params.prose,
        )
        return [(unit, self._part(unit)) for unit in planned]

    @cached_property
    def distinct(self) -> dict[str, EvalCase]:
        """The first unit of each part key, in order."""
        first: dict[str, EvalCase] = {}
        for unit, key in self.units:
            first.setdefault(key, unit)
        return first

    def _part(self, unit: EvalCase) -> str:
        steering = None
        directions = self.steered_by(unit)
        if directions is not None:
            steering = self.displacement(unit, directions)
        told = None if unit.system is None else hashlib.sha256(unit.system.encode()).hexdigest()
        return part_key({**self._shared, "system": told, "steering": steering})

    def displacement(self, unit: EvalCase, directions: DirectionSet) -> dict[str, Any]:
        """What says how a unit's run is displaced, for keys."""
        return {
            "directions": directions.digest(unit.persona),
            "alpha": unit.alpha,
            "positions": self.params.positions,
        }

    @cached_property
    def run(self) -> dict[str, Any]:
        """The model and how it is run, for keys. Not the seed: what it draws is in the digest of random directions."""
        return {
            "model": self.model,
            "numerics": {name: value for name, value in self.numerics.items() if name != "seed"},
        }

    @cached_property
    def _shared(self) -> dict[str, Any]:
        """What every unit's answers depend on."""
        return {
            "stage": Evaluate.command,
            "stage_version": ANSWERS_VERSION,
            **self.run,
            "inventory": self.inventory.digest,
            "items": "report",
            "wording": wording_digest(),
            "orders": list(self.params.orders),
        }


class Scorer:
    """Answers the report items as one unit asks."""

    def __init__(self, model: LoadedModel, task: EvaluationTask, batch_tokens: int) -> None:
        self._model = model
        self._task = task
        self._batch_tokens = batch_tokens
        self._letters = model.chat.letter_ids(LETTERS)

    def answer(self, units: Sequence[EvalCase], counts: dict[str, int]) -> NDArray[np.float32]:
        """Log-probability of the letter for agreement 1..5, float32 [units, orders, items, 5].

        The units are told the same. Adds to the token counts.
        """
        from pasctl.evaluation.scoring import score_letters

        scores = score_letters(
            self._model,
            [self._model.chat.encode(text, units[0].system) for text in self._task.questions],
            self._letters,
            batch_tokens=self._batch_tokens,
            interventions=[self._task.intervention(unit, self._model.geometry) for unit in units],
            positions=self._task.params.positions,
        )
        counts["tokens_asked"] += scores.tokens_asked
        counts["tokens_run"] += scores.tokens_run
        orders = self._task.params.orders
        by_order = scores.logprobs.reshape(len(units), len(orders), -1, len(LETTERS))
        # from letters A..E to agreement 1..5
        return np.stack(
            [by_order[:, place][..., np.argsort(letter_levels(order))] for place, order in enumerate(orders)], axis=1
        )


def earlier_answers(work: StageContext, keys: list[str]) -> dict[str, NDArray[np.float32]]:
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


def result_rows(task: EvaluationTask, answers: dict[str, NDArray[np.float32]]) -> Rows:
    """Rows of every unit, of the oracle if it is asked for, and of the baselines that need no model."""
    import pandas as pd

    from pasctl.evaluation.baselines import baseline_rows
    from pasctl.evaluation.oracle import oracle_rows
    from pasctl.evaluation.rows import answer_rows, item_table

    inventory, personas = task.inventory, task.steering.personas
    fit, report = inventory.indices("fit"), inventory.indices("report")
    items, units = item_table(inventory), [unit for unit, _ in task.units]
    scored = answer_rows(
        unit_table(units, personas.ids),
        items.iloc[report],
        personas.agreements[[unit.persona for unit in units]][:, report],
        np.stack([answers[key] for _, key in task.units]),
    )
    tables = [scored]
    if ORACLE in task.params.alphas and (scored["setting"] != "").any():
        tables.append(oracle_rows(scored))
    tables.append(baseline_rows(personas.ids, personas.agreements, items, fit, report))
    return pd.concat(tables, ignore_index=True)
