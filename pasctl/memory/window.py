"""The local window of one layer: keys, values, and the attention that each key has received."""

from __future__ import annotations

import torch
from torch import Tensor

from pasctl.models.kv_cache import ROOM, TokenBuffers


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
        self.start, self._forked = start, key is None
        keys = [] if key is None else [key]
        # a fork holds little more than it needs soon, others twice as much
        room = (lambda tokens: tokens + ROOM) if key is None else (lambda tokens: 2 * tokens)
        self._buffers = TokenBuffers([turned, value, mass, positions, *keys], [2, 2, 2, 1, *([2] * len(keys))], room)

    @classmethod
    def empty(cls, kv_heads: int, head_dim: int, dtype: torch.dtype, device: torch.device) -> Window:
        """A window before the first token."""
        none = torch.empty(1, kv_heads, 0, head_dim, dtype=dtype, device=device)
        mass = torch.empty(1, kv_heads, 0, device=device)
        return cls(0, none, none, none, mass, torch.empty(1, 0, dtype=torch.int64, device=device))

    @property
    def key(self) -> Tensor:
        """Unrotated keys [B, G, N, D]; a fork has none."""
        if self._forked:
            raise RuntimeError("a forked window has no unrotated keys")
        return self._buffers[4]

    @property
    def turned(self) -> Tensor:
        """Keys rotated to their positions [B, G, N, D]."""
        return self._buffers[0]

    @property
    def value(self) -> Tensor:
        """Values [B, G, N, D]."""
        return self._buffers[1]

    @property
    def mass(self) -> Tensor:
        """Attention that each key received while local, float32 [B, G, N]."""
        return self._buffers[2]

    @property
    def positions(self) -> Tensor:
        """Positions int64 [B, N]; -1 is padding."""
        return self._buffers[3]

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
        mass = torch.zeros(key.shape[:3], device=key.device)
        self._buffers.append(turned, value, mass, positions, *([] if self._forked else [key]))

    def receive(self, mass: Tensor) -> None:
        """Count attention [B, G, N] that the keys received from a chunk."""
        self.mass.add_(mass)

    def drop_before(self, start: int) -> None:
        """Forget the tokens before position `start`; their room is used again when the window grows."""
        if start > self.start:
            self._buffers.drop(start - self.start)
            self.start = start
