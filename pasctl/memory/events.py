"""The events of a text: where they begin, which have left the window, and the keys that represent those."""

from __future__ import annotations

import copy
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from pasctl.memory.retrieval import (
    OFFSET_EVENTS,
    best_word,
    choose_events,
    head_lengths,
    score_events,
    word_similarity,
)

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
        rescore: layer and scores float32 [E] -> the scores that decide instead, for ablation; None leaves them.
    """

    def __init__(
        self, first: int, kv_heads: int, head_dim: int, dtype: torch.dtype, devices: Sequence[torch.device]
    ) -> None:
        """Begin before the first event.

        Args:
            first: first token of the first event.
            kv_heads: heads of keys.
            head_dim: components of a head.
            dtype: of the representatives.
            devices: that each layer attends on.
        """
        self.starts = [first]
        self.pending: list[int] = []
        self.evicted = 0
        self.rescore: Callable[[int, Tensor], Tensor] | None = None
        self._shape, self._dtype, self._devices = (kv_heads, head_dim), dtype, tuple(devices)
        self._blocks: list[list[Tensor]] = []  # each [_BLOCK, G, D] per layer
        self._lengths: list[int] = []
        self._recency, self._recency_weight = torch.empty(0), 0.0
        self._head_lengths: dict[tuple[int, int], Tensor] = {}  # layer, block -> [_BLOCK, G], of full blocks

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
        while len(self._blocks) * _BLOCK < until:
            self._blocks.append(self._block())

    def represent(self, layer: int, first: int, vectors: Tensor) -> None:
        """Let vectors [E, G, D] stand for the events from number `first` on, in one layer."""
        place = first
        while len(vectors):
            room = _BLOCK - place % _BLOCK
            now, vectors = vectors[:room], vectors[room:]
            self._blocks[place // _BLOCK][layer][place % _BLOCK :][: len(now)] = now
            place += len(now)

    def representatives(self, first: int) -> Tensor:
        """Representatives [E, L, G, D] of the evicted events from number `first` on, on the CPU."""
        parts = [torch.empty(0, len(self._devices), *self._shape, dtype=self._dtype)]
        for number, block in enumerate(self._blocks):
            begin, end = max(first - number * _BLOCK, 0), min(self.evicted - number * _BLOCK, _BLOCK)
            if begin < end:
                parts.append(torch.stack([layer[begin:end].cpu() for layer in block], dim=1))
        return torch.cat(parts)

    def _block(self) -> list[Tensor]:
        """Room for more representatives; layers on one device share a tensor."""
        rooms = {
            device: iter(torch.zeros((layers, _BLOCK, *self._shape), dtype=self._dtype, device=device))
            for device, layers in Counter(self._devices).items()
        }
        return [next(rooms[device]) for device in self._devices]

    def fork(self) -> Events:
        """Events that go on after the same ones, and leave these as they are; full blocks are shared."""
        fork = copy.copy(self)
        fork.starts, fork.pending = list(self.starts), list(self.pending)
        fork._lengths, fork._blocks = list(self._lengths), list(self._blocks)
        fork._head_lengths = dict(self._head_lengths)
        if self.evicted % _BLOCK:
            fork._blocks[-1] = [layer.clone() for layer in self._blocks[-1]]
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
        """
        if not outside:
            return [], [], []
        if by_word:
            scores = best_word(self._word_similarity(layer, query, outside))
        else:
            blocks, offset = self._blocks[: -(-outside // _BLOCK)], self._offset(layer, outside)
            [scores] = torch.cat([score_events(query, block[layer], offset) for block in blocks], dim=1)[:, :outside]
        scores = self._newer_first(scores.cpu())
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

    def _word_similarity(self, layer: int, query: Tensor, outside: int) -> Tensor:
        """Float32 [T, outside] (see `word_similarity`)."""
        offset, parts = self._offset(layer, outside), []
        for number, block in enumerate(self._blocks[: -(-outside // _BLOCK)]):
            rows = block[layer][: min(_BLOCK, outside - number * _BLOCK)]
            whole = len(rows) == _BLOCK and outside >= OFFSET_EVENTS
            lengths = self._head_lengths.get((layer, number)) if whole else None
            if lengths is None:
                lengths = head_lengths(rows, offset)
                if whole:
                    self._head_lengths[layer, number] = lengths
            parts.append(word_similarity(query, rows, offset, lengths))
        return torch.cat(parts, dim=1)

    def _offset(self, layer: int, outside: int) -> Tensor:
        """What the representatives of the first events that are outside the window have in common, float32 [G, D]."""
        return self._blocks[0][layer][: min(outside, OFFSET_EVENTS)].float().mean(0)
