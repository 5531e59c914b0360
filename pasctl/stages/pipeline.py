"""All stages for each of several models; what the store has is taken from there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pasctl.activations.plan import DEFAULT_BATCH_TOKENS
from pasctl.evaluation.alphas import Alphas
from pasctl.evaluation.defaults import TRIED_ALPHAS
from pasctl.stages.evaluate import evaluate
from pasctl.stages.extract import extract
from pasctl.stages.fit_directions import fit_directions
from pasctl.stages.model import ModelHandle, ModelOptions
from pasctl.stages.progress import Reporter, Silent
from pasctl.stages.runner import Outcome, Store, open_store
from pasctl.stages.train_probes import train_probes


@dataclass(frozen=True)
class PipelineParams:
    """The options of all stages, with each stage's defaults."""

    inventory: str = "builtin"
    option_order: str = "forward"
    personas: str | None = None
    coding: str = "auto"
    top_k: int | None = None
    method: str = "mass-mean"
    center: str = "none"
    granularity: str = "head"
    select: str = "probe"
    alphas: Alphas = TRIED_ALPHAS
    alpha: Alphas = 4.0
    alpha_scope: str = "persona"
    budget_kl: float | None = None
    modes: str | None = None
    positions: str = "all"
    option_orders: int = 1
    seed: int = 0
    batch_tokens: int = DEFAULT_BATCH_TOKENS
    options: ModelOptions = field(default_factory=ModelOptions)


def run(
    models: Sequence[str | ModelHandle],
    params: PipelineParams | None = None,
    *,
    store: Store | Path | str = "artifacts",
    reporter: Reporter | None = None,
    dry_run: bool = False,
) -> Iterator[Outcome]:
    """Extract, train probes, fit directions and evaluate, model after model; gives each stage's outcome as it comes.

    A dry run ends a model at the first stage that would compute: later keys depend on its result.
    """
    params = params or PipelineParams()
    reporter = reporter or Silent()
    opened = open_store(store)
    common: dict[str, Any] = {"store": opened, "reporter": reporter, "dry_run": dry_run, "seed": params.seed}
    for model in models:
        # a handle of this loop's own: the weights go when the next model's turn comes
        handle = ModelHandle.of(model, params.options)
        extracted = extract(
            handle,
            inventory=params.inventory,
            option_order=params.option_order,
            batch_tokens=params.batch_tokens,
            **common,
        )
        yield extracted
        if extracted.artifact is None:
            continue
        probed = train_probes(activations=extracted.artifact, personas=params.personas, coding=params.coding, **common)
        yield probed
        if probed.artifact is None:
            continue
        fitted = fit_directions(
            probes=probed.artifact,
            activations=extracted.artifact,
            top_k=params.top_k,
            method=params.method,
            center=params.center,
            granularity=params.granularity,
            select=params.select,
            alphas=params.alphas,
            positions=params.positions,
            model=handle,
            batch_tokens=params.batch_tokens,
            **common,
        )
        yield fitted
        if fitted.artifact is None:
            continue
        yield evaluate(
            directions=fitted.artifact,
            model=handle,
            alpha=params.alpha,
            alphas=params.alphas,
            alpha_scope=params.alpha_scope,
            budget_kl=params.budget_kl,
            modes=params.modes,
            positions=params.positions,
            option_orders=params.option_orders,
            batch_tokens=params.batch_tokens,
            **common,
        )
