"""What alters the probabilities of an answer's tokens; importable without torch."""

from __future__ import annotations

import math
from collections.abc import Set
from dataclasses import dataclass

from pasctl.errors import InputError
from pasctl.generation.structure import Structure


@dataclass(frozen=True)
class TokenRules:
    """Rules for an answer's tokens, with the names and the order of vLLM's.

    `logit_bias` and `min_tokens` come first, then the penalties, the temperature, `min_p`, `top_k`, and the share of
    `top_p` among what is left.

    Attributes:
        top_k: sample from this many most likely tokens; 0 or -1 is all.
        min_p: sample from tokens with at least this share of the most likely one's probability.
        presence_penalty: taken off the logit of each token that the answer has.
        frequency_penalty: the same, as often as the answer has it.
        repetition_penalty: what a positive logit of a token in prompt or answer is divided by, and a negative
            multiplied.
        logit_bias: (token, what is added to its logit).
        min_tokens: tokens before the answer may end by itself or by a stop string.
        ignore_eos: write on after a token that ends a text.
        stop_token_ids: tokens that end the answer as well, and are no part of it.
        structure: the form of the answer, of which no other rule can make a part; None is free text. Tokens that end
            the answer may come where the structure is complete, and nowhere else.
    """

    top_k: int = 0
    min_p: float = 0.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repetition_penalty: float = 1.0
    logit_bias: tuple[tuple[int, float], ...] = ()
    min_tokens: int = 0
    ignore_eos: bool = False
    stop_token_ids: frozenset[int] = frozenset()
    structure: Structure | None = None

    def __post_init__(self) -> None:
        if self.top_k < -1:
            raise InputError(f"top_k is {self.top_k}, expected at least 1, or 0 for all tokens")
        if not 0 <= self.min_p <= 1:
            raise InputError(f"min_p is {self.min_p}, expected 0 to 1")
        if self.min_tokens < 0:
            raise InputError(f"min_tokens is {self.min_tokens}, expected at least 0")
        if not 0 < self.repetition_penalty < math.inf:
            raise InputError(f"repetition_penalty is {self.repetition_penalty}, expected above 0")
        others = (self.presence_penalty, self.frequency_penalty, *(bias for _, bias in self.logit_bias))
        if not all(map(math.isfinite, others)):
            raise InputError("a penalty or a bias is infinite or no number, expected finite numbers")
        if self.structure is not None and self.min_tokens > 0:
            raise InputError("min_tokens is given with a structure, which says itself when the answer is complete")

    @property
    def penalises(self) -> bool:
        """Whether tokens that stand in prompt or answer get another logit."""
        return (self.presence_penalty, self.frequency_penalty, self.repetition_penalty) != (0, 0, 1)

    @property
    def alters_logits(self) -> bool:
        """Whether any logit is altered, at some step."""
        return self.penalises or bool(self.logit_bias) or self.min_tokens > 0

    def check(self, vocabulary: int) -> None:
        """Refuse tokens that the model does not have.

        Raises:
            InputError: there is such a token.
        """
        named = {"logit_bias": [token for token, _ in self.logit_bias], "stop_token_ids": sorted(self.stop_token_ids)}
        for name, tokens in named.items():
            for token in tokens:
                if not 0 <= token < vocabulary:
                    raise InputError(f"{name} names token {token}, expected 0 to {vocabulary - 1}")

    def ends(self, usual: Set[int]) -> Set[int]:
        """Tokens that end the answer, where `usual` end the model's texts."""
        return self.stop_token_ids | (frozenset() if self.ignore_eos else usual)
