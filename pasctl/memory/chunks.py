"""One forward pass over several chunks of a text: in each layer they attend one after the other.

What a chunk recalls depends on nothing but its layer: on the chunk's queries there, and on the keys and the attention
of the chunks before it. So all else in the model, nearly all of its arithmetic, can run on several chunks at once,
and the result is that of a pass for each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pasctl.memory.recall import ForwardPass, MemoryState, Recalled
from pasctl.memory.representatives import Places, representatives
from pasctl.memory.window import Window
from pasctl.models.attention import Scoring


@dataclass(frozen=True)
class _Chunk:
    """A chunk's own pass, and what leaves the window before it.

    Attributes:
        step: its pass.
        begin: position of its first token.
        tokens: how many it has.
        old: number of the first event that leaves.
        places: of all that do; None if none does.
        left: position of the first token that stays.
    """

    step: ForwardPass
    begin: int
    tokens: int
    old: int
    places: Places | None
    left: int


class ChunkedPass:
    """Lets events leave the windows and chunks attend, layer by layer."""

    def __init__(
        self,
        past: MemoryState,
        windows: list[Window],
        queues: list[list[int]],
        begin: int,
        chunks: Sequence[int],
        *,
        chosen: list[list[int]] | None = None,
        words: Sequence[int] | None = None,
        step: int | None = None,
    ) -> None:
        """Prepare a pass; it takes the events that leave on the way off `past`.

        Args:
            past: the text's memory, with the starts of all events that leave the window before the last chunk.
            windows: one a layer.
            queues: layer -> queue of neighbouring events.
            begin: position of the first token.
            chunks: tokens of each chunk.
            chosen: layer -> events retrieved by an earlier pass, for all chunks, and then none leaves the window; None
                retrieves anew for each chunk.
            words: places of tokens that each look for events, in a pass of one chunk (see `ForwardPass`).
            step: number of the pass, for the log; None gives each chunk the position of its first token.
        """
        self._past, self._windows = past, windows
        self._chunks: list[_Chunk] = []
        events, device = past.events, windows[0].turned.device
        for tokens in chunks:
            old = events.evicted
            new = old if chosen is not None else events.outside(begin - past.params.n_local)
            places = Places.of([events.span(event) for event in range(old, new)], device) if new > old else None
            events.leave(new)
            number = begin if step is None else step
            own = ForwardPass(
                past, windows, queues, range(begin, begin + tokens), chosen=chosen, words=words, step=number
            )
            self._chunks.append(_Chunk(own, begin, tokens, old, places, events.starts[new] if new else 0))
            begin += tokens

    @property
    def log(self) -> list[Recalled]:
        """What was recalled, chunk by chunk."""
        return [each for chunk in self._chunks for each in chunk.step.log]

    @property
    def chosen(self) -> list[list[int]]:
        """Layer -> events that the last chunk attended."""
        return self._chunks[-1].step.chosen

    @property
    def attended(self) -> int:
        """Far keys attended, summed over layers and chunks."""
        return sum(chunk.step.attended for chunk in self._chunks)

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scoring: Scoring) -> Tensor:
        """Attention output [1, H, C, D] of all chunks (see `pasctl.models.attention.Attender`)."""
        sizes = [chunk.tokens for chunk in self._chunks]
        parts = zip(self._chunks, *(torch.split(each, sizes, dim=2) for each in (query, key, value)), strict=True)
        found = []
        for chunk, some_query, some_key, some_value in parts:
            self._leave(self._past.layers.place(layer), chunk)
            found.append(chunk.step.attend(layer, some_query, some_key, some_value, scoring))
        return torch.cat(found, dim=2)

    def _leave(self, layer: int, chunk: _Chunk) -> None:
        """Let events leave one layer's window; their best keys stand for them from now on."""
        past, window, sliding = self._past, self._windows[layer], self._past.layers.sliding[layer]
        if chunk.places is not None:
            places, topk = chunk.places.on(window.mass.device).since(window.start), past.params.repr_topk
            past.events.represent(layer, chunk.old, representatives(window.key[0], window.mass[0], places, topk))
            if chunk.old == 0:
                first = past.params.n_init
                past.first[layer] = (window.key[:, :, :first].clone(), window.value[:, :, :first].clone())
        window.drop_before(chunk.left if sliding is None else min(chunk.left, max(0, chunk.begin - sliding)))
