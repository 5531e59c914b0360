"""What a projection back to the residual stream makes of a displacement of its heads."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn


@torch.no_grad()
def output_shift(projection: nn.Module, displacement: Tensor) -> Tensor:
    """W_o d, [R, hidden], by calling the module: o_proj(d) - o_proj(0) also holds with a bias or packed weights.

    Args:
        projection: a site's module, H*D -> hidden.
        displacement: float32 [R, H*D].
    """
    held = next(itertools.chain(projection.parameters(), projection.buffers()))
    dtype = held.dtype if held.dtype.is_floating_point else torch.float32
    rows = displacement.to(device=held.device, dtype=dtype)
    moved: Tensor = projection(rows) - projection(torch.zeros_like(rows))
    return moved
