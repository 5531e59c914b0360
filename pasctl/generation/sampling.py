"""Drawing the next token."""

from __future__ import annotations

import torch
from torch import Tensor

from pasctl.generation.sampling_params import HOTTEST, SamplingParams


def sample(logits: Tensor, params: SamplingParams, generator: torch.Generator) -> list[int]:
    """One token per row of logits [B, vocabulary], drawn on the CPU so that a seed means the same everywhere."""
    if params.greedy:
        return [int(token) for token in logits.argmax(-1)]
    ordered, tokens = (logits.cpu() / min(params.temperature, HOTTEST)).softmax(-1).sort(-1, descending=True)
    before = ordered.cumsum(-1) - ordered
    before[:, 0] = -1.0  # the most likely token stays, however small top_p is: 1e-300 is 0 in float32
    kept = ordered.masked_fill(before >= params.top_p, 0.0)
    drawn = torch.multinomial(kept, 1, generator=generator)
    return [int(token) for token in tokens.gather(-1, drawn)[:, 0]]
