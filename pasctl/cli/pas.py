"""The PAS stages: extract, train-probes, fit-directions, eval, and run for all of them."""

from __future__ import annotations

from typing import Annotated

import typer

from pasctl.activations.plan import DEFAULT_BATCH_TOKENS
from pasctl.cli import options as o
from pasctl.cli.output import Terminal, print_outcome
from pasctl.errors import InputError
from pasctl.evaluation.selection import TRIED_ALPHAS


def extract(
    model: o.Model,
    inventory: o.Inventory = "builtin",
    answers: Annotated[str, typer.Option("--answers", help="ends of the scale, or all letters.")] = "ends",
    option_order: o.OptionOrder = "forward",
    items: Annotated[str, typer.Option("--items", help="fit items, or all.")] = "fit",
    revision: o.Revision = None,
    dtype: o.Dtype = "auto",
    device: o.Device = "auto",
    attn: o.Attn = "auto",
    device_map: o.DeviceMap = None,
    trust_remote_code: o.TrustRemoteCode = False,
    batch_tokens: o.BatchTokens = DEFAULT_BATCH_TOKENS,
    seed: o.Seed = 0,
    store: o.StoreDir = "artifacts",
    dry_run: o.DryRun = False,
    json: o.Json = False,
) -> None:
    """Read the attention heads' outputs on every item's answers."""
    from pasctl.stages.extract import extract as stage

    outcome = stage(
        model,
        inventory=inventory,
        answers=answers,
        option_order=option_order,
        items=items,
        seed=seed,
        batch_tokens=batch_tokens,
        options=o.model_options(revision, dtype, device, attn, device_map, trust_remote_code),
        store=store,
        reporter=Terminal(),
        dry_run=dry_run,
    )
    print_outcome(outcome, as_json=json)


def train_probes(
    personas: o.Personas = None,
    activations: Annotated[
        str | None,
        typer.Option("--activations", help="Activations to read; default: the latest that fit.", metavar="REF"),
    ] = None,
    validation: Annotated[float, typer.Option("--validation", help="Share of items held out to rank heads.")] = 0.25,
    c: Annotated[float, typer.Option("--c", help="Inverse strength of the probes' L2 penalty.")] = 1.0,
    weights: Annotated[bool, typer.Option("--weights", help="Keep the probes' weights.")] = False,
    coding: o.Coding = "auto",
    model: o.OptionalModel = None,
    seed: o.Seed = 0,
    store: o.StoreDir = "artifacts",
    dry_run: o.DryRun = False,
    json: o.Json = False,
) -> None:
    """Find the heads that tell a persona's answers apart."""
    from pasctl.stages.train_probes import train_probes as stage

    outcome = stage(
        personas=personas,
        activations=activations,
        c=c,
        validation=validation,
        weights=weights,
        coding=coding,
        model=model,
        seed=seed,
        store=store,
        reporter=Terminal(),
        dry_run=dry_run,
    )
    print_outcome(outcome, as_json=json)


def fit_directions(
    top_k: o.TopK = None,
    method: o.Method = "mass-mean",
    center: o.Center = "none",
    select: o.Select = "probe",
    alphas: o.TriedAlphas = TRIED_ALPHAS,
    positions: o.Positions = "all",
    probes: Annotated[
        str | None, typer.Option("--probes", help="Probes to read; default: the latest.", metavar="REF")
    ] = None,
    activations: Annotated[
        str | None,
        typer.Option("--activations", help="Activations to read; default: those of the probes.", metavar="REF"),
    ] = None,
    model: o.OptionalModel = None,
    dtype: o.Dtype = "auto",
    device: o.Device = "auto",
    attn: o.Attn = "auto",
    device_map: o.DeviceMap = None,
    trust_remote_code: o.TrustRemoteCode = False,
    batch_tokens: o.BatchTokens = DEFAULT_BATCH_TOKENS,
    seed: o.Seed = 0,
    store: o.StoreDir = "artifacts",
    dry_run: o.DryRun = False,
    json: o.Json = False,
) -> None:
    """Fit where to shift the chosen heads, and by how much."""
    from pasctl.stages.fit_directions import fit_directions as stage

    outcome = stage(
        probes=probes,
        activations=activations,
        top_k=top_k,
        method=method,
        center=center,
        select=select,
        alphas=alphas,
        positions=positions,
        model=model,
        batch_tokens=batch_tokens,
        options=o.model_options(None, dtype, device, attn, device_map, trust_remote_code),
        seed=seed,
        store=store,
        reporter=Terminal(),
        dry_run=dry_run,
    )
    print_outcome(outcome, as_json=json)


def evaluate(
    alpha: o.Alpha = "4",
    mode: o.Mode = None,
    positions: o.EvalPositions = None,
    option_order: o.OptionOrder = "forward",
    directions: Annotated[
        str | None, typer.Option("--directions", help="Directions to read; default: the latest.", metavar="REF")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model", "-m", envvar="PASCTL_MODEL", help="Default: the model of the directions.", metavar="MODEL"
        ),
    ] = None,
    export_log: Annotated[
        str | None, typer.Option("--export-log", help="Also write the published log layout here.", metavar="FILE")
    ] = None,
    revision: o.Revision = None,
    dtype: o.Dtype = "auto",
    device: o.Device = "auto",
    attn: o.Attn = "auto",
    device_map: o.DeviceMap = None,
    trust_remote_code: o.TrustRemoteCode = False,
    batch_tokens: o.BatchTokens = DEFAULT_BATCH_TOKENS,
    seed: o.Seed = 0,
    store: o.StoreDir = "artifacts",
    dry_run: o.DryRun = False,
    json: o.Json = False,
) -> None:
    """Answer the questionnaire told, steered and unchanged, and compare with the personas' own answers."""
    from pasctl.stages.evaluate import evaluate as stage
    from pasctl.stages.evaluate import export_published_log

    if export_log is not None and "," in alpha:
        raise InputError(f"--export-log writes one strength, --alpha gives {alpha}", hint="give one --alpha")
    outcome = stage(
        directions=directions,
        model=model,
        alpha=alpha,
        modes=mode,
        positions=positions,
        option_order=option_order,
        seed=seed,
        batch_tokens=batch_tokens,
        options=o.model_options(revision, dtype, device, attn, device_map, trust_remote_code),
        store=store,
        reporter=Terminal(),
        dry_run=dry_run,
    )
    if export_log is not None and outcome.artifact is not None:
        Terminal().note(f"wrote {export_published_log(outcome.artifact, export_log)}")
    print_outcome(outcome, as_json=json)


def run(
    model: Annotated[
        list[str],
        typer.Option(
            "--model", "-m", envvar="PASCTL_MODEL", help="A model; may be given several times.", metavar="MODEL"
        ),
    ],
    inventory: o.Inventory = "builtin",
    option_order: o.OptionOrder = "forward",
    personas: o.Personas = None,
    coding: o.Coding = "auto",
    top_k: o.TopK = None,
    method: o.Method = "mass-mean",
    center: o.Center = "none",
    select: o.Select = "probe",
    alphas: o.TriedAlphas = TRIED_ALPHAS,
    alpha: o.Alpha = "4",
    mode: o.Mode = None,
    positions: o.Positions = "all",
    dtype: o.Dtype = "auto",
    device: o.Device = "auto",
    attn: o.Attn = "auto",
    device_map: o.DeviceMap = None,
    trust_remote_code: o.TrustRemoteCode = False,
    batch_tokens: o.BatchTokens = DEFAULT_BATCH_TOKENS,
    seed: o.Seed = 0,
    store: o.StoreDir = "artifacts",
    dry_run: o.DryRun = False,
    json: o.Json = False,
) -> None:
    """Run all stages for each model; what the store has is not computed again."""
    from pasctl.stages.pipeline import PipelineParams
    from pasctl.stages.pipeline import run as pipeline

    params = PipelineParams(
        inventory=inventory,
        option_order=option_order,
        personas=personas,
        coding=coding,
        top_k=top_k,
        method=method,
        center=center,
        select=select,
        alphas=alphas,
        alpha=alpha,
        modes=mode,
        positions=positions,
        seed=seed,
        batch_tokens=batch_tokens,
        options=o.model_options(None, dtype, device, attn, device_map, trust_remote_code),
    )
    for outcome in pipeline(model, params, store=store, reporter=Terminal(), dry_run=dry_run):
        print_outcome(outcome, as_json=json)
