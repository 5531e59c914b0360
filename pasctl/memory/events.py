"""The events of a text: where they begin, which have left the window, and the keys that represent those."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

from pasctl.memory.retrieval import choose_events, score_events

_BLOCK = 256


class Events:
    """Event starts in token order; the first `evicted` events are outside the window and can be recalled.

    Representatives are one vector a key-value head and event, in blocks of events, so that growing copies nothing.
    One a query head, as in the paper, would be up to eight times larger (Qwen3-30B-A3B: 390 KB an event), and they are
    what stays resident.

    Attributes:
        starts: first token of each event; the last one may still grow.
        pending: starts that refinement has not settled yet.
        evicted: number of events that have left the window.
    """

    def __init__(self, first: int, layers: int, kv_heads: int, head_dim: int, dtype: torch.dtype) -> None:
        self.starts = [first]
        self.pending: list[int] = []
        self.evicted = 0
        self._shape = (layers, _BLOCK, kv_heads, head_dim)
        self._dtype = dtype
        self._blocks: list[Tensor] = []
        self._lengths: list[int] = []

    @property
    def open(self) -> int:
        """First token of the event that still grows."""
        return self.pending[-1] if self.pending else self.starts[-1]

    def evict(self, representatives: Tensor) -> None:
        """The next events leave the window; representatives [E, L, G, D] stand for them."""
        for vector in representatives:
            place = self.evicted % _BLOCK
            if place == 0:
                self._blocks.append(torch.zeros(self._shape, dtype=self._dtype, device=vector.device))
            self._blocks[-1][:, place] = vector
            self.evicted += 1
        bounds = self.starts[len(self._lengths) : self.evicted + 1]
        self._lengths += [stop - start for start, stop in pairwise(bounds)]

    def representatives(self, first: int) -> Tensor:
        """Representatives [E, L, G, D] of the evicted events from number `first` on."""
        rows = [self._blocks[n // _BLOCK][:, n % _BLOCK] for n in range(first, self.evicted)]
        return torch.stack(rows) if rows else torch.empty(0, *self._shape[:1], *self._shape[2:], dtype=self._dtype)

    def span(self, event: int) -> tuple[int, int]:
        """First token of an event, and the one behind its last."""
        return self.starts[event], self.starts[event + 1]

    def recall(
        self, layer: int, query: Tensor, queues: list[list[int]], budget: int, contiguity: float
    ) -> list[tuple[list[int], list[float]]]:
        """Events to attend in one layer, a row each: their numbers in text order, and their scores.

        Args:
            layer: the layer.
            query: the chunk's mean query summed over each group's heads, [B, G, D].
            queues: each row's queue of neighbours; replaced by the new ones.
            budget: tokens.
            contiguity: share of the budget for neighbours.
        """
        if not self.evicted:
            return [([], []) for _ in queues]
        scores = torch.cat([score_events(query, block[layer]) for block in self._blocks], dim=1)[
            :, : self.evicted
        ].cpu()
        found = []
        for row, queue in enumerate(queues):
            hits, neighbours, queues[row] = choose_events(
                scores[row], self._lengths, budget=budget, contiguity=contiguity, queue=queue
            )
            chosen = sorted([*hits, *neighbours])
            found.append((chosen, scores[row, chosen].tolist()))
        return found
