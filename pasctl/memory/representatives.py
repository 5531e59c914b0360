"""Representatives: the few keys that stand for an event when events are looked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Places:
    """Where events lie: one row each, padded to the longest.

    Attributes:
        index: positions of their tokens, int64 [E, longest].
        padding: bool [E, longest].
    """

    index: Tensor
    padding: Tensor

    @classmethod
    def of(cls, spans: Sequence[tuple[int, int]], device: str | torch.device = "cpu") -> Places:
        """Those of events given by the first token and the one behind the last."""
        first, stop = torch.tensor(spans, device=device).T[..., None]
        steps = torch.arange(max(b - a for a, b in spans), device=device)
        return cls(torch.minimum(first + steps, stop - 1), steps >= stop - first)

    def on(self, device: torch.device) -> Places:
        """The same on a device."""
        return Places(self.index.to(device), self.padding.to(device))

    def since(self, start: int) -> Places:
        """The same, counted from position `start`."""
        return Places(self.index - start, self.padding)


def representatives(key: Tensor, mass: Tensor, places: Places, topk: int) -> Tensor:
    """The mean of the keys that received most attention while they were local (InfLLM; EM-LLM, section 3.3).

    Args:
        key: unrotated, [G, n, D].
        mass: attention received, float32 [G, n].
        places: of the events, counted from the first key.
        topk: keys to average; all of a shorter event. Of keys with equal mass the earlier is taken.

    Returns:
        float32 [E, G, D].
    """
    received = mass[:, places.index].masked_fill(places.padding, -torch.inf)
    best = received.sort(dim=-1, descending=True, stable=True).indices[..., :topk]
    index = places.index.expand(len(key), -1, -1).gather(2, best)
    kept = ~places.padding.expand(len(key), -1, -1).gather(2, best)[..., None]
    chosen = key[torch.arange(len(key), device=key.device)[:, None, None], index].float()
    return ((chosen * kept).sum(2) / kept.sum(2)).transpose(0, 1)
