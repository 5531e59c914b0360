"""Numbers of a text that grow with it, without a copy of all of them for each pass.

A tensor that is concatenated anew with every pass leaves ever larger holes in the heap: a text of a million tokens
takes gigabytes that nobody uses.
"""

from __future__ import annotations

import torch
from torch import Tensor

_LEAST = 4096


class GrowingNumbers:
    """Float32 numbers in order; half of their room is empty at most, but for a few thousand."""

    def __init__(self) -> None:
        self._room, self._count = torch.empty(0), 0

    def __len__(self) -> int:
        return self._count

    @property
    def values(self) -> Tensor:
        """All of them, float32 [n]: a view."""
        return self._room[: self._count]

    def append(self, more: Tensor) -> None:
        """Add numbers [n]."""
        stop = self._count + len(more)
        if stop > len(self._room):
            grown = torch.empty(max(2 * stop, _LEAST))
            grown[: self._count] = self.values
            self._room = grown
        self._room[self._count : stop] = more
        self._count = stop

    def fork(self) -> GrowingNumbers:
        """The same numbers, to go on by itself; they are copied when it grows."""
        fork = GrowingNumbers()
        fork._room, fork._count = self.values, self._count
        return fork
