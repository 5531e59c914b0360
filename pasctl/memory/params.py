"""The parameters of an episodic memory, with EM-LLM's names."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from pasctl.errors import InputError
from pasctl.option import check, option

Positions = Literal["compact", "paper", "true"]
Query = Literal["words", "last", "mean"]
Representatives = Literal["device", "cpu", "disk"]
Segmenter = Literal["surprise", "fixed", "sentence", "random"]
Refinement = Literal["none", "modularity", "conductance"]
SEGMENTERS: tuple[str, ...] = get_args(Segmenter)
REFINEMENTS: tuple[str, ...] = get_args(Refinement)
_SCALED = ("n_init", "n_local", "n_mem", "chunk", "max_block")
_SHORT = "less for a model with a short context"
_LEAST_BLOCK = 32  # of max_block when it is scaled


def parse_layers(text: str) -> tuple[int, ...]:
    """Layers from "0-3,7".

    Raises:
        InputError: a part is no layer or range.
    """
    layers: set[int] = set()
    for part in text.split(","):
        match = re.fullmatch(r"(\d{1,4})(?:-(\d{1,4}))?", part.strip())
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if first > last:
            raise InputError(f"layers {text!r}: {part.strip()!r} is no layer or range, expected for example 0-3,7")
        layers |= set(range(first, last + 1))
    return tuple(sorted(layers))


@dataclass(frozen=True)
class MemoryParams:
    """How a text is cut into events and how events are retrieved (EM-LLM, arXiv 2407.09450, section 3).

    Attributes:
        n_init: first tokens of the text, always attended.
        n_local: tokens before a chunk that are always attended; an event stays local until the window has left it.
        n_mem: peak number of tokens of retrieved events, per layer and chunk; 0 retrieves nothing.
        chunk: tokens that share one retrieval; a forward pass computes several chunks where it can.
        min_block: fewest tokens of an event.
        max_block: most tokens of an event.
        repr_topk: keys that a representative is the mean of.
        gamma: a token begins an event when its surprise is above mean + gamma * std.
        refine: how boundaries are moved after they were proposed.
        refine_layers: layers whose keys the refinement uses; None is every layer that has a memory.
        contiguity: share of n_mem that goes to the neighbours of the retrieved events.
        query: how events are looked for: a question by each of its `words`, or by the `last` one, and a chunk of text
            by its mean, all less what chunks usually look for and with each head at one scale; or, as in the paper,
            both by the `mean` query and the dot product (docs/memory.md).
        exact_recall: compare the mean query of a chunk with all events; otherwise, from `LEAST_SLABS` slabs on (see
            `pasctl.memory.vectors`), with those of the clusters that fit it best. Words are compared with all.
        representatives: where what stands for the events is kept, which questions are compared with: on the `device`
            that attends, on the `cpu`, or on `disk`, in temporary files of which the system keeps in memory what it
            has room for. No result depends on it.
        positions: `compact`, retrieved keys stand packed in order before the window; `paper`, all at distance
            n_local - 1; `true`, where they stood. The paper's own predicts text worse (README).
        kv_dtype: how keys and values are stored: in the model's dtype, or as int8 with a scale per head and token.
        segmenter: what proposes boundaries: surprise; or, for ablation, fixed and random ones every
            2 * min_block tokens, or the ends of sentences.
        seed: of the random segmenter; on the command line the command's --seed.
    """

    n_init: int = option(128, help=f"First tokens, always attended. Default: 128, {_SHORT}.", minimum=0, metavar="N")
    n_local: int = option(4096, help=f"Last tokens, always attended. Default: 4096, {_SHORT}.", minimum=1, metavar="N")
    n_mem: int = option(
        2048,
        help=f"Tokens retrieved per layer and chunk; 0 retrieves nothing. Default: 2048, {_SHORT}.",
        minimum=0,
        metavar="N",
    )
    chunk: int = option(512, help=f"Tokens that share one retrieval. Default: 512, {_SHORT}.", minimum=1, metavar="N")
    min_block: int = option(8, help="Fewest tokens of an event. Default: 8.", minimum=1, metavar="N")
    max_block: int = option(128, help=f"Most tokens of an event. Default: 128, {_SHORT}.", minimum=1, metavar="N")
    repr_topk: int = option(4, help="Keys averaged to represent an event. Default: 4.", minimum=1, metavar="N")
    gamma: float = option(1.0, help="Surprise threshold of an event: mean + gamma * std. Default: 1.", metavar="X")
    refine: Refinement = option("none", help="How event boundaries are refined. Default: none.")
    refine_layers: tuple[int, ...] | None = option(
        None,
        help="Layers whose keys the refinement uses, such as 0-3,7. Default: all.",
        metavar="LAYERS",
        parse=parse_layers,
    )
    contiguity: float = option(
        0.3, help="Share of n-mem for the neighbours of retrieved events. Default: 0.3.", metavar="X"
    )
    query: Query = option(
        "words",
        help="How a question looks for events: by each of its words, by the last, or by their mean as in the paper.",
    )
    exact_recall: bool = option(
        False,
        help="While a text is read, look through all events, not those that an index finds.",
        flag="--exact-recall",
        when_set=True,
    )
    representatives: Representatives = option(
        "device",
        help="Where what stands for events is kept: on the model's device, the CPU or disk. Default: device.",
        record="nowhere",
    )
    positions: Positions = option(
        "compact", help="Positions of retrieved keys. Default: compact.", name="memory_positions", flag="--positions"
    )
    kv_dtype: Literal["model", "int8"] = option(
        "model", help="How keys and values are stored: in the model's dtype, or int8. Default: model."
    )
    segmenter: Segmenter = option(
        "surprise", help="What events end at; all but surprise are for comparison. Default: surprise."
    )
    seed: int = 0

    @classmethod
    def for_context(cls, context: int | None, **given: Any) -> MemoryParams:
        """EM-LLM's defaults, halved until what one pass attends fits in a model's context; what is given stays.

        Sizes that are not given also follow those that are: `n_local=512` alone has chunks and events that fit in it.

        Args:
            context: tokens that the model's positions were made for; None if it does not say.
            **given: parameters by name; None leaves one at its default.

        Raises:
            InputError: those that are given contradict each other.
        """
        sizes: dict[str, int] = {name: getattr(cls, name) for name in _SCALED}
        named = {name: value for name, value in given.items() if value is not None}
        while context and sum(sizes.values()) - sizes["max_block"] > context and sizes["n_mem"] >= 4 * _LEAST_BLOCK:
            sizes = {name: size // 2 for name, size in sizes.items()}
            sizes["max_block"] = max(sizes["max_block"], _LEAST_BLOCK)
        free = {**sizes, "min_block": cls.min_block}
        return cls(**{**_following({name: size for name, size in free.items() if name not in named}, named), **named})

    def recorded(self) -> dict[str, Any]:
        """What decides results: all but where representatives are kept."""
        return {name: value for name, value in asdict(self).items() if name != "representatives"}

    def __post_init__(self) -> None:
        if self.refine_layers is not None:  # a list, when it comes from a file
            object.__setattr__(self, "refine_layers", tuple(self.refine_layers))
        check(self)
        if not math.isfinite(self.gamma):
            raise InputError(f"gamma is {self.gamma}, expected a number")
        if self.max_block < 2 * self.min_block:
            raise InputError(f"max_block is {self.max_block}, expected at least twice min_block {self.min_block}")
        if self.n_mem and self.n_mem < self.max_block:
            raise InputError(
                f"n_mem is {self.n_mem}, fewer tokens than one event may have (max_block {self.max_block})",
                hint="raise n_mem or lower max_block; 0 retrieves nothing",
            )
        least = self.chunk + 2 * self.max_block
        if self.n_local < max(least, self.n_init):
            raise InputError(
                f"n_local is {self.n_local}, expected at least {max(least, self.n_init)}: n_init, and chunk + "
                "2 * max_block, so that an event is closed before it leaves the window",
            )
        if not 0 <= self.contiguity < 1:
            raise InputError(f"contiguity is {self.contiguity}, expected from 0 to below 1")


def _following(free: dict[str, int], given: Mapping[str, Any]) -> dict[str, int]:
    """Sizes that nobody gave, moved no farther than those that are given ask for (see `MemoryParams.__post_init__`)."""
    sizes = {**free, **{name: int(given[name]) for name in (*_SCALED, "min_block") if name in given}}

    def lower(name: str, most: int) -> None:
        while name in free and sizes[name] > max(1, most):
            sizes[name] //= 2

    def lift(name: str, least: int) -> None:
        if name in free:
            sizes[name] = max(sizes[name], least)

    if sizes["n_mem"]:
        lower("max_block", sizes["n_mem"])
    while sizes["chunk"] + 2 * sizes["max_block"] > sizes["n_local"] and "n_local" in given:
        before = dict(sizes)
        lower("chunk", sizes["chunk"] - 1)
        if sizes["max_block"] > 2:
            lower("max_block", sizes["max_block"] - 1)
        if sizes == before:
            break
    lower("n_init", sizes["n_local"])
    lower("min_block", sizes["max_block"] // 2)
    lift("max_block", 2 * sizes["min_block"])
    lift("n_local", max(sizes["chunk"] + 2 * sizes["max_block"], sizes["n_init"]))
    if sizes["n_mem"]:
        lift("n_mem", sizes["max_block"])
    return {name: sizes[name] for name in free}
