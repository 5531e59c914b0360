"""How texts are written; importable without torch."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pasctl.errors import InputError


@dataclass(frozen=True)
class SamplingParams:
    """How texts are written.

    Attributes:
        max_new_tokens: peak number of tokens per text.
        temperature: 0 takes the most likely token.
        top_p: sample from the most likely tokens that have this probability together.
        seed: of the sampling.
        retrieve_every: with a memory, retrieve events anew every N tokens of the answer.
        think: let the model think before it answers, where its chat template has a switch for it.
    """

    max_new_tokens: int = 64
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    retrieve_every: int = 1
    think: bool = False

    def __post_init__(self) -> None:
        for name in ("max_new_tokens", "retrieve_every"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}, expected at least 1")
        if not 0 <= self.temperature < math.inf:  # NaN is neither
            raise InputError(f"temperature is {self.temperature}, expected 0 or more")
        if not 0 < self.top_p <= 1:
            raise InputError(f"top_p is {self.top_p}, expected above 0 and at most 1")


Decoding = SamplingParams
"""The documented earlier name."""
