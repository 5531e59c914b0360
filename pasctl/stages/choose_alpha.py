"""directions + activations + probes + model -> strengths: how near answers come at each alpha, on items held out."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pasctl.commands.choose_alpha import ChooseAlpha
from pasctl.commands.shared import OfDirections
from pasctl.errors import InputError
from pasctl.evaluation.alphas import parse_alphas
from pasctl.evaluation.choice import RULE, SCOPES, choose_alphas
from pasctl.evaluation.defaults import BUDGET_KL
from pasctl.inventory import wording_digest
from pasctl.stages.cross_validation import ChoiceParams, CrossValidation
from pasctl.stages.fit_contrast import AXES, READING_POSITIONS, reading_of
from pasctl.stages.fit_directions import read_selection
from pasctl.stages.granularity import is_imported
from pasctl.stages.job import Job, Payload, Stage, StageContext
from pasctl.stages.neutral import Neutral
from pasctl.stages.run import Run, function_of
from pasctl.stages.runner import Artifact, Store

_CURVES = "curves.json"


def plan(declared: ChooseAlpha, run: Run) -> Job:
    """Choose the strength of steering on the fit items; the report items are not read.

    For directions of a contrast by statements, see `choose_dose`; for directions of answers by cross-validation.

    Heads that were selected by steering stay as they are. Along with the errors it stores what each alpha does to
    neutral text, with the directions of all fit items.
    """
    source = find_directions(run, declared)
    if is_imported(source):
        raise InputError(
            f"{source.name} was imported, with no contrast or answers to choose a strength on",
            hint="give --alpha: 1 is as strong as in the file, which is what auto means for it",
        )
    if "probes" not in source.inputs:
        from pasctl.stages.choose_dose import plan_dose

        return plan_dose(declared, run, source)
    params = ChoiceParams(
        parse_alphas(declared.alphas), declared.folds, declared.positions or default_positions(source)
    )
    neutral = Neutral.read(declared.neutral_text)
    activations = run.input("activations", source.inputs["activations"].key)
    probes = run.input("probes", source.inputs["probes"].key)
    handle = run.model_of(source, declared.model, declared.options)
    task = CrossValidation(source, activations, probes, params, neutral, handle, declared.seed, run.batch_tokens)
    return Job(
        stage=Stage.of(ChooseAlpha),
        model=source.model,
        label=source.label,
        params=declared.key(
            alphas=list(params.alphas), positions=params.positions, text=neutral.digest, wording=wording_digest()
        ),
        inputs={"directions": source, "activations": activations, "probes": probes},
        identity=handle.identity,
        numerics=handle.numerics(declared.seed),
        compute=partial(_compute, task=task, budget_kl=declared.budget_kl),
        provenance={
            "model": handle.provenance(),
            "coding": source.provenance.get("coding"),
            "neutral_text": neutral.name,
            "batch_tokens": run.batch_tokens,
        },
        estimate=task.estimate,
    )


choose_alpha = function_of(ChooseAlpha)


def find_directions(run: Run, declared: OfDirections) -> Artifact:
    """The directions that a command reads: those named, or the latest of the model.

    Raises:
        MissingError: there are none.
    """
    given = declared.model if declared.model is None else run.model(declared.model, declared.options)
    return run.input(
        "directions",
        declared.directions,
        fits=lambda artifact: given is None or artifact.document["model"] == given.identity,
        wanted=f"of {given.source.spec}" if given else "",
    )


def default_positions(directions: Artifact) -> str:
    """Where directions that were selected by steering were steered, or those of a contrast are; "all" for others."""
    if directions.files(AXES):
        return READING_POSITIONS[reading_of(directions)]
    selection = read_selection(directions)
    return "all" if selection is None else str(selection["positions"])


def chosen_alphas(strengths: Artifact, scope: str, budget_kl: float | None) -> NDArray[np.float64]:
    """Each persona's alpha [P], in the order of the directions' personas.

    Args:
        strengths: what `choose_alpha` made.
        scope: choose for each "persona", or one for the "population".
        budget_kl: an alpha that moves the model further than this on neutral text, KL(unsteered || steered) in nats a
            token, is not chosen; for the population the mean over personas counts. None sets no limit.

    Raises:
        InputError: an unknown scope, or a budget below 0.
    """
    from pasctl.evaluation.rows import from_table

    require_scope(scope, budget_kl)
    curves = strengths.read_json(_CURVES)
    if "reading" in curves:
        from pasctl.stages.choose_dose import dose_alphas

        return dose_alphas(strengths, scope, budget_kl)
    alphas, ids = curves["alphas"], curves["personas"]
    rows = from_table(strengths.read_table("rows.parquet"))
    # rows stand in the order in which they were written: alpha by alpha, persona by persona
    errors = (rows["expected"] - rows["agreement"]).abs().to_numpy().reshape(len(alphas), len(ids), -1)
    return choose_alphas(errors, alphas, scope, _within(np.array(curves["kl"]), scope, budget_kl))


def latest_strengths(store: Store, directions: Artifact, positions: str) -> Artifact | None:
    """What `choose_alpha` made last with these directions, steered at these positions; None if it was not run."""
    for strengths in store.candidates("strengths"):
        if strengths.inputs["directions"].key == directions.key and strengths.params["positions"] == positions:
            return strengths
    return None


def latest_alphas(
    store: Store, directions: Artifact, positions: str, budget_kl: float | None = BUDGET_KL
) -> tuple[Artifact, NDArray[np.float64]] | None:
    """Each persona's alpha [P] by what was measured last with these directions and positions, and by what.

    None if `choose_alpha` was not run with them.
    """
    strengths = latest_strengths(store, directions, positions)
    return None if strengths is None else (strengths, chosen_alphas(strengths, "persona", budget_kl))


def require_scope(scope: str, budget_kl: float | None) -> None:
    """Refuse a scope or a budget that nothing could be chosen by.

    Raises:
        InputError: an unknown scope, or a budget below 0.
    """
    if scope not in SCOPES:
        raise InputError(f"alpha scope {scope!r} is unknown, expected {' or '.join(SCOPES)}")
    if budget_kl is not None and not budget_kl >= 0:
        raise InputError(f"KL budget: expected nats/token of at least 0, found {budget_kl}")


def _within(kl: NDArray[np.float64], scope: str, budget: float | None) -> NDArray[np.bool_] | None:
    """Which alphas [A, P] the budget allows."""
    if budget is None:
        return None
    if scope == "population":
        kl = np.broadcast_to(kl.mean(axis=1, keepdims=True), kl.shape)
    allowed: NDArray[np.bool_] = kl <= budget
    return allowed


def _compute(work: StageContext, *, task: CrossValidation, budget_kl: float | None) -> Payload:
    import pandas as pd

    from pasctl.evaluation.metrics import persona_correlations
    from pasctl.evaluation.rows import to_arrow
    from pasctl.evaluation.scores import row_means

    counts = {"tokens_asked": 0, "tokens_run": 0}
    expected = task.answers(work, counts)
    kl, perplexity = task.side_effects(work)
    work.provenance["counts"] = {"personas": len(task.personas.ids), **counts}
    errors = np.abs(expected - task.agreements)
    alphas, ids = task.params.alphas, task.personas.ids
    names = [task.items.inventory.items[column].id for column in task.items.columns]
    shape = expected.shape
    within = partial(_within, np.array(kl), budget=budget_kl)
    return {
        "rows.parquet": to_arrow(
            pd.DataFrame(
                {
                    "persona": np.tile(np.repeat(np.array(ids, dtype=object), shape[2]), shape[0]),
                    "alpha": np.repeat(np.array(alphas, dtype=np.float64), shape[1] * shape[2]),
                    "item": np.tile(np.array(names, dtype=object), shape[0] * shape[1]),
                    "fold": np.tile(task.folds.astype(np.int16), shape[0] * shape[1]),
                    "agreement": np.broadcast_to(task.agreements, shape).ravel(),
                    "expected": expected.ravel(),
                }
            )
        ),
        _CURVES: {
            "alphas": list(alphas),
            "folds": task.params.folds,
            "personas": list(ids),
            "mae": [_plain(row_means(each)) for each in errors],
            "item_correlation": [_plain(persona_correlations(each, task.agreements)) for each in expected],
            "kl": kl,
            "perplexity": perplexity,
            "chosen": {
                "persona": choose_alphas(errors, alphas, "persona", within("persona")).tolist(),
                "population": float(choose_alphas(errors, alphas, "population", within("population"))[0]),
            },
            "rule": RULE,
        },
    }


def _plain(values: NDArray[np.float64]) -> list[float | None]:
    return [float(value) if np.isfinite(value) else None for value in values]


def choice_record(strengths: Artifact, scope: str, budget_kl: float | None) -> dict[str, Any]:
    """How alpha was chosen, for the results that used it."""
    curves = strengths.read_json(_CURVES)
    return {
        "scope": scope,
        "alphas": curves["alphas"],
        "folds": curves.get("folds"),
        "budget_kl": budget_kl,
        "rule": curves["rule"],
        "source": strengths.short_key,
    }


def require_fitting(strengths: Artifact, directions: Artifact, positions: str) -> None:
    """Refuse strengths that were chosen for other directions, or steered elsewhere.

    Raises:
        InputError: they were.
    """
    if strengths.inputs["directions"].key != directions.key:
        raise InputError(
            f"{strengths.name} was chosen for {strengths.inputs['directions'].name}, not for {directions.name}",
            hint="leave --strengths out: it is looked up or made",
        )
    if strengths.params["positions"] != positions:
        raise InputError(
            f"{strengths.name} was chosen with positions {strengths.params['positions']}, not {positions}",
            hint=f"say --positions {strengths.params['positions']}",
        )
