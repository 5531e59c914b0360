"""Rotary positions, applied outside the model so that a key can be put wherever memory wants it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pasctl.errors import PasctlError
from pasctl.models.load import LoadedModel


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
        self.frequencies: Tensor = module.inv_freq.float()

    def rotate(self, x: Tensor, positions: Tensor) -> Tensor:
        """Rotate queries or keys [B, heads, n, D] to positions int64 [B or 1, n]."""
        angles = positions[:, None, :, None].float() * self.frequencies.to(x.device)
        cosine, sine = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
        first, second = x.chunk(2, dim=-1)
        return torch.cat([first * cosine - second * sine, second * cosine + first * sine], dim=-1)
