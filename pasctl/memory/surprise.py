"""Surprise: how unexpected each token is, without ever holding the logits of a whole vocabulary."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def token_surprise(
    hidden: Tensor,
    targets: Tensor,
    tile_logits: Callable[[Tensor, int, int], Tensor],
    vocabulary: int,
    tile: int = 8192,
) -> Tensor:
    """-log p(target) in nats, by a logsumexp that goes over the vocabulary in tiles (EM-LLM, equation 1).

    Args:
        hidden: [N, hidden], the state before each target.
        targets: int64 [N].
        tile_logits: (hidden, start, stop) -> logits float32 [N, stop - start].
        vocabulary: number of tokens.
        tile: tokens of one tile.

    Returns:
        float32 [N]; finite whenever the logits are, however far the target's lies below the others.
    """
    rows = torch.arange(len(targets), device=hidden.device)
    total = torch.full((len(targets),), -torch.inf, device=hidden.device)
    wanted = torch.zeros(len(targets), device=hidden.device)
    for start in range(0, vocabulary, tile):
        stop = min(start + tile, vocabulary)
        logits = tile_logits(hidden, start, stop)
        total = torch.logaddexp(total, logits.logsumexp(-1))
        inside = (targets >= start) & (targets < stop)
        wanted = torch.where(inside, logits[rows, (targets - start).clamp(0, stop - start - 1)], wanted)
    return total - wanted
