"""Drawing the next token."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

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
        self._rules, self._prompt, self._ends = rules, list(set(prompt)), sorted(ends)
        self._written: list[int] = []

    def wrote(self, token: int) -> None:
        """The answer has got another token."""
        self._written.append(token)

    def __call__(self, logits: Tensor) -> Tensor:
        """The altered logits [1, vocabulary] of the model's."""
        rules, logits = self._rules, logits.clone()
        for token, bias in rules.logit_bias:
            logits[:, token] += bias
        if len(self._written) < rules.min_tokens:
            logits[:, self._ends] = -torch.inf
        if rules.penalises:
            self._penalise(logits)
        return logits

    def _penalise(self, logits: Tensor) -> None:
        rules, device = self._rules, logits.device
        seen = torch.tensor(sorted({*self._prompt, *self._written}), device=device)
        own = logits[:, seen]
        logits[:, seen] = torch.where(own > 0, own / rules.repetition_penalty, own * rules.repetition_penalty)
        if self._written:
            counts = Counter(self._written)
            times = torch.tensor(list(counts.values()), device=device)
            logits[:, list(counts)] -= rules.frequency_penalty * times + rules.presence_penalty
