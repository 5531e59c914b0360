"""Rotary positions, applied outside the model so that a key can be put wherever memory wants it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pasctl.errors import InputError
from pasctl.models.load import LoadedModel


@dataclass(frozen=True)
class Angles:
    """Cosine and sine [B or 1, 1, n, D / 2] of the angles at some positions."""

    cosine: Tensor
    sine: Tensor

    def last(self, count: int) -> Angles:
        """Those of the last `count` positions."""
        first = self.cosine.shape[2] - count
        return Angles(self.cosine[:, :, first:], self.sine[:, :, first:])

    def at(self, places: Tensor) -> Angles:
        """Those at places int64 [B, n] among the positions; the angles are of one row."""
        return Angles(self.cosine[0, 0, places][:, None], self.sine[0, 0, places][:, None])


class Rotary:
    """The model's own frequencies.

    Its scaling factor is in the queries and keys already, which the model rotates by zero.
    """

    def __init__(self, model: LoadedModel) -> None:
        """Take the frequencies from the model's `rotary_emb`.

        Raises:
            InputError: the model has no such module with one set of frequencies, or rotates a part of each head alone.
        """
        module: Any = getattr(model.backbone, "rotary_emb", None)
        family, hint = model.adapter.family, "memory needs rotary positions that are alike in all layers"
        if module is None or getattr(module, "inv_freq", None) is None:
            raise InputError(f"a {family} model has no rotary_emb with one inv_freq for all layers", hint=hint)
        self.frequencies: Tensor = module.inv_freq.double().cpu()
        rotated, width = 2 * len(self.frequencies), model.geometry.head_dim
        if rotated != width:
            raise InputError(f"a {family} model rotates {rotated} of the {width} components of a head", hint=hint)
        self._device, self._dtype = model.device, model.model.dtype

    def angles(self, positions: Tensor, dtype: torch.dtype | None = None) -> Angles:
        """Angles at positions int64 [B or 1, n], in the model's dtype or another.

        They are computed in float64, since float32 is too coarse from some 100k tokens on.
        """
        angles = positions[:, None, :, None].cpu().double() * self.frequencies
        cosine, sine = (each.to(dtype or self._dtype).to(self._device) for each in (angles.cos(), angles.sin()))
        return Angles(cosine, sine)


def rotate(x: Tensor, angles: Angles) -> Tensor:
    """Queries or keys [B, heads, n, D] rotated by the angles of their n positions."""
    first, second = x.chunk(2, dim=-1)
    return torch.cat(
        [first * angles.cosine - second * angles.sine, second * angles.cosine + first * angles.sine], dim=-1
    )
