"""directions + activations + probes + model -> strengths: how near answers come at each alpha, on items held out."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pasctl.activations.plan import DEFAULT_BATCH_TOKENS
from pasctl.errors import InputError
from pasctl.evaluation.alphas import Alphas, parse_alphas
from pasctl.evaluation.choice import RULE, SCOPES, choose_alphas
from pasctl.evaluation.defaults import FOLDS, TRIED_ALPHAS
from pasctl.inventory import wording_digest
from pasctl.stages.cross_validation import ChoiceParams, CrossValidation
from pasctl.stages.fit_directions import read_selection
from pasctl.stages.model import ModelHandle, ModelOptions, model_of_artifact
from pasctl.stages.neutral import Neutral
from pasctl.stages.progress import Reporter
from pasctl.stages.runner import Artifact, Job, Outcome, Payload, Stage, Store, Work, find_input, open_store, run_job

if TYPE_CHECKING:
    from pasctl.models.identity import ModelSource
    from pasctl.models.load import LoadedModel

STAGE = Stage("choose-alpha", "strengths", version=1)
_CURVES = "curves.json"


def choose_alpha(
    *,
    directions: str | Artifact | None = None,
    model: str | ModelSource | LoadedModel | ModelHandle | None = None,
    alphas: Alphas = TRIED_ALPHAS,
    folds: int = FOLDS,
    positions: str | None = None,
    neutral_text: str = "builtin",
    seed: int = 0,
    batch_tokens: int = DEFAULT_BATCH_TOKENS,
    options: ModelOptions | None = None,
    store: Store | Path | str = "artifacts",
    reporter: Reporter | None = None,
    dry_run: bool = False,
) -> Outcome:
    """Cross-validate the strength of steering on the fit items; the report items are not looked at.

    The fit items are dealt into folds, stratified by facet. For each fold, everything that personas' answers decide is
    done again without it: heads are ranked by probes and directions fitted on the other folds; then the model answers
    the fold's items at each alpha. Heads that were selected by steering stay as they are. Beside the errors it keeps
    what each alpha does to neutral text, with the directions of all fit items.

    Args:
        directions: which to read; None takes the latest that fits the model.
        model: None takes the model the directions were fitted on, from where it was found then.
        alphas: strengths to try, 0 among them.
        folds: parts that the fit items are dealt into.
        positions: steer at "all" positions or only at the "answer"; None as the directions were selected, else all.
        neutral_text: "builtin", or a text file.
        seed: of the folds.
        batch_tokens: bound on the tokens of one forward pass; not part of the key.
        options: how to load the model.
        store: the store or its folder.
        reporter: receives notes and progress.
        dry_run: say what would be done and do nothing.

    Raises:
        InputError: alphas without 0, folds that the items do not fill, another model than the directions'.
        MissingError: the directions, or the activations and probes they were made from, are gone.
    """
    opened = open_store(store)
    given = ModelHandle.of(model, options) if model is not None else None
    source = find_directions(opened, directions, given)
    params = ChoiceParams(parse_alphas(alphas), folds, positions or default_positions(source))
    neutral = Neutral.read(neutral_text)
    activations = find_input(opened, "activations", source.inputs["activations"].key)
    probes = find_input(opened, "probes", source.inputs["probes"].key)
    handle = model_of_artifact(source, given, options)
    handle.require(source.document["model"], source.name)
    task = CrossValidation(source, activations, probes, params, neutral, handle, seed, batch_tokens)
    job = Job(
        stage=STAGE,
        model=source.model,
        label=source.label,
        params={
            "alphas": list(params.alphas),
            "folds": folds,
            "positions": params.positions,
            "text": neutral.digest,
            "wording": wording_digest(),
        },
        inputs={"directions": source, "activations": activations, "probes": probes},
        identity=handle.identity,
        numerics=handle.numerics(seed),
        compute=partial(_compute, task=task),
        provenance={
            "model": handle.provenance(),
            "coding": source.provenance.get("coding"),
            "neutral_text": neutral.name,
            "batch_tokens": batch_tokens,
        },
        estimate=task.estimate,
    )
    return run_job(opened, job, reporter=reporter, dry_run=dry_run)


def find_directions(store: Store, ref: str | Artifact | None, given: ModelHandle | None) -> Artifact:
    """The directions that a stage reads: those named, or the latest of the model.

    Raises:
        MissingError: there are none.
    """
    return find_input(
        store,
        "directions",
        ref,
        fits=lambda artifact: given is None or artifact.document["model"] == given.identity,
        wanted=f"of {given.source.spec}" if given else "",
    )


def default_positions(directions: Artifact) -> str:
    """Where directions that were selected by steering were steered; "all" for others."""
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
    alphas, ids = curves["alphas"], curves["personas"]
    rows = from_table(strengths.read_table("rows.parquet"))
    # rows stand in the order in which they were written: alpha by alpha, persona by persona
    errors = (rows["expected"] - rows["agreement"]).abs().to_numpy().reshape(len(alphas), len(ids), -1)
    return choose_alphas(errors, alphas, scope, _within(np.array(curves["kl"]), scope, budget_kl))


def latest_alphas(store: Store, directions: Artifact, positions: str) -> tuple[Artifact, NDArray[np.float64]] | None:
    """Each persona's alpha [P] that was chosen last with these directions, steered at these positions, and by what.

    None if `choose_alpha` was not run with them.
    """
    for strengths in store.candidates("strengths"):
        if strengths.inputs["directions"].key == directions.key and strengths.params["positions"] == positions:
            return strengths, chosen_alphas(strengths, "persona", None)
    return None


def require_scope(scope: str, budget_kl: float | None) -> None:
    """Refuse a scope or a budget that nothing could be chosen by.

    Raises:
        InputError: an unknown scope, or a budget below 0.
    """
    if scope not in SCOPES:
        raise InputError(f"alpha scope {scope!r} is unknown, expected {' or '.join(SCOPES)}")
    if budget_kl is not None and not budget_kl >= 0:
        raise InputError(f"KL budget: expected nats a token of at least 0, found {budget_kl}")


def _within(kl: NDArray[np.float64], scope: str, budget: float | None) -> NDArray[np.bool_] | None:
    """Which alphas [A, P] the budget allows."""
    if budget is None:
        return None
    if scope == "population":
        kl = np.broadcast_to(kl.mean(axis=1, keepdims=True), kl.shape)
    allowed: NDArray[np.bool_] = kl <= budget
    return allowed


def _compute(work: Work, *, task: CrossValidation) -> Payload:
    import pandas as pd

    from pasctl.evaluation.metrics import persona_correlations, row_means
    from pasctl.evaluation.rows import to_arrow

    counts = {"tokens_asked": 0, "tokens_run": 0}
    expected = task.answers(work, counts)
    kl, perplexity = task.side_effects(work)
    work.provenance["counts"] = {"personas": len(task.personas.ids), **counts}
    errors = np.abs(expected - task.agreements)
    alphas, ids = task.params.alphas, task.personas.ids
    names = [task.items.inventory.items[column].id for column in task.items.columns]
    shape = expected.shape
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
                "persona": choose_alphas(errors, alphas, "persona").tolist(),
                "population": float(choose_alphas(errors, alphas, "population")[0]),
            },
            "rule": RULE,
        },
    }


def _plain(values: NDArray[np.float64]) -> list[float | None]:
    return [float(value) if np.isfinite(value) else None for value in values]


def told_choice(strengths: Artifact, scope: str, budget_kl: float | None) -> dict[str, Any]:
    """How alpha was chosen, for the results that used it."""
    curves = strengths.read_json(_CURVES)
    return {
        "scope": scope,
        "alphas": curves["alphas"],
        "folds": curves["folds"],
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
