"""Keys and values in eight bits: one scale a head and token, and for keys with biases an offset a channel.

Scales are powers of two, so that what was rounded once comes out the same when rounded again, in float32 and half
precision alike. That costs up to one of the eight bits.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

_LEAST_STEP = 2.0**-22
"""Of the largest offset of a head: the multiples of a smaller scale would not all be exact in float32."""


def common_part(x: Tensor) -> Tensor:
    """An offset float32 [..., 1, D] for `quantize`: the median of rows [..., n, D].

    A mean would be moved by a text's first token, whose keys may be of another size than all others.
    """
    return x.float().median(-2, keepdim=True).values


def quantize(x: Tensor, offset: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Round [..., D] to int8 with a scale float32 [..., 1].

    Args:
        x: the rows.
        offset: float32, of a shape that spreads to that of `x`: what they have in common. A row is rounded to
            multiples of its scale, and the integers that stand for it are counted from the multiple that is nearest to
            the offset. So the scale is that of what the rows do not have in common, and yet each multiple is one that
            the dtype of `x` has.
    """
    if offset is None:
        scale = _scale(x.float().abs().amax(-1, keepdim=True))
        return (x.float() / scale).round().clamp(-127, 127).to(torch.int8), scale
    least = _power_of_two((offset.abs().amax(-1, keepdim=True) * _LEAST_STEP).clamp_min(1e-38))
    near = _scale((x.float() - offset).abs().amax(-1, keepdim=True))
    # rounding moves the offset by half a scale, so the scale may be one step off, either way; the first that fits
    scale = torch.maximum(2 * near, least)
    for smaller in (near, near / 2):
        smaller = torch.maximum(smaller, least)
        fits = _counted(x, offset, smaller).abs().amax(-1, keepdim=True) <= 127
        scale = torch.where(fits, smaller, scale)
    return _counted(x, offset, scale).to(torch.int8), scale


def dequantize(rounded: Tensor, scale: Tensor, dtype: torch.dtype, offset: Tensor | None = None) -> Tensor:
    """What `quantize` was given, to within half a scale."""
    counted = rounded.float() if offset is None else rounded.float() + (offset / scale).round()
    return (counted * scale).to(dtype)


def round_trip(x: Tensor, offset: Tensor | None = None) -> Tensor:
    """X as it will be read back."""
    return dequantize(*quantize(x, offset), x.dtype, offset)


def segment_tensors(k: Tensor, v: Tensor, int8: bool, offsets: Mapping[int, Tensor] | None = None) -> dict[str, Tensor]:
    """Keys and values [L, G, n, D] as they stand in a file.

    Args:
        k: keys.
        v: values.
        int8: whether they are to be rounded to eight bits.
        offsets: layer -> offset [G, 1, D] that keys were rounded with, of all layers or of none.
    """
    if not int8:
        return {"k": k.contiguous(), "v": v.contiguous()}
    offset = torch.stack([offsets[layer].cpu() for layer in range(len(k))]) if offsets else None
    (k_int8, k_scale), (v_int8, v_scale) = quantize(k.contiguous(), offset), quantize(v.contiguous())
    kept = {} if offset is None else {"offsets": offset}
    return {"k": k_int8, "k_scale": k_scale, "v": v_int8, "v_scale": v_scale, **kept}


def _counted(x: Tensor, offset: Tensor, scale: Tensor) -> Tensor:
    """Multiples of the scale, counted from the one that is nearest to the offset."""
    return (x.float() / scale).round() - (offset / scale).round()


def _scale(most: Tensor) -> Tensor:
    """The smallest power of two of which 127 are at least `most`."""
    return _power_of_two(most.clamp_min(1e-30) / 127)


def _power_of_two(x: Tensor) -> Tensor:
    return torch.exp2(torch.ceil(torch.log2(x)))
