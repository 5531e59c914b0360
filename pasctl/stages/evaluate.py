"""directions + personas + model -> results: what the model answers, told or steered, beside baselines."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pasctl.activations.plan import DEFAULT_BATCH_TOKENS, plan_tokens
from pasctl.errors import InputError
from pasctl.evaluation.alphas import parse_alphas
from pasctl.evaluation.conditions import parse_conditions
from pasctl.inventory import wording_digest
from pasctl.stages.fit_directions import read_selection
from pasctl.stages.model import ModelHandle, ModelOptions, model_of_artifact
from pasctl.stages.progress import Reporter
from pasctl.stages.questionnaire import STAGE, EvalParams, Questionnaire, Scorer, earlier_answers, result_rows
from pasctl.stages.runner import (
    Artifact,
    Job,
    Outcome,
    Payload,
    Store,
    Work,
    find_input,
    open_store,
    run_job,
)

if TYPE_CHECKING:
    from pasctl.models.identity import ModelSource
    from pasctl.models.load import LoadedModel

AUTO = "auto"


def evaluate(
    *,
    directions: str | Artifact | None = None,
    model: str | ModelSource | LoadedModel | ModelHandle | None = None,
    alpha: float | str | Sequence[float] = 4.0,
    modes: str | None = None,
    positions: str | None = None,
    option_order: str = "forward",
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
        alpha: strength, or several: 4.0, "0,1,2,4" or a sequence; "auto" takes the one that was chosen on validation
            items when the directions were fitted with select="steering".
        modes: comma list of condition names; None is all of them.
        positions: steer at "all" positions or only at the "answer"; None as the directions were selected, else all.
        option_order: "forward", or "both" to average over the scale forward and reversed.
        seed: of the random directions.
        batch_tokens: bound on the tokens of one forward pass; not part of the key.
        options: how to load the model.
        store: the store or its folder.
        reporter: receives notes and progress.
        dry_run: say what would be done and do nothing.

    Raises:
        InputError: alpha that is no number or was not chosen, an unknown mode, another model than the directions'.
        MissingError: there are no directions that fit.
    """
    conditions = parse_conditions(modes)
    alphas = None if alpha == AUTO else parse_alphas(alpha)
    opened = open_store(store)
    given = ModelHandle.of(model, options) if model is not None else None
    source = find_input(
        opened,
        "directions",
        directions,
        fits=lambda artifact: given is None or artifact.document["model"] == given.identity,
        wanted=f"of {given.source.spec}" if given else "",
    )
    selection = read_selection(source)
    if alphas is None and selection is None:
        raise InputError(
            f"alpha is {AUTO}, but {source.name} was not selected by steering",
            hint="fit it with --select steering, or give a number",
        )
    chosen = selection or {"alpha": None, "positions": "all"}
    params = EvalParams(conditions, alphas or (chosen["alpha"],), positions or chosen["positions"], option_order)
    handle = model_of_artifact(source, given, options)
    handle.require(source.document["model"], source.name)
    task = Questionnaire(source, params, handle.identity, handle.numerics(seed))
    job = Job(
        stage=STAGE,
        model=source.model,
        label=source.label,
        params={**params.to_json(), "wording": wording_digest()},
        inputs={"directions": source},
        identity=handle.identity,
        numerics=handle.numerics(seed),
        compute=partial(_compute, task=task, handle=handle, batch_tokens=batch_tokens),
        provenance={
            "model": handle.provenance(),
            "coding": source.provenance.get("coding"),
            "batch_tokens": batch_tokens,
        },
        parts=lambda: tuple(task.distinct),
        estimate=lambda: _estimate(task, handle, opened),
    )
    return run_job(opened, job, reporter=reporter, dry_run=dry_run)


def _estimate(task: Questionnaire, handle: ModelHandle, store: Store) -> dict[str, int]:
    """Units and tokens of a run, from the tokenizer alone; what a system text adds is measured on one question."""
    held = store.find_parts(list(task.distinct))
    missing = [unit for key, unit in task.distinct.items() if key not in held]
    chat = handle.chat()
    plain = [chat.encode(text) for text in task.questions]
    plan = plan_tokens(plain)
    extra = [len(chat.encode(task.questions[0], unit.system)) - len(plain[0]) for unit in missing]
    return {
        "units": len(task.units),
        "units_to_run": len(missing),
        "tokens_asked": len(missing) * plan.tokens_asked + len(plain) * sum(extra),
        "tokens_run": len(missing) * plan.tokens_run + sum(extra),
    }


def _compute(work: Work, *, task: Questionnaire, handle: ModelHandle, batch_tokens: int) -> Payload:
    from pasctl.evaluation.differences import differences_table
    from pasctl.evaluation.metrics import metrics_table
    from pasctl.evaluation.rows import to_table

    distinct = task.distinct
    answers = earlier_answers(work, list(distinct))
    counts = {"units": len(task.units), "units_reused": len(answers), "tokens_asked": 0, "tokens_run": 0}
    scorer: Scorer | None = None
    with work.reporter.progress("eval", len(distinct), "units") as advance:
        for key, unit in distinct.items():
            name = f"parts/{key}.safetensors"
            if key not in answers and work.has(name):
                answers[key] = work.read_tensors(name)["level_logprobs"]
                counts["units_reused"] += 1
            elif key not in answers:
                scorer = scorer or Scorer(handle.load(work.reporter), task, batch_tokens)
                answers[key] = scorer.answer(unit, counts)
                work.write(name, {"level_logprobs": answers[key]})
            advance(1)
    work.provenance["counts"] = counts
    rows = result_rows(task, answers)
    return {
        "rows.parquet": to_table(rows),
        "metrics.json": {
            "coding": task.steering.personas.coding,
            "conditions": metrics_table(rows),
            "differences": differences_table(rows),
        },
        "answers.safetensors": {"level_logprobs": np.stack([answers[key] for key in distinct])},
        "units.json": {
            "parts": list(distinct),
            "orders": list(task.params.orders),
            "items": [task.inventory.items[place].id for place in task.inventory.indices("report")],
            "personas": task.steering.personas.to_json(),
        },
    }


def export_published_log(results: Artifact, path: str | Path) -> Path:
    """Write the log layout of the published code (`score`, `mean`, `std` per trait) and give its path.

    Args:
        results: of an evaluation that has the condition "pas".
        path: a file, or a folder that gets the published name `PAS_<model>_OOD.json`.

    Raises:
        InputError: the results do not hold the condition pas at exactly one strength.
    """
    from pasctl.evaluation.export_log import log_name, published_log, write_log
    from pasctl.evaluation.rows import from_table

    alphas = results.params["alphas"]
    if "pas" not in results.params["conditions"] or len(alphas) != 1:
        raise InputError(f"{results.name} does not hold the condition pas at one strength, which a log is about")
    target = Path(path)
    if target.is_dir():
        target = target / log_name("pas", results.model)
    write_log(target, published_log(from_table(results.read_table("rows.parquet")), "pas", alphas[0]))
    return target
