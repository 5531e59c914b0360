"""The parameters of an episodic memory, with EM-LLM's names."""

from __future__ import annotations

from dataclasses import dataclass

from pasctl.errors import InputError

POSITIONS = ("paper", "compact", "true")
SEGMENTERS = ("surprise", "fixed", "sentence", "random")
REFINEMENTS = ("none", "modularity", "conductance")
KV_DTYPES = ("model", "int8")


@dataclass(frozen=True)
class MemoryParams:
    """How a text is cut into events and how events are recalled (EM-LLM, arXiv 2407.09450, section 3).

    Attributes:
        n_init: first tokens of the text, always attended.
        n_local: tokens before a chunk that are attended for certain; an event stays local until it leaves them whole.
        n_mem: at most this many tokens of recalled events, per layer and chunk.
        chunk: tokens of one forward pass.
        min_block: fewest tokens of an event.
        max_block: most tokens of an event.
        repr_topk: keys that a representative is the mean of.
        gamma: a token begins an event when its surprise is above mean + gamma * std.
        refine: how boundaries are moved after they were found.
        contiguity: share of n_mem that goes to the neighbours of the events found.
        positions: `paper`, all recalled keys at distance n_local - 1; `compact`, packed in order before the
            window; `true`, where they stood.
        kv_dtype: how keys and values are kept, in the model's dtype or as int8 with a scale a head and token.
        segmenter: what proposes boundaries: surprise; or, for ablation, fixed and random ones every
            2 * min_block tokens, or the ends of sentences.
        seed: of the random segmenter.
    """

    n_init: int = 128
    n_local: int = 4096
    n_mem: int = 2048
    chunk: int = 512
    min_block: int = 8
    max_block: int = 128
    repr_topk: int = 4
    gamma: float = 1.0
    refine: str = "none"
    contiguity: float = 0.3
    positions: str = "paper"
    kv_dtype: str = "model"
    segmenter: str = "surprise"
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("n_local", "n_mem", "chunk", "min_block", "repr_topk"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}, expected at least 1")
        for name, allowed in (
            ("positions", POSITIONS),
            ("segmenter", SEGMENTERS),
            ("refine", REFINEMENTS),
            ("kv_dtype", KV_DTYPES),
        ):
            if getattr(self, name) not in allowed:
                raise InputError(f"{name} {getattr(self, name)!r} is unknown, expected one of {', '.join(allowed)}")
        if self.n_init < 0:
            raise InputError(f"n_init is {self.n_init}, expected 0 or more")
        if self.max_block < 2 * self.min_block:
            raise InputError(f"max_block is {self.max_block}, expected at least twice min_block {self.min_block}")
        if self.n_mem < self.max_block:
            raise InputError(
                f"n_mem is {self.n_mem}, fewer tokens than one event may have (max_block {self.max_block})",
                hint="raise n_mem or lower max_block",
            )
        least = self.chunk + 2 * self.max_block
        if self.n_local < max(least, self.n_init):
            raise InputError(
                f"n_local is {self.n_local}, expected at least {max(least, self.n_init)}: n_init, and chunk + "
                "2 * max_block, so that an event is closed before it leaves the window",
            )
        if not 0 <= self.contiguity < 1:
            raise InputError(f"contiguity is {self.contiguity}, expected from 0 to below 1")
