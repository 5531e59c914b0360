"""What a text that is written has of the tokens before: all keys and values, or what its memory gives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor
from transformers import Cache

from pasctl.generation.prefix_tree import Layers
from pasctl.models.attention import Attender, Scoring
from pasctl.models.kv_cache import ROOM, TokenBuffers, holds_keys
from pasctl.models.layer_states import LayerStates
from pasctl.steering.intervention import Intervention


class TextState(Attender, Protocol):
    """The state of one text.

    Attributes:
        layer_states: of those that have one of their own; None before the first token, and of models that have none.
    """

    layer_states: LayerStates | None

    def size(self, left: int, budget: int, *, first: bool) -> int:
        """Tokens of the prompt to read in a pass; 0 waits for another.

        Args:
            left: tokens of the prompt that were not read.
            budget: tokens that the pass has room for.
            first: whether it is the first prompt in the pass, so that waiting would be no use.
        """

    def begin(self, ids: list[int], *, retrieve: bool) -> list[int]:
        """Prepare for a pass with these n tokens; gives the positions [n] that the model rotates them to.

        Args:
            ids: the tokens.
            retrieve: whether a memory retrieves events anew, or uses those of the last pass.
        """

    def end(self, hidden: Tensor) -> None:
        """The pass is over, and gave last hidden states [n, hidden] of its tokens."""

    def retrieved(self) -> tuple[Any, ...]:
        """What its memory has retrieved so far, if that is kept."""


class Askable(Protocol):
    """A text that was read before and can be asked about."""

    @property
    def model(self) -> Any:
        """The model that read it."""

    @property
    def intervention(self) -> Intervention | None:
        """What it was read with; None for nothing."""

    def text_state(self, question: Sequence[int], *, keep_retrieved: bool) -> TextState:
        """Where a question, given as token ids, and its answer begin."""


class PlainTextState:
    """A text that attends to all of itself, or as far as a layer's own sliding window goes."""

    def __init__(self) -> None:
        self._length = self._coming = 0
        self.layer_states: LayerStates | None = None
        self._buffers: dict[int, TokenBuffers] = {}
        self._masks: dict[tuple[int | None, torch.device], Tensor | None] = {}  # of the pass

    @classmethod
    def after(cls, cache: Cache, length: int | None = None) -> PlainTextState:
        """A text that goes on after what transformers' cache holds, of one row; the cache is left as it is.

        Args:
            cache: the cache.
            length: tokens before, if the cache holds some of them only; no layer may have a sliding window then.
        """
        state, layers = cls(), list[Any](cache.layers)
        state._length = int(cache.get_seq_length()) if length is None else length
        state.layer_states = LayerStates.after(cache)
        for number, layer in enumerate(layers):
            if not holds_keys(layer):
                continue
            state._buffers[number] = TokenBuffers([layer.keys[0], layer.values[0]], [1, 1], lambda n: n + ROOM)
        return state

    @classmethod
    def following(cls, parts: Sequence[tuple[Layers, int]], states: LayerStates | None, room: int) -> PlainTextState:
        """A text that goes on after tokens whose keys and values are copied.

        Args:
            parts: in their order, keys and values, and how many tokens of them, from the first on, are the text's.
            states: after the last of them, which the text takes over.
            room: tokens that there is to be room for at once.
        """
        state = cls()
        state._length, state.layer_states = sum(count for _, count in parts), states
        for layer, (keys, values) in parts[0][0].items():
            buffers = TokenBuffers([keys[:, :0], values[:, :0]], [1, 1])
            buffers.reserve(-(-room // ROOM) * ROOM)
            for layers, count in parts:
                buffers.append(*(each[:, :count] for each in layers[layer]))
            state._buffers[layer] = buffers
        return state

    def span(self, start: int, stop: int) -> Layers | None:
        """Keys and values of tokens `start` to `stop`, as views; None if a layer with a window has forgotten one."""
        found: dict[int, tuple[Tensor, Tensor]] = {}
        for layer, buffers in self._buffers.items():
            first = self._length - len(buffers)
            if start < first:
                return None
            keys, values = (buffers[part].narrow(1, start - first, stop - start) for part in (0, 1))
            found[layer] = keys, values
        return found

    def retrieved(self) -> tuple[Any, ...]:
        """Nothing is retrieved."""
        return ()

    def size(self, left: int, budget: int, *, first: bool) -> int:
        """As much of the prompt as there is room for."""
        return min(left, max(budget, 1 if first else 0))

    def begin(self, ids: list[int], *, retrieve: bool) -> list[int]:
        """Prepare for a pass with these tokens; gives their positions."""
        self._coming, self._masks = len(ids), {}
        return list(range(self._length, self._length + len(ids)))

    def end(self, hidden: Tensor) -> None:
        """The pass is over."""
        self._length += self._coming

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scoring: Scoring) -> Tensor:
        """Attention output [1, H, n, D] (see `pasctl.models.attention.Attender`).

        A key-value head's queries are put in one row [1, G, share * n, D], so that no key is copied.
        """
        keys, values = self._append(layer, key[0], value[0], scoring.sliding)
        _, heads, count, width = query.shape
        groups = len(keys)
        kind = (scoring.sliding, query.device)
        if kind not in self._masks:
            self._masks[kind] = self._mask(keys.shape[1], heads // groups, scoring.sliding, query.device)
        grouped, mask = query.reshape(groups, -1, width), self._masks[kind]
        if not scoring.plain:
            return _capped(grouped, keys, values, mask, scoring).reshape(1, heads, count, -1)
        out = torch.nn.functional.scaled_dot_product_attention(
            grouped[None], keys[None], values[None], attn_mask=mask, scale=scoring.scaling
        )
        return out.reshape(1, heads, count, -1)

    def _append(self, layer: int, key: Tensor, value: Tensor, sliding: int | None) -> tuple[Tensor, Tensor]:
        """Add some keys and values [G, n, D]; gives those that one of the new tokens may attend."""
        if layer not in self._buffers:
            self._buffers[layer] = TokenBuffers([key[:, :0], value[:, :0]], [1, 1])
        buffers = self._buffers[layer]
        if sliding is not None:
            buffers.drop(len(buffers) - sliding + 1)
        buffers.append(key, value)
        return buffers[0], buffers[1]

    def _mask(self, held: int, share: int, sliding: int | None, device: torch.device) -> Tensor | None:
        """Which of the `held` last keys each query may attend, bool [share * n, held]; None is all."""
        end = self._length + self._coming
        place = torch.arange(self._length, end, device=device)[:, None]
        keys = torch.arange(end - held, end, device=device)[None]
        seen = keys <= place
        if sliding is not None:
            seen &= place - keys < sliding
        return None if bool(seen.all()) else seen.repeat(share, 1)


def _capped(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scoring: Scoring) -> Tensor:
    """Attention output [G, share * n, D] with a softcap or sinks, which torch's fused attention has not.

    Args:
        query: [G, share * n, D], a head's queries next to each other.
        key: [G, N, D].
        value: [G, N, D].
        mask: bool [share * n, N], true where a key may be attended; None is everywhere.
        scoring: softcap and sinks.
    """
    scores = (query @ key.transpose(1, 2)).float() * scoring.scaling
    if scoring.softcap is not None:
        scores = torch.tanh(scores / scoring.softcap) * scoring.softcap
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)
    if scoring.sinks is not None:
        sinks = scoring.sinks.float().view(len(query), -1, 1)
        sinks = sinks.repeat_interleave(query.shape[1] // sinks.shape[1], dim=1)
        scores = torch.cat([scores, sinks], dim=-1)
    return scores.softmax(-1)[..., : key.shape[1]].to(value.dtype) @ value
