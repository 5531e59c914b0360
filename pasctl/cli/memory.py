"""`pasctl memory-run`: read long texts once, to be asked then or later."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pasctl.cli import memory_options as m
from pasctl.cli import options as o
from pasctl.cli.memory_ask import answer, decoding
from pasctl.cli.output import Terminal, print_outcome
from pasctl.cli.tables import align
from pasctl.errors import InputError

if TYPE_CHECKING:
    from pasctl.commands.target import SteeringTarget
    from pasctl.memory.params import MemoryParams
    from pasctl.models.options import ModelOptions
    from pasctl.stages.model import ModelHandle
    from pasctl.stages.runner import Artifact
    from pasctl.stages.text import Text


def memory_run(
    texts: Annotated[list[str], typer.Argument(help="Text files in UTF-8, or - for stdin.", metavar="TEXT...")],
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            envvar="PASCTL_MODEL",
            help="Hub id, local folder, or .gguf file; with --extend: where the model is now.",
            metavar="MODEL",
        ),
    ] = None,
    extend: Annotated[
        str | None,
        typer.Option("--extend", help="Read on behind this memory, with its parameters; it stays.", metavar="REF"),
    ] = None,
    ask: Annotated[list[str] | None, typer.Option("--ask", help="Ask this when the text is read; may repeat.")] = None,
    label: Annotated[str | None, typer.Option("--label", help="Name of the memory; default: the file's.")] = None,
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
    directions: Annotated[
        str | None,
        typer.Option("--directions", help="Read and answer steered along these; default: the latest.", metavar="REF"),
    ] = None,
    persona: Annotated[
        str | None, typer.Option("--persona", help="Who to steer to, if the directions have several.", metavar="ID")
    ] = None,
    alpha: Annotated[float | None, typer.Option("--alpha", help="Steer, and how strongly.", metavar="A")] = None,
    max_new_tokens: m.MaxNewTokens = 64,
    temperature: m.Temperature = 0.0,
    top_p: m.TopP = 1.0,
    retrieve_every: m.RetrieveEvery = 1,
    think: m.Think = False,
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
    """Read long texts into an episodic memory, and ask about them."""
    from pasctl.stages.memory import memory_run as stage
    from pasctl.stages.memory_ask import check_questions

    how = decoding(max_new_tokens, temperature, top_p, seed, retrieve_every, think)
    loaded = [_text(text) for text in texts]
    options = o.model_options(revision, dtype, device, "auto", device_map, trust_remote_code)
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
    handle, params, parent = _model_and_params(model, options, given, extend, store)
    if ask:
        check_questions(handle, params, ask, how)
    outcome = stage(
        handle,
        loaded,
        params=params,
        extend=parent,
        steering=_steering(directions, persona, alpha),
        label=label,
        store=store,
        reporter=Terminal(),
        dry_run=dry_run,
    )
    print_outcome(outcome, as_json=json)
    if outcome.artifact is None:
        return
    if not json:
        made = outcome.artifact
        print(figures(made.read_json("memory.json"), size=made.size, seconds=made.provenance["seconds"]))
    if ask:
        answer(outcome.artifact, ask, how, model=handle, store=store, dry_run=dry_run, as_json=json)


def _text(path: str) -> Text:
    from pasctl.stages.text import Text

    return Text.decode("stdin", sys.stdin.buffer.read()) if path == "-" else Text.load(path)


def _model_and_params(
    model: str | None, options: ModelOptions, given: dict[str, Any], extend: str | None, store: str
) -> tuple[ModelHandle, MemoryParams, Artifact | None]:
    """The model, the parameters, and the memory to extend, which knows both; others that were given are refused later.

    Raises:
        InputError: neither a model nor a memory to extend, or that memory is of another model.
    """
    from pasctl.stages.memory import find_memory, model_of, params_of
    from pasctl.stages.model import ModelHandle
    from pasctl.stages.runner import open_store

    if extend is not None:
        parent = find_memory(open_store(store), extend)
        wanted = {name: value for name, value in given.items() if name != "seed"}
        return model_of(parent, model, options), replace(params_of(parent), **wanted), parent
    if model is None:
        raise InputError("there is no model, expected --model, or --extend with a memory", hint="see --help")
    handle = ModelHandle(model, options)
    return handle, m.memory_params(handle, given), None


def _steering(directions: str | None, persona: str | None, alpha: float | None) -> SteeringTarget | None:
    from pasctl.commands.target import SteeringTarget
    from pasctl.evaluation.alphas import AUTO

    target = SteeringTarget(directions=directions, persona=persona, alpha=AUTO if alpha is None else alpha)
    return target if target.given else None


def figures(described: dict[str, Any], *, size: int, seconds: float) -> str:
    """Figures of a memory as text.

    Args:
        described: its memory.json.
        size: its bytes in the store.
        seconds: that reading took.
    """
    names = ("tokens", "events", "events_outside_window", "mean_event_tokens", "mean_surprise")
    rows = [[name.replace("_", " "), f"{described[name]:,}"] for name in names]
    rows += [["bytes in the store", f"{size:,}"], ["seconds", f"{seconds:,.1f}"]]
    rows += [
        [f"surprise {each['surprise']:.1f} at {each['token']:,}", each["text"]] for each in described["boundaries"]
    ]
    return align(rows)
