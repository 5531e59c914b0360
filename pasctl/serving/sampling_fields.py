"""Fields that say how an answer's tokens are chosen, how many answers there are, and what is told of them."""

from __future__ import annotations

import secrets
from typing import Annotated

from pydantic import Field

from pasctl.generation.sampling_params import SamplingParams
from pasctl.generation.token_rules import TokenRules
from pasctl.serving.api_error import APIError
from pasctl.serving.structure_fields import StructureFields

_INT64 = 1 << 63
_MOST_TEXTS, _MOST_STOPS = 128, 128
_STRONGEST_BIAS = 100
LEAST_REPETITION, MOST_REPETITION = 0.01, 10.0  # logits that are divided by less may have no finite value
MOST_LIKELY = 20  # log-probabilities of most likely tokens, at most

Top = Annotated[int, Field(ge=0, le=MOST_LIKELY)]
Penalty = Annotated[float, Field(ge=-2, le=2)]
TokenId = Annotated[str, Field(pattern="^[0-9]{1,9}$")]
Bias = Annotated[float, Field(ge=-_STRONGEST_BIAS, le=_STRONGEST_BIAS)]


class SamplingFields(StructureFields):
    """Those that both kinds of requests have, with OpenAI's and vLLM's names."""

    n: int | None = Field(default=None, ge=1, le=_MOST_TEXTS, description="texts, of which each has a seed of its own")
    temperature: float | None = Field(default=None, ge=0, le=2, description="0 takes the most likely token")
    top_p: float | None = Field(default=None, gt=0, le=1)
    top_k: int | None = Field(default=None, ge=-1, le=1 << 31, description="0 and -1 are all tokens")
    min_p: float | None = Field(default=None, ge=0, le=1, description="least share of the likeliest one's probability")
    seed: int | None = Field(default=None, ge=-_INT64, lt=_INT64)
    presence_penalty: Penalty | None = Field(default=None, description="of tokens in the answer")
    frequency_penalty: Penalty | None = Field(default=None, description="of tokens in the answer, each time")
    repetition_penalty: float | None = Field(
        default=None,
        ge=LEAST_REPETITION,
        le=MOST_REPETITION,
        description="of tokens in prompt and answer: divides logits",
    )
    logit_bias: dict[TokenId, Bias] | None = Field(default=None, description="token id -> added to its logit")
    min_tokens: int | None = Field(default=None, ge=0, description="tokens before the answer may end")
    ignore_eos: bool | None = Field(default=None, description="write on when the model ends the answer")
    stop_token_ids: Annotated[list[int], Field(max_length=_MOST_STOPS, fail_fast=True)] | None = Field(
        default=None, description="tokens that end the answer as well"
    )
    prompt_logprobs: Top | None = Field(
        default=None, description="tell how likely each token of the prompt is, and as many most likely ones"
    )
    return_tokens_as_token_ids: bool | None = Field(default=None, description="tokens are token_id:ID in logprobs")

    @property
    def texts(self) -> int:
        """Texts of each prompt."""
        return self.n or 1

    def rules(self) -> TokenRules:
        """What alters the probabilities of tokens."""
        return TokenRules(
            top_k=max(self.top_k or 0, 0),
            min_p=self.min_p or 0.0,
            presence_penalty=self.presence_penalty or 0.0,
            frequency_penalty=self.frequency_penalty or 0.0,
            repetition_penalty=1.0 if self.repetition_penalty is None else self.repetition_penalty,
            logit_bias=tuple((int(token), bias) for token, bias in (self.logit_bias or {}).items()),
            min_tokens=self.min_tokens or 0,
            ignore_eos=bool(self.ignore_eos),
            stop_token_ids=frozenset(self.stop_token_ids or ()),
        )

    def sampling(self, tokens: int, retrieve_every: int) -> SamplingParams:
        """How tokens are chosen, at most `tokens` of them; without a seed it is another each time."""
        return SamplingParams(
            max_new_tokens=tokens,
            temperature=1.0 if self.temperature is None else self.temperature,
            top_p=1.0 if self.top_p is None else self.top_p,
            seed=secrets.randbits(63) if self.seed is None else self.seed,
            retrieve_every=retrieve_every,
        )

    def check(self, tokens: int, *, stream: bool) -> None:
        """Refuse fields that contradict each other.

        Args:
            tokens: that the answer may have.
            stream: whether the answer is sent in chunks.

        Raises:
            APIError: the answer must have more tokens than it may, or chunks have no place for what is wanted.
        """
        if (self.min_tokens or 0) > tokens:
            raise APIError(
                400, f"min_tokens is {self.min_tokens}, the answer may have at most {tokens} (max_tokens)", "min_tokens"
            )
        if stream and self.prompt_logprobs is not None:
            raise APIError(
                400, "prompt_logprobs cannot be streamed, expected stream to be false or left out", "prompt_logprobs"
            )
