"""Rotary positions, applied outside the model so that a key can be put wherever memory wants it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pasctl.errors import PasctlError
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
            PasctlError: the model has no such module, so it has no rotary positions to place.
        """
        module: Any = getattr(model.backbone, "rotary_emb", None)
        if module is None or getattr(module, "inv_freq", None) is None:
            raise PasctlError(f"a {model.adapter.family} model without rotary_emb cannot have an episodic memory")
        self.frequencies: Tensor = module.inv_freq.double().cpu()
        self._device, self._dtype = model.device, model.model.dtype

    def angles(self, positions: Tensor) -> Angles:
        """Angles at positions int64 [B or 1, n]; in float64, since float32 is too coarse from some 100k tokens on."""
        angles = positions[:, None, :, None].cpu().double() * self.frequencies
        cosine, sine = (each.to(self._dtype).to(self._device) for each in (angles.cos(), angles.sin()))
        return Angles(cosine, sine)


def rotate(x: Tensor, angles: Angles) -> Tensor:
    """Queries or keys [B, heads, n, D] rotated by the angles of their n positions."""
    first, second = x.chunk(2, dim=-1)
    return torch.cat(
        [first * angles.cosine - second * angles.sine, second * angles.cosine + first * angles.sine], dim=-1
    )
