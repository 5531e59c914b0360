"""What an evaluation computes: the answers of each reading, their rows and metrics, and the files of its results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pasctl.evaluation.alphas import ORACLE
from pasctl.evaluation.intervals import FEWEST
from pasctl.evaluation.readings import STATEMENTS
from pasctl.evaluation.units import unit_table
from pasctl.stages.job import Payload, StageContext
from pasctl.stages.questionnaire import EvaluationTask
from pasctl.stages.side_effects import FILE as SIDE_EFFECTS
from pasctl.stages.statement_answers import TENSOR
from pasctl.stages.unit_answers import Evaluation, ask

if TYPE_CHECKING:
    from pasctl.evaluation.rows import Rows


def evaluation_payload(work: StageContext, *, evaluation: Evaluation) -> Payload:
    """Put all units to the model and give the files of the results."""
    from pasctl.evaluation.differences import differences_table
    from pasctl.evaluation.metrics import metrics_table
    from pasctl.evaluation.rows import to_arrow, to_table

    task, statements = evaluation.task, evaluation.statements
    count = len(task.units) + (len(statements.units) if statements else 0)
    counts = {"units": count, "units_reused": 0, "tokens_asked": 0, "tokens_run": 0}
    answers, scored = ask(work, evaluation, counts) if task.units else {}, []
    files: dict[str, Any] = {"units.json": _told_units(evaluation)}
    tensors: dict[str, Any] = {}
    if task.units:
        scored.append(letter_rows(task, answers))
        tensors["level_logprobs"] = np.stack([answers[key] for key in task.distinct])
    if statements is not None:
        said = statements.ask(work, counts)
        scored.append(statements.rows(said))
        tensors[TENSOR] = np.stack([said[key] for key in statements.distinct])
    if task.params.readings[0] == STATEMENTS:
        scored.reverse()
    rows = result_rows(task, scored)
    metrics: dict[str, Any] = {
        "coding": task.steering.personas.coding,
        "conditions": metrics_table(rows, traits=task.inventory.trait_codes),
        "differences": differences_table(rows),
    }
    files |= {"rows.parquet": to_table(rows), "metrics.json": metrics, "answers.safetensors": tensors}
    if task.engine:
        work.provenance["engine"] = {"name": task.engine, "off": evaluation.sources.proof}
    if notes := result_notes(task, statements is not None) + engine_notes(evaluation):
        metrics["notes"] = notes
    if evaluation.choice is not None:
        metrics["choice"] = evaluation.choice
    if shifts := _shifts(rows, task.inventory.trait_codes):
        metrics["trait_shifts"] = shifts
    if evaluation.effects is not None and evaluation.effects.runs:
        found = evaluation.effects.measure(work, counts)
        table = evaluation.effects.rows(found)
        metrics["side_effects"] = evaluation.effects.summary(found, table)
        files["side_effects.parquet"] = to_arrow(table)
        files[SIDE_EFFECTS] = found
    if evaluation.texts is not None:
        from pasctl.evaluation.audit import audit_table

        generated = evaluation.texts.rows(work, answers)
        metrics["audit"] = audit_table(generated)
        files["audit.parquet"] = to_arrow(generated)
        counts["answers_written"] = len(generated)
    work.provenance["counts"] = counts
    return files


def _told_units(evaluation: Evaluation) -> dict[str, Any]:
    """What stands beside the numbers of `answers.safetensors`."""
    task = evaluation.task
    told = {
        "parts": list(task.distinct),
        "orders": list(task.params.orders),
        "items": [task.inventory.items[place].id for place in task.inventory.indices("report")],
        "inventory": task.inventory.digest,
        "personas": task.steering.personas.to_json(),
    }
    return told if evaluation.statements is None else told | {STATEMENTS: evaluation.statements.told()}


def _shifts(rows: Rows, traits: Sequence[str]) -> list[dict[str, Any]]:
    """Trait shifts of each reading."""
    from pasctl.evaluation.trait_shifts import trait_shifts

    readings = [reading for reading in rows["reading"].unique() if reading]
    return [
        {"reading": reading, **row}
        for reading in readings
        for row in trait_shifts(rows[rows["reading"] == reading], traits)
    ]


def letter_rows(task: EvaluationTask, answers: Mapping[str, NDArray[np.float32]]) -> Rows:
    """Rows of every unit that letters are read of.

    Args:
        task: the questionnaire.
        answers: part key -> log-probabilities of options [orders, items, K].
    """
    from pasctl.evaluation.rows import answer_rows, item_table

    personas, report = task.steering.personas, task.inventory.indices("report")
    units = [unit for unit, _ in task.units]
    return answer_rows(
        unit_table(units, personas.ids),
        item_table(task.inventory).iloc[report],
        personas.agreements[[unit.persona for unit in units]][:, report],
        np.stack([answers[key] for _, key in task.units]),
        task.inventory.level_scores[report],
    )


def result_rows(task: EvaluationTask, scored: list[Rows]) -> Rows:
    """Rows of each reading's units, of the oracle if it is asked for, and of the baselines that need no model."""
    import pandas as pd

    from pasctl.evaluation.baselines import baseline_rows
    from pasctl.evaluation.oracle import oracle_rows
    from pasctl.evaluation.rows import item_table

    inventory, personas = task.inventory, task.steering.personas
    tables = []
    for rows in scored:
        tables.append(rows)
        if ORACLE in task.params.alphas and (rows["setting"] != "").any():
            tables.append(oracle_rows(rows))
    fit, report = inventory.indices("fit"), inventory.indices("report")
    tables.append(baseline_rows(personas.ids, personas.agreements, item_table(inventory), fit, report))
    return pd.concat(tables, ignore_index=True)


def engine_notes(evaluation: Evaluation) -> list[str]:
    """What an engine answered, and what was computed by the model here, in words."""
    task, effects = evaluation.task, evaluation.effects
    if not task.engine:
        return []
    asked = [*task.units, *(evaluation.statements.units if evaluation.statements else ())]
    by_engine = sum(task.on_engine(unit) for unit, _ in asked)
    own = list(dict.fromkeys(unit.condition for unit, _ in asked if not task.on_engine(unit)))
    own += ["side effects"] if effects is not None and effects.runs else []
    own += ["the audit"] if evaluation.texts is not None else []
    rest = f"; computed by transformers here: {', '.join(own)}" if own else ""
    return [f"{by_engine} of {len(asked)} units answered by {task.engine}{rest}"]


def result_notes(task: EvaluationTask, statements: bool) -> list[str]:
    """What results lack or are limited to, in words."""
    people, sampled = len(task.steering.personas.ids), len(task.sample)
    notes = []
    if people < FEWEST:
        notes.append(f"{people} personas: no intervals and no distinctive r, they need at least {FEWEST}")
    if statements and people == 1:
        notes.append("one persona: statements are calibrated on its own fit items, for there are no other persons'")
    if sampled < people:
        others = "".join(f", and reading {reading}" for reading in task.params.readings[1:])
        notes.append(f"prompts and controls{others}: {sampled} of the {people} personas, drawn by the seed")
    return notes
