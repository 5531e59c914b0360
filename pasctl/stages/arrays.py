"""torch tensors to what the store writes, and back; NumPy has no bfloat16 of its own."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from pasctl.stages.runner import Bf16


def to_store(tensor: Tensor) -> np.ndarray[Any, Any] | Bf16:
    """A CPU tensor as NumPy, bfloat16 by its bits."""
    tensor = tensor.contiguous()
    if tensor.dtype == torch.bfloat16:
        return Bf16(tensor.view(torch.uint16).numpy())
    array: np.ndarray[Any, Any] = tensor.numpy()
    return array


def from_store(array: np.ndarray[Any, Any] | Bf16) -> Tensor:
    """The tensor that `to_store` was given."""
    if isinstance(array, Bf16):
        return torch.from_numpy(array.bits).view(torch.bfloat16)
    return torch.from_numpy(array)
