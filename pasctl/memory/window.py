"""The local window of one layer: keys, values, and the attention that each key has received."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class Window:
    """Unrotated keys and values of the last tokens.

    Attributes:
        start: position of the first token.
        key: [B, G, N, D].
        value: [B, G, N, D].
        mass: attention received while local, float32 [B, G, N].
        positions: int64 [B, N]; -1 is padding, which nothing attends.
    """

    start: int
    key: Tensor
    value: Tensor
    mass: Tensor
    positions: Tensor

    @classmethod
    def empty(cls, kv_heads: int, head_dim: int, dtype: torch.dtype, device: str) -> Window:
        """A window before the first token."""
        none = torch.empty(1, kv_heads, 0, head_dim, dtype=dtype, device=device)
        mass = torch.empty(1, kv_heads, 0, device=device)
        return cls(0, none, none, mass, torch.empty(1, 0, dtype=torch.int64, device=device))

    def fork(self, rows: int) -> Window:
        """A window for several questions, each with the same past; appending to it leaves this one as it is."""
        return Window(
            self.start,
            self.key.expand(rows, -1, -1, -1),
            self.value.expand(rows, -1, -1, -1),
            self.mass.expand(rows, -1, -1),
            self.positions.expand(rows, -1),
        )

    def append(self, key: Tensor, value: Tensor, mass: Tensor, positions: Tensor) -> None:
        """Add a chunk's keys and values; `mass` [B, G, N + C] is what all of them received from the chunk."""
        grown = torch.nn.functional.pad(self.mass, (0, key.shape[2]))
        self.key = torch.cat([self.key, key], dim=2)
        self.value = torch.cat([self.value, value], dim=2)
        self.mass = grown + mass
        self.positions = torch.cat([self.positions, positions], dim=1)

    def drop_before(self, start: int) -> None:
        """Forget the tokens before position `start`."""
        gone = start - self.start
        if gone <= 0:
            return
        # copies, or the view would keep all of the past in memory
        self.key, self.value = self.key[:, :, gone:].clone(), self.value[:, :, gone:].clone()
        self.mass, self.positions = self.mass[:, :, gone:].clone(), self.positions[:, gone:].clone()
        self.start = start
