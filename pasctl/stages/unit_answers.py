"""The units of an evaluation put to the model: what is missing, in which passes, and what a run would cost."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pasctl.activations.plan import FORKS
from pasctl.evaluation.units import EvalCase
from pasctl.inventory import option_names
from pasctl.stages.job import StageContext
from pasctl.stages.letter_answers import Scorer, earlier_answers
from pasctl.stages.model import ModelHandle
from pasctl.stages.questionnaire import EvaluationTask
from pasctl.stages.runner import Store
from pasctl.stages.side_effects import SideEffects
from pasctl.stages.statement_answers import StatementTask
from pasctl.stages.text_audit import TextAudit

if TYPE_CHECKING:
    from pasctl.evaluation.option_scoring import Cost


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What is asked of the model, and by whom.

    Attributes:
        task: the questionnaire.
        handle: the model.
        batch_tokens: bound on the tokens of one forward pass.
        statements: what is read of statements; None where they are not.
        choice: how alpha was chosen, None where it was given.
        effects: what else is measured; None for nothing.
        texts: answers to be generated; None for none.
    """

    task: EvaluationTask
    handle: ModelHandle
    batch_tokens: int
    statements: StatementTask | None
    choice: dict[str, Any] | None
    effects: SideEffects | None
    texts: TextAudit | None

    def parts(self) -> tuple[str, ...]:
        """Keys of the answers and side effects that the results hold."""
        statements = self.statements.distinct if self.statements else ()
        return (*self.task.distinct, *statements, *(self.effects.runs if self.effects else ()))


def estimate(evaluation: Evaluation, store: Store) -> dict[str, int]:
    """Units and tokens of a run, from tokenizer and config alone; what a system text adds is measured on one item."""
    readings = [_letters_estimate(evaluation, store)] if evaluation.task.units else []
    readings += [evaluation.statements.estimate(store)] if evaluation.statements else []
    planned = {
        name: sum(each[name] for each in readings) for name in ("units", "units_to_run", "tokens_asked", "tokens_run")
    }
    if planned["units_to_run"]:
        planned["memory_bytes"] = max(each.get("memory_bytes", 0) for each in readings)
    if evaluation.effects is not None:
        runs = list(evaluation.effects.runs)
        planned["side_effects_to_measure"] = len(runs) - len(store.find_parts(runs))
    if evaluation.texts is not None:
        planned["answers_to_write"] = len(evaluation.texts.cells)
    return planned


def _letters_estimate(evaluation: Evaluation, store: Store) -> dict[str, int]:
    """What reading letters takes."""
    from pasctl.evaluation.option_scoring import OptionPrompts, option_cost

    task, handle = evaluation.task, evaluation.handle
    held = store.find_parts(list(task.distinct))
    missing = {key: unit for key, unit in task.distinct.items() if key not in held}
    chat, own_mask, footprint = handle.chat(), handle.takes_masks(), handle.footprint()
    names = chat.option_ids(option_names(task.inventory))

    def cost_of(prompts: list[list[int]], count: int) -> Cost:
        asked = OptionPrompts(prompts, names, task.option_places)
        return option_cost(
            footprint, asked, interventions=count, batch_tokens=evaluation.batch_tokens, own_mask=own_mask
        )

    plain = [chat.encode(text) for text in task.questions]
    costs: dict[int, Cost] = {}
    asked = run = 0
    for keys in _together(missing, task.params.positions if own_mask else "all"):
        count, system = len(keys), missing[keys[0]].system
        if count not in costs:
            costs[count] = cost_of(plain, count)
        told = len(chat.encode(task.questions[0], system)) - len(plain[0])
        asked += costs[count].tokens_asked + told * len(plain) * count
        run += costs[count].tokens_run + told
    planned = {"units": len(task.units), "units_to_run": len(missing), "tokens_asked": asked, "tokens_run": run}
    if missing:
        longest = max((unit.system or "" for unit in missing.values()), key=len) or None
        told_most = cost_of([chat.encode(text, longest) for text in task.questions], 1)
        planned["memory_bytes"] = max(cost.memory_bytes for cost in (told_most, *costs.values()))
    return planned


def ask(work: StageContext, evaluation: Evaluation, counts: dict[str, int]) -> dict[str, NDArray[np.float32]]:
    """Part key -> log-probabilities of options [orders, items, K], asked where no result holds them."""
    task = evaluation.task
    distinct = task.distinct
    answers = earlier_answers(work, list(distinct))
    counts["units_reused"] += len(answers)
    missing = {key: unit for key, unit in distinct.items() if key not in answers}
    scorer: Scorer | None = None
    with work.reporter.progress("eval", len(distinct), "units") as advance, work.writing_behind() as write:
        advance(len(answers))
        # together as in a run that nobody interrupts, whatever is there already: a resumed one comes to the same bits
        for keys in _together(missing, task.params.positions):
            if all(work.has(_part(key)) for key in keys):
                answers |= {key: work.read_tensors(_part(key))["level_logprobs"] for key in keys}
                counts["units_reused"] += len(keys)
            else:
                scorer = scorer or Scorer(evaluation.handle.load(work.reporter), task, evaluation.batch_tokens)
                work.ready()
                found = scorer.answer([missing[key] for key in keys], counts)
                for key, level_logprobs in zip(keys, found, strict=True):
                    answers[key] = level_logprobs
                    write(_part(key), {"level_logprobs": level_logprobs})
            advance(len(keys))
    return answers


def _part(key: str) -> str:
    return f"parts/{key}.safetensors"


def _together(units: dict[str, EvalCase], positions: str) -> Iterator[list[str]]:
    """Part keys of units that are answered in one pass: told the same and, at the answer alone, steered differently."""
    by_told: dict[str | None, list[str]] = {}
    for key, unit in units.items():
        by_told.setdefault(unit.system, []).append(key)
    size = FORKS if positions == "answer" else 1
    for keys in by_told.values():
        yield from (keys[start : start + size] for start in range(0, len(keys), size))
