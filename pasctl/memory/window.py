"""The local window of one layer: keys, values, and the attention that each key has received."""

from __future__ import annotations

import torch
from torch import Tensor

_ROOM = 256  # lengths of buffers are multiples of it


class Window:
    """Keys and values of the last tokens, in buffers with room behind them so that appending copies little.

    Keys are held twice: as they are, for the memory, and rotated to their position in the text, to be attended.

    Attributes:
        start: position of the first token.
    """

    def __init__(
        self, start: int, key: Tensor | None, turned: Tensor, value: Tensor, mass: Tensor, positions: Tensor
    ) -> None:
        """Begin with some tokens; what is appended later does not change the tensors given.

        Args:
            start: position of the first token.
            key: unrotated, [B, G, N, D]; None for a window whose tokens never leave it for the memory.
            turned: the same, rotated, [B, G, N, D].
            value: [B, G, N, D].
            mass: attention received while local, float32 [B, G, N].
            positions: int64 [B, N]; -1 is padding, which nothing attends.
        """
        self.start = start
        self._first, self._stop = 0, turned.shape[2]
        self._key, self._turned, self._value, self._mass, self._positions = key, turned, value, mass, positions

    @classmethod
    def empty(cls, kv_heads: int, head_dim: int, dtype: torch.dtype, device: str) -> Window:
        """A window before the first token."""
        none = torch.empty(1, kv_heads, 0, head_dim, dtype=dtype, device=device)
        mass = torch.empty(1, kv_heads, 0, device=device)
        return cls(0, none, none, none, mass, torch.empty(1, 0, dtype=torch.int64, device=device))

    @property
    def key(self) -> Tensor:
        """Unrotated keys [B, G, N, D]; a fork has none."""
        if self._key is None:
            raise RuntimeError("a forked window has no unrotated keys")
        return self._key[:, :, self._first : self._stop]

    @property
    def turned(self) -> Tensor:
        """Keys rotated to their positions [B, G, N, D]."""
        return self._turned[:, :, self._first : self._stop]

    @property
    def value(self) -> Tensor:
        """Values [B, G, N, D]."""
        return self._value[:, :, self._first : self._stop]

    @property
    def mass(self) -> Tensor:
        """Attention that each key received while local, float32 [B, G, N]."""
        return self._mass[:, :, self._first : self._stop]

    @property
    def positions(self) -> Tensor:
        """Positions int64 [B, N]; -1 is padding."""
        return self._positions[:, self._first : self._stop]

    def fork(self, rows: int) -> Window:
        """A window for several questions, each with the same past; appending to it leaves this one as it is.

        Nothing leaves it, so it holds each key once, and no more room than it needs soon.
        """
        return Window(
            self.start,
            None,
            self.turned.expand(rows, -1, -1, -1),
            self.value.expand(rows, -1, -1, -1),
            self.mass.expand(rows, -1, -1),
            self.positions.expand(rows, -1),
        )

    def append(self, key: Tensor, turned: Tensor, value: Tensor, positions: Tensor) -> None:
        """Add a chunk's keys, rotated keys and values [B, G, C, D] at positions [B, C]; none was attended yet."""
        count = key.shape[2]
        if self._stop + count > self._turned.shape[2]:
            self._grow(count)
        place = slice(self._stop, self._stop + count)
        if self._key is not None:
            self._key[:, :, place] = key
        self._turned[:, :, place], self._value[:, :, place] = turned, value
        self._mass[:, :, place] = 0.0
        self._positions[:, place] = positions
        self._stop += count

    def receive(self, mass: Tensor) -> None:
        """Count attention [B, G, N] that the keys received from a chunk."""
        self.mass.add_(mass)

    def drop_before(self, start: int) -> None:
        """Forget the tokens before position `start`; their room is used again when the window grows."""
        gone = start - self.start
        if gone > 0:
            self._first += gone
            self.start = start

    def _grow(self, more: int) -> None:
        """Move to buffers of twice the length that is needed now, or little more in a fork; of few different lengths.

        Buffers of ever other lengths would leave holes in the process's memory that nothing fits into.
        """
        size = self._stop - self._first
        wanted = size + more + _ROOM if self._key is None else 2 * (size + more)
        room = -(-wanted // _ROOM) * _ROOM
        for name, dimension in (("_key", 2), ("_turned", 2), ("_value", 2), ("_mass", 2), ("_positions", 1)):
            if getattr(self, name) is None:
                continue
            held = getattr(self, name).narrow(dimension, self._first, size)
            shape = list(held.shape)
            shape[dimension] = room
            grown = held.new_empty(shape)
            grown.narrow(dimension, 0, size).copy_(held)
            setattr(self, name, grown)
        self._first, self._stop = 0, size
