"""Drawing the next token."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pasctl.generation.sampling_params import HOTTEST, SamplingParams
from pasctl.generation.token_rules import TokenRules

_NO_RULES = TokenRules()


def sample(
    logits: Tensor, params: SamplingParams, generator: torch.Generator, rules: TokenRules = _NO_RULES
) -> list[int]:
    """One token per row of logits [B, vocabulary], drawn on the CPU so that a seed means the same everywhere.

    Of `rules` those count that leave tokens out; the others have altered the logits already (see `AlteredLogits`).
    """
    if params.greedy:
        return [int(token) for token in logits.argmax(-1)]
    ordered, tokens = (logits.cpu() / min(params.temperature, HOTTEST)).softmax(-1).sort(-1, descending=True)
    if rules.min_p > 0 or rules.top_k > 0:
        ordered = _left(ordered, rules)
    before = ordered.cumsum(-1) - ordered
    before[:, 0] = -1.0  # the most likely token stays, however small top_p is: 1e-300 is 0 in float32
    kept = ordered.masked_fill(before >= params.top_p, 0.0)
    drawn = torch.multinomial(kept, 1, generator=generator)
    return [int(token) for token in tokens.gather(-1, drawn)[:, 0]]


def _left(ordered: Tensor, rules: TokenRules) -> Tensor:
    """Probabilities [B, vocabulary], likeliest first, of the tokens that min_p and top_k leave; the others have 0."""
    ordered = ordered.masked_fill(ordered < rules.min_p * ordered[:, :1], 0.0)
    if rules.top_k > 0:
        ordered[:, rules.top_k :] = 0.0
    return ordered / ordered.sum(-1, keepdim=True)


class AlteredLogits:
    """The logits of one answer's next token under its rules; knows what stands in prompt and answer."""

    def __init__(self, rules: TokenRules, prompt: Sequence[int], ends: Collection[int]) -> None:
        """Begin an answer.

        Args:
            rules: of the answer.
            prompt: its prompt's tokens.
            ends: tokens that may not be written before `min_tokens` others.
        """
        self._rules, self._prompt, self._ends = rules, prompt, sorted(ends)
        self._written, self._new = 0, list[int]()
        self._state: _TokenState | None = None

    def wrote(self, token: int) -> None:
        """The answer has got another token."""
        self._written += 1
        self._new.append(token)

    def __call__(self, logits: Tensor) -> Tensor:
        """The altered logits [1, vocabulary] of the model's."""
        rules = self._rules
        if self._state is None:
            self._state = _TokenState.of(logits[0], rules, self._prompt)
        state = self._state
        for token in self._new:
            state.seen[token] = True
            state.counts[token] += 1
        self._new.clear()
        logits = logits + state.bias
        if self._written < rules.min_tokens:
            logits[:, self._ends] = -torch.inf
        if not rules.penalises:
            return logits
        repeated = torch.where(logits > 0, logits / rules.repetition_penalty, logits * rules.repetition_penalty)
        logits = torch.where(state.seen, repeated, logits)
        return logits - rules.frequency_penalty * state.counts - rules.presence_penalty * (state.counts > 0)


@dataclass(frozen=True, eq=False)
class _TokenState:
    """What is known of each token of the vocabulary, [vocabulary] on the device of the logits.

    Attributes:
        bias: what is added to its logit.
        seen: whether it stands in prompt or answer.
        counts: how often it stands in the answer.
    """

    bias: Tensor
    seen: Tensor
    counts: Tensor

    @classmethod
    def of(cls, logits: Tensor, rules: TokenRules, prompt: Sequence[int]) -> _TokenState:
        """That of an answer without tokens; logits [vocabulary] are like its own."""
        bias, device = torch.zeros_like(logits), logits.device
        if rules.logit_bias:
            tokens, values = zip(*rules.logit_bias, strict=True)
            bias.index_add_(0, torch.tensor(tokens, device=device), torch.tensor(values, device=device))
        seen = torch.zeros_like(logits, dtype=torch.bool)
        seen[torch.tensor(list(prompt), device=device)] = True
        return cls(bias, seen, torch.zeros_like(logits))
