"""The PAS stages: extract, train-probes, fit-directions, eval, and run for all of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pasctl.activations.plan import DEFAULT_BATCH_TOKENS
from pasctl.cli import options as o
from pasctl.cli.output import Terminal, print_outcome
from pasctl.errors import InputError
from pasctl.evaluation.defaults import CONTROL_DRAWS, FOLDS, TRIED_ALPHAS


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
    max_memory: o.MaxMemory = None,
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
        options=o.model_options(revision, dtype, device, attn, device_map, trust_remote_code, max_memory),
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
    method: Annotated[str, typer.Option("--method", help="Probe method: logistic or ridge.")] = "logistic",
    validation: Annotated[float, typer.Option("--validation", help="Share of items held out to rank heads.")] = 0.25,
    c: Annotated[float, typer.Option("--c", help="Inverse strength of the probes' L2 penalty.")] = 1.0,
    weights: Annotated[bool, typer.Option("--weights", help="Keep the probes' weights.")] = False,
    coding: o.Coding = "auto",
    leave_out_unusable: Annotated[
        bool,
        typer.Option(
            "--leave-out-unusable", help="Go on without personas who have no answer other than 3 to learn from."
        ),
    ] = False,
    model: o.OptionalModel = None,
    max_memory: o.MaxMemory = None,
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
        method=method,
        c=c,
        validation=validation,
        weights=weights,
        coding=coding,
        leave_out_unusable=leave_out_unusable,
        model=model,
        max_memory=max_memory,
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
    granularity: o.Granularity = "head",
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
    max_memory: o.MaxMemory = None,
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
        granularity=granularity,
        select=select,
        alphas=alphas,
        positions=positions,
        model=model,
        batch_tokens=batch_tokens,
        options=o.model_options(None, dtype, device, attn, device_map, trust_remote_code, max_memory),
        seed=seed,
        store=store,
        reporter=Terminal(),
        dry_run=dry_run,
    )
    print_outcome(outcome, as_json=json)


def choose_alpha(
    directions: o.Directions = None,
    alphas: o.TriedAlphas = TRIED_ALPHAS,
    folds: o.Folds = FOLDS,
    positions: o.EvalPositions = None,
    neutral_text: o.NeutralText = "builtin",
    model: o.ModelOfDirections = None,
    revision: o.Revision = None,
    dtype: o.Dtype = "auto",
    device: o.Device = "auto",
    attn: o.Attn = "auto",
    device_map: o.DeviceMap = None,
    trust_remote_code: o.TrustRemoteCode = False,
    batch_tokens: o.BatchTokens = DEFAULT_BATCH_TOKENS,
    max_memory: o.MaxMemory = None,
    seed: o.Seed = 0,
    store: o.StoreDir = "artifacts",
    dry_run: o.DryRun = False,
    json: o.Json = False,
) -> None:
    """Cross-validate the strength of steering on the fit items; eval --alpha auto does it by itself."""
    from pasctl.stages.choose_alpha import choose_alpha as stage

    outcome = stage(
        directions=directions,
        model=model,
        alphas=alphas,
        folds=folds,
        positions=positions,
        neutral_text=neutral_text,
        seed=seed,
        batch_tokens=batch_tokens,
        options=o.model_options(revision, dtype, device, attn, device_map, trust_remote_code, max_memory),
        store=store,
        reporter=Terminal(),
        dry_run=dry_run,
    )
    print_outcome(outcome, as_json=json)


def evaluate(
    alpha: o.Alpha = "4",
    mode: o.Mode = None,
    alphas: o.TriedAlphas = TRIED_ALPHAS,
    alpha_scope: o.AlphaScope = "persona",
    budget_kl: o.BudgetKl = None,
    folds: o.Folds = FOLDS,
    strengths: Annotated[
        str | None,
        typer.Option("--strengths", help="Cross-validation that auto chooses by; default: as needed.", metavar="REF"),
    ] = None,
    positions: o.EvalPositions = None,
    option_orders: o.OptionOrders = 1,
    control_draws: o.ControlDraws = CONTROL_DRAWS,
    prose: o.Prose = None,
    neutral_text: o.NeutralText = "builtin",
    audit: o.Audit = 0,
    shard: o.Shard = None,
    directions: o.Directions = None,
    model: o.ModelOfDirections = None,
    export_log: Annotated[
        str | None, typer.Option("--export-log", help="Also write the published log layout here.", metavar="FILE")
    ] = None,
    report: Annotated[
        str | None, typer.Option("--report", help="Also write a page with figures here.", metavar="FILE")
    ] = None,
    revision: o.Revision = None,
    dtype: o.Dtype = "auto",
    device: o.Device = "auto",
    attn: o.Attn = "auto",
    device_map: o.DeviceMap = None,
    trust_remote_code: o.TrustRemoteCode = False,
    batch_tokens: o.BatchTokens = DEFAULT_BATCH_TOKENS,
    max_memory: o.MaxMemory = None,
    seed: o.Seed = 0,
    store: o.StoreDir = "artifacts",
    dry_run: o.DryRun = False,
    json: o.Json = False,
) -> None:
    """Answer the questionnaire told, steered and unchanged, and compare with the personas' own answers."""
    from pasctl.stages.evaluate import evaluate as stage
    from pasctl.stages.evaluate import export_published_log, with_inputs
    from pasctl.stages.report import report as write_report
    from pasctl.stages.report import require_place

    if export_log is not None and "," in alpha:
        raise InputError(f"--export-log writes one strength, --alpha gives {alpha}", hint="give one --alpha")
    if report is not None:
        require_place(Path(report))
    outcome = stage(
        directions=directions,
        model=model,
        alpha=alpha,
        alphas=alphas,
        alpha_scope=alpha_scope,
        budget_kl=budget_kl,
        folds=folds,
        strengths=strengths,
        modes=mode,
        positions=positions,
        option_orders=option_orders,
        control_draws=control_draws,
        prose=prose,
        neutral_text=neutral_text,
        audit=audit,
        shard=shard,
        seed=seed,
        batch_tokens=batch_tokens,
        options=o.model_options(revision, dtype, device, attn, device_map, trust_remote_code, max_memory),
        store=store,
        reporter=Terminal(),
        dry_run=dry_run,
    )
    made = outcome.artifact
    if export_log is not None and made is not None:
        Terminal().note(f"wrote {export_published_log(made, export_log)}")
    if report is not None and made is not None:
        Terminal().note(f"wrote {write_report(with_inputs(made, store), report, store=store).path}")
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
    granularity: o.Granularity = "head",
    select: o.Select = "probe",
    alphas: o.TriedAlphas = TRIED_ALPHAS,
    alpha: o.Alpha = "4",
    alpha_scope: o.AlphaScope = "persona",
    budget_kl: o.BudgetKl = None,
    mode: o.Mode = None,
    positions: o.Positions = "all",
    option_orders: o.OptionOrders = 1,
    dtype: o.Dtype = "auto",
    device: o.Device = "auto",
    attn: o.Attn = "auto",
    device_map: o.DeviceMap = None,
    trust_remote_code: o.TrustRemoteCode = False,
    batch_tokens: o.BatchTokens = DEFAULT_BATCH_TOKENS,
    max_memory: o.MaxMemory = None,
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
        granularity=granularity,
        select=select,
        alphas=alphas,
        alpha=alpha,
        alpha_scope=alpha_scope,
        budget_kl=budget_kl,
        modes=mode,
        positions=positions,
        option_orders=option_orders,
        seed=seed,
        batch_tokens=batch_tokens,
        options=o.model_options(None, dtype, device, attn, device_map, trust_remote_code, max_memory),
    )
    for outcome in pipeline(model, params, store=store, reporter=Terminal(), dry_run=dry_run):
        print_outcome(outcome, as_json=json)
