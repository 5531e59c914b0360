"""Surprise: how unexpected each token is, without ever holding the logits of a whole vocabulary."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

# logits at once: on a CPU so few that they stay in its cache and on pages it has, elsewhere few large products
_LOGITS_AT_ONCE = {"cpu": 1 << 18}
_LOGITS_ELSEWHERE = 1 << 24


def token_surprise(
    hidden: Tensor,
    targets: Tensor,
    tile_logits: Callable[[Tensor, int, int], Tensor],
    vocabulary: int,
    tile: int | None = None,
) -> Tensor:
    """-log p(target) in nats, by a logsumexp that goes over the vocabulary in tiles (EM-LLM, equation 1).

    Args:
        hidden: [N, hidden], the state before each target.
        targets: int64 [N].
        tile_logits: (hidden, start, stop) -> logits float32 [N, stop - start].
        vocabulary: number of tokens.
        tile: tokens of one tile; None takes as many as suit the device.

    Returns:
        float32 [N]; finite whenever the logits are, however far the target's lies below the others.
    """
    if tile is None:
        tile = max(512, _LOGITS_AT_ONCE.get(hidden.device.type, _LOGITS_ELSEWHERE) // max(1, len(targets)))
    total = torch.full((len(targets),), -torch.inf, device=hidden.device)
    wanted = torch.zeros(len(targets), device=hidden.device)
    for start in range(0, vocabulary, tile):
        stop = min(start + tile, vocabulary)
        logits = tile_logits(hidden, start, stop)
        inside = (targets >= start) & (targets < stop)
        place = (targets - start).clamp(0, stop - start - 1)
        picked = logits.gather(1, place[:, None])[:, 0]
        # the cross-entropy is the tile's logsumexp less the picked logit, in one pass over the tile
        total = torch.logaddexp(total, torch.nn.functional.cross_entropy(logits, place, reduction="none") + picked)
        wanted = torch.where(inside, picked, wanted)
    return total - wanted
