"""The events of a text: where they begin, which have left the window, and the keys that represent those."""

from __future__ import annotations

import copy
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import count, pairwise

import torch
from torch import Tensor

from pasctl.memory.index import Index
from pasctl.memory.retrieval import choose_events, fill_budget, rank_events
from pasctl.memory.rounded import Rounded
from pasctl.memory.vectors import BLOCK, LayerVectors, Similarity


class Events:
    """Event starts in token order; the first `evicted` events are outside the window and can be recalled.

    Representatives are one vector a key-value head and event, in blocks of events, so that growing copies nothing.
    One a query head, as in the paper, would be up to eight times larger (Qwen3-30B-A3B: 390 KB an event), and they are
    what stays resident. They are kept in eight bits, less what they have in common.

    Attributes:
        common: layer -> what keys have in common, about, float32 [G, 1, D]; it is to be known before the first event
            leaves, and is the first keys' (see `pasctl.memory.codec.common_part`).
        starts: first token of each event; the last one may still grow.
        pending: starts that refinement has not settled yet.
        evicted: number of events that have left the window.
        rescore: layer and scores float32 [E] -> the scores that decide instead, for ablation; None leaves them.
    """

    def __init__(
        self,
        first: int,
        kv_heads: int,
        head_dim: int,
        devices: Sequence[torch.device],
        *,
        index: Sequence[Similarity | None] = (),
        on_disk: bool = False,
    ) -> None:
        """Begin before the first event.

        Args:
            first: first token of the first event.
            kv_heads: heads of keys.
            head_dim: components of a head.
            devices: that each layer's representatives are kept on.
            index: what is looked for with an index, by layer; without one all events are compared.
            on_disk: whether most of them are kept in files (see `LayerVectors`).
        """
        self.starts = [first]
        self.pending: list[int] = []
        self.evicted = 0
        self.rescore: Callable[[int, Tensor], Tensor] | None = None
        self.common: dict[int, Tensor] = {}
        self._shape, self._devices = (kv_heads, head_dim), tuple(devices)
        self._layers = [LayerVectors(kind, on_disk=on_disk) for kind in index or [None] * len(devices)]
        self._lengths: list[int] = []
        self._recency, self._recency_weight = torch.empty(0), 0.0

    @property
    def open(self) -> int:
        """First token of the event that still grows."""
        return self.pending[-1] if self.pending else self.starts[-1]

    def outside(self, position: int) -> int:
        """How many events end at a position or before it, or have left the window already."""
        return max(self.evicted, bisect_right(self.starts, position) - 1)

    def leave(self, until: int) -> None:
        """The events before number `until` leave the window; each layer is to `represent` them."""
        self._lengths += [stop - start for start, stop in pairwise(self.starts[self.evicted : until + 1])]
        self.evicted = until
        while self._layers[-1].room < until:
            for layer, block in zip(self._layers, self._block(), strict=True):
                layer.add_room(block)

    def represent(self, layer: int, first: int, vectors: Tensor) -> None:
        """Let vectors [E, G, D] stand for the events from number `first` on, in one layer."""
        rounded = Rounded.of(vectors, self.common[layer][:, 0].to(vectors.device))
        self._layers[layer].put(first, rounded)

    def represent_all(self, first: int, rounded: Rounded) -> None:
        """Let what `rounded` gave stand for the events from number `first` on."""
        for number, layer in enumerate(self._layers):
            layer.put(first, rounded[:, number])

    def representatives(self, first: int) -> Tensor:
        """Representatives float32 [E, L, G, D] of the evicted events from number `first` on, on the CPU."""
        return self.rounded(first).values() + self.common_part

    def rounded(self, first: int) -> Rounded:
        """The same as they are kept, steps [E, L, G, D]."""
        cpu, kept = torch.device("cpu"), [layer.get(first, self.evicted) for layer in self._layers]
        none = Rounded.room(0, *self._shape, device=cpu)
        return Rounded.stacked([Rounded.joined([none, *(part.on(cpu) for part in parts)]) for parts in kept])

    @property
    def common_part(self) -> Tensor:
        """What representatives are kept without, float32 [L, G, D] on the CPU."""
        none = torch.zeros(self._shape[0], 1, self._shape[1])
        return torch.stack([self.common.get(layer, none)[:, 0].cpu() for layer in range(len(self._layers))])

    @property
    def indexes(self) -> list[Index]:
        """The indexes of the layers that have one, with all slabs that are full."""
        for layer in self._layers:
            layer.settle(self.evicted)
        return [layer.index for layer in self._layers if layer.index is not None]

    @property
    def compared(self) -> int:
        """Vectors that queries were compared with, of events and of clusters, summed over layers."""
        return sum(layer.compared for layer in self._layers)

    def _block(self) -> list[Rounded]:
        """Room for more representatives; layers on one device share a tensor."""
        rooms = {
            device: Rounded.room(layers, BLOCK, *self._shape, device=device)
            for device, layers in Counter(self._devices).items()
        }
        places = {device: count() for device in rooms}
        return [rooms[device][next(places[device])] for device in self._devices]

    def fork(self) -> Events:
        """Events that go on after the same ones, and leave these as they are; what is full is shared."""
        fork = copy.copy(self)
        fork.starts, fork.pending = list(self.starts), list(self.pending)
        fork._lengths, fork.common = list(self._lengths), dict(self.common)
        fork._layers = [layer.fork(self.evicted) for layer in self._layers]
        return fork

    def span(self, event: int) -> tuple[int, int]:
        """First token of an event, and the one behind its last."""
        return self.starts[event], self.starts[event + 1]

    def recall(
        self,
        layer: int,
        query: Tensor,
        queue: Sequence[int],
        *,
        outside: int,
        budget: int,
        contiguity: float,
        by_word: bool = False,
        by_index: bool = False,
    ) -> tuple[list[int], list[float], list[int]]:
        """Events to attend in one layer: their numbers in text order, their scores, and the new queue of neighbours.

        Args:
            layer: the layer.
            query: float32 [T, G, D], summed over each group's heads: a chunk's mean, T = 1; or a question's words less
                the usual query.
            queue: of neighbours.
            outside: events before this number were outside the window when the chunk began.
            budget: tokens.
            contiguity: share of the budget for neighbours.
            by_word: whether an event is wanted that fits one of the queries, rather than their only one.
            by_index: whether the query is the mean one of a whole chunk, for which there is an index.
        """
        if not outside:
            return [], [], []
        query = query.to(self._devices[layer])
        vectors, whole = self._layers[layer], self.rescore is not None or self._recency_weight
        found = vectors.candidates(query[0], outside, budget) if by_index and not whole else None
        if found is not None:
            order = found.events.cpu()[rank_events(found.scores.cpu(), budget, found.lowest)].tolist()
            hits, neighbours, queue = fill_budget(
                order, outside, self._lengths, budget=budget, contiguity=contiguity, queue=queue
            )
            chosen = sorted([*hits, *neighbours])
            return chosen, found.score(chosen).tolist(), queue
        scores = self._newer_first(vectors.all_scores(query, outside, by_word=by_word).cpu())
        scores = scores if self.rescore is None else self.rescore(layer, scores)
        hits, neighbours, queue = choose_events(
            scores, self._lengths, budget=budget, contiguity=contiguity, queue=queue
        )
        chosen = sorted([*hits, *neighbours])
        return chosen, scores[chosen].tolist(), queue

    def prefer_recent(self, recency: Tensor, weight: float) -> None:
        """Prefer newer events: `weight` times their recency, float32 [E] in 0..1, is added to their scores.

        It is counted in standard deviations of the scores. Events that come later are the newest.
        """
        self._recency, self._recency_weight = recency, weight

    def _newer_first(self, scores: Tensor) -> Tensor:
        if not self._recency_weight:
            return scores
        recency = torch.ones(len(scores))
        recency[: len(self._recency)] = self._recency[: len(scores)]
        return scores + self._recency_weight * scores.std(correction=0) * recency
