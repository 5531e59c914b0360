"""Drawing the next token."""

from __future__ import annotations

import torch
from torch import Tensor

from pasctl.generation.sampling_params import SamplingParams


def sample(logits: Tensor, params: SamplingParams, generator: torch.Generator) -> list[int]:
    """One token per row of logits [B, vocabulary], drawn on the CPU so that a seed means the same everywhere."""
    if params.temperature == 0:
        return [int(token) for token in logits.argmax(-1)]
    ordered, tokens = (logits.cpu() / params.temperature).softmax(-1).sort(-1, descending=True)
    before = ordered.cumsum(-1) - ordered
    kept = ordered.masked_fill(before >= params.top_p, 0.0)
    drawn = torch.multinomial(kept, 1, generator=generator)
    return [int(token) for token in tokens.gather(-1, drawn)[:, 0]]
