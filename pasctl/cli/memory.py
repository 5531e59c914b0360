"""The memory commands: read a long text once, ask it later."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pasctl.cli import memory_options as m
from pasctl.cli import options as o
from pasctl.cli.output import Terminal, align, print_json, print_outcome

if TYPE_CHECKING:
    from pasctl.memory.asking import Decoding
    from pasctl.memory.episodic import EpisodicMemory
    from pasctl.stages.memory import Text

Ref = Annotated[str, typer.Argument(help="memory/model/label[@vN], a tag, a key, or latest.", metavar="REF")]
Temperature = Annotated[float, typer.Option("--temperature", help="0 takes the most likely token.")]
TopP = Annotated[float, typer.Option("--top-p", help="Sample from the likeliest tokens that hold this much together.")]
RetrieveEvery = Annotated[
    int, typer.Option("--retrieve-every", help="Recall events anew each so many tokens of the answer.")
]


def memory_run(
    texts: Annotated[list[str], typer.Argument(help="Text files in UTF-8, or - for stdin.", metavar="TEXT...")],
    model: o.Model,
    ask: Annotated[list[str] | None, typer.Option("--ask", help="Ask this when the text is read; may repeat.")] = None,
    label: Annotated[str | None, typer.Option("--label", help="Name of the memory; default: the file's.")] = None,
    n_init: m.NInit = None,
    n_local: m.NLocal = None,
    n_mem: m.NMem = None,
    chunk: m.Chunk = None,
    min_block: m.MinBlock = 8,
    max_block: m.MaxBlock = None,
    repr_topk: m.ReprTopk = 4,
    gamma: m.Gamma = 1.0,
    refine: m.Refine = "none",
    refine_layers: m.RefineLayers = None,
    contiguity: m.Contiguity = 0.3,
    memory_positions: m.Positions = "paper",
    kv_dtype: m.KvDtype = "model",
    segmenter: m.Segmenter = "surprise",
    max_new_tokens: m.MaxNewTokens = 64,
    temperature: Temperature = 0.0,
    top_p: TopP = 1.0,
    retrieve_every: RetrieveEvery = 1,
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
    from pasctl.stages.memory import open_memory
    from pasctl.stages.model import ModelHandle

    how = _decoding(max_new_tokens, temperature, top_p, seed, retrieve_every)
    loaded = [_text(text) for text in texts]
    handle = ModelHandle(model, o.model_options(revision, dtype, device, "auto", device_map, trust_remote_code))
    params = m.memory_params(
        handle,
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
    outcome = stage(handle, loaded, params=params, label=label, store=store, reporter=Terminal(), dry_run=dry_run)
    print_outcome(outcome, as_json=json)
    if outcome.artifact is None:
        return
    if not json:
        print(_figures(outcome.artifact.read_json("memory.json")))
    if ask:
        _answer(open_memory(outcome.artifact, handle, store=store, reporter=Terminal()), ask, how, as_json=json)


def memory_ask(
    ref: Ref,
    questions: Annotated[list[str], typer.Argument(help="One or several questions.", metavar="QUESTION...")],
    model: Annotated[
        str | None,
        typer.Option("--model", "-m", help="Where the model is now; default: where it was.", metavar="MODEL"),
    ] = None,
    max_new_tokens: m.MaxNewTokens = 64,
    temperature: Temperature = 0.0,
    top_p: TopP = 1.0,
    retrieve_every: RetrieveEvery = 1,
    seed: o.Seed = 0,
    store: o.StoreDir = "artifacts",
    json: o.Json = False,
) -> None:
    """Ask a text that was read earlier; it is not read again."""
    from pasctl.stages.memory import open_memory

    how = _decoding(max_new_tokens, temperature, top_p, seed, retrieve_every)
    _answer(open_memory(ref, model, store=store, reporter=Terminal()), questions, how, as_json=json)


def _decoding(max_new_tokens: int, temperature: float, top_p: float, seed: int, retrieve_every: int) -> Decoding:
    from pasctl.memory.asking import Decoding

    return Decoding(max_new_tokens, temperature, top_p, seed, retrieve_every)


def _text(path: str) -> Text:
    from pasctl.stages.memory import Text

    return Text.decode("stdin", sys.stdin.buffer.read()) if path == "-" else Text.load(path)


def _figures(described: dict[str, Any]) -> str:
    names = ("tokens", "events", "events_outside_window", "mean_event_tokens", "mean_surprise")
    rows = [[name.replace("_", " "), f"{described[name]:,}"] for name in names]
    rows += [
        [f"surprise {each['surprise']:.1f} at {each['token']:,}", each["text"]] for each in described["boundaries"]
    ]
    return align(rows)


def _answer(memory: EpisodicMemory, questions: list[str], how: Decoding, *, as_json: bool) -> None:
    """Stream one answer; several are written in one batch."""
    if len(questions) == 1 and not as_json:
        for piece in memory.stream(questions[0], how):
            print(piece, end="", flush=True)
        print()
        return
    for answer in memory.ask_all(questions, how):
        if as_json:
            recalled = [
                {"step": each.step, "layer": each.layer, "events": each.events, "scores": each.scores}
                for each in answer.recalled
            ]
            print_json({"question": answer.question, "answer": answer.text, "recalled": recalled})
        else:
            print(f"{answer.question}\n{answer.text}\n")
