"""Representatives: the few keys that stand for an event when events are looked for."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def representatives(keys: Tensor, mass: Tensor, spans: Sequence[tuple[int, int]], topk: int) -> Tensor:
    """The mean of the keys that received most attention while they were local (InfLLM; EM-LLM, section 3.3).

    Args:
        keys: unrotated, [L, G, n, D].
        mass: attention received, float32 [L, G, n].
        spans: first and behind-the-last token of each event.
        topk: keys to average; all of a shorter event. Of keys with equal mass the earlier is taken.

    Returns:
        [E, L, G, D] in the keys' dtype, averaged in float32.
    """
    found = []
    for first, stop in spans:
        best = mass[..., first:stop].sort(dim=-1, descending=True, stable=True).indices[..., :topk]
        places = best[..., None].expand(*best.shape, keys.shape[-1])
        found.append(keys[:, :, first:stop].gather(2, places).float().mean(2))
    return torch.stack(found).to(keys.dtype)
