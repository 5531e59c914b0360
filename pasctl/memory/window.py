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
        self, start: int, key: Tensor, turned: Tensor, value: Tensor, mass: Tensor, *, brief: bool = False
    ) -> None:
        """Begin with some tokens; what is appended later does not change the tensors given.

        Args:
            start: position of the first token.
            key: unrotated, [1, G, N, D].
            turned: the same, rotated, [1, G, N, D].
            value: [1, G, N, D].
            mass: attention received while local, float32 [1, G, N].
            brief: whether there is to be room for little more than is needed soon, instead of twice as much.
        """
        self.start = start
        room = (lambda tokens: tokens + ROOM) if brief else (lambda tokens: 2 * tokens)
        self._buffers = TokenBuffers([key, turned, value, mass], [2, 2, 2, 2], room)

    @classmethod
    def empty(cls, kv_heads: int, head_dim: int, dtype: torch.dtype, device: torch.device) -> Window:
        """A window before the first token."""
        none = torch.empty(1, kv_heads, 0, head_dim, dtype=dtype, device=device)
        mass = torch.empty(1, kv_heads, 0, device=device)
        return cls(0, none, none, none, mass)

    @property
    def key(self) -> Tensor:
        """Unrotated keys [1, G, N, D]."""
        return self._buffers[0]

    @property
    def turned(self) -> Tensor:
        """Keys rotated to their positions [1, G, N, D]."""
        return self._buffers[1]

    @property
    def value(self) -> Tensor:
        """Values [1, G, N, D]."""
        return self._buffers[2]

    @property
    def mass(self) -> Tensor:
        """Attention that each key received while local, float32 [1, G, N]."""
        return self._buffers[3]

    def fork(self) -> Window:
        """A window with the same tokens; appending to it leaves this one as it is, and the other way round."""
        # attention is counted in place, the rest is only added to
        return Window(self.start, self.key, self.turned, self.value, self.mass.clone(), brief=True)

    def append(self, key: Tensor, turned: Tensor, value: Tensor) -> None:
        """Add a chunk's keys, rotated keys and values [1, G, C, D]; none was attended yet."""
        mass = torch.zeros(key.shape[:3], device=key.device)
        self._buffers.append(key, turned, value, mass)

    def receive(self, mass: Tensor) -> None:
        """Count attention [1, G, N] that the keys received from a chunk."""
        self.mass.add_(mass)

    def drop_before(self, start: int) -> None:
        """Forget the tokens before position `start`; their room is used again when the window grows."""
        if start > self.start:
            self._buffers.drop(start - self.start)
            self.start = start
