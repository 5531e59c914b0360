"""What is looked for: the queries that events are compared with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


class UsualQueries:
    """What the chunks of a text look for on average, a layer at a time.

    Mean queries have a large part in common, whatever is read; taken off, what is left says what this one looks for.

    Attributes:
        sums: of the mean queries of the chunks read, summed over the heads of each group, float32 [L, G, D].
        counts: chunks of each layer, float32 [L].
    """

    def __init__(self, sums: Tensor, counts: Tensor) -> None:
        self.sums, self.counts = sums, counts

    @classmethod
    def none(cls, layers: int, kv_heads: int, head_dim: int) -> UsualQueries:
        """Those before the first chunk."""
        return cls(torch.zeros(layers, kv_heads, head_dim), torch.zeros(layers))

    def add(self, layer: int, query: Tensor) -> None:
        """Count the mean query [G, D] of a chunk."""
        self.sums[layer] += query.to(self.sums.device)
        self.counts[layer] += 1

    def of(self, layer: int) -> Tensor:
        """The average [G, D]; zeros before the first chunk."""
        return self.sums[layer] / self.counts[layer].clamp_min(1)

    def fork(self) -> UsualQueries:
        """The same, to go on by itself."""
        return UsualQueries(self.sums.clone(), self.counts.clone())


@dataclass(frozen=True, eq=False)
class Seekers:
    """Which tokens of a question and of its answer look for events, each by itself.

    Attributes:
        places: in the question.
        asked: tokens of the question.
        is_word: whether a token of an answer looks for any.
    """

    places: frozenset[int]
    asked: int
    is_word: Callable[[int], bool]

    def among(self, first: int, ids: Sequence[int]) -> list[int]:
        """Places in `ids`, the first of which is token `first` of question and answer."""
        if first < self.asked:
            return [place for place in range(len(ids)) if first + place in self.places]
        return [place for place, token in enumerate(ids) if self.is_word(token)]


class WordFinder:
    """Finds the words of questions: line breaks and what the chat template writes look for nothing that a text tells.

    How a question looks for events is `MemoryParams.query`: all its words do, or the last one alone; "mean" is for
    the mean query of a chunk, and finds no words.
    """

    def __init__(self, tokenizer: Any, tail: Sequence[int], query: str) -> None:
        """Find words by a tokenizer; `tail` is what the template writes after a question."""
        self._tokenizer, self._tail, self._query = tokenizer, list(tail), query
        self._special = frozenset(tokenizer.all_special_ids)
        self._known: dict[int, bool] = {}

    def seekers(self, ids: Sequence[int]) -> Seekers | None:
        """Those of a question; None if it looks by mean queries."""
        if self._query == "mean":
            return None
        tail = self._tail_of(ids)
        words = [place for place, token in enumerate(ids) if place not in tail and self.is_word(token)]
        return Seekers(frozenset(words[-1:] if self._query == "last" else words), len(ids), self.is_word)

    def _tail_of(self, ids: Sequence[int]) -> range:
        """Places of what the template has written last; behind it stands what an answer is made to begin with."""
        size = len(self._tail)
        for stop in range(len(ids), size - 1, -1):
            if size and list(ids[stop - size : stop]) == self._tail:
                return range(stop - size, stop)
        return range(0)

    def is_word(self, token: int) -> bool:
        """Whether a token is neither special nor white space."""
        if token not in self._known:
            self._known[token] = token not in self._special and bool(str(self._tokenizer.decode([token])).strip())
        return self._known[token]
