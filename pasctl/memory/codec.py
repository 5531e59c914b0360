"""Keys and values in eight bits: one scale a head and token."""

from __future__ import annotations

import torch
from torch import Tensor


def quantize(x: Tensor) -> tuple[Tensor, Tensor]:
    """Round [..., D] to int8 with a scale float32 [..., 1].

    Scales are powers of two, so that int8 times scale is exact in float32 and bfloat16 alike: what was rounded once
    comes out the same when rounded again. That costs up to one of the eight bits.
    """
    most = x.float().abs().amax(-1, keepdim=True)
    scale = torch.exp2(torch.ceil(torch.log2(most.clamp_min(1e-30) / 127)))
    return (x.float() / scale).round().clamp(-127, 127).to(torch.int8), scale


def dequantize(rounded: Tensor, scale: Tensor, dtype: torch.dtype) -> Tensor:
    """What `quantize` was given, to within half a scale."""
    return (rounded.float() * scale).to(dtype)


def round_trip(x: Tensor) -> Tensor:
    """X as it will be read back."""
    return dequantize(*quantize(x), x.dtype)
