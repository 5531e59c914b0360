"""Keys and values of one text among several: all of them, or a memory's window and what it recalls."""

from __future__ import annotations

import torch
from torch import Tensor

from pasctl.memory.asking import Asking
from pasctl.memory.episodic import EpisodicMemory
from pasctl.memory.recall import ForwardPass, Recalled

_ROOM = 256  # lengths of buffers are multiples of it


class PlainText:
    """A text that attends to all of itself, or as far as a layer's own sliding window goes."""

    def __init__(self) -> None:
        self._length = 0
        self._coming = 0
        self._buffers: dict[int, _Buffer] = {}
        self._masks: dict[tuple[int | None, torch.device], Tensor | None] = {}  # of the pass

    @property
    def recalled(self) -> list[Recalled]:
        """Nothing is recalled."""
        return []

    def size(self, left: int, budget: int, *, first: bool) -> int:
        """Tokens of the prompt to read in a pass; 0 waits for another.

        Args:
            left: tokens of the prompt that were not read.
            budget: tokens that the pass has room for.
            first: whether it is the first prompt in the pass, so that waiting would be no use.
        """
        return min(left, max(budget, 1 if first else 0))

    def begin(self, tokens: list[int], *, retrieve: bool) -> list[int]:
        """Prepare for a pass with these tokens; gives the positions that the model rotates them to."""
        self._coming, self._masks = len(tokens), {}
        return list(range(self._length, self._length + len(tokens)))

    def end(self) -> None:
        """The pass is over."""
        self._length += self._coming

    def attend(
        self, layer: int, query: Tensor, key: Tensor, value: Tensor, scaling: float, sliding: int | None
    ) -> Tensor:
        """Attention output [1, H, n, D] (see `pasctl.memory.attention.Recall`).

        A key-value head's queries are put in one row [1, G, share * n, D], so that no key is copied.
        """
        buffer = self._buffers.setdefault(layer, _Buffer())
        keys, values = buffer.append(key[0], value[0], sliding)
        _, heads, count, width = query.shape
        groups = len(keys)
        kind = (sliding, query.device)
        if kind not in self._masks:
            self._masks[kind] = self._mask(keys.shape[1], heads // groups, sliding, query.device)
        out = torch.nn.functional.scaled_dot_product_attention(
            query.reshape(1, groups, -1, width),
            keys[None],
            values[None],
            attn_mask=self._masks[kind],
            scale=scaling,
        )
        return out.reshape(1, heads, count, width)

    def _mask(self, held: int, share: int, sliding: int | None, device: torch.device) -> Tensor | None:
        """Which of the `held` last keys each query may attend, bool [share * n, held]; None is all."""
        end = self._length + self._coming
        place = torch.arange(self._length, end, device=device)[:, None]
        keys = torch.arange(end - held, end, device=device)[None]
        seen = keys <= place
        if sliding is not None:
            seen &= place - keys < sliding
        return None if bool(seen.all()) else seen.repeat(share, 1)


class _Buffer:
    """Keys and values [G, N, D] of a layer, with room behind them so that appending copies little."""

    def __init__(self) -> None:
        self._first = self._stop = 0
        self._both: Tensor | None = None

    def append(self, key: Tensor, value: Tensor, sliding: int | None) -> tuple[Tensor, Tensor]:
        """Add some [G, n, D]; gives those that one of the new tokens may attend."""
        groups, count, width = key.shape
        if self._both is None:
            self._both = key.new_empty(2, groups, 0, width)
        if sliding is not None:
            self._first = max(self._first, self._stop - sliding + 1)
        if self._stop + count > self._both.shape[2]:
            self._grow(self._both, count)
        place = slice(self._stop, self._stop + count)
        self._both[0, :, place], self._both[1, :, place] = key, value
        self._stop += count
        held = self._both[:, :, self._first : self._stop]
        return held[0], held[1]

    def _grow(self, both: Tensor, more: int) -> None:
        size = self._stop - self._first
        room = -(-(size + more + size // 2) // _ROOM) * _ROOM
        self._both = both.new_empty(*both.shape[:2], room, both.shape[3])
        self._both[:, :, :size] = both[:, :, self._first : self._stop]
        self._first, self._stop = 0, size


class RecallingText:
    """A question behind a memory's text, and its answer: its own fork of the window, and its own recall."""

    def __init__(self, memory: EpisodicMemory, *, keep_recalled: bool = False) -> None:
        self._asking, self._keep = Asking(memory.reader, 1), keep_recalled
        self._chunk = memory.params.chunk
        self._pass: ForwardPass | None = None
        self._tokens: list[int] = []

    @property
    def recalled(self) -> list[Recalled]:
        """What each layer recalled at each step, if it was to be kept."""
        return self._asking.log

    def size(self, left: int, budget: int, *, first: bool) -> int:
        """Tokens of the prompt to read: a whole chunk or none, since what is recalled depends on where chunks begin."""
        chunk = min(left, self._chunk)
        return chunk if first or chunk <= budget else 0

    def begin(self, tokens: list[int], *, retrieve: bool) -> list[int]:
        """Prepare for a pass with these tokens; memory rotates them itself, so the model is to leave them alone."""
        self._tokens = tokens
        self._pass = self._asking.begin([tokens], retrieve=retrieve)
        return [0] * len(tokens)

    def end(self) -> None:
        """The pass is over."""
        if self._pass is not None:
            self._asking.end([self._tokens], self._pass)
        if not self._keep:
            self._asking.log.clear()
        self._pass = None

    def attend(
        self, layer: int, query: Tensor, key: Tensor, value: Tensor, scaling: float, sliding: int | None
    ) -> Tensor:
        """Attention output [1, H, n, D] (see `pasctl.memory.attention.Recall`)."""
        if self._pass is None:
            raise RuntimeError("attend was called outside a pass")
        return self._pass.attend(layer, query, key, value, scaling, sliding)
