"""An evaluation's questions: which personas are asked what, under which conditions, and what they answer."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pasctl.commands.evaluate import Evaluate
from pasctl.contrasts.questions import SELF_REPORT_PROMPTS
from pasctl.errors import InputError
from pasctl.evaluation.alphas import AUTO, WORDS, alpha_text
from pasctl.evaluation.conditions import CONDITIONS
from pasctl.evaluation.defaults import CONTROL_PEOPLE, SELF_REPORTS
from pasctl.evaluation.readings import LETTERS as LETTERS_READING
from pasctl.evaluation.readings import STATEMENTS
from pasctl.evaluation.units import EvalCase, Strengths, plan_units
from pasctl.inventory import (
    Inventory,
    canonical_digest,
    option_places,
    question,
    wording_digest,
)
from pasctl.stages.runner import Artifact, part_key
from pasctl.stages.steering import DirectionSet, require_positions
from pasctl.stages.stored_personas import StoredPersonas

if TYPE_CHECKING:
    from pasctl.models.geometry import Geometry
    from pasctl.steering.intervention import Intervention


_CONTROL_PEOPLE = 4  # of the random streams that a seed has

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
        readings: how answers are read, names in `pasctl.evaluation.readings.READINGS`.
        control_people: personas, drawn by the seed, that prompts and controls are run for.
        self_reports: how many prompts statements are replies to.
        reports: the prompts, of which that many are taken.
    """

    conditions: tuple[str, ...]
    alphas: tuple[float | str, ...]
    positions: str = "all"
    orders: tuple[str, ...] = ("forward",)
    draws: int = 1
    prose: Mapping[str, str] | None = None
    readings: tuple[str, ...] = (LETTERS_READING,)
    control_people: int = CONTROL_PEOPLE["letters"]
    self_reports: int = SELF_REPORTS
    reports: tuple[str, ...] = SELF_REPORT_PROMPTS

    def __post_init__(self) -> None:
        require_positions(self.positions)
        for name, count in (("control draws", self.draws), ("control people", self.control_people)):
            if count < 1:
                raise InputError(f"{name}: expected at least 1, found {count}")
        if not 1 <= self.self_reports <= len(self.reports):
            raise InputError(f"self-reports: expected 1 to {len(self.reports)}, found {self.self_reports}")

    @property
    def prompts(self) -> tuple[str, ...]:
        """Self-report prompts that statements are replies to; none where they are not read."""
        return self.reports[: self.self_reports] if STATEMENTS in self.readings else ()

    def to_json(self) -> dict[str, Any]:
        """As they enter the key; the orders are drawn by the seed, which is there as well."""
        return {
            "conditions": list(self.conditions),
            "alphas": list(self.alphas),
            "positions": self.positions,
            "option_orders": len(self.orders),
            "control_draws": self.draws,
            "prose": None if self.prose is None else canonical_digest(dict(self.prose)),
            "readings": list(self.readings),
            "control_people": self.control_people,
            **({"self_reports": self.self_reports, "prompts": list(self.prompts)} if self.prompts else {}),
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
        engine: what answers in place of the model here, see `on_engine`; "" for nothing.
    """

    directions: Artifact
    params: EvalParams
    model: dict[str, Any]
    numerics: dict[str, Any]
    chosen: NDArray[np.float64] | None = None
    rows: NDArray[np.int64] | None = None
    engine: str = ""

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

    def on_engine(self, unit: EvalCase) -> bool:
        """Whether the engine answers a unit: it has the personas' own directions, and no control's."""
        return bool(self.engine) and self.steered_by(unit) in (None, self.steering)

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
    def option_places(self) -> NDArray[np.int64]:
        """Which names the options of each question have, [questions, K], as `pasctl.inventory.option_places` says."""
        report = self.inventory.indices("report")
        return np.concatenate([option_places(self.inventory, report, order) for order in self.params.orders])

    @cached_property
    def sample(self) -> frozenset[int]:
        """Places of the personas that prompts and controls are run for, in every shard those of the whole."""
        total = len(StoredPersonas.of(self.directions))
        drawn = np.random.default_rng([int(self.numerics["seed"]), _CONTROL_PEOPLE]).permutation(total)
        rows = np.arange(total) if self.rows is None else self.rows
        return frozenset(np.flatnonzero(np.isin(rows, drawn[: self.params.control_people])).tolist())

    @cached_property
    def cases(self) -> list[EvalCase]:
        """Who is run under which condition at which strength, in each reading."""
        params = self.params
        planned = plan_units(
            self.inventory,
            self.steering.personas,
            params.conditions,
            self.strengths,
            draws=params.draws,
            prose=params.prose,
            sample=self.sample,
        )
        return list(planned)

    def read_by(self, reading: str) -> list[EvalCase]:
        """The cases that a reading is of: all of the first one; of others the sample, unsteered and to itself."""
        if reading not in self.params.readings:
            return []
        if reading == self.params.readings[0]:
            return self.cases
        alone = {name for name, each in CONDITIONS.items() if each.system is None and each.towards in (None, "persona")}
        return [unit for unit in self.cases if unit.persona in self.sample and unit.condition in alone]

    @cached_property
    def units(self) -> list[tuple[EvalCase, str]]:
        """Units that letters are read of, with their part keys; those that feed the model the same have the same."""
        return [(unit, self._part(unit)) for unit in self.read_by(LETTERS_READING)]

    @cached_property
    def distinct(self) -> dict[str, EvalCase]:
        """The first unit of each part key, in order."""
        first: dict[str, EvalCase] = {}
        for unit, key in self.units:
            first.setdefault(key, unit)
        return first

    def _part(self, unit: EvalCase) -> str:
        return part_key({**self._shared, **self.told(unit)})

    def told(self, unit: EvalCase) -> dict[str, Any]:
        """What says how a unit differs from others, for keys."""
        directions = self.steered_by(unit)
        steering = None if directions is None else self.displacement(unit, directions)
        system = None if unit.system is None else hashlib.sha256(unit.system.encode()).hexdigest()
        by = {"engine": self.engine} if self.on_engine(unit) else {}  # its numbers differ in the last places
        return {"system": system, "steering": steering, **by}

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
