"""Options of the memory commands that several of them share."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pasctl.errors import InputError

if TYPE_CHECKING:
    from pasctl.memory.params import MemoryParams
    from pasctl.stages.model import ModelHandle

_SCALED = "default {}, less for a model with a short context."

NInit = Annotated[
    int | None, typer.Option("--n-init", help=f"First tokens, always attended; {_SCALED.format(128)}", metavar="N")
]
NLocal = Annotated[
    int | None, typer.Option("--n-local", help=f"Last tokens, always attended; {_SCALED.format(4096)}", metavar="N")
]
NMem = Annotated[
    int | None, typer.Option("--n-mem", help=f"Tokens recalled, a layer and chunk; {_SCALED.format(2048)}", metavar="N")
]
Chunk = Annotated[
    int | None, typer.Option("--chunk", help=f"Tokens that recall together; {_SCALED.format(512)}", metavar="N")
]
MinBlock = Annotated[int | None, typer.Option("--min-block", help="Fewest tokens of an event; default 8.", metavar="N")]
MaxBlock = Annotated[
    int | None, typer.Option("--max-block", help=f"Most tokens of an event; {_SCALED.format(128)}", metavar="N")
]
ReprTopk = Annotated[
    int | None, typer.Option("--repr-topk", help="Keys averaged to represent an event; default 4.", metavar="N")
]
Gamma = Annotated[
    float | None, typer.Option("--gamma", help="Surprise threshold: mean + gamma * std; default 1.", metavar="X")
]
Refine = Annotated[
    str | None,
    typer.Option("--refine", help="Move boundaries by: none (default), modularity or conductance.", metavar="NAME"),
]
RefineLayers = Annotated[
    str | None, typer.Option("--refine-layers", help="Layers whose keys refinement looks at: 0-3,7; default: all.")
]
Contiguity = Annotated[
    float | None,
    typer.Option("--contiguity", help="Share of n-mem for events' neighbours; default 0.3.", metavar="X"),
]
Positions = Annotated[
    str | None,
    typer.Option("--positions", help="Of recalled keys: compact (default), paper or true.", metavar="NAME"),
]
KvDtype = Annotated[
    str | None, typer.Option("--kv-dtype", help="Keep keys and values as: model (default), or int8.", metavar="NAME")
]
Segmenter = Annotated[
    str | None,
    typer.Option(
        "--segmenter", help="Events by surprise (default); or fixed, sentence, random to compare.", metavar="NAME"
    ),
]
MaxNewTokens = Annotated[int, typer.Option("--max-new-tokens", help="At most this many tokens an answer.")]
Temperature = Annotated[float, typer.Option("--temperature", help="0 takes the most likely token.")]
TopP = Annotated[float, typer.Option("--top-p", help="Sample from the likeliest tokens that hold this much together.")]
RetrieveEvery = Annotated[
    int, typer.Option("--retrieve-every", help="Recall events anew each so many tokens of the answer.")
]
Think = Annotated[
    bool, typer.Option("--think", help="Let the model think before it answers, if its chat template has the switch.")
]


def given_params(*, refine_layers: str | None, **given: Any) -> dict[str, Any]:
    """Those parameters of a memory that the user gave."""
    layers = None if refine_layers is None else parse_layers(refine_layers)
    return {name: value for name, value in {**given, "refine_layers": layers}.items() if value is not None}


def memory_params(handle: ModelHandle, given: dict[str, Any]) -> MemoryParams:
    """The parameters that were given, the others scaled to the model's context."""
    from pasctl.memory.params import MemoryParams

    return MemoryParams.for_context(handle.context(), **given)


def parse_layers(text: str) -> tuple[int, ...]:
    """Layers from "0-3,7".

    Raises:
        InputError: no such list.
    """
    found: set[int] = set()
    for part in text.split(","):
        match = re.fullmatch(r"(\d+)(?:-(\d+))?", part.strip())
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if first > last:
            raise InputError(f"layers {text!r}: {part.strip()!r} is no layer or range, expected for example 0-3,7")
        found |= set(range(first, last + 1))
    return tuple(sorted(found))


def parse_tokens(text: str) -> tuple[int, ...]:
    """Numbers of tokens from "512,4k,1m"; k is 1024 and m is 1024 * 1024.

    Raises:
        InputError: a part is no such number.
    """
    found = []
    for part in text.split(","):
        match = re.fullmatch(r"(\d+)([km]?)", part.strip().lower())
        if not match or int(match[1]) == 0:
            raise InputError(f"lengths {text!r}: {part.strip()!r} is no number of tokens, expected for example 4k,16k")
        found.append(int(match[1]) * {"": 1, "k": 1024, "m": 1024 * 1024}[match[2]])
    return tuple(found)
