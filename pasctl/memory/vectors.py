"""What represents the events in one layer: kept in blocks, so that growing copies little, and compared with queries."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Literal

import torch
from torch import Tensor

from pasctl.memory.index import CANDIDATES, SLAB, Index
from pasctl.memory.retrieval import OFFSET_EVENTS, best_word, head_lengths, score_events, standard, word_similarity
from pasctl.memory.rounded import Rounded

BLOCK = 256
"""Events that room is made for at a time."""
LEAST_SLABS = 3
"""The index is searched from so many slabs on; of fewer, most events would be compared anyway."""

Similarity = Literal["words", "mean"]
"""Whether an event is wanted that fits one of some words, or the only query (see `pasctl.memory.retrieval`)."""


@dataclass(frozen=True, eq=False)
class Candidates:
    """The events that may be the best ones.

    Attributes:
        events: their numbers in order, int64 [n].
        scores: float32 [n].
        lowest: about the score of the worst of all events.
        score: gives the scores of other events [m].
    """

    events: Tensor
    scores: Tensor
    lowest: float
    score: Callable[[Sequence[int]], Tensor]


class LayerVectors:
    """One vector a key-value head and event, of one layer, in eight bits, less what all have in common.

    Attributes:
        index: of the events in slabs; None where no index is wanted.
        compared: vectors that queries were compared with.
    """

    def __init__(self, kind: Similarity | None, *, on_disk: bool = False) -> None:
        """Begin without events.

        Args:
            kind: of the index; None is without one.
            on_disk: whether slabs are kept in files.
        """
        self._kind, self.index = kind, None if kind is None else Index()
        self._on_disk = on_disk
        self._slabs: list[Rounded] = []  # of SLAB events each, or of several slabs; see `settle`
        self._blocks: list[Rounded] = []  # of BLOCK events each, those behind the slabs
        self._lengths: dict[int, Tensor] = {}  # first event -> lengths of heads [n, G], of slabs and of full blocks
        self.compared = 0

    @property
    def room(self) -> int:
        """Events that there is room for."""
        return self._settled + len(self._blocks) * BLOCK

    @property
    def _settled(self) -> int:
        """Events in slabs."""
        return sum(map(len, self._slabs))

    def add_room(self, block: Rounded) -> None:
        """Make room for `BLOCK` more events."""
        self._blocks.append(block)

    def put(self, first: int, vectors: Rounded) -> None:
        """Let vectors stand for the events from number `first` on."""
        place = first - self._settled
        while len(vectors):
            room = BLOCK - place % BLOCK
            now, vectors = vectors[:room], vectors[room:]
            self._blocks[place // BLOCK].put(place % BLOCK, now)
            place += len(now)

    def get(self, first: int, stop: int) -> list[Rounded]:
        """Those of the events first..stop, in parts."""
        return [rows[max(first - begin, 0) :] for begin, rows in self._parts(stop) if begin + len(rows) > first]

    def fork(self, outside: int) -> LayerVectors:
        """The same, to go on by itself; what is full is shared.

        Args:
            outside: events that are outside the window.
        """
        self.settle(outside)
        fork = copy.copy(self)
        fork._slabs, fork._blocks, fork._lengths = list(self._slabs), list(self._blocks), dict(self._lengths)
        fork.index = None if self.index is None else self.index.fork()
        fork.compared = 0
        if outside % BLOCK:
            fork._blocks[-1] = self._blocks[-1].clone()
        return fork

    def settle(self, outside: int) -> None:
        """Put what is full of the events before number `outside` into slabs, and these into the index.

        Two slabs of one size in memory are joined, so that there are few to take some events from: a million tokens'
        38 are 3. An event is copied once for each time that its slab doubles.
        """
        per_slab = SLAB // BLOCK
        for start in range(self._settled, outside - SLAB + 1, SLAB):
            for first in range(start, start + SLAB, BLOCK):
                self._lengths.pop(first, None)
            slab = Rounded.joined(self._blocks[:per_slab])
            del self._blocks[:per_slab]
            while not self._on_disk and self._slabs and len(self._slabs[-1]) == len(slab):
                slab = Rounded.joined([self._slabs.pop(), slab])
            self._slabs.append(slab.on_disk() if self._on_disk else slab)
        if self.index is not None and self.index.directions is not None:
            for start in range(len(self.index), self._settled, SLAB):
                rows = Rounded.joined(self.get(start, start + SLAB))
                self.index.cluster(self._own(rows, self._offset(SLAB)))

    def all_scores(self, query: Tensor, outside: int, *, by_word: bool) -> Tensor:
        """Scores float32 [outside] of all events, for a query [T, G, D]."""
        self.settle(outside)
        self.compared += outside
        offset = self._offset(outside)
        if by_word:
            fits = [
                word_similarity(query, rows, offset, self._lengths_of(first, rows, offset, outside))
                for first, rows in self._values(outside)
            ]
            return best_word(torch.cat(fits, dim=1))
        scores = torch.cat([score_events(query, rows, offset) for _, rows in self._values(outside)], dim=1)
        return scores[0]

    def candidates(self, query: Tensor, outside: int, least: int) -> Candidates | None:
        """The events that fit the mean query [G, D] of a chunk best, found by the index; None if it finds none.

        Args:
            query: what is looked for.
            outside: events that are outside the window.
            least: at least so many of those in the index are wanted.
        """
        if self.index is None:
            return None
        flat = query.flatten().float()
        self.index.learn(flat)
        self.settle(outside)
        if self.index.directions is None or outside < max(LEAST_SLABS * SLAB, 2 * least):
            return None
        index, offset, known = self.index, self._offset(outside), len(self.index)
        newest = torch.cat([flat[:0], *(self._own(rows, offset) @ flat for rows in self.get(known, outside))])
        fit, mean, variance = index.fit(flat)
        # the moments of all events, from those of the two parts
        share = known / outside
        whole = mean * share + newest.sum() / outside
        spread = (variance + (mean - whole).square()) * share + (newest - whole).square().sum() / outside

        def score(fits: Tensor) -> Tensor:
            return fits if self._kind == "mean" else standard(fits[None], whole[None], spread.sqrt()[None])[0]

        def score_some(some: Tensor) -> Tensor:
            fits: Tensor = self._own(self._rows(some), offset) @ flat
            return fits

        events = index.members(fit, max(CANDIDATES, least))
        scores = score(torch.cat([score_some(events), newest]))
        self.compared += index.clusters + len(scores)
        lowest = min(float(scores.min()), float(score(fit).min()))
        every = torch.cat([events, torch.arange(known, outside, device=events.device)])
        return Candidates(every, scores, lowest, lambda some: score(score_some(torch.tensor(some, device=flat.device))))

    def _own(self, some: Rounded, offset: Tensor) -> Tensor:
        """Vectors as queries are compared with them, float32 [n, G * D]."""
        rows = some.values()
        own = rows - offset
        if self._kind == "words":
            own = own / head_lengths(rows, offset)[..., None]
        return own.flatten(1)

    def _rows(self, events: Tensor) -> Rounded:
        """Those of some events, given in order."""
        sizes = [*map(len, self._slabs), *[BLOCK] * len(self._blocks)]
        parts, first = list[Rounded](), 0
        ends = torch.searchsorted(events, torch.tensor(sizes, device=events.device).cumsum(0)).tolist()
        begin = 0
        for part, size, end in zip([*self._slabs, *self._blocks], sizes, ends, strict=True):
            if end > begin:
                parts.append(part[events[begin:end] - first])
            begin, first = end, first + size
        return Rounded.joined(parts)

    def _parts(self, outside: int) -> Iterator[tuple[int, Rounded]]:
        """First event and vectors of each `SLAB` events in slabs and each block, of those before number `outside`."""
        slabs = (slab[start : start + SLAB] for slab in self._slabs for start in range(0, len(slab), SLAB))
        first = 0
        for part in chain(slabs, self._blocks):
            if first >= outside:
                return
            yield first, part if first + len(part) <= outside else part[: outside - first]
            first += len(part)

    def _values(self, outside: int) -> Iterator[tuple[int, Tensor]]:
        """The same as float32 [n, G, D]."""
        for first, part in self._parts(outside):
            yield first, part.values()

    def _lengths_of(self, first: int, rows: Tensor, offset: Tensor, outside: int) -> Tensor:
        """Lengths of heads [n, G] of the events from `first` on; those that never change again are kept."""
        lengths = self._lengths.get(first)
        if lengths is None or len(lengths) != len(rows) or outside < OFFSET_EVENTS:
            lengths = head_lengths(rows, offset)
            if len(rows) % BLOCK == 0 and outside >= OFFSET_EVENTS:
                self._lengths[first] = lengths
        return lengths

    def _offset(self, outside: int) -> Tensor:
        """What the first events that are outside the window still have in common, float32 [G, D]."""
        _, first = next(self._values(min(outside, OFFSET_EVENTS)))
        return first.mean(0)
