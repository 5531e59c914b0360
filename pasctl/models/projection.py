"""What a projection back to the residual stream makes of a displacement of its heads."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn

from pasctl.models.parallel import own_share
from pasctl.models.placement import device_of

_COMPUTES = (torch.float32, torch.bfloat16, torch.float16, torch.float64)


@torch.no_grad()
def output_shift(projection: nn.Module, displacement: Tensor) -> Tensor:
    """W_o d, [R, hidden], by calling the module: o_proj(d) - o_proj(0) also holds with a bias or packed weights.

    Args:
        projection: a site's module, H*D -> hidden.
        displacement: float32 [R, H*D].
    """
    tensors = list(itertools.chain(projection.parameters(), projection.buffers()))
    dtypes = (tensor.dtype for tensor in tensors if tensor.dtype in _COMPUTES)  # of packed weights, their scales'
    rows = displacement.to(device=device_of(projection), dtype=next(dtypes, torch.float32))
    rows = own_share(projection, rows)  # the projection adds up what all ranks make of theirs
    training = projection.training  # an adapter around it may drop inputs out
    projection.eval()
    try:
        moved: Tensor = projection(rows) - projection(torch.zeros_like(rows))
    finally:
        projection.train(training)
    return moved
