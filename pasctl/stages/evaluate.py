"""directions + personas + model -> results: what the model answers, told or steered, beside baselines."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pasctl.commands.choose_alpha import ChooseAlpha
from pasctl.commands.evaluate import Evaluate
from pasctl.contrasts.questions import self_reports
from pasctl.errors import InputError
from pasctl.evaluation.alphas import AUTO, alpha_text, parse_alphas, parse_settings
from pasctl.evaluation.conditions import is_steered, parse_conditions
from pasctl.evaluation.defaults import CONTROL_PEOPLE
from pasctl.evaluation.readings import LETTERS, STATEMENTS
from pasctl.inventory import Inventory, draw_orders, load_prose, wording_digest
from pasctl.stages.answer_sources import AnswerSources, engine_client
from pasctl.stages.choose_alpha import (
    choice_record,
    chosen_alphas,
    default_positions,
    find_directions,
    latest_alphas,
    require_fitting,
    require_scope,
)
from pasctl.stages.evaluation_payload import evaluation_payload
from pasctl.stages.job import Job, Outcome, Stage
from pasctl.stages.model import ModelHandle
from pasctl.stages.neutral import Neutral
from pasctl.stages.persona_slice import PersonaSlice
from pasctl.stages.questionnaire import EvalParams, EvaluationTask
from pasctl.stages.reading_choice import chosen_readings
from pasctl.stages.run import Run, function_of
from pasctl.stages.runner import Artifact, Store, open_store
from pasctl.stages.side_effects import SideEffects
from pasctl.stages.statement_answers import StatementTask
from pasctl.stages.stored_personas import StoredPersonas
from pasctl.stages.text_audit import TextAudit
from pasctl.stages.unit_answers import Evaluation, estimate

NO_TEXT = "none"


def plan(declared: Evaluate, run: Run) -> Job | Outcome:
    """Answer the report items under every condition and compare with each persona's own answers (design section 6).

    `alpha` is one strength or several: 4.0, "0,1,2,4" or a sequence. "auto" is chosen by cross-validation on the fit
    items, which is done first where it was not done before; "oracle" is, per persona, the alpha of lowest error on the
    very items that are reported.

    Returns:
        The job; or, of a dry run, the outcome of the cross-validation that must be done first.
    """
    conditions = parse_conditions(declared.modes, prose=declared.prose is not None)
    settings = parse_settings(declared.alpha, parse_alphas(declared.alphas))
    _require_sense(declared, settings)
    source = find_directions(run, declared)
    client = engine_client(declared, source)
    part = None if declared.shard is None else PersonaSlice.parse(declared.shard)
    rows = None if part is None else part.rows(len(StoredPersonas.of(source)))
    handle = run.model_of(source, declared.model, declared.options)
    readings, check = chosen_readings(declared, run, source, handle)
    if declared.audit and LETTERS not in readings:
        raise InputError("an audit compares letters with text, letters are not read", hint="add --reading letters")
    params = _params(declared, source, conditions, settings, rows, readings)
    strengths: Artifact | None = None
    if AUTO in settings and any(map(is_steered, conditions)):
        made = _strengths(declared, run, source, handle, params.positions)
        if isinstance(made, Outcome):
            return made
        strengths = made
    writes = bool(declared.audit) or declared.neutral_text != NO_TEXT
    numerics = handle.numerics(declared.seed, writes=writes)
    chosen = _chosen(declared, strengths, rows)
    engine = "" if client is None else declared.engine
    task = EvaluationTask(source, params, handle.identity, numerics, chosen, rows, engine)
    sources = AnswerSources(task, handle, run.batch_tokens, client)
    evaluation = _evaluation(declared, run, sources, strengths)
    return Job(
        stage=Stage.of(Evaluate),
        model=source.model,
        label=source.label if part is None else part.label(source.label),
        params=declared.key(omit=("self_reports",), **_resolved(declared, evaluation, part)),
        inputs={"directions": source, **({} if strengths is None else {"strengths": strengths})},
        identity=handle.identity,
        numerics=numerics,
        compute=partial(evaluation_payload, evaluation=evaluation),
        provenance={
            "model": handle.provenance(),
            "coding": source.provenance.get("coding"),
            "neutral_text": evaluation.effects and evaluation.effects.neutral.name,
            "prose": declared.prose,
            "batch_tokens": run.batch_tokens,
            **({} if check is None else {"reading_check": check}),
        },
        parts=evaluation.parts,
        estimate=lambda: estimate(evaluation, run.store),
    )


def _params(
    declared: Evaluate,
    source: Artifact,
    conditions: tuple[str, ...],
    settings: tuple[float | str, ...],
    rows: NDArray[np.int64] | None,
    readings: tuple[str, ...],
) -> EvalParams:
    """What is evaluated, with everything that the options leave open."""
    prose = None if declared.prose is None else load_prose(declared.prose, StoredPersonas.of(source).rows(rows).ids)
    inventory = Inventory.from_json(source.read_json("items.json")["inventory"])
    return EvalParams(
        conditions,
        settings,
        declared.positions or default_positions(source),
        draw_orders(declared.option_orders, declared.seed, int(inventory.points.min())),
        declared.control_draws,
        prose,
        readings,
        declared.control_people or CONTROL_PEOPLE[readings[0]],
        declared.self_reports,
        self_reports(inventory),
    )


def _chosen(
    declared: Evaluate, strengths: Artifact | None, rows: NDArray[np.int64] | None
) -> NDArray[np.float64] | None:
    """Each persona's alpha under auto [P]; None where nothing was chosen."""
    if strengths is None:
        return None
    chosen = chosen_alphas(strengths, declared.alpha_scope, declared.budget_kl)
    return chosen if rows is None else chosen[rows]


def _evaluation(declared: Evaluate, run: Run, sources: AnswerSources, strengths: Artifact | None) -> Evaluation:
    """The questionnaire, with what else is measured."""
    task, handle = sources.task, sources.handle
    neutral = None if declared.neutral_text == NO_TEXT else Neutral.read(declared.neutral_text)
    return Evaluation(
        task,
        sources,
        # a slice of the personas may have none of whom a second reading is
        StatementTask(task, sources) if task.read_by(STATEMENTS) else None,
        None if strengths is None else choice_record(strengths, declared.alpha_scope, declared.budget_kl),
        None if neutral is None else SideEffects(task, neutral, handle, run.batch_tokens),
        TextAudit(task, declared.audit, handle, declared.seed, run.batch_tokens) if declared.audit else None,
    )


def _resolved(declared: Evaluate, evaluation: Evaluation, part: PersonaSlice | None) -> dict[str, Any]:
    """What enters the key in place of the options as they were given."""
    chosen = {"scope": declared.alpha_scope, "budget_kl": declared.budget_kl}
    return {
        **evaluation.task.params.to_json(),
        **({} if part is None else {"shard": [part.number, part.count]}),
        "choice": evaluation.choice and chosen,
        "side_effects": evaluation.effects and evaluation.effects.params,
        "wording": wording_digest(),
    }


evaluate = function_of(Evaluate)


def _require_sense(declared: Evaluate, settings: Sequence[float | str]) -> None:
    """Refuse options that contradict each other, before anything is read.

    Raises:
        InputError: options of alpha auto without it, or a log of several strengths.
    """
    if AUTO not in settings and declared.strengths is not None:
        raise InputError("strengths are for alpha auto", hint="use --alpha auto")
    if declared.export_log is not None and len(settings) > 1:
        raise InputError(f"--export-log writes one strength, alpha has {len(settings)}", hint="give one --alpha")


def _strengths(
    declared: Evaluate, run: Run, source: Artifact, handle: ModelHandle, positions: str
) -> Artifact | Outcome:
    """The cross-validation that alpha auto is chosen by: the one named, else made; of a dry run, what would be done."""
    require_scope(declared.alpha_scope, declared.budget_kl)
    strengths = declared.strengths
    if strengths is None:
        if latest_alphas(run.store, source, positions) is None:
            run.reporter.note(f"no alpha was chosen for {source.name} yet: choosing one first (choose-alpha)")
        outcome = run.make(
            ChooseAlpha(
                directions=source,
                model=handle,
                alphas=declared.alphas,
                folds=declared.folds,
                positions=positions,  # type: ignore[arg-type]
                neutral_text="builtin" if declared.neutral_text == NO_TEXT else declared.neutral_text,
                seed=declared.seed,
            )
        )
        if outcome.artifact is None:
            return outcome  # type: ignore[no-any-return]
        strengths = outcome.artifact
    chosen_by = strengths if isinstance(strengths, Artifact) else run.store.resolve(strengths, "strengths")
    require_fitting(chosen_by, source, positions)
    return chosen_by


def with_inputs(results: Artifact, store: Store | Path | str) -> list[Artifact]:
    """Results and what they were made from directly, as far as the store has it: what a page about them shows."""
    opened = open_store(store)
    inputs = (opened.lookup(source.key) for source in results.inputs.values())
    return [results, *(artifact for artifact in inputs if artifact is not None)]


def export_published_log(results: Artifact, path: str | Path) -> Path:
    """Write the log layout of the published code (`score`, `mean`, `std` per trait) and give its path.

    Args:
        results: of an evaluation that has the condition "pas".
        path: a file, or a folder that gets the published name `PAS_<model>_OOD.json`.

    Raises:
        InputError: the results do not hold the condition pas at exactly one setting of alpha.
    """
    from pasctl.evaluation.export_log import log_name, published_log, write_log
    from pasctl.evaluation.rows import from_table

    alphas = results.params["alphas"]
    letters = LETTERS in results.params.get("readings", [LETTERS])
    if not letters or "pas" not in results.params["conditions"] or len(alphas) != 1:
        raise InputError(
            f"{results.name} does not hold letters of the condition pas at one strength, which a log is about"
        )
    target = Path(path)
    if target.is_dir():
        target = target / log_name("pas", results.model)
    write_log(target, published_log(from_table(results.read_table("rows.parquet")), "pas", alpha_text(alphas[0])))
    return target
