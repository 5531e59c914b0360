"""directions + personas + model -> results: what the model answers, told or steered, beside baselines."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pasctl.activations.plan import DEFAULT_BATCH_TOKENS
from pasctl.errors import InputError
from pasctl.evaluation.alphas import AUTO, Alphas, alpha_text, parse_alphas, parse_settings
from pasctl.evaluation.conditions import is_steered, parse_conditions
from pasctl.evaluation.defaults import CONTROL_DRAWS, FOLDS, TRIED_ALPHAS
from pasctl.evaluation.intervals import FEWEST
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
from pasctl.stages.kept_personas import KeptPersonas
from pasctl.stages.model import ModelHandle, ModelOptions, model_of_artifact
from pasctl.stages.neutral import Neutral
from pasctl.stages.persona_slice import PersonaSlice
from pasctl.stages.progress import Reporter
from pasctl.stages.questionnaire import STAGE, EvalParams, Questionnaire, result_rows
from pasctl.stages.runner import Artifact, Job, Outcome, Payload, Store, Work, open_store, run_job
from pasctl.stages.side_effects import FILE as SIDE_EFFECTS
from pasctl.stages.side_effects import SideEffects
from pasctl.stages.text_audit import TextAudit
from pasctl.stages.unit_answers import Evaluation, ask, estimate

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
    shard: str | None = None,
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
        shard: "I/N" evaluates the I-th of N slices of the directions' personas, as results of their own; baselines that
            learn from other persons then know this slice's; alpha "auto" is chosen on all personas as ever. When all
            slices are there, an evaluation without `shard` takes their answers and asks nothing.
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
    kept = KeptPersonas.of(source)
    part = None if shard is None else PersonaSlice.parse(shard)
    rows = None if part is None else part.rows(len(kept))
    told = None if prose is None else load_prose(prose, kept.rows(rows).ids)
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
        chosen = chosen if rows is None else chosen[rows]
        inputs["strengths"] = held
    task = Questionnaire(source, params, handle.identity, handle.numerics(seed), chosen, rows)
    effects = SideEffects(task, neutral, handle, batch_tokens) if neutral is not None else None
    texts = TextAudit(task, audit, handle, seed, batch_tokens) if audit else None
    evaluation = Evaluation(task, handle, batch_tokens, choice, effects, texts)
    job = Job(
        stage=STAGE,
        model=source.model,
        label=source.label if part is None else part.label(source.label),
        params={
            **params.to_json(),
            **({} if part is None else {"shard": [part.number, part.count]}),
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
        estimate=lambda: estimate(evaluation, opened),
    )
    return run_job(opened, job, reporter=reporter, dry_run=dry_run)


def _compute(work: Work, *, evaluation: Evaluation) -> Payload:
    from pasctl.evaluation.differences import differences_table
    from pasctl.evaluation.metrics import metrics_table
    from pasctl.evaluation.rows import to_arrow, to_table
    from pasctl.evaluation.trait_shifts import trait_shifts

    task = evaluation.task
    counts = {"units": len(task.units), "units_reused": 0, "tokens_asked": 0, "tokens_run": 0}
    answers = ask(work, evaluation, counts)
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
        counts["answers_written"] = len(generated)
    work.provenance["counts"] = counts
    return files


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
