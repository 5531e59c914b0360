"""`pasctl memory-ask`: ask a text that was read earlier."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pasctl.cli import memory_options as m
from pasctl.cli import options as o
from pasctl.cli.output import Terminal, print_json, print_outcome

if TYPE_CHECKING:
    from pasctl.generation.sampling_params import SamplingParams
    from pasctl.models.options import ModelOptions
    from pasctl.stages.model import ModelHandle
    from pasctl.stages.runner import Artifact, Outcome


def memory_ask(
    ref: Annotated[str, typer.Argument(help="memory/model/label[@vN], a tag, a key, or latest.", metavar="REF")],
    questions: Annotated[list[str], typer.Argument(help="One or several questions.", metavar="QUESTION...")],
    model: Annotated[
        str | None,
        typer.Option("--model", "-m", help="Where the model is now; default: where it was.", metavar="MODEL"),
    ] = None,
    max_new_tokens: m.MaxNewTokens = 64,
    temperature: m.Temperature = 0.0,
    top_p: m.TopP = 1.0,
    retrieve_every: m.RetrieveEvery = 1,
    think: m.Think = False,
    seed: o.Seed = 0,
    device: o.Device = "auto",
    trust_remote_code: o.TrustRemoteCode = False,
    store: o.StoreDir = "artifacts",
    dry_run: o.DryRun = False,
    json: o.Json = False,
) -> None:
    """Ask a text that was read earlier; it is not read again, and what was asked before is not answered again."""
    from pasctl.models.options import ModelOptions

    how = decoding(max_new_tokens, temperature, top_p, seed, retrieve_every, think)
    options = ModelOptions(device=device, trust_remote_code=trust_remote_code)
    answer(ref, questions, how, model=model, options=options, store=store, dry_run=dry_run, as_json=json)


def decoding(
    max_new_tokens: int, temperature: float, top_p: float, seed: int, retrieve_every: int, think: bool
) -> SamplingParams:
    """How answers are written, as one value."""
    from pasctl.generation.sampling_params import SamplingParams

    return SamplingParams(max_new_tokens, temperature, top_p, seed, retrieve_every, think)


def answer(
    memory: str | Artifact,
    questions: list[str],
    how: SamplingParams,
    *,
    model: str | ModelHandle | None = None,
    options: ModelOptions | None = None,
    store: str,
    dry_run: bool = False,
    as_json: bool,
) -> None:
    """Ask a memory and print the answers: an only one as it is written, several when all are; or a JSON document each.

    Args:
        memory: a reference, or the memory itself.
        questions: what to ask.
        how: how answers are written.
        model: where the model is now, or the model; None takes it from where it was.
        options: how to load it.
        store: the store's folder.
        dry_run: print what would be done, and do nothing.
        as_json: print JSON.
    """
    from pasctl.stages.memory_ask import memory_ask as stage
    from pasctl.stages.memory_ask import read_answers

    pieces: list[str] = []

    def on_piece(piece: str) -> None:
        pieces.append(piece)
        print(piece, end="", flush=True)

    outcome = stage(
        memory,
        questions,
        how,
        model=model,
        options=options,
        store=store,
        reporter=Terminal(),
        dry_run=dry_run,
        on_piece=None if as_json else on_piece,
    )
    if outcome.artifact is None or dry_run:
        print_outcome(outcome, as_json=as_json)
        return
    found = read_answers(outcome.artifact)
    if as_json:
        for each in found:
            print_json({**each, "name": outcome.artifact.name, "reused": outcome.reused})
    elif len(found) == 1:
        print("" if pieces else found[0]["answer"])
    else:
        for each in found:
            print(f"{each['question']}\n{each['answer']}\n")
    if not as_json:
        _tell(outcome, outcome.artifact.name, found)


def _tell(outcome: Outcome, name: str, found: list[dict[str, Any]]) -> None:
    """What is good to know beside the answers, on stderr."""
    told = "was in the store, nothing was loaded or run" if outcome.reused else "is kept in the store"
    print(f"{name} {told}", file=sys.stderr)
    for each in found:
        if each["stop"] == "length":
            which = "the answer" if len(found) == 1 else f"the answer to {each['question']!r}"
            print(f"{which} was cut off after {each['tokens']} tokens (--max-new-tokens)", file=sys.stderr)
