"""A questionnaire put to the model as statements: how probable its items are as what the model says of itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pasctl.commands.evaluate import Evaluate
from pasctl.evaluation.calibration import FIT_ITEMS, calibrated, features
from pasctl.evaluation.readings import STATEMENTS
from pasctl.evaluation.units import EvalCase, unit_table
from pasctl.inventory import spoken
from pasctl.stages.answer_sources import AnswerSources
from pasctl.stages.job import StageContext
from pasctl.stages.letter_answers import earlier_parts
from pasctl.stages.loaded_answers import AnswerSource
from pasctl.stages.questionnaire import EvaluationTask
from pasctl.stages.runner import Store, part_key

if TYPE_CHECKING:
    from pasctl.evaluation.rows import Rows
    from pasctl.evaluation.statements import StatementPlan
    from pasctl.models.chat import ChatRenderer

STATEMENTS_VERSION = 1
"""Of how a unit's log-probabilities come about, as `questionnaire.ANSWERS_VERSION` is of letters."""
TENSOR = "statement_logprobs"
_FIT_ITEMS = 5  # of the random streams that a seed has
_UNCHANGED = EvalCase(0, "no-change", "", 0.0, 0, None)
_RUN = ["condition", "setting", "draw"]

Floats = NDArray[np.float64]
Answers = Mapping[str, NDArray[np.float32]]
"""Part key -> log-probabilities of every token [prompts, statements, T], NaN behind a statement's end."""


@dataclass(frozen=True, eq=False)
class StatementTask:
    """The units of an evaluation whose statements are read: the report items, and fit items to calibrate by.

    Attributes:
        task: whose units these are.
        sources: who answers.
    """

    task: EvaluationTask
    sources: AnswerSources

    @cached_property
    def report(self) -> NDArray[np.int64]:
        """Columns of the report items."""
        return self.task.inventory.indices("report")

    @cached_property
    def fit(self) -> NDArray[np.int64]:
        """Columns of the fit items that calibration learns from, drawn by the seed."""
        columns = self.task.inventory.indices("fit")
        seed = int(self.task.numerics["seed"])
        drawn = np.random.default_rng([seed, _FIT_ITEMS]).permutation(columns)[:FIT_ITEMS]
        return np.sort(drawn)

    @cached_property
    def texts(self) -> list[str]:
        """The statements: report items, then fit items, in the first person."""
        return [spoken(self.task.inventory.items[column], self.task.inventory) for column in (*self.report, *self.fit)]

    @cached_property
    def units(self) -> list[tuple[EvalCase, str]]:
        """Units with their part keys; of several random directions the first, as each costs as much as steering."""
        return [(unit, self._part(unit)) for unit in self.task.read_by(STATEMENTS) if unit.draw == 0]

    @cached_property
    def distinct(self) -> dict[str, EvalCase]:
        """The first unit of each part key; the model left alone, which all others are compared with, comes first."""
        first = {self.unchanged: _UNCHANGED}
        for unit, key in self.units:
            first.setdefault(key, unit)
        return first

    @cached_property
    def unchanged(self) -> str:
        """The part key of the model left alone."""
        return self._part(_UNCHANGED)

    def told(self) -> dict[str, Any]:
        """What results say of the parts, beside their numbers."""
        items = self.task.inventory.items
        return {
            "parts": list(self.distinct),
            "prompts": list(self.task.params.prompts),
            "items": [items[column].id for column in (*self.report, *self.fit)],
            "fit_items": len(self.fit),
            "texts": self.texts,
        }

    def estimate(self, store: Store) -> dict[str, int]:
        """Units and tokens of a run, from tokenizer and config alone."""
        from pasctl.evaluation.statements import plan_bytes, plan_statements

        held = store.find_parts(list(self.distinct))
        missing = [unit for key, unit in self.distinct.items() if key not in held]
        handle, batch_tokens = self.sources.handle, self.sources.batch_tokens
        chat, footprint, own_mask = handle.chat(), handle.footprint(), handle.takes_masks()
        plans: dict[str | None, StatementPlan] = {}
        for unit in missing:
            if unit.system not in plans:
                prompts, statements = self._tokens(chat, unit)
                plans[unit.system] = plan_statements(
                    prompts, statements, batch_tokens=batch_tokens, footprint=footprint, own_mask=own_mask
                )
        return {
            "units": len(self.units),
            "units_to_run": len(missing),
            "units_on_engine": sum(map(self.task.on_engine, missing)),
            "tokens_asked": sum(plans[unit.system].tokens_asked for unit in missing),
            "tokens_run": sum(plans[unit.system].tokens_run for unit in missing),
            "memory_bytes": max((plan_bytes(footprint, plan) for plan in plans.values()), default=0),
        }

    def ask(self, work: StageContext, counts: dict[str, int]) -> dict[str, NDArray[np.float32]]:
        """Every part's log-probabilities, scored where no result holds them."""
        answers = earlier_parts(work, list(self.distinct), TENSOR, lambda told: told[STATEMENTS]["parts"])
        counts["units_reused"] += len(answers)
        with work.reporter.progress("statements", len(self.distinct), "units") as advance:
            advance(len(answers))
            with work.writing_behind() as write:
                for key, unit in self.distinct.items():
                    if key in answers:
                        continue
                    name = f"parts/{key}.safetensors"
                    if work.has(name):
                        answers[key] = work.read_tensors(name)[TENSOR]
                        counts["units_reused"] += 1
                    else:
                        answers[key] = self._score(self.sources.of([unit], work.reporter), unit, counts)
                        work.ready()
                        write(name, {TENSOR: answers[key]})
                    advance(1)
        return answers

    def rows(self, answers: Answers) -> Rows:
        """Rows of every unit, calibrated on the other persons' fit items."""
        from pasctl.evaluation.rows import item_table, statement_rows
        from pasctl.evaluation.statements import statement_totals

        personas, people = self.task.steering.personas, [unit.persona for unit, _ in self.units]
        parts = {key: statement_totals(values) for key, values in answers.items()}
        before, totals = parts[self.unchanged], np.stack([parts[key] for _, key in self.units])
        length = np.isfinite(answers[self.unchanged][0]).sum(axis=-1)
        units = unit_table([unit for unit, _ in self.units], personas.ids)
        agreements = personas.agreements[people]
        inventory = self.task.inventory
        shared = inventory.on_one_scale(agreements)[:, self.fit]
        table = features(
            inventory.keys[[*self.report, *self.fit]].astype(np.float64),
            (totals - before).mean(axis=1),
            before.mean(axis=0) / length,
        )
        count = len(self.report)
        expected = np.empty((len(units), count))
        for places in units.groupby(_RUN, sort=False).indices.values():
            wanted, fit = table[places, :count], table[places, count:]
            expected[places] = calibrated(fit, shared[places], wanted, (inventory.scale.low, inventory.scale.high))
        expected = inventory.on_own_scales(expected, self.report)
        items = item_table(inventory).iloc[self.report]
        return statement_rows(
            units, items, agreements[:, self.report], totals[..., :count], before[..., :count], expected
        )

    def _score(self, source: AnswerSource, unit: EvalCase, counts: dict[str, int]) -> NDArray[np.float32]:
        scores = source.statements(*self._tokens(self.sources.handle.chat(), unit), [unit])
        counts["tokens_asked"] += scores.tokens_asked
        counts["tokens_run"] += scores.tokens_run
        [logprobs] = scores.logprobs
        return logprobs  # type: ignore[no-any-return]

    def _tokens(self, chat: ChatRenderer, unit: EvalCase) -> tuple[list[list[int]], list[list[int]]]:
        """The prompts and statements of a unit as tokens."""
        prompts = [chat.encode(prompt, unit.system) for prompt in self.task.params.prompts]
        return prompts, [chat.reply(text) for text in self.texts]

    def _part(self, unit: EvalCase) -> str:
        return part_key({**self._shared, **self.task.told(unit)})

    @cached_property
    def _shared(self) -> dict[str, Any]:
        """What every unit's log-probabilities depend on."""
        return {
            "stage": Evaluate.command,
            "reading": STATEMENTS,
            "version": STATEMENTS_VERSION,
            **self.task.run,
            "statements": self.texts,
            "prompts": list(self.task.params.prompts),
        }
