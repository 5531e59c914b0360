"""How texts are written; importable without torch."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pasctl.errors import InputError
from pasctl.option import check, option

COLDEST, HOTTEST = 1e-5, 1e30
"""Below the first a temperature takes the most likely token; above the second it changes nothing more in float32."""


@dataclass(frozen=True)
class SamplingParams:
    """How texts are written.

    Attributes:
        max_new_tokens: peak number of tokens per text.
        temperature: 0, or anything below `COLDEST`, takes the most likely token.
        top_p: sample from the most likely tokens that have this probability together.
        seed: of the sampling.
        retrieve_every: with a memory, retrieve events anew every N tokens of the answer, and at least every `chunk`.
        think: let the model think before it answers, where its chat template has a switch for it.
    """

    max_new_tokens: int = option(64, help="Most tokens per answer.", minimum=1, metavar="N")
    temperature: float = option(0.0, help="Sampling temperature; 0 takes the most likely token.", metavar="T")
    top_p: float = option(1.0, help="Sample from the most likely tokens that reach this probability.", metavar="P")
    seed: int = 0
    retrieve_every: int = option(1, help="Retrieve events anew every N tokens of an answer.", minimum=1, metavar="N")
    think: bool = option(False, help="Let the model think before it answers, if its chat template has the switch.")

    def __post_init__(self) -> None:
        check(self)
        if not 0 <= self.temperature < math.inf:  # NaN is neither
            raise InputError(f"temperature is {self.temperature}, expected 0 or more")
        if not 0 < self.top_p <= 1:
            raise InputError(f"top_p is {self.top_p}, expected above 0 and at most 1")

    @property
    def greedy(self) -> bool:
        """Whether the most likely token is taken; logits over a smaller temperature are infinite in float32."""
        return self.temperature < COLDEST


Decoding = SamplingParams
"""The documented earlier name."""
