"""The parameters of an episodic memory, with EM-LLM's names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pasctl.errors import InputError

POSITIONS = ("compact", "paper", "true")
SEGMENTERS = ("surprise", "fixed", "sentence", "random")
REFINEMENTS = ("none", "modularity", "conductance")
KV_DTYPES = ("model", "int8")
_SCALED = ("n_init", "n_local", "n_mem", "chunk", "max_block")
_LEAST_BLOCK = 32  # of max_block when it is scaled


@dataclass(frozen=True)
class MemoryParams:
    """How a text is cut into events and how events are recalled (EM-LLM, arXiv 2407.09450, section 3).

    Attributes:
        n_init: first tokens of the text, always attended.
        n_local: tokens before a chunk that are attended for certain; an event stays local until it leaves them whole.
        n_mem: at most this many tokens of recalled events, per layer and chunk; 0 recalls nothing.
        chunk: tokens that recall together; a pass through the model has several chunks where it can.
        min_block: fewest tokens of an event.
        max_block: most tokens of an event.
        repr_topk: keys that a representative is the mean of.
        gamma: a token begins an event when its surprise is above mean + gamma * std.
        refine: how boundaries are moved after they were found.
        refine_layers: layers whose keys that looks at; None is all that take memory.
        contiguity: share of n_mem that goes to the neighbours of the events found.
        positions: `compact`, recalled keys stand packed in order before the window; `paper`, all at distance
            n_local - 1; `true`, where they stood. The paper's own predicts text worse (README).
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
    refine_layers: tuple[int, ...] | None = None
    contiguity: float = 0.3
    positions: str = "compact"
    kv_dtype: str = "model"
    segmenter: str = "surprise"
    seed: int = 0

    @classmethod
    def for_context(cls, context: int | None, **given: Any) -> MemoryParams:
        """EM-LLM's defaults, halved until what one pass attends fits in a model's context; what is given stays.

        Args:
            context: tokens that the model's positions were made for; None if it does not say.
            **given: parameters by name; None leaves one to its default.
        """
        sizes: dict[str, int] = {name: getattr(cls, name) for name in _SCALED}
        named = {name: value for name, value in given.items() if value is not None}
        while context and sum(sizes.values()) - sizes["max_block"] > context and sizes["n_mem"] >= 4 * _LEAST_BLOCK:
            sizes = {name: size // 2 for name, size in sizes.items()}
            sizes["max_block"] = max(sizes["max_block"], _LEAST_BLOCK)
        return cls(**{**sizes, **named})

    def __post_init__(self) -> None:
        if self.refine_layers is not None:  # a list, when it comes from a file
            object.__setattr__(self, "refine_layers", tuple(self.refine_layers))
        for name in ("n_local", "chunk", "min_block", "repr_topk"):
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
        if self.n_mem and self.n_mem < self.max_block:
            raise InputError(
                f"n_mem is {self.n_mem}, fewer tokens than one event may have (max_block {self.max_block})",
                hint="raise n_mem or lower max_block; 0 recalls nothing",
            )
        least = self.chunk + 2 * self.max_block
        if self.n_local < max(least, self.n_init):
            raise InputError(
                f"n_local is {self.n_local}, expected at least {max(least, self.n_init)}: n_init, and chunk + "
                "2 * max_block, so that an event is closed before it leaves the window",
            )
        if not 0 <= self.contiguity < 1:
            raise InputError(f"contiguity is {self.contiguity}, expected from 0 to below 1")

    def require_question(self, tokens: int) -> None:
        """Refuse a question that the local window does not hold.

        Raises:
            InputError: it has no token, or more than n_local.
        """
        if not 0 < tokens <= self.n_local:
            raise InputError(
                f"a question has {tokens} tokens, expected 1 to {self.n_local} (n_local)",
                hint="put long text into the memory and ask about it",
            )
