"""directions + personas + model -> results: what the model answers, told or steered, beside baselines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pasctl.activations.plan import DEFAULT_BATCH_TOKENS, FORKS, TokenPlan, plan_tokens
from pasctl.errors import InputError
from pasctl.evaluation.alphas import AUTO, Alphas, alpha_text, parse_alphas, parse_settings
from pasctl.evaluation.bootstrap import FEWEST
from pasctl.evaluation.conditions import is_steered, parse_conditions
from pasctl.evaluation.defaults import CONTROL_DRAWS, FOLDS, TRIED_ALPHAS
from pasctl.evaluation.units import Unit
from pasctl.inventory import draw_orders, load_prose, wording_digest
from pasctl.stages.choose_alpha import (
    choose_alpha,
    chosen_alphas,
    default_positions,
    find_directions,
    require_fitting,
    require_scope,
    told_choice,
)
from pasctl.stages.model import ModelHandle, ModelOptions, model_of_artifact
from pasctl.stages.neutral import Neutral
from pasctl.stages.progress import Reporter
from pasctl.stages.questionnaire import STAGE, EvalParams, Questionnaire, Scorer, earlier_answers, result_rows
from pasctl.stages.runner import Artifact, Job, Outcome, Payload, Store, Work, open_store, run_job
from pasctl.stages.side_effects import FILE as SIDE_EFFECTS
from pasctl.stages.side_effects import SideEffects
from pasctl.stages.steering import DirectionSet
from pasctl.stages.text_audit import TextAudit

if TYPE_CHECKING:
    from pasctl.models.identity import ModelSource
    from pasctl.models.load import LoadedModel

NO_TEXT = "none"


def evaluate(
    *,
    directions: str | Artifact | None = None,
    model: str | ModelSource | LoadedModel | ModelHandle | None = None,
    alpha: Alphas = 4.0,
    alphas: Alphas = TRIED_ALPHAS,
    alpha_scope: str = "persona",
    budget_kl: float | None = None,
    folds: int = FOLDS,
    strengths: str | Artifact | None = None,
    modes: str | None = None,
    positions: str | None = None,
    option_orders: int = 1,
    control_draws: int = CONTROL_DRAWS,
    prose: str | None = None,
    neutral_text: str = "builtin",
    audit: int = 0,
    seed: int = 0,
    batch_tokens: int = DEFAULT_BATCH_TOKENS,
    options: ModelOptions | None = None,
    store: Store | Path | str = "artifacts",
    reporter: Reporter | None = None,
    dry_run: bool = False,
) -> Outcome:
    """Answer the report items under every condition and compare with each persona's own answers (design section 6).

    Args:
        directions: which to read; None takes the latest that fits the model.
        model: None takes the model the directions were fitted on, from where it was found then.
        alpha: strength, or several: 4.0, "0,1,2,4" or a sequence. "auto" is chosen by cross-validation on the fit
            items, see `choose_alpha`. "oracle" is, for each persona, the one of lowest error on the very items that are
            reported: an upper bound to compare with, and labelled so.
        alphas: what auto chooses from, and an oracle if no numbers are given; 0 is among them.
        alpha_scope: auto chooses for each "persona", or one alpha for the "population".
        budget_kl: auto chooses nothing that moves the model further on neutral text, KL(unsteered || steered) in nats
            a token.
        folds: of the cross-validation.
        strengths: a cross-validation to take the choice from; None looks it up or makes it.
        modes: comma list of condition names; None is all of them.
        positions: steer at "all" positions or only at the "answer"; None as the directions were selected, else all.
        option_orders: in how many orders the options are shown; probabilities are averaged over them. The second is
            the reverse, further ones are rotations drawn by the seed.
        control_draws: random directions that each persona is steered along.
        prose: descriptions of the personas for the condition given-prose: "papi:DIR", or a JSON file.
        neutral_text: "builtin" or a text file, on which side effects are measured; "none" measures none.
        audit: answers that are generated as text and compared.
        seed: of the random directions, the folds, the orders and the audit.
        batch_tokens: bound on the tokens of one forward pass; not part of the key.
        options: how to load the model.
        store: the store or its folder.
        reporter: receives notes and progress.
        dry_run: say what would be done and do nothing. If alpha must be chosen first, that is said.

    Raises:
        InputError: alpha that is no number, alphas without 0, an unknown mode, another model than the directions'.
        MissingError: there are no directions that fit.
    """
    conditions = parse_conditions(modes, prose=prose is not None)
    settings = parse_settings(alpha, parse_alphas(alphas))
    if AUTO not in settings and (budget_kl is not None or strengths is not None):
        raise InputError("a KL budget and strengths are for alpha auto", hint="say --alpha auto")
    if audit < 0:
        raise InputError(f"audit: expected a number of answers, found {audit}")
    opened = open_store(store)
    given = ModelHandle.of(model, options) if model is not None else None
    source = find_directions(opened, directions, given)
    told = None if prose is None else load_prose(prose, DirectionSet.read(source).personas.ids)
    orders = draw_orders(option_orders, seed)
    params = EvalParams(conditions, settings, positions or default_positions(source), orders, control_draws, told)
    handle = model_of_artifact(source, given, options)
    handle.require(source.document["model"], source.name)
    neutral = None if neutral_text == NO_TEXT else Neutral.read(neutral_text)
    inputs: dict[str, Artifact] = {"directions": source}
    chosen: NDArray[np.float64] | None = None
    choice: dict[str, Any] | None = None
    if AUTO in settings and any(map(is_steered, conditions)):
        require_scope(alpha_scope, budget_kl)
        if strengths is None:
            made = choose_alpha(
                directions=source,
                model=handle,
                alphas=alphas,
                folds=folds,
                positions=params.positions,
                neutral_text="builtin" if neutral is None else neutral_text,
                seed=seed,
                batch_tokens=batch_tokens,
                store=opened,
                reporter=reporter,
                dry_run=dry_run,
            )
            if made.artifact is None:
                return made
            strengths = made.artifact
        held = strengths if isinstance(strengths, Artifact) else opened.resolve(strengths, "strengths")
        require_fitting(held, source, params.positions)
        chosen, choice = chosen_alphas(held, alpha_scope, budget_kl), told_choice(held, alpha_scope, budget_kl)
        inputs["strengths"] = held
    task = Questionnaire(source, params, handle.identity, handle.numerics(seed), chosen)
    effects = SideEffects(task, neutral, handle, batch_tokens) if neutral is not None else None
    texts = TextAudit(task, audit, handle, seed, batch_tokens) if audit else None
    evaluation = _Evaluation(task, handle, batch_tokens, choice, effects, texts)
    job = Job(
        stage=STAGE,
        model=source.model,
        label=source.label,
        params={
            **params.to_json(),
            "choice": choice and {"scope": alpha_scope, "budget_kl": budget_kl},
            "side_effects": effects and effects.params,
            "audit": audit,
            "wording": wording_digest(),
        },
        inputs=inputs,
        identity=handle.identity,
        numerics=handle.numerics(seed),
        compute=partial(_compute, evaluation=evaluation),
        provenance={
            "model": handle.provenance(),
            "coding": source.provenance.get("coding"),
            "neutral_text": neutral and neutral.name,
            "batch_tokens": batch_tokens,
        },
        parts=lambda: (*task.distinct, *(effects.runs if effects else ())),
        estimate=lambda: _estimate(evaluation, opened),
    )
    return run_job(opened, job, reporter=reporter, dry_run=dry_run)


@dataclass(frozen=True, eq=False)
class _Evaluation:
    """What is asked of the model, and by whom.

    Attributes:
        task: the questionnaire.
        handle: the model.
        batch_tokens: bound on the tokens of one forward pass.
        choice: how alpha was chosen, None where it was given.
        effects: what else is measured; None for nothing.
        texts: answers to be generated; None for none.
    """

    task: Questionnaire
    handle: ModelHandle
    batch_tokens: int
    choice: dict[str, Any] | None
    effects: SideEffects | None
    texts: TextAudit | None


def _estimate(evaluation: _Evaluation, store: Store) -> dict[str, int]:
    """Units and tokens of a run, from tokenizer and config alone; what a system text adds is measured on one item."""
    task, handle = evaluation.task, evaluation.handle
    held = store.find_parts(list(task.distinct))
    missing = {key: unit for key, unit in task.distinct.items() if key not in held}
    chat, own_mask = handle.chat(), handle.takes_masks()
    plain = [chat.encode(text) for text in task.questions]
    plans: dict[int, TokenPlan] = {}
    asked = run = 0
    for keys in _together(missing, task.params.positions if own_mask else "all"):
        count, system = len(keys), missing[keys[0]].system
        if count not in plans:
            plans[count] = plan_tokens([prompt for prompt in plain for _ in keys], own_mask=own_mask)
        told = len(chat.encode(task.questions[0], system)) - len(plain[0])
        asked += plans[count].tokens_asked + told * len(plain) * count
        run += plans[count].tokens_run + told
    planned = {"units": len(task.units), "units_to_run": len(missing), "tokens_asked": asked, "tokens_run": run}
    if evaluation.effects is not None:
        runs = list(evaluation.effects.runs)
        planned["side_effects_to_measure"] = len(runs) - len(store.find_parts(runs))
    if evaluation.texts is not None:
        planned["answers_to_write"] = len(evaluation.texts.cells)
    return planned


def _compute(work: Work, *, evaluation: _Evaluation) -> Payload:
    from pasctl.evaluation.differences import differences_table
    from pasctl.evaluation.metrics import metrics_table
    from pasctl.evaluation.rows import to_arrow, to_table
    from pasctl.evaluation.trait_shifts import trait_shifts

    task = evaluation.task
    counts = {"units": len(task.units), "units_reused": 0, "tokens_asked": 0, "tokens_run": 0}
    answers = _answers(work, evaluation, counts)
    rows = result_rows(task, answers)
    people = len(task.steering.personas.ids)
    metrics: dict[str, Any] = {
        "coding": task.steering.personas.coding,
        "conditions": metrics_table(rows),
        "differences": differences_table(rows),
    }
    files: dict[str, Any] = {
        "rows.parquet": to_table(rows),
        "metrics.json": metrics,
        "answers.safetensors": {"level_logprobs": np.stack([answers[key] for key in task.distinct])},
        "units.json": {
            "parts": list(task.distinct),
            "orders": list(task.params.orders),
            "items": [task.inventory.items[place].id for place in task.inventory.indices("report")],
            "inventory": task.inventory.digest,
            "personas": task.steering.personas.to_json(),
        },
    }
    if people < FEWEST:
        metrics["notes"] = [f"{people} personas: no intervals, they need at least {FEWEST}"]
    if evaluation.choice is not None:
        metrics["choice"] = evaluation.choice
    if shifts := trait_shifts(rows):
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
        counts["answers_written"] = len(generated["text"])
    work.provenance["counts"] = counts
    return files


def _answers(work: Work, evaluation: _Evaluation, counts: dict[str, int]) -> dict[str, NDArray[np.float32]]:
    """Part key -> log-probabilities for agreement 1..5 [orders, items, 5], asked where no result holds them."""
    task = evaluation.task
    distinct = task.distinct
    answers = earlier_answers(work, list(distinct))
    counts["units_reused"] += len(answers)
    missing = {key: unit for key, unit in distinct.items() if key not in answers}
    scorer: Scorer | None = None
    with work.reporter.progress("eval", len(distinct), "units") as advance:
        advance(len(answers))
        # together as in a run that nobody interrupts, whatever is there already: a resumed one comes to the same bits
        for keys in _together(missing, task.params.positions):
            if all(work.has(_part(key)) for key in keys):
                answers |= {key: work.read_tensors(_part(key))["level_logprobs"] for key in keys}
                counts["units_reused"] += len(keys)
            else:
                scorer = scorer or Scorer(evaluation.handle.load(work.reporter), task, evaluation.batch_tokens)
                found = scorer.answer([missing[key] for key in keys], counts)
                for key, level_logprobs in zip(keys, found, strict=True):
                    answers[key] = level_logprobs
                    work.write(_part(key), {"level_logprobs": level_logprobs})
            advance(len(keys))
    return answers


def _part(key: str) -> str:
    return f"parts/{key}.safetensors"


def _together(units: dict[str, Unit], positions: str) -> Iterator[list[str]]:
    """Part keys of units that are answered in one pass: told the same and, at the answer alone, steered differently."""
    by_told: dict[str | None, list[str]] = {}
    for key, unit in units.items():
        by_told.setdefault(unit.system, []).append(key)
    size = FORKS if positions == "answer" else 1
    for keys in by_told.values():
        yield from (keys[start : start + size] for start in range(0, len(keys), size))


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
    if "pas" not in results.params["conditions"] or len(alphas) != 1:
        raise InputError(f"{results.name} does not hold the condition pas at one strength, which a log is about")
    target = Path(path)
    if target.is_dir():
        target = target / log_name("pas", results.model)
    write_log(target, published_log(from_table(results.read_table("rows.parquet")), "pas", alpha_text(alphas[0])))
    return target
