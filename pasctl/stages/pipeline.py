"""All stages for each of several models; what the store has is taken from there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from pasctl.commands.evaluate import Evaluate
from pasctl.commands.extract import Extract
from pasctl.commands.fit_directions import FitDirections
from pasctl.commands.run import PipelineParams
from pasctl.commands.train_probes import TrainProbes
from pasctl.commands.union import split
from pasctl.errors import InputError
from pasctl.inventory import Inventory, chosen_inventory
from pasctl.stages.job import Outcome
from pasctl.stages.model import ModelHandle
from pasctl.stages.progress import Reporter
from pasctl.stages.recipes import default_contrast
from pasctl.stages.run import Run
from pasctl.stages.runner import Store


def plan(declared: PipelineParams, run: Run) -> Iterator[Outcome]:
    """Extract, fit directions and evaluate, model after model; gives each stage's outcome as it comes.

    By default directions are fitted on a contrast; by the paper's recipe on answers, after probes were trained. A dry
    run ends a model at the first stage that would compute: later keys depend on its result.

    Raises:
        InputError: there is no model.
    """
    if not declared.models:
        raise InputError("there is no model, expected at least one", hint="give it with --model")
    for model in declared.models:
        yield from _stages(declared, run.model(model, declared.options), run)


def _stages(declared: PipelineParams, model: ModelHandle, run: Run) -> Iterator[Outcome]:
    paper = declared.recipe == "paper"
    contrast = None if paper else declared.contrast or default_contrast(model, _inventory(declared, model))
    order = {"option_order": declared.option_order or "forward"} if paper else {}
    extracted = run.make(split(declared, Extract, model=model, contrast=contrast, **order))
    yield extracted
    if extracted.artifact is None:
        return
    source: dict[str, Any] = {"activations": extracted.artifact, "model": model}
    if paper:
        probed = run.make(split(declared, TrainProbes, activations=extracted.artifact))
        yield probed
        if probed.artifact is None:
            return
        source |= {"probes": probed.artifact, "personas": None}
    fitted = run.make(split(declared, FitDirections, **source))
    yield fitted
    if fitted.artifact is not None:
        yield run.make(split(declared, Evaluate, directions=fitted.artifact, model=model))


def _inventory(declared: PipelineParams, model: ModelHandle) -> Inventory:
    extract = cast("Extract", split(declared, Extract, model=model))
    return chosen_inventory(extract.inventory, extract.option_labels)


def run(
    models: Sequence[str | ModelHandle],
    params: PipelineParams | None = None,
    *,
    store: Store | Path | str = "artifacts",
    reporter: Reporter | None = None,
    dry_run: bool = False,
    **options: Any,
) -> Iterator[Outcome]:
    """Run all stages for each model, as `pasctl run` does; gives each stage's outcome as it comes.

    Args:
        models: hub ids, local folders, .gguf files, or handles.
        params: the options of all stages as one value; None makes it of `options`.
        store: the store or its folder.
        reporter: receives notes and progress.
        dry_run: say what would be done and do nothing.
        **options: options of the stages, and `batch_tokens`, `max_memory` and `wait`.
    """
    bounds = {name: options.pop(name) for name in ("batch_tokens", "max_memory", "wait") if name in options}
    declared = replace(params, **options) if params is not None else PipelineParams.of(**options)
    shared = Run(store, reporter=reporter, dry_run=dry_run, **bounds)
    return plan(replace(declared, models=tuple(models)), shared)
