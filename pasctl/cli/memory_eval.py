"""`pasctl memory-eval`: memory tasks on a model, and their table."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from pasctl.cli import memory_options as m
from pasctl.cli import options as o
from pasctl.cli.output import Terminal, print_json, print_outcome
from pasctl.cli.tables import align


def memory_eval(
    model: o.Model,
    tasks: Annotated[
        str,
        typer.Option(
            "--tasks", help="passkey, passkey-varied, needle, keyvalue, tracking; nll is the surprise of --text."
        ),
    ] = "passkey,needle,keyvalue,tracking",
    lengths: Annotated[str, typer.Option("--lengths", help="Tokens of the texts: 4k,16k,64k.")] = "4k,16k",
    trials: Annotated[
        int, typer.Option("--trials", help="Of each task and length, their evidence spread over the text.")
    ] = 10,
    compare: Annotated[
        str | None,
        typer.Option("--compare", help="Also run: full (attention), window (no memory), or both."),
    ] = None,
    text: Annotated[str | None, typer.Option("--text", help="A text file, for the task nll.", metavar="FILE")] = None,
    n_init: m.NInit = None,
    n_local: m.NLocal = None,
    n_mem: m.NMem = None,
    chunk: m.Chunk = None,
    min_block: m.MinBlock = None,
    max_block: m.MaxBlock = None,
    repr_topk: m.ReprTopk = None,
    gamma: m.Gamma = None,
    refine: m.Refine = None,
    refine_layers: m.RefineLayers = None,
    contiguity: m.Contiguity = None,
    memory_positions: m.Positions = None,
    kv_dtype: m.KvDtype = None,
    segmenter: m.Segmenter = None,
    max_new_tokens: m.MaxNewTokens = 32,
    revision: o.Revision = None,
    dtype: o.Dtype = "auto",
    device: o.Device = "auto",
    device_map: o.DeviceMap = None,
    trust_remote_code: o.TrustRemoteCode = False,
    seed: o.Seed = 0,
    store: o.StoreDir = "artifacts",
    dry_run: o.DryRun = False,
    json: o.Json = False,
) -> None:
    """Find out what a model remembers of long texts, with a memory and without."""
    from pasctl.stages.memory_eval import TrialPlan, trial_figures
    from pasctl.stages.memory_eval import memory_eval as stage
    from pasctl.stages.model import ModelHandle
    from pasctl.stages.text import Text

    plan = TrialPlan(_names(tasks), m.parse_tokens(lengths), trials, _names(compare or ""), seed, max_new_tokens)
    handle = ModelHandle(model, o.model_options(revision, dtype, device, "auto", device_map, trust_remote_code))
    given = m.given_params(
        n_init=n_init,
        n_local=n_local,
        n_mem=n_mem,
        chunk=chunk,
        min_block=min_block,
        max_block=max_block,
        repr_topk=repr_topk,
        gamma=gamma,
        refine=refine,
        refine_layers=refine_layers,
        contiguity=contiguity,
        positions=memory_positions,
        kv_dtype=kv_dtype,
        segmenter=segmenter,
        seed=seed,
    )
    outcome = stage(
        handle,
        plan,
        text=Text.load(text) if text else None,
        params=m.memory_params(handle, given),
        store=store,
        reporter=Terminal(),
        dry_run=dry_run,
    )
    made = outcome.artifact
    if made is None or not json:
        print_outcome(outcome, as_json=json)
    if made is None:
        return
    figures = trial_figures(made.read_json("trials.json"), made.provenance["costs"])
    if json:
        trials_run = list(made.read_json("trials.json").values())
        print_json({**outcome.to_json(), "params": made.params, **figures, "trials": trials_run})
    else:
        print("\n\n".join(tables(figures)))


def tables(figures: dict[str, Any]) -> list[str]:
    """Figures as text: accuracy and cost, accuracy by depth, surprise by position; those that there are."""
    found = []
    if figures["tasks"]:
        found += [_accuracy(figures["tasks"]), _by_depth(figures["tasks"])]
    if figures["nll"]:
        found.append(_surprise(figures["nll"]))
    return found


def _accuracy(rows: list[dict[str, Any]]) -> str:
    header = ["task", "system", "tokens", "trials", "right", "attended", "recall", "events", "tokens/s", "MiB"]
    body = [
        [
            row["task"],
            row["system"],
            f"{row['length']:,}",
            str(row["trials"]),
            _share(row["accuracy"]),
            _share(row["attended"]),
            _share(row["recall"]),
            "-" if row["events"] is None else f"{row['events']:,.0f}",
            f"{row['tokens_per_second']:,.0f}",
            f"{row['resident_mib']:,.0f}",
        ]
        for row in rows
    ]
    return align([header, *body], left=2) + (
        "\nattended: share of the text that an answer's first token attends; "
        "recall: share of layers that recall the evidence"
    )


def _by_depth(rows: list[dict[str, Any]]) -> str:
    count = len(rows[0]["by_depth"])
    bins = [f"{place / count:.1f}-{(place + 1) / count:.1f}" for place in range(count)]
    body = [
        [row["task"], row["system"], f"{row['length']:,}", *(_share(value) for value in row["by_depth"])]
        for row in rows
    ]
    return align([["right by depth", "system", "tokens", *bins], *body], left=2)


def _surprise(rows: list[dict[str, Any]]) -> str:
    systems = list(dict.fromkeys(row["system"] for row in rows))
    found: dict[tuple[int, int, int], dict[str, float]] = {}
    for row in rows:
        found.setdefault((row["tokens"], row["start"], row["stop"]), {})[row["system"]] = row["nll"]
    body = [
        [f"{tokens:,}", f"{start:,}-{stop:,}", *(f"{values[system]:.3f}" for system in systems)]
        for (tokens, start, stop), values in found.items()
    ]
    return align([["text", "nats a token at", *systems], *body], left=0)


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _names(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
