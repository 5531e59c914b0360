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
from pasctl.stages.answer_sources import AnswerSources
from pasctl.stages.job import StageContext
from pasctl.stages.letter_answers import Scorer, earlier_answers
from pasctl.stages.questionnaire import EvaluationTask
from pasctl.stages.runner import Store
from pasctl.stages.side_effects import SideEffects
from pasctl.stages.statement_answers import StatementTask
from pasctl.stages.text_audit import TextAudit

if TYPE_CHECKING:
    from pasctl.evaluation.option_scoring import Cost

_ENGINE_UNITS = 8  # that a server is asked at once; their answers are kept as they have all come


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What is asked of the model, and by whom.

    Attributes:
        task: the questionnaire.
        sources: who answers.
        statements: what is read of statements; None where they are not.
        choice: how alpha was chosen, None where it was given.
        effects: what else is measured; None for nothing.
        texts: answers to be generated; None for none.
    """

    task: EvaluationTask
    sources: AnswerSources
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
    if evaluation.task.engine:
        planned["units_on_engine"] = sum(each["units_on_engine"] for each in readings)
    if evaluation.effects is not None:
        runs = list(evaluation.effects.runs)
        planned["side_effects_to_measure"] = len(runs) - len(store.find_parts(runs))
    if evaluation.texts is not None:
        planned["answers_to_write"] = len(evaluation.texts.cells)
    return planned


def _letters_estimate(evaluation: Evaluation, store: Store) -> dict[str, int]:
    """What reading letters takes."""
    from pasctl.evaluation.option_scoring import OptionPrompts, option_cost

    task, handle, batch_tokens = evaluation.task, evaluation.sources.handle, evaluation.sources.batch_tokens
    held = store.find_parts(list(task.distinct))
    missing = {key: unit for key, unit in task.distinct.items() if key not in held}
    chat, own_mask, footprint = handle.chat(), handle.takes_masks(), handle.footprint()
    names = chat.option_ids(option_names(task.inventory))

    def cost_of(prompts: list[list[int]], count: int) -> Cost:
        asked = OptionPrompts(prompts, names, task.option_places)
        return option_cost(footprint, asked, interventions=count, batch_tokens=batch_tokens, own_mask=own_mask)

    plain = [chat.encode(text) for text in task.questions]
    costs: dict[int, Cost] = {}
    asked = run = 0
    for keys in _together(missing, task, "answer" if own_mask and task.params.positions == "answer" else "all"):
        count, system = len(keys), missing[keys[0]].system
        if count not in costs:
            costs[count] = cost_of(plain, count)
        told = len(chat.encode(task.questions[0], system)) - len(plain[0])
        wanted = costs[count].tokens_asked + told * len(plain) * count
        asked += wanted
        # a server reads each prompt of its own
        run += wanted if task.on_engine(missing[keys[0]]) else costs[count].tokens_run + told
    planned = {"units": len(task.units), "units_to_run": len(missing), "tokens_asked": asked, "tokens_run": run}
    planned["units_on_engine"] = sum(map(task.on_engine, missing.values()))
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
        for keys in _together(missing, task, task.params.positions):
            if all(work.has(_part(key)) for key in keys):
                answers |= {key: work.read_tensors(_part(key))["level_logprobs"] for key in keys}
                counts["units_reused"] += len(keys)
            else:
                units = [missing[key] for key in keys]
                source = evaluation.sources.of(units, work.reporter)
                scorer = scorer or Scorer(evaluation.sources.handle.chat(), task)
                work.ready()
                found = scorer.answer(source, units, counts)
                for key, level_logprobs in zip(keys, found, strict=True):
                    answers[key] = level_logprobs
                    write(_part(key), {"level_logprobs": level_logprobs})
            advance(len(keys))
    return answers


def _part(key: str) -> str:
    return f"parts/{key}.safetensors"


def _together(units: dict[str, EvalCase], task: EvaluationTask, positions: str) -> Iterator[list[str]]:
    """Part keys of units that are answered in one pass: told the same and, at the answer alone, steered differently.

    A server answers some at once, however they are steered.
    """
    alike: dict[tuple[str | None, bool], list[str]] = {}
    for key, unit in units.items():
        alike.setdefault((unit.system, task.on_engine(unit)), []).append(key)
    for (_, on_engine), keys in alike.items():
        size = _ENGINE_UNITS if on_engine else FORKS if positions == "answer" else 1
        yield from (keys[start : start + size] for start in range(0, len(keys), size))
